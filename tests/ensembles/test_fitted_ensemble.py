"""The opaque wrapper around a fitted ensemble."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.datasets import make_regression
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV

from sklearn_dlf.ensembles import FittedEnsemble, unseen_rows

X, y = make_regression(60, 4, noise=5.0, random_state=0)
labels = np.array(["a", "b", "c"])[np.digitize(y, np.quantile(y, [1 / 3, 2 / 3]))]
frame = pd.DataFrame(X, columns=["w", "x", "y", "z"])


def fitted_ridges():
    return [Ridge(alpha).fit(X, y) for alpha in (0.1, 10.0, 1000.0)]


def classifiers_of(*pairs):
    """One classifier for each string of labels, fitted on the rows with these labels only."""
    masks = [np.isin(labels, list(pair)) for pair in pairs]
    return [LogisticRegression().fit(X[mask], labels[mask]) for mask in masks]


def test_a_fitted_ensemble_survives_clone_and_pickle():
    ensemble = FittedEnsemble(fitted_ridges())
    assert clone(ensemble) is ensemble
    predictions = pickle.loads(pickle.dumps(ensemble)).member_predictions(X)
    assert_allclose(predictions, ensemble.member_predictions(X))


def test_a_fitted_ensemble_keeps_a_list_of_its_own():
    models = fitted_ridges()
    ensemble = FittedEnsemble(models)
    before = ensemble.member_predictions(X)
    models.pop()
    assert_array_equal(ensemble.member_predictions(X), before)


def test_a_fitted_ensemble_hashes_by_its_models():
    assert joblib.hash(FittedEnsemble(fitted_ridges())) == joblib.hash(
        FittedEnsemble(fitted_ridges())
    )


class Distiller(RegressorMixin, BaseEstimator):
    """The least estimator that takes an ensemble in both ways."""

    def __init__(self, ensemble=None, shift=0.0):
        self.ensemble = ensemble
        self.shift = shift

    def fit(self, X, y, ensemble=None):
        self.ensemble_ = self.ensemble if ensemble is None else ensemble
        assert isinstance(self.ensemble_, FittedEnsemble)
        return self

    def predict(self, X):
        return self.ensemble_.member_predictions(X).mean(axis=1) + self.shift


def test_a_search_leaves_a_fitted_ensemble_alone():
    # As many members as rows: lists of that length are cut with the rows.
    ensemble = FittedEnsemble([*fitted_ridges()] * 20)
    grid = {"shift": [0.0, 1.0]}
    in_constructor = GridSearchCV(Distiller(ensemble), grid, cv=3, error_score="raise").fit(X, y)
    in_fit = GridSearchCV(Distiller(), grid, cv=3, error_score="raise").fit(X, y, ensemble=ensemble)
    for search in (in_constructor, in_fit):
        assert search.best_estimator_.ensemble_ is ensemble


def test_a_fitted_ensemble_is_no_sequence():
    ensemble = FittedEnsemble(fitted_ridges())
    for name in ("__len__", "__iter__", "__getitem__", "shape", "__array__", "get_params"):
        assert not hasattr(ensemble, name)


def test_repr_counts_models():
    text = repr(Distiller(FittedEnsemble([*fitted_ridges(), LinearRegression().fit(X, y)])))
    assert "FittedEnsemble([3 x Ridge, LinearRegression], kind='regressor', n_members=4)" in text
    forest = FittedEnsemble(RandomForestRegressor(3).fit(X, y))
    assert repr(forest) == "FittedEnsemble(RandomForestRegressor, kind='regressor', n_members=3)"


def test_a_fitted_ensemble_knows_columns_and_classes():
    ensemble = FittedEnsemble(RandomForestClassifier(3).fit(frame, labels))
    assert (ensemble.kind, ensemble.n_members, ensemble.n_features_in_) == ("classifier", 3, 4)
    assert_array_equal(ensemble.classes_, ["a", "b", "c"])
    assert_array_equal(ensemble.feature_names_in_, ["w", "x", "y", "z"])
    unnamed = FittedEnsemble(fitted_ridges())
    assert not hasattr(unnamed, "feature_names_in_")
    assert not hasattr(unnamed, "classes_")


def test_classes_may_be_said_and_then_hold_all_labels():
    ensemble = FittedEnsemble(classifiers_of("ab", "bc"), classes=["d", "c", "b", "a"])
    assert_array_equal(ensemble.classes_, ["d", "c", "b", "a"])
    predictions = ensemble.member_predictions(X)
    assert_allclose(predictions[:, [3, 2], 0], classifiers_of("ab")[0].predict_proba(X), atol=1e-7)
    with pytest.raises(ValueError, match=r"knows the labels \['c'\], expected labels among"):
        FittedEnsemble(classifiers_of("ab", "bc"), classes=["a", "b"])


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        (fitted_ridges(), {"outputs": "odds"}, "outputs must be one of .*got 'odds'"),
        (fitted_ridges(), {"outputs": "logits"}, "contradicts Model 0 .*which is a regressor"),
        (fitted_ridges(), {"n_members": 3}, "n_members=3 was given, but list has 3 members that"),
        (RandomForestRegressor(3).fit(X, y), {"outputs": "values"}, "expected neither `outputs`"),
    ],
)
def test_options_that_contradict_are_refused(models, options, message):
    with pytest.raises(ValueError, match=message):
        FittedEnsemble(models, **options)


def test_a_fitted_ensemble_passes_out_of_bag_rows_on():
    forest = RandomForestRegressor(5, random_state=0).fit(X, y)
    assert_array_equal(unseen_rows(FittedEnsemble(forest), 60), unseen_rows(forest, 60))


def test_ensembles_nest():
    inner = FittedEnsemble(fitted_ridges())
    assert_allclose(FittedEnsemble(inner).member_predictions(X), inner.member_predictions(X))
