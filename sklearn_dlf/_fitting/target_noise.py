"""The noise of y around a student's members, fitted to residuals that members have not seen."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import nnls

from .._predictive.target_noise import TargetNoise
from .._predictive.variance_functions import (
    Factor,
    VarianceFunction,
    make_piecewise_linear,
    noise_columns,
)
from .._transfer.residuals import MemberResiduals
from .._transfer.transfer_set import TransferSet
from .._utils.robust_means import trimmed_mean
from .._utils.seeding import MAX_SEED
from .noise_correlation import noise_correlation
from .noise_model import (
    MIN_ROWS,
    SHAPES,
    SHARE_ERRORS,
    NoiseModel,
    NoiseRows,
    fit_constant,
    fit_dependent,
    fit_skewness,
)

# Rows that the noise is fitted to, at most, chosen at random. The standard error of a variance that
# so many residuals tell is below one percent.
MAX_ROWS = 2**15

# Calibration rows are left out where members differ more than at this share of the rows of `fit`.
LIKE_DATA = 0.99


class ResidualRows(NamedTuple):
    """Rows of `fit` whose residuals show the noise of y.

    Attributes
    ----------
    rows : array of shape (n, *row_shape)
        Standardised rows, or raw ones.
    X : array of shape (n, n_features)
        Points that stand for the rows; see `StudentMembers.points`.
    are_unseen : bool
        Whether members did not see these rows. Otherwise every member may have seen all of them.
    weights : array of shape (n,)
        Weights of mean one.
    squares, mean : arrays of shape (n, n_outputs)
        Squared residuals, as large as at new rows, and the mean, of members that did not see the
        row.
    is_above : bool array of shape (n, n_outputs)
        Whether y is above this mean.
    spread : array of shape (n, n_outputs)
        Variance of these members, times the ratio of the student's to the ensemble's at new rows:
        the student's will stand for it there. It is shrunk to what is typical.
    own_share : float
        Share of the variance of a row's own members in the shrunk one, on average over rows.
    typical_spread : array of shape (n_outputs,)
        What the spread is shrunk to.
    excess : array of shape (n, n_outputs)
        Variance of the mean over these members beyond that of the mean over all.
    least_share : float
        Smallest share of the members' variance that counts for y: that of the mean over all of
        them, if they are independent. One if every member may have seen the rows.
    """

    rows: np.ndarray
    X: np.ndarray
    are_unseen: bool
    weights: np.ndarray
    squares: np.ndarray
    mean: np.ndarray
    is_above: np.ndarray
    spread: np.ndarray
    own_share: float
    typical_spread: np.ndarray
    excess: np.ndarray
    least_share: float

    def of_output(self, output: int, features: np.ndarray, offset: np.ndarray) -> NoiseRows:
        """Return what the noise of one output is fitted to."""
        spread = self.spread[:, output]
        return NoiseRows(
            self.squares[:, output],
            self.is_above[:, output],
            spread if self.are_unseen else np.zeros_like(spread),
            self.excess[:, output],
            self.weights,
            features,
            offset,
        )


def residual_rows(
    members: Any,
    transfer_set: TransferSet,
    residuals: MemberResiduals,
    random_state: np.random.RandomState,
) -> ResidualRows:
    """Return the rows that no member, or the fewest members, saw, or some of very many.

    ``members`` are those of the trained student, with moments. Rows that every member saw are used
    only where there are no others.
    """
    rows = residuals.shown
    if np.count_nonzero(rows) > MAX_ROWS:
        chosen = random_state.choice(np.flatnonzero(rows), MAX_ROWS, replace=False)
        rows = np.zeros_like(rows)
        rows[chosen] = True
    are_unseen = bool(residuals.is_unseen[rows].any())
    X = transfer_set.X[: len(rows)]
    X = X if rows.all() else X[rows]  # a copy of all images would be large
    if members.network.takes_points:
        X = X.astype(np.float64)
    weights = residuals.weights[rows] / residuals.weights[rows].mean()
    variance = residuals.variance()[rows]
    if len(residuals.calibration_mean):
        at, are_like_data = _at_calibration_rows(members, transfer_set, residuals)
        ratio = _variance_ratio(at.variance, residuals.calibration_variance, are_like_data)
    else:
        of_outputs = np.broadcast_to(weights[:, None], variance.shape)
        ratio = _variance_ratio(members.moments(X).variance, variance, of_outputs)
    typical = residuals.typical_variance()
    return ResidualRows(
        X,
        members.points(X),
        are_unseen,
        weights,
        residuals.squares()[rows],
        residuals.unseen_mean[rows],
        residuals.residuals[rows] > 0,
        ratio * variance,
        float(np.average(residuals.own_share()[rows], weights=weights)),
        np.zeros_like(ratio) if typical is None else ratio * typical,
        residuals.excess[rows, None] * variance,
        1 / transfer_set.contrasts.shape[2] if are_unseen else 1.0,
    )


def _at_calibration_rows(
    members: Any, transfer_set: TransferSet, residuals: MemberResiduals
) -> tuple[Any, np.ndarray]:
    """Return moments at rows from which the student has not learnt, and weights (n, n_outputs).

    Those at which the ensemble's members differ more than at nearly all rows of `fit` have no
    weight, up to a half: they were made, and new rows are not like them.
    """
    spread = residuals.calibration_variance
    limit = np.quantile(residuals.variance(), LIKE_DATA, axis=0)
    are_like_data = spread <= np.maximum(limit, np.median(spread, axis=0))
    moments = members.moments(transfer_set.X[-len(spread) :])
    return moments, are_like_data.astype(np.float64)


def _variance_ratio(own: np.ndarray, theirs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the ratio (n_outputs,) of mean variances, without the largest ones.

    All arguments are of shape (n, n_outputs).
    """
    ratio = np.ones(own.shape[1])
    for output, weight in enumerate(weights.T):
        parts = np.stack([own[:, output], theirs[:, output]], axis=1)
        trimmed = trimmed_mean(parts, weight)
        mean, other = trimmed if (trimmed > 0).all() else np.average(parts, axis=0, weights=weight)
        ratio[output] = mean / other if other > 0 else 1.0
    return ratio


def fit_target_noise(
    members: Any,
    transfer_set: TransferSet,
    *,
    kind: str,
    random_state: np.random.RandomState,
    spread_has_tails: bool = True,
) -> TargetNoise:
    """Fit the noise of every output of y around a student's members.

    Parameters
    ----------
    members : StudentMembers
        Members of the trained student, with moments.
    transfer_set : TransferSet
        What it has learnt from, with MemberResiduals as the targets.
    kind : {"auto", "input", "constant"}
        Whether the noise depends on the row. "auto" chooses by held-out likelihood, and takes a
        constant where all rows were seen by all members.
    random_state : RandomState instance
        Source of the rows, if there are very many, and of the folds.
    spread_has_tails : bool, default=True
        Whether the members' variance may have the tails of the noise. It has them if they make
        residuals likelier, by more than the standard error of the gain.
    """
    residuals = transfer_set.targets.without_bias(transfer_set.transformation is not None)
    rows = residual_rows(members, transfer_set, residuals, random_state)
    may_depend = kind == "input" or (kind == "auto" and rows.are_unseen)
    may_depend = may_depend and len(rows.X) >= MIN_ROWS
    encodings, parts = [], []
    for output in range(rows.squares.shape[1]):
        columns = noise_columns(rows.X, rows.mean[:, output], rows.spread[:, output])
        encodings.append(make_piecewise_linear(columns))
        parts.append(rows.of_output(output, encodings[-1](columns), np.zeros(len(columns))))
    seed = random_state.randint(MAX_SEED)

    def fit(has_tails):
        state = np.random.RandomState(seed)
        models = [fit_constant(part, rows.least_share, has_tails) for part in parts]
        if not may_depend:
            return [fit_skewness(model, part) for model, part in zip(models, parts, strict=True)]
        share_errors = 0.0 if transfer_set.is_encoded else SHARE_ERRORS
        return [
            fit_dependent(
                part, model, rows.least_share, state, kind == "input", share_errors=share_errors
            )
            for part, model in zip(parts, models, strict=True)
        ]

    models = fit(False)
    if rows.are_unseen and spread_has_tails:  # seen rows have residuals without the spread
        models = likelier(fit(True), models, parts)
    functions: list[Factor | None] = []
    for output, (model, encoding) in enumerate(zip(models, encodings, strict=True)):
        shrinkage = rows.own_share, float(rows.typical_spread[output])
        function = VarianceFunction(encoding, model.coefficients, *shrinkage)
        functions.append(function if model.coefficients.any() else None)
    misfit = squared_misfit(members, transfer_set)
    noise = join_outputs(models, functions, misfit, residuals.bias)
    if not rows.are_unseen:
        return noise.with_skewness(1.0)
    return noise.with_correlation(noise_correlation(members, noise, rows))


def likelier(
    models: list[NoiseModel], simpler: list[NoiseModel], parts: list[NoiseRows]
) -> list[NoiseModel]:
    """Return models of all outputs if rows are likelier by more than a standard error, or simpler.

    ``parts`` are the rows of each output.
    """
    gains = np.sum(
        [
            part.weights * (one.log_likelihoods(part) - other.log_likelihoods(part))
            for part, one, other in zip(parts, models, simpler, strict=True)
        ],
        axis=0,
    )
    return models if gains.mean() > gains.std() / np.sqrt(len(gains)) else simpler


def join_outputs(
    models: list[NoiseModel],
    functions: list[Factor | None],
    misfit: tuple[np.ndarray, np.ndarray],
    bias: ArrayLike = 0.0,
) -> TargetNoise:
    """Return the noise of all outputs from the model of each."""
    shape = np.exp([model.log_shape for model in models])
    level = np.exp([model.log_level for model in models])
    is_normal = shape > 0.99 * SHAPES[1]
    return TargetNoise(
        np.where(is_normal, np.inf, shape),
        np.where(is_normal, level, shape * level),
        [model.share for model in models],
        *misfit,
        functions,
        spread_has_tails=all(model.spread_has_tails for model in models),
        skewness=[model.skewness for model in models],
        bias=bias,
    )


def squared_misfit(members: Any, transfer_set: TransferSet) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean squared error of the student's mean against the ensemble's.

    It has two parts, each (n_outputs,): a constant, and a multiple of the members' variance. A
    student misses the mean of rough members by more where they differ more.

    Errors are those at calibration rows that are like data; without them, at the design points.
    """
    contrasts, residuals = transfer_set.contrasts, transfer_set.targets
    center, scale, _ = contrasts.units
    if residuals is None or not len(residuals.calibration_mean):
        moments = members.moments(transfer_set.design)
        error = moments.mean - (center + scale * contrasts.mean)
        return _split_misfit(error**2, moments.variance, contrasts.weights[:, None])
    moments, are_like_data = _at_calibration_rows(members, transfer_set, residuals)
    error = moments.mean - residuals.calibration_mean
    return _split_misfit(error**2, moments.variance, are_like_data)


def _split_misfit(
    squares: np.ndarray, variance: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return a constant and a multiple of the variance (n, n_outputs) that sum to the squares.

    They are fitted by least squares without negative parts. Squares have a standard deviation of
    about their mean, so that rows are weighted by a rough one. Both are scaled to the mean square.
    """
    constant, multiple = np.zeros((2, squares.shape[1]))
    weights = np.broadcast_to(weights, squares.shape)
    mean, spread = (np.average(each, axis=0, weights=weights) for each in (squares, variance))
    for output in np.flatnonzero(mean > 0):
        typical = variance[:, output] + spread[output]
        if not typical.all():
            constant[output] = mean[output]
            continue
        design = np.column_stack([np.ones(len(variance)), variance[:, output]])
        root = np.sqrt(weights[:, output]) / typical
        parts, _ = nnls(design * root[:, None], squares[:, output] * root)
        total = parts[0] + parts[1] * spread[output]
        parts = parts * mean[output] / total if total > 0 else (mean[output], 0.0)
        constant[output], multiple[output] = parts
    return constant, multiple
