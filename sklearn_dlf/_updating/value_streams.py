"""Values of y in a stream: hypotheses whose posteriors drift to their priors.

That the level of y moves, and what a unit of the mean is worth, is a hypothesis of its own beside a
discrepancy of any form: it has two coefficients, which few rows of each step determine.

Sums over rows stand for all hypotheses, but a drift depends on the hypothesis. So each has a
likelihood of its own from the first step that forgets, and there are fewer of them.
"""

from __future__ import annotations

import numpy as np

from .coordinates import Coordinates
from .memory import Memory, discrepancy_root
from .models import Likelihood, Model, model_of, no_rows
from .posterior import Normal, average_normals, weights_of
from .values import ValueSums, average_multiple, log_prior

# Standard deviations of the discrepancy, and multiples of the noise, as in `values`.
DISCREPANCIES, MULTIPLES = (0.0, 0.1, 1.0), (1.0, 3.0, 10.0, 30.0)

# Standard deviations of a shift of the level, in the same units, and of a change of the slope.
SHIFT, STRETCH = 1.0, 0.5


class ValueStream:
    """Likelihoods of the rows so far, under each hypothesis.

    Parameters
    ----------
    models : list of Model
        Those of `stream_models`.
    sums : ValueSums
        Rows of which nothing was forgotten yet.
    """

    def __init__(self, models: list[Model], sums: ValueSums):
        self._hypotheses = [(model, multiple) for model in models for multiple in MULTIPLES]
        self._likelihoods = [no_rows(len(sums.information))] * len(self._hypotheses)
        prior = log_prior(len(models))[:, None] + log_prior(len(MULTIPLES))
        self._log_prior = prior.ravel()
        self.add(sums)

    def add(self, sums: ValueSums) -> None:
        """Add rows."""
        self._likelihoods = [
            _add(model, multiple, likelihood, sums)
            for (model, multiple), likelihood in zip(
                self._hypotheses, self._likelihoods, strict=True
            )
        ]

    def drift(self, share: float) -> None:
        """Forget: let each posterior drift to its prior."""
        self._likelihoods = [
            model.drift(likelihood, share)
            for (model, _), likelihood in zip(self._hypotheses, self._likelihoods, strict=True)
        ]

    def replace(self, models: list[Model]) -> None:
        """Take other priors for the likelihoods so far. Files of earlier commits have fewer."""
        models = models[: len(self._likelihoods) // len(MULTIPLES)]
        self._hypotheses = [(model, multiple) for model in models for multiple in MULTIPLES]

    def posterior(self) -> tuple[Normal, float]:
        """Return the average posterior, and the average multiple of the noise."""
        weights = weights_of(self._log_prior + [each.log_evidence for each in self._likelihoods])
        chosen = np.flatnonzero(weights)
        normals = [self._hypotheses[i][0].posterior(self._likelihoods[i]) for i in chosen]
        multiple = average_multiple(weights, [multiple for _, multiple in self._hypotheses])
        return average_normals(normals, weights[chosen]), multiple

    def factor_posterior(self) -> Normal:
        """Return the posterior of the factors alone, under the student's own noise."""
        return self._hypotheses[0][0].posterior(self._likelihoods[0])

    def copy(self) -> ValueStream:
        """Return a copy, to which rows can be added without a change of this stream."""
        copied = object.__new__(ValueStream)
        copied.__dict__.update(self.__dict__)
        return copied


def stream_models(coordinates: Coordinates, memory: Memory, unit: np.ndarray) -> list[Model]:
    """Return a model for each of `DISCREPANCIES`, in units (c,), and one of an affine change."""
    factors = coordinates.factor_root()
    returned = coordinates.returned_factors()
    models = [Model(factors, np.eye(factors.shape[1]), returned)]
    for size in DISCREPANCIES[1:]:
        root = discrepancy_root(coordinates, memory, size * unit)
        models.append(model_of(np.concatenate([factors, root], axis=1), returned))
    affine = coordinates.affine_root(SHIFT * unit, STRETCH)
    return [*models, model_of(np.concatenate([factors, affine], axis=1), returned)]


def _add(model: Model, multiple: float, likelihood: Likelihood, sums: ValueSums) -> Likelihood:
    """Return the likelihood with rows added, under one hypothesis."""
    added = Likelihood(
        likelihood.precision + sums.information / multiple,
        likelihood.slope + sums.total_slope / multiple,
        likelihood.log_evidence,
    )
    gain = model.log_normaliser(added) - model.log_normaliser(likelihood)
    misfit = sums.total_square / multiple + sums.n_entries * np.log(multiple)
    return added._replace(log_evidence=likelihood.log_evidence + gain - 0.5 * misfit)
