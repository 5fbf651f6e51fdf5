"""What the transfer set holds of y: residuals of the ensemble at rows of `fit`.

Where members did not see a row, the residual of their mean has the noise of y and the deviation of
the truth from the ensemble's mean, as at a new row. The mean over a few members has more variance
than the mean over all, and that is kept too. On rows that members were trained on, residuals are
too small: an ensemble has learnt a part of the noise.
"""

from __future__ import annotations

import copy

import numpy as np
from scipy.stats import chi2

from .._utils.robust_means import weighted_median
from .._utils.standardise import in_units
from .design_points import Points
from .out_of_bag import moments_of_some
from .teacher import were_mostly_seen

# The mean residual counts beyond so many of its standard errors, and standard deviations of the
# residuals. A choice: one in a thousand is beyond the first by chance.
BIAS_ERRORS, LEAST_BIAS = 3.3, 0.1

# The variance of members that did not see a row is shrunk to its median over rows, as if that had
# been found from this many degrees of freedom. A row that two members did not see has one.
PRIOR_DEGREES = 5


class MemberResiduals:
    """Collects the residuals of the ensemble's mean, block by block.

    Parameters
    ----------
    points : Points
        Rows at which the members are evaluated.
    y : array of shape (n_own, n_outputs)
        Observed values at the rows of `fit`.
    weights : array of shape (n_own,) or None
        Weights of the rows.
    unseen : bool array of shape (n_own, n_members) or None
        Rows that each member did not see.
    cross_fitted : pair of arrays of shape (n_own, n_outputs), or None
        Mean and variance of the members of an ensemble of the same kind that was not fitted to the
        row, from cross-fitting. They are used in place of the ensemble's own.
    optimism : float, default=1
        Squared error of members at new rows over that at rows that they did not see; above one if
        their fit looked at these rows after all.

    Attributes
    ----------
    mean : array of shape (n_own, n_outputs)
        Mean of the members at the rows of `fit`.
    lowest, highest : arrays of shape (n_outputs,)
        Smallest and largest value of the members there.
    calibration_mean, calibration_variance : arrays of shape (n_points - n_design, n_outputs)
        Mean and variance of the members at calibration rows.
    unseen_mean : array of shape (n_own, n_outputs)
        Mean of the members that did not see the row; of all members at rows that all saw.
    excess : array of shape (n_own,)
        Variance of the mean over some members beyond that of the mean over all, in units of the
        members' variance.
    is_unseen : bool array of shape (n_own,)
        Whether the residual is that of members that did not see the row.
    bias : array of shape (n_outputs,)
        Mean of the residuals that is taken off; see `without_bias`.
    """

    def __init__(
        self,
        points: Points,
        y: np.ndarray,
        weights: np.ndarray | None = None,
        unseen: np.ndarray | None = None,
        cross_fitted: tuple[np.ndarray, np.ndarray] | None = None,
        optimism: float = 1.0,
    ):
        self.y, self.bias = y, np.zeros(y.shape[1])
        self._n_design = points.n_design
        shape = points.n_points - points.n_design, y.shape[1]
        self.calibration_mean, self.calibration_variance = np.empty((2, *shape))
        self.weights = np.ones(len(y)) if weights is None else weights
        self.unseen = unseen
        self.is_cross_fitted = cross_fitted is not None
        self._optimism = optimism
        self.mean = np.empty(y.shape)
        self.lowest, self.highest = np.full(y.shape[1], np.inf), np.full(y.shape[1], -np.inf)
        self.unseen_mean: np.ndarray
        self._variance: np.ndarray
        self.unseen_mean, self._variance = cross_fitted or np.empty((2, *y.shape))
        self._degrees = np.full(len(y), np.inf if self.is_cross_fitted else 0.0)
        self.excess = np.zeros(len(y))
        self.is_unseen = np.full(len(y), self.is_cross_fitted)

    def add(self, rows: slice, outputs: np.ndarray) -> np.ndarray:
        """Add residuals of outputs (n_block, n_outputs, n_members); return the outputs."""
        if outputs.shape[1] != self.y.shape[1]:
            raise ValueError(
                f"The members have {outputs.shape[1]} outputs and y has {self.y.shape[1]}; "
                "expected the same number. Models of one output each go into a "
                "MultiOutputRegressor, one for each member."
            )
        first = max(self._n_design - rows.start, 0)
        if first < len(outputs):
            kept = slice(rows.start + first - self._n_design, rows.stop - self._n_design)
            self.calibration_mean[kept] = outputs[first:].mean(axis=-1)
            self.calibration_variance[kept] = outputs[first:].var(axis=-1, ddof=1)
        own = outputs[: len(self.y[rows])]
        self.mean[rows] = own.mean(axis=-1)
        self.lowest = np.minimum(self.lowest, own.min(axis=(0, 2), initial=np.inf))
        self.highest = np.maximum(self.highest, own.max(axis=(0, 2), initial=-np.inf))
        if self.is_cross_fitted:
            return outputs
        n_members = own.shape[-1]
        if self.unseen is None:
            unseen = np.zeros((len(own), n_members), bool)
        else:
            unseen = self.unseen[rows][: len(own)]
        counts = unseen.sum(axis=1)
        self.is_unseen[rows] = counts > 0
        chosen = np.where(counts[:, None] > 0, unseen, True)
        self.unseen_mean[rows], self._variance[rows] = moments_of_some(own, chosen)
        self.excess[rows] = 1 / chosen.sum(axis=1) - 1 / n_members
        self._degrees[rows] = np.maximum(chosen.sum(axis=1) - 1, 0)
        return outputs

    @property
    def residuals(self) -> np.ndarray:
        """Y less the mean of the members that did not see the row, (n_own, n_outputs).

        The bias is taken off.
        """
        return self.y - self.unseen_mean - self.bias

    @property
    def shown(self) -> np.ndarray:
        """Rows (n_own,) whose residuals show the noise of y: unseen ones, or all without any."""
        has_weight = self.weights > 0
        rows = self.is_unseen & has_weight
        return rows if rows.any() else has_weight

    @property
    def were_seen(self) -> bool:
        """Whether most members were fitted to the rows, by their own record."""
        return were_mostly_seen(self.unseen)

    def without_bias(self, is_expected: bool = False) -> MemberResiduals:
        """Return residuals without their mean, if it differs from zero by more than chance.

        If a bias ``is_expected``, as after a transformation of y, it is shrunk by what chance adds
        to its square [1]_, and counts however small it is: means and sums of draws have it.

        References
        ----------
        .. [1] James, Stein. "Estimation with quadratic loss". Proceedings of the Fourth Berkeley
           Symposium on Mathematical Statistics and Probability, volume 1, 1961.
        """
        rows = self.shown
        weights = self.weights[rows]
        scaled, exponents = in_units(self.residuals[rows])
        bias = np.average(scaled, axis=0, weights=weights)
        std = np.sqrt(np.average(np.square(scaled - bias), axis=0, weights=weights))
        error = std * np.sqrt(np.square(weights).sum()) / weights.sum()
        if is_expected:
            chance = np.divide(error, bias, out=np.ones_like(bias), where=bias != 0)
            share = np.maximum(1 - chance**2, 0.0)
        else:
            share = np.abs(bias) > np.maximum(BIAS_ERRORS * error, LEAST_BIAS * std)
        if not share.any():
            return self
        unbiased = copy.copy(self)
        unbiased.bias = np.ldexp(share * bias, exponents)
        return unbiased

    def squares(self) -> np.ndarray:
        """Squared residuals (n_own, n_outputs), as large as they would be at new rows."""
        squares = self.residuals**2
        if self.unseen is None or self.is_cross_fitted:
            return squares
        return np.where(self.is_unseen[:, None], self._optimism, 1.0) * squares

    def indicators(self, n_outputs: int) -> np.ndarray:
        """Return y (n_own, n_outputs), which classes have as zeros and ones."""
        return self.y

    def forget_unseen(self) -> None:
        """Use all rows of all members from now on."""
        self.unseen = None

    def variance(self) -> np.ndarray:
        """Variance of the members that did not see the row, shrunk, (n_own, n_outputs).

        Members that saw a row differ more where its noise is large. So their variance must not be
        compared with its residual.
        """
        degrees, typical = self._degrees[:, None], self.typical_variance()
        if typical is None:
            return self._variance
        return (degrees * self._variance + PRIOR_DEGREES * typical) / (degrees + PRIOR_DEGREES)

    def mean_variance(self) -> np.ndarray:
        """Variance of the members around their mean, (n_outputs,), averaged over rows of `fit`."""
        return np.average(self._variance, axis=0, weights=self.weights)

    def typical_variance(self) -> np.ndarray | None:
        """Median variance (n_outputs,) that `variance` is shrunk to; None if nothing is shrunk.

        Each estimate is divided by the median of such estimates of a variance of one. The median
        stands for most rows even if y has outliers, by which the mean over rows may be far larger.
        The mean is taken if members agree at most rows, as trees may.
        """
        weights = self._degrees * self.weights
        if self.is_cross_fitted or not weights.any():
            return None
        rows = weights > 0
        degrees, variance = self._degrees[rows], self._variance[rows]
        estimates = variance * (degrees / chi2.median(degrees))[:, None]
        median = weighted_median(estimates, self.weights[rows])
        mean = np.average(variance, axis=0, weights=weights[rows])
        return np.where(median > 0, median, mean)

    def own_share(self) -> np.ndarray:
        """Share of a row's own members in `variance` (n_own,); the rest is the typical variance."""
        if self.typical_variance() is None:
            return np.ones(len(self.y))
        return self._degrees / (self._degrees + PRIOR_DEGREES)
