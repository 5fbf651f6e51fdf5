"""The thin skorch net that trains a student, and the trainer that keeps it between M-steps."""

from __future__ import annotations

import copy
import math
from contextlib import contextmanager, suppress

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping
from torch.utils.data import TensorDataset

from .._network.students import Heads
from ..exceptions import TrainingDivergedError

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}

# Optimiser steps of one M-step, unless the number of epochs is given.
STEPS_PER_M_STEP = 250

# Full-batch iterations of one call of `polish`, and what they remember of each other.
POLISH_ITERATIONS, POLISH_HISTORY = 500, 100

# Rows a parameter that are many: with fewer, networks whose training ends without weight decay, or
# by all rows at once, may learn the rows by heart.
MIN_ROWS_PER_PARAMETER = 2

# Of more rows than these, all at once take too much memory; of more products of a row and a
# parameter, too much time.
MAX_POLISH_ROWS, MAX_POLISH_PRODUCTS = 2**15, 2**28


class TensorBatches:
    """Batches of tensors that already lie on the training device, shuffled anew each epoch.

    Does the work of a ``DataLoader`` without collating rows one by one. Yields pairs
    ``(X, targets)`` of a tensor and a tuple of tensors. A row that would be left alone joins the
    batch before: normalisation over a batch needs two.
    """

    def __init__(self, tensors, batch_size, generator):
        self.tensors = tensors
        self.batch_size = batch_size
        self.generator = generator

    def __iter__(self):
        """Yield the batches of one epoch."""
        X = self.tensors[0]
        order = torch.randperm(len(X), generator=self.generator).to(X.device)
        batches = list(order.split(self.batch_size))
        if len(batches) > 1 and len(batches[-1]) == 1 < self.batch_size:
            batches[-2:] = [torch.cat(batches[-2:])]
        for rows in batches:
            X, *targets = (tensor.index_select(0, rows) for tensor in self.tensors)
            yield X, targets


class StudentNet(NeuralNet):
    """skorch net that slices a ``TensorDataset`` whole; everything else is skorch's.

    Parameters
    ----------
    generator : torch.Generator
        Of the order of rows.
    """

    def __init__(self, *args, generator, **kwargs):
        super().__init__(*args, **kwargs)
        self.generator = generator

    def get_iterator(self, dataset, training=False):
        """Iterate over the dataset's tensors in batches."""
        return TensorBatches(dataset.tensors, self.batch_size, self.generator)

    def has_stopped_early(self):
        """Whether a callback has ended this training, by the interrupt that skorch has for it."""
        return any(
            isinstance(callback, EarlyStopping) and callback.misses_ == callback.patience
            for _, callback in self.callbacks_
        )

    def train_step_single(self, batch, **fit_params):
        """Loss of a batch and its derivatives.

        The module is in training mode, and batches are tensors on the device already. Students are
        so small that the number of torch's calls counts: an objective that gives its own derivative
        has no part in autograd's graph.
        """
        X, targets = batch
        outputs, objective = self.module_.for_loss(X), self.criterion_
        if hasattr(objective, "with_slope"):
            loss, slope = objective.with_slope(outputs.detach(), targets)
            outputs.backward(slope)
        else:
            loss = objective(outputs, targets)
            loss.backward()
        return {"loss": loss, "y_pred": outputs}


class Trainer:
    """Trains one student on changing targets, keeping optimiser and learning rate in between.

    Parameters
    ----------
    student : Student
        Trained in place.
    X : float32 array of shape (m, n_features)
        Standardised design points.
    weights : float32 array of shape (m,)
        Of the rows, of mean one.
    n_epochs : int or "auto"
        Passes over the rows of one call of `train`.
    batch_size : int or "auto"
        Rows of one step.
    lr, optimizer, weight_decay, device, callbacks, verbose
        As in skorch; ``optimizer`` may also be a key of `OPTIMIZERS`.
    seed : int
        Of the order of rows.
    plain_layers : bool
        Whether the student is the same function in training, without dropout and the like.
    """

    def __init__(
        self,
        student,
        X,
        weights,
        *,
        n_epochs,
        batch_size,
        lr,
        optimizer,
        weight_decay,
        device,
        callbacks,
        verbose,
        seed,
        plain_layers=False,
    ):
        self.student = student.to(device)
        self.X = torch.as_tensor(X, device=device)
        self.weights = torch.as_tensor(weights, device=device)
        self.batch_size = _choose_batch_size(len(X)) if batch_size == "auto" else batch_size
        n_batches = math.ceil(len(X) / self.batch_size)
        self.n_epochs = (
            max(1, round(STEPS_PER_M_STEP / n_batches)) if n_epochs == "auto" else n_epochs
        )
        self.lr = lr
        self.weight_decay = weight_decay
        self.device = device
        self.callbacks = callbacks
        self.verbose = verbose
        self.generator = torch.Generator().manual_seed(seed)
        self._optimizer_options = _optimizer_options(optimizer, weight_decay, device)
        self._may_polish = plain_layers and optimizer == "adam" and not weight_decay
        self._net = None

    @property
    def has_many_rows(self):
        """Whether rows are many, for the number of parameters."""
        return len(self.X) >= MIN_ROWS_PER_PARAMETER * self._n_parameters

    @property
    def can_polish(self):
        """Whether `polish` suits the network, its rows, and the choice of the optimiser."""
        n_products = len(self.X) * self._n_parameters
        is_small = len(self.X) <= MAX_POLISH_ROWS and n_products <= MAX_POLISH_PRODUCTS
        return self._may_polish and self.has_many_rows and is_small

    @property
    def _n_parameters(self):
        """Of the student."""
        return sum(parameter.numel() for parameter in self.student.parameters())

    def train(self, objective, *targets):
        """Minimise ``objective(outputs, (*targets, weights))`` for `n_epochs`; the last loss."""
        if self._net is None or self._net.criterion is not objective:
            self._net = self._make_net(objective, self.batch_size, **self._optimizer_options)
        for group in self._net.optimizer_.param_groups:
            group["lr"] = self.lr
            if "weight_decay" in group:
                group["weight_decay"] = self.weight_decay
        return self._run(self._net, self.n_epochs, targets)

    def polish(self, objective, *targets):
        """Minimise on by L-BFGS over all rows at once, where small batches are too noisy to.

        Nothing is changed where that does not lower the loss.
        """
        before = copy.deepcopy(self.student.state_dict())
        options = {
            "optimizer": torch.optim.LBFGS,
            "optimizer__lr": 1.0,
            "optimizer__max_iter": POLISH_ITERATIONS,
            "optimizer__history_size": POLISH_HISTORY,
            "optimizer__line_search_fn": "strong_wolfe",
        }
        net = self._make_net(objective, len(self.X), **options)
        first = loss = np.inf
        with suppress(RuntimeError, TrainingDivergedError):  # of values not finite
            first = self._run(net, 1, targets)
            with torch.no_grad():
                outputs = self.student.for_loss(self.X)
                loss = objective(outputs, self._tensors(targets)).item()
        if not loss < first:
            self.student.load_state_dict(before)

    def _tensors(self, targets):
        """What an objective is told beside the student's outputs."""
        tensors = [torch.as_tensor(t, dtype=torch.float32, device=self.device) for t in targets]
        return *tensors, self.weights

    def _run(self, net, n_epochs, targets):
        """Train a net on for some epochs; the last loss."""
        dataset = TensorDataset(self.X, *self._tensors(targets))
        # Not partial_fit, which swallows every keyboard interrupt: the EM loop would go on.
        self.student.train()
        net.notify("on_train_begin", X=dataset, y=None)
        try:
            net.fit_loop(dataset, epochs=n_epochs)
        except KeyboardInterrupt:
            if not net.has_stopped_early():
                raise
        except torch.linalg.LinAlgError as error:
            raise diverged("a matrix of the loss has no Cholesky factor", self.lr) from error
        net.notify("on_train_end", X=dataset, y=None)
        loss = net.history[-1, "train_loss"]
        if not math.isfinite(loss):
            n_epochs = len(net.history)
            raise diverged(f"the loss became {loss} after {n_epochs} epochs", self.lr)
        return loss

    def _make_net(self, objective, batch_size, **optimizer_options):
        """Initialise a net around the student; the objective's own parameters are trained too."""
        net = StudentNet(
            self.student,
            criterion=objective,
            batch_size=batch_size,
            train_split=None,
            callbacks=copy.deepcopy(self.callbacks),  # the net writes into them
            lr=self.lr,
            device=self.device,
            verbose=self.verbose,
            generator=self.generator,
            **optimizer_options,
        )
        return net.initialize()

    def evaluate(self):
        """Outputs at the design points, as float32 arrays; an error if they are not finite."""
        outputs = self.student.evaluate(self.X.cpu().numpy())
        heads = [outputs]
        if isinstance(outputs, Heads):  # the logarithm of no noise is minus infinity
            heads = [outputs.mean, outputs.loadings, np.maximum(outputs.log_noise, 0)]
        if not all(np.isfinite(head).all() for head in heads):
            raise diverged("its outputs at the design points are not finite", self.lr)
        return outputs


def diverged(what, lr):
    """Error that says what training has come to, and the way out."""
    return TrainingDivergedError(
        f"Training of the student has diverged at learning rate {lr:g}: {what}. Use a smaller lr, "
        "or look for extreme values in the design points."
    )


def _choose_batch_size(n_samples):
    """Power of two near the root of the number of rows: many steps on few, large ones on many."""
    return int(min(max(2 ** round(math.log2(n_samples) / 2), 32), 512))


def _optimizer_options(optimizer, weight_decay, device):
    """Options of skorch for an optimizer; torch's own run fused, one kernel for all parameters."""
    options = {"optimizer": OPTIMIZERS.get(optimizer, optimizer)}
    if weight_decay:
        options["optimizer__weight_decay"] = weight_decay
    if optimizer in OPTIMIZERS and torch.device(device).type in ("cpu", "cuda"):
        options["optimizer__fused"] = True
    return options


@contextmanager
def seeded(seed, device="cpu"):
    """Seed torch for a block, for layers that draw from its global state, and restore it after."""
    devices = [device] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed(seed)
        yield
