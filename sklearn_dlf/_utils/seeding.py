"""Seeds for ensembles and for torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

# Seeds are drawn below this number, the largest that numpy and torch both accept.
MAX_SEED = np.iinfo(np.int32).max


@contextmanager
def seeded(seed: int, device: str | torch.device = "cpu") -> Iterator[None]:
    """Seed torch's global generator for a block, and restore its state afterwards.

    Layers draw their first parameters from the global generator.
    """
    devices = [device] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            with torch.cuda.device(device):  # it may be another one than the current
                torch.cuda.manual_seed(seed)
        yield
