"""Settings of torch that a caller may have changed, set aside for a block."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack, nullcontext

import torch

# Devices that autocasting is known for. It is a setting of each on its own.
AUTOCAST_DEVICES = "cpu", "cuda"

UNCHANGED = nullcontext()


def plain_torch() -> AbstractContextManager:
    """Return a context in which torch computes as it does unless told otherwise.

    Derivatives are recorded, no product is cast to a shorter type, and tensors are made on the CPU.
    All these are settings of the calling thread. The default dtype is one of the process: wherever
    a tensor is made, its dtype is given instead. The context costs a microsecond if nothing has to
    be changed.
    """
    stack = None
    if torch.is_inference_mode_enabled() or not torch.is_grad_enabled():
        stack = stack or ExitStack()
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
    for device in AUTOCAST_DEVICES:
        if torch.is_autocast_enabled(device):
            stack = stack or ExitStack()
            stack.enter_context(torch.autocast(device, enabled=False))
    # torch.get_default_device fails in torch 2.4 once the device was set back to None.
    if torch.empty(0).device.type != "cpu":
        stack = stack or ExitStack()
        stack.enter_context(torch.device("cpu"))
    return UNCHANGED if stack is None else stack
