"""What devices can do."""

from __future__ import annotations

import torch


def has_float64(device: torch.device) -> bool:
    """Return whether a device is known to compute in float64; that of Apple (MPS) does not."""
    return device.type in ("cpu", "cuda")
