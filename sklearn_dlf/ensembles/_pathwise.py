"""Draws of a Gaussian process as functions, which can be evaluated at any rows.

A draw of the posterior is a draw of the prior plus a correction by Matheron's rule [Wilson2020]:
``f(x) + k(x, X) (K + D)^-1 (y - f(X) - e)``, with rows X of the process's fit, variances D of the
noise of y, and a draw e of that noise. The prior is drawn by random features. They are drawn anew
for every few members, so that the covariance over many members does not depend on one set of them.

References
----------
.. [Wilson2020] Wilson, Borovitskiy, Terenin, Mostowsky, Deisenroth. "Efficiently sampling
   functions from Gaussian process posteriors". ICML 2020.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.linalg import cho_solve
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import WhiteKernel
from sklearn.utils.validation import check_array

from .._utils.blocks import row_blocks
from ._kernel_features import Features, Term, draw_features

#: Features of each product of a kernel, and draws that share them. A choice: the error of the
#: covariance that features cause is then a third of that of a thousand draws.
_N_FEATURES, _N_SHARING = 1000, 50

#: Rows at which features are held at a time: 16 MB of a thousand features in float64.
_BLOCK_ROWS = 2048


def without_noise(kernel: Any) -> Any:
    """Return a copy of a kernel whose white noise is zero."""
    kernel = clone(kernel)
    parts = {"": kernel, **kernel.get_params()}
    noise_levels = {
        f"{name}__noise_level" if name else "noise_level": 0.0
        for name, part in parts.items()
        if isinstance(part, WhiteKernel)
    }
    return kernel.set_params(**noise_levels)


class PosteriorPaths:
    """Draws of the function of a fitted Gaussian process.

    Parameters
    ----------
    process : GaussianProcessRegressor
        Fitted process.
    terms : list of Term
        Its kernel without noise, as a sum of products.
    n_members : int
        Number of draws.
    seed : int
        Determines the draws.
    """

    def __init__(
        self, process: GaussianProcessRegressor, terms: list[Term], n_members: int, seed: int
    ):
        rng = np.random.RandomState(seed)
        self._kernel, self._terms = without_noise(process.kernel_), terms
        self._rows = np.asarray(process.X_train_, dtype=np.float64)
        targets = np.asarray(process.y_train_).reshape(len(self._rows), -1)
        self._is_single = np.ndim(process.y_train_) == 1
        self._n_outputs, self._n_members = targets.shape[1], n_members
        self._units = [
            np.broadcast_to(unit, self._n_outputs)
            for unit in (process._y_train_mean, process._y_train_std)
        ]
        # a member's outputs are draws of the same process, side by side in columns
        self._seeds = rng.randint(np.iinfo(np.int32).max, size=-(-n_members // _N_SHARING))
        white = process.kernel_.diag(self._rows) - self._kernel.diag(self._rows)
        noise = np.sqrt(np.maximum(process.alpha + white, 0.0))
        gaps = np.repeat(targets, n_members, axis=1)
        gaps -= noise[:, None] * rng.standard_normal(gaps.shape)
        self._add_prior(self._rows, gaps, -1.0)
        self._weights = cho_solve((process.L_, True), gaps)

    def evaluate(self, X: Any) -> np.ndarray:
        """Return all draws at rows, (n, n_members) or (n, n_outputs, n_members)."""
        X = check_array(X, dtype=np.float64)
        paths = np.empty((len(X), self._weights.shape[1]))
        for block in row_blocks(len(X), _BLOCK_ROWS):
            np.matmul(self._kernel(X[block], self._rows), self._weights, out=paths[block])
        self._add_prior(X, paths, 1.0)
        paths = paths.reshape(len(X), self._n_outputs, self._n_members)
        mean, std = (unit[:, None] for unit in self._units)
        paths *= std
        paths += mean
        return paths[:, 0] if self._is_single else paths

    def _add_prior(self, X: np.ndarray, paths: np.ndarray, factor: float) -> None:
        """Add draws of the prior, times a factor, to columns (n, n_outputs * n_members)."""
        columns = np.arange(paths.shape[1]).reshape(self._n_outputs, self._n_members)
        for first, seed in zip(range(0, self._n_members, _N_SHARING), self._seeds, strict=True):
            sharing = columns[:, first : first + _N_SHARING].ravel()
            for features, weights in self._draw_prior(len(sharing), seed):
                for block in row_blocks(len(X), _BLOCK_ROWS):
                    paths[block, sharing] += features(X[block]) @ (factor * weights)

    def _draw_prior(self, n_draws: int, seed: int) -> Iterator[tuple[Features, np.ndarray]]:
        """Yield features of each term, and the weights (n_term_features, n_draws) of draws."""
        rng = np.random.RandomState(seed)
        for term in self._terms:
            features = draw_features(term, self._rows.shape[1], _N_FEATURES, rng)
            n_features = features(self._rows[:1]).shape[1]
            yield features, rng.standard_normal((n_features, n_draws))
