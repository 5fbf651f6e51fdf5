"""What the transfer set holds of classes: labels, averaged probabilities, entropies."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import softmax

from .._predictive.logits import entropies, latent_from_logits, latent_from_probabilities
from .._utils.warning import warn_user
from ..ensembles._class_columns import are_named_codes, check_classes, have_number
from ..ensembles._member_models import refuse_probabilities
from ..ensembles._member_predictions import PROBABILITY_FLOOR, SUM_TOLERANCE
from .design_points import Points
from .out_of_bag import unseen_mean
from .teacher import check_range

# Largest logit that is taken: sums of many squares stay within the range of float32, 1e38.
MAX_LOGIT = 1e15

# Members that are certain and agree are right to be so: classes are easily told apart. They
# disagree if two of them give different labels at this share of the rows.
LEAST_DISAGREEMENT = 0.01

# The warning of members that are certain at all rows, and its remedies.
CERTAIN = (
    "{} give probabilities of 0 and 1 only, at all rows: {}. Each of them is certain everywhere. "
    "The student learns that, so that its aleatoric uncertainty is about zero, and all that "
    "members disagree on counts as epistemic. Its averaged probabilities are shares of such "
    "members. {}"
)
VOTES = "as votes, labels and single nearest neighbours do"
VOTES_OR_TREES = "they are votes or labels, or the members are fully grown trees or the like"
GIVE_PROBABILITIES = (
    "Give members that have probabilities: voting='soft', or calibrated ones in place of models "
    "without predict_proba, such as BaggingClassifier(CalibratedClassifierCV(SVC()))."
)
GIVE_PROBABILITIES_OF_ARRAYS = (
    "Give what predict_proba of each member returns: of models without it, after calibration "
    "(CalibratedClassifierCV); of trees, with a larger min_samples_leaf."
)


class ClassTargets:
    """Turns members' outputs into latent ones, and keeps their averages.

    Parameters
    ----------
    points : Points
        Rows at which the members are evaluated.
    outputs : {"probabilities", "logits"}
        What the members return, (n_block, n_classes, n_members).
    floor : float
        Probabilities below it are lifted to it.
    classes : array-like of shape (n_classes,) or None
        Labels in the order of the columns, if known.
    y : array of shape (n_own,) or None
        Labels of the rows of `fit`.
    weights : array of shape (n_own,) or None
        Their weights.
    unseen : bool array of shape (n_own, n_members) or None
        Rows that each member did not see. If given, averages are over these members.
    from_logits : bool
        Whether probabilities are those of logits. Only zeros are lifted to the floor then.
    coded : array of shape (n_classes,) or None
        Labels of the ensemble, if y has their codes.
    may_be_seen : bool
        Whether all design points are rows of `fit` of which it is not known who saw them.
    has_ensemble : bool
        Whether the ensemble can be evaluated at further rows.
    were_seen : bool
        Whether averages are over members that were fitted to the rows, by their own record.
    are_trees : bool
        Whether the members are known to be trees.

    Attributes
    ----------
    classes : array of shape (n_classes,)
        Sorted labels, once a block was added.
    probabilities : float32 array of shape (n_points, n_classes)
        Averages over the members, in the order of the sorted labels.
    entropy : array of shape (n_points - n_design,)
        Mean entropy of the members' probabilities at calibration rows, in nats.
    are_certain : bool array of shape (n_members,)
        Members all of whose probabilities are 0 or 1, as those of votes.
    """

    def __init__(
        self,
        points: Points,
        outputs: str,
        floor: float,
        classes: ArrayLike | None = None,
        y: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        unseen: np.ndarray | None = None,
        from_logits: bool = False,
        coded: np.ndarray | None = None,
        may_be_seen: bool = False,
        has_ensemble: bool = False,
        were_seen: bool = False,
        are_trees: bool = False,
    ):
        self.n_points, self.n_own, self.n_design = points.n_points, points.n_own, points.n_design
        self.outputs = outputs
        self.floor = floor
        self.from_logits, self.coded = from_logits, coded
        self.may_be_seen, self.has_ensemble = may_be_seen, has_ensemble
        self.were_seen = were_seen
        self.are_trees = are_trees
        self.are_certain = np.zeros(0, dtype=bool)
        self.classes = classes
        self.y = y
        self.weights = weights
        self.unseen = np.empty((0, 0), dtype=bool) if unseen is None else unseen
        self.probabilities = np.empty((self.n_points, 0), dtype=np.float32)
        self.entropy = np.empty(self.n_points - self.n_design)

    def add(self, rows: slice, outputs: np.ndarray) -> np.ndarray:
        """Keep averages at a slice of rows; return latent outputs (n_block, c, n_members)."""
        if outputs.shape[1] == 1:  # of the second of two classes
            first = np.zeros_like(outputs) if self.outputs == "logits" else 1 - outputs
            outputs = np.concatenate([first, outputs], axis=1)
        n_classes = outputs.shape[1]
        if rows.start == 0:
            names = name_classes(n_classes, self.classes, self.y, outputs.shape[2])
            self._order = np.argsort(names)
            self.classes = names[self._order]
            self.probabilities = np.empty((self.n_points, n_classes), dtype=np.float32)
            self.are_certain = np.full(outputs.shape[2], not self.from_logits)
        if (np.diff(self._order) < 0).any():  # scorers of scikit-learn expect sorted labels
            outputs = outputs[:, self._order]
        if self.outputs == "logits":
            check_range(outputs, "Logits", MAX_LOGIT)
            refuse_probabilities(outputs)
            latent = latent_from_logits(outputs)
            outputs = softmax(outputs, axis=1)
            self.are_certain[:] = False
        else:
            check_probabilities(outputs)
            most = 1 - 2 * n_classes * PROBABILITY_FLOOR
            self.are_certain &= (outputs.max(axis=1) >= most).all(axis=0)
            lifted = np.where(outputs > 0, outputs, self.floor) if self.from_logits else outputs
            latent = latent_from_probabilities(lifted, 0.0 if self.from_logits else self.floor)
        self.probabilities[rows] = self._average(outputs, self.unseen[rows])
        n_left = max(self.n_design - rows.start, 0)
        if n_left < len(outputs):
            kept = slice(max(rows.start - self.n_design, 0), rows.stop - self.n_design)
            self.entropy[kept] = entropies(outputs[n_left:]).mean(axis=-1)
        return latent

    def indicators(self, n_classes: int) -> np.ndarray:
        """Return labels as zeros and ones (n_own, n_classes), in the order of the columns."""
        names = name_classes(n_classes, self.classes, self.y)
        return (np.asarray(self.y)[:, None] == names).astype(np.float64)

    def warn_of_votes(self) -> None:
        """Warn if most members are certain of other classes, unless all of them are trees."""
        n_members, n_certain = len(self.are_certain), np.count_nonzero(self.are_certain)
        disagreement = 1 - np.square(self.probabilities).sum(axis=1).mean()
        are_few = 2 * n_certain <= n_members
        if self.are_trees or are_few or disagreement < LEAST_DISAGREEMENT:
            return
        which = "All members" if n_certain == n_members else f"{n_certain} of {n_members} members"
        if self.has_ensemble:
            warn_user(CERTAIN.format(which, VOTES, GIVE_PROBABILITIES))
        else:
            warn_user(CERTAIN.format(which, VOTES_OR_TREES, GIVE_PROBABILITIES_OF_ARRAYS))

    def forget_unseen(self) -> None:
        """Average over all members from now on."""
        self.unseen, self.were_seen = np.empty((0, 0), dtype=bool), False

    def _average(self, probabilities: np.ndarray, unseen: np.ndarray) -> np.ndarray:
        """Average over members, or over those that did not see a row where that is known."""
        average = probabilities.mean(axis=-1)
        if len(unseen):
            average[: len(unseen)] = unseen_mean(probabilities[: len(unseen)], unseen)
        return average


def check_probabilities(probabilities: np.ndarray) -> None:
    """Raise where values (n, K, M) are outside [0, 1] or do not sum to one over classes."""
    sums = probabilities.sum(axis=1)
    low, high = probabilities.min(), probabilities.max()
    if low < -SUM_TOLERANCE or np.abs(sums - 1).max() > SUM_TOLERANCE:
        raise ValueError(
            "predictions must be probabilities of shape (n_samples, n_classes, n_members) that sum "
            f"to one over the classes; got values from {low:.3g} to {high:.3g} with sums from "
            f"{sums.min():.3g} to {sums.max():.3g}. For logits, pass outputs='logits'."
        )


def are_codes(y: np.ndarray | None, classes: ArrayLike | None) -> bool:
    """Return whether y has the codes 0, 1, ... of labels that are no numbers, in sorted order.

    Voting, stacking, and `cross_val_predict` of probabilities hand over codes in place of labels.
    Codes are known as such only if all of them occur.
    """
    if y is None or classes is None or not np.issubdtype(y.dtype, np.integer):
        return False
    names = np.asarray(classes)
    if have_number(names):
        return False
    is_sorted = bool(np.all(names[:-1] < names[1:]))
    return is_sorted and np.array_equal(np.unique(y), np.arange(len(names)))


def name_classes(
    n_classes: int, classes: ArrayLike | None, y: np.ndarray | None, n_members: int = 0
) -> np.ndarray:
    """Return the labels of the columns: those given, or the sorted ones in y, or numbers."""
    labels = None if y is None else np.unique(y)
    if classes is None:
        names = np.arange(n_classes) if labels is None else labels
        source = "y has"
    else:
        names = np.asarray(check_classes(classes))
        source = "classes has"
    if names.shape != (n_classes,):
        hint = "Give the labels in the order of the columns by classes."
        if names.shape == (n_members,):
            hint = "If members come before classes, use np.swapaxes(predictions, 1, 2)."
        raise ValueError(
            f"The members' probabilities have {n_classes} columns, and one different label is "
            f"expected for each; {source} {names.tolist()}. {hint}"
        )
    if labels is not None and not np.isin(labels, names).all():
        unknown = labels[~np.isin(labels, names)]
        if are_named_codes(names, labels):
            raise ValueError(
                f"y has labels that are no classes of the ensemble: {unknown.tolist()}; its "
                f"classes are {names.tolist()}. If these are codes, say which label each stands "
                f"for: classes={labels.tolist()} in the order of the codes, in fit or in "
                "FittedEnsemble(models, classes=...)."
            )
        raise ValueError(
            f"y has labels that are no classes of the ensemble: {unknown.tolist()}; its classes "
            f"are {names.tolist()}. Codes 0, 1, ... that voting, stacking and others hand over in "
            "place of labels are taken where labels are no numbers and each code occurs. Otherwise "
            "give them an ensemble that was fitted on codes, or an unfitted one."
        )
    return names
