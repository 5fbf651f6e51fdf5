"""Model of the noise of one output of y, fitted by maximum likelihood of residuals.

The residual of the ensemble's mean at a row is a mixture of normals: its variance is a share of the
members' variance there, plus ``g(x) W`` with an inverse gamma variable ``W``. All are fitted
together, so that the members' spread is not counted twice. The share is below one for members that
have learnt the noise of y, as the trees of a forest have: their mean is better than their spread
says. Whether ``g`` depends on the row, and how much it is shrunk, is chosen by cross-validation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammainccinv, ndtr
from sklearn.model_selection import KFold

# Quadrature of `W` in the likelihood: normal scores and their probabilities. Coarser than that of
# predictions, as an error of 1e-4 does not move an estimate.
SCORES = np.linspace(-4.2, 4.2, 22)
PROBABILITIES = np.exp(-0.5 * SCORES**2) / np.exp(-0.5 * SCORES**2).sum()

# The shape of `W` lies between these. Up to the lower one, residuals have no mean; at the upper one
# they are normal to all that data can tell, and the shape is set to infinity.
SHAPES = 0.6, 60.0

# Penalty on the inverse of the shape, in nats. Few residuals do not show tails: 20 of them move the
# shape by less than its standard error.
TAIL_PENALTY = 2.0

# The share of the members' variance is one unless the likelihood with another share is larger by
# this, in nats: twice that follows a chi-squared distribution of one degree of freedom, whose 99 %
# quantile this is.
SHARE_GAIN = 3.3

# Smallest variance of the noise, as a share of the mean squared residual.
LEAST_NOISE = 1e-4

# Mean squared residuals below this share of the members' variance, or below this number of squared
# units of y, count as this: residuals can be zero, and reciprocals of variances must be finite.
LEAST_SHARE, LEAST_SQUARE = 1e-12, 1e-150

# The logarithm of the noise lies within this of that of the mean squared residual, so that line
# searches do not overflow.
LARGEST_LOGARITHM = 100.0

# Penalties of the coefficients that are tried, per row, the strongest first. The path ends where
# the held-out likelihood falls.
PENALTIES = 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01

# Folds of the cross-validation; the fewest rows for which it is done; the most rows it uses.
N_FOLDS, MIN_ROWS, MAX_ROWS = 5, 50, 4_000

# Iterations of L-BFGS. Far more are never needed, as the start is that of a nearby penalty.
MAX_ITERATIONS = 200


class NoiseRows(NamedTuple):
    """Rows that the noise of one output is fitted to.

    Attributes
    ----------
    squares : array of shape (n,)
        Squared residuals of the ensemble's mean.
    spread : array of shape (n,)
        The members' variance, which counts for y by its share. Zero where members saw the rows.
    excess : array of shape (n,)
        Further variance that is known: of a mean over few members.
    weights : array of shape (n,)
        Weights of mean one.
    features : array of shape (n, n_features)
        Encoding of what the noise may depend on.
    offset : array of shape (n,)
        Known part of the logarithm of ``g``.
    """

    squares: np.ndarray
    spread: np.ndarray
    excess: np.ndarray
    weights: np.ndarray
    features: np.ndarray
    offset: np.ndarray

    def take(self, rows: Any) -> NoiseRows:
        """Return some of the rows."""
        return NoiseRows(*(part[rows] for part in self))


@dataclass
class NoiseModel:
    """Parameters of the noise of one output, in squared units of y where they have a unit.

    Attributes
    ----------
    log_level, log_shape : float
        ``g W`` is ``exp(log_level + features @ coefficients)`` times an inverse gamma variable with
        this shape, and with the shape as its scale.
    share : float
        Share of the members' variance.
    coefficients : array of shape (n_features,)
        Zero where the noise is constant.
    """

    log_level: float
    log_shape: float
    share: float
    coefficients: np.ndarray

    def log_likelihoods(self, rows: NoiseRows) -> np.ndarray:
        """Log-likelihood of each row's residual (n,), in nats."""
        return _mixture(self, rows)[0]


def _mixture(model: NoiseModel, rows: NoiseRows) -> tuple[np.ndarray, ...]:
    """Log-likelihoods (n,), and their derivatives (n,) by each quantity at a row.

    The derivatives are by the logarithm of ``g``, by the logarithm of the shape, and by the share.
    """
    shape = np.exp(model.log_shape)
    step = 1e-4  # of the numerical derivative by the logarithm of the shape
    levels = ndtr(SCORES)
    unit = shape / gammainccinv(shape, levels)
    more = shape * np.exp(step)
    unit_slope = (more / gammainccinv(more, levels) - unit) / step
    logarithm = model.log_level + rows.offset + rows.features @ model.coefficients
    center = np.log(_mean_square(rows))
    noise = np.exp(np.clip(logarithm, center - LARGEST_LOGARITHM, center + LARGEST_LOGARITHM))
    variance = (model.share * rows.spread + rows.excess)[:, None] + noise[:, None] * unit
    ratio = rows.squares[:, None] / variance
    log_density = -0.5 * (np.log(2 * np.pi * variance) + ratio) + np.log(PROBABILITIES)
    largest = log_density.max(axis=1)
    density = np.exp(log_density - largest[:, None])
    total = density.sum(axis=1)
    by_variance = density * (0.5 * (ratio - 1) / variance) / total[:, None]
    by_noise = (by_variance @ unit) * noise
    by_shape = (by_variance @ unit_slope) * noise
    by_share = by_variance.sum(axis=1) * rows.spread
    return np.log(total) + largest, by_noise, by_shape, by_share


def fit_model(
    rows: NoiseRows, start: NoiseModel, penalty: float | None, with_share: bool
) -> tuple[NoiseModel, float]:
    """Return the model of largest penalised likelihood, and that likelihood in nats.

    Parameters
    ----------
    rows : NoiseRows
        Rows.
    start : NoiseModel
        Where L-BFGS starts.
    penalty : float or None
        Penalty of half the squared coefficients, per row. None leaves them at zero.
    with_share : bool
        Whether the share of the members' variance is fitted; otherwise it is that of `start`.
    """
    n_features = 0 if penalty is None else rows.features.shape[1]
    weight = 0.0 if penalty is None else penalty * len(rows.squares)

    def model_at(theta):
        coefficients = theta[3:] if n_features else np.zeros(rows.features.shape[1])
        return NoiseModel(theta[0], theta[1], theta[2], coefficients)

    def objective(theta):
        model = model_at(theta)
        log_likelihoods, by_noise, by_shape, by_share = (
            rows.weights * part for part in _mixture(model, rows)
        )
        inverse = np.exp(-theta[1])
        value = log_likelihoods.sum() - TAIL_PENALTY * inverse
        gradient = np.empty_like(theta)
        gradient[0] = by_noise.sum()
        gradient[1] = by_shape.sum() + TAIL_PENALTY * inverse
        gradient[2] = by_share.sum()
        if n_features:
            value -= 0.5 * weight * theta[3:] @ theta[3:]
            gradient[3:] = by_noise @ rows.features - weight * theta[3:]
        return -value, -gradient

    theta = np.array([start.log_level, start.log_shape, start.share])
    if n_features:
        theta = np.concatenate([theta, start.coefficients])
    bounds = [
        (_largest_level(rows) + np.log(LEAST_NOISE), None),
        tuple(np.log(SHAPES)),
        (0.0, 1.0) if with_share else (start.share, start.share),
        *[(None, None)] * n_features,
    ]
    options = {"maxiter": MAX_ITERATIONS}
    found = minimize(objective, theta, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return model_at(found.x), -float(found.fun)


def _mean_square(rows: NoiseRows) -> float:
    """Return the mean squared residual, but not zero."""
    least = max(LEAST_SHARE * _mean(rows.spread, rows), LEAST_SQUARE)
    return max(_mean(rows.squares, rows), least)


def _largest_level(rows: NoiseRows) -> float:
    """Return the level of the noise, a logarithm, if all residuals were noise and normal."""
    return np.log(_mean_square(rows)) - _mean(rows.offset, rows)


def fit_constant(rows: NoiseRows, with_share: bool) -> NoiseModel:
    """Return the model whose noise does not depend on the row."""
    level = _largest_level(rows) + np.log(0.5)
    zero = np.zeros(rows.features.shape[1])
    start = NoiseModel(level, np.log(10.0), 1.0, zero)
    model, likelihood = fit_model(rows, start, None, with_share=False)
    if with_share:
        start = NoiseModel(level, np.log(10.0), 0.5, zero)
        other, other_likelihood = fit_model(rows, start, None, with_share=True)
        if other_likelihood > likelihood + SHARE_GAIN:
            return other
    return model


def fit_dependent(
    rows: NoiseRows, constant: NoiseModel, random_state: np.random.RandomState, required: bool
) -> NoiseModel:
    """Return a model whose noise depends on the row, or ``constant`` if that is as good.

    The penalty is that of largest held-out likelihood. Level and shape are fitted to ``g`` at held
    out rows too: at rows that the coefficients were fitted to, outliers are explained by ``g``, and
    tails would be lost. Unless ``required``, the gain has to exceed its standard error.
    """
    chosen = rows
    if len(rows.squares) > MAX_ROWS:
        chosen = rows.take(random_state.choice(len(rows.squares), MAX_ROWS, replace=False))
    folds = list(KFold(N_FOLDS, shuffle=True, random_state=random_state).split(chosen.squares))
    parts = [chosen.take(train) for train, _ in folds]
    models = [constant] * N_FOLDS
    offset = np.empty(len(chosen.squares))
    base = constant.log_likelihoods(chosen)
    best, best_gains, best_penalty = constant, np.full(len(offset), -np.inf), PENALTIES[0]
    for penalty in PENALTIES:
        models = [
            fit_model(part, model, penalty, with_share=False)[0]
            for part, model in zip(parts, models, strict=True)
        ]
        for model, (_, test) in zip(models, folds, strict=True):
            offset[test] = chosen.features[test] @ model.coefficients
        level_and_shape = fit_model(
            chosen._replace(offset=offset), constant, None, with_share=False
        )[0]
        gains = level_and_shape.log_likelihoods(chosen._replace(offset=offset)) - base
        if _mean(gains, chosen) <= _mean(best_gains, chosen):
            break
        best, best_gains, best_penalty = level_and_shape, gains, penalty
    gain = _mean(best_gains, chosen)
    error = np.sqrt(_mean((best_gains - gain) ** 2, chosen) / len(offset))
    if not required and gain <= error:
        return constant
    coefficients = fit_model(rows, constant, best_penalty, with_share=False)[0].coefficients
    return replace(best, coefficients=coefficients)


def _mean(values: np.ndarray, rows: NoiseRows) -> float:
    """Return the weighted mean over rows."""
    return float(np.average(values, weights=rows.weights))
