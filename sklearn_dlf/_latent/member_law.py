"""A law of the members at a row that is not Gaussian, the same at all rows: sinh-arcsinh normals.

A member is ``mean + std T(e)`` at a row, where the Gaussian process has ``mean + std e`` with a
standard normal ``e``. ``T`` increases, so that ranks stay, and rows stay correlated. It is that of
[Jones2009]_, ``sinh(tail * arcsinh(e) + skewness)``, shifted and scaled so that ``T(e)`` has mean
zero and variance one: mean and variance of the members stay. A tail of one and no skewness are the
normal. Eq. (36).

References
----------
.. [Jones2009] Jones, Pewsey. "Sinh-arcsinh distributions". Biometrika 96(4), 2009.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Trapezoidal rule for moments over a standard normal variable. Squares of heavy tails need more of
# it than the mixtures of `scale_mixture` do.
_NODES = np.linspace(-8.0, 8.0, 321)
_WEIGHTS = np.exp(-0.5 * _NODES**2) / np.exp(-0.5 * _NODES**2).sum()


class MemberLaw(NamedTuple):
    """Law of members at a row, for each output.

    Attributes
    ----------
    skewness : array of shape (n_outputs,)
        Positive where the upper side is the longer one, zero where both are alike.
    tail : array of shape (n_outputs,)
        More than one where tails are heavier than those of a normal.
    """

    skewness: np.ndarray
    tail: np.ndarray

    def from_normal(self, e: np.ndarray) -> np.ndarray:
        """Return what standard normal values (n, n_outputs, k) become, in their order."""
        center, scale = self._moments()
        raw = np.sinh(self.tail[:, None] * np.arcsinh(e) + self.skewness[:, None])
        return (raw - center) / scale

    def to_normal(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the normal values that become these (n, n_outputs, k), and log slopes.

        The density of values is the normal density there, times the exponential of the log slope.
        """
        center, scale = self._moments()
        tail = self.tail[:, None]
        raw = values * scale + center
        angle = (np.arcsinh(raw) - self.skewness[:, None]) / tail
        log_slope = np.log(scale / tail) + np.logaddexp(angle, -angle) - np.log(2)
        return np.sinh(angle), log_slope - 0.5 * np.log1p(np.square(raw))

    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation (n_outputs, 1) before shift and scale."""
        raw = np.sinh(np.outer(self.tail, np.arcsinh(_NODES)) + self.skewness[:, None])
        center = raw @ _WEIGHTS
        scale = np.sqrt(np.square(raw - center[:, None]) @ _WEIGHTS)
        return center[:, None], scale[:, None]


def log_density(values: np.ndarray, skewness: float, tail: float) -> np.ndarray:
    """Return the log-density of standardised values (k,) under a law of one output."""
    law = MemberLaw(np.array([skewness]), np.array([tail]))
    e, log_slope = law.to_normal(values[None, None])
    return (log_slope - 0.5 * np.square(e) - 0.5 * np.log(2 * np.pi))[0, 0]
