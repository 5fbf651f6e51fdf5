"""How well members that record nothing of their rows should fit y at the rows of their own fit.

Linear models are fitted again, which is cheap and respects their regularisation. Networks of
scikit-learn have kept their training loss.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import cross_val_predict
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ..ensembles._fitted_ensemble import without_wrapper
from ..ensembles._member_models import kind_of

# Fewer rows say too little of what members of such rows should reach.
MIN_ROWS = 50

# Rows of the new fits at most, taken at equal distances. The penalty of a linear model is set
# against the sum of losses, so that fewer rows regularise more; 5,000 rows are seldom too few.
MAX_ROWS = 5_000

# Folds of the new fits. They are every fifth row, so that no draw is needed and sorted labels do
# no harm.
N_FOLDS = 5

# Share of a new fit's saving that members should reach. The new fit is judged at held-out rows; the
# members may have seen these rows, but some were fitted to bootstrap samples.
REFITTED_SHARE = 0.9

# Share of the saving that a network recorded in training. At rows that it did not see, which are a
# third of a bootstrap sample, it saves less, and of pure noise nothing: it is expected to save no
# more there than a linear model of standardised rows.
RECORDED_SHARE = 0.8

# Keeps quotients finite.
TINY = np.finfo(np.float64).tiny

# Probabilities below this are lifted to it in log losses.
FLOOR = 1e-8


def least_skill(ensemble: Any, X: np.ndarray, y: np.ndarray, kind: str) -> float | None:
    """Return the share of a constant's loss that members should save at least; None if not known.

    Parameters
    ----------
    ensemble : fitted ensemble
        Of linear members only the first is fitted again.
    X : array of shape (n_samples, n_features)
        Rows as the ensemble takes them.
    y : array of shape (n_samples,) or (n_samples, n_outputs)
        Values, or labels.
    kind : {"regressor", "classifier"}
        The loss is the squared error, or the log loss.
    """
    members = _members(ensemble)
    if not members or kind_of(members[0]) != kind or y.ndim != 1 or len(y) < MIN_ROWS:
        return None
    member = members[0]
    y = np.unique(y, return_inverse=True)[1] if kind == "classifier" else y
    is_network = isinstance(member, MLPRegressor | MLPClassifier)
    step = max(1, len(y) // MAX_ROWS)
    X, y = X[::step], y[::step]
    if is_network and getattr(member, "loss", "") in ("squared_error", "log_loss", ""):
        half = 2.0 if kind == "regressor" else 1.0  # its squared error is halved
        loss = np.median([getattr(network, "loss_", np.inf) for network in members])
        recorded = 1 - half * loss / max(constant_loss(y, kind), TINY)
        linear = Ridge() if kind == "regressor" else LogisticRegression()
        skill = _refitted_skill(make_pipeline(StandardScaler(), linear), X, y, kind)
        return None if skill is None else RECORDED_SHARE * min(recorded, skill)
    if hasattr(member, "coef_") and hasattr(member, "intercept_"):
        skill = _refitted_skill(member, X, y, kind)
        return None if skill is None else REFITTED_SHARE * skill
    return None


def _members(ensemble: Any) -> list:
    """Return the models of a list, or of bagging; others take their rows in another form."""
    ensemble = without_wrapper(ensemble)
    if isinstance(ensemble, list | tuple):
        return list(ensemble)
    members = getattr(ensemble, "estimators_", None)
    return members if isinstance(members, list) else []


def constant_loss(y: np.ndarray, kind: str) -> float:
    """Return the mean loss of the best constant: the variance of y (n,), or the entropy."""
    if kind == "regressor":
        return float(y.var())
    shares = np.bincount(y) / len(y)
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())


def _refitted_skill(member: Any, X: np.ndarray, y: np.ndarray, kind: str) -> float | None:
    """Fit a model in folds; return a lower limit of the share of a constant's loss it saves."""
    method = "predict" if kind == "regressor" else "predict_proba"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of convergence, which are no news of the teacher
        try:
            predicted = cross_val_predict(clone(member), X, y, cv=_folds(len(y)), method=method)
        except (AttributeError, TypeError, ValueError):  # too few rows of a class, NaN, ...
            return None
    if kind == "regressor":
        losses = (y - np.reshape(predicted, y.shape)) ** 2
    else:
        losses = -np.log(np.maximum(predicted[np.arange(len(y)), y], FLOOR))
    # Two standard errors above: few rows say little of what members should reach.
    loss = losses.mean() + 2 * losses.std() / np.sqrt(len(y))
    return float(1 - loss / max(constant_loss(y, kind), TINY))


def _folds(n_rows: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return training and test rows of folds that take every fifth row."""
    fold = np.arange(n_rows) % N_FOLDS
    return [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(N_FOLDS)]


def linear_predictions(X: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return predictions of targets (n, c) by ridge regression of the other folds.

    X are standardised rows (n, d). Its penalty is that of one row.
    """
    return cross_val_predict(Ridge(alpha=1.0), X, targets, cv=_folds(len(X))).reshape(targets.shape)
