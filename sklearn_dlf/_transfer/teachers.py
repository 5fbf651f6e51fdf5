"""Whom the student learns from: an ensemble that can be asked, or given predictions.

Both teachers hand out the members' outputs in blocks of rows, as float64 arrays of shape
(n_block, n_outputs, n_members), and know which rows a member did not see in its own fit.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples, has_fit_parameter

from .._utils.blocks import row_blocks
from ..ensembles import (
    describe_ensemble,
    ensemble_kind,
    unseen_rows,
)
from .design_points import rows_like

# Rows that an ensemble is asked about at a time: bounds the float64 copy of the members' outputs.
BLOCK_ROWS = 2**16

# Rows of given predictions at a time: nobody is asked, so that smaller copies cost no more.
GIVEN_ROWS = 2**12

# Outputs of members, and y, are refused beyond this: their differences are kept in float32.
MAX_OUTPUT = 1e38

# Seeds handed to ensembles are drawn below this, the largest that numpy and torch both take.
MAX_SEED = np.iinfo(np.int32).max


class EnsembleFacts(NamedTuple):
    """What is to be known of a fitted ensemble beside its members' outputs.

    Attributes
    ----------
    name : str
        Of its type.
    kind : {"regressor", "classifier"}
    classes : array of shape (n_classes,) or None
        Labels of the columns, where the ensemble knows them.
    is_drawn : bool
        Whether members are draws of a posterior: functions of all rows at once.
    unseen : bool array of shape (n_samples, n_members) or None
        Rows that each member did not see in its fit.
    """

    name: str
    kind: str
    classes: np.ndarray | None
    is_drawn: bool
    unseen: np.ndarray | None


def ensemble_facts(ensemble, n_samples):
    """Facts of a fitted ensemble that is asked about ``n_samples`` rows."""
    members = describe_ensemble(ensemble)
    return EnsembleFacts(
        type(ensemble).__name__,
        ensemble_kind(ensemble),
        members.classes,
        members.resample is not None,
        unseen_rows(ensemble, n_samples),
    )


class AskedEnsemble:
    """A fitted ensemble and the rows to ask it about.

    Parameters
    ----------
    facts : EnsembleFacts
        Of the ensemble.
    ask : callable
        Takes rows, returns the members' outputs.
    X : rows as the ensemble wants them
    kind : {"regressor", "classifier"}
        What the student is; the ensemble must be the same.

    Attributes
    ----------
    classes, is_drawn, unseen
        As in the facts.
    n_points, n_calibration : int
        Rows that are asked about, and those among them, the last, from which the student does not
        learn.
    """

    can_be_asked = True
    n_calibration = 0

    def __init__(self, facts, ask, X, kind):
        check_kind(kind, facts.kind, facts.name)
        self.ask = ask
        self.X = X
        self.n_points = _num_samples(X)
        self.classes, self.is_drawn, self.unseen = facts.classes, facts.is_drawn, facts.unseen

    def ask_about(self, points, n_calibration=0):
        """Ask about ``points`` (n_points, n_features), of which the rows of X are the first."""
        self.X = rows_like(self.X, points)
        self.n_points, self.n_calibration = len(points), n_calibration

    def blocks(self):
        """Yield the members' outputs at all rows."""
        n_rows = self.n_points if self.is_drawn else BLOCK_ROWS
        for rows in row_blocks(self.n_points, n_rows):
            X = self.X if n_rows >= self.n_points else _safe_indexing(self.X, rows)
            yield _with_outputs(self.ask(X))


class GivenPredictions:
    """Predictions of the members at the design points.

    Parameters
    ----------
    predictions : array-like (n, n_members) or (n, n_outputs, n_members), or list of arrays
        Members last, or one array (n,) or (n, n_outputs) a member.
    n_samples : int
        Rows of X.
    """

    can_be_asked = False
    n_calibration = 0
    classes = None  # of the outputs nothing is known but their number,
    unseen = None  # and nothing of the members' own fit

    def __init__(self, predictions, n_samples):
        if isinstance(predictions, list | tuple):
            predictions = _stack_members(predictions, n_samples)
        self.predictions = np.asarray(predictions)
        self.n_samples = self.n_points = n_samples
        self._check()

    def blocks(self):
        """Yield the members' outputs."""
        for rows in row_blocks(self.n_samples, GIVEN_ROWS):
            yield _with_outputs(self.predictions[rows].astype(np.float64))

    def _check(self):
        """Raise where the array is not what it should be, with the likely reason."""
        shape = self.predictions.shape
        expected = f"({self.n_samples}, n_members) or ({self.n_samples}, n_outputs, n_members)"
        if self.predictions.dtype.kind not in "fiub":
            raise TypeError(
                f"predictions must be numbers; got an array of dtype {self.predictions.dtype}."
            )
        if len(shape) not in (2, 3) or shape[0] != self.n_samples:
            hint = ""
            if len(shape) in (2, 3) and self.n_samples in shape[1:]:
                hint = " Members seem to come first: use np.moveaxis(predictions, 0, -1)."
            raise ValueError(
                f"predictions must have shape {expected}, with one row for each row of X and the "
                f"members last; got {shape}.{hint}"
            )
        if shape[-1] < 2:
            raise ValueError(
                f"predictions must hold at least 2 members along the last axis; got shape {shape}."
            )
        if not np.isfinite(self.predictions).all():
            n_bad = np.count_nonzero(~np.isfinite(self.predictions))
            raise ValueError(
                f"predictions must be finite; {n_bad} of {self.predictions.size} values are NaN or "
                "infinite."
            )


def check_kind(kind, ensemble_kind, name):
    """Raise where the student is a ``kind`` and the ensemble is known to be another."""
    if ensemble_kind not in (kind, None):
        raise ValueError(
            f"A student that is a {kind} needs an ensemble of {kind}s; got {name}, an ensemble of "
            f"{ensemble_kind}s."
        )


def check_range(values, what):
    """Raise where values are too large for float32."""
    largest = max(values.max(), -values.min())
    if largest > MAX_OUTPUT:
        raise ValueError(
            f"{what} must lie within {MAX_OUTPUT:g} of zero, the range of float32; got "
            f"{largest:.3g}. Give members and y in a larger unit."
        )


def check_list_is_whole(ensemble, n_samples):
    """Warn of a list of models that a search may have cut with the rows."""
    if isinstance(ensemble, list | tuple) and len(ensemble) == n_samples:
        warnings.warn(
            f"The ensemble is a list of {n_samples} models, as many as X has rows. Searches and "
            "cross-validation cut lists as long as the data with the rows, so that models may be "
            "missing: wrap the list in FittedEnsemble.",
            UserWarning,
            stacklevel=6,
        )


def seed_ensemble(prototype, random_state):
    """Clone of an unfitted ensemble with every ``random_state`` of None set; the seeds set."""
    ensemble = clone(prototype)
    seeds = {
        name: random_state.randint(MAX_SEED)
        for name, value in sorted(ensemble.get_params(deep=True).items())
        if value is None and (name == "random_state" or name.endswith("__random_state"))
    }
    return ensemble.set_params(**seeds), seeds


def fit_ensemble(prototype, X, y, sample_weight):
    """Fit a clone of an unfitted ensemble, weighted where it takes weights."""
    ensemble = clone(prototype)
    if sample_weight is not None and has_fit_parameter(ensemble, "sample_weight"):
        return ensemble.fit(X, y, sample_weight=sample_weight)
    return ensemble.fit(X, y)


def _stack_members(members, n_samples):
    """One array, members last, of a list with one array a member."""
    members = [np.asarray(member) for member in members]
    shapes = {member.shape for member in members}
    if len(members) < 2:
        raise ValueError(f"predictions must hold at least 2 members; got a list of {len(members)}.")
    if len(shapes) > 1 or not members[0].shape or members[0].shape[0] != n_samples:
        hint = ""
        if members[0].ndim == 1 and len(members) == n_samples:
            hint = " For rows of members, pass an array of shape (n_samples, n_members)."
        elif len(shapes) == 1 and members[0].shape and members[0].shape[0] > n_samples:
            hint = (
                " Searches cut arrays with the rows and leave lists: pass an array, members last."
            )
        raise ValueError(
            "A list of predictions must hold one array a member, each of shape "
            f"({n_samples},) or ({n_samples}, n_outputs), with one row for each row of X; got "
            f"{len(members)} arrays of shapes {sorted(shapes)}.{hint}"
        )
    return np.stack(members, axis=-1)


def _with_outputs(outputs):
    """Outputs of the members with an axis for outputs, (n, n_outputs, n_members)."""
    check_range(outputs, "The members' outputs")
    return outputs[:, None, :] if outputs.ndim == 2 else outputs
