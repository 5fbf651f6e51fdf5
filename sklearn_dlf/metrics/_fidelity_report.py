"""A report on how faithful a student is to its teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state

from .._rows.index_order import warn_of_index_order
from .._transfer.unseen_check import seen_is_better
from .._utils.parameters import check_levels
from .._utils.pyplot import import_pyplot
from .._utils.threads import one_blas_thread
from .._utils.warning import warn_user
from ..ensembles._members import Members
from ..exceptions import SeenRowsWarning
from ._report.calibration import Calibration, calibrate_at, note_on_level
from ._report.ceilings import MIN_MEMBERS
from ._report.checks import (
    as_values,
    check_calibration,
    check_classes,
    check_fidelity,
    reason_of,
    verdict_of,
)
from ._report.comparison import Comparison, compare_at_rows
from ._report.figure import draw
from ._report.page import as_html, as_text
from ._report.scores import mean_errors, score_classes, score_parts, spread_errors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Number of rows that are named where the student is worst; a choice.
N_WORST = 5

# Below this number of rows, correlations over rows are mostly chance; a choice.
FEW_ROWS = 30

# Errors beyond this, whose fourth powers float64 cannot hold, count as this one.
MAX_ERROR = 1e70


class FidelityReport:
    """How faithful a student is to its teacher at given rows: scores, a verdict and a figure.

    Create it by :meth:`from_estimator`. Notebooks show it as a page with the figure, and ``print``
    shows it as text. Scores are judged against the noise that the teacher has because it consists
    of few members. With several outputs, each attribute "of each output" is an array
    (n_outputs,), and the checks name the worst output.

    Parameters
    ----------
    name : str
        Name of the student.
    comparison : object
        Predictions of student and teacher.
    calibration : object
        Scores at observed y.
    class_ratio : ndarray of shape (n_classes,) or None
        Mean probability of each class over rows, student over teacher. `checks` has the one that is
        farthest from one, with the factor by which two ensembles of this size differ. None of
        regressors.
    levels : ndarray of shape (n_levels,)
        Levels of the intervals of y.
    notes : list of str
        What restricts the report.
    random_state : int, RandomState instance or None, default=0
        Determines how the members are halved.

    Attributes
    ----------
    verdict : {"faithful", "roughly faithful", "not faithful", "unknown"}
        The worst grade of mean, spread, covariance and sums. The mean probabilities of classes are
        not part of it. Nor is calibration: a student can be faithful to a teacher whose intervals
        are wrong.
    reason : str
        What the verdict is due to, and what is not known.
    checks : list of named tuples
        Each score with ``name``, ``value``, ``reference``, ``meaning`` of the reference, and
        ``grade``: "good", "fair", "poor" or "unknown".
    notes : list of str
        What restricts the report, such as rows that members may have seen.
    kind : {"regressor", "classifier"}
        What the members predict.
    n_samples, n_members : int
        Numbers of rows and of members.
    mean_error : float, or of each output
        Root mean squared difference between the means of student and teacher, in units of the
        standard deviation of the teacher's mean over rows. Of classifiers, over all classes.
    mean_noise : float, or of each output
        By how much the means of two ensembles of this size differ, in the same unit. Means of
        halves of the members differ by 1.41 times as much.
    spread_ratio : float, or of each output
        Mean spread of the student over that of the teacher. The spread is the standard deviation
        of the members, or the mutual information of class and member of classifiers. The mutual
        information of M members is too small by a factor of about (M - 1) / M.
    spread_noise : float, or of each output
        Factor by which the mean spreads of two ensembles of this size differ. NaN for fewer than
        four members, as all ceilings.
    spread_correlation, spread_rank_correlation : float, or of each output
        Correlation of the spreads over rows, by Pearson and by Spearman.
    spread_ceiling : float, or of each output
        Expected correlation of the teacher's spread with that of infinitely many members, from
        halves of the members by the formula of Spearman and Brown: by Pearson of regressors, by
        Spearman of classifiers. NaN for fewer than ten rows. A student that copies its own
        teacher's noise can exceed it.
    covariance_ratio : float, or of each output
        Root mean square of the student's covariances between different rows, over that of the
        teacher's, at no more than 200 rows. The noise that few members add is taken out: squares
        are products of covariances of two halves. Of classifiers, covariances are summed over
        classes. The student's are exact, as of ``predict(X, return_cov=True)``. Those of
        classifiers, of baselines and of a ``TransformedTargetRegressor`` are of 1,000 draws, whose
        noise is taken out.
    covariance_correlation, covariance_ceiling : float, or of each output
        Correlation of these covariances, and its ceiling.
    sum_ratio, sum_noise : float, or of each output
        Standard deviation of the sum over these rows, of the student over the members', and the
        factor by which those of two ensembles of this size differ.
    levels : ndarray of shape (n_levels,)
        Levels of the intervals of y.
    coverage : ndarray of shape (n_levels,) or (n_levels, n_outputs), or None
        Share of rows whose y lies in the student's interval. None without y, and of classifiers.
    nll, teacher_nll : float or None
        Mean negative log density of y in nats. The teacher's is known of classifiers only.
    ece, teacher_ece : float or None
        Expected calibration errors of student and teacher; of classifiers with y.
    student_mean, teacher_mean : ndarray of shape (n_samples, n_outputs) or (n_samples, n_classes)
        Means in units of y, or averaged probabilities.
    student_spread, teacher_spread : ndarray of shape (n_samples, n_outputs) or (n_samples, 1)
        Standard deviations in units of y, or mutual information in nats.
    mean_errors, spread_errors : ndarray of shape (n_samples,)
        Student less teacher at each row: of the output or class where the difference is largest, in
        units of the teacher's mean over rows and of its mean spread.
    worst_mean_rows, worst_spread_rows : ndarray of int
        Positions of the five rows with the largest errors, worst first; of frames, for ``iloc``.

    See Also
    --------
    member_fidelity : The scores of mean and spread alone.
    sklearn_dlf.plotting.SpreadDisplay : The spreads row by row, alone.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from sklearn_dlf import DLFRegressor
    >>> from sklearn_dlf.metrics import FidelityReport
    >>> X, y = make_regression(90, 3, noise=5.0, random_state=0)
    >>> forest = RandomForestRegressor(20, random_state=0).fit(X[:60], y[:60])
    >>> student = DLFRegressor(q=2, n_epochs=5, tol=0.1, augment=None, random_state=0)
    >>> student = student.fit(X[:60], y[:60], ensemble=forest)
    >>> report = FidelityReport.from_estimator(student, forest, X[60:], y[60:])
    >>> report.coverage.shape, report.worst_mean_rows.shape
    ((4,), (5,))
    """

    # Scores, which are floats, or arrays (n_outputs,) of several outputs.
    mean_error: Any
    mean_noise: Any
    spread_ratio: Any
    spread_noise: Any
    spread_correlation: Any
    spread_rank_correlation: Any
    spread_ceiling: Any
    covariance_ratio: Any
    covariance_correlation: Any
    covariance_ceiling: Any
    sum_ratio: Any
    sum_noise: Any

    def __init__(
        self,
        name: str,
        comparison: Comparison,
        calibration: Calibration,
        levels: np.ndarray,
        notes: list[str],
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.name, self.comparison, self.calibration = name, comparison, calibration
        self.levels, self.notes, self.kind = levels, notes, comparison.kind
        self.n_samples, self.n_members = len(comparison.mean), comparison.members.shape[-1]
        self.student_mean, self.teacher_mean = comparison.mean, comparison.members.mean(axis=-1)
        self.student_spread = comparison.spread
        self.teacher_spread = comparison.teacher_spread
        with one_blas_thread:  # products are many and small
            scores = score_parts(comparison, check_random_state(random_state))
        for score in scores[0]._fields:
            setattr(self, score, as_values(scores, score))
        coverage = calibration.coverage
        self.coverage = (
            coverage[:, 0] if coverage is not None and coverage.shape[1] == 1 else coverage
        )
        self.nll, self.teacher_nll = calibration.nll, calibration.teacher_nll
        self.ece, self.teacher_ece = calibration.ece, calibration.teacher_ece
        self.mean_errors = _largest(mean_errors(comparison))
        self.spread_errors = _largest(spread_errors(comparison))
        self.worst_mean_rows = _worst_rows(self.mean_errors)
        self.worst_spread_rows = _worst_rows(self.spread_errors)
        fidelity = check_fidelity(scores, self.kind, self.n_members)
        self.verdict, self.reason = verdict_of(fidelity), reason_of(fidelity)
        shares = score_classes(comparison)
        self.class_ratio = None if shares is None else shares.ratio
        self.checks = [
            *fidelity,
            *check_classes(shares, comparison.classes),
            *check_calibration(calibration, levels),
        ]

    @classmethod
    def from_estimator(
        cls,
        student: Any,
        ensemble: Any,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        X_ensemble: Any = None,
        predictions: ArrayLike | list | None = None,
        levels: ArrayLike = (0.5, 0.8, 0.9, 0.95),
        random_state: int | np.random.RandomState | None = 0,
    ) -> FidelityReport:
        """Evaluate student and teacher, and compare them.

        Parameters
        ----------
        student : fitted estimator
            A student, or a pipeline, search, ``TransformedTargetRegressor`` or ``FrozenEstimator``
            around one.
        ensemble : fitted ensemble, list of fitted models, FittedEnsemble or None
            The teacher. None if `predictions` are given.
        X : array-like or DataFrame with n_samples rows
            Rows on which neither was trained, as `student` takes them. At least two; some hundreds
            are better.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Observed values or labels, for calibration.
        X_ensemble : array-like or DataFrame with n_samples rows, or callable, default=None
            The same rows as `ensemble` takes them, if it does not take `X`. A callable takes the
            rows that the inner student takes, and returns them in that form.
        predictions : array-like of shape (n_samples, n_members), (n_samples, n_outputs, \
n_members) or (n_samples, n_classes, n_members), or list of one array a member, default=None
            The members' predictions at `X`, in place of an ensemble. Probabilities are in the order
            of the student's classes.
        levels : array-like of shape (n_levels,), default=(0.5, 0.8, 0.9, 0.95)
            Levels of the intervals of y, strictly between 0 and 1.
        random_state : int, RandomState instance or None, default=0
            Determines halves of the members, rows of the covariance and draws.

        Returns
        -------
        FidelityReport

        Raises
        ------
        TypeError
            If there is no student in `student`, or the ensemble's type is not known.
        NotFittedError
            If student or ensemble is not fitted.
        ValueError
            If there are fewer than two rows or two members, student and ensemble differ in kind,
            outputs or classes, y does not match, a level is not between 0 and 1, or two teachers
            are given.

        Warns
        -----
        SeenRowsWarning
            If the rows have the number of those of the ensemble's own fit, and its members fit y
            better where they have seen it.
        """
        checked_levels = check_levels(levels, "levels")
        rng = check_random_state(random_state)
        warn_of_index_order(X, y=y, X_ensemble=X_ensemble, predictions=predictions)
        compared, members = compare_at_rows(student, ensemble, X, X_ensemble, predictions, rng)
        calibration = calibrate_at(student, compared, X, y, checked_levels)
        notes = [] if calibration.note is None else [calibration.note]
        if len(compared.mean) < FEW_ROWS:
            notes.append(f"Fewer than {FEW_ROWS} rows: correlations over rows are mostly chance.")
        if compared.members.shape[-1] < MIN_MEMBERS:
            notes.append(f"Fewer than {MIN_MEMBERS} members: there are no halves to compare.")
        notes += note_on_level(compared, calibration.targets)
        notes += _note_on_seen_rows(members, compared, calibration.targets)
        name = type(student).__name__
        return cls(name, compared, calibration, checked_levels, notes, rng)

    def plot(self, figure: Figure | None = None) -> Figure:
        """Draw the report: mean, spread, covariance, calibration, errors of rows, and checks.

        Several outputs of regressors share axes: each is in its own unit, that of the scores.

        Parameters
        ----------
        figure : matplotlib Figure, default=None
            An empty figure to draw on. None makes one.

        Returns
        -------
        matplotlib Figure

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        figure = import_pyplot().figure() if figure is None else figure
        draw(self, figure)
        return figure

    def __repr__(self) -> str:
        return (
            f"FidelityReport({self.name}, {self.kind}, n_samples={self.n_samples}, "
            f"n_members={self.n_members}, verdict={self.verdict!r})"
        )

    def __str__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)


def _note_on_seen_rows(
    members: Members, compared: Comparison, targets: np.ndarray | None
) -> list[str]:
    """Return a note if these may be the rows of the ensemble's own fit; warn if y shows it."""
    unseen = None if members.unseen is None else members.unseen()
    shape = len(compared.members), compared.members.shape[-1]
    if unseen is None or unseen.shape != shape or not unseen.any():
        return []
    note = (
        f"X has {shape[0]} rows, as many as the ensemble was fitted on. If they are the same rows, "
        "members have seen them and differ less there than at fresh rows. Give rows that no member "
        "has seen."
    )
    if targets is not None:
        errors = compared.members - targets[:, :, None]
        errors = errors.clip(-MAX_ERROR, MAX_ERROR)
        if not seen_is_better((errors**2).sum(axis=1), unseen):
            return []
        note = note.replace("If they are", "They seem to be").replace(
            "rows, members", "rows: members"
        )
        warn_user(note, SeenRowsWarning)
    return [note]


def _largest(errors: np.ndarray) -> np.ndarray:
    """Return the error of largest size (n,) over the columns of (n, k)."""
    size = np.where(np.isnan(errors), -1.0, np.abs(errors))
    return np.take_along_axis(errors, size.argmax(axis=1)[:, None], axis=1)[:, 0]


def _worst_rows(errors: np.ndarray) -> np.ndarray:
    """Return the rows with the largest errors (n,), worst first; none where errors are NaN."""
    known = np.flatnonzero(np.isfinite(errors))
    return known[np.argsort(-np.abs(errors[known]), kind="stable")][:N_WORST]
