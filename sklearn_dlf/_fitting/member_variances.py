"""Noise of y that members bring: the variance that each predicts is distilled.

The mean over members of this variance is learnt as a function of the row, by a small network, at
all design points. How much members differ in it is kept too: the ratio of a member's variance to
the mean follows the inverse gamma variable of `TargetNoise`. No y is needed. Where y is given at
rows that members have not seen, it corrects the level of the variance and its tails.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.stats import chi2, gamma
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from .._predictive.target_noise import TargetNoise
from .._predictive.variance_functions import Factor, NetworkVariance
from .._transfer.transfer_set import TransferSet
from .._utils.warning import warn_user
from .noise_model import SHAPES, NoiseModel, fit_constant, fit_skewness
from .target_noise import join_outputs, residual_rows, squared_misfit

# Layers of the network, and epochs of its training; it has a few kilobytes.
LAYERS, MAX_EPOCHS = (32, 32), 200

# Rows at which members are compared.
MAX_ROWS = 2_000

# The members' variance of y is compared with squared errors of so many rows at least. A ratio of
# three is more than members err by that were trained to tell it. A choice.
MIN_COMPARED, MAX_RATIO = 30, 3.0

# A logarithm or a standard deviation is suspected if squared errors of single members are above the
# first multiple of their variance, and those of their mean above the second multiple of variance
# and disagreement together. Variances of single members may be too small where the sum is right.
MAX_OWN_RATIO, LEAST_RATIO = 10.0, 1.5


def distil_target_noise(
    members: Any, transfer_set: TransferSet, random_state: np.random.RandomState
) -> TargetNoise:
    """Distil the members' own variances of y.

    Parameters
    ----------
    members : StudentMembers
        Members of the trained student, with moments.
    transfer_set : TransferSet
        What it has learnt from, with variances of members.
    random_state : RandomState instance
        Source of the network's start and batches.
    """
    variances = transfer_set.variances
    assert variances is not None
    residuals = transfer_set.targets
    rows = None
    if residuals is not None:
        rows = residual_rows(members, transfer_set, residuals, random_state)
    X = members.points(transfer_set.design)
    chosen = np.flatnonzero(transfer_set.contrasts.weights > 0)
    models: list[NoiseModel] = []
    functions: list[Factor | None] = []
    for output in range(variances.shape[1]):
        mean = variances[:, output].mean(axis=-1)
        function = _learn_variance(X[chosen], np.log(mean[chosen]), random_state)
        functions.append(function)
        if rows is not None and rows.are_unseen:
            offset = np.log(function(rows.X, rows.mean[:, output], rows.spread[:, output]))
            data = rows.of_output(output, np.empty((len(offset), 0)), offset)
            model = fit_constant(data, rows.least_share, spread_has_tails=False)
            models.append(fit_skewness(model, data))
            continue
        compared = chosen
        if len(compared) > MAX_ROWS:
            compared = random_state.choice(compared, MAX_ROWS, replace=False)
        models.append(_model_of_ratios(variances[compared, output] / mean[compared, None]))
    return join_outputs(models, functions, squared_misfit(members, transfer_set))


def warn_of_other_variance(transfer_set: TransferSet) -> None:
    """Warn if y differs from the members by far more than their own variance says.

    It may differ by far less: members may have been fitted to these rows. What members disagree
    about may be as much as a logarithm of their variance falls short of it. So single members are
    compared with y, too, if a logarithm or a standard deviation would be right.
    """
    residuals, variances = transfer_set.targets, transfer_set.variances
    assert variances is not None
    rows = np.flatnonzero(residuals.weights > 0)
    if len(rows) < MIN_COMPARED:
        return
    own = variances[rows]
    errors = (residuals.y - residuals.mean)[rows]
    total = own.mean(axis=-1) + residuals.variance()[rows]
    typical = _typical_ratio(errors**2, total, axis=0).max()
    meant = ""
    if typical <= LEAST_RATIO:
        return
    if typical <= MAX_RATIO:
        spread = transfer_set.contrasts.units.spread[:, None]
        squares = (errors[..., None] - spread * transfer_set.contrasts.residuals_at(rows)) ** 2
        of_members = _typical_ratio(squares, own, axis=(0, 2))
        output = int(of_members.argmax())
        typical = of_members[output]
        if typical <= MAX_OWN_RATIO:
            return
        meant = _meant_by(squares[:, output], own[:, output])
        if not meant:
            return
    warn_user(
        f"The squared errors of the members are {typical:.2g} times as large as the variance "
        "of y that they predict. The second column of outputs='mean_variance' is the variance, in "
        f"squared units of y: is it {meant or 'a standard deviation, or a logarithm'}? If not, the "
        "members are as wrong about their errors, and so is the student: give no variance, but y "
        "at rows that they have not seen."
    )


def _meant_by(squares: np.ndarray, given: np.ndarray) -> str:
    """Return what single members predict if it is no variance, or "".

    Arguments are squared errors and what members predict, (n, n_members).
    """
    with np.errstate(over="ignore"):
        meant = {"a logarithm": np.exp(given), "a standard deviation": given**2}
    off = {name: abs(np.log(_typical_ratio(squares, each))) for name, each in meant.items()}
    nearest = min(off, key=off.__getitem__)
    return nearest if off[nearest] <= np.log(MAX_RATIO) else ""


def _typical_ratio(squares: np.ndarray, variance: np.ndarray, axis: Any = None) -> Any:
    """Return the median of squared errors over their variance, over that of normal errors."""
    ratios = squares / np.maximum(variance, np.finfo(np.float64).tiny)
    return np.median(ratios, axis=axis) / chi2.median(1)


def _learn_variance(
    X: np.ndarray, logarithm: np.ndarray, random_state: np.random.RandomState
) -> NetworkVariance:
    """Return a network that has learnt the logarithm of a variance (n,) at rows."""
    center, unit = logarithm.mean(), logarithm.std() or 1.0
    network = MLPRegressor(
        hidden_layer_sizes=LAYERS,
        max_iter=MAX_EPOCHS,
        early_stopping=len(X) >= 100,
        n_iter_no_change=20,
        random_state=random_state,
    )
    with warnings.catch_warnings():
        # The last epochs change little; a user could not do anything about it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(X.astype(np.float64), (logarithm - center) / unit)
    return NetworkVariance(network, center, unit, logarithm.min(), logarithm.max())


def _model_of_ratios(ratios: np.ndarray) -> NoiseModel:
    """Return the model under which ``W`` follows the ratios of members' variances to their mean."""
    shape = SHAPES[1]
    if ratios.std() > np.sqrt(1 / (SHAPES[1] - 2)):  # the deviation at the largest shape
        shape = np.clip(gamma.fit(1 / ratios.ravel(), floc=0)[0], 1 + 1 / SHAPES[1], SHAPES[1])
    # The level is such that the mean of W is one; without tails W is one.
    level = 1.0 if shape == SHAPES[1] else (shape - 1) / shape
    return NoiseModel(np.log(level), np.log(shape), 1.0, np.empty(0), spread_has_tails=False)
