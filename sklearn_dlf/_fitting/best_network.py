"""The network of the best iteration, for where training by batches ends on a worse one.

Where members differ in few ways, nearly all of their spread is in the factors. The log-likelihood
is then so sensitive that a batch can lower it by nats, and the last iteration may be the worst.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .._latent.models import LatentModel
from .._network.base import Network

# The best network is taken back if the last one has a log-likelihood that is lower by more than
# this, in nats per entry. A choice.
MAX_LOSS = 0.05

# Attributes of a `LatentModel` that belong to a network. Not all models have both.
OF_MODEL = ("noise_variance", "mixing")


class BestNetwork:
    """Parameters and buffers of a network as they were after the best iteration so far.

    Attributes
    ----------
    log_likelihood : float
        That of the iteration, in nats per entry.
    """

    def __init__(self) -> None:
        self.log_likelihood = -np.inf
        self._state: dict[str, Any] = {}
        self._of_model: dict[str, Any] = {}

    def see(self, network: Network, model: LatentModel, log_likelihood: float) -> None:
        """Keep a network if it is the best so far. Bodies of the user's own may be too large."""
        if network.has_own_layers and log_likelihood > self.log_likelihood:
            self.log_likelihood = log_likelihood
            self._state = {key: each.clone() for key, each in network.state_dict().items()}
            self._of_model = {key: vars(model)[key] for key in OF_MODEL if key in vars(model)}

    @torch.no_grad()
    def restore(self, network: Network, model: LatentModel, log_likelihood: float) -> bool:
        """Set network and model back if they are far worse now, and return whether they were."""
        if self.log_likelihood - log_likelihood <= MAX_LOSS:
            return False
        network.load_state_dict(self._state)
        vars(model).update(self._of_model)
        return True
