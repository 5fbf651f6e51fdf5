"""Early stopping of members, each by its own held-out loss."""

from __future__ import annotations

import numpy as np


class EarlyStopping:
    """Lowest held-out loss of each member, and the members that still train.

    Parameters
    ----------
    n_members : int
        Number of members.
    patience : int
        Epochs without a fall of its loss after which a member stops.
    tol : float
        Smallest fall that counts, in units of the loss.

    Attributes
    ----------
    lowest : ndarray of shape (n_members,)
        Lowest held-out loss of each member; infinite before the first finite one.
    active : ndarray of int
        Members that still train.
    """

    def __init__(self, n_members: int, patience: int, tol: float) -> None:
        self.lowest = np.full(n_members, np.inf)
        self.active = np.arange(n_members)
        self._patience, self._tol = patience, tol
        # The loss that a member has to undercut by `tol`, and the epochs since it last did so.
        self._reference = np.full(n_members, np.inf)
        self._n_waited = np.zeros(n_members, dtype=int)

    def update(self, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compare the losses of the active members.

        Return the positions among them of those whose loss is their lowest, and of those that go
        on.
        """
        active = self.active
        improved = np.flatnonzero(losses < self.lowest[active])
        self.lowest[active[improved]] = losses[improved]
        has_fallen = losses < self._reference[active] - self._tol
        self._reference[active[has_fallen]] = losses[has_fallen]
        self._n_waited[active] = np.where(has_fallen, 0, self._n_waited[active] + 1)
        going_on = np.flatnonzero(self._n_waited[active] < self._patience)
        self.active = active[going_on]
        return improved, going_on
