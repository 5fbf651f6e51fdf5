"""Other methods that predict quantiles of y, beside which students' intervals are measured.

Each function takes a `interval_data.Split` and a seed, and returns a function of rows that predicts
the quantiles of `interval_data.levels_of_quantiles`, (n, 7). MAPIE is calibrated on the held-out
rows. NGBoost and quantile-forest are given as they are fitted, and calibrated on these rows too.
"""

from __future__ import annotations

import importlib

import alternatives
import numpy as np
from interval_data import LEVELS, levels_of_quantiles
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor


def boosted_normal(data, seed):
    """NGBoost: boosted parameters of a normal distribution."""
    model, _ = alternatives.boosted_normal(data.X, data.y, seed)
    return lambda X: np.transpose([model.pred_dist(X).ppf(p) for p in levels_of_quantiles()])


def quantile_forest(data, seed):
    """quantile-forest: a forest that keeps the values in its leaves."""
    model, _ = alternatives.quantile_forest(data.X, data.y, seed)
    return lambda X: np.asarray(model.predict(X, list(levels_of_quantiles())))


def conformal_ranks(n_rows):
    """Return the ranks of sorted scores that are the quantiles, as `conformalize` takes them."""
    levels = levels_of_quantiles()
    places = (n_rows + 1) * levels
    ranks = np.where(levels < 0.5, np.floor(places + 1e-9), np.ceil(places - 1e-9))
    return ranks.astype(int) - 1


def calibrated_normal(data, seed):
    """NGBoost, with held-out residuals in units of its standard deviation, as in a student."""
    model, _ = alternatives.boosted_normal(data.X, data.y, seed)

    def center_and_unit(X):
        normal = model.pred_dist(X).params
        return normal["loc"][:, None], normal["scale"][:, None]

    center, unit = center_and_unit(data.X_held_out)
    scores = np.sort((data.y_held_out[:, None] - center) / unit, axis=0)
    quantiles = scores[conformal_ranks(len(scores)), 0]

    def predict(X):
        center, unit = center_and_unit(X)
        return center + unit * quantiles

    return predict


def calibrated_forest(data, seed):
    """quantile-forest, whose quantiles are shifted by quantiles of held-out residuals of each."""
    predict = quantile_forest(data, seed)
    scores = np.sort(data.y_held_out[:, None] - predict(data.X_held_out), axis=0)
    shifts = scores[conformal_ranks(len(scores)), np.arange(scores.shape[1])]
    # Shifts may make neighbouring quantiles cross.
    return lambda X: np.sort(predict(X) + shifts, axis=1)


def split_conformal(data, seed):
    """MAPIE: split conformal prediction around a forest."""
    mapie = importlib.import_module("mapie.regression")
    forest = RandomForestRegressor(100, random_state=seed).fit(data.X, data.y)
    model = mapie.SplitConformalRegressor(forest, confidence_level=list(LEVELS), prefit=True)
    model.conformalize(data.X_held_out, data.y_held_out)

    def predict(X):
        center, ends = model.predict_interval(X)
        return np.column_stack([ends[:, 0, ::-1], center, ends[:, 1]])

    return predict


def conformal_quantiles(data, seed):
    """MAPIE: conformalized quantile regression with gradient boosting."""
    mapie = importlib.import_module("mapie.regression")
    models = []
    for level in LEVELS:
        tail = (1 - level) / 2
        quantiles = [
            HistGradientBoostingRegressor(
                loss="quantile", quantile=q, max_iter=100, random_state=seed
            ).fit(data.X, data.y)
            for q in (tail, 1 - tail, 0.5)
        ]
        model = mapie.ConformalizedQuantileRegressor(quantiles, confidence_level=level, prefit=True)
        models.append(model.conformalize(data.X_held_out, data.y_held_out))

    def predict(X):
        results = [model.predict_interval(X) for model in models]
        low = [ends[:, 0, 0] for _, ends in reversed(results)]
        high = [ends[:, 1, 0] for _, ends in results]
        return np.column_stack([*low, results[0][0], *high])

    return predict


ALTERNATIVES = {
    "NGBoost": boosted_normal,
    "NGBoost, calibrated": calibrated_normal,
    "quantile-forest": quantile_forest,
    "quantile-forest, calibrated": calibrated_forest,
    "MAPIE, split": split_conformal,
    "MAPIE, CQR": conformal_quantiles,
}
