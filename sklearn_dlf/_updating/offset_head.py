"""A linear head of classes with an offset, under a ridge penalty.

Logits are ``offset(x) + features(x) W``. scikit-learn's logistic regression has the same likelihood
and penalty, but no offset.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

# L-BFGS ends where no derivative of the mean loss is larger, in nats, or after so many steps.
TOLERANCE, MAX_STEPS = 1e-6, 300


def fit_head(
    features: np.ndarray,
    offset: np.ndarray,
    labels: np.ndarray,
    std: float,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """Return the most probable coefficients (p, K) under a normal prior.

    Parameters
    ----------
    features : array of shape (n, p)
        Features at rows.
    offset : array of shape (n, K)
        Logits without the head.
    labels : array of shape (n, K)
        One in the column of the label, times the weight of the row, and zero elsewhere.
    std : float
        Standard deviation of each coefficient under the prior, positive.
    start : array of shape (p, K) or None
        Where the search begins; None for zero. There is one maximum.
    """
    shape = features.shape[1], labels.shape[1]
    weights = labels.sum(axis=1, keepdims=True)
    total = weights.sum()
    penalty = 1 / (std**2 * total)

    def loss(flat):
        head = flat.reshape(shape)
        logarithms = log_softmax(offset + features @ head, axis=1)
        slopes = weights * np.exp(logarithms) - labels
        gradient = features.T @ slopes / total + penalty * head
        value = -np.sum(labels * logarithms) / total + 0.5 * penalty * flat @ flat
        return value, gradient.ravel()

    first = np.zeros(shape) if start is None else start
    options = {"maxiter": MAX_STEPS, "gtol": TOLERANCE, "ftol": 0.0}
    found = minimize(loss, first.ravel(), jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(shape)
