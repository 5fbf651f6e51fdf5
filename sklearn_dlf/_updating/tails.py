"""Values of y far off: those of the tails of the noise, or signs that the student errs.

Where the noise has heavy tails, a value far off at a row like those of `fit` is more likely one of
the tails, and tells less of the mean. If many values are off, as in a group that has moved, they
are no tails. Both are told by sums over rows, so that neither their order nor their batches
count.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .values import ValueSums

# A value is off beyond so many times what is expected of it, as squares; one in six of a normal
# distribution is. If no more than the first share of the values are off, those far off count as
# tails; none do beyond the second. Of further rows of a student of concrete, 0.3 were off at most;
# of rows of a group that had moved, 0.44 to 0.65.
OFF, SOME, MANY = 2.0, 0.3, 0.45


class TailSums(NamedTuple):
    """What rows would tell less if values far off were tails.

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
        slope = self.slope if sums.can_scale == (self.slope.ndim == 2) else self.slope.sum(axis=1)
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


def tails_between(
    sums: ValueSums,
    reduced: ValueSums,
    multiples: np.ndarray,
    shape: np.ndarray,
    weights: np.ndarray,
) -> TailSums:
    """Return the difference of sums over some rows and of those under `tail_multiples` (n, c)."""
    with np.errstate(invalid="ignore"):
        are_off = multiples > (shape + 0.5 * OFF) / (shape + 0.5)
    return TailSums(
        sums.information - reduced.information,
        sums.slope - reduced.slope,
        float(weights @ are_off.sum(axis=1)),
    )
