"""A column in another unit is found by the splits of the ensemble's trees."""

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from sklearn_dlf._transfer.row_checks import judge_rows
from sklearn_dlf._transfer.tree_columns import find_column_elsewhere
from sklearn_dlf.ensembles import FittedEnsemble

RNG = np.random.RandomState(0)
FRAME = pd.DataFrame(
    {
        "income": RNG.lognormal(10, 0.6, 600),
        "age": RNG.uniform(20, 70, 600),
        "town": RNG.choice(["a", "b", "c"], 600),
        "mark": RNG.choice([0.0, 1.0], 600, p=[0.95, 0.05]),
    }
)
Y = np.log(FRAME["income"]) + FRAME["age"] / 20 + FRAME["mark"]
NUMBERS = FRAME.drop(columns="town")
FOREST = RandomForestRegressor(10, min_samples_leaf=5, random_state=0)
ENCODER = make_column_transformer(
    (OneHotEncoder(), ["town"]), (StandardScaler(), ["income", "age"]), remainder="passthrough"
)
BOOSTED = [HistGradientBoostingRegressor(max_iter=5, random_state=seed) for seed in range(3)]
ENSEMBLES = {
    "forest": (FOREST, NUMBERS),
    "histograms": (BOOSTED, NUMBERS),
    "boosting": ([GradientBoostingClassifier(n_estimators=5)] * 2, NUMBERS),
    "pipeline": (make_pipeline(ENCODER, FOREST), FRAME),
    "search": (GridSearchCV(FOREST, {"max_depth": [5]}, cv=2), NUMBERS),
    "some columns": (BaggingRegressor(max_features=0.7, random_state=0), NUMBERS),
    "calibrated": (CalibratedClassifierCV(RandomForestClassifier(10), cv=2), NUMBERS),
    "inside": (make_pipeline(StandardScaler(), FOREST), NUMBERS),
}


@pytest.fixture(scope="module", params=ENSEMBLES)
def fitted(request):
    ensemble, X = ENSEMBLES[request.param]
    y = (Y.median() < Y) if request.param in ("boosting", "calibrated") else Y
    models = ensemble if isinstance(ensemble, list) else [ensemble]
    models = [model.fit(X[:300], y[:300]) for model in models]
    return (models if isinstance(ensemble, list) else models[0]), X[300:]


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_a_column_in_another_unit_is_found(fitted, factor):
    ensemble, X = fitted
    rows = X.assign(income=factor * X["income"])
    for given in (rows, rows[reversed(rows.columns)], rows.assign(further=1.0)):
        if len(given.columns) > len(X.columns) and not hasattr(ensemble, "feature_names_in_"):
            continue  # of a list, each model is given its own columns
        found = find_column_elsewhere(ensemble, given)
        assert found in ("income", "standardscaler__income")


def test_rows_of_the_same_kind_are_not(fitted):
    ensemble, X = fitted
    for rows in (X, X[:40], X[X["mark"] == 0], X[X["mark"] == 1]):
        assert find_column_elsewhere(ensemble, rows) is None


def test_a_wrapped_ensemble_and_arrays_are_read():
    forest = FOREST.fit(NUMBERS.to_numpy()[:300], Y[:300])
    rows = NUMBERS.to_numpy()[300:] * [1, 1e-3, 1]
    assert find_column_elsewhere(FittedEnsemble(forest), rows) == 1
    assert find_column_elsewhere(FrozenEstimator(forest), rows) == 1


def test_rows_that_cannot_be_read_are_left_to_the_evaluation():
    forest = FOREST.fit(NUMBERS[:300], Y[:300])
    assert find_column_elsewhere(forest, FRAME) is None
    assert find_column_elsewhere(forest, None) is None
    assert find_column_elsewhere(LinearRegression().fit(NUMBERS, Y), NUMBERS) is None


def test_gaps_follow_the_trees():
    X = NUMBERS.mask(RNG.uniform(size=NUMBERS.shape) < 0.05)
    forest = FOREST.fit(X[:300], Y[:300])
    assert find_column_elsewhere(forest, X[300:]) is None
    assert find_column_elsewhere(forest, X[300:].assign(age=12 * X["age"])) == "age"


@pytest.mark.parametrize("seed", range(4))
def test_gaps_that_matter_are_no_unit(seed):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((300, 3))
    is_gap = rng.uniform(size=300) < 0.5
    X[is_gap, 0] = np.nan
    y = 5 * is_gap + X[:, 1] + 0.5 * rng.standard_normal(300)
    boosted = [
        HistGradientBoostingRegressor(max_iter=10, max_features=0.7, random_state=i).fit(X, y)
        for i in range(5)
    ]
    assert find_column_elsewhere(boosted, X) is None


def test_a_category_that_is_gone_is_no_unit():
    town = pd.get_dummies(FRAME["town"], dtype=float)
    trees = ExtraTreesRegressor(20, min_samples_leaf=5, random_state=0).fit(town, Y)
    assert find_column_elsewhere(trees, town[FRAME["town"] != "b"]) is None


def test_columns_beside_categories_are_found():
    X = FRAME.astype({"town": "category"})
    boosted = [
        HistGradientBoostingRegressor(
            max_iter=5, max_features=0.8, categorical_features="from_dtype", random_state=seed
        ).fit(X[:300], Y[:300])
        for seed in range(3)
    ]
    assert find_column_elsewhere(boosted, X[300:]) is None
    assert find_column_elsewhere(boosted, X[300:].assign(age=12 * X["age"])) == "age"


def test_steps_that_are_not_of_scikit_learn_are_not_called():
    class Slow(FunctionTransformer):
        def transform(self, X):
            raise AssertionError("was called")

    Slow.__module__ = "elsewhere"
    model = make_pipeline(Slow(), FOREST)
    model.steps[1][1].fit(NUMBERS, Y)
    assert find_column_elsewhere(model, NUMBERS) is None
    unnamed = make_pipeline(FunctionTransformer(np.asarray), FOREST).fit(NUMBERS, Y)
    found = find_column_elsewhere(unnamed, NUMBERS.assign(age=12 * NUMBERS["age"]))
    assert found == "1 after FunctionTransformer"


@pytest.mark.parametrize("with_y", [True, False])
def test_fit_names_the_column(with_y):
    X = pd.DataFrame(RNG.uniform(1, 2, size=(600, 5)), columns=list("abcde"))
    y = X @ [1, 1, 1, 1, 0.8]
    forest = FOREST.fit(X[:300], y[:300])
    y = y[300:].to_numpy() if with_y else None
    with pytest.warns(UserWarning, match="column 'e', and those of its own fit went both ways"):
        judge_rows(forest, X[300:].assign(e=X["e"] / 1000), y, "regressor")
    with pytest.warns(UserWarning, match="other values of the columns, such as column"):
        judge_rows(forest, X[300:] / 1000, y, "regressor")
