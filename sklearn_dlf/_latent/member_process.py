"""The process that a student's members are draws of, at given rows: covariance and draws.

A member deviates from the mean by a part that is common to all rows, and by a local part that is
similar at near rows only, Eq. (32). Factors belong to both: a share of each factor's variance is
common. The local part has the rest of the factors, and the member noise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from .._utils.blocks import row_blocks
from .deviations import (
    dense_loadings,
    draw_deviations,
    factor_covariance,
    output_covariance,
)
from .full import member_log_likelihood
from .member_law import MemberLaw
from .models import NOISE_FLOOR
from .row_correlation import RandomFunctions, RowCorrelation
from .smoothed import LatentLaw, law_log_likelihood

# Entries whose local parts are taken together in a likelihood. It takes O(n^3) for n of them.
BLOCK_ENTRIES = 512

# Share of the local variance that counts as independent at each entry in a likelihood.
NUGGET = 1e-6


class MemberProcess(NamedTuple):
    """Parameters of the process at n rows, float64, in units of the members' outputs.

    Attributes
    ----------
    mean : array of shape (n, c)
    loadings : array of shape (n, c, q), or (n, 1, q) with a mixing
        Loadings of the common part.
    mixing : array of shape (c, c) or None
        Mixing of separable loadings.
    local_loadings : array of shape (n, c, r)
        Loadings of local factors; r may be zero.
    own_std : array of shape (n, c)
        Standard deviation of what each output has of its own.
    """

    mean: np.ndarray
    loadings: np.ndarray
    mixing: np.ndarray | None
    local_loadings: np.ndarray
    own_std: np.ndarray

    @property
    def local_variance(self) -> np.ndarray:
        """Variance (n, c) of the local part."""
        return self.own_std**2 + np.square(self.local_loadings).sum(axis=-1)

    @property
    def local_covariance(self) -> np.ndarray:
        """Covariance (n, c, c) of the local part over the outputs of a row."""
        covariance = output_covariance(self.local_loadings)
        outputs = np.arange(covariance.shape[1])
        covariance[:, outputs, outputs] += self.own_std**2
        return covariance

    @property
    def local_correlation(self) -> np.ndarray:
        """Correlation (n, c, c) of the local part over the outputs of a row."""
        std = np.sqrt(self.local_variance)
        unit = np.where(std > 0, std, np.inf)
        with np.errstate(invalid="ignore"):  # a noise without limit may overflow
            correlation = self.local_covariance / (unit[:, :, None] * unit[:, None])
        outputs = np.arange(std.shape[1])
        correlation[:, outputs, outputs] = 1.0
        return correlation

    @property
    def variance(self) -> np.ndarray:
        """Variance (n, c) of the members, of loadings without a mixing."""
        return self.local_variance + np.square(self.loadings).sum(axis=-1)

    def with_noise_floor(self, spread: np.ndarray) -> MemberProcess:
        """Return the process with some noise of each output's own, for a spread (n, c) or (c,).

        Without it, the covariance over rows and outputs is singular.
        """
        own_std = np.maximum(self.own_std, NOISE_FLOOR**0.5 * spread)
        return self._replace(own_std=own_std)

    def with_law(self, members: np.ndarray, law: MemberLaw) -> np.ndarray:
        """Return draws (n, c, k) of the Gaussian process, with a law at each row."""
        mean, std = self.mean[..., None], np.sqrt(self.variance)[..., None]
        unit = np.divide(members - mean, std, out=np.zeros_like(members), where=std > 0)
        return mean + std * law.from_normal(unit)

    def without_law(self, members: np.ndarray, law: MemberLaw) -> tuple[np.ndarray, float]:
        """Return the draws (n, c, k) that `with_law` takes to these members, and the log slope.

        The latter is what the log-likelihood of members exceeds that of the draws by, in nats per
        entry and member.
        """
        mean, std = self.mean[..., None], np.sqrt(self.variance)[..., None]
        unit, log_slope = law.to_normal((members - mean) / std)
        return mean + std * unit, float(log_slope.mean())

    @property
    def output_covariance(self) -> np.ndarray:
        """Covariance (n, c, c) of the members over the outputs of a row."""
        return self.local_covariance + output_covariance(self.loadings, self.mixing)

    def row_covariance(self, correlation: RowCorrelation, X: np.ndarray) -> np.ndarray:
        """Covariance (n, n, c) over the standardised rows X, for each output. Eq. (33)."""
        local = factor_covariance(self.local_loadings)
        local += self.own_std[:, None] * self.own_std
        local *= correlation.among(X)[..., None]
        return local + factor_covariance(self.loadings, self.mixing)

    def log_likelihood(
        self,
        members: np.ndarray,
        correlation: RowCorrelation,
        X: np.ndarray,
        law: LatentLaw | None = None,
        member_law: MemberLaw | None = None,
    ) -> float:
        """Log-likelihood of members (n, c, n_members), in nats per entry and member. Eq. (33).

        ``law`` is that of the latent variables, and ``member_law`` that at a row; None is the
        standard normal.

        The local part is taken as independent between blocks of `BLOCK_ENTRIES` entries. The common
        part is not.
        """
        log_slope = 0.0
        if member_law is not None:
            members, log_slope = self.without_law(members, member_law)
        loadings = dense_loadings(self.loadings, self.mixing)
        deviations = members - self.mean[..., None]
        whitened, log_det = [], 0.0
        n_rows, n_outputs, q = loadings.shape
        for rows in row_blocks(n_rows, max(1, BLOCK_ENTRIES // n_outputs)):
            both = np.concatenate([loadings[rows], deviations[rows]], axis=-1)
            root = cholesky(self._local_block(rows, correlation, X), lower=True)
            log_det += 2 * np.log(np.diag(root)).sum()
            both = both.reshape(len(root), -1)
            whitened.append(solve_triangular(root, both, lower=True))
        both = np.concatenate(whitened)
        unit = np.ones(len(both))
        if law is None:
            likelihood = member_log_likelihood(both[:, :q], both[:, q:], unit)
        else:
            likelihood = law_log_likelihood(both[:, :q], both[:, q:], law)
        return float(log_slope + likelihood - 0.5 * log_det / len(both))

    def _local_block(self, rows, correlation, X):
        """Return the covariance of the local part at all entries of some rows, (n c, n c)."""
        local, own = self.local_loadings[rows], self.own_std[rows]
        block = np.einsum("ikr,jlr->ikjl", local, local, optimize=True)
        outputs = np.arange(own.shape[1])
        block[:, outputs, :, outputs] += own.T[:, :, None] * own.T[:, None]
        block *= correlation.among(X[rows])[:, None, :, None]
        block = block.reshape(own.size, own.size)
        if not correlation.is_independent:  # rows that recur would leave the covariance singular
            block[np.diag_indices(own.size)] *= 1 + NUGGET
        return block


class MemberFunctions:
    """Draws of the process, which are evaluated at rows in blocks.

    Parameters
    ----------
    latent_shape : tuple of int
        Shape of the latent variables of one member.
    correlation : RowCorrelation
        Correlation of the local part between rows.
    n_members : int
        Members.
    random_state : RandomState instance
        Source of the draws.
    law : LatentLaw or None
        Law of the latent variables; None is the standard normal.
    """

    def __init__(
        self,
        latent_shape: tuple[int, ...],
        correlation: RowCorrelation,
        n_members: int,
        random_state: np.random.RandomState,
        law: LatentLaw | None = None,
    ):
        if law is None:
            self._latent = random_state.standard_normal((*latent_shape, n_members))
        else:
            self._latent = law.draw(n_members, random_state)
        self._local: RandomFunctions | None = None
        self._options = correlation, n_members, random_state

    def evaluate(self, process: MemberProcess, X: np.ndarray) -> np.ndarray:
        """Members (n, c, n_members) at standardised rows."""
        n_outputs, n_factors = process.local_loadings.shape[1:]
        if self._local is None:
            correlation, n_members, random_state = self._options
            self._local = RandomFunctions(
                correlation, X.shape[1], n_outputs + n_factors, n_members, random_state
            )
        functions = self._local.evaluate(X)
        draws = functions[:, :n_outputs] * process.own_std[..., None]
        draws += process.mean[..., None]
        if n_factors:
            draws += process.local_loadings @ functions[:, n_outputs:]
        draws += draw_deviations(process.loadings, process.mixing, self._latent)
        return draws
