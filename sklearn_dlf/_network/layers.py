"""Linear layers whose first parameters are drawn by a generator of the caller's."""

from __future__ import annotations

import math

import torch
from torch import nn


def make_linear(fan_in: int, fan_out: int, generator: torch.Generator | None = None) -> nn.Linear:
    """Make a float32 layer on the CPU that maps (..., fan_in) to (..., fan_out).

    Its parameters are those that ``nn.Linear`` draws from a generator in the same state. But
    ``nn.Linear`` always takes torch's own generator, which all threads share, and the default dtype
    and device. Without a ``generator``, the parameters are drawn by torch's own here too.
    """
    layer = nn.utils.skip_init(nn.Linear, fan_in, fan_out, dtype=torch.float32, device="cpu")
    nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
    bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0.0
    nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return layer
