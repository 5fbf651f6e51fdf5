"""All that a student of regressors keeps of new labelled rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._network.heads import Units
from .._predictive.target_noise import TargetNoise
from .coordinates import choose_coordinates, features_of, read_heads
from .memory import Memory, discrepancy_root, value_covariance
from .posterior import Posterior
from .updated_members import UpdatedMembers
from .values import (
    ValueSums,
    factor_posterior,
    in_units_of_truth,
    sum_values,
    value_posterior,
)


class ValueUpdate:
    """Sums over new rows, and the posterior that follows from them.

    Parameters
    ----------
    members : LatentFactorMembers
        Members of the fitted student.
    noise : TargetNoise
        Noise of y around them.
    memory : Memory
        What `fit` has kept.

    Attributes
    ----------
    kept : dict
        Attributes of the student that the update has replaced or removed, as they were before.
    """

    def __init__(self, members: Any, noise: TargetNoise, memory: Memory):
        heads = read_heads(members.network, members.units)
        self._coordinates = in_units_of_truth(choose_coordinates(heads), noise.spread_share)
        self._memory, self._unit = memory, np.asarray(members.units.scale, dtype=np.float64)
        self._root_share = np.sqrt(noise.spread_share)
        self._unknown = self._coordinates.coefficients(
            discrepancy_root(self._coordinates, memory, self._unit)
        )
        size, n_outputs = self._coordinates.size, self._coordinates.n_outputs
        self._sums = ValueSums(
            np.zeros((size, size)), np.zeros(size), 0.0, np.zeros(n_outputs), 0.0
        )
        self._with_discrepancy = True
        self._posterior: Posterior | None = None
        self.kept: dict[str, Any] = {}

    def add(
        self,
        members: Any,
        noise: TargetNoise,
        X: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray,
        *,
        discrepancy: bool,
        forgetting: float,
    ) -> None:
        """Add rows X, standardised, with values y (n, c) and weights (n,).

        ``members`` are those of the fitted student. The weight of earlier rows is multiplied by
        ``forgetting`` first.
        """
        sums = self._sums.discounted(forgetting)
        rows = np.flatnonzero(weights > 0)
        if len(rows):
            X, y, weights = X[rows], y[rows], weights[rows]
            residuals = y - members.moments(X, exact=True).mean
            covariance = value_covariance(members, noise, X)
            features = features_of(members.network, X)
            sums = sums.plus(
                sum_values(
                    self._coordinates, features, residuals, covariance, weights, self._unknown
                )
            )
        self._sums, self._with_discrepancy, self._posterior = sums, discrepancy, None

    @property
    def posterior(self) -> Posterior:
        """The members' posterior."""
        if self._posterior is None:
            if self._with_discrepancy:
                posterior = value_posterior(
                    self._coordinates, self._sums, self._memory, self._unit, self._unknown
                )
            else:
                posterior = factor_posterior(self._coordinates, self._sums)
            # The part of the members' variance that counts for y is the posterior's.
            loadings = posterior.loadings / self._root_share[:, None, None]
            self._posterior = posterior._replace(loadings=loadings)
        return self._posterior

    @property
    def is_empty(self) -> bool:
        """Whether no row counts."""
        return self._sums.n_entries == 0

    def members(self, network: Any, units: Units) -> UpdatedMembers:
        """Return the members after the update, of the fitted network."""
        return UpdatedMembers(network, units, self.posterior)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_posterior": None}  # it follows from the sums
