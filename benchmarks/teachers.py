"""Ensembles as functions of rows, which can be cut, joined and displaced."""

from __future__ import annotations

import numpy as np

from sklearn_dlf.ensembles import Members, register_ensemble


class Teachers:
    """An ensemble as a function of rows.

    Parameters
    ----------
    evaluate : callable
        Takes rows (n, n_features), returns the members' predictions (n, n_members).
    unseen : bool array of shape (n_samples, n_members)
        True where a member was not trained on a row of the ensemble's own fit.
    """

    def __init__(self, evaluate, unseen):
        self.evaluate = evaluate
        self.unseen = unseen

    def first(self, n_members):
        """Return an ensemble of the first members."""
        return Teachers(lambda X: self.evaluate(X)[:, :n_members], self.unseen[:, :n_members])

    def displaced(self, shift):
        """Return an ensemble whose second half of members is moved by ``shift(X)`` (n,)."""
        is_moved = np.arange(self.unseen.shape[1]) >= self.unseen.shape[1] // 2
        return Teachers(lambda X: self.evaluate(X) + shift(X)[:, None] * is_moved, self.unseen)

    def without_unseen(self):
        """Return the same members without the record of their unseen rows."""
        return Teachers(self.evaluate, np.zeros_like(self.unseen))


register_ensemble(
    Teachers,
    lambda teachers: Members(
        "regressor",
        teachers.unseen.shape[1],
        lambda X: teachers.evaluate(X).T,
        unseen=lambda: teachers.unseen,
    ),
)


def of_networks(networks):
    """Return the members of a fitted deep ensemble."""
    return Teachers(networks.member_predictions, networks.unseen_rows_)


def join(groups):
    """Return one ensemble of the members of several."""
    return Teachers(
        lambda X: np.column_stack([group.evaluate(X) for group in groups]),
        np.column_stack([group.unseen for group in groups]),
    )
