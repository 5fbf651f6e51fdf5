"""Figures of the uncertainty of students and teachers, as Displays like those of scikit-learn.

They need matplotlib: ``pip install 'sklearn-dlf[plot]'``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import roc_auc_score
from sklearn.utils import check_consistent_length

from ._utils.parameters import check_count
from ._utils.pyplot import import_pyplot
from .metrics._epistemic import epistemic_uncertainty
from .metrics._report.ceilings import spearman
from .metrics._validation import check_numbers, check_uncertainty

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SpreadDisplay", "UncertaintyDisplay"]

# Values below this share of the largest one are shown at it, since zero has no logarithm. It was
# chosen so that the axis spans six decades at most.
SMALLEST_SHARE = 1e-6

TEACHER_COLOR, STUDENT_COLOR, OUTSIDE_COLOR = "0.55", "tab:blue", "tab:orange"
LABELS = {"classifier": "epistemic uncertainty (nats)", "regressor": "spread of members"}


class SpreadDisplay:
    """Epistemic uncertainty of a student against its teacher's, row by row.

    Create it by :meth:`from_estimator` or :meth:`from_predictions`. All parameters become
    attributes.

    Parameters
    ----------
    teacher_spread, student_spread : ndarray of shape (n_samples,)
        Values at the same rows: standard deviations in units of y, or mutual information in nats.
    label : str, default="spread of members"
        Name of the quantity, for the axes.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the figure.
    figure_ : matplotlib Figure
        Figure that holds the axes.
    points_ : matplotlib PathCollection
        One point for each row.
    line_ : matplotlib Line2D
        Line on which both values are equal.

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

    def __init__(
        self,
        teacher_spread: np.ndarray,
        student_spread: np.ndarray,
        *,
        label: str = LABELS["regressor"],
    ) -> None:
        self.teacher_spread = teacher_spread
        self.student_spread = student_spread
        self.label = label

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        ensemble: Any,
        X_ensemble: ArrayLike | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> SpreadDisplay:
        """Evaluate student and teacher, and plot.

        Parameters
        ----------
        estimator : fitted estimator
            A student, or a pipeline or search around one.
        X : array-like or DataFrame with n_samples rows
            Rows on which neither was trained, as `estimator` takes them.
        ensemble : fitted ensemble
            The teacher, of any type that students can learn from.
        X_ensemble : array-like or DataFrame with n_samples rows, default=None
            The same rows as `ensemble` takes them, if it does not take `X`.
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a figure.
        **kwargs : dict
            Arguments of ``scatter``.

        Returns
        -------
        SpreadDisplay

        Raises
        ------
        TypeError
            If `ensemble` is of no known type.
        ValueError
            If there are several outputs (choose one, and use :meth:`from_predictions`), or the
            ensemble has one member only.
        """
        teacher_spread, kind = epistemic_uncertainty(
            ensemble, X if X_ensemble is None else X_ensemble
        )
        student_spread, _ = epistemic_uncertainty(estimator, X)
        return cls.from_predictions(
            teacher_spread, student_spread, label=LABELS[kind], ax=ax, **kwargs
        )

    @classmethod
    def from_predictions(
        cls,
        teacher_spread: ArrayLike,
        student_spread: ArrayLike,
        *,
        label: str = LABELS["regressor"],
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> SpreadDisplay:
        """Plot given values.

        Parameters
        ----------
        teacher_spread, student_spread : array-like of shape (n_samples,)
            Standard deviations in units of y, or mutual information in nats.
        label : str, default="spread of members"
            Name of the quantity, for the axes.
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a figure.
        **kwargs : dict
            Arguments of ``scatter``.

        Returns
        -------
        SpreadDisplay

        Raises
        ------
        ValueError
            If shapes do not match, or a value is NaN, infinite or negative.
        """
        teacher_spread = check_uncertainty(teacher_spread, "teacher_spread")
        student_spread = check_uncertainty(student_spread, "student_spread")
        check_consistent_length(teacher_spread, student_spread)
        return cls(teacher_spread, student_spread, label=label).plot(ax, **kwargs)

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> SpreadDisplay:
        """Draw one point for each row, and the line on which both values are equal.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a figure.
        **kwargs : dict
            Arguments of ``scatter``.

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
        rank = spearman(self.teacher_spread, self.student_spread)
        self.ax_.set(
            xlabel=f"teacher: {self.label}",
            ylabel=f"student: {self.label}",
            title="Row by row" + ("" if np.isnan(rank) else f", rank correlation {rank:.2f}"),
        )
        return self


class UncertaintyDisplay:
    """Histograms of epistemic uncertainty at rows in distribution, and at rows out of it.

    The less they overlap, the better uncertainty detects rows out of distribution. The legend
    gives the area under the ROC curve. Create it by :meth:`from_estimator` or
    :meth:`from_predictions`. All parameters become attributes.

    Parameters
    ----------
    inside, outside : ndarray of shape (n_inside,) and (n_outside,)
        Uncertainty at rows like those of the fit, and at others.
    label : str, default="epistemic uncertainty (nats)"
        Name of the quantity, for the axis.

    Attributes
    ----------
    auroc : float
        Probability that a row of `outside` is more uncertain than one of `inside`.
    ax_ : matplotlib Axes
        Axes with the figure.
    figure_ : matplotlib Figure
        Figure that holds the axes.

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

    def __init__(
        self, inside: np.ndarray, outside: np.ndarray, *, label: str = LABELS["classifier"]
    ) -> None:
        self.inside = inside
        self.outside = outside
        self.label = label

    @property
    def auroc(self) -> float:
        """Probability that a row of `outside` is more uncertain than one of `inside`."""
        is_outside = np.repeat([0, 1], [len(self.inside), len(self.outside)])
        return float(roc_auc_score(is_outside, np.concatenate([self.inside, self.outside])))

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        X_outside: ArrayLike,
        *,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> UncertaintyDisplay:
        """Evaluate a student or an ensemble, and plot.

        Parameters
        ----------
        estimator : fitted estimator or ensemble
            A student, a pipeline or search around one, or an ensemble of any type that students
            can learn from.
        X, X_outside : array-like or DataFrame
            Rows like those of the fit, and others, as `estimator` takes them.
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a figure.
        **kwargs : dict
            Arguments of :meth:`plot`.

        Returns
        -------
        UncertaintyDisplay

        Raises
        ------
        TypeError
            If `estimator` holds no student and is no ensemble.
        ValueError
            If there are several outputs (choose one, and use :meth:`from_predictions`), or the
            ensemble has one member only.
        """
        inside, kind = epistemic_uncertainty(estimator, X)
        try:
            outside, _ = epistemic_uncertainty(estimator, X_outside)
        except (TypeError, ValueError) as error:
            raise type(error)(f"X_outside cannot be evaluated: {error}") from error
        return cls.from_predictions(inside, outside, label=LABELS[kind], ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        inside: ArrayLike,
        outside: ArrayLike,
        *,
        label: str = LABELS["classifier"],
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> UncertaintyDisplay:
        """Plot given values.

        Parameters
        ----------
        inside, outside : array-like of shape (n_inside,) and (n_outside,)
            Mutual information in nats, or standard deviations in units of y.
        label : str, default="epistemic uncertainty (nats)"
            Name of the quantity, for the axis.
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a figure.
        **kwargs : dict
            Arguments of :meth:`plot`.

        Returns
        -------
        UncertaintyDisplay

        Raises
        ------
        ValueError
            If a value is NaN, infinite or negative, or bins are neither a positive number nor
            increasing positive edges.
        """
        inside, outside = (
            check_uncertainty(inside, "inside"),
            check_uncertainty(outside, "outside"),
        )
        return cls(inside, outside, label=label).plot(ax, **kwargs)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        bins: int | ArrayLike = 40,
        names: tuple[str, str] = ("in distribution", "out of distribution"),
    ) -> UncertaintyDisplay:
        """Draw both histograms over a logarithmic axis.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a figure.
        bins : int or array-like of shape (n_bins + 1,), default=40
            Number of bins, or their positive edges. Figures that are to be compared need the same
            edges. Values beyond the edges are shown in the outermost bins.
        names : tuple of two str, default=("in distribution", "out of distribution")
            Names of the two kinds of rows, for the legend.

        Returns
        -------
        UncertaintyDisplay
        """
        self.ax_ = _new_axes() if ax is None else ax
        self.figure_ = self.ax_.figure
        is_number = np.ndim(bins) == 0
        edges = self._edges(check_count(bins, "bins")) if is_number else _check_edges(bins)
        colors = STUDENT_COLOR, OUTSIDE_COLOR
        names = names[0], f"{names[1]} (AUROC {self.auroc:.2f})"
        for values, color, name in zip((self.inside, self.outside), colors, names, strict=True):
            self.ax_.hist(
                np.clip(values, edges[0], edges[-1]),
                bins=edges.tolist(),
                weights=np.full(len(values), 1 / len(values)),
                color=color,
                alpha=0.6,
                label=name,
            )
        self.ax_.set(xscale="log", xlabel=self.label, ylabel="share of rows")
        self.ax_.margins(y=0.25)  # room for the legend above the bars
        self.ax_.legend(loc="upper left", frameon=False)
        return self

    def _edges(self, n_bins: int) -> np.ndarray:
        """Return the edges (n_bins + 1,) of bins of equal width on a logarithmic axis."""
        values = np.concatenate([self.inside, self.outside])
        top = values.max() or 1.0
        low = values[values > 0].min(initial=top)
        return np.geomspace(max(low, SMALLEST_SHARE * top) * 0.999, top * 1.001, n_bins + 1)


def _check_edges(bins: Any) -> np.ndarray:
    """Return the edges of bins (n_bins + 1,), or raise if they are no edges."""
    edges = check_numbers(bins, "bins", ensure_2d=False, allow_nd=True)
    if edges.ndim != 1 or len(edges) < 2 or edges[0] <= 0 or (np.diff(edges) <= 0).any():
        raise ValueError(
            "bins must be a number of bins, or two or more increasing positive edges; got "
            f"{bins!r}."
        )
    return edges


def _new_axes() -> Axes:
    """Return axes of a new figure."""
    return import_pyplot().subplots(layout="constrained")[1]
