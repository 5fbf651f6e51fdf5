"""Fits and predictions are the same whatever transformers of scikit-learn are set to return."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn import config_context
from sklearn.ensemble import BaggingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_dlf import DLFClassifier, DLFRegressor, predict_interval
from sklearn_dlf.ensembles import DeepEnsembleClassifier, DeepEnsembleRegressor

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3)) + np.array([0, 10, 20])
Y = X[:, 0] + 0.3 * rng.normal(size=60)
FRAME = pd.DataFrame(X, columns=["a", "b", "c"])
QUICK = {"q": 1, "hidden_layer_sizes": 10, "n_epochs": 1, "tol": 10.0, "random_state": 0}
QUICK["augment"] = None
TEACHER = {"n_estimators": 3, "hidden_layer_sizes": 10, "max_iter": 3, "random_state": 0}
REGRESSORS, CLASSIFIERS = DeepEnsembleRegressor(**TEACHER), DeepEnsembleClassifier(**TEACHER)


def regressor(rows):
    return DLFRegressor(REGRESSORS, **QUICK).fit(rows, Y).predict_interval(rows, 0.9)


def classifier(rows):
    return DLFClassifier(CLASSIFIERS, **QUICK).fit(rows, Y > 0).predict_proba(rows)


def regressor_in_a_pipeline(rows):
    pipeline = make_pipeline(StandardScaler(), DLFRegressor(REGRESSORS, **QUICK)).fit(rows, Y)
    return predict_interval(pipeline, rows, confidence_level=0.9)


def classifier_in_a_pipeline(rows):
    pipeline = make_pipeline(StandardScaler(), DLFClassifier(CLASSIFIERS, **QUICK)).fit(rows, Y > 0)
    return pipeline.predict_proba(rows)


def pipeline_as_teacher(rows):
    teacher = make_pipeline(StandardScaler(), BaggingRegressor(Ridge(), 5, random_state=0))
    return DLFRegressor(teacher, **QUICK).fit(rows, Y).predict(rows)


def pipelines_as_members(rows):
    members = [make_pipeline(StandardScaler(), LogisticRegression(C=c)) for c in (0.01, 9)]
    members = [member.fit(rows, Y > 0) for member in members]
    return DLFClassifier(members, **QUICK).fit(rows, Y > 0).predict_proba(rows)


CASES = [
    regressor,
    classifier,
    regressor_in_a_pipeline,
    classifier_in_a_pipeline,
    pipeline_as_teacher,
    pipelines_as_members,
]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("setting", ["pandas", "polars"])
def test_the_setting_changes_nothing(case, setting):
    rows = FRAME if setting == "pandas" else X
    expected = case(rows)
    with config_context(transform_output=setting):
        assert_allclose(case(rows), expected, rtol=1e-5)
