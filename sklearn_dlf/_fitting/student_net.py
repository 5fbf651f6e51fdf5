"""A thin skorch net that trains a network, and its optimiser."""

from __future__ import annotations

import torch
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping

from .batches import TensorBatches

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


class StudentNet(NeuralNet):
    """skorch net that cuts batches out of a ``TensorDataset`` at once.

    Parameters
    ----------
    *args, **kwargs
        As in skorch's ``NeuralNet``.
    generator : torch.Generator
        Source of the order of rows.
    """

    def __init__(self, *args, generator, **kwargs):
        super().__init__(*args, **kwargs)
        self.generator = generator

    def get_iterator(self, dataset, training=False):
        """Iterate over the dataset's tensors in batches."""
        like = self.module_.input_like()
        return TensorBatches(dataset.tensors, self.batch_size, self.generator, like)

    def get_all_learnable_params(self):
        """Yield names and parameters that are not frozen."""
        for name, parameter in super().get_all_learnable_params():
            if parameter.requires_grad:
                yield name, parameter

    def has_stopped_early(self) -> bool:
        """Return whether an early-stopping callback has ended this training.

        skorch ends it by a keyboard interrupt.
        """
        return any(
            isinstance(callback, EarlyStopping) and callback.misses_ == callback.patience
            for _, callback in self.callbacks_
        )

    def train_step_single(self, batch, **fit_params):
        """Compute the loss of a batch and its derivatives.

        The module is in training mode, and batches are tensors on the device already. Networks are
        so small that the number of calls to torch determines the time. So an objective that returns
        its own derivative stays outside the graph of autograd.
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


def lr_shares(optimizer: torch.optim.Optimizer, lr: float) -> list[float]:
    """Return each group's learning rate as a share of that of the net, if groups differ in it."""
    rates = [group["lr"] for group in optimizer.param_groups]
    return [1.0] * len(rates) if len(set(rates)) == 1 else [rate / lr for rate in rates]


def optimizer_options(optimizer, weight_decay, device):
    """Return skorch's options for an optimizer; those of `OPTIMIZERS` run fused, in one kernel."""
    options = {"optimizer": OPTIMIZERS.get(optimizer, optimizer)}
    if weight_decay:
        options["optimizer__weight_decay"] = weight_decay
    if optimizer in OPTIMIZERS and torch.device(device).type in ("cpu", "cuda"):
        options["optimizer__fused"] = True
    return options
