"""Figures of uncertainty, a student's beside its teacher's, as scikit-learn's Displays.

They need matplotlib: ``pip install 'sklearn-dlf[plot]'``.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from sklearn.utils import check_array, check_consistent_length

from ._estimators.unwrap import reach_student, sample_predictions
from .ensembles import ensemble_kind, member_predictions
from .metrics import mutual_information

__all__ = ["SpreadDisplay", "UncertaintyDisplay"]

# Draws of members where a student's target was transformed, and there is no closed form.
N_DRAWS = 200

# Smaller uncertainties are shown at this share of the largest: exact zeros have no logarithm.
SMALLEST_SHARE = 1e-6

TEACHER_COLOR, STUDENT_COLOR, OUTSIDE_COLOR = "0.55", "tab:blue", "tab:orange"
LABELS = {"classifier": "epistemic uncertainty (nats)", "regressor": "spread of members"}


class SpreadDisplay:
    """Epistemic uncertainty of a student against its teacher's, row by row.

    Create one by :meth:`from_estimator` or :meth:`from_predictions`; all parameters become
    attributes.

    Parameters
    ----------
    teacher_spread, student_spread : ndarray of shape (n_samples,)
        Of the same rows: standard deviations in units of y, or mutual information in nats.

    label : str, default="spread of members"
        What they are, for the axes.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.

    figure_ : matplotlib Figure
        Its figure.

    points_ : matplotlib PathCollection
        A point a row.

    line_ : matplotlib Line2D
        Where both are equal.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from sklearn_dlf import DLFRegressor
    >>> from sklearn_dlf.plotting import SpreadDisplay
    >>> X, y = make_regression(60, 3, random_state=0)
    >>> forest = RandomForestRegressor(20, random_state=0).fit(X, y)
    >>> student = DLFRegressor(q=2, n_epochs=5, tol=0.1, random_state=0)
    >>> student = student.fit(X, y, ensemble=forest)
    >>> display = SpreadDisplay.from_estimator(student, X, ensemble=forest)
    >>> display.student_spread.shape
    (60,)
    """

    def __init__(self, teacher_spread, student_spread, *, label=LABELS["regressor"]):
        self.teacher_spread = teacher_spread
        self.student_spread = student_spread
        self.label = label

    @classmethod
    def from_estimator(cls, estimator, X, *, ensemble, X_ensemble=None, ax=None, **kwargs):
        """Ask student and teacher, and plot.

        Parameters
        ----------
        estimator : fitted estimator
            A student, or a pipeline or search around one.

        X : array-like or DataFrame with n_samples rows
            Rows that neither was trained on, as `estimator` takes them.

        ensemble : fitted ensemble
            The teacher, of any kind that students learn from.

        X_ensemble : array-like or DataFrame with n_samples rows, default=None
            The same rows as `ensemble` takes them, where these are not `X`.

        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        **kwargs : dict
            For ``scatter``.

        Returns
        -------
        SpreadDisplay

        Raises
        ------
        TypeError
            If `ensemble` is of no known type.

        ValueError
            If there are several outputs: choose one, and use :meth:`from_predictions`.
        """
        teacher_spread, kind = _epistemic(ensemble, X if X_ensemble is None else X_ensemble)
        student_spread, _ = _epistemic(estimator, X)
        return cls.from_predictions(
            teacher_spread, student_spread, label=LABELS[kind], ax=ax, **kwargs
        )

    @classmethod
    def from_predictions(
        cls, teacher_spread, student_spread, *, label=LABELS["regressor"], ax=None, **kwargs
    ):
        """Plot spreads that are known already.

        Parameters
        ----------
        teacher_spread, student_spread : array-like of shape (n_samples,)
            Standard deviations in units of y, or mutual information in nats.

        label : str, default="spread of members"
            What they are, for the axes.

        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        **kwargs : dict
            For ``scatter``.

        Returns
        -------
        SpreadDisplay

        Raises
        ------
        ValueError
            If shapes do not match, or a value is NaN, infinite or negative.
        """
        teacher_spread = _check_spread(teacher_spread, "teacher_spread")
        student_spread = _check_spread(student_spread, "student_spread")
        check_consistent_length(teacher_spread, student_spread)
        return cls(teacher_spread, student_spread, label=label).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw a point a row, and the line on which both are equal.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        **kwargs : dict
            For ``scatter``.

        Returns
        -------
        SpreadDisplay
        """
        self.ax_ = _new_axes() if ax is None else ax
        self.figure_ = self.ax_.figure
        both = np.concatenate([self.teacher_spread, self.student_spread])
        ends = [both.min(), both.max()]
        (self.line_,) = self.ax_.plot(ends, ends, color=TEACHER_COLOR, linewidth=1, zorder=0)
        style = {"s": 14, "alpha": 0.7, "linewidth": 0, "color": STUDENT_COLOR, **kwargs}
        self.points_ = self.ax_.scatter(self.teacher_spread, self.student_spread, **style)
        rank = spearmanr(self.teacher_spread, self.student_spread).statistic
        self.ax_.set(
            xlabel=f"teacher: {self.label}",
            ylabel=f"student: {self.label}",
            title=f"Row by row, rank correlation {rank:.2f}",
        )
        return self


class UncertaintyDisplay:
    """Histograms of epistemic uncertainty at rows like those of the fit, and at others.

    The less they overlap, the better uncertainty tells that a row is out of distribution; the
    legend gives the area under the ROC curve. Create one by :meth:`from_estimator` or
    :meth:`from_predictions`; all parameters become attributes.

    Parameters
    ----------
    inside, outside : ndarray of shape (n_inside,) and (n_outside,)
        Uncertainty at both kinds of rows.

    label : str, default="epistemic uncertainty (nats)"
        What it is, for the axis.

    Attributes
    ----------
    auroc : float
        Probability that a row outside is more uncertain than one inside.

    ax_ : matplotlib Axes
        Where it was drawn.

    figure_ : matplotlib Figure
        Its figure.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn_dlf.plotting import UncertaintyDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(30, random_state=0).fit(X, y)
    >>> display = UncertaintyDisplay.from_estimator(forest, X, X[:, ::-1])
    >>> display.auroc > 0.9
    True
    """

    def __init__(self, inside, outside, *, label=LABELS["classifier"]):
        self.inside = inside
        self.outside = outside
        self.label = label

    @property
    def auroc(self):
        """Probability that a row outside is more uncertain than one inside."""
        is_outside = np.repeat([0, 1], [len(self.inside), len(self.outside)])
        return float(roc_auc_score(is_outside, np.concatenate([self.inside, self.outside])))

    @classmethod
    def from_estimator(cls, estimator, X, X_outside, *, ax=None, **kwargs):
        """Ask a student, or an ensemble, and plot.

        Parameters
        ----------
        estimator : fitted estimator or ensemble
            A student, a pipeline or search around one, or an ensemble of any kind that students
            learn from.

        X, X_outside : array-like or DataFrame
            Rows like those of the fit, and others, as `estimator` takes them.

        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        UncertaintyDisplay

        Raises
        ------
        TypeError
            If `estimator` is neither.

        ValueError
            If there are several outputs: choose one, and use :meth:`from_predictions`.
        """
        inside, kind = _epistemic(estimator, X)
        outside, _ = _epistemic(estimator, X_outside)
        return cls.from_predictions(inside, outside, label=LABELS[kind], ax=ax, **kwargs)

    @classmethod
    def from_predictions(cls, inside, outside, *, label=LABELS["classifier"], ax=None, **kwargs):
        """Plot uncertainties that are known already.

        Parameters
        ----------
        inside, outside : array-like of shape (n_inside,) and (n_outside,)
            Mutual information in nats, or standard deviations in units of y.

        label : str, default="epistemic uncertainty (nats)"
            What they are, for the axis.

        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        UncertaintyDisplay

        Raises
        ------
        ValueError
            If a value is NaN, infinite or negative.
        """
        inside, outside = _check_spread(inside, "inside"), _check_spread(outside, "outside")
        return cls(inside, outside, label=label).plot(ax, **kwargs)

    def plot(self, ax=None, *, bins=40, names=("in distribution", "out of distribution")):
        """Draw both histograms over a logarithmic axis.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        bins : int or array-like of shape (n_bins + 1,), default=40
            Number of bins, or their positive edges: give figures that are to be compared the
            same. Values beyond the edges are shown in the outermost bins.

        names : tuple of two str
            Of both kinds of rows, for the legend.

        Returns
        -------
        UncertaintyDisplay
        """
        self.ax_ = _new_axes() if ax is None else ax
        self.figure_ = self.ax_.figure
        edges = self._edges(bins) if np.ndim(bins) == 0 else np.asarray(bins, dtype=np.float64)
        colors = STUDENT_COLOR, OUTSIDE_COLOR
        names = names[0], f"{names[1]} (AUROC {self.auroc:.2f})"
        for values, color, name in zip((self.inside, self.outside), colors, names, strict=True):
            self.ax_.hist(
                np.clip(values, edges[0], edges[-1]),
                bins=edges,
                weights=np.full(len(values), 1 / len(values)),
                color=color,
                alpha=0.6,
                label=name,
            )
        self.ax_.set(xscale="log", xlabel=self.label, ylabel="share of rows")
        self.ax_.margins(y=0.25)  # room for the legend above the bars
        self.ax_.legend(loc="upper left", frameon=False)
        return self

    def _edges(self, n_bins):
        """Edges of bins of equal width on a logarithmic axis."""
        values = np.concatenate([self.inside, self.outside])
        top = values.max() or 1.0
        low = values[values > 0].min(initial=top)
        return np.geomspace(max(low, SMALLEST_SHARE * top) * 0.999, top * 1.001, n_bins + 1)


def _epistemic(estimator, X):
    """Epistemic uncertainty of a student or an ensemble at rows, and the kind of its members.

    Mutual information of class and member in nats, or the members' standard deviation in units
    of y.
    """
    try:
        student, transform, invert = reach_student(estimator)
    except TypeError:
        kind, members = ensemble_kind(estimator), member_predictions(estimator, X)
        spread = mutual_information if kind == "classifier" else _standard_deviation
        return spread(members), kind
    if hasattr(student, "predict_uncertainty"):
        return student.predict_uncertainty(transform(X)).epistemic, "classifier"
    if invert is None:
        return student.predict(transform(X), return_std=True)[1], "regressor"
    return _standard_deviation(sample_predictions(estimator, X, N_DRAWS, 0)), "regressor"


def _standard_deviation(members):
    """Over members, which are last."""
    return members.std(axis=-1, ddof=1)


def _check_spread(values, name):
    """Return spreads as a float64 vector, or say what is wrong with them."""
    values = check_array(values, ensure_2d=False, dtype=np.float64, input_name=name)
    if values.ndim != 1:
        raise ValueError(
            f"{name} must have one value for each row; got shape {values.shape}. Choose one of "
            "the outputs, and give its spread to from_predictions."
        )
    if values.min() < 0:
        raise ValueError(f"{name} must not be negative; the smallest is {values.min()}.")
    return values


def _new_axes():
    """Axes of a new figure; matplotlib is asked for where it is needed, and no sooner."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Figures need matplotlib, which is not installed: pip install 'sklearn-dlf[plot]'."
        ) from error
    return plt.subplots(layout="constrained")[1]
