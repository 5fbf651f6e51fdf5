"""The student's spread, scaled until it says as much of classes as the ensemble's own does.

Spread is fitted in logits. Where members' logits are not Gaussian, or their spread is large where
probabilities hardly change, the information that it carries about the class, in probabilities, is
another. One factor makes its mean that of the ensemble's members.

Members' spread at rows that they were fitted to is an estimate, in logits. A student that falls
short of what it says of probabilities is left as it is: a larger spread would flatten the averaged
probabilities that it was trained by.
"""

from __future__ import annotations

import numpy as np

from ._logits import average_probabilities, entropies, probabilities_from_latent

# Rows that the mean information is taken over, at the most.
N_ROWS = 2_000

# The factor is found within these bounds, by halving their distance so many times.
BOUNDS, N_BISECTIONS = (0.5, 2.0), 10


def match_information(student, X, contrasts, is_widened, random_state):
    """Scale the student's spread to the mutual information of class and member in the ensemble.

    Parameters
    ----------
    student : Student
        Trained; its heads are scaled.
    X : float32 array of shape (n, n_features)
        Standardised rows, the first of the design points: those of `fit`, since made rows may lie
        where members know nothing.
    contrasts : Contrasts
        Of the members at the design points.
    is_widened : bool
        Whether their spread at rows X is an estimate; the student's is not increased then.
    random_state : RandomState instance
        Of the choice of rows, where there are many.
    """
    rows = np.flatnonzero(contrasts.weights[: len(X)] > 0)
    if len(rows) > N_ROWS:
        rows = random_state.choice(rows, N_ROWS, replace=False)
    members = contrasts.center[:, None] + contrasts.scale[:, None] * contrasts.members(rows)
    members = probabilities_from_latent(members)
    weights = contrasts.weights[rows]
    wanted = _mean_information(members.mean(axis=-1), entropies(members).mean(axis=-1), weights)
    if wanted <= 0:
        return
    units = contrasts.center, contrasts.scale, contrasts.spread
    heads = student.evaluate(X[rows]).in_units(*units)

    def information(factor):
        """Mean of what class and member tell of each other under a spread that is scaled."""
        averaged, entropy = average_probabilities(
            heads.mean,
            factor * heads.loadings,
            factor**2 * heads.member_variance,
            with_entropy=True,
            mixing=heads.mixing,
        )
        return _mean_information(averaged, entropy, weights)

    low, high = np.log(BOUNDS)
    if is_widened:
        if information(1.0) <= wanted:
            return
        high = 0.0
    for _ in range(N_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if information(np.exp(middle)) < wanted else (low, middle)
    student.scale_spread(np.exp((low + high) / 2))


def _mean_information(averaged, entropy, weights):
    """Mean over rows of the mutual information, from averaged probabilities and mean entropies."""
    return np.average(entropies(averaged) - entropy, weights=weights)
