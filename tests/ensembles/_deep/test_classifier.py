"""The deep ensemble for classification."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris

from sklearn_dlf.ensembles import (
    DeepEnsembleClassifier,
)

# Parameters for claims that do not depend on how well or how long members train.
SMALL = {"n_estimators": 4, "hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0}


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


def test_probabilities_are_the_mean_over_members(iris):
    X, y = iris
    labels = np.array(["setosa", "versicolor", "virginica"])[y]
    ensemble = DeepEnsembleClassifier(**{**SMALL, "max_iter": 30}).fit(X, labels)
    members = ensemble.member_predictions(X)
    assert members.shape == (150, 3, 4)
    probabilities = ensemble.predict_proba(X)
    assert_allclose(members.sum(axis=1), 1, rtol=1e-12)
    assert_allclose(probabilities, members.mean(axis=-1), rtol=1e-12)
    assert_array_equal(ensemble.classes_, np.unique(labels))
    assert_array_equal(ensemble.predict(X), ensemble.classes_[probabilities.argmax(axis=1)])
    assert ensemble.score(X, labels) > 0.9
