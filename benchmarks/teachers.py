"""Ensembles as functions of rows, which can be cut, joined and displaced."""

from __future__ import annotations

import numpy as np

from sklearn_dlf.ensembles import Members, register_ensemble


class Teachers:
    """Members as a function of rows, and the rows of their fit that each did not see."""

    def __init__(self, ask, unseen):
        self.ask = ask
        self.unseen = unseen

    def first(self, n_members):
        """Some of the members."""
        return Teachers(lambda X: self.ask(X)[:, :n_members], self.unseen[:, :n_members])

    def displaced(self, shift):
        """The same members, the second half of them moved by ``shift(X)`` (n,)."""
        is_moved = np.arange(self.unseen.shape[1]) >= self.unseen.shape[1] // 2
        return Teachers(lambda X: self.ask(X) + shift(X)[:, None] * is_moved, self.unseen)

    def untold(self):
        """The same members, of which it is not known what they did not see."""
        return Teachers(self.ask, np.zeros_like(self.unseen))


register_ensemble(
    Teachers,
    lambda teachers: Members(
        "regressor",
        teachers.unseen.shape[1],
        lambda X: teachers.ask(X).T,
        unseen=lambda: teachers.unseen,
    ),
)


def of_networks(networks):
    """Members of a deep ensemble."""
    return Teachers(networks.member_predictions, networks.unseen_rows_)


def join(groups):
    """Members of several groups of teachers."""
    return Teachers(
        lambda X: np.column_stack([group.ask(X) for group in groups]),
        np.column_stack([group.unseen for group in groups]),
    )
