"""Members of scikit-learn's ensembles."""

from __future__ import annotations

from dataclasses import replace

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

from ._member_models import align_classes, describe_model, spread_columns
from ._registry import Members, register_ensemble

#: Most members that stand for weighted voters: then weights are exact to a hundredth of the
#: ensemble, and what is left over is blended.
_MOST_MEMBERS = 100


def _as_matrix(X, **kwargs):
    """Convert to an array or sparse matrix without names, as bagging and forests do inside."""
    return check_array(X, accept_sparse=("csr", "csc"), ensure_all_finite=False, **kwargs)


def _out_of_bag(ensemble):
    """Mask (rows of the fit, M) of the rows outside each member's own sample.

    After a warm start, bagging remembers the samples of its newest members only: then the mask
    has too few columns to be taken for one of all members.
    """
    samples = ensemble.estimators_samples_
    unseen = np.ones((ensemble._n_samples, len(samples)), dtype=bool)
    for member, rows in enumerate(samples):
        unseen[rows, member] = False
    return unseen


def _bagging(ensemble) -> Members:
    """Members see only their own columns; classifiers' members know codes, not labels."""
    classes = getattr(ensemble, "classes_", None)
    models = [describe_model(m, votes="needed", label="A member") for m in ensemble.estimators_]

    def predict(X):
        X = _as_matrix(X, dtype=None)
        all_columns = np.arange(X.shape[1])
        for model, columns in zip(models, ensemble.estimators_features_, strict=True):
            # A subset is a copy; all columns in their order need none.
            seen = X if np.array_equal(columns, all_columns) else X[:, columns]
            output = model.predict(seen)
            yield output if classes is None else spread_columns(output, model.classes, classes)

    kind = "regressor" if classes is None else "classifier"
    return Members(kind, len(models), predict, classes, unseen=lambda: _out_of_bag(ensemble))


def _forest(forest) -> Members:
    """Trees want float32 without names; classifiers' trees return columns in the forest's order."""
    classes = getattr(forest, "classes_", None)
    if classes is not None and forest.n_outputs_ > 1:
        raise ValueError(
            f"{type(forest).__name__} was fitted on {forest.n_outputs_} targets, expected one: "
            "fit and distil one classifier a target."
        )

    def predict(X):
        X = _as_matrix(X, dtype=np.float32)
        for tree in forest.estimators_:
            yield tree.predict(X) if classes is None else tree.predict_proba(X)

    kind = "regressor" if classes is None else "classifier"
    return Members(
        kind, len(forest.estimators_), predict, classes, unseen=lambda: _out_of_bag(forest)
    )


def _voting(ensemble) -> Members:
    """Count a voter of twice the weight as two members; under hard voting a member is its vote."""
    classes = getattr(ensemble, "classes_", None)
    votes = "always" if getattr(ensemble, "voting", None) == "hard" else "never"
    models = [describe_model(m, votes=votes, label="A voter") for m in ensemble.estimators_]
    shares = _shares(_voters_weights(ensemble))
    columns = [None] * len(models) if classes is None else _voters_columns(models, classes)

    def predict(X):
        voters = zip(shares, models, columns, strict=True)
        return _repeat_by_share(
            (share, spread_columns(model.predict(X), own_columns, classes))
            for share, model, own_columns in voters
            if share > 0
        )

    kind = "regressor" if classes is None else "classifier"
    return Members(kind, round(float(shares.sum())), predict, classes)


def _voters_columns(models, classes):
    """Columns of each voter among all classes.

    Voters that were fitted by the ensemble know codes of all classes, and have the columns of the
    ensemble; those that were fitted before, and frozen, know labels.
    """
    codes = np.arange(len(classes))
    labelled = [
        replace(model, classes=classes) if np.array_equal(model.classes, codes) else model
        for model in models
    ]
    return align_classes(labelled, classes)[1]


def _voters_weights(ensemble):
    """Weights of the voters that were not dropped."""
    if ensemble.weights is None:
        return np.ones(len(ensemble.estimators_))
    pairs = zip(ensemble.estimators, ensemble.weights, strict=True)
    weights = np.array([weight for (_, voter), weight in pairs if not isinstance(voter, str)])
    if len(weights) != len(ensemble.estimators_) or weights.min() < 0 or weights.sum() <= 0:
        raise ValueError(
            f"{type(ensemble).__name__} has weights {weights.tolist()}, expected "
            f"{len(ensemble.estimators_)} that are not negative, one for each fitted voter."
        )
    return weights


def _shares(weights):
    """Members that each voter is worth, in all the smallest number that makes all of them whole.

    Counted once each, members then have the mean and the spread of the weighted voters. Where at
    most `_MOST_MEMBERS` do not do it, that many members are shared out, fractions and all.
    """
    weights = weights / weights.sum()
    n_voters = int(np.count_nonzero(weights))
    for n_members in range(n_voters, _MOST_MEMBERS + 1):
        shares = n_members * weights
        # Weights such as 0.1 + 0.2 are off by rounding, about 1e-16 of the ensemble.
        if np.allclose(shares, np.round(shares), rtol=0, atol=1e-9):
            return np.round(shares)
    return max(n_voters, _MOST_MEMBERS) * weights


def _repeat_by_share(shared_outputs):
    """Yield each output as often as its share says, and blend what fractions are left over.

    A blended member is a weighted mean of neighbouring voters, so that the mean over members is
    the weighted mean exactly; it hides a little of the spread, of one member in a hundred a voter.
    """
    blend, filled = 0.0, 0.0
    for share, output in shared_outputs:
        while share > 1e-9:
            part = min(share, 1.0 - filled)
            blend, filled, share = blend + part * np.asarray(output), filled + part, share - part
            if filled > 1.0 - 1e-9:  # as above, room for rounding
                yield blend / filled
                blend, filled = 0.0, 0.0


def _calibrated(ensemble) -> Members:
    """Each calibrated classifier maps its columns to all labels by itself."""
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
