"""Two-piece distributions: symmetric ones whose sides have different scales [Fernandez1998]_.

A symmetric variable with density ``f`` becomes a skewed one with the density ``2 / (g + 1 / g)``
times ``f(x / g)`` above zero and ``f(g x)`` below. The skewness ``g`` is one for the symmetric
variable and more than one if the upper side is the longer one. Here the skewed variable is also
scaled and shifted: it has the mean of the symmetric one and, if that is normal, its variance. A
mixture of normals around one centre stays one: it becomes the mixture of the skewed normals.

All functions take an array of skewness, and broadcast.

References
----------
.. [Fernandez1998] Fernandez, Steel. "On Bayesian Modeling of Fat Tails and Skewness". Journal of
   the American Statistical Association 93(441), 1998.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

# Mean absolute value of a standard normal variable.
MEAN_ABSOLUTE = np.sqrt(2 / np.pi)


def _moments(skewness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and mean square of a skewed standard normal, not scaled and not shifted."""
    return MEAN_ABSOLUTE * (skewness - 1 / skewness), skewness**2 - 1 + skewness**-2.0


def unit(skewness: np.ndarray) -> np.ndarray:
    """Return the scale of the skewed variable under which normals keep their variance."""
    mean, square = _moments(skewness)
    return 1 / np.sqrt(square - mean**2)


def center(skewness: np.ndarray) -> np.ndarray:
    """Return where the two pieces meet, for a standard normal or in units of the mean std."""
    return -unit(skewness) * _moments(skewness)[0]


def split_levels(levels: np.ndarray, skewness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return tail probabilities of the symmetric variable, and factors of its distances.

    The skewed variable's quantile is `center`, plus the factor times the distance that the
    symmetric variable exceeds with the tail's probability.
    """
    return _split(levels, 1 - levels, skewness)


def _split(
    below: np.ndarray, above: np.ndarray, skewness: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Do what `split_levels` does, with the probabilities below and above the quantiles."""
    lower = 1 / (1 + skewness**2)  # probability below the centre
    is_lower = below < lower
    tails = np.where(is_lower, below / lower, above / (1 - lower)) / 2
    factors = unit(skewness) * np.where(is_lower, -1 / skewness, skewness)
    return np.minimum(tails, 0.5), factors


def from_normal(z: np.ndarray, skewness: np.ndarray) -> np.ndarray:
    """Return the values around the centre that standard normal ones become, in the same order."""
    tails, factors = _split(ndtr(z), ndtr(-z), skewness)
    return factors * -ndtri(tails)


def to_symmetric(deviations: np.ndarray, skewness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return values of the symmetric variable for deviations from the centre, and log factors.

    The density of the skewed variable is that of the symmetric one at these values, times the
    exponential of the log factor.
    """
    scaled = deviations / unit(skewness)
    values = np.where(scaled > 0, scaled / skewness, scaled * skewness)
    log_factors = np.log(2 / (skewness + 1 / skewness)) - np.log(unit(skewness))
    return values, np.broadcast_to(log_factors, values.shape)


def variance(mean_square: np.ndarray, mean_std: np.ndarray, skewness: np.ndarray) -> np.ndarray:
    """Return the variance of a skewed mixture of normals.

    Parameters
    ----------
    mean_square, mean_std : arrays
        Means over the mixture of the normals' variances and standard deviations.
    skewness : array
        Skewness.
    """
    mean, square = _moments(skewness)
    return unit(skewness) ** 2 * (square * mean_square - (mean * mean_std) ** 2)
