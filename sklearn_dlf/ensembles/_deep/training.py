"""Joint training of many small networks of one shape.

The parameters of a layer are stacked, weights (n_members, fan_in, fan_out) and biases
(n_members, 1, fan_out), so that one batched matrix product evaluates the layer of all members.
Members share the data and nothing else: each has its own rows, order of rows, held-out rows and
best epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..._utils.threads import is_small_product
from .left_out import LeftOutLosses
from .stopping import EarlyStopping

#: Activations may overwrite their argument. Training permits it, because the derivative of each is
#: a function of its result.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda X: X,
    "logistic": torch.sigmoid_,
    "relu": torch.relu_,
    "tanh": torch.tanh_,
}

#: Maps outputs (M, m, k) and targets (M, m, ...) to losses (M, m) or (M, m, k).
Loss = Callable[[Tensor, Tensor], Tensor]

# Decay per step of the running average of the parameters, a choice: it averages about the last
# 100 steps. The average is evaluated and kept instead of the parameters of the last step, which
# are noisy because the learning rate is constant.
_AVERAGING = 0.99

# Most numbers in the activations of one layer outside training, a choice that bounds the memory:
# 16 MB in float64.
MAX_ACTIVATIONS = 2**21


class Layer(NamedTuple):
    """Weights (n_members, fan_in, fan_out) and biases (n_members, 1, fan_out) of all members."""

    weight: Tensor
    bias: Tensor


class Data(NamedTuple):
    """Data that members share, and the rows that each member trains on and holds out.

    Shared are X (n, d), targets (n, k) or (n,), and weights (n,). ``train_rows`` and
    ``held_out_rows`` are indices (n_members, m). Where members hold out different numbers of rows,
    their indices are padded, and ``held_out_weights`` is zero for the padding.
    """

    X: Tensor
    targets: Tensor
    weights: Tensor
    train_rows: Tensor
    held_out_rows: Tensor
    held_out_weights: Tensor

    def of_members(self, members: np.ndarray) -> Data:
        """Return the same data for some of the members."""
        return self._replace(
            train_rows=self.train_rows[members],
            held_out_rows=self.held_out_rows[members],
            held_out_weights=self.held_out_weights[members],
        )


class Trained(NamedTuple):
    """Layers with every member at its own best epoch, the number of epochs run, and optimism."""

    layers: list[Layer]
    n_iter: int
    optimism: float


def bootstrap_rows(
    n_samples: int, n_members: int, rng: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows with replacement; return indices (n_members, n_samples) and a mask of other rows.

    The mask (n_samples, n_members) is True where a row was not drawn. Each member draws from all
    rows but one, so that it has an unseen row even where there are few rows.
    """
    left_out = rng.randint(n_samples, size=(n_members, 1))
    rows = rng.randint(n_samples - 1, size=(n_members, n_samples))
    rows += rows >= left_out
    unseen = np.ones((n_samples, n_members), dtype=bool)
    unseen[rows, np.arange(n_members)[:, None]] = False
    return rows, unseen


def held_out_in_turn(
    n_samples: int,
    n_members: int,
    fraction: float,
    strata: np.ndarray | None,
    rng: np.random.RandomState,
) -> np.ndarray:
    """Return the mask (n_samples, n_members) of held-out rows, equally many for each member.

    Members take turns. A round has as many members as can hold out rows that do not overlap, so
    that every row is held out by about equally many members. The held-out rows of each member
    have the strata in about their proportions.
    """
    held_out = np.zeros((n_samples, n_members), dtype=bool)
    if fraction == 0:
        return held_out
    n_held_out = min(max(1, round(fraction * n_samples)), n_samples - 1)
    n_turns = n_samples // n_held_out
    # Each turn takes evenly spaced places in the order of rows, n_samples / n_held_out >= n_turns
    # apart, from a start of its own. The half keeps places away from integers, where a rounding
    # error would change their integer part.
    starts = (np.arange(n_turns)[:, None] + 0.5) / n_turns
    places = ((starts + np.arange(n_held_out)) * (n_samples / n_held_out)).astype(int)
    order = np.arange(0)
    for member in range(n_members):
        turn = member % n_turns
        if turn == 0:
            order = rng.permutation(n_samples)
            if strata is not None:
                order = order[np.argsort(strata[order], kind="stable")]
        held_out[order[places[turn]], member] = True
    return held_out


def share_data(
    X: Tensor,
    targets: Tensor | np.ndarray,
    weights: np.ndarray,
    train_rows: np.ndarray,
    unseen: np.ndarray,
    device: str | torch.device,
) -> Data:
    """Put all but X on the device, and turn the mask of unseen rows into padded indices."""
    counts = np.count_nonzero(unseen, axis=0)
    held_out_rows = np.argsort(~unseen.T, axis=1, kind="stable")[:, : counts.max()]
    is_held_out = np.take_along_axis(unseen.T, held_out_rows, axis=1)
    return Data(
        X,
        *(
            torch.as_tensor(array, device=device)
            for array in (
                targets,
                weights.astype(np.float32),
                train_rows,
                held_out_rows,
                (weights[held_out_rows] * is_held_out).astype(np.float32),
            )
        ),
    )


def squared_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return half the squared error, averaged over outputs: (M, m, k), (M, m, k) -> (M, m)."""
    return 0.5 * (outputs - targets).square().mean(dim=-1)


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of logits (M, m, K) at class codes (M, m), in nats: (M, m)."""
    return torch.nn.functional.cross_entropy(outputs.movedim(-1, 1), targets, reduction="none")


def init_layers(
    sizes: Sequence[int], n_members: int, generator: torch.Generator | None
) -> list[Layer]:
    """Draw parameters uniformly within 1 / sqrt(fan_in), as torch.nn.Linear does."""

    def uniform(fan_in: int, *shape: int) -> Tensor:
        draws = torch.rand(shape, generator=generator, dtype=torch.float32, device="cpu")
        return (2 * draws - 1) / math.sqrt(fan_in)

    return [
        Layer(uniform(fan_in, n_members, fan_in, fan_out), uniform(fan_in, n_members, 1, fan_out))
        for fan_in, fan_out in pairwise(sizes)
    ]


def forward(layers: Sequence[Layer], X: Tensor, activation: str) -> Tensor:
    """Map each member's rows (M, m, n_features) to its outputs (M, m, n_outputs)."""
    activate = ACTIVATIONS[activation]
    *hidden, last = layers
    for layer in hidden:
        X = activate(torch.baddbmm(layer.bias, X, layer.weight))
    return torch.baddbmm(last.bias, X, last.weight)


def rows_at_once(layers: Sequence[Layer]) -> int:
    """Return how many rows of every member may be evaluated at once outside training."""
    widest = max(layer.weight.shape[0] * layer.weight.shape[2] for layer in layers)
    return max(1, MAX_ACTIVATIONS // widest)


def is_small(layers: Sequence[Layer], n_rows: int) -> bool:
    """Return whether products of some rows of every member are too small for several threads."""
    return is_small_product(n_rows, max(layer.weight.numel() for layer in layers))


@torch.no_grad()
def losses_at_rows(
    layers: Sequence[Layer], activation: str, loss: Loss, data: Data, rows: Tensor
) -> list[Tensor]:
    """Return blocks of ``loss(outputs, targets)`` (M, m, ...) at each member's own rows (M, m)."""
    return [
        loss(forward(layers, data.X[some], activation), data.targets[some])
        for some in rows.split(rows_at_once(layers), dim=1)
    ]


def average_over_rows(blocks: list[Tensor], weights: Tensor) -> Tensor:
    """Average blocks of losses (M, m, ...) over each member's rows with weights (M, m)."""
    total = weights.new_zeros(())
    sizes = [values.shape[1] for values in blocks]
    for values, weight in zip(blocks, weights.split(sizes, dim=1), strict=True):
        weight = weight.reshape(weight.shape + (1,) * (values.ndim - 2))
        total = total + (values * weight).sum(dim=1)
    return total / weights.sum(dim=1).reshape((-1,) + (1,) * (total.ndim - 1))


def averaging_decay(n_steps: int) -> float:
    """Return the decay of the running averages at a step.

    It is smaller at first, so that the initial parameters are soon forgotten: the average is over
    about the last tenth of the steps plus one.
    """
    return min(_AVERAGING, n_steps / (10 + n_steps))


class _Stack:
    """Members in training: their parameters, the running averages of these, and Adam's state."""

    def __init__(self, layers: list[Layer], lr: float, weight_decay: float) -> None:
        self.layers = [Layer(*(p.clone().requires_grad_() for p in layer)) for layer in layers]
        self.averaged = layers
        self.n_steps = 0
        groups: list[dict[str, Any]] = [
            {"params": [layer.weight for layer in self.layers], "weight_decay": weight_decay},
            {"params": [layer.bias for layer in self.layers]},
        ]
        self.optimizer = torch.optim.Adam(groups, lr=lr, fused=True)

    def step(self, loss: Tensor) -> None:
        """Take one step of Adam and update the running averages."""
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.n_steps += 1
        decay = averaging_decay(self.n_steps)
        for averaged, layer in zip(self.averaged, self.layers, strict=True):
            averaged.weight.lerp_(layer.weight.detach(), 1 - decay)
            averaged.bias.lerp_(layer.bias.detach(), 1 - decay)

    def keep(self, members: np.ndarray) -> None:
        """Drop all but some members. The training of these members is not affected."""
        kept = {}
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                state = self.optimizer.state.pop(parameter)
                kept[parameter] = parameter.detach()[members].requires_grad_()
                self.optimizer.state[kept[parameter]] = {
                    name: value if name == "step" else value[members]
                    for name, value in state.items()
                }
            group["params"] = [kept[parameter] for parameter in group["params"]]
        self.layers = [Layer(*(kept[p] for p in layer)) for layer in self.layers]
        self.averaged = [Layer(*(p[members] for p in layer)) for layer in self.averaged]


class _BestLayers:
    """Layers of each member at the epoch of its lowest held-out loss."""

    def __init__(self, layers: list[Layer]) -> None:
        self.layers = [Layer(*(p.clone() for p in layer)) for layer in layers]

    def keep(self, members: np.ndarray, averaged: list[Layer], positions: np.ndarray) -> None:
        """Replace the layers of some members by those at some positions of a stack."""
        for best, layer in zip(self.layers, averaged, strict=True):
            best.weight[members] = layer.weight[positions]
            best.bias[members] = layer.bias[positions]


def train(
    layers: list[Layer],
    data: Data,
    loss: Loss,
    *,
    activation: str,
    batch_size: int,
    lr: float,
    weight_decay: float,
    max_iter: int,
    patience: int | None,
    tol: float,
    generator: torch.Generator,
    verbose: Any = 0,
) -> Trained:
    """Train each member until its held-out loss has not fallen by ``tol`` for ``patience`` epochs.

    Without ``patience`` (None) all members train for ``max_iter`` epochs, and the parameters after
    the last epoch are returned. ``layers``, the initial parameters, are overwritten.
    """
    stack = _Stack(layers, lr, weight_decay)
    n_members = layers[0].weight.shape[0]
    best = _BestLayers(layers)
    stopping = None if patience is None else EarlyStopping(n_members, patience, tol)
    left_out = LeftOutLosses(data.held_out_weights.cpu().numpy())
    epoch = 0
    for epoch in range(1, max_iter + 1):
        _train_epoch(stack, data, loss, activation, batch_size, generator)
        if stopping is None:
            if verbose:
                print(f"Epoch {epoch}: {n_members} members")
            continue
        blocks = losses_at_rows(stack.averaged, activation, loss, data, data.held_out_rows)
        losses = average_over_rows(blocks, data.held_out_weights)
        active = stopping.active
        left_out.update(active, torch.cat(blocks, dim=1).double().cpu().numpy())
        improved, going_on = stopping.update(losses.double().cpu().numpy())
        best.keep(active[improved], stack.averaged, improved)
        if verbose:
            print(
                f"Epoch {epoch}: {len(active)} of {n_members} members in training, "
                f"mean of their lowest held-out losses {stopping.lowest.mean():.6g}"
            )
        if len(going_on) == 0:
            break
        if len(going_on) < len(active):
            data = data.of_members(going_on)
            stack.keep(going_on)
    if stopping is None:
        trained = stack.averaged
        finite = [p.isfinite().all(2).all(1) for layer in trained for p in layer]
        is_finite = torch.stack(finite).all(0).cpu().numpy()
    else:
        trained, is_finite = best.layers, np.isfinite(stopping.lowest)
    if not is_finite.all():
        who = f"{np.count_nonzero(~is_finite)} of {n_members} members have"
        raise diverged(who, epoch, lr)
    return Trained(trained, epoch, 1.0 if stopping is None else left_out.optimism(stopping.lowest))


def diverged(who: str, n_epochs: int, lr: float) -> ValueError:
    """Make an error that says which members have diverged, such as "2 of 4 members have"."""
    return ValueError(
        f"Training diverged: after {n_epochs} epochs, {who} outputs or parameters that are not "
        f"finite. Use a smaller lr, got lr={lr}, or check X and y for extreme values."
    )


def _train_epoch(
    stack: _Stack,
    data: Data,
    loss: Loss,
    activation: str,
    batch_size: int,
    generator: torch.Generator,
) -> None:
    """Train each member on all its rows once, in an order of its own."""
    n_members, n_rows = data.train_rows.shape
    order = torch.rand((n_members, n_rows), generator=generator, dtype=torch.float32)
    order = order.argsort(dim=1)
    rows = data.train_rows.gather(1, order.to(data.train_rows.device))
    # Batches have almost equal sizes, because the step of a small last batch would be noisy.
    for batch in rows.tensor_split(math.ceil(n_rows / batch_size), dim=1):
        outputs = forward(stack.layers, data.X[batch], activation)
        losses = loss(outputs, data.targets[batch]) * data.weights[batch]
        # The sum over members makes the gradient of each independent of the number of members.
        stack.step(losses.mean(dim=1).sum())
