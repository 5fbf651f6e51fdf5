"""Models with the interface of NGBoost, which name their kind by an old convention only."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm
from sklearn.base import BaseEstimator
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils import Bunch

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf.ensembles import FittedEnsemble, ensemble_kind, member_predictions
from sklearn_dlf.ensembles._member_models import kind_of
from sklearn_dlf.ensembles._member_predictions import member_variances
from tests.quick_students import QUICK

X, Y = make_classification(80, 5, random_state=0)


class Classifier(BaseEstimator):
    """Has neither tags of a classifier nor `classes_`, and a distribution, as NGBClassifier."""

    def __init__(self, C=1.0):
        self.C = C
        self.base_models = []
        self._estimator_type = "classifier"

    def fit(self, X, y):
        self.base_models = [LogisticRegression(C=self.C).fit(X, y)]
        return self

    def predict(self, X):
        return self.base_models[0].predict(X)

    def predict_proba(self, X):
        return self.base_models[0].predict_proba(X)

    def pred_dist(self, X):
        raise AssertionError


class Regressor(BaseEstimator):
    """The same of values, as NGBRegressor."""

    def __init__(self, std=1.0):
        self.std = std
        self.mean = None
        self._estimator_type = "regressor"

    def fit(self, X, y):
        self.mean = np.mean(y)
        return self

    def predict(self, X):
        return self.mean + self.std * X[:, 0]

    def pred_dist(self, X):
        return Bunch(dist=norm(self.predict(X), self.std * (1 + np.abs(X[:, 0]))))


def in_pipeline(model):
    return make_pipeline(MinMaxScaler(), model)


WAYS = {
    "list": lambda models: models,
    "pipelines": lambda models: [in_pipeline(model) for model in models],
    "wrapped": FittedEnsemble,
    "named": lambda models: FittedEnsemble(models, classes=["no", "yes"]),
}


@pytest.mark.parametrize("way", WAYS)
def test_classifiers_that_tell_their_kind_the_old_way_are_teachers(way):
    models = [Classifier(C).fit(X, Y) for C in (0.01, 0.1, 1.0)]
    if way == "pipelines":
        models = [in_pipeline(Classifier(C)).fit(X, Y) for C in (0.01, 0.1, 1.0)]
    ensemble = models if way == "pipelines" else WAYS[way](models)
    assert ensemble_kind(ensemble) == "classifier"
    labels = np.array(["no", "yes"])[Y]
    student = DLFClassifier(refine=False, **QUICK).fit(X, labels, ensemble=ensemble)
    assert_array_equal(student.classes_, ["no", "yes"])
    assert student.score(X, labels) > 0.7


def test_models_around_those_have_their_kind():
    search = GridSearchCV(Classifier(), {"C": [1.0]})
    assert kind_of(search) == kind_of(make_pipeline(MinMaxScaler(), search)) == "classifier"
    assert kind_of(in_pipeline(Regressor())) == "regressor"
    assert kind_of(in_pipeline(MinMaxScaler())) is None


def test_a_student_of_values_names_the_kind_of_such_classifiers():
    models = [Classifier(C).fit(X, Y) for C in (0.1, 1.0)]
    with pytest.raises(ValueError, match=r"ensemble of regressors.*classifiers"):
        DLFRegressor(**QUICK).fit(X, Y, ensemble=models)


def test_the_variance_of_a_distribution_behind_a_pipeline_is_that_at_transformed_rows():
    models = [in_pipeline(Regressor(std)).fit(X, Y) for std in (1.0, 2.0)]
    scaled = MinMaxScaler().fit_transform(X)[:, 0]
    outputs = member_predictions(models, X)
    assert_allclose(outputs, np.mean(Y) + np.outer(scaled, [1, 2]))
    assert_allclose(member_variances(models, X), np.outer((1 + scaled) ** 2, [1, 4]))


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:.*:FutureWarning")
def test_classifiers_of_ngboost_are_teachers():
    ngboost = pytest.importorskip("ngboost")

    def model(seed):
        return ngboost.NGBClassifier(n_estimators=5, verbose=False, random_state=seed)

    rows = [np.random.RandomState(seed).randint(80, size=80) for seed in range(3)]
    models = [model(seed).fit(X[own], Y[own]) for seed, own in enumerate(rows)]
    pipelines = [in_pipeline(model(seed)).fit(X[own], Y[own]) for seed, own in enumerate(rows)]
    for ensemble in (models, pipelines, FittedEnsemble(models, classes=[0, 1])):
        student = DLFClassifier(refine=False, **QUICK).fit(X, Y, ensemble=ensemble)
        assert student.predict_proba(X).shape == (80, 2)
