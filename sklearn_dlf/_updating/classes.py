"""The posterior of a student of classifiers, given labels at new rows.

What new rows can change are the factors, a shift and a multiple of each latent output, and a
further head on the body's features. Laplace's approximation takes the place of the likelihood. That
only the factors are to be found is one hypothesis, that factors, shifts and multiples are, another,
and that all of it is, a third. They are averaged by their evidence.
"""

from __future__ import annotations

import numpy as np

from .coordinates import Coordinates
from .laplace import LabelledRows, find_mode
from .memory import Memory, discrepancy_root, remember
from .models import Likelihood, Model, model_of

# Standard deviations over hypotheses, in units of the standard deviation over rows of the latent
# outputs: of a shift, and of the further head at a typical row. That of the change of a multiple
# has no unit.
SHIFT, STRETCH, DISCREPANCY = 1.0, 0.5, 1.0


def class_models(coordinates: Coordinates, memory: Memory, unit: np.ndarray) -> list[Model]:
    """Return the hypotheses: factors alone, all that can change, and all but a further head.

    The last is left out if there is no further head, since coefficients are many. ``unit`` (c,) is
    the standard deviation over rows of the latent outputs.
    """
    factors = coordinates.factor_root()
    models = [Model(factors, np.eye(factors.shape[1]))]
    if coordinates.basis is not None:
        further = discrepancy_root(coordinates, memory, SHIFT * unit)
        return [*models, model_of(np.concatenate([factors, further], axis=1))]
    affine = coordinates.affine_root(SHIFT * unit, STRETCH)
    head = discrepancy_root(coordinates, memory.emptied(), DISCREPANCY * unit)
    for further in (np.concatenate([affine, head], axis=1), affine):
        known = remember(coordinates, memory, further)
        models.append(model_of(np.concatenate([factors, known], axis=1)))
    return models


def add_rows(
    model: Model,
    coordinates: Coordinates,
    likelihood: Likelihood,
    rows: LabelledRows,
    tolerance: float,
) -> Likelihood:
    """Return a likelihood with rows added, by Laplace's approximation under a hypothesis.

    ``tolerance`` is that of `find_mode`.
    """
    mean, factor = model.condition(likelihood)
    design = coordinates.design(rows.features)
    own = design
    if model.root is not None:
        mean, own = model.root @ mean, design @ model.root
    shift = design @ mean
    mode = find_mode(factor, own, rows.latent + shift, rows.labels, tolerance)
    target = np.einsum("ncd,nd->nc", mode.curvature, shift + mode.change) + mode.slopes
    return Likelihood(
        likelihood.precision + coordinates.information(rows.features, mode.curvature),
        likelihood.slope + coordinates.gradient(rows.features, target),
        likelihood.log_evidence + mode.log_evidence,
    )
