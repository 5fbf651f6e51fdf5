"""Members that a student's network holds, one function each."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp
from sklearn.utils import Bunch

from .._predictive.logits import (
    entropies,
    log_probabilities_from_latent,
    probabilities_from_latent,
)
from .._predictive.members import StudentMembers, finite_logarithm
from .._utils.blocks import DRAW_ROWS, row_blocks


class HeldMembers(StudentMembers):
    """Members of a network that has outputs for each of them."""

    def predict(self, X: np.ndarray, exact: bool = False) -> np.ndarray:
        """Outputs of all members (n, n_outputs, n_members)."""
        outputs = self.network_for(X, exact).evaluate(X)
        return self.units.center[:, None] + self.units.scale[:, None] * outputs

    def moments(self, X: np.ndarray, exact: bool = False) -> Bunch:
        """Bunch of ``mean`` and ``variance`` (n, n_outputs)."""
        return self.moments_in_units_of_y(X, None, exact)

    def moments_in_units_of_y(self, X, transformation, exact=False):
        mean, variance = np.empty((2, len(X), self.n_outputs))
        for rows in row_blocks(len(X), DRAW_ROWS):
            members = self.predict(X[rows], exact)
            if transformation is not None:  # each member by itself: no distribution is assumed
                members = transformation.invert(members)
            mean[rows], variance[rows] = members.mean(axis=-1), members.var(axis=-1)
        return Bunch(mean=mean, variance=variance)

    @property
    def row_numbers(self):
        # Outputs, in units of y and transformed back, or probabilities and their logarithms.
        return 5 * self.n_outputs * self.network.n_members

    def start_draws(self, n_samples, random_state):
        # Members are picked with replacement, the same ones for all rows.
        picked = random_state.randint(self.network.n_members, size=n_samples)

        def draw(X):
            draws = np.empty((len(X), self.n_outputs, n_samples))
            for rows in row_blocks(len(X), DRAW_ROWS):
                draws[rows] = self.predict(X[rows], exact=True)[..., picked]
            return draws

        return draw

    def probabilities(self, X, with_entropy=False):
        mean = np.empty((len(X), self.n_classes))
        entropy = np.empty(len(X))
        for rows in row_blocks(len(X), DRAW_ROWS):
            members = probabilities_from_latent(self.predict(X[rows]))
            mean[rows], entropy[rows] = members.mean(axis=-1), entropies(members).mean(axis=-1)
        return mean, entropy if with_entropy else None

    def log_probabilities(self, X):
        def log_average(rows):
            logarithms = log_probabilities_from_latent(self.predict(rows, exact=True))
            return logsumexp(logarithms, axis=-1) - np.log(logarithms.shape[-1])

        return finite_logarithm(self.probabilities(X)[0], X, log_average)
