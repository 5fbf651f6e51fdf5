"""Hydra: one body, and a linear head for each member."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from .._estimators.base import BODY_CONSTRAINTS
from .._fitting.student_bodies import make_student_body
from .._utils.parameters import store_parameters
from ._base import MemberClassifier, MemberRegressor, MemberStudent
from ._documentation import share_documentation
from ._networks import HydraNetwork


class BaseHydra(MemberStudent):
    """One body, and a head for each member."""

    _parameter_constraints: ClassVar[dict] = {
        **MemberStudent._parameter_constraints,
        **BODY_CONSTRAINTS,
    }

    def __init__(
        self,
        ensemble: Any = None,
        *,
        preprocessor: Any = "auto",
        augment: str | Callable | None = "auto",
        n_augmented: int | Literal["auto"] = "auto",
        out_of_bag: Literal["widen", "match"] | None = "widen",
        hidden_layer_sizes: int | Sequence[int] = (100, 100),
        activation: Literal["auto", "swish", "relu", "gelu", "silu", "tanh"] = "auto",
        body: Literal["auto", "mlp", "piecewise_linear"] | Callable | None = "auto",
        max_iter: int = 40,
        n_epochs: int | Literal["auto"] = "auto",
        batch_size: int | Literal["auto"] = "auto",
        lr: float = 0.01,
        body_lr: float = 1.0,
        optimizer: str | Callable = "adam",
        weight_decay: float = 0.0,
        device: str | torch.device = "cpu",
        callbacks: list | None = None,
        memory: Any = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ):
        store_parameters(self, locals())

    def _make_network(self, transfer_set, generator):
        body = make_student_body(self, transfer_set, generator)
        _, n_outputs, n_members = transfer_set.contrasts.shape
        return HydraNetwork(body, transfer_set.X, n_outputs, n_members, generator)


@share_documentation
class HydraRegressor(MemberRegressor, BaseHydra):
    """Hydra: one body with a linear head for each member of the ensemble.

    Each head is trained on its own member [1]_. `sample_predictions` picks heads with replacement.

    Parameters
    ----------
    {ensemble}

    {automatic_activation}

    body : {{"auto", "mlp", "piecewise_linear"}}, callable or None, default="auto"
        What maps a row to the features on which the heads are put, as in
        :class:`~sklearn_dlf.DLFRegressor`: an encoding of the columns for trees. With a callable,
        `hidden_layer_sizes` and `activation` are ignored, and training does not end by L-BFGS.

    {training}

    Attributes
    ----------
    {attributes}

    {regressor_attributes}

    See Also
    --------
    sklearn_dlf.DLFRegressor : A latent factor model in place of the heads.

    References
    ----------
    .. [1] Tran, Veeling, Roth, Swiatkowski, Dillon, Snoek, Mandt, Salimans, Nowozin, Jenatton.
       "Hydra: Preserving Ensemble Diversity for Model Distillation". 2020, arXiv:2001.04694.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from sklearn_dlf.baselines import HydraRegressor
    >>> X, y = make_regression(200, 4, noise=10.0, random_state=0)
    >>> forest = RandomForestRegressor(30, random_state=0).fit(X, y)
    >>> student = HydraRegressor(max_iter=3, random_state=0).fit(X, y, ensemble=forest)
    >>> mean, std = student.predict(X, return_std=True)
    >>> mean.shape, std.shape, student.sample_predictions(X, 7).shape
    ((200,), (200,), (200, 7))
    """


@share_documentation
class HydraClassifier(MemberClassifier, BaseHydra):
    """Hydra: one body with a linear head for each member of the ensemble.

    Each head is trained on its own member [1]_. `sample_predictions` picks heads with replacement.

    Parameters
    ----------
    {ensemble}

    {automatic_activation}

    body : {{"auto", "mlp", "piecewise_linear"}}, callable or None, default="auto"
        What maps a row to the features on which the heads are put, as in
        :class:`~sklearn_dlf.DLFRegressor`: an encoding of the columns for trees. With a callable,
        `hidden_layer_sizes` and `activation` are ignored, and training does not end by L-BFGS.

    {training}

    Attributes
    ----------
    {attributes}

    {classifier_attributes}

    See Also
    --------
    sklearn_dlf.DLFClassifier : A latent factor model in place of the heads.

    References
    ----------
    .. [1] Tran, Veeling, Roth, Swiatkowski, Dillon, Snoek, Mandt, Salimans, Nowozin, Jenatton.
       "Hydra: Preserving Ensemble Diversity for Model Distillation". 2020, arXiv:2001.04694.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn_dlf.baselines import HydraClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(30, random_state=0).fit(X, y)
    >>> student = HydraClassifier(hidden_layer_sizes=(20,), max_iter=3, random_state=0)
    >>> student = student.fit(X, y, ensemble=forest)
    >>> student.predict_proba(X).shape, student.sample_predictions(X, 7).shape
    ((150, 3), (150, 3, 7))
    """
