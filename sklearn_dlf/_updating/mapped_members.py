"""Members of a student of classifiers whose labels mean something else now.

Each member's probabilities of the old classes go through one map of a row: the map of labels, and
what the head adds. So the mean of the members is what was fitted to the new labels, members that
disagreed still do, and the mutual information of label and member does not exceed that of class and
member.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import entr, log_softmax

from .._predictive.law_probabilities import draw_at_rows
from .._predictive.logits import entropies, latent_from_probabilities, probabilities_from_latent
from .._predictive.members import StudentMembers
from .._utils.blocks import DRAW_ROWS, row_blocks, spaced_rows
from .._utils.warning import warn_user
from .class_adaptation import ClassAdaptation, head_features, map_logarithms
from .memory import Memory
from .updated_members import UpdatedMembers

# There is a warning if a head leaves less than this share of the members' mutual information, on
# average over so many rows at most.
LEAST_SHARE, MANY_ROWS = 0.5, 1_000

# Probabilities are not below it where logarithms are taken.
TINY = float(np.finfo(np.float64).tiny)


class MappedMembers(StudentMembers):
    """Members whose probabilities of old classes are mapped to those of new labels.

    Parameters
    ----------
    members : LatentFactorMembers
        Members that know the old classes.
    fitted : LatentFactorMembers
        Members of the fitted student, whose features the head takes.
    memory : Memory
        What `fit` has kept.
    adaptation : ClassAdaptation
        Map and head.
    """

    def __init__(self, members: Any, fitted: Any, memory: Memory, adaptation: ClassAdaptation):
        super().__init__(members.network, members.units)
        self._members, self._fitted = members, fitted
        self._memory, self._adaptation = memory, adaptation
        n_labels = adaptation.label_map.shape[1]
        self._n_outputs = 1 if n_labels == 2 else n_labels

    @property
    def n_outputs(self):
        return self._n_outputs

    @property
    def row_numbers(self):
        n_labels = self.n_classes
        return self._members.row_numbers + len(self._adaptation.label_map) * n_labels + 6 * n_labels

    def log_probabilities(self, X):
        self._members.is_exact = self.is_exact
        return np.concatenate([self._log_labels(X[rows]) for rows in row_blocks(len(X), DRAW_ROWS)])

    def probabilities(self, X, with_entropy=False):
        if not with_entropy:
            return np.exp(self.log_probabilities(X)), None
        self._members.is_exact = self.is_exact
        averages, entropy = np.empty((len(X), self.n_classes)), np.empty(len(X))
        for block in row_blocks(len(X), DRAW_ROWS):
            at = X[block]
            for rows, latent in draw_at_rows(self._members.process, at, self._members.law):
                members = self._map(at[rows], probabilities_from_latent(latent))
                averages[block][rows] = members.mean(axis=-1)
                entropy[block][rows] = entropies(members).mean(axis=-1)
        return averages, entropy

    def start_draws(self, n_samples, random_state):
        draw_old = self._members.start_draws(n_samples, random_state)

        def draw(X):
            draws = np.empty((len(X), self.n_outputs, n_samples))
            for rows in row_blocks(len(X), DRAW_ROWS):
                members = self._map(X[rows], probabilities_from_latent(draw_old(X[rows])))
                draws[rows] = latent_from_probabilities(members, TINY)
            return draws

        return draw

    def process(self, X: np.ndarray, exact: bool = False) -> Any:
        """Raise, since the members are no Gaussian process of latent outputs any more."""
        raise ValueError(
            "adapt has mapped the classes of this student to other labels, and the members are "
            "known by their probabilities, not by latent outputs. Use sample_predictions, or "
            "the student that was adapted."
        )

    def _map(self, X: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Return probabilities (n, K, S) of labels, of members with those of old classes (n, C, S).

        First the map of labels, then one map at each row under which the mean of the members
        becomes what was learnt, and which changes as few labels as can be.
        """
        mapped = np.einsum("ncs,ck->nks", probabilities, self._adaptation.label_map, optimize=True)
        if self._adaptation.head is None:
            return mapped
        average = np.exp(self._log_mapped(X))
        wanted = np.exp(self._log_labels(X))
        stays = np.minimum(wanted / np.maximum(average, TINY), 1.0)
        lacking = np.maximum(wanted - average, 0.0)
        moved = mapped * (1 - stays)[..., None]
        lacking /= np.maximum(lacking.sum(axis=1, keepdims=True), TINY)
        return mapped - moved + lacking[..., None] * moved.sum(axis=1, keepdims=True)

    def _log_mapped(self, X: np.ndarray) -> np.ndarray:
        """Log-probabilities (n, K) of labels without the head."""
        return map_logarithms(self._members.log_probabilities(X), self._adaptation.label_map)

    def _log_labels(self, X: np.ndarray) -> np.ndarray:
        """Log-probabilities (n, K) of labels."""
        logarithms, head = self._log_mapped(X), self._adaptation.head
        if head is None:
            return logarithms
        features = head_features(self._fitted, self._memory, X, self._adaptation.kind)
        with_head = log_softmax(logarithms + features @ head, axis=1)
        share = self._adaptation.share
        if share == 1:
            return with_head
        return np.logaddexp(np.log(share) + with_head, np.log1p(-share) + logarithms)


def warn_of_agreement(
    adaptation: ClassAdaptation, fitted: Any, memory: Memory, X: np.ndarray
) -> None:
    """Warn if members disagree far less at rows with the head of mapped labels than without."""
    if adaptation.head is None:
        return
    X = X[spaced_rows(len(X), MANY_ROWS)]
    found, before = (
        _mutual_information(members_of(each, fitted, memory), X)
        for each in (adaptation, adaptation._replace(head=None))
    )
    if found < LEAST_SHARE * before:
        warn_user(
            "Labels are likelier with a head on top of what classes are called now, and under it "
            f"members disagree {found / before:.2f} times as much at these rows as without. What "
            "is not known of the head is no part of the uncertainty: epistemic uncertainties, and "
            "the disagreement of drawn members, are too small. Use probabilities and the total. "
            "If you know which class has which name, give y the names of fit, and call update, or "
            "adapt(labels='kept')."
        )


def _mutual_information(members: Any, X: np.ndarray) -> float:
    """Return the mean mutual information of label and member at rows, in nats."""
    probabilities, entropy = members.probabilities(X, with_entropy=True)
    return float((entr(probabilities).sum(axis=1) - entropy).mean())


def members_of(adaptation: ClassAdaptation, fitted: Any, memory: Memory) -> Any:
    """Return the members of an adapted student of classifiers, whose fitted members are given."""
    members, label_map = fitted, adaptation.label_map
    if adaptation.posterior is not None:
        members = UpdatedMembers(fitted.network, fitted.units, adaptation.posterior)
    if np.array_equal(label_map, np.eye(len(label_map))) and adaptation.head is None:
        return members
    return MappedMembers(members, fitted, memory, adaptation)
