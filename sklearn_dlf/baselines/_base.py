"""Base of students that learn each member on its own: training, and methods of both tasks."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import StrOptions
from torch import nn

from .._estimators.base import BaseStudent
from .._estimators.classifier_mixin import ClassifierStudentMixin
from .._estimators.regressor_mixin import RegressorStudentMixin
from .._estimators.row_parts import predict_in_parts
from .._fitting.checkpoints import find_checkpoint
from .._fitting.drawn_networks import drawn_network
from .._fitting.em import MIN_LR_SHARE, N_POLISH_ROUNDS
from .._fitting.student_bodies import BODY_LR_CONSTRAINTS
from .._fitting.trainer import Trainer, make_trainer
from .._network.heads import Units
from .._predictive.logits import probabilities_from_latent
from .._transfer.contrasts import Contrasts
from .._transfer.transfer_set import TransferSet
from .._utils.parameters import BodyMaker, layer_sizes, store_parameters
from .._utils.progress import seconds_left
from .._utils.seeding import MAX_SEED
from ._members import HeldMembers
from ._networks import MemberNetwork
from ._objectives import CrossEntropy, SquaredError


class MemberStudent(BaseStudent):
    """Trains a network with outputs for every member, while the learning rate falls.

    Its rounds have the optimiser steps of one M-step of the latent factor model. After the same
    number of rounds, both have taken the same number of steps.
    """

    body_lr: float

    _parameter_constraints: ClassVar[dict] = {
        **BaseStudent._parameter_constraints,
        **BODY_LR_CONSTRAINTS,
        "body": [StrOptions({"mlp"}), BodyMaker(), None],
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
        activation: Literal["swish", "relu", "gelu", "silu", "tanh"] = "swish",
        body: Literal["mlp"] | Callable | None = "mlp",
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

    @abstractmethod
    def _make_network(
        self, transfer_set: TransferSet, generator: torch.Generator | None
    ) -> MemberNetwork:
        """Make an untrained network for a transfer set; None is torch's own generator."""

    @abstractmethod
    def _objective(self) -> nn.Module:
        """Make the loss of outputs (m, n_outputs, n_members), given targets and weights."""

    @abstractmethod
    def _targets(self, contrasts: Contrasts) -> list[np.ndarray]:
        """Return the targets of the loss, with a row for each design point."""

    def _learn(
        self, transfer_set: TransferSet, random_state: np.random.RandomState
    ) -> MemberNetwork:
        X, contrasts = transfer_set.design, transfer_set.contrasts
        seed = random_state.randint(MAX_SEED)

        def make(generator):
            return self._make_network(transfer_set, generator)

        with drawn_network(self, transfer_set.X, seed, make) as (network, draws):
            checkpoint = find_checkpoint(self, network, transfer_set)
            trainer = make_trainer(self, network, X, contrasts.weights, random_state)
            keep: Callable[[Any], None] | None = None
            done: list[dict] = []
            if checkpoint is not None:
                keep = partial(checkpoint.write, trainer, draws)
                done = [*(checkpoint.read(trainer, draws) or [])]
            targets = self._targets(contrasts)
            self.history_ = self._train(trainer, self._objective(), *targets, keep=keep, done=done)
        if checkpoint is not None:
            checkpoint.remove()
        self.n_iter_ = len(self.history_)
        network.set_points(X, transfer_set.reader.is_raw)
        return network

    def _train(
        self,
        trainer: Trainer,
        objective: nn.Module,
        *targets: np.ndarray,
        keep: Callable[[Any], None] | None = None,
        done: Sequence[dict] = (),
    ) -> list[dict]:
        """Train for all rounds after those that are done; return a record for each.

        ``keep`` is given the records after each round.
        """
        history = [*done]
        tensors = trainer.to_device(*targets)
        rates = np.geomspace(self.lr, MIN_LR_SHARE * self.lr, self.max_iter).tolist()
        all_began = time.monotonic()
        for lr in rates[len(history) :]:
            began = time.perf_counter()
            trainer.lr = lr
            loss = trainer.train(objective, *tensors)
            history.append({"loss": loss, "lr": lr, "seconds": time.perf_counter() - began})
            if keep is not None:
                keep(history)
            if self.verbose:
                left = seconds_left(all_began, len(history) - len(done), len(rates) - len(done))
                print(f"Round {len(history)}: loss {loss:.6g}, learning rate {lr:.1e}, {left}")
        trainer.evaluate()  # raises if training has diverged
        return history

    def _sizes(self, transfer_set: TransferSet) -> list[int]:
        """Return the widths of all layers, from rows to outputs."""
        hidden = layer_sizes(self.hidden_layer_sizes)
        return [transfer_set.X.shape[1], *hidden, transfer_set.contrasts.shape[1]]


class MemberRegressor(RegressorStudentMixin, MemberStudent):
    """Student of regressors, trained by the squared error to each member."""

    def _make_members(self, network: Any) -> HeldMembers:
        return HeldMembers(network, self._units)

    def predict(
        self, X: ArrayLike, return_std: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Predict the mean of the members, and their standard deviation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        return_std : bool, default=False
            Whether to return the members' standard deviation too.

        Returns
        -------
        mean : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Mean of the members, in units of y.

        std : ndarray of the shape of `mean`
            Standard deviation of the student's members, without the noise of y. Only with
            `return_std`.
        """
        mean, std = self._mean_and_std(X)
        return (mean, std) if return_std else mean

    def member_predictions(self, X: ArrayLike) -> np.ndarray:
        """Predict the outputs of every member.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_members) or (n_samples, n_outputs, n_members)
            Predictions in units of y; members are in the order of the ensemble's.
        """
        return predict_in_parts(self, X, lambda at, rows: self._in_units_of_y(at.predict(rows)))

    def _objective(self):
        return SquaredError()

    def _targets(self, contrasts):
        return [contrasts.members()]

    def _train(self, trainer, objective, *targets, **kept):
        history = super()._train(trainer, objective, *targets, **kept)
        if trainer.can_polish:
            for _ in range(N_POLISH_ROUNDS):
                trainer.polish(objective, *targets)
        return history


class MemberClassifier(ClassifierStudentMixin, MemberStudent):
    """Student of classifiers, trained by the cross-entropy to each member's probabilities."""

    def _make_members(self, network: Any) -> HeldMembers:
        # The outputs of the network are the latent outputs themselves.
        ones = np.ones(self.n_outputs_)
        return HeldMembers(network, Units(center=0 * ones, scale=ones, spread=ones))

    def member_predictions(self, X: ArrayLike) -> np.ndarray:
        """Predict the probabilities of every member.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_classes, n_members)
            Probabilities; members are in the order of the ensemble's.
        """
        return predict_in_parts(
            self, X, lambda at, rows: probabilities_from_latent(at.predict(rows))
        )

    def _objective(self):
        return CrossEntropy()

    def _targets(self, contrasts):
        return [member_probabilities(contrasts)]


def member_probabilities(contrasts: Contrasts) -> np.ndarray:
    """Return the members' probabilities (n, n_classes, n_members), float32."""
    return probabilities_from_latent(contrasts.latent_members()).astype(np.float32)
