"""Model of the noise of one output of y, fitted by maximum likelihood of residuals.

The residual of the ensemble's mean at a row is a mixture of normals: its variance is a share of the
members' variance there, plus ``g(x) W`` with an inverse gamma variable ``W``. All are fitted
together, so that the members' spread is not counted twice. The share is below one for members that
have learnt the noise of y, as the trees of a forest have: their mean is better than their spread
says. ``W`` may multiply the spread too, which tells the size of an error only roughly. Whether
``g`` depends on the row, and how much it is shrunk, is chosen by cross-validation. Skewness is
found last, under ``g`` as if each row had been held out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import gammainccinv, logsumexp, ndtr
from sklearn.model_selection import KFold

from .._predictive import two_piece

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

# The share of the members' variance is one, and so is the skewness, unless the likelihood with
# another one is larger by this, in nats: twice that follows a chi-squared distribution of one
# degree of freedom, whose 99 % quantile this is.
LEAST_GAIN = 3.3

# Where a noise may depend on the members' variance too, the gain of a share below one has to be so
# many standard errors, unless members are trees, which learn the noise of y. A smaller gain says
# little of networks: on three sets without any noise, they had shares of 1, 0.05 and 0.05.
SHARE_ERRORS = 2.0

# The logarithm of the skewness lies between these, and its prior is a normal of this standard
# deviation: few residuals hardly tell it.
LOG_SKEWNESS, SKEWNESS_PRIOR = (-1.2, 1.2), 0.3

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
    is_above : bool array of shape (n,)
        Whether y is above the ensemble's mean.
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
    is_above: np.ndarray
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
    spread_has_tails : bool, default=True
        Whether ``W`` multiplies the share of the members' variance too.
    skewness : float, default=1
        Skewness of the distribution of residuals, which is a two-piece one.
    """

    log_level: float
    log_shape: float
    share: float
    coefficients: np.ndarray
    spread_has_tails: bool = True
    skewness: float = 1.0

    def log_likelihoods(self, rows: NoiseRows) -> np.ndarray:
        """Log-likelihood of each row's residual (n,), in nats."""
        return _mixture(self, rows)[0]


def _mixture(model: NoiseModel, rows: NoiseRows) -> tuple[np.ndarray, ...]:
    """Log-likelihoods (n,), and their derivatives (n,) by each quantity at a row.

    The derivatives are by the logarithm of ``g``, by the logarithm of the shape, and by the share.
    """
    shape = np.exp(model.log_shape)
    step = 1e-4  # of the numerical derivative by the logarithm of the shape
    unit = _units(shape)
    unit_slope = (_units(shape * np.exp(step)) - unit) / step
    noise, fixed, scaled = _parts(model, rows)
    spread_unit = unit if model.spread_has_tails else 1.0
    variance = fixed[:, None] + scaled[:, None] * unit
    ratio = rows.squares[:, None] / variance
    log_density = -0.5 * (np.log(2 * np.pi * variance) + ratio) + np.log(PROBABILITIES)
    largest = log_density.max(axis=1)
    density = np.exp(log_density - largest[:, None])
    total = density.sum(axis=1)
    by_variance = density * (0.5 * (ratio - 1) / variance) / total[:, None]
    by_noise = (by_variance @ unit) * noise
    by_shape = (by_variance @ unit_slope) * scaled
    by_share = (by_variance * spread_unit).sum(axis=1) * rows.spread
    return np.log(total) + largest, by_noise, by_shape, by_share


def _units(shape: float) -> np.ndarray:
    """Return values of `W` at the nodes of the quadrature."""
    return shape / gammainccinv(shape, ndtr(SCORES))


def _parts(model: NoiseModel, rows: NoiseRows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the level of the noise, and the variance that `W` leaves and multiplies, (n,)."""
    logarithm = model.log_level + rows.offset + rows.features @ model.coefficients
    center = np.log(_mean_square(rows))
    noise = np.exp(np.clip(logarithm, center - LARGEST_LOGARITHM, center + LARGEST_LOGARITHM))
    spread = model.share * rows.spread
    if model.spread_has_tails:
        return noise, rows.excess, noise + spread
    return noise, rows.excess + spread, noise


def fit_skewness(model: NoiseModel, rows: NoiseRows) -> NoiseModel:
    """Return a symmetric model with the skewness of largest likelihood, or as it is.

    The penalised likelihood has to be larger by `LEAST_GAIN` in all, and the likelihood by a
    standard error in the mean.
    """
    _, fixed, scaled = _parts(model, rows)
    std = np.sqrt(fixed[:, None] + scaled[:, None] * _units(np.exp(model.log_shape)))
    mean_std = std @ PROBABILITIES
    residuals = np.where(rows.is_above, 1, -1) * np.sqrt(rows.squares)

    def log_likelihoods(log_skewness):
        skewness = np.exp(log_skewness)
        center = two_piece.center(skewness) * mean_std
        values, log_factor = two_piece.to_symmetric(residuals - center, skewness)
        log_density = -0.5 * np.square(values[:, None] / std) - np.log(std)
        return logsumexp(log_density, b=PROBABILITIES, axis=1) + log_factor

    def loss(log_skewness):
        penalty = 0.5 * (log_skewness / SKEWNESS_PRIOR) ** 2
        return penalty - len(residuals) * _mean(log_likelihoods(log_skewness), rows)

    best = minimize_scalar(loss, bounds=LOG_SKEWNESS, method="bounded")
    gains = log_likelihoods(best.x) - log_likelihoods(0.0)
    gain, error = _mean_and_error(gains, rows)
    if loss(0.0) - best.fun <= LEAST_GAIN or gain <= error:
        return model
    return replace(model, skewness=float(np.exp(best.x)))


def fit_model(
    rows: NoiseRows, start: NoiseModel, penalty: float | None, least_share: float = 1.0
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
    least_share : float
        Lower bound of the share of the members' variance. At one it is that of `start`.
    """
    n_features = 0 if penalty is None else rows.features.shape[1]
    weight = 0.0 if penalty is None else penalty * len(rows.squares)

    def model_at(theta):
        coefficients = theta[3:] if n_features else np.zeros(rows.features.shape[1])
        return NoiseModel(theta[0], theta[1], theta[2], coefficients, start.spread_has_tails)

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
        (least_share, 1.0) if least_share < 1 else (start.share, start.share),
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


def fit_constant(rows: NoiseRows, least_share: float, spread_has_tails: bool = True) -> NoiseModel:
    """Return the model whose noise does not depend on the row.

    The share of the members' variance is at least ``least_share``; at one it is not fitted.
    """
    level = _largest_level(rows) + np.log(0.5)
    zero = np.zeros(rows.features.shape[1])
    start = NoiseModel(level, np.log(10.0), 1.0, zero, spread_has_tails)
    model, likelihood = fit_model(rows, start, None)
    if least_share < 1:
        start = replace(start, share=max(0.5, least_share))
        other, other_likelihood = fit_model(rows, start, None, least_share)
        if other_likelihood > likelihood + LEAST_GAIN:
            return other
    return model


class _Candidate(NamedTuple):
    """Noise that depends on the row, under the penalty of largest held-out likelihood.

    Attributes
    ----------
    model : NoiseModel
        Level, shape and share, fitted to ``g`` at held-out rows.
    gains : array of shape (n,)
        Gain of each row's log-likelihood over constant noise, in nats.
    penalty : float
        The penalty, per row.
    least_share : float
        Lower bound of the share; one if it was not fitted.
    rows : NoiseRows
        The rows, with ``g`` as if each had been held out.
    """

    model: NoiseModel
    gains: np.ndarray
    penalty: float
    least_share: float
    rows: NoiseRows


def fit_dependent(
    rows: NoiseRows,
    constant: NoiseModel,
    least_share: float,
    random_state: np.random.RandomState,
    required: bool,
    share_errors: float = SHARE_ERRORS,
) -> NoiseModel:
    """Return a model whose noise depends on the row, or ``constant`` if that is as good.

    Unless ``required``, the gain of held-out likelihood has to exceed its standard error. The share
    of the members' variance is fitted anew: under constant noise it is too large if members differ
    more where the noise is larger. At held-out rows, a share below one has to be likelier than one
    by `LEAST_GAIN` and by ``share_errors`` standard errors.
    """
    chosen = rows
    if len(rows.squares) > MAX_ROWS:
        chosen = rows.take(random_state.choice(len(rows.squares), MAX_ROWS, replace=False))
    folds = list(KFold(N_FOLDS, shuffle=True, random_state=random_state).split(chosen.squares))
    base, of_all = constant.log_likelihoods(chosen), replace(constant, share=1.0)
    candidates = []
    if constant.share == 1 or share_errors > 0:
        candidates.append(_choose_penalty(chosen, folds, of_all, 1.0, base))
    if least_share < 1:
        candidates.append(_choose_penalty(chosen, folds, constant, least_share, base))
    best = candidates[-1]
    if len(candidates) > 1:
        gain, error = _mean_and_error(best.gains - candidates[0].gains, chosen)
        if gain <= max(share_errors * error, LEAST_GAIN / len(chosen.squares)):
            best = candidates[0]
    gain, error = _mean_and_error(best.gains, chosen)
    if not required and gain <= error:
        return fit_skewness(constant, rows)
    start = constant if best.least_share < 1 else of_all
    whole, _ = fit_model(rows, start, best.penalty, best.least_share)
    model = fit_skewness(best.model, best.rows)
    return replace(model, coefficients=whole.coefficients)


def _choose_penalty(
    rows: NoiseRows, folds: list, constant: NoiseModel, least_share: float, base: np.ndarray
) -> _Candidate:
    """Return the candidate with the penalty of largest held-out likelihood.

    Gains are those over ``base``, log-likelihoods (n,) of constant noise.

    Level, shape and share are fitted to ``g`` at held-out rows too: at rows that the coefficients
    were fitted to, outliers are explained by ``g``, and tails would be lost.
    """
    parts = [rows.take(train) for train, _ in folds]
    models = [constant] * len(folds)
    best: _Candidate | None = None
    for penalty in PENALTIES:
        models = [
            fit_model(part, model, penalty, least_share)[0]
            for part, model in zip(parts, models, strict=True)
        ]
        offset = np.empty(len(rows.squares))
        for model, (_, test) in zip(models, folds, strict=True):
            offset[test] = rows.features[test] @ model.coefficients
        held_out = rows._replace(offset=offset)
        model, _ = fit_model(held_out, constant, None, least_share)
        gains = model.log_likelihoods(held_out) - base
        if best is not None and _mean(gains, rows) <= _mean(best.gains, rows):
            break
        best = _Candidate(model, gains, penalty, least_share, held_out)
    assert best is not None
    return best


def _mean(values: np.ndarray, rows: NoiseRows) -> float:
    """Return the weighted mean over rows."""
    return float(np.average(values, weights=rows.weights))


def _mean_and_error(values: np.ndarray, rows: NoiseRows) -> tuple[float, float]:
    """Return the weighted mean over rows, and its standard error."""
    mean = _mean(values, rows)
    return mean, float(np.sqrt(_mean((values - mean) ** 2, rows) / len(values)))
