"""Pipelines, searches and other estimators around an ensemble."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.datasets import make_regression
from sklearn.ensemble import (
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_dlf.ensembles import (
    member_predictions,
    unseen_rows,
)

X, y = make_regression(80, 4, noise=5.0, random_state=0)
# In an order that is not the alphabet's, so that codes and labels cannot be confused.
labels = np.array(["low", "high", "middle"])[np.digitize(y, np.quantile(y, [1 / 3, 2 / 3]))]
frame = pd.DataFrame(X, columns=["w", "x", "y", "z"])
targets = np.c_[y, y**2, -y]
forest = RandomForestRegressor(5, random_state=0)
forest_classifier = RandomForestClassifier(5, random_state=0)
scaled_forest = make_pipeline(StandardScaler(), forest)


def test_members_receive_the_transformed_rows():
    teacher = clone(scaled_forest).fit(X, y)
    predictions = member_predictions(teacher, X)
    inner, scaled = teacher[-1], teacher[:-1].transform(X)
    assert_allclose(predictions, member_predictions(inner, scaled))


def test_pipelines_find_columns_by_name_in_an_array():
    teacher = make_pipeline(make_column_transformer((StandardScaler(), ["w", "z"])), forest)
    teacher.fit(frame, y)
    assert_allclose(member_predictions(teacher, X).mean(axis=1), teacher.predict(frame))


def test_each_member_is_transformed_back_to_the_unit_of_y():
    positive = np.exp(y / 100)
    teacher = TransformedTargetRegressor(forest, func=np.log, inverse_func=np.exp)
    teacher.fit(X, positive)
    logs = member_predictions(teacher.regressor_, X)
    assert_allclose(member_predictions(teacher, X), np.exp(logs))


def test_several_targets_are_transformed_back():
    teacher = TransformedTargetRegressor(forest, transformer=StandardScaler()).fit(X, targets)
    predictions = member_predictions(teacher, X)
    assert predictions.shape == (80, 3, 5)
    assert_allclose(predictions.mean(axis=2), teacher.predict(X))


def test_a_search_without_refit_raises():
    search = GridSearchCV(forest, {"max_depth": [2, 3]}, cv=2, refit=False).fit(X, y)
    with pytest.raises(ValueError, match="refit=False and keeps no estimator"):
        member_predictions(search, X)


def test_members_of_successive_halving_are_those_of_its_best_estimator():
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401
    from sklearn.model_selection import HalvingGridSearchCV

    search = HalvingGridSearchCV(forest, {"max_depth": [2, 3]}, cv=2, random_state=0).fit(X, y)
    assert_allclose(member_predictions(search, X).mean(axis=1), search.predict(X))


@pytest.mark.parametrize("wrapper", [FixedThresholdClassifier, TunedThresholdClassifierCV])
def test_thresholds_do_not_change_probabilities(wrapper):
    teacher = wrapper(forest_classifier).fit(X, y > 0)
    predictions = member_predictions(teacher, X)
    assert_allclose(predictions.mean(axis=2), teacher.predict_proba(X), atol=1e-6)


def test_wrappers_have_the_unseen_rows_of_their_ensemble():
    teacher = GridSearchCV(scaled_forest, {"randomforestregressor__max_depth": [3]}, cv=2)
    teacher.fit(X, y)
    inner = teacher.best_estimator_[-1]
    assert_array_equal(unseen_rows(teacher, 80), unseen_rows(inner, 80))
    assert unseen_rows(CalibratedClassifierCV(forest_classifier).fit(X, labels), 80) is None


def test_a_wrapper_around_a_single_model_raises():
    with pytest.raises(TypeError, match=r"Ridge is not a registered type"):
        member_predictions(make_pipeline(StandardScaler(), Ridge()).fit(X, y), X)
