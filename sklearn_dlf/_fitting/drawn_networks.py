"""The untrained network of a fit, and the generators that it and its training draw from."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from .._network.base import Network
from .._network.bodies import two_rows
from .._network.rows import RowsOrShape
from .._utils.seeding import Draws, seeded


@contextmanager
def drawn_network(
    student: Any,
    rows: RowsOrShape,
    seed: int,
    make: Callable[[torch.Generator | None], Network],
) -> Iterator[tuple[Any, Draws]]:
    """Make a network by ``make(generator)`` for a block that trains it; yield it and the draws.

    Networks of this package's layers have generators of their own. So fits in several threads
    neither disturb each other nor change the state of torch's own generator, which all share. A
    body of the user's own draws from that one: it is made while no other body is, and the state is
    restored. If its training draws too, as dropout does, the whole block runs while no other does.

    Parameters
    ----------
    student : estimator
        Student with a ``body_`` and a ``device``.
    rows : int, tuple of int or array of shape (n, *row_shape)
        Rows, at two of which a body of the user's own is tried.
    seed : int
        Seed of all draws.
    make : callable
        Makes the network, given the generator of its first parameters.
    """
    if student.body_ != "custom":
        draws = Draws.seeded(seed, student.device)
        yield make(draws.cpu), draws
        return
    with ExitStack() as stack:
        stack.enter_context(seeded(seed, student.device))
        network, draws = make(None), Draws()
        if not draws_in_training(network, rows):
            draws = Draws.going_on(seed, student.device)
            stack.close()
        yield network, draws


def draws_in_training(network: Network, rows: RowsOrShape) -> bool:
    """Return whether a network on the CPU takes numbers of torch's generator in training.

    A copy is evaluated at two rows. The generator's state is restored.
    """
    before = torch.default_generator.get_state()
    try:
        copy.deepcopy(network).train().for_loss(two_rows(rows))
    except Exception:  # whatever a body of the user's own raises at two rows: nothing is known
        return True
    finally:
        after = torch.default_generator.get_state()
        torch.default_generator.set_state(before)
    return not torch.equal(before, after)
