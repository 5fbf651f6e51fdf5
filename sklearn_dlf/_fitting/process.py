"""The last step of a fit: what members that are held out say of factors and noise.

The student's marginal distribution at each row stays as it is. What changes is how the rows belong
together: which share of each factor is common to all rows, and how near rows are correlated.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh
from sklearn.neighbors import NearestNeighbors

from .._latent.full import cross_product
from .._latent.process import N_ROWS, Process, estimate_process
from .._network.students import StudentNetwork
from .._transfer.contrasts import Contrasts

# Members are compared at rows where their variance is at least this share of its mean. Where all
# but one or two trees agree, a correlation is not known.
LEAST_VARIANCE = 1e-3


def learn_process(
    network: StudentNetwork,
    X: np.ndarray,
    contrasts: Contrasts,
    random_state: np.random.RandomState,
) -> Process:
    """Estimate the process, and set it in a trained network.

    The factors are turned into the directions of largest variance, one after the other.

    Parameters
    ----------
    network : StudentNetwork
        Trained network, whose loadings are turned.
    X : array of shape (m, *row_shape)
        Design points.
    contrasts : Contrasts
        Members' contrasts at them.
    random_state : RandomState instance
        Source of the rows at which members are compared.
    """
    outputs = contrasts.units.spread > 0  # where all members agree, there is nothing to correlate
    points = network.evaluate_points(X)
    rows = _choose_rows(points, contrasts, outputs, random_state)
    some, near = contrasts.residuals_at(rows)[:, outputs], points[rows].astype(np.float64)
    process = estimate_process(contrasts.residuals, some, near, network.q)
    loadings = network.evaluate(X).loadings
    root = np.sqrt(contrasts.weights)[:, None, None]
    loadings = (loadings * root).reshape(-1, network.q)
    variance, directions = eigh(cross_product(loadings, loadings))
    variance, directions = variance[::-1].copy(), directions[:, ::-1].copy()
    network.transform_loadings(directions)
    if network.mixing is not None:
        # The closed form is that of full loadings. Its mean share holds for separable factors too.
        weights = np.maximum(variance, 0.0) + np.finfo(np.float64).tiny
        share = np.average(process.factor_shares, weights=weights)
        process = process._replace(factor_shares=np.full(network.q, share))
    network.set_process(process)
    return process


def _choose_rows(X, contrasts, outputs, random_state):
    """Return some rows at which members differ, and the nearest neighbour of each."""
    if not outputs.any():
        return np.arange(0)
    variance = contrasts.variance[:, outputs]
    differ = variance.min(axis=1) > LEAST_VARIANCE * variance.mean()
    rows = np.flatnonzero(differ & (contrasts.weights > 0))
    if len(rows) <= N_ROWS:
        return rows
    first = random_state.choice(rows, N_ROWS // 2, replace=False)
    others = np.setdiff1d(rows, first)
    if len(others) > 2**14:
        others = random_state.choice(others, 2**14, replace=False)
    search = NearestNeighbors(n_neighbors=1).fit(X[others])
    return np.union1d(first, others[search.kneighbors(X[first], return_distance=False)[:, 0]])
