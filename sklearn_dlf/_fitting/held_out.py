"""Early stopping of a refinement: cross-entropy at rows that the network is not trained on."""

from __future__ import annotations

import copy

import numpy as np

from .._network.heads import Units
from .._network.students import StudentNetwork
from .._predictive.averaged_probabilities import average_probabilities
from .calibration import LEAST_PROBABILITY


class HeldOut:
    """Cross-entropy at rows that the network is not trained on, round after round.

    Parameters
    ----------
    X : array of shape (n, *row_shape)
        Calibration rows.
    probabilities : array of shape (n, n_classes)
        Averaged probabilities of the ensemble there.
    patience : int
        Training is over after this number of rounds without a new minimum.
    """

    def __init__(self, X: np.ndarray, probabilities: np.ndarray, patience: int):
        self.X, self.probabilities, self.patience = X, probabilities, patience
        self.losses: list[float] = []
        self.best: dict | None = None

    def record(self, network: StudentNetwork, units: Units) -> float:
        """Append the network's cross-entropy with the ensemble's averages, in nats a row."""
        averaged, _ = average_probabilities(network.evaluate(self.X), units)
        logs = np.log(np.maximum(averaged, LEAST_PROBABILITY))
        self.losses.append(float(-(self.probabilities * logs).sum(axis=1).mean()))
        if self.losses[-1] == min(self.losses):
            self.best = copy.deepcopy(network.state_dict())
        return self.losses[-1]

    @property
    def is_over(self) -> bool:
        """Whether the last rounds had no new minimum."""
        return len(self.losses) - 1 - int(np.argmin(self.losses)) >= self.patience

    def restore_best(self, network: StudentNetwork) -> None:
        """Set the network to that of the round of least cross-entropy."""
        if self.best is not None:
            network.load_state_dict(self.best)
