"""Averages of the members' probabilities over fixed draws of members at each row.

They serve laws of the latent variables that are not Gaussian, and members whose probabilities are
mapped to those of other labels. Gaussian members have averages that take fewer draws
(`averaged_probabilities`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy.special import logsumexp

from .._latent.member_process import MemberProcess
from .._latent.smoothed import LatentLaw
from .._utils.blocks import row_blocks
from .fixed_draws import normal_draws
from .logits import entropies, log_probabilities_from_latent, probabilities_from_latent

# Draws of members, at least, and draws of each member of the ensemble. The averages' standard error
# is that of so many draws, less what the equal shares of members take away.
N_DRAWS, N_EACH = 512, 4

# Logits that are held at a time: 32 MB in float64 for each of a few copies.
BLOCK_SIZE = 2**22

# Added to the diagonal of a covariance over outputs, relative to its mean, before it is factorised:
# fewer factors than outputs leave it singular.
JITTER = 1e-12

Process = Callable[[np.ndarray, bool], MemberProcess]


def average_under_law(
    process: Process, X: np.ndarray, law: LatentLaw, with_entropy: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Mean probabilities (n, K), and mean entropy (n,) of the members' in nats.

    ``process`` takes rows and whether to be exact, and returns the parameters there.
    """
    averages, own = [], []
    for _, latent in draw_at_rows(process, X, law):
        probabilities = probabilities_from_latent(latent)
        averages.append(probabilities.mean(axis=-1))
        if with_entropy:
            own.append(entropies(probabilities).mean(axis=-1))
    return np.concatenate(averages), np.concatenate(own) if with_entropy else None


def log_average_under_law(process: Process, X: np.ndarray, law: LatentLaw) -> np.ndarray:
    """Logarithm of the mean probabilities (n, K), finite at every row."""
    logarithms = []
    for _, latent in draw_at_rows(process, X, law):
        each = log_probabilities_from_latent(latent)
        logarithms.append(logsumexp(each, axis=-1) - np.log(each.shape[-1]))
    return np.concatenate(logarithms)


def draw_at_rows(
    process: Process, X: np.ndarray, law: LatentLaw | None
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield blocks of rows, and latent outputs (n, c, n_draws) of the same members there.

    They are right at each row alone: all that is local is independent of the latent variables.
    """
    first = process(X[:1], False)
    n_outputs, n_local = first.local_loadings.shape[1:]
    if law is None:
        n_draws = N_DRAWS
        normal = normal_draws(n_outputs, n_draws)
    else:
        n_members = len(law.centers)
        n_draws = n_members * max(N_EACH, -(-N_DRAWS // n_members))
        rng = np.random.RandomState(0)  # fixed, so that predictions do not depend on the call
        latent = law.draw(n_draws, rng)
        local = rng.standard_normal((n_local, n_draws))
        own = rng.standard_normal((n_outputs, n_draws))
    for rows in row_blocks(len(X), max(1, BLOCK_SIZE // (n_outputs * n_draws))):
        at = process(X[rows], False)
        if law is None:
            yield rows, at.mean[..., None] + _root(at.output_covariance) @ normal
            continue
        outputs = at.mean[..., None] + at.loadings @ latent + at.own_std[..., None] * own
        yield rows, outputs + at.local_loadings @ local if n_local else outputs


def _root(covariance: np.ndarray) -> np.ndarray:
    """Return lower roots (n, c, c) of covariances over the outputs of a row."""
    outputs = np.arange(covariance.shape[1])
    size = covariance[:, outputs, outputs].mean(axis=1) + np.finfo(np.float64).tiny
    covariance = covariance.copy()
    covariance[:, outputs, outputs] += JITTER * size[:, None]
    return np.linalg.cholesky(covariance)
