"""Draws of a posterior: one call over all rows, so that a draw is one function."""

from __future__ import annotations

from abc import ABC
from copy import copy

import numpy as np
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import WhiteKernel

from ._member_models import as_outputs, kind_of
from ._registry import Members, register_ensemble

#: Draws from a posterior where nobody said how many.
_N_DRAWS = 50


class Posterior(ABC):  # noqa: B024 (recognised by its methods, not a base to inherit from)
    """Whatever has `sample_predictions` or `sample_y` (X, n_samples=..., random_state=...)."""

    @classmethod
    def __subclasshook__(cls, subclass):
        sampling = ("sample_predictions", "sample_y")
        return any(callable(getattr(subclass, name, None)) for name in sampling)


def _draws(model, sample, n_members=_N_DRAWS, random_state=0) -> Members:
    """Describe draws (n, M), (n, k, M) or (n, K, M) that `sample` makes of all rows at once."""

    def predict(X):
        draws = np.asarray(sample(X, n_samples=n_members, random_state=random_state))
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


def _posterior(model) -> Members:
    """Prefer draws of the function to draws of `y`, which hold its noise too."""
    sample = getattr(model, "sample_predictions", None) or model.sample_y
    return _draws(model, sample)


def _gaussian_process(process) -> Members:
    """Draw functions: `sample_y` adds the noise of a WhiteKernel to every row, so leave it out.

    The kernel enters the posterior mean between rows and training rows, where a WhiteKernel is
    zero anyway, and the prior variance of the rows, which is that of the function without it.
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


def _catboost(model, n_members=None) -> Members:
    """Describe virtual ensembles: the stages of one model that was fitted by Langevin sampling."""
    params = model.get_all_params()
    if not (params.get("posterior_sampling") or params.get("langevin")):
        raise ValueError(
            f"{type(model).__name__} was fitted without posterior_sampling=True, so that its "
            "stages are no draws of a posterior: fit it so, or give a list of fitted models."
        )
    n_possible = model.tree_count_ // 2  # CatBoost wants two trees or more for each
    n_members = min(10, n_possible) if n_members is None else n_members  # 10: CatBoost's default
    if n_members > n_possible:
        raise ValueError(
            f"{model.tree_count_} trees are enough for {n_possible} virtual ensembles, got "
            f"n_members={n_members}."
        )
    is_classifier = kind_of(model) == "classifier"
    # RMSEWithUncertainty returns the variance beside the value.
    n_values = 1 if params["loss_function"] == "RMSEWithUncertainty" else None

    def predict(X):
        raw = model.virtual_ensembles_predict(
            X, prediction_type="VirtEnsembles", virtual_ensembles_count=n_members
        )
        outputs = "logits" if is_classifier else "values"
        return (as_outputs(raw[:, i, :n_values], outputs) for i in range(n_members))

    return Members(
        "classifier" if is_classifier else "regressor",
        n_members,
        predict,
        np.asarray(model.classes_) if is_classifier else None,
        resample=lambda n_members, random_state: _catboost(model, n_members),
    )


register_ensemble(Posterior, _posterior)
register_ensemble(GaussianProcessRegressor, _gaussian_process)
register_ensemble("catboost.core.CatBoostRegressor", _catboost)
register_ensemble("catboost.core.CatBoostClassifier", _catboost)
