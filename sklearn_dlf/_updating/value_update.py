"""All that a student of regressors keeps of new labelled rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._predictive.target_noise import TargetNoise
from .coordinates import choose_coordinates, features_of, read_heads, scale_loadings
from .memory import Memory, discrepancy_root, typical_unknown, value_covariance
from .models import Model
from .noise_level import bound_multiples, log_densities, no_densities
from .posterior import Posterior, variance_along
from .tails import TailSums, sum_tails, tail_multiples
from .update import Update
from .updated_members import UpdatedMembers
from .value_streams import ValueStream, stream_models
from .values import (
    factor_posterior,
    no_values,
    relative_noise,
    sum_values,
    value_posterior,
)

# The noise of `fit` counts as if so many new rows had shown it: a single row tells next to nothing
# of the noise, and would widen all intervals.
ROWS_OF_FIT = 5

# A row is like those of `fit` if what `fit` has left open there is less than so many times what it
# has at its own rows.
MAX_UNKNOWN = 4.0


class ValueUpdate(Update):
    """Sums over new rows, and the posterior that follows from them.

    Parameters
    ----------
    members : LatentFactorMembers
        Members of the fitted student.
    noise : TargetNoise
        Noise of y around them.
    memory : Memory
        What `fit` has kept.
    """

    def __init__(self, members: Any, noise: TargetNoise, memory: Memory):
        super().__init__()
        heads = read_heads(members.network, members.units, memory.columns)
        root_share = np.sqrt(noise.spread_share)
        self._coordinates = scale_loadings(choose_coordinates(heads), root_share)
        self._memory, self._unit = memory, np.asarray(members.units.scale, dtype=np.float64)
        self._unknown = self._unknown_coefficients()
        self._sums = no_values(self._coordinates)
        self._log_densities = no_densities(self._coordinates.n_outputs)
        self._tails: TailSums | None = None
        self._stream: ValueStream | None = None
        self._has_memory = True
        self._with_discrepancy = True
        # Distances and places of the last rows that came in calls of few; see `other_meaning`.
        self.recent: tuple[np.ndarray, np.ndarray] | None = None

    def add(
        self,
        members: Any,
        noise: TargetNoise,
        rows: tuple[np.ndarray, np.ndarray, np.ndarray] | None,
        *,
        discrepancy: bool,
        forgetting: float,
    ) -> None:
        """Add standardised rows, values of y (n, c) and weights (n,), or none.

        ``members`` are those of the fitted student. Earlier rows are forgotten to a degree first.
        """
        before = self._latest_members(members) if 0 < forgetting < 1 else members
        self._with_discrepancy, self._posterior = discrepancy, None
        counts = rows is not None and bool((rows[2] > 0).any())
        if forgetting < 1:
            if counts:
                self._drop_memory()
            self._drift(forgetting)
        if rows is None or not counts:
            return
        X, y, weights = (each[rows[2] > 0] for each in rows)
        residuals = y - members.moments(X, exact=True).mean - noise.bias
        covariance = value_covariance(members, noise, X)
        features = features_of(members.network, X, self._memory.columns)
        rows_of = self._coordinates, features, residuals, covariance, weights
        sums = sum_values(*rows_of, self._unknown)
        self._sums = self._sums.plus(sums)
        if forgetting == 1 and np.isfinite(noise.shape).any():
            multiples = self._tail_multiples(noise, features, residuals, covariance)
            tails = sum_tails(*rows_of, multiples, noise.shape)
            self._tails = tails if self._tails is None else self._tails.plus(tails)
        self._log_densities = self._log_densities + log_densities(before, noise, X, y, weights)
        if self._stream is not None:
            self._stream.add(sums)

    def _tail_multiples(
        self,
        noise: TargetNoise,
        features: np.ndarray,
        residuals: np.ndarray,
        covariance: np.ndarray,
    ) -> np.ndarray:
        """Return multiples (n, c) of the noise of rows, above one where residuals are in the tails.

        What factors explain is expected of a residual, and what a discrepancy does, the more so the
        less the row is like those of `fit`. It does not depend on other new rows.
        """
        expected = np.diagonal(covariance, axis1=1, axis2=2)
        expected = expected + variance_along(self._coordinates.heads.loadings, features)
        unknown, of_fit = variance_along(self._unknown, features), self._unknown_of_fit()
        infinite = np.full_like(unknown, np.inf)
        unlike = np.divide(unknown, MAX_UNKNOWN * of_fit, out=infinite, where=of_fit > 0)
        expected = expected + np.maximum(unknown, np.finfo(np.float64).tiny) * np.square(unlike)
        multiples = tail_multiples(noise.shape, np.square(residuals) / expected)
        # The tail of a skewed noise is a part of its mean.
        return np.where(noise.skewness == 1, multiples, 1.0)

    def unknown_variance(self, members: Any, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the variance (n, c) of a discrepancy at rows, and which are like those of `fit`.

        It grows where features are unlike those of the rows of `fit`.
        """
        features = features_of(members.network, X, self._memory.columns)
        unknown = variance_along(self._unknown, features)
        return unknown, np.all(unknown < MAX_UNKNOWN * self._unknown_of_fit(), axis=1)

    def _unknown_of_fit(self) -> np.ndarray:
        """Return the mean variance (c,) of a discrepancy at the rows of `fit`."""
        return typical_unknown(self._coordinates, self._memory, self._unit)

    def _latest_members(self, members: Any) -> Any:
        """Return the members before the next rows, under the noise of `fit`."""
        if self.is_empty:
            return members
        posterior = self.posterior._replace(noise_multiple=1.0)
        return UpdatedMembers(members.network, members.units, posterior)

    def _drift(self, share: float) -> None:
        """Forget earlier rows to a degree."""
        if share > 0:
            if self._stream is None:
                self._stream = ValueStream(self._stream_models(), self._sums)
            self._stream.drift(share)
        else:
            self._stream = None
        self._sums, self._tails = self._sums.discounted(share**2), None
        self._log_densities = share**2 * self._log_densities

    def _drop_memory(self) -> None:
        """Use what `fit` has kept no more: the meaning of its rows has changed too."""
        if self._has_memory:
            self._has_memory = False
            if self._stream is not None:
                self._stream.replace(self._stream_models())

    def _stream_models(self) -> list[Model]:
        """Return the models of a stream."""
        return stream_models(self._coordinates, self._used_memory, self._unit)

    @property
    def _used_memory(self) -> Memory:
        """What `fit` has kept, or nothing of it."""
        return self._memory if self._has_memory else self._memory.emptied()

    def _find_posterior(self):
        multiple: Any = 1.0
        if self._with_discrepancy and self._stream is not None:
            normal, multiple = self._stream.posterior()
            if self._sums.can_scale:
                relative = relative_noise(self._sums, normal, multiple)
                multiple = np.maximum(multiple * relative, 1.0)
        elif self._with_discrepancy:
            sums = self._sums if self._tails is None else self._tails.taken_from(self._sums)
            normal, multiple = value_posterior(
                self._coordinates, sums, self._used_memory, self._unit
            )
        elif self._stream is not None:
            normal = self._stream.factor_posterior()
        else:
            normal = factor_posterior(self._coordinates, self._sums)
        multiple = bound_multiples(multiple, self._log_densities)
        if self._stream is None:  # a stream forgets rows, so that it has few of them
            multiple = multiple ** (self._sums.n_rows / (self._sums.n_rows + ROWS_OF_FIT))
        mean, loadings, counted = self._coordinates.change(normal)
        typical = self._sums.typical_unknown
        of_fit = self._unknown_of_fit() if self._has_memory else None
        return Posterior(
            mean,
            loadings,
            multiple,
            self._unknown,
            typical,
            counted=counted,
            columns=self._memory.columns,
            unknown_of_fit=of_fit,
            typical_relative=self._sums.typical_relative,
            relative_of_fit=None if of_fit is None else of_fit / self._memory.noise_variance,
        )

    @property
    def is_empty(self):
        return self._sums.n_entries == 0

    def forget_calls(self):
        super().forget_calls()
        self.recent = None

    def copy(self):
        copied = super().copy()
        copied._stream = None if self._stream is None else self._stream.copy()
        return copied

    def _unknown_coefficients(self) -> np.ndarray:
        """Coefficients (c, p, m) of which `fit` tells nothing; see `Posterior`."""
        root = discrepancy_root(self._coordinates, self._memory, self._unit)
        return self._coordinates.coefficients(root)

    def _with_whole_matrix(self, sums: Any) -> Any:
        """Return sums whose information is a matrix again, of which there is the lower half."""
        lower = np.zeros((self._coordinates.size,) * 2)
        lower[np.tril_indices(len(lower))] = sums.information
        return sums._replace(information=lower + np.tril(lower, -1).T)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without what follows from the rest, and half of a symmetric matrix."""
        lower = np.tril_indices(self._coordinates.size)
        sums, tails = (
            each if each is None else each._replace(information=each.information[lower])
            for each in (self._sums, self._tails)
        )
        return {**super().__getstate__(), "_unknown": None, "_sums": sums, "_tails": tails}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.recent, self._tails = None, None  # not in files of earlier commits, as what follows
        self._log_densities = no_densities(state["_coordinates"].n_outputs)
        self.__dict__.update(state)
        root_share = self.__dict__.pop("_root_share", None)
        if root_share is not None:
            self._coordinates = self._coordinates._replace(root_share=root_share)
        self._sums = self._with_whole_matrix(self._sums)
        tails = state.get("_tails")
        self._tails = None if tails is None else self._with_whole_matrix(tails)
        self._unknown = self._unknown_coefficients()
        if self._stream is not None and root_share is not None:  # its models lack the factors
            self._stream.replace(self._stream_models())
