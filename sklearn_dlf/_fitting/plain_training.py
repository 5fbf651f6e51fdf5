"""Training of a student's own layers without autograd: the steps of Adam in few calls of torch.

The networks are so small that the number of calls to torch determines the time of a step. Here the
parameters lie in one vector, derivatives are written out layer by layer, and all results go to
memory that every batch uses again. Batches, derivatives and steps are those of `trainer.StudentNet`
but for rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from .._network.bodies import SWISH_SHARPNESS, EncodedMLP, Swish
from .._network.encodings import PiecewiseLinearEncoding
from .._network.students import StudentNetwork

# Constants of Adam, torch's own. The second moment is a mean over about 1,000 steps.
FIRST_DECAY, SECOND_DECAY, EPSILON = 0.9, 0.999, 1e-8

# Batches at the end of training whose loss is computed. It is shown to the user, and a divergence
# is found by it; no step depends on it.
N_MEASURED = 8

ATEN = torch.ops.aten


class Activation(NamedTuple):
    """An activation f of a layer, as ``f(sharpness x) / sharpness``.

    Attributes
    ----------
    apply : callable
        Writes ``f(inputs)`` to ``out``.
    pull_back : callable
        Multiplies a derivative by the outputs, in place, by the derivative of f at the inputs.
    sharpness : float
        Factor of the inputs. The factor of the outputs goes into the next layer's product.
    """

    apply: Callable
    pull_back: Callable
    sharpness: float = 1.0


SILU = Activation(
    lambda inputs, out: ATEN.silu.out(inputs, out=out),
    lambda slope, inputs, outputs: ATEN.silu_backward.grad_input(slope, inputs, grad_input=slope),
)
ACTIVATIONS: dict[type, Activation] = {
    Swish: SILU._replace(sharpness=SWISH_SHARPNESS),
    nn.SiLU: SILU,
    nn.ReLU: Activation(
        lambda inputs, out: torch.clamp(inputs, min=0, out=out),
        lambda slope, inputs, outputs: ATEN.threshold_backward.grad_input(
            slope, inputs, 0, grad_input=slope
        ),
    ),
    nn.GELU: Activation(
        lambda inputs, out: ATEN.gelu.out(inputs, out=out),
        lambda slope, inputs, outputs: ATEN.gelu_backward.grad_input(
            slope, inputs, grad_input=slope
        ),
    ),
    nn.Tanh: Activation(
        lambda inputs, out: torch.tanh(inputs, out=out),
        lambda slope, inputs, outputs: ATEN.tanh_backward.grad_input(
            slope, outputs, grad_input=slope
        ),
    ),
}


def can_train_plainly(network: nn.Module, X: torch.Tensor) -> bool:
    """Return whether a network is one that `PlainTraining` trains at rows X.

    It is a student's with layers of this package, in float32 on the CPU.
    """
    if not isinstance(network, StudentNetwork) or not network.has_own_layers:
        return False
    is_float = X.dtype == torch.float32 and X.ndim == 2
    parameters = list(network.parameters())
    are_plain = all(
        each.requires_grad and each.dtype == torch.float32 and each.device.type == "cpu"
        for each in parameters
    )
    return is_float and are_plain and network.noise_head is None


class PlainTraining:
    """Minimises an objective over the parameters of a network by Adam, and keeps Adam's state.

    Parameters
    ----------
    network : StudentNetwork
        Network of which `can_train_plainly` holds. It is trained in place.
    objective : ExpectedLikelihood or AveragedProbabilities
        Its method `plan` gives the derivative by the columns of all heads.
    decoupled : bool
        Whether weights decay apart from the derivative, as in AdamW.
    second_decay : float
        Adam's second constant.
    """

    def __init__(
        self,
        network: StudentNetwork,
        objective: Any,
        decoupled: bool = False,
        second_decay: float = SECOND_DECAY,
    ):
        self.objective = objective
        self.second_decay = second_decay
        self.decoupled = decoupled
        body = network.body
        self.encoding = body.encoding if isinstance(body, EncodedMLP) else None
        modules = list(body.layers if isinstance(body, EncodedMLP) else body)
        self.activations = [ACTIVATIONS[type(each)] for each in modules[1::2]]
        layers = [*modules[::2], network.heads]
        self._parameters = [part for layer in layers for part in (layer.weight, layer.bias)]
        n_numbers = sum(part.numel() for part in self._parameters)
        self._values, self._slope, self._mean, self._square, self._scale = torch.zeros(
            5, n_numbers, dtype=torch.float32
        )
        self.layers = self._views(self._values)
        self.slopes = self._views(self._slope)
        self.n_steps = 0

    def _views(self, numbers: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return weights (n_out, n_in) and biases (n_out,) of all layers as views of a vector."""
        parts = numbers.split([part.numel() for part in self._parameters])
        views = [part.view_as(own) for part, own in zip(parts, self._parameters, strict=True)]
        return list(zip(views[::2], views[1::2], strict=True))

    def train(
        self,
        batches: Callable[[], Sequence[torch.Tensor]],
        X: torch.Tensor,
        targets: Sequence[torch.Tensor],
        *,
        n_epochs: int,
        lr: float,
        weight_decay: float,
    ) -> float:
        """Train for some epochs; return the mean loss over the rows of the last batches.

        ``batches`` returns the rows of each batch of an epoch. The last of the ``targets`` are the
        weights of the rows.
        """
        with torch.no_grad():
            self._read()
            passes: dict[int, Pass] = {}
            loss = 0.0
            for epoch in range(n_epochs):
                n_measured = N_MEASURED if epoch == n_epochs - 1 else 0
                loss = self._run_epoch(batches(), X, targets, passes, n_measured, lr, weight_decay)
            self._write()
        return loss

    def _run_epoch(self, batches, X, targets, passes, n_measured, lr, weight_decay):
        """Take a step for each batch; return the mean loss over the rows of some last ones."""
        total, n_seen, first = torch.zeros((), dtype=torch.float32), 0, len(batches) - n_measured
        for number, rows in enumerate(batches):
            n_rows, is_measured = len(rows), number >= first
            if n_rows not in passes:
                passes[n_rows] = Pass(self, n_rows, X.shape[1], targets)
            one = passes[n_rows]
            one.gather(rows, X, targets)
            one.forward()
            loss = one.find_slope(is_measured)
            one.backward()
            self._step(lr, weight_decay)
            if is_measured:
                total.add_(loss, alpha=n_rows)
                n_seen += n_rows
        return total.item() / max(n_seen, 1)

    def _step(self, lr, weight_decay):
        """Take a step of Adam, with its moments' corrections in the step and in the floor."""
        self.n_steps += 1
        values, slope, scale = self._values, self._slope, self._scale
        if weight_decay and self.decoupled:
            values.mul_(1 - lr * weight_decay)
        elif weight_decay:
            slope.add_(values, alpha=weight_decay)
        self._mean.lerp_(slope, 1 - FIRST_DECAY)
        decay = self.second_decay
        self._square.mul_(decay).addcmul_(slope, slope, value=1 - decay)
        root = math.sqrt(1 - decay**self.n_steps)
        torch.sqrt(self._square, out=scale).add_(root * EPSILON)
        length = lr * root / (1 - FIRST_DECAY**self.n_steps)
        values.addcdiv_(self._mean, scale, value=-length)

    def _read(self):
        """Copy the network's parameters, which others change between calls."""
        for (weight, bias), own in zip(self.layers, self._pairs(), strict=True):
            weight.copy_(own[0])
            bias.copy_(own[1])

    def _write(self):
        """Copy the parameters back to the network."""
        for (weight, bias), own in zip(self.layers, self._pairs(), strict=True):
            own[0].copy_(weight)
            own[1].copy_(bias)

    def _pairs(self) -> Iterator[tuple[nn.Parameter, nn.Parameter]]:
        """Weight and bias of each layer of the network."""
        return zip(self._parameters[::2], self._parameters[1::2], strict=True)


class Pass:
    """Memory of a forward and a backward pass for batches of one size, and the two passes.

    Parameters
    ----------
    training : PlainTraining
        Holds the layers, and the memory of their derivatives.
    n_rows, n_features : int
        Shape of a batch.
    targets : sequence of tensors
        Targets of all rows, the weights last.
    """

    def __init__(self, training: PlainTraining, n_rows: int, n_features: int, targets: Sequence):
        self.rows = torch.empty(n_rows, n_features, dtype=torch.float32)
        self.targets = [each.new_empty(n_rows, *each.shape[1:]) for each in targets]
        self.ones = torch.ones(n_rows, dtype=torch.float32)
        self.encode = None
        inputs = self.rows
        if training.encoding is not None:
            self.encode, inputs = _plan_encoding(training.encoding, self.rows)
        self.steps = []
        factor = 1.0  # of the inputs over those that the layer is defined for
        for number, (layer, slope) in enumerate(zip(training.layers, training.slopes, strict=True)):
            is_hidden = number < len(training.activations)
            activation = training.activations[number] if is_hidden else None
            step = _Layer(inputs, layer, slope, self.ones, activation, factor)
            factor = 1.0 if activation is None else activation.sharpness
            self.steps.append(step)
            inputs = step.outputs
        self.columns = inputs
        self.find_slope = training.objective.plan(self.columns, self.targets, self.steps[-1].slope)

    def gather(self, rows: torch.Tensor, X: torch.Tensor, targets: Sequence) -> None:
        """Copy the rows of a batch, and their targets."""
        torch.index_select(X, 0, rows, out=self.rows)
        for own, given in zip(self.targets, targets, strict=True):
            torch.index_select(given, 0, rows, out=own)

    def forward(self) -> None:
        """Compute the columns of all heads."""
        if self.encode is not None:
            self.encode()
        for step in self.steps:
            step.forward()

    def backward(self) -> None:
        """Compute the derivative by all parameters from that by the columns."""
        following = None
        for step in reversed(self.steps):
            step.backward(following)
            following = step


class _Layer:
    """A linear layer and its activation at a batch.

    With ``factor`` the inputs are that many times those that the layer is defined for.
    """

    def __init__(self, inputs, layer, slopes, ones, activation, factor):
        self.inputs, self.ones, self.activation = inputs, ones, activation
        self.weight, self.bias = layer
        self.weight_slope, self.bias_slope = slopes
        self.turned_weight = self.weight.T
        sharpness = 1.0 if activation is None else activation.sharpness
        self.factors = {"beta": sharpness, "alpha": sharpness / factor}
        self.factor = factor
        self.products, self.slope = ones.new_empty(2, len(ones), len(self.bias))
        self.outputs = self.products if activation is None else torch.empty_like(self.products)
        self.turned_slope = self.slope.T

    def forward(self):
        """Compute the outputs, ``sharpness`` times those of the layer."""
        torch.addmm(self.bias, self.inputs, self.turned_weight, out=self.products, **self.factors)
        if self.activation is not None:
            self.activation.apply(self.products, self.outputs)

    def backward(self, following):
        """Compute the derivatives by the parameters, after those of the following layer.

        ``slope`` is the derivative by what the layer is without sharpness and factor.
        """
        if following is not None:
            torch.mm(following.slope, following.weight, out=self.slope)
            self.activation.pull_back(self.slope, self.products, self.outputs)
        self.weight_slope.addmm_(self.turned_slope, self.inputs, beta=0, alpha=1 / self.factor)
        torch.mv(self.turned_slope, self.ones, out=self.bias_slope)


def _plan_encoding(encoding: PiecewiseLinearEncoding, rows: torch.Tensor):
    """Return a function that encodes a batch, and the memory that it writes the bins to."""
    columns, centre, slope = encoding.columns.long(), encoding.centre, encoding.slope
    bins = rows.new_empty(len(rows), encoding.n_bins)

    def encode():
        torch.index_select(rows, 1, columns, out=bins)
        bins.sub_(centre).mul_(slope).clamp_(-1, 1)

    return encode, bins
