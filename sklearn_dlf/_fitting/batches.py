"""Batches of tensors, whose rows are cut out at once."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from .._network.rows import as_input


class TensorBatches:
    """Batches of tensors, shuffled anew in each epoch.

    It replaces a ``DataLoader``, which would collate rows one by one. It yields pairs
    ``(X, targets)`` of a tensor and a list of tensors. A last batch of a single row is joined to
    the batch before it, since normalisation over a batch needs two rows.

    Rows stay as they are given, such as bytes of images, and each batch is cast to what a network
    takes.

    Parameters
    ----------
    tensors : tuple of tensors
        X and the targets, with one row each for every sample.
    batch_size : int
        Rows of a batch.
    generator : torch.Generator
        Source of the order of rows.
    like : tensor, default=None
        Parameter of the network, on the device that batches are moved to. None leaves X as it is.
    """

    def __init__(
        self,
        tensors: tuple[torch.Tensor, ...],
        batch_size: int,
        generator: torch.Generator,
        like: torch.Tensor | None = None,
    ):
        self.tensors = tensors
        self.batch_size = batch_size
        self.generator = generator
        self.like = like

    def __iter__(self) -> Iterator[tuple[torch.Tensor, list[torch.Tensor]]]:
        """Yield the batches of one epoch."""
        all_rows, *all_targets = self.tensors
        like = all_rows if self.like is None else self.like
        for order in self.draw():
            # X and targets may be on different devices.
            rows, same_rows = order.to(all_rows.device), order.to(like.device)
            X = all_rows.index_select(0, rows)
            targets = [tensor.index_select(0, same_rows) for tensor in all_targets]
            yield X if self.like is None else as_input(X, like), targets

    def draw(self) -> list[torch.Tensor]:
        """Return the rows of each batch of an epoch."""
        order = torch.randperm(len(self.tensors[0]), generator=self.generator)
        batches = list(order.split(self.batch_size))
        if len(batches) > 1 and len(batches[-1]) == 1 < self.batch_size:
            batches[-2:] = [torch.cat(batches[-2:])]
        return batches
