"""Types that look like ensembles but are not ensembles of alternatives."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import make_regression
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    StackingClassifier,
    StackingRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import (
    ClassifierChain,
    MultiOutputClassifier,
    MultiOutputRegressor,
    RegressorChain,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier

from sklearn_dlf.ensembles import (
    FittedEnsemble,
    describe_ensemble,
    ensemble_kind,
    is_fitted_ensemble,
    member_predictions,
)

X, y = make_regression(80, 4, noise=5.0, random_state=0)
targets = np.c_[y, y**2, -y]
voters = [("ols", LinearRegression()), ("ridge", Ridge(100)), ("flat", Ridge(1e5))]
classifying_voters = [
    ("nb", GaussianNB()),
    ("lr", LogisticRegression()),
    ("tree", DecisionTreeClassifier(max_depth=2, random_state=0)),
]


@pytest.mark.parametrize(
    ("teacher", "reason", "way_out"),
    [
        (GradientBoostingRegressor(n_estimators=2), "the sum of its parts", "BaggingRegressor"),
        (GradientBoostingClassifier(n_estimators=2), "the sum of its parts", "as a list"),
        (HistGradientBoostingRegressor(max_iter=2), "the sum of its parts", "as a list"),
        (HistGradientBoostingClassifier(max_iter=2), "the sum of its parts", "as a list"),
        (AdaBoostRegressor(n_estimators=2), "predicted badly", "list of several"),
        (AdaBoostClassifier(n_estimators=2), "predicted badly", "list of several"),
        (StackingRegressor(voters), "final estimator", "VotingRegressor"),
        (StackingClassifier(classifying_voters), "final estimator", "VotingClassifier"),
        (MultiOutputRegressor(Ridge()), "model for each target", "list of several"),
        (MultiOutputClassifier(GaussianNB()), "model for each target", "list of several"),
        (RegressorChain(Ridge()), "model for each target", "list of several"),
        (ClassifierChain(GaussianNB()), "model for each target", "list of several"),
        (OneVsRestClassifier(LogisticRegression()), "each class", "list of several"),
        (OneVsOneClassifier(LogisticRegression()), "each class", "list of several"),
        (OutputCodeClassifier(LogisticRegression()), "each class", "list of several"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_refused_types_raise_with_the_way_out(teacher, reason, way_out):
    for function in (ensemble_kind, is_fitted_ensemble, describe_ensemble, FittedEnsemble):
        with pytest.raises(
            TypeError, match=f"{type(teacher).__name__} is not.*{reason}.*{way_out}"
        ):
            function(teacher)  # before time is spent on a fit


def test_models_of_a_refused_type_can_be_members():
    teachers = [
        GradientBoostingRegressor(n_estimators=5, subsample=0.5, random_state=seed).fit(X, y)
        for seed in range(2)
    ]
    assert_allclose(member_predictions(teachers, X)[:, 1], teachers[1].predict(X))
    bagged = BaggingRegressor(GradientBoostingRegressor(n_estimators=5), 3).fit(X, y)
    assert_allclose(member_predictions(bagged, X).mean(axis=1), bagged.predict(X))


def test_lists_of_models_of_several_targets_keep_members_last():
    teachers = [MultiOutputRegressor(Ridge(alpha)).fit(X, targets) for alpha in (1, 10)]
    predictions = member_predictions(teachers, X)
    assert_allclose(predictions[..., 1], teachers[1].predict(X))


def test_an_isolation_forest_is_not_registered():
    with pytest.raises(TypeError, match="IsolationForest is not a registered type"):
        member_predictions(IsolationForest(n_estimators=5).fit(X), X)


def test_a_pipeline_around_a_refused_type_raises():
    teacher = Pipeline([("boosting", GradientBoostingRegressor(n_estimators=2))]).fit(X, y)
    with pytest.raises(TypeError, match="GradientBoostingRegressor is not an ensemble of"):
        member_predictions(teacher, X)
