"""Averages of the members' probabilities under a law of the latent variables that is not Gaussian.

They are means over fixed draws of members, made from the law. Gaussian members have averages that
take fewer draws (`averaged_probabilities`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy.special import logsumexp

from .._latent.member_process import MemberProcess
from .._latent.smoothed import LatentLaw
from .._utils.blocks import row_blocks
from .logits import entropies, log_probabilities_from_latent, probabilities_from_latent

# Draws of members, at least, and draws of each member of the ensemble. The averages' standard error
# is that of so many draws, less what the equal shares of members take away.
N_DRAWS, N_EACH = 512, 4

# Logits that are held at a time: 32 MB in float64 for each of a few copies.
BLOCK_SIZE = 2**22

Process = Callable[[np.ndarray, bool], MemberProcess]


def average_under_law(
    process: Process, X: np.ndarray, law: LatentLaw, with_entropy: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Mean probabilities (n, K), and mean entropy (n,) of the members' in nats.

    ``process`` takes rows and whether to be exact, and returns the parameters there.
    """
    averages, own = [], []
    for latent in _draw(process, X, law):
        probabilities = probabilities_from_latent(latent)
        averages.append(probabilities.mean(axis=-1))
        if with_entropy:
            own.append(entropies(probabilities).mean(axis=-1))
    return np.concatenate(averages), np.concatenate(own) if with_entropy else None


def log_average_under_law(process: Process, X: np.ndarray, law: LatentLaw) -> np.ndarray:
    """Logarithm of the mean probabilities (n, K), finite at every row."""
    logarithms = []
    for latent in _draw(process, X, law):
        each = log_probabilities_from_latent(latent)
        logarithms.append(logsumexp(each, axis=-1) - np.log(each.shape[-1]))
    return np.concatenate(logarithms)


def _draw(process: Process, X: np.ndarray, law: LatentLaw) -> Iterator[np.ndarray]:
    """Yield latent outputs (n, c, n_draws) of the same members, blocks of rows after one another.

    At one row, all that is local is independent of the latent variables.
    """
    first = process(X[:1], False)
    n_outputs, n_local = first.local_loadings.shape[1:]
    n_members = len(law.centers)
    n_draws = n_members * max(N_EACH, -(-N_DRAWS // n_members))
    rng = np.random.RandomState(0)  # fixed, so that predictions do not depend on the call
    latent = law.draw(n_draws, rng)
    local = rng.standard_normal((n_local, n_draws))
    own = rng.standard_normal((n_outputs, n_draws))
    for rows in row_blocks(len(X), max(1, BLOCK_SIZE // (n_outputs * n_draws))):
        at = process(X[rows], False)
        outputs = at.mean[..., None] + at.loadings @ latent + at.own_std[..., None] * own
        yield outputs + at.local_loadings @ local if n_local else outputs
