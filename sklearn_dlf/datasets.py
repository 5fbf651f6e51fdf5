"""Ensembles and rows drawn from known models, whose parts are smooth random functions."""

from __future__ import annotations

import numbers
from typing import Literal

import numpy as np
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from ._utils.parameters import Count

__all__ = ["make_curved_surface", "make_dlf_ensemble"]

# Divides the standard normal frequencies of the random functions, in units of X. It was chosen so
# that one period spans several standard deviations of X.
LENGTH_SCALE = 3.0

# Number of cosine waves that are added up to one function, as chosen.
N_WAVES = 8


@validate_params(
    {
        "n_samples": [Count()],
        "n_features": [Count()],
        "n_members": [Count()],
        "n_outputs": [Count()],
        "q": [Count()],
        "loadings": [StrOptions({"full", "separable"})],
        "member_noise": [Interval(numbers.Real, 0, None, closed="left")],
        "target_noise": [Interval(numbers.Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_dlf_ensemble(
    n_samples: int = 300,
    n_features: int = 3,
    n_members: int = 50,
    *,
    n_outputs: int = 1,
    q: int = 3,
    loadings: Literal["full", "separable"] = "full",
    member_noise: float = 0.1,
    target_noise: float = 0.2,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Draw the members of an ensemble from a known deep latent factor model.

    Mean and loadings are smooth random functions of X, sums of cosine waves. Member ``i`` is
    ``mean(x) + loadings(x) z_i + e_i(x)`` with a standard normal vector ``z_i``. With separable
    loadings it is ``mean(x) + mixing Z_i loadings(x) + e_i(x)`` with a standard normal matrix
    ``Z_i`` (n_outputs, q). Observed values y are the mean plus noise.

    Parameters
    ----------
    n_samples : int, default=300
        Number of rows of X.
    n_features : int, default=3
        Number of columns of X.
    n_members : int, default=50
        Number of members.
    n_outputs : int, default=1
        Number of outputs of each member.
    q : int, default=3
        Number of latent factors.
    loadings : {"full", "separable"}, default="full"
        Whether each output has its own loadings ("full"), or all outputs share loadings, which a
        matrix mixes ("separable").
    member_noise : float, default=0.1
        Standard deviation of the members' independent errors ``e_i``. Zero makes none.
    target_noise : float, default=0.2
        Standard deviation of y around the mean. Zero makes none.
    random_state : int, RandomState instance or None, default=None
        Determines all draws.

    Returns
    -------
    Bunch
        ``X`` (n_samples, n_features); ``y`` (n_samples,) or (n_samples, n_outputs);
        ``predictions`` (n_samples, n_members) or (n_samples, n_outputs, n_members). The parts of
        the model: ``mean`` (n_samples, n_outputs), ``loadings`` (n_samples, n_outputs, q) and
        ``member_noise``. With separable loadings ``loadings`` is (n_samples, q), and ``mixing``
        (n_outputs, n_outputs) has rows of unit length.

    Raises
    ------
    ValueError
        If a count is no positive integer, a standard deviation is negative or infinite, `loadings`
        is neither "full" nor "separable", or `random_state` is not as described.

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


@validate_params(
    {
        "n_samples": [Count()],
        "n_features": [Count()],
        "n_dims": [Count()],
        "noise": [Interval(numbers.Real, 0, None, closed="left")],
        "target_noise": [Interval(numbers.Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_curved_surface(
    n_samples: int = 1000,
    n_features: int = 10,
    *,
    n_dims: int = 2,
    noise: float = 0.01,
    target_noise: float = 0.1,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Draw rows near a curved surface of few dimensions, as the sensors of an engine give.

    A row is measured at coordinates (n_dims,), such as load and speed, which are uniform and have
    unit variance. Each column of X, and the mean of y, is a smooth random function of the
    coordinates, a sum of cosine waves. So columns are nearly functions of each other: a row with
    some columns of another row is unlike all data, even if both rows are near.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of rows of X.
    n_features : int, default=10
        Number of columns of X.
    n_dims : int, default=2
        Number of dimensions of the surface.
    noise : float, default=0.01
        Standard deviation of X around the surface. Zero makes none.
    target_noise : float, default=0.1
        Standard deviation of y around its mean. Zero makes none.
    random_state : int, RandomState instance or None, default=None
        Determines all draws. Rows of one surface come from one call: split them for a test.

    Returns
    -------
    Bunch
        ``X`` (n_samples, n_features), ``y`` (n_samples,), its ``mean`` (n_samples,), and the
        ``coordinates`` (n_samples, n_dims).

    Raises
    ------
    ValueError
        If a count is no positive integer, a standard deviation is negative or infinite, or
        `random_state` is not as described.

    Examples
    --------
    >>> from sklearn_dlf.datasets import make_curved_surface
    >>> data = make_curved_surface(500, n_dims=3, random_state=0)
    >>> data.X.shape, data.y.shape, data.coordinates.shape
    ((500, 10), (500,), (500, 3))
    """
    rng = check_random_state(random_state)
    # Uniform coordinates of unit variance: an operating range with ends, and no row far beyond.
    coordinates = rng.uniform(-np.sqrt(3), np.sqrt(3), size=(n_samples, n_dims))
    functions = _random_functions(coordinates, n_features + 1, rng)
    X = functions[:, :-1] + noise * rng.standard_normal((n_samples, n_features))
    mean = functions[:, -1]
    y = mean + target_noise * rng.standard_normal(n_samples)
    return Bunch(X=X, y=y, mean=mean, coordinates=coordinates)


def _random_functions(X: np.ndarray, n_functions: int, rng: np.random.RandomState) -> np.ndarray:
    """Values (n_samples, n_functions) of random functions of unit variance."""
    frequencies = rng.standard_normal((X.shape[1], n_functions, N_WAVES)) / LENGTH_SCALE
    phases = rng.uniform(0, 2 * np.pi, size=(n_functions, N_WAVES))
    waves = np.cos(np.tensordot(X, frequencies, axes=1) + phases)
    return waves.sum(axis=-1) * np.sqrt(2.0 / N_WAVES)
