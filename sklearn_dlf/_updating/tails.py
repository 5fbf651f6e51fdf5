"""Values of y far off: those of the tails of the noise, or signs that the student errs.

Where the noise has heavy tails, a value far off at a row like those of `fit` is more likely one of
the tails, and counts less for the mean. If many values are off, as in a group that has moved, they
are no tails. All of it follows from sums over rows, so that neither their order nor their batches
count.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .coordinates import Coordinates
from .values import ValueSums, linear_sums, row_precisions

# A value is off beyond so many times what is expected of it, as squares; one in six of a normal
# distribution is. If no more than the first share of the values are off, those far off count as
# tails; none do beyond the second. Of further rows of a student of concrete, 0.3 were off at most;
# of rows of a group that had moved, 0.44 to 0.65.
OFF, SOME, MANY = 2.0, 0.3, 0.45


class TailSums(NamedTuple):
    """Parts of the sums over rows that are left out where values far off count as tails.

    Attributes
    ----------
    information : array of shape (k, k)
        Part of `ValueSums.information`.
    slope : array of shape (k, c), or (k,)
        Part of `ValueSums.slope`.
    n_off : float
        Sum of the weights of all values that are off.
    """

    information: np.ndarray
    slope: np.ndarray
    n_off: float

    def plus(self, other: TailSums) -> TailSums:
        """Return the sums over the rows of both."""
        return TailSums(
            self.information + other.information, self.slope + other.slope, self.n_off + other.n_off
        )

    def taken_from(self, sums: ValueSums) -> ValueSums:
        """Return sums over all rows, in which values far off count as tails as far as few are."""
        share = np.clip((MANY - self.n_off / sums.n_entries) / (MANY - SOME), 0.0, 1.0)
        information = sums.information - share * self.information
        # sums in files of earlier commits cannot be scaled
        slope = self.slope if self.slope.shape == sums.slope.shape else self.slope.sum(axis=1)
        return sums._replace(information=information, slope=sums.slope - share * slope)


def tail_multiples(shape: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Return multiples (n, c) of the noise, given squared residuals in units of what is expected.

    Where the variance of the noise is inverse gamma, with ``shape`` (c,), a large residual is more
    likely one of the tails than a sign that the mean is wrong. Its inverse has a mean, given the
    residual, that is smaller by this factor; none is below one.
    """
    with np.errstate(invalid="ignore"):
        multiples = (shape + 0.5 * squares) / (shape + 0.5)
    return np.where(np.isinf(shape), 1.0, np.maximum(multiples, 1.0))


def sum_tails(
    coordinates: Coordinates,
    features: np.ndarray,
    residuals: np.ndarray,
    covariance: np.ndarray,
    weights: np.ndarray,
    multiples: np.ndarray,
    shape: np.ndarray,
) -> TailSums:
    """Return the sums over rows whose noise of a shape (c,) has `tail_multiples` (n, c).

    The other arguments are those of `sum_values`.
    """
    rows = (multiples > 1).any(axis=1)
    share = 1 / np.sqrt(multiples[rows])
    lost = row_precisions(covariance[rows], weights[rows])
    lost *= 1 - share[:, :, None] * share[:, None]
    with np.errstate(invalid="ignore"):
        are_off = multiples > (shape + 0.5 * OFF) / (shape + 0.5)
    sums = linear_sums(coordinates, features[rows], residuals[rows], lost)
    return TailSums(*sums, float(weights @ are_off.sum(axis=1)))
