"""Mean and contrasts of the members at the design points, in training units."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._latent.full import contrast_variance
from .._network.heads import Units
from .._utils.standardise import check_std, in_units

# Powers of two of residuals that float32 holds as they are, with room for their squares.
ORDINARY = 30

# Less than any power of two in float64: the unit of an output whose members have agreed so far.
UNSET = -2000

# Smallest standard deviation of members' outputs: residuals of y, a billion times smaller, still
# have squares that differ from zero (`_fitting.noise_model.LEAST_SQUARE`).
LEAST_STD = 1e-65

# A spread is set to zero up to this many machine epsilons times the size of the members' mean.
N_ROUNDINGS = 8


class ContrastsBuilder:
    """Collects members' outputs block by block, and keeps their mean and contrasts only.

    Parameters
    ----------
    n_samples : int
        Rows of all blocks.
    """

    def __init__(self, n_samples: int):
        self._n_samples = n_samples
        self._mean = self._residuals = np.empty(0)
        self._is_single = True
        # Residuals are kept in units of two to this power, one for each output: float32 does not
        # hold numbers below 1e-38.
        self._exponents: Any = 0

    def add(self, rows: slice, outputs: np.ndarray) -> None:
        """Add members' outputs (n_block, n_outputs, n_members) at a slice of rows."""
        if rows.start == 0:
            self._mean = np.empty((self._n_samples, outputs.shape[1]))
            shape = self._n_samples, *outputs.shape[1:]
            self._residuals = np.empty(shape, dtype=np.float32)
            self._exponents = np.full(outputs.shape[1], UNSET)
        self._mean[rows] = outputs.mean(axis=-1)
        residuals = outputs - self._mean[rows, :, None]
        self._choose_units(residuals, rows.start)
        if (self._exponents != 0).any():
            residuals = np.ldexp(residuals, -self._exponents[:, None])
        self._residuals[rows] = residuals
        # If every output is a number of float32, members were rounded to that precision.
        self._is_single = self._is_single and np.array_equal(outputs, outputs.astype(np.float32))

    def build(self, weights: np.ndarray | None = None) -> Contrasts:
        """Return the contrasts, with weights (n_samples,) of the rows; the builder is emptied."""
        rounding = np.finfo(np.float32 if self._is_single else np.float64).eps
        mean, residuals = self._mean, self._residuals
        del self._mean, self._residuals
        return Contrasts(mean, residuals, weights, rounding, self._exponents)

    def _choose_units(self, residuals: np.ndarray, n_before: int) -> None:
        """Set the units of residuals (n_block, n_outputs, n_members), also of those before."""
        largest = np.maximum(residuals.max(axis=(0, 2)), -residuals.min(axis=(0, 2)))
        exponents = np.frexp(largest)[1]
        exponents[np.abs(exponents) < ORDINARY] = 0
        outgrown = (largest > 0) & (exponents > self._exponents + ORDINARY)
        if outgrown.any():
            new = np.where(outgrown, exponents, self._exponents)
            # Before the first unit there were zeros only, which stay zeros.
            shrink = np.maximum(self._exponents - new, UNSET)
            if n_before and (shrink != 0).any():
                before = self._residuals[:n_before]
                self._residuals[:n_before] = np.ldexp(before, shrink[:, None])
            self._exponents = new


def make_contrasts(outputs: np.ndarray, weights: np.ndarray | None = None) -> Contrasts:
    """Return the contrasts of members' outputs (n_samples, n_outputs, n_members)."""
    builder = ContrastsBuilder(len(outputs))
    builder.add(slice(0, len(outputs)), outputs)
    return builder.build(weights)


class Contrasts:
    """Mean and contrasts of the members of an ensemble, in training units.

    Parameters
    ----------
    mean : array of shape (n_samples, n_outputs)
        Mean of the members.
    residuals : float32 array of shape (n_samples, n_outputs, n_members)
        Members less their mean. The array is rescaled in place and kept.
    weights : array of shape (n_samples,) or None
        Weights of the design points, not negative.
    rounding : float
        Relative precision of the members' outputs.
    exponents : int array of shape (n_outputs,) or 0
        The residuals are in units of two to this power.

    Raises
    ------
    ValueError
        If the squares of the spread, or of the mean, leave the range of float64.

    Attributes
    ----------
    mean : float32 array of shape (n_samples, n_outputs)
        Members' mean, standardised over rows.
    units : Units
        Units of the mean and of the residuals, in those of the members' outputs.
    residuals : float32 array of shape (n_samples * n_outputs, n_members)
        Members less their mean, in units of ``units.spread``, times the root of the row's weight.
    weights : float32 array of shape (n_samples,)
        Weights of mean one.
    variance : float32 array of shape (n_samples, n_outputs)
        Members' variance, in units of ``units.spread ** 2``.
    """

    def __init__(
        self,
        mean: np.ndarray,
        residuals: np.ndarray,
        weights: np.ndarray | None,
        rounding: float,
        exponents: Any = 0,
    ):
        n_samples, n_outputs = mean.shape
        weights = np.ones(n_samples) if weights is None else weights / weights.mean()
        center = np.average(mean, axis=0, weights=weights)
        # Squares of differences are taken in units of these, since float64 may not hold them.
        differences, own = in_units(mean - center)
        scale = np.sqrt(np.average(differences**2, axis=0, weights=weights))
        self.mean = (differences / np.where(scale == 0, 1.0, scale)).astype(np.float32)
        scale = np.ldexp(scale, own)

        exponents = np.where(np.equal(exponents, UNSET), 0, exponents)
        variance = contrast_variance(residuals.reshape(-1, residuals.shape[-1]))
        variance = variance.reshape(n_samples, n_outputs)
        unit = np.sqrt(np.average(variance, axis=0, weights=weights))
        spread = np.ldexp(unit, exponents)
        agree = spread <= N_ROUNDINGS * rounding * np.maximum(scale, np.abs(center))
        spread[agree] = 0.0
        unit = np.where(agree, np.inf, unit)
        check_std(np.maximum(scale, spread), "The members' outputs", LEAST_STD)
        # A constant mean has the unit one, as in StandardScaler, or that of the residuals.
        scale = np.where(scale == 0, np.ldexp(1.0, exponents), scale)
        factors = np.sqrt(weights)[:, None] / unit
        residuals *= factors[..., None].astype(np.float32)
        self.units = Units(center, scale, spread)
        self.residuals = residuals.reshape(n_samples * n_outputs, -1)
        self.variance = (variance / unit**2).astype(np.float32)
        self.weights = weights.astype(np.float32)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Design points, outputs, members."""
        return *self.mean.shape, self.residuals.shape[1]

    def unweighted(self, rows: np.ndarray) -> np.ndarray:
        """Divide values (n, ...) by the roots of the rows' weights.

        Rows of weight zero stay zero: no loss depends on them.
        """
        return rows / self._root().reshape(-1, *(1,) * (rows.ndim - 1))

    def residuals_at(self, rows: np.ndarray) -> np.ndarray:
        """Members less their mean at some rows, not weighted, (n, n_outputs, n_members) float64."""
        residuals = self.residuals.reshape(self.shape)[rows].astype(np.float64)
        return residuals / self._root(rows)[:, None, None]

    def members(self, rows: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Members' outputs in units of the mean, (n, n_outputs, n_members), float32."""
        _, scale, spread = self.units
        unit = spread / scale / self._root(rows)[:, None]
        residuals = self.residuals.reshape(self.shape)[rows] * unit[..., None]
        return self.mean[rows, :, None] + residuals.astype(np.float32)

    def latent_members(self, rows: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Members' outputs in their own units, (n, n_outputs, n_members)."""
        center, scale, _ = self.units
        return center[:, None] + scale[:, None] * self.members(rows)

    def _root(self, rows: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Root of the weights; one at rows of weight zero."""
        weights = self.weights[rows]
        return np.sqrt(np.where(weights > 0, weights, 1))
