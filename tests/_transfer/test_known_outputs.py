"""What the models of a list return where they do not say it: the student's kind tells."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression, Ridge
from torch import nn

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf.baselines import HydraRegressor
from sklearn_dlf.ensembles import FittedEnsemble
from sklearn_dlf.metrics import make_member_log_likelihood_scorer

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
Y = X[:, 0] + 0.1 * rng.normal(size=60)
RIDGES = [Ridge(alpha).fit(X, Y) for alpha in (0.1, 10.0, 100.0)]
QUICK = {"q": 2, "hidden_layer_sizes": 10, "n_epochs": 1, "tol": 10.0, "random_state": 0}
QUICK["augment"] = None


class Predicting:
    """A model of another library, of unknown kind."""

    def __init__(self, ridge):
        self.predict = ridge.predict


def modules():
    torch.manual_seed(0)
    return [nn.Linear(3, 1) for _ in range(3)]


LISTS = {
    "functions": [ridge.predict for ridge in RIDGES],
    "a tuple of functions": tuple(ridge.predict for ridge in RIDGES),
    "modules": modules(),
    "models of unknown kind": [Predicting(ridge) for ridge in RIDGES],
    "functions among regressors": [RIDGES[0], *(ridge.predict for ridge in RIDGES[1:])],
}


@pytest.mark.parametrize("models", LISTS.values(), ids=LISTS.keys())
def test_models_of_a_regressor_return_values(models):
    student = DLFRegressor(**QUICK).fit(X, ensemble=models)
    expected = DLFRegressor(FittedEnsemble(models, outputs="values"), **QUICK).fit(X)
    assert_array_equal(student.predict(X), expected.predict(X))


def test_baselines_and_scorers_know_it_too():
    functions = LISTS["functions"]
    student = HydraRegressor(hidden_layer_sizes=10, max_iter=1, augment=None, random_state=0)
    assert student.fit(X, ensemble=functions).n_members_ == 3
    student = DLFRegressor(functions, **QUICK).fit(X)
    score = make_member_log_likelihood_scorer(functions)(student, X)
    assert_allclose(score, make_member_log_likelihood_scorer(RIDGES)(student, X))


def test_a_classifier_has_to_be_told():
    models = [LogisticRegression(C=c).fit(X, Y > 0) for c in (0.1, 10.0)]
    functions = [model.predict_proba for model in models]
    with pytest.raises(TypeError, match=r"unknown what it returns.*outputs=\.\.\."):
        DLFClassifier(**QUICK).fit(X, ensemble=functions)


def test_a_classifier_among_functions_contradicts_a_regressor():
    classifier = LogisticRegression().fit(X, Y > 0)
    with pytest.raises(ValueError, match="which is a classifier"):
        DLFRegressor(**QUICK).fit(X, ensemble=[classifier, RIDGES[0].predict])


def test_models_that_cannot_be_called_are_refused_as_before():
    with pytest.raises(TypeError, match=r"Model 0 .*ndarray"):
        DLFRegressor(**QUICK).fit(X, ensemble=[Y, Y])
