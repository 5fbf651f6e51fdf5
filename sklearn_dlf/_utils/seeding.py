"""Seeds for ensembles and for torch."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch

# Seeds are drawn below this number, the largest that numpy and torch both accept.
MAX_SEED = np.iinfo(np.int32).max


class _Turn:
    """A lock, held by one thread at a time, which may take it again."""

    def __init__(self) -> None:
        self.renew()
        if hasattr(os, "register_at_fork"):  # a child would wait for a thread that it has not got
            os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        """Make a lock that no thread holds."""
        self.lock = threading.RLock()


_TURN = _Turn()


class Draws(NamedTuple):
    """Generators of all draws that torch makes in a fit; None stands for torch's own.

    Attributes
    ----------
    cpu, device : torch.Generator or None
        Generators on the CPU and on the device of the network.
    """

    cpu: torch.Generator | None = None
    device: torch.Generator | None = None

    @classmethod
    def seeded(cls, seed: int, device: str | torch.device) -> Draws:
        """Return generators of one seed, which draw what torch's own would draw after it."""
        cpu = torch.Generator("cpu").manual_seed(seed)
        if torch.device(device).type == "cpu":
            return cls(cpu, cpu)
        try:
            return cls(cpu, torch.Generator(device).manual_seed(seed))
        except RuntimeError:  # the device has no generators of its own
            return cls(cpu, None)

    @classmethod
    def going_on(cls, seed: int, device: str | torch.device) -> Draws:
        """Return generators in the state of torch's own."""
        draws = cls.seeded(seed, device)
        assert draws.cpu is not None
        draws.cpu.set_state(torch.default_generator.get_state())
        if torch.device(device).type == "cuda" and draws.device is not None:
            draws.device.set_state(torch.cuda.get_rng_state(device))
        return draws


@contextmanager
def seeded(seed: int, device: str | torch.device = "cpu") -> Iterator[None]:
    """Seed torch's global generator for a block, and restore its state afterwards.

    Layers of the user's own draw their first parameters from the global generator, which all
    threads share. So one thread at a time is in such a block.
    """
    devices = [device] if torch.device(device).type == "cuda" else []
    with _TURN.lock, torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            with torch.cuda.device(device):  # it may be another one than the current
                torch.cuda.manual_seed(seed)
        yield
