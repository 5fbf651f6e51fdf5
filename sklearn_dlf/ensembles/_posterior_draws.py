"""Draws from a posterior as members.

Draws of a Gaussian process and of a linear model are functions, which are evaluated at any rows.
Other draws are made at all rows in one call, so that values at these rows belong to one function.
"""

from __future__ import annotations

import numbers
from abc import ABC
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from scipy.linalg import eigh
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import ARDRegression, BayesianRidge
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array

from .._utils.numbers import numeric_array
from ._kernel_features import Term, UnknownSpectrumError, sum_of_products
from ._member_models import Outputs, as_outputs, kind_of
from ._members import Members
from ._pathwise import PosteriorPaths, without_noise
from ._registry import register_ensemble

#: Default number of draws from a posterior. A choice: the time of a student's fit grows less than
#: it, and a covariance over a thousand draws has relative errors of about 3 %.
_N_DRAWS = 1000


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


def _gaussian_process(
    process: GaussianProcessRegressor, n_members: int = _N_DRAWS, random_state: Any = 0
) -> Members:
    """Draw functions, without the noise of y that `sample_y` adds to every row.

    They are functions of any rows if their kernel is known and an integer determines them. Other
    draws are those of a copy of the process whose WhiteKernels are zero. The kernel is used in two
    places after the fit. Between rows and training rows a WhiteKernel is zero anyway. The prior
    covariance of the rows becomes that of the function without noise.
    """
    terms = _known_terms(process)
    if terms is None or not isinstance(random_state, numbers.Integral):
        noise_free = copy(process)
        noise_free.kernel_ = without_noise(process.kernel_)
        members = _draws(process, noise_free.sample_y, n_members, random_state)
    else:
        seed = int(random_state)

        def predict(X):
            paths = PosteriorPaths(process, terms, n_members, seed).evaluate(X)
            return (paths[..., i] for i in range(n_members))

        members = Members("regressor", n_members, predict, are_functions=True)
    return replace(members, resample=partial(_gaussian_process, process))


def _known_terms(process: GaussianProcessRegressor) -> list[Term] | None:
    """Return the kernel of a process as a sum of products; None if draws are not known by it.

    A subclass that predicts or draws in another way has draws of its own.
    """
    methods = ("predict", "sample_y")
    if any(
        getattr(type(process), name) is not getattr(GaussianProcessRegressor, name)
        for name in methods
    ):
        return None
    try:
        return sum_of_products(process.kernel_, np.shape(process.X_train_)[1])
    except (UnknownSpectrumError, IndexError):  # rows that are no table have kernels of their own
        return None


def _linear(
    model: BayesianRidge | ARDRegression, n_members: int = _N_DRAWS, random_state: Any = 0
) -> Members:
    """Draw coefficients from their posterior. The intercept follows from them, as in the model.

    `ARDRegression` has a covariance of the coefficients that it has kept; others are zero.
    """
    covariance = np.asarray(model.sigma_, dtype=np.float64)
    is_kept = slice(None)
    if isinstance(model, ARDRegression):
        is_kept = model.lambda_ < model.threshold_lambda
    variances, directions = eigh(covariance) if len(covariance) else (np.empty(0), covariance)
    root = directions * np.sqrt(np.maximum(variances, 0.0))  # below zero by rounding only

    def predict(X):
        rng = check_random_state(random_state)
        deviations = root @ rng.standard_normal((len(root), n_members))
        rows = (check_array(X, dtype=np.float64) - model.X_offset_)[:, is_kept]
        mean = model.predict(X)
        return (mean + rows @ deviations[:, i] for i in range(n_members))

    return Members(
        "regressor",
        n_members,
        predict,
        resample=partial(_linear, model),
        are_functions=isinstance(random_state, numbers.Integral),
    )


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
for _type in (BayesianRidge, ARDRegression):
    register_ensemble(_type, _linear)
register_ensemble("catboost.core.CatBoostRegressor", _catboost)
register_ensemble("catboost.core.CatBoostClassifier", _catboost)
