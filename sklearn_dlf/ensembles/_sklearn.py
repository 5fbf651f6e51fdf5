"""Extractors of scikit-learn's ensembles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.utils.validation import check_array

from .._utils.numbers import numeric_array
from ._class_columns import align_classes, expand_columns
from ._member_models import (
    Kind,
    Model,
    Votes,
    describe_model,
    have_variance,
)
from ._members import Members, regressors_as_members
from ._quantile_models import refuse_quantiles
from ._registry import register_ensemble

#: Largest number of members that represent weighted voters. A choice: whole members reproduce the
#: weights to a hundredth of the ensemble, and the fractions that remain are blended.
_MOST_MEMBERS = 100

#: Shares of voters are compared with whole numbers to within this many members. Weights such as
#: 0.1 + 0.2 are off by rounding, about 1e-16 of the ensemble.
_SHARE_TOLERANCE = 1e-9


def _kind(classes: np.ndarray | None) -> Kind:
    """Return the kind of an ensemble with the labels `classes`, None for regressors."""
    return "regressor" if classes is None else "classifier"


def _as_matrix(X: Any, **kwargs: Any) -> Any:
    """Convert to an array or sparse matrix without names, as bagging and forests do themselves."""
    return check_array(X, accept_sparse=("csr", "csc"), ensure_all_finite=False, **kwargs)


def _out_of_bag(ensemble: Any) -> np.ndarray:
    """Return the mask (rows of the fit, M) of the rows outside each member's own sample.

    After a warm start, bagging keeps the samples of its newest members only. The mask then has
    fewer columns than there are members, and `unseen_rows` treats it as unknown.
    """
    samples = ensemble.estimators_samples_
    unseen = np.ones((ensemble._n_samples, len(samples)), dtype=bool)
    for member, rows in enumerate(samples):
        unseen[rows, member] = False
    return unseen


def _bagging(ensemble: BaggingRegressor | BaggingClassifier) -> Members:
    """Evaluate each member at its own columns; classifiers' members predict codes of the labels."""
    classes = getattr(ensemble, "classes_", None)
    described = [describe_model(m, votes="needed", label="A member") for m in ensemble.estimators_]

    def build(models: Sequence[Any]) -> Members:
        def with_own_columns(X):
            X = _as_matrix(X, dtype=None)
            all_columns = np.arange(X.shape[1])
            for model, columns in zip(models, ensemble.estimators_features_, strict=True):
                # A selection copies X. Without one no copy is made.
                yield model, X if np.array_equal(columns, all_columns) else X[:, columns]

        def predict(X):
            for model, selected in with_own_columns(X):
                output = model.predict(selected)
                yield output if classes is None else expand_columns(output, model.classes, classes)

        def predict_variance(X):
            return (model.predict_variance(selected) for model, selected in with_own_columns(X))

        return Members(
            _kind(classes),
            len(models),
            predict,
            classes,
            unseen=lambda: _out_of_bag(ensemble),
            predict_variance=predict_variance if have_variance(models) else None,
        )

    return regressors_as_members(described, build)


def _forest(forest: Any) -> Members:
    """Evaluate each tree, which expects float32 rows without names.

    The trees of a classifier return their columns in the order of the forest's classes.
    """
    classes = getattr(forest, "classes_", None)
    if classes is not None and forest.n_outputs_ > 1:
        raise ValueError(
            f"{type(forest).__name__} was fitted on {forest.n_outputs_} targets, expected one: "
            "fit and distil one classifier for each target."
        )

    def predict(X):
        X = _as_matrix(X, dtype=np.float32)
        for tree in forest.estimators_:
            yield tree.predict(X) if classes is None else tree.predict_proba(X)

    return Members(
        _kind(classes),
        len(forest.estimators_),
        predict,
        classes,
        unseen=lambda: _out_of_bag(forest),
    )


def _voting(ensemble: VotingRegressor | VotingClassifier) -> Members:
    """Represent voters by members in proportion to their weights.

    A voter of twice the weight is two members. With hard voting, the output of a member is its
    predicted label: one in the column of the label, zeros elsewhere.
    """
    classes = getattr(ensemble, "classes_", None)
    votes: Votes = "always" if getattr(ensemble, "voting", None) == "hard" else "never"
    described = [describe_model(m, votes=votes, label="A voter") for m in ensemble.estimators_]
    refuse_quantiles(ensemble.estimators_)
    shares = _shares(_voters_weights(ensemble))
    columns = [None] * len(described) if classes is None else _voters_columns(described, classes)

    def build(models: Sequence[Any]) -> Members:
        def predict(X):
            voters = zip(shares, models, columns, strict=True)
            return _repeat_by_share(
                (share, expand_columns(model.predict(X), own_columns, classes))
                for share, model, own_columns in voters
                if share > 0
            )

        def predict_variance(X):
            voters = zip(shares, models, strict=True)
            return _repeat_by_share(
                (share, model.predict_variance(X)) for share, model in voters if share > 0
            )

        return Members(
            _kind(classes),
            round(float(shares.sum())),
            predict,
            classes,
            predict_variance=predict_variance if have_variance(models) else None,
        )

    return regressors_as_members(described, build)


def _voters_columns(models: Sequence[Model], classes: np.ndarray) -> list[np.ndarray | None]:
    """Return the columns of each voter among all classes.

    Voters that the ensemble fitted itself predict codes of all classes, and have the columns of the
    ensemble. Voters that were fitted before, and frozen, predict labels.
    """
    codes = np.arange(len(classes))
    labelled = [
        replace(model, classes=classes)
        if model.classes is not None and np.array_equal(model.classes, codes)
        else model
        for model in models
    ]
    return align_classes(labelled, classes)[1]


def _voters_weights(ensemble: Any) -> np.ndarray:
    """Return the weights of the voters that were not dropped."""
    if ensemble.weights is None:
        return np.ones(len(ensemble.estimators_))
    pairs = zip(ensemble.estimators, ensemble.weights, strict=True)
    weights = np.array([weight for (_, voter), weight in pairs if not isinstance(voter, str)])
    if len(weights) != len(ensemble.estimators_) or weights.min() < 0 or weights.sum() <= 0:
        raise ValueError(
            f"{type(ensemble).__name__} has weights {weights.tolist()}, expected "
            f"{len(ensemble.estimators_)} that are not negative and not all zero, one for each "
            "fitted voter."
        )
    return weights


def _shares(weights: np.ndarray) -> np.ndarray:
    """Return how many members represent each voter.

    The total is the smallest number of members for which all shares are whole. The members then
    have the mean and the spread of the weighted voters. If no number up to `_MOST_MEMBERS` makes
    all shares whole, the total is `_MOST_MEMBERS` (or the number of voters, if that is larger) and
    shares have fractions.
    """
    weights = weights / weights.sum()
    n_voters = int(np.count_nonzero(weights))
    for n_members in range(n_voters, _MOST_MEMBERS + 1):
        shares = n_members * weights
        if np.allclose(shares, np.round(shares), rtol=0, atol=_SHARE_TOLERANCE):
            return np.round(shares)
    return max(n_voters, _MOST_MEMBERS) * weights


def _repeat_by_share(shared_outputs: Iterable[tuple[float, Any]]) -> Iterator[np.ndarray]:
    """Yield each voter's output once for each whole member, and blend the fractions that remain.

    A blended member is a weighted mean of neighbouring voters, so that the mean over members is
    exactly the weighted mean. The spread is slightly too small, because blending hides the
    differences within at most one member in a hundred for each voter.
    """
    blend: Any = 0.0
    filled = 0.0
    for share, output in shared_outputs:
        values = numeric_array(output, "Outputs of a voter")
        while share > _SHARE_TOLERANCE:
            part = min(share, 1.0 - filled)
            blend, filled, share = blend + part * values, filled + part, share - part
            if filled > 1.0 - _SHARE_TOLERANCE:
                yield blend / filled
                blend, filled = 0.0, 0.0


def _calibrated(ensemble: CalibratedClassifierCV) -> Members:
    """Use each calibrated classifier as a member; its columns are those of all labels already."""
    models = ensemble.calibrated_classifiers_
    if len(models) < 2:
        raise ValueError(
            f"{type(ensemble).__name__} holds {len(models)} calibrated classifier, expected at "
            "least two: use ensemble=True with several folds, or calibrate each model of a list."
        )

    def predict(X):
        return (model.predict_proba(X) for model in models)

    return Members("classifier", len(models), predict, ensemble.classes_)


for _type in (BaggingRegressor, BaggingClassifier):
    register_ensemble(_type, _bagging)
for _type in (
    RandomForestRegressor,
    RandomForestClassifier,
    ExtraTreesRegressor,
    ExtraTreesClassifier,
):
    register_ensemble(_type, _forest)
for _type in (VotingRegressor, VotingClassifier):
    register_ensemble(_type, _voting)
register_ensemble(CalibratedClassifierCV, _calibrated)
