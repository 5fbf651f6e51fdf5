"""The trainer of a network, which keeps optimiser and learning rate between M-steps."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from skorch.exceptions import SkorchException
from torch.utils.data import TensorDataset

from .._network.base import Network
from .._network.heads import Heads
from .._network.rows import place_rows
from .._utils.seeding import MAX_SEED
from .._utils.threads import one_thread
from ..exceptions import TrainingDivergedError
from .batches import TensorBatches
from .plain_training import FIRST_DECAY, SECOND_DECAY, PlainTraining, can_train_plainly
from .student_net import StudentNet, lr_shares, optimizer_options

# Optimiser steps of one M-step, unless the number of epochs is given. Students that encode columns
# learn step functions from more design points, which takes more steps.
STEPS_PER_M_STEP, STEPS_ENCODED = 250, 400

# With a body of the user's own an M-step is a pass over the rows, or as many passes as make about
# this number of steps. Images and sentences are many, and a step takes long. A choice.
STEPS_OF_OWN_BODY = 50

STEPS_BY_BODY = {
    "mlp": STEPS_PER_M_STEP,
    "piecewise_linear": STEPS_ENCODED,
    "custom": STEPS_OF_OWN_BODY,
}

# Adam's second constant for students that take fewer steps. With a mean over about 100 steps
# instead of 1,000, training follows targets that change, and the mean reaches a given error in
# fewer.
SWIFT_SECOND_DECAY = 0.99

# Iterations of L-BFGS in one call of `polish`, and the number of earlier steps that it uses.
POLISH_ITERATIONS, POLISH_HISTORY = 500, 100

# With fewer rows a parameter than this, training that ends without weight decay, or over all rows
# at once, may overfit.
MIN_ROWS_PER_PARAMETER = 2

# With more rows than this, training over all rows at once takes too much memory; with more products
# of a row and a parameter, too much time.
MAX_POLISH_ROWS, MAX_POLISH_PRODUCTS = 2**15, 2**28


class Trainer:
    """Trains one network on changing targets, and keeps optimiser and learning rate in between.

    Parameters
    ----------
    network : Network
        Network, trained in place.
    X : array of shape (m, *row_shape)
        Design points: standardised, or raw. It is not copied on the CPU.
    weights : float32 array of shape (m,)
        Weights of the rows, of mean one.
    n_epochs : int or "auto"
        Passes over the rows in one call of `train`.
    batch_size : int or "auto"
        Rows of one step.
    lr, optimizer, weight_decay, device, callbacks, verbose
        As in skorch; ``optimizer`` may also be a key of `OPTIMIZERS`.
    seed : int
        Seed of the order of rows.
    plain_layers : bool
        Whether the network computes the same function in training as afterwards, without dropout or
        normalisation over a batch.
    n_steps : int
        Optimiser steps of one call of `train`, about, if ``n_epochs`` is "auto".
    body_lr : float
        Learning rate of the body's parameters, as a share of ``lr``.
    second_decay : float
        Adam's second constant, in the M-step and refinement of a student with layers of this
        package.
    """

    def __init__(
        self,
        network: Network,
        X: np.ndarray,
        weights: np.ndarray,
        *,
        n_epochs: int | str,
        batch_size: int | str,
        lr: float,
        optimizer: str | Callable,
        weight_decay: float,
        device: str | torch.device,
        callbacks: list | None,
        verbose: bool,
        seed: int,
        plain_layers: bool = False,
        n_steps: int = STEPS_PER_M_STEP,
        body_lr: float = 1.0,
        second_decay: float = SECOND_DECAY,
    ):
        self.network: Any = network.to(device)
        self.X = place_rows(X, device)
        self.weights = torch.as_tensor(weights, device=device)
        self.batch_size: int = (
            _choose_batch_size(len(X)) if isinstance(batch_size, str) else batch_size
        )
        n_batches: int = math.ceil(len(X) / self.batch_size)
        self.n_epochs: Any = max(1, round(n_steps / n_batches)) if n_epochs == "auto" else n_epochs
        self.lr = lr
        self.weight_decay = weight_decay
        self.device = device
        self.callbacks = callbacks
        self.verbose = verbose
        self.generator = torch.Generator().manual_seed(seed)
        self._optimizer_options = optimizer_options(optimizer, weight_decay, device)
        self.body_lr = body_lr
        self.second_decay = second_decay
        # A callback of the user's sees every batch of skorch's.
        self._decoupled, self._is_adam = optimizer == "adamw", optimizer in ("adam", "adamw")
        self._trains_plainly = self._is_adam and body_lr == 1 and not callbacks and not verbose
        is_plain = plain_layers and optimizer == "adam" and not weight_decay
        self._may_polish = is_plain and body_lr == 1  # L-BFGS has one learning rate
        self._net: StudentNet | None = None
        self._plain: PlainTraining | None = None
        # Of a checkpoint, until training goes on: name of the objective, state of its optimiser.
        self._restored: tuple[str, dict] | None = None

    @property
    def has_many_rows(self) -> bool:
        """Whether there are many rows for the number of parameters."""
        return len(self.X) >= MIN_ROWS_PER_PARAMETER * self._n_parameters

    @property
    def can_polish(self) -> bool:
        """Whether `polish` suits the network, the number of rows, and the chosen optimiser."""
        n_products = len(self.X) * self._n_parameters
        is_small = len(self.X) <= MAX_POLISH_ROWS and n_products <= MAX_POLISH_PRODUCTS
        return self._may_polish and self.has_many_rows and is_small

    @property
    def _n_parameters(self) -> int:
        """Number of the network's parameters that are trained."""
        return sum(each.numel() for each in self.network.parameters() if each.requires_grad)

    def train(self, objective: torch.nn.Module, *targets: Any) -> float:
        """Minimise ``objective(outputs, (*targets, weights))`` for `n_epochs`; return the loss."""
        is_plain = hasattr(objective, "plan") and can_train_plainly(self.network, self.X)
        if self._trains_plainly and is_plain:
            return self._train_plainly(objective, targets)
        if self._net is None or self._net.criterion is not objective:
            options = {**self._optimizer_options, **self._param_groups()}
            if is_plain and self._is_adam:
                options["optimizer__betas"] = FIRST_DECAY, self.second_decay
            self._net = self._make_net(objective, self.batch_size, **options)
            self._lr_shares = lr_shares(self._net.optimizer_, self.lr)
            if self._restored is not None and self._restored[0] == type(objective).__name__:
                self._net.optimizer_.load_state_dict(self._restored[1])
            self._restored = None
        groups = self._net.optimizer_.param_groups
        for group, share in zip(groups, self._lr_shares, strict=True):
            group["lr"] = share * self.lr
            if "weight_decay" in group:
                group["weight_decay"] = self.weight_decay
        return self._run(self._net, self.n_epochs, targets)

    def _train_plainly(self, objective: torch.nn.Module, targets: tuple) -> float:
        """Do what `train` does, without skorch and autograd."""
        if self._plain is None or self._plain.objective is not objective:
            self._plain = PlainTraining(self.network, objective, self._decoupled, self.second_decay)
        order = TensorBatches((self.X,), self.batch_size, self.generator)
        self.network.train()
        with one_thread(self.network.is_small(self.batch_size)):
            loss = self._plain.train(
                order.draw,
                self.X,
                self._tensors(targets),
                n_epochs=self.n_epochs,
                lr=self.lr,
                weight_decay=self.weight_decay,
            )
        return self._check(loss, self.n_epochs)

    def _param_groups(self) -> dict[str, Any]:
        """Return skorch's option for a learning rate of the body's own."""
        if self.body_lr == 1:
            return {}
        options = {"lr": self.body_lr * self.lr}
        patterns = self.network.body_patterns
        return {"optimizer__param_groups": [(pattern, options) for pattern in patterns]}

    def polish(self, objective: torch.nn.Module, *targets: Any) -> None:
        """Minimise by L-BFGS over all rows at once, beyond what small batches reach.

        The network is left as it was if this does not lower the loss.
        """
        before = copy.deepcopy(self.network.state_dict())
        options = {
            "optimizer": torch.optim.LBFGS,
            "optimizer__lr": 1.0,
            "optimizer__max_iter": POLISH_ITERATIONS,
            "optimizer__history_size": POLISH_HISTORY,
            "optimizer__line_search_fn": "strong_wolfe",
        }
        net = self._make_net(objective, len(self.X), **options)
        first = loss = np.inf
        with suppress(RuntimeError, TrainingDivergedError):  # raised by values that are not finite
            first = self._run(net, 1, targets)
            with torch.no_grad(), one_thread(self.network.is_small(len(self.X))):
                outputs = self.network.for_loss(self.X)
                loss = objective(outputs, self._tensors(targets)).item()
        if not loss < first:
            self.network.load_state_dict(before)

    def to_device(self, *targets: Any) -> list[torch.Tensor]:
        """Return targets as float32 tensors on the device.

        `train` does so with all that it is given. Targets of many calls are sent once if they are
        tensors on the device already.
        """
        return [torch.as_tensor(t, dtype=torch.float32, device=self.device) for t in targets]

    def _tensors(self, targets):
        """Return targets and weights as tensors on the device."""
        return *self.to_device(*targets), self.weights

    def _run(self, net: StudentNet, n_epochs: int, targets: tuple) -> float:
        """Train a net for some more epochs; return the last loss."""
        dataset = TensorDataset(self.X, *self._tensors(targets))
        # partial_fit would swallow every keyboard interrupt, and the EM loop would go on.
        self.network.train()
        net.notify("on_train_begin", X=dataset, y=None)
        try:
            with one_thread(self.network.is_small(net.batch_size)):
                net.fit_loop(dataset, epochs=n_epochs)
        except KeyboardInterrupt:
            if not net.has_stopped_early():
                raise
        except (KeyError, SkorchException) as error:
            if "valid_loss" not in str(error):
                raise
            raise ValueError(
                "A callback asks for valid_loss, and no rows are held out while a student is "
                "trained: give it monitor='train_loss', as in EarlyStopping(monitor='train_loss'), "
                "or monitor='train_loss_best', as in Checkpoint(monitor='train_loss_best')."
            ) from error
        except torch.linalg.LinAlgError as error:
            raise diverged("a matrix of the loss has no Cholesky factor", self.lr) from error
        net.notify("on_train_end", X=dataset, y=None)
        return self._check(net.history[-1, "train_loss"], len(net.history))

    def _check(self, loss: float, n_epochs: int) -> float:
        """Return a loss, or raise if it is not finite."""
        if not math.isfinite(loss):
            raise diverged(f"the loss became {loss} after {n_epochs} epochs", self.lr)
        return loss

    def _make_net(self, objective, batch_size, **optimizer_options):
        """Make a net around the network. Parameters of the objective are trained too."""
        net = StudentNet(
            self.network,
            criterion=objective,
            batch_size=batch_size,
            train_split=None,
            callbacks=copy.deepcopy(self.callbacks),  # the net changes them
            lr=self.lr,
            device=self.device,
            verbose=self.verbose,
            generator=self.generator,
            **optimizer_options,
        )
        return net.initialize()

    def state(self) -> dict[str, Any]:
        """Return all that training goes on from, as `restore` takes it."""
        assert self._net is not None
        return {
            "network": self.network.state_dict(),
            "objective": type(self._net.criterion).__name__,
            "optimizer": self._net.optimizer_.state_dict(),
            "lr": self.lr,
            "weight_decay": self.weight_decay,
            "generator": self.generator.get_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state` has returned."""
        self.network.load_state_dict(state["network"])
        self._restored = state["objective"], state["optimizer"]
        self.lr, self.weight_decay = state["lr"], state["weight_decay"]
        self.generator.set_state(state["generator"])

    def evaluate(self) -> Any:
        """Return the outputs at the design points, float32 arrays; raise if not all are finite."""
        outputs = self.network.evaluate(self.X)
        heads = [outputs]
        if isinstance(outputs, Heads):  # minus infinity stands for no noise
            heads = [outputs.mean, outputs.loadings, np.maximum(outputs.log_noise, 0)]
        if not all(np.isfinite(head).all() for head in heads):
            raise diverged("its outputs at the design points are not finite", self.lr)
        return outputs


def make_trainer(
    student: Any,
    network: Network,
    X: np.ndarray,
    weights: np.ndarray,
    random_state: np.random.RandomState,
) -> Trainer:
    """Make the trainer of a network with the parameters of a student, which is an estimator."""
    return Trainer(
        network,
        X,
        weights,
        n_epochs=student.n_epochs,
        batch_size=student.batch_size,
        lr=student.lr,
        optimizer=student.optimizer,
        weight_decay=student.weight_decay,
        device=student.device,
        callbacks=student.callbacks,
        verbose=student.verbose > 1,
        seed=random_state.randint(MAX_SEED),
        plain_layers=student.body_ != "custom",
        n_steps=STEPS_BY_BODY[student.body_],
        body_lr=getattr(student, "body_lr", 1.0),
        second_decay=SWIFT_SECOND_DECAY if trains_swiftly(student) else SECOND_DECAY,
    )


def trains_swiftly(student: Any) -> bool:
    """Return whether a student takes fewer steps: with plain layers, and without a refinement.

    Behind an encoding of columns, and after a refinement, fewer steps are worse at new rows. Bodies
    of the user's own are unknown.
    """
    return student.body_ == "mlp" and not student._is_refined


def diverged(what: str, lr: float) -> TrainingDivergedError:
    """Make an error that names what is not finite, and the way out."""
    return TrainingDivergedError(
        f"Training of the student has diverged at learning rate {lr:g}: {what}. Use a smaller lr, "
        "or look for extreme values in the design points, and for rows at which a body of your own "
        "divides by zero, such as sentences without tokens."
    )


def _choose_batch_size(n_samples: int) -> int:
    """Return the power of two nearest to the root of the number of rows, within 32 and 512."""
    return int(min(max(2 ** round(math.log2(n_samples) / 2), 32), 512))
