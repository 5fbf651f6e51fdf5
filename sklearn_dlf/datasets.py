"""Ensembles whose truth is known: drawn from a latent factor model over smooth random functions."""

from __future__ import annotations

import numpy as np
from sklearn.utils import Bunch, check_random_state

__all__ = ["make_dlf_ensemble"]

# Frequencies of the random functions: one period spans several standard deviations of X.
LENGTH_SCALE = 3.0

# Waves that make one function up.
N_WAVES = 8


def make_dlf_ensemble(
    n_samples=300,
    n_features=3,
    n_members=50,
    *,
    n_outputs=1,
    q=3,
    loadings="full",
    member_noise=0.1,
    target_noise=0.2,
    random_state=None,
):
    """Draw the members of an ensemble from a known deep latent factor model.

    Mean and loadings are smooth random functions of X (sums of cosine waves); members are
    ``mean(x) + loadings(x) z_i + e_i(x)`` with standard normal ``z_i`` or, if separable,
    ``mean(x) + mixing Z_i loadings(x) + e_i(x)`` with standard normal ``Z_i`` (n_outputs, q), and y
    is the mean plus noise.

    Parameters
    ----------
    n_samples, n_features, n_members : int, default=300, 3, 50
        Rows and columns of X, members drawn.
    n_outputs : int, default=1
        Outputs of every member.
    q : int, default=3
        Latent factors.
    loadings : {"full", "separable"}, default="full"
        Whether each output has loadings of its own, or all share them and are mixed.
    member_noise : float, default=0.1
        Standard deviation of the members' independent errors ``e_i``.
    target_noise : float, default=0.2
        Standard deviation of y around the mean.
    random_state : int, RandomState instance or None, default=None
        Determines everything that is drawn.

    Returns
    -------
    Bunch
        ``X`` (n_samples, n_features); ``y`` (n_samples,) or (n_samples, n_outputs);
        ``predictions`` (n_samples, n_members) or (n_samples, n_outputs, n_members); the truth:
        ``mean`` (n_samples, n_outputs), ``loadings`` (n_samples, n_outputs, q), ``member_noise``;
        if separable ``loadings`` (n_samples, q), and ``mixing`` (n_outputs, n_outputs) whose rows
        have unit length.

    Raises
    ------
    ValueError
        If `loadings` is neither "full" nor "separable".

    Examples
    --------
    >>> from sklearn_dlf.datasets import make_dlf_ensemble
    >>> data = make_dlf_ensemble(n_members=20, random_state=0)
    >>> data.X.shape, data.predictions.shape, data.loadings.shape
    ((300, 3), (300, 20), (300, 1, 3))
    """
    if loadings not in ("full", "separable"):
        raise ValueError(f"loadings must be 'full' or 'separable'; got {loadings!r}.")
    rng = check_random_state(random_state)
    X = rng.standard_normal((n_samples, n_features))
    mean = _random_functions(X, n_outputs, rng)
    truth = {"mean": mean, "member_noise": member_noise}
    if loadings == "full":
        functions = _random_functions(X, n_outputs * q, rng).reshape(n_samples, n_outputs, q)
        truth["loadings"] = functions = functions * (0.5 / np.sqrt(q))
        deviations = functions @ rng.standard_normal((q, n_members))
    else:
        truth["loadings"] = functions = _random_functions(X, q, rng) * (0.5 / np.sqrt(q))
        mixing = rng.standard_normal((n_outputs, n_outputs))
        truth["mixing"] = mixing = mixing / np.linalg.norm(mixing, axis=1, keepdims=True)
        latent = rng.standard_normal((n_outputs, q, n_members))
        deviations = np.einsum("kl,lqi,nq->nki", mixing, latent, functions, optimize=True)
    noise = member_noise * rng.standard_normal((n_samples, n_outputs, n_members))
    predictions = mean[..., None] + deviations + noise
    y = mean + target_noise * rng.standard_normal(mean.shape)
    if n_outputs == 1:
        y, predictions = y[:, 0], predictions[:, 0]
    return Bunch(X=X, y=y, predictions=predictions, **truth)


def _random_functions(X, n_functions, rng):
    """Values (n_samples, n_functions) of random functions of unit variance."""
    frequencies = rng.standard_normal((X.shape[1], n_functions, N_WAVES)) / LENGTH_SCALE
    phases = rng.uniform(0, 2 * np.pi, size=(n_functions, N_WAVES))
    waves = np.cos(np.tensordot(X, frequencies, axes=1) + phases)
    return waves.sum(axis=-1) * np.sqrt(2.0 / N_WAVES)
