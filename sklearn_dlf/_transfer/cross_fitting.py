"""Cross-fitting: what an ensemble predicts at rows that it was not fitted to.

Clones of an unfitted ensemble are fitted to all folds but one, and evaluated at the fold that was
left out [Chernozhukov2018]_. So the residuals of y are known for an ensemble of any kind.

References
----------
.. [Chernozhukov2018] Chernozhukov, Chetverikov, Demirer, Duflo, Hansen, Newey, Robins.
   "Double/debiased machine learning for treatment and structural parameters". The Econometrics
   Journal 21, 2018.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing

from .cache import TeacherCache

Moments = tuple[np.ndarray, np.ndarray]


def cross_fit(
    prototype: Any,
    X: Any,
    y: np.ndarray,
    sample_weight: np.ndarray | None,
    is_transformed: bool,
    *,
    cv: Any,
    cache: TeacherCache,
    repeatable: bool,
    verbose: int,
) -> Moments:
    """Return mean and variance of the members (n, n_outputs) of clones that did not see the row.

    Parameters
    ----------
    prototype : estimator
        Unfitted ensemble.
    X : rows as the ensemble takes them
    y, sample_weight : arrays or None
        Values and weights that it is fitted to.
    is_transformed : bool
        Whether members are evaluated in the space of their transformed target.
    cv : int or splitter
        Folds, as scikit-learn takes them.
    cache : TeacherCache
        Fits the clones.
    repeatable : bool
        Whether every random state is determined, so that fits may be kept.
    verbose : int
        Whether to print a line for each fold.

    Raises
    ------
    ValueError
        If the folds do not hold every row exactly once.
    """
    splitter = check_cv(cv, y, classifier=False)
    try:
        folds = list(splitter.split(X, y))
    except ValueError as error:
        if "groups" not in str(error):
            raise
        raise ValueError(
            f"cv={cv} needs groups of rows, which fit does not take; give its folds: "
            "cv=list(cv.split(X, y, groups))."
        ) from error
    tested = np.concatenate([test for _, test in folds])
    if not np.array_equal(np.sort(tested), np.arange(len(y))):
        raise ValueError(
            f"cv must leave out each of the {len(y)} rows exactly once; got {len(folds)} folds "
            f"with {len(tested)} rows left out in all. Use KFold, for example; for groups, give "
            "the folds themselves: list(GroupKFold().split(X, y, groups))."
        )
    mean, variance = np.empty((2, len(y), y.reshape(len(y), -1).shape[1]))
    for number, (train, test) in enumerate(folds, start=1):
        if verbose:
            print(f"[cross-fitting] fold {number} of {len(folds)}", flush=True)
        weights = None if sample_weight is None else sample_weight[train]
        _, predict = cache.fit(prototype, _safe_indexing(X, train), y[train], weights, repeatable)
        outputs = predict(_safe_indexing(X, test), is_transformed)
        outputs = outputs.reshape(len(test), -1, outputs.shape[-1])
        mean[test], variance[test] = outputs.mean(axis=-1), outputs.var(axis=-1, ddof=1)
    return mean, variance
