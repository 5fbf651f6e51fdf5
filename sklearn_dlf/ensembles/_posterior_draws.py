"""Draws from a posterior as members.

Each draw is evaluated at all rows in one call, so that its values at these rows belong to one
function.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from copy import copy
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import WhiteKernel

from .._utils.numbers import numeric_array
from ._member_models import Outputs, as_outputs, kind_of
from ._members import Members
from ._registry import register_ensemble

#: Default number of draws from a posterior. A choice.
_N_DRAWS = 50


class Posterior(ABC):  # noqa: B024 (recognised by its methods, not a base to inherit from)
    """Any class with `sample_predictions` or `sample_y` (X, n_samples=..., random_state=...)."""

    @classmethod
    def __subclasshook__(cls, subclass: type) -> bool:
        sampling = ("sample_predictions", "sample_y")
        return any(callable(getattr(subclass, name, None)) for name in sampling)


def _draws(
    model: Any,
    sample: Callable[..., Any],
    n_members: int = _N_DRAWS,
    random_state: Any = 0,
) -> Members:
    """Describe the draws (n, M), (n, k, M) or (n, K, M) that `sample` returns for all rows."""

    def predict(X):
        draws = numeric_array(sample(X, n_samples=n_members, random_state=random_state), "Draws")
        if draws.shape[-1] != n_members:
            raise ValueError(
                f"{type(model).__name__} returned draws of shape {draws.shape}, expected the "
                f"{n_members} draws along the last axis."
            )
        return (draws[..., i] for i in range(n_members))

    return Members(
        kind_of(model) or "regressor",
        n_members,
        predict,
        getattr(model, "classes_", None),
        resample=lambda n_members, random_state: _draws(model, sample, n_members, random_state),
    )


def _posterior(model: Any) -> Members:
    """Use draws of the function, or else draws of `y`, which include the noise of y."""
    sample = getattr(model, "sample_predictions", None) or model.sample_y
    return _draws(model, sample)


def _gaussian_process(process: GaussianProcessRegressor) -> Members:
    """Draw functions: from a copy of the process whose WhiteKernels are zero.

    `sample_y` adds the noise of a WhiteKernel to every row. The kernel is used in two places after
    the fit. Between rows and training rows a WhiteKernel is zero anyway. The prior covariance of
    the rows becomes that of the function without noise.
    """
    kernel = clone(process.kernel_)
    parts = {"": kernel, **kernel.get_params()}
    noise_levels = {
        f"{name}__noise_level" if name else "noise_level": 0.0
        for name, part in parts.items()
        if isinstance(part, WhiteKernel)
    }
    noise_free = copy(process)
    noise_free.kernel_ = kernel.set_params(**noise_levels)
    return _draws(process, noise_free.sample_y)


def _catboost(model: Any, n_members: int | None = None) -> Members:
    """Describe virtual ensembles: stages of one model that was fitted by Langevin sampling."""
    params = model.get_all_params()
    if not (params.get("posterior_sampling") or params.get("langevin")):
        raise ValueError(
            f"{type(model).__name__} was fitted without posterior_sampling=True, so that its "
            "stages are not draws from a posterior: fit it with posterior_sampling=True, or pass "
            "a list of fitted models."
        )
    n_possible = model.tree_count_ // 2  # CatBoost requires at least two trees for each member
    n_members = min(10, n_possible) if n_members is None else n_members  # 10: CatBoost's default
    if n_members > n_possible:
        raise ValueError(
            f"{type(model).__name__} has {model.tree_count_} trees, enough for {n_possible} "
            f"virtual ensembles, got n_members={n_members}."
        )
    is_classifier = kind_of(model) == "classifier"
    # RMSEWithUncertainty returns the variance as a second column. It is dropped.
    n_columns = 1 if params["loss_function"] == "RMSEWithUncertainty" else None

    def predict(X):
        raw = model.virtual_ensembles_predict(
            X, prediction_type="VirtEnsembles", virtual_ensembles_count=n_members
        )
        outputs: Outputs = "logits" if is_classifier else "values"
        return (as_outputs(raw[:, i, :n_columns], outputs) for i in range(n_members))

    return Members(
        "classifier" if is_classifier else "regressor",
        n_members,
        predict,
        np.asarray(model.classes_) if is_classifier else None,
        resample=lambda n_members, random_state: _catboost(model, n_members),
        from_logits=is_classifier,
    )


register_ensemble(Posterior, _posterior)
register_ensemble(GaussianProcessRegressor, _gaussian_process)
register_ensemble("catboost.core.CatBoostRegressor", _catboost)
register_ensemble("catboost.core.CatBoostClassifier", _catboost)
