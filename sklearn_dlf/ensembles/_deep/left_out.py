"""How far held-out rows understate the error of members whose best epoch they have chosen.

The epoch of the lowest loss on held-out rows suits these rows a little better than others. The loss
of a held-out row at the epoch that the *other* held-out rows choose has no such bias, because it
takes no part in the choice. The ratio of the two says how much larger the loss is at new rows.
"""

from __future__ import annotations

import numpy as np


class LeftOutLosses:
    """Losses of held-out rows at the epochs that the other held-out rows of the member choose.

    Parameters
    ----------
    weights : array of shape (n_members, n_held_out)
        Weights of the held-out rows; zero for padding.
    """

    def __init__(self, weights: np.ndarray):
        self._weights = weights.astype(np.float64)
        self._lowest = np.full(weights.shape, np.inf)
        self._losses = np.zeros(weights.shape)

    def update(self, members: np.ndarray, losses: np.ndarray) -> None:
        """Take the losses (n, n_held_out) of some members after an epoch."""
        weighted = self._weights[members] * losses
        others = weighted.sum(axis=1, keepdims=True) - weighted
        improved = others < self._lowest[members]
        self._lowest[members] = np.where(improved, others, self._lowest[members])
        self._losses[members] = np.where(improved, losses, self._losses[members])

    def optimism(self, lowest: np.ndarray) -> float:
        """Return the ratio of the mean loss to that at the members' best epochs, at least one.

        ``lowest`` (n_members,) are the losses there. A single row has no others that could choose;
        the ratio is one then.
        """
        if (np.count_nonzero(self._weights, axis=1) < 2).any() or not lowest.mean() > 0:
            return 1.0
        left_out = np.average(self._losses, axis=1, weights=self._weights)
        return max(float(left_out.mean() / lowest.mean()), 1.0)
