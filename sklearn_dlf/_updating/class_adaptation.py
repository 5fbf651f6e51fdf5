"""Learns what labels mean now: a map of the student's classes to labels, and a head on top of it.

How strong the priors are, whether there is a head, and whether classes have kept their meaning, is
decided by cross-validation, by the probability of held-out labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.special import log_softmax, logsumexp

from .._predictive.members import SMALL_PROBABILITY
from .._utils.equal_rows import join_equal_rows
from .class_update import ClassUpdate
from .coordinates import choose_coordinates, features_of, read_heads
from .folds import LEAST_GAIN, is_less, make_folds, splits
from .label_map import MIDDLE_STRENGTH, keep_map, learn_map, map_learners
from .memory import Memory
from .offset_head import fit_head
from .posterior import Posterior

# Standard deviations of the coefficients of a head, on features whose squared length is one at a
# typical row of `fit`.
STDS = (0.3, 1.0, 3.0, 10.0)

# Features that a head may have: the mean of the latent outputs, or those of the body.
LATENT, BODY = "latent", "body"

# Shares of probabilities with a head in those that are predicted, and the exponent of the prior of
# the share: a beta distribution with parameters 1 and 1.5. Of few rows, a head that is taken whole
# may make labels less likely, and takes away more of the members' disagreement.
SHARES, PRIOR = np.r_[np.linspace(0, 0.975, 40), 0.99, 0.997, 0.999], 0.5

# A map that leaves every class its name has to make held-out labels likelier by more than so many
# standard errors: it may only say that the student is too sure, and then takes away disagreement of
# the members. In 12 draws of 300 to 1,000 rows whose labels had kept their meaning, the gain was at
# most about 1.5.
MAP_ERRORS = 3.0

# Rows that a class has to have, by the student, for its name to be known. On five sets, of three,
# three, ten, two and ten classes, two swapped names were then found in 38 of 40 draws of 20 rows
# and in 40 of 40 of 100, and names that had been kept were kept in 80 of 80. In a new region of
# four of the sets, errors of the student were taken for other names in 38 of 64.
LEAST_MASS = 1.0

# Takes numbers of rows, and returns log-probabilities of all rows (n, K), a posterior if classes
# are kept, and a map of labels.
Learn = Callable[[np.ndarray], tuple[np.ndarray, Posterior | None, np.ndarray]]

# Takes probabilities of old classes and labels, and returns a map.
LearnMap = Callable[[np.ndarray, np.ndarray], np.ndarray]


class RowsOfLabels(NamedTuple):
    """Different rows, in an order that does not depend on the order in which they were given.

    Attributes
    ----------
    X : array of shape (n, *row_shape)
        Standardised rows.
    labels : array of shape (n, K)
        Weight of each label at each row.
    folds : int array of shape (n,)
        Fold of each row.
    """

    X: np.ndarray
    labels: np.ndarray
    folds: np.ndarray


def arrange_rows(X: np.ndarray, labels: np.ndarray) -> RowsOfLabels:
    """Join equal rows, order rows by their values, and put each into a fold.

    Folds have equal shares of all labels. They depend neither on the order of the rows, nor on the
    names of labels, nor on whether a row is given twice or with a weight of two.
    """
    counts = labels.any(axis=1)
    X, labels = X[counts], labels[counts]
    first, number = join_equal_rows(X.reshape(len(X), -1))
    joined = np.zeros((len(first), labels.shape[1]))
    np.add.at(joined, number, labels)
    return RowsOfLabels(X[first], joined, make_folds([has.tobytes() for has in joined > 0]))


class ClassAdaptation(NamedTuple):
    """What a student of classifiers has learnt of the labels' new meaning.

    Attributes
    ----------
    labels : str
        "kept" if classes have kept their meaning, else "mapped".
    posterior : Posterior or None
        The members' posterior, if classes have kept their meaning.
    label_map : array of shape (C, K)
        Probability of each new label in each old class.
    kind : str
        Features of the head: `LATENT` or `BODY`.
    head : array of shape (p, K) or None
        Its coefficients.
    loss : float
        Mean cross-entropy of held-out labels, with the head, in nats. NaN if no row was held out.
    share : float
        Share of the probabilities with the head in those that are predicted; the rest of them are
        without it. One in files of earlier commits.
    """

    labels: str
    posterior: Posterior | None
    label_map: np.ndarray
    kind: str
    head: np.ndarray | None
    loss: float
    share: float = 1.0


class ClassAdapter:
    """Labelled rows, and the ways to learn from them.

    Parameters
    ----------
    members : LatentFactorMembers
        Members of the fitted student.
    memory : Memory
        What `fit` has kept, for the unit of the features.
    rows : RowsOfLabels
        Rows with new labels.
    columns : int array of shape (C,), or None
        Column of each old class among the labels; None if some have none.
    """

    def __init__(
        self, members: Any, memory: Memory, rows: RowsOfLabels, columns: np.ndarray | None
    ):
        self._members, self._memory = members, memory
        self._rows, self._columns = rows, columns
        self._features = {
            kind: head_features(members, memory, rows.X, kind) for kind in (LATENT, BODY)
        }
        self._weights = rows.labels.sum(axis=1)
        heads = read_heads(members.network, members.units)
        self._has_few_coefficients = choose_coordinates(heads).basis is None

    def adapt(self, labels: str) -> ClassAdaptation:
        """Return what is learnt, with classes "kept" or "mapped", or the likelier ("auto")."""
        columns = self._columns
        if labels == "mapped" or columns is None:
            return self._mapped()[0]
        kept, losses = self._kept(columns)
        if labels == "kept":
            return kept
        mapped, mapped_losses = self._mapped()
        # "mapped" has to be likelier than the student with the old names, which has learnt nothing
        if np.nansum(self._losses_of_old_names(columns) - self._weights * mapped_losses) <= (
            LEAST_GAIN
        ):
            return kept
        gain = np.nansum(self._weights * (losses - mapped_losses))
        # The posterior of "kept" can learn other names, too, and is hardly less likely then.
        if self._renames(mapped.label_map, columns):
            return mapped if gain > -LEAST_GAIN else kept
        is_sure = is_less(mapped_losses, losses, self._weights, MAP_ERRORS)
        return mapped if gain > LEAST_GAIN and is_sure else kept

    def _losses_of_old_names(self, columns: np.ndarray) -> np.ndarray:
        """Return the cross-entropy (n,) of each row times its weight, if nothing has changed."""
        labels = self._rows.labels
        mapped = self._members.probabilities(self._rows.X)[0] @ keep_map(labels, columns)
        return -np.sum(labels * np.log(np.maximum(mapped, SMALL_PROBABILITY)), axis=1)

    def _renames(self, label_map: np.ndarray, columns: np.ndarray) -> bool:
        """Return whether a map gives each class a name of its own, and some another one."""
        is_there = self._weights @ self._members.probabilities(self._rows.X)[0] >= LEAST_MASS
        names, own = label_map.argmax(axis=1)[is_there], columns[is_there]
        return len(np.unique(names)) == len(names) and bool((names != own).any())

    def _kept(self, columns: np.ndarray) -> tuple[ClassAdaptation, np.ndarray]:
        """Do what `_choose_head` does, for classes that have kept their meaning."""

        def learn(rows):
            update = self._condition(rows, columns)
            members = update.members(self._members.network, self._members.units)
            label_map = keep_map(self._rows.labels[rows], columns)
            logarithms = map_logarithms(members.log_probabilities(self._rows.X), label_map)
            return logarithms, update.posterior, label_map

        # The posterior has a head of its own unless there are many coefficients.
        has_new = self._rows.labels.shape[1] > len(columns)
        has_head = self._has_few_coefficients and not has_new
        return self._choose_head(learn, () if has_head else tuple(self._features))

    def _condition(self, rows: np.ndarray, columns: np.ndarray) -> ClassUpdate:
        """Return an update by rows of the student's own classes, without memory of `fit`."""
        X, labels = self._rows.X[rows], self._rows.labels[rows][:, columns]
        update = ClassUpdate(self._members, self._memory)
        update.add(self._members, (X, labels), discrepancy=True, forgetting=0)
        return update

    def _mapped(self) -> tuple[ClassAdaptation, np.ndarray]:
        """Do what `_choose_head` does, for labels that may mean anything."""
        probabilities = self._members.probabilities(self._rows.X)[0]
        choice = self._choose_map(probabilities)

        def learn(rows):
            label_map = choice(probabilities[rows], self._rows.labels[rows])
            return np.log(probabilities @ label_map), None, label_map

        return self._choose_head(learn, tuple(self._features))

    def _choose_map(self, probabilities: np.ndarray) -> LearnMap:
        """Return the way to learn a map under which held-out labels are likeliest."""
        labels, learners = self._rows.labels, map_learners()
        losses = np.zeros(len(learners))
        for learnt, held_out in splits(self._rows.folds):
            for i, learner in enumerate(learners):
                label_map = learner(probabilities[learnt], labels[learnt])
                logarithms = np.log(probabilities[held_out] @ label_map)
                losses[i] -= np.sum(labels[held_out] * logarithms)
        if not losses.any():  # no row was held out
            return partial(learn_map, strength=MIDDLE_STRENGTH)
        return learners[losses.argmin()]

    def _choose_head(
        self, learn: Learn, kinds: tuple[str, ...]
    ) -> tuple[ClassAdaptation, np.ndarray]:
        """Return what is learnt of all rows, with the head that held-out labels ask for, if any.

        And the cross-entropy (n,) without a head of each row when it was held out, or NaN.
        """
        rows = self._rows
        heads = [(LATENT, 0.0), *((kind, std) for kind in kinds for std in STDS)]
        losses = np.full((len(rows.labels), len(heads)), np.nan)
        for learnt, held_out in splits(rows.folds):
            offset = learn(learnt)[0]
            for i, logarithms in enumerate(self._fit_heads(offset, learnt, kinds)):
                found = np.sum(rows.labels[held_out] * logarithms[held_out], axis=1)
                losses[held_out, i] = -found / self._weights[held_out]
        total = np.nansum(losses * self._weights[:, None], axis=0)
        best = int(total.argmin()) if total.any() else 0
        share, loss = self._share_of_head(losses[:, best], losses[:, 0])
        offset, posterior, label_map = learn(np.arange(len(rows.labels)))
        kind, std = heads[best]
        head = fit_head(self._features[kind], offset, rows.labels, std) if std and share else None
        name = "mapped" if posterior is None else "kept"
        adaptation = ClassAdaptation(name, posterior, label_map, kind, head, loss, share)
        return adaptation, losses[:, 0]

    def _share_of_head(self, losses: np.ndarray, without: np.ndarray) -> tuple[float, float]:
        """Return the share of a head under which held-out labels are likeliest, and their loss.

        The losses (n,) with and without the head are NaN at rows that were never held out. If all
        are, so is the mean.
        """
        known = ~np.isnan(losses)
        if not known.any():
            return 0.0, np.nan
        one, other = (np.exp(-each[known]) for each in (losses, without))
        mixed = SHARES[:, None] * one + (1 - SHARES[:, None]) * other
        logarithms = np.log(np.maximum(mixed, np.finfo(np.float64).tiny))
        gains = logarithms @ self._weights[known] + PRIOR * np.log1p(-SHARES)
        best = int(gains.argmax())
        return float(SHARES[best]), -float(
            np.average(logarithms[best], weights=self._weights[known])
        )

    def _fit_heads(
        self, offset: np.ndarray, rows: np.ndarray, kinds: tuple[str, ...]
    ) -> Iterator[np.ndarray]:
        """Yield log-probabilities of all rows, without a head and for each head of some rows."""
        yield offset
        for features in (self._features[kind] for kind in kinds):
            head = None
            for std in STDS:
                head = fit_head(features[rows], offset[rows], self._rows.labels[rows], std, head)
                yield log_softmax(offset + features @ head, axis=1)


def head_features(members: Any, memory: Memory, X: np.ndarray, kind: str) -> np.ndarray:
    """Return the features (n, p) of a head, one of them constant.

    Their squared length is about one at a typical row of `fit`, beside that of the constant.
    """
    features = features_of(members.network, X)
    if kind == BODY:
        return features / np.sqrt(memory.square)
    heads = read_heads(members.network, members.units)
    unit = members.units.scale * np.sqrt(members.n_outputs)
    latent = features @ heads.mean.T / np.where(unit > 0, unit, 1.0)
    return np.column_stack([latent, np.ones(len(X))])


def map_logarithms(logarithms: np.ndarray, label_map: np.ndarray) -> np.ndarray:
    """Return the logarithms (n, K) of mapped probabilities, from those of the old ones (n, C)."""
    mapped = np.exp(logarithms) @ label_map
    is_small = (mapped < SMALL_PROBABILITY).any(axis=1)
    with np.errstate(divide="ignore"):
        result = np.log(mapped)
        log_map = np.log(label_map)
    for row in np.flatnonzero(is_small):
        result[row] = logsumexp(logarithms[row][:, None] + log_map, axis=0)
    return result
