"""BatchEnsemble: shared weights, and a rank-one mask for each member."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from .._estimators.base import BODY_CONSTRAINTS
from .._fitting.student_bodies import choose_student_edges, make_student_body
from .._utils.parameters import store_parameters
from ._base import MemberClassifier, MemberRegressor, MemberStudent
from ._body_networks import MaskedBodyNetwork
from ._documentation import share_documentation
from ._networks import BatchEnsembleNetwork


class BaseBatchEnsemble(MemberStudent):
    """One network, and a rank-one mask of its weights for each member."""

    _parameter_constraints: ClassVar[dict] = {
        **MemberStudent._parameter_constraints,
        "average_masks": ["boolean"],
        **BODY_CONSTRAINTS,
    }

    def __init__(
        self,
        ensemble: Any = None,
        *,
        average_masks: bool = False,
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
        _, n_outputs, n_members = transfer_set.contrasts.shape
        if self.body_ == "custom":
            body = make_student_body(self, transfer_set, generator)
            return MaskedBodyNetwork(body, transfer_set.X, n_outputs, n_members, generator)
        edges = choose_student_edges(self, transfer_set)
        return BatchEnsembleNetwork(
            self._sizes(transfer_set), self.activation, n_members, edges, generator
        )

    def _learn(self, transfer_set, random_state):
        network: Any = super()._learn(transfer_set, random_state)
        return network.average_members() if self.average_masks else network


@share_documentation
class BatchEnsembleRegressor(MemberRegressor, BaseBatchEnsemble):
    """BatchEnsemble: one network, whose weights each member multiplies by a rank-one mask.

    Each member of the student is trained on one member of the ensemble. Every layer has shared
    weights and, for each member, a mask of its inputs, a mask of its outputs and a bias [1]_.
    `sample_predictions` picks members with replacement.

    Parameters
    ----------
    {ensemble}

    {automatic_activation}

    body : {{"auto", "mlp", "piecewise_linear"}}, callable or None, default="auto"
        Whether the layers read standardised columns or an encoding of them, as in
        :class:`~sklearn_dlf.DLFRegressor`. A callable makes a body of your own, as there: the
        weights of all its linear and convolutional layers are masked. A member has biases and
        scales of its own there, and its own statistics of normalisations over batches.

    average_masks : bool, default=False
        Whether to average the members' weights after training [2]_ (LBE, without its perturbed
        rows). A single network is left, whose spread is zero.

    {training}

    Attributes
    ----------
    {attributes}

    {regressor_attributes}

    See Also
    --------
    sklearn_dlf.DLFRegressor : A latent factor model.

    References
    ----------
    .. [1] Wen, Tran, Ba. "BatchEnsemble: an Alternative Approach to Efficient Ensemble and
       Lifelong Learning". ICLR 2020.
    .. [2] Nam, Lee, Heo, Lee. "Improving Ensemble Distillation With Weight Averaging and
       Diversifying Perturbation". ICML 2022.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from sklearn_dlf.baselines import BatchEnsembleRegressor
    >>> X, y = make_regression(200, 4, noise=10.0, random_state=0)
    >>> forest = RandomForestRegressor(30, random_state=0).fit(X, y)
    >>> student = BatchEnsembleRegressor(hidden_layer_sizes=(20,), max_iter=3, random_state=0)
    >>> mean, std = student.fit(X, y, ensemble=forest).predict(X, return_std=True)
    >>> mean.shape, std.shape, student.sample_predictions(X, 7).shape
    ((200,), (200,), (200, 7))
    """


@share_documentation
class BatchEnsembleClassifier(MemberClassifier, BaseBatchEnsemble):
    """BatchEnsemble: one network, whose weights each member multiplies by a rank-one mask.

    Each member of the student is trained on one member of the ensemble. Every layer has shared
    weights and, for each member, a mask of its inputs, a mask of its outputs and a bias [1]_.
    `sample_predictions` picks members with replacement.

    Parameters
    ----------
    {ensemble}

    {automatic_activation}

    body : {{"auto", "mlp", "piecewise_linear"}}, callable or None, default="auto"
        Whether the layers read standardised columns or an encoding of them, as in
        :class:`~sklearn_dlf.DLFRegressor`. A callable makes a body of your own, as there: the
        weights of all its linear and convolutional layers are masked. A member has biases and
        scales of its own there, and its own statistics of normalisations over batches.

    average_masks : bool, default=False
        Whether to average the members' weights after training [2]_ (LBE, without its perturbed
        rows). A single network is left, whose spread is zero.

    {training}

    Attributes
    ----------
    {attributes}

    {classifier_attributes}

    See Also
    --------
    sklearn_dlf.DLFClassifier : A latent factor model.

    References
    ----------
    .. [1] Wen, Tran, Ba. "BatchEnsemble: an Alternative Approach to Efficient Ensemble and
       Lifelong Learning". ICLR 2020.
    .. [2] Nam, Lee, Heo, Lee. "Improving Ensemble Distillation With Weight Averaging and
       Diversifying Perturbation". ICML 2022.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn_dlf.baselines import BatchEnsembleClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(30, random_state=0).fit(X, y)
    >>> student = BatchEnsembleClassifier(hidden_layer_sizes=(20,), max_iter=3, random_state=0)
    >>> student = student.fit(X, y, ensemble=forest)
    >>> student.predict_proba(X).shape, student.sample_predictions(X, 7).shape
    ((150, 3), (150, 3, 7))
    """
