"""Other methods that predict a mean and an interval, fitted to rows and y.

Each function returns the fitted model, and a function that predicts at rows. The packages are those
of the extra ``bench``, and laplace-torch. A package that is not installed raises `ImportError`.
"""

from __future__ import annotations

import importlib

import numpy as np
import torch
from sklearn.ensemble import RandomForestRegressor
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_dlf._network.bodies import make_mlp

# Trees of forests, hidden layers of networks, probability of intervals. All are choices.
N_TREES, HIDDEN, LEVEL = 100, (100, 100), 0.9


def conformal_forest(X, y):
    """Split conformal prediction around a forest (mapie)."""
    mapie = importlib.import_module("mapie.regression")
    half = len(X) // 2
    forest = RandomForestRegressor(N_TREES, random_state=0)
    model = mapie.SplitConformalRegressor(forest, confidence_level=LEVEL, prefit=False)
    model.fit(X[:half], y[:half]).conformalize(X[half:], y[half:])
    return model, lambda rows: model.predict_interval(rows)


def boosted_normal(X, y, seed=0):
    """Boosted parameters of a normal distribution (ngboost)."""
    model = importlib.import_module("ngboost").NGBRegressor(verbose=False, random_state=seed)
    model.fit(X, y)

    def predict(rows):
        distribution = model.pred_dist(rows)
        return distribution.mean(), distribution.interval(LEVEL)

    return model, predict


def quantile_forest(X, y, seed=0):
    """Forest that keeps the values in its leaves (quantile-forest)."""
    package = importlib.import_module("quantile_forest")
    model = package.RandomForestQuantileRegressor(N_TREES, random_state=seed).fit(X, y)
    tail = (1 - LEVEL) / 2
    return model, lambda rows: model.predict(rows, [tail, 0.5, 1 - tail])


def laplace_network(X, y):
    """Laplace approximation of a network's last layer (laplace-torch)."""
    laplace = importlib.import_module("laplace")
    torch.manual_seed(0)
    scaler = StandardScaler().fit(X)
    network = nn.Sequential(make_mlp(X.shape[1], HIDDEN, "relu"), nn.Linear(HIDDEN[-1], 1))
    rows = torch.from_numpy(scaler.transform(X).astype(np.float32))
    values = torch.from_numpy(y[:, None].astype(np.float32))
    batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(rows, values), 128)
    optimizer = torch.optim.Adam(network.parameters())
    for batch, target in batches:
        optimizer.zero_grad()
        nn.functional.mse_loss(network(batch), target).backward()
        optimizer.step()
    model = laplace.Laplace(network, "regression", "last_layer", "full")
    model.fit(batches)

    def predict(rows):
        mean, variance = model(torch.from_numpy(scaler.transform(rows).astype(np.float32)))
        std = (variance[..., 0] + model.sigma_noise**2).sqrt()
        return mean, mean - 1.645 * std, mean + 1.645 * std

    return model, predict


ALTERNATIVES = {
    "mapie": conformal_forest,
    "ngboost": boosted_normal,
    "quantile-forest": quantile_forest,
    "laplace-torch": laplace_network,
}
