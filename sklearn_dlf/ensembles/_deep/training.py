"""Many small networks of one shape, trained at once.

The parameters of a layer are stacked, weights (n_members, fan_in, fan_out) and biases
(n_members, 1, fan_out), so that one batched matrix product serves all members. Members share the
data and nothing else: each has its own rows, order of rows, held-out rows and best epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

#: In place, because the derivative of each needs its result only.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda X: X,
    "logistic": torch.sigmoid_,
    "relu": torch.relu_,
    "tanh": torch.tanh_,
}

# Decay, a step, of the running average of the parameters: about the last 100 steps. The average
# is evaluated and kept instead of the last step, which a constant learning rate leaves noisy.
_AVERAGING = 0.99

# Numbers in one layer's activations outside training (16 MB in float64): bounds the memory.
_MAX_ACTIVATIONS = 2**21


class Layer(NamedTuple):
    """Weights (n_members, fan_in, fan_out) and biases (n_members, 1, fan_out) of all members."""

    weight: Tensor
    bias: Tensor


class Data(NamedTuple):
    """What members share: X (n, d), targets (n, k) or (n,), weights (n,); and who sees what.

    ``train_rows`` and ``held_out_rows`` are indices (n_members, m). Where members hold out
    different numbers of rows, rows are padded, and ``held_out_weights`` is zero there.
    """

    X: Tensor
    targets: Tensor
    weights: Tensor
    train_rows: Tensor
    held_out_rows: Tensor
    held_out_weights: Tensor

    def of_members(self, members) -> Data:
        """Return the same data for some of the members."""
        return self._replace(
            train_rows=self.train_rows[members],
            held_out_rows=self.held_out_rows[members],
            held_out_weights=self.held_out_weights[members],
        )


class Trained(NamedTuple):
    """Layers of every member at its own best epoch, and epochs run."""

    layers: list[Layer]
    n_iter: int


def bootstrap_rows(n_samples, n_members, rng):
    """Draw rows with replacement: indices (n_members, n_samples), mask of the rows not drawn.

    Each member draws from all rows but one, so that on any data it has a row that is unseen.
    """
    left_out = rng.randint(n_samples, size=(n_members, 1))
    rows = rng.randint(n_samples - 1, size=(n_members, n_samples))
    rows += rows >= left_out
    unseen = np.ones((n_samples, n_members), dtype=bool)
    unseen[rows, np.arange(n_members)[:, None]] = False
    return rows, unseen


def held_out_in_turn(n_samples, n_members, fraction, strata, rng):
    """Mask (n_samples, n_members) of the rows each member holds out, equally many for each.

    Members take turns: as many as can hold out rows that do not overlap, so that every row is
    held out by about equally many members. Each member's rows are spread over the strata.
    """
    held_out = np.zeros((n_samples, n_members), dtype=bool)
    if fraction == 0:
        return held_out
    n_held_out = min(max(1, round(fraction * n_samples)), n_samples - 1)
    n_turns = n_samples // n_held_out
    # Every turn takes places evenly spaced by n_samples / n_held_out >= n_turns, from its own
    # start. The half keeps the floor away from rounding errors.
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


def share_data(X, targets, weights, train_rows, unseen, device) -> Data:
    """Put the data on the device, and turn the mask of unseen rows into padded indices."""
    counts = np.count_nonzero(unseen, axis=0)
    held_out_rows = np.argsort(~unseen.T, axis=1, kind="stable")[:, : counts.max()]
    is_held_out = np.take_along_axis(unseen.T, held_out_rows, axis=1)
    return Data(
        *(
            torch.as_tensor(array, device=device)
            for array in (
                X,
                targets,
                weights.astype(np.float32),
                train_rows,
                held_out_rows,
                (weights[held_out_rows] * is_held_out).astype(np.float32),
            )
        )
    )


def squared_loss(outputs, targets):
    """Half the squared error, averaged over outputs: (M, m, k), (M, m, k) -> (M, m)."""
    return 0.5 * (outputs - targets).square().mean(dim=-1)


def cross_entropy(outputs, targets):
    """Cross-entropy of logits (M, m, K) against class codes (M, m) -> (M, m)."""
    return torch.nn.functional.cross_entropy(outputs.movedim(-1, 1), targets, reduction="none")


def init_layers(sizes, n_members, generator) -> list[Layer]:
    """Draw parameters uniformly within 1 / sqrt(fan_in), as torch.nn.Linear does."""

    def uniform(fan_in, *shape):
        return (2 * torch.rand(shape, generator=generator) - 1) / math.sqrt(fan_in)

    return [
        Layer(uniform(fan_in, n_members, fan_in, fan_out), uniform(fan_in, n_members, 1, fan_out))
        for fan_in, fan_out in pairwise(sizes)
    ]


def forward(layers, X, activation):
    """Map rows (M, m, n_features) to outputs (M, m, n_outputs), member by member."""
    activate = ACTIVATIONS[activation]
    *hidden, last = layers
    for layer in hidden:
        X = activate(torch.baddbmm(layer.bias, X, layer.weight))
    return torch.baddbmm(last.bias, X, last.weight)


def rows_at_once(layers):
    """Return how many rows of every member fit the memory allowed outside training."""
    widest = max(layer.weight.shape[0] * layer.weight.shape[2] for layer in layers)
    return max(1, _MAX_ACTIVATIONS // widest)


@torch.no_grad()
def average_over_rows(layers, activation, loss, data, rows, weights):
    """Average ``loss(outputs, targets)`` (M, m, ...) over each member's own rows (M, m)."""
    total = torch.zeros((), device=rows.device)
    step = rows_at_once(layers)
    for some, weight in zip(rows.split(step, dim=1), weights.split(step, dim=1), strict=True):
        values = loss(forward(layers, data.X[some], activation), data.targets[some])
        weight = weight.reshape(weight.shape + (1,) * (values.ndim - 2))
        total = total + (values * weight).sum(dim=1)
    return total / weights.sum(dim=1).reshape((-1,) + (1,) * (total.ndim - 1))


class _Stack:
    """The members still in training: parameters, their running average, and Adam's state."""

    def __init__(self, layers, learning_rate, weight_decay):
        self.layers = [Layer(*(p.clone().requires_grad_() for p in layer)) for layer in layers]
        self.averaged = layers
        self.n_steps = 0
        self.optimizer = torch.optim.Adam(
            [
                {"params": [layer.weight for layer in self.layers], "weight_decay": weight_decay},
                {"params": [layer.bias for layer in self.layers]},
            ],
            lr=learning_rate,
            fused=True,
        )

    def step(self, loss):
        """Take one step of Adam, and move the average."""
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.n_steps += 1
        # The first steps are averaged over a tenth of the past, so that the start is forgotten.
        decay = min(_AVERAGING, self.n_steps / (10 + self.n_steps))
        for averaged, layer in zip(self.averaged, self.layers, strict=True):
            averaged.weight.lerp_(layer.weight.detach(), 1 - decay)
            averaged.bias.lerp_(layer.bias.detach(), 1 - decay)

    def keep(self, members):
        """Drop all but some members, whose training goes on as if nothing had happened."""
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


def train(
    layers,
    data,
    loss,
    *,
    activation,
    batch_size,
    learning_rate,
    weight_decay,
    max_iter,
    patience,
    tol,
    generator,
    verbose=0,
) -> Trained:
    """Train all members, each until its held-out loss has not fallen by ``tol`` for ``patience``.

    Without ``patience`` (None) all members train for ``max_iter`` epochs and the last is kept.
    """
    stack = _Stack(layers, learning_rate, weight_decay)
    n_members = layers[0].weight.shape[0]
    best = [Layer(*(p.clone() for p in layer)) for layer in layers]
    lowest, reference = np.full((2, n_members), np.inf)
    waited = np.zeros(n_members, dtype=int)
    active = np.arange(n_members)
    epoch = 0
    for epoch in range(1, max_iter + 1):
        _train_epoch(stack, data, loss, activation, batch_size, generator)
        if patience is None:
            if verbose:
                print(f"Epoch {epoch}: {n_members} members")
            continue
        losses = average_over_rows(
            stack.averaged, activation, loss, data, data.held_out_rows, data.held_out_weights
        )
        losses = losses.double().cpu().numpy()
        improved = losses < lowest[active]
        lowest[active[improved]] = losses[improved]
        _copy_members(best, active[improved], stack.averaged, np.flatnonzero(improved))
        clearly = losses < reference[active] - tol
        reference[active[clearly]] = losses[clearly]
        waited[active] = np.where(clearly, 0, waited[active] + 1)
        if verbose:
            print(
                f"Epoch {epoch}: {len(active)} of {n_members} members in training, "
                f"mean of their lowest held-out losses {lowest.mean():.6g}"
            )
        going_on = np.flatnonzero(waited[active] < patience)
        if len(going_on) == 0:
            break
        if len(going_on) < len(active):
            active, data = active[going_on], data.of_members(going_on)
            stack.keep(going_on)
    if patience is None:
        best = stack.averaged
        diverged = ~torch.stack([p.isfinite().all(2).all(1) for layer in best for p in layer]).all(
            0
        )
    else:
        diverged = torch.as_tensor(~np.isfinite(lowest))
    if diverged.any():
        raise ValueError(
            f"Training diverged: {int(diverged.sum())} of {n_members} members have no finite "
            f"outputs after {epoch} epochs. Lower learning_rate_init, {learning_rate} here, or "
            "look for extreme values in X and y."
        )
    return Trained(best, epoch)


def _train_epoch(stack, data, loss, activation, batch_size, generator):
    """Show each member all its rows once, in its own order."""
    n_members, n_rows = data.train_rows.shape
    order = torch.rand((n_members, n_rows), generator=generator).argsort(dim=1)
    rows = data.train_rows.gather(1, order.to(data.train_rows.device))
    # Batches of almost equal size: a small last one would be a noisy step.
    for batch in rows.tensor_split(math.ceil(n_rows / batch_size), dim=1):
        outputs = forward(stack.layers, data.X[batch], activation)
        losses = loss(outputs, data.targets[batch]) * data.weights[batch]
        stack.step(losses.mean(dim=1).sum())  # a sum: no member feels how many others there are


def _copy_members(target, target_members, source, source_members):
    for into, layer in zip(target, source, strict=True):
        into.weight[target_members] = layer.weight[source_members]
        into.bias[target_members] = layer.bias[source_members]
