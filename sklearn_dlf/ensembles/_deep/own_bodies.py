"""Members with a body of the user's own, trained one after another.

Nothing is known of such a body, so that the parameters of members cannot be stacked. The schedule
is that of `training`. Rows stay as they are in memory; a batch at a time is cast to what a network
takes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..._network.base import Network
from ..._network.bodies import make_body
from ..._network.rows import as_input
from ..._utils.seeding import MAX_SEED, seeded
from .left_out import LeftOutLosses
from .stopping import EarlyStopping
from .training import Data, Loss, average_over_rows, averaging_decay, diverged


class BodyMember(Network):
    """A body of the user's own, and a linear layer from its features to the outputs.

    Parameters
    ----------
    body : nn.Module
        Maps rows (m, *row_shape) to features (m, n_body_features).
    rows : array of shape (n, *row_shape)
        Rows, the first two of which the body is tried with.
    n_outputs : int
        Number of outputs.
    """

    def __init__(self, body: nn.Module, rows: np.ndarray, n_outputs: int):
        super().__init__()
        self.output_layer = nn.Linear(self.set_body(body, rows), n_outputs, dtype=torch.float32)

    def forward(self, X: Tensor) -> Tensor:
        """Outputs (m, n_outputs), of y in units of its standard deviation, or logits."""
        return self.output_layer(self.body(X))

    def evaluate(self, X: np.ndarray) -> np.ndarray:
        """Return the outputs at any number of rows, float32 (n, n_outputs)."""
        return self.in_blocks(X, lambda rows: (self(rows),))[0]

    @torch.no_grad()
    def losses(self, loss: Loss, data: Data, rows: Tensor) -> Tensor:
        """Return ``loss(outputs, targets)`` (m, ...) at rows."""
        self.eval()
        like = self.input_like()
        blocks = rows.to(data.X.device).split(self.block_rows(like.device))
        outputs = torch.cat([self(as_input(data.X[some], like)) for some in blocks])
        return loss(outputs[None], data.targets[rows][None])[0]

    def average(self, loss: Loss, data: Data, rows: Tensor, weights: Tensor) -> Tensor:
        """Average ``loss(outputs, targets)`` (m, ...) over rows with their weights (m,)."""
        return average_over_rows([self.losses(loss, data, rows)[None]], weights[None])[0]


class Schedule(NamedTuple):
    """How a member is trained; see `training.train`. Without patience there is no stopping."""

    batch_size: int
    lr: float
    weight_decay: float
    max_iter: int
    patience: int | None
    tol: float


class TrainedMembers(NamedTuple):
    """Networks, each at its own best epoch, the largest number of epochs, and optimism."""

    networks: list[BodyMember]
    n_iter: int
    optimism: float


def train_members(
    make: Callable[[Any], nn.Module],
    probe: np.ndarray,
    n_outputs: int,
    data: Data,
    loss: Loss,
    *,
    n_members: int,
    device: str | torch.device,
    generator: torch.Generator,
    verbose: Any = 0,
    **schedule: Any,
) -> TrainedMembers:
    """Make and train all members, each by a seed of its own.

    Parameters
    ----------
    make : callable
        Makes a body; see `make_body`.
    probe : array of shape (n, *row_shape)
        Some rows as networks get them.
    data : Data
        X on the device, or on the host if it is too large. Everything else is on the device.
    generator : torch.Generator
        Source of the members' seeds.
    **schedule
        Fields of `Schedule`.
    """
    networks, n_iter, lowest = [], 0, []
    left_out = LeftOutLosses(data.held_out_weights.cpu().numpy())
    seeds = torch.randint(MAX_SEED, (n_members,), generator=generator).tolist()
    for member, seed in enumerate(seeds):
        # Layers such as dropout draw from the global generator during training too.
        with seeded(seed, device):
            network = BodyMember(make_body(make, probe, (), ""), probe, n_outputs).to(device)
            own = data.of_members(np.array([member]))
            training = _Training(network, own, loss, Schedule(**schedule), seed)
            training.note = partial(left_out.update, np.array([member]))
            networks.append(training.run(who=f"member {member + 1} of {n_members} has"))
        n_iter = max(n_iter, training.n_epochs)
        lowest += [] if training.stopping is None else [training.stopping.lowest[0]]
        if verbose:
            stopping, done = training.stopping, f"{training.n_epochs} epochs"
            if stopping is not None:
                done += f", lowest held-out loss {stopping.lowest[0]:.6g}"
            print(f"Member {member + 1} of {n_members}: {done}")
    optimism = left_out.optimism(np.array(lowest)) if lowest else 1.0
    return TrainedMembers(networks, n_iter, optimism)


class _Training:
    """Training of one member: its network, the running average of it, and Adam's state."""

    def __init__(
        self, network: BodyMember, data: Data, loss: Loss, schedule: Schedule, seed: int
    ) -> None:
        self.network, self.data, self.loss, self.schedule = network, data, loss, schedule
        self.generator = torch.Generator().manual_seed(seed)
        self.averaged = _Averaged(network)
        self.n_epochs = 0
        self.best: BodyMember | None = None
        # Takes the losses (1, n_held_out) of all held-out rows after each epoch.
        self.note: Callable[[np.ndarray], None] = lambda losses: None
        self.stopping = None
        if schedule.patience is not None:
            self.stopping = EarlyStopping(1, schedule.patience, schedule.tol)
            # Indices are padded where members hold out different numbers of rows.
            is_held_out = data.held_out_weights[0] > 0
            self.held_out = data.held_out_rows[0][is_held_out]
            self.held_out_weights = data.held_out_weights[0][is_held_out]
        trained = [each for each in network.parameters() if each.requires_grad]
        # Biases, and scales of normalisations, have one dimension.
        groups: list[dict[str, Any]] = [
            {
                "params": [each for each in trained if each.ndim > 1],
                "weight_decay": schedule.weight_decay,
            },
            {"params": [each for each in trained if each.ndim <= 1]},
        ]
        is_fused = network.device.type in ("cpu", "cuda")
        self.optimizer = torch.optim.Adam(groups, lr=schedule.lr, fused=is_fused)

    def run(self, who: str) -> BodyMember:
        """Train until the held-out loss no longer falls.

        Return the network of the best epoch, or of the last one without early stopping. The error
        of a member that has diverged says ``who`` has.
        """
        for epoch in range(1, self.schedule.max_iter + 1):
            self.n_epochs = epoch
            self._train_epoch()
            if self.stopping is None:
                continue
            network = self.averaged.current()
            losses = network.losses(self.loss, self.data, self.held_out)
            loss = average_over_rows([losses[None]], self.held_out_weights[None])[0]
            padded = np.zeros(self.data.held_out_weights.shape)
            padded[0, : len(losses)] = losses.cpu().double().numpy()
            self.note(padded)
            improved, going_on = self.stopping.update(loss.cpu().double().numpy()[None])
            if len(improved):
                self.best = self.averaged.copy()
            if not len(going_on):
                break
        if self.stopping is None:
            self.best = self.averaged.current()
            if not all(each.isfinite().all() for each in self.best.parameters()):
                self.best = None
        if self.best is None:
            raise diverged(who, self.n_epochs, self.schedule.lr)
        return self.best

    def _train_epoch(self) -> None:
        """Train on all rows once, in a new order."""
        data, rows, network = self.data, self.data.train_rows[0], self.network
        network.train()
        like = network.input_like()
        order = torch.randperm(len(rows), generator=self.generator).to(rows.device)
        for batch in rows[order].tensor_split(_count_batches(len(rows), self.schedule.batch_size)):
            outputs = network(as_input(data.X[batch.to(data.X.device)], like))
            losses = self.loss(outputs[None], data.targets[batch][None]) * data.weights[batch]
            self.optimizer.zero_grad()
            losses.mean().backward()
            self.optimizer.step()
            self.averaged.update()


class _Averaged:
    """Running average of a network in training; it is evaluated and kept instead of the network.

    Parameters in training are averaged. Buffers, such as the statistics of batches, are those of
    the last step: masks, counts and vectors of unit length may not be averaged, and averages of the
    statistics were no better. Frozen parameters are not copied.
    """

    def __init__(self, network: BodyMember) -> None:
        self._shared = {id(each): each for each in network.parameters() if not each.requires_grad}
        self._network = copy.deepcopy(network, dict(self._shared)).eval()
        parameters = zip(self._network.parameters(), network.parameters(), strict=True)
        self._parameters = [pair for pair in parameters if pair[1].requires_grad]
        self._network.requires_grad_(False)
        modules = zip(self._network.modules(), network.modules(), strict=True)
        self._buffers: list[tuple[dict[str, Any], dict[str, Any]]] = [
            (averaged._buffers, trained._buffers) for averaged, trained in modules
        ]
        self._n_steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take account of a step of the network in training."""
        self._n_steps += 1
        share = 1 - averaging_decay(self._n_steps)
        for averaged, trained in self._parameters:
            averaged.lerp_(trained, share)

    def current(self) -> BodyMember:
        """Return the average after the last step. Further steps change it."""
        for buffers, trained_buffers in self._buffers:
            for name, buffer in trained_buffers.items():
                buffers[name] = None if buffer is None else buffer.detach().clone()
        return self._network

    def copy(self) -> BodyMember:
        """Return a copy of what `current` has returned, which further steps leave alone."""
        return copy.deepcopy(self._network, dict(self._shared))


def _count_batches(n_rows: int, batch_size: int) -> int:
    """Return the number of batches, which are of almost equal sizes.

    Normalisation over a batch needs two rows: no batch has a single one by mere division.
    """
    n_batches = math.ceil(n_rows / batch_size)
    return n_batches if batch_size == 1 else max(1, min(n_batches, n_rows // 2))


def evaluate_members(networks: Sequence[BodyMember], rows: np.ndarray) -> np.ndarray:
    """Return the outputs of members at rows, float32 (n_members, n, n_outputs)."""
    return np.stack([network.evaluate(rows) for network in networks])


def on_cpu(network: BodyMember) -> BodyMember:
    """Return a network on the CPU: itself, or a copy."""
    return network if network.device.type == "cpu" else copy.deepcopy(network).cpu()
