"""All that a student of classifiers keeps of new labelled rows.

In a stream, which hypothesis holds may change: in each call, every hypothesis gives a share of its
mass back to the prior [Herbster1998]. Otherwise the hypothesis of no change would get nearly all of
the mass in a long steady time, and a later change would be followed as slowly.

References
----------
.. [Herbster1998] Herbster, Warmuth. "Tracking the best expert". Machine Learning 32, 1998.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .classes import add_rows, class_models
from .coordinates import choose_coordinates, features_and_local, read_heads
from .laplace import (
    STREAM_TOLERANCE,
    TOLERANCE,
    LabelledRows,
    average_latent,
    flattening,
    share_between,
)
from .memory import Memory
from .models import Likelihood, Model, no_rows
from .posterior import Posterior, average_normals, weights_of
from .update import Update
from .values import log_prior

# Rows that are kept as they are, with their features. Of more rows, so many at a time are absorbed
# into a normal distribution, in the order in which they came, so that batches do not count. Rows
# that are being forgotten are absorbed at once.
MAX_KEPT = 1_000

# Latent outputs whose probabilities are averaged over draws. Of more of them, which takes seconds,
# the share of `flattening` is taken.
MAX_AVERAGED = 100

# Hypotheses of `class_models` that a stream has, the first ones: each costs time, and the last one
# changes little there.
N_OF_STREAM = 2


class ClassUpdate(Update):
    """New rows, or the normal distribution that they were absorbed into, and the posterior.

    Parameters
    ----------
    members : LatentFactorMembers
        Members of the fitted student.
    memory : Memory
        What `fit` has kept.
    """

    def __init__(self, members: Any, memory: Memory):
        super().__init__()
        heads = read_heads(members.network, members.units, memory.columns)
        self._coordinates = choose_coordinates(heads)
        self._memory, self._unit = memory, np.asarray(members.units.scale, dtype=np.float64)
        self._has_memory = True
        self._is_stream = False
        self._models = self._make_models()
        self._absorbed: list[Likelihood] | None = None
        self._rows: LabelledRows | None = None
        self._found: list[Likelihood] | None = None  # of all rows, once it was computed
        self._with_discrepancy, self._tolerance = True, TOLERANCE

    def add(
        self,
        members: Any,
        rows: tuple[np.ndarray, np.ndarray] | None,
        *,
        discrepancy: bool,
        forgetting: float,
    ) -> None:
        """Add standardised rows, with labels (n, n_classes) as of `LabelledRows`, or none.

        ``members`` are those of the fitted student. Earlier rows are forgotten to a degree first.
        """
        self._with_discrepancy, self._posterior = discrepancy, None
        self._tolerance = STREAM_TOLERANCE if 0 < forgetting < 1 else TOLERANCE
        counts = np.flatnonzero(rows[1].any(axis=1)) if rows is not None else np.empty(0)
        if forgetting == 0:
            self._absorbed, self._rows, self._found = None, None, None
        elif forgetting < 1:
            self._absorb()
            self._begin_stream()
        if forgetting < 1 and len(counts):
            self._drop_memory()
        if self._absorbed is not None and forgetting < 1:
            drifted = [
                model.drift(each, forgetting)
                for model, each in zip(self._models, self._absorbed, strict=True)
            ]
            self._absorbed = share_mass(drifted, 1 - forgetting**2)
        if rows is not None and len(counts):
            self._append(members, rows[0][counts], rows[1][counts])

    def _append(self, members: Any, X: np.ndarray, labels: np.ndarray) -> None:
        """Append rows that count, and absorb the first ones if there are too many."""
        features, local = features_and_local(members, X, self._memory.columns)
        latent = members.units.center + features @ self._coordinates.heads.mean.T
        share = flattening(latent, local)[:, None]
        flat = share * latent
        if latent.shape[1] <= MAX_AVERAGED:
            flat = average_latent(latent, local)
            share = share_between(latent, flat, share)
        added = LabelledRows(share * features, flat, labels)
        rows = added if self._rows is None else self._rows.join(added)
        while len(rows.latent) > MAX_KEPT:
            self._rows, self._found = rows.part(slice(MAX_KEPT)), None
            self._absorb()
            rows = rows.part(slice(MAX_KEPT, None))
        self._rows, self._found = rows, None

    def _drop_memory(self) -> None:
        """Use what `fit` has kept no more: the meaning of its rows has changed too."""
        if self._has_memory:
            self._has_memory = False
            self._models = self._make_models()

    def _begin_stream(self) -> None:
        """Leave out the hypotheses that a stream does not have."""
        self._is_stream, self._models = True, self._models[:N_OF_STREAM]
        if self._absorbed is not None:
            self._absorbed = self._absorbed[:N_OF_STREAM]

    def _make_models(self) -> list[Model]:
        """Return the hypotheses."""
        memory = self._memory if self._has_memory else self._memory.emptied()
        models = class_models(self._coordinates, memory, self._unit)
        return models[:N_OF_STREAM] if self._is_stream else models

    def _absorb(self) -> None:
        """Replace the rows by a normal distribution."""
        if self._rows is not None:
            self._absorbed, self._rows, self._found = self._likelihoods(), None, None

    def _likelihoods(self) -> list[Likelihood]:
        """Return the likelihood of all rows, under each hypothesis."""
        before = self._absorbed or [no_rows(self._coordinates.size)] * len(self._models)
        if self._rows is None:
            return before
        if self._found is None:
            self._found = [
                add_rows(model, self._coordinates, each, self._rows, self._tolerance)
                for model, each in zip(self._models, before, strict=True)
            ]
        return self._found

    @property
    def is_empty(self):
        return self._absorbed is None and self._rows is None

    def _find_posterior(self):
        likelihoods = self._likelihoods()
        weights = weights_of(
            log_prior(len(likelihoods)) + [each.log_evidence for each in likelihoods]
        )
        if not self._with_discrepancy:
            weights = np.eye(len(likelihoods))[0]
        chosen = np.flatnonzero(weights)
        normals = [self._models[i].posterior(likelihoods[i]) for i in chosen]
        normal = average_normals(normals, weights[chosen])
        coefficients = self._coordinates.coefficients
        columns = self._memory.columns
        return Posterior(coefficients(normal.mean), coefficients(normal.root), columns=columns)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without what follows from the rest."""
        return {**super().__getstate__(), "_found": None, "_models": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Files of earlier commits have absorbed rows under two hypotheses, as streams do.
        self._is_stream = state["_absorbed"] is not None
        self.__dict__.update(state)
        self._models = self._make_models()


def share_mass(likelihoods: list[Likelihood], share: float) -> list[Likelihood]:
    """Return likelihoods of hypotheses that have given a share of their mass to the prior."""
    prior = weights_of(log_prior(len(likelihoods)))
    weights = weights_of(np.log(prior) + [each.log_evidence for each in likelihoods])
    mixed = np.log((1 - share) * weights / prior + share)
    return [
        each._replace(log_evidence=float(log_evidence))
        for each, log_evidence in zip(likelihoods, mixed, strict=True)
    ]
