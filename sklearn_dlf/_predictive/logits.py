"""Between probabilities of classes and the latent outputs of the student.

Two classes have one latent output, the log-odds of the second; ``K > 2`` classes have ``K``, their
logits centred over classes.
"""

from __future__ import annotations

import numpy as np
from scipy.special import softmax, xlogy

from .._transfer.out_of_bag import unseen_mean
from ..ensembles._member_predictions import SUM_TOLERANCE


def latent_from_probabilities(probabilities, floor):
    """Log-odds (n, 1, M) or centred logits (n, K, M) of probabilities (n, K, M) above a floor."""
    return latent_from_logits(np.log(np.maximum(probabilities, floor)))


def latent_from_logits(logits):
    """Log-odds (n, 1, M) of two logits, or K centred ones, from (n, K, M)."""
    if logits.shape[1] == 2:
        return logits[:, 1:] - logits[:, :1]
    return logits - logits.mean(axis=1, keepdims=True)


def probabilities_from_latent(latent):
    """Probabilities (n, K, S) of latent outputs (n, 1, S) or (n, K, S)."""
    if latent.shape[1] == 1:
        latent = np.concatenate([np.zeros_like(latent), latent], axis=1)
    return softmax(latent, axis=1)


def entropies(probabilities):
    """Entropy of each row of probabilities (n, K), in nats, (n,)."""
    return -xlogy(probabilities, probabilities).sum(axis=1)


def check_probabilities(probabilities):
    """Raise where values (n, K, M) do not lie in [0, 1] or do not sum to one over classes."""
    sums = probabilities.sum(axis=1)
    low, high = probabilities.min(), probabilities.max()
    if low < -SUM_TOLERANCE or np.abs(sums - 1).max() > SUM_TOLERANCE:
        raise ValueError(
            "predictions must be probabilities of shape (n_samples, n_classes, n_members) that sum "
            f"to one over the classes; got values from {low:.3g} to {high:.3g} with sums from "
            f"{sums.min():.3g} to {sums.max():.3g}. If these are logits, say so with "
            "outputs='logits'."
        )


class LogitsWatcher:
    """Turns members' outputs into latent ones while they pass by, and keeps their averages.

    Rows of the calibration do not pass.

    Parameters
    ----------
    n_samples : int
        Rows of all blocks.
    outputs : {"probabilities", "logits"}
        What passes by, (n_block, n_classes, n_members).
    floor : float
        Smallest probability that is told from zero.
    classes : array-like of shape (n_classes,) or None
        Labels in the order of the columns, if known.
    y : array of shape (n_samples,) or None
        Labels of the rows.
    weights : array of shape (n_samples,) or None
        Of the rows.
    unseen : bool array of shape (n_first, n_members) or None
        Rows that each member did not see: the average is over these members.
    n_calibration : int
        Rows of the calibration, the last of all.

    Attributes
    ----------
    classes : array of shape (n_classes,)
        Labels in the order of the columns, once a block has passed.
    probabilities : float32 array of shape (n_samples, n_classes)
        Average over the members.
    entropy : array of shape (n_calibration,)
        Average over the members, in nats, at rows of the calibration.
    """

    def __init__(
        self,
        n_samples,
        outputs,
        floor,
        classes=None,
        y=None,
        weights=None,
        unseen=None,
        n_calibration=0,
    ):
        self.n_samples = n_samples
        self.n_design = n_samples - n_calibration
        self.outputs = outputs
        self.floor = floor
        self.classes = classes
        self.y = y
        self.weights = weights
        self.unseen = np.empty((0, 0), dtype=bool) if unseen is None else unseen
        self.probabilities = np.empty((n_samples, 0), dtype=np.float32)
        self.entropy = np.empty(n_calibration)

    def watch(self, blocks):
        """Yield latent outputs (n_block, 1 or n_classes, n_members) of every block."""
        start = 0
        for block in blocks:
            if block.shape[1] < 2:
                raise ValueError(
                    "predictions of classifiers must have shape (n_samples, n_classes, n_members) "
                    "with at least 2 classes, or be a list with an array (n_samples, n_classes) a "
                    f"member; got {block.shape[1]} class. Two classes have two columns."
                )
            if self.outputs == "logits":
                latent = latent_from_logits(block)
                block = softmax(block, axis=1)
            else:
                check_probabilities(block)
                latent = latent_from_probabilities(block, self.floor)
            if start == 0:
                self.classes = _name_classes(block.shape[1], self.classes, self.y)
                self.probabilities = np.empty((self.n_samples, block.shape[1]), dtype=np.float32)
            rows = slice(start, start + len(block))
            self.probabilities[rows] = self._average(block, self.unseen[rows])
            n_left = max(self.n_design - start, 0)
            if n_left < len(block):
                kept = slice(max(start - self.n_design, 0), rows.stop - self.n_design)
                self.entropy[kept] = entropies(block[n_left:]).mean(axis=-1)
            start = rows.stop
            if n_left:
                yield latent[:n_left]

    def _average(self, block, unseen):
        """Average over members, over those that did not see a row where that is known."""
        average = block.mean(axis=-1)
        if len(unseen):
            average[: len(unseen)] = unseen_mean(block[: len(unseen)], unseen)
        return average


def _name_classes(n_classes, classes, y):
    """Labels of the columns: those known, or the sorted ones in y, or numbers."""
    labels = None if y is None else np.unique(y)
    if classes is None:
        classes = np.arange(n_classes) if labels is None else labels
        source = "y has"
    else:
        classes = np.asarray(classes)
        source = "classes has"
    if classes.shape != (n_classes,) or len(np.unique(classes)) < n_classes:
        raise ValueError(
            f"The members' probabilities have {n_classes} columns, and expected is one different "
            f"label for each; {source} {classes.tolist()}. Give the labels in the order of the "
            "columns by classes."
        )
    if labels is not None and not np.isin(labels, classes).all():
        unknown = labels[~np.isin(labels, classes)]
        raise ValueError(
            f"y has labels that the ensemble does not know: {unknown.tolist()}; its classes are "
            f"{classes.tolist()}. Voting, stacking and others teach their estimators codes 0, 1, "
            "... in place of labels: give them an ensemble that was fitted on codes, or an "
            "unfitted one."
        )
    return classes
