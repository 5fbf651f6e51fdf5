"""Names of columns as each library writes them, and frames that are matched by them."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor, StackingRegressor, VotingRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_dlf.ensembles import FittedEnsemble, member_predictions
from sklearn_dlf.ensembles._columns import match_columns

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 3))
y = 10 * X[:, 0] + 3 * X[:, 1] + rng.normal(size=120)

NAMES = {
    "blanks": ["a b", " c", "d "],
    "underscores": ["a_b", "c", "d"],
    "brackets": ["a[1]", "b<2", "c>"],
    "JSON": ['a:"b', "{c}", "d,e"],
    "unicode": ["é ü", "日本", "z"],
    "integers": [3, 1, 2],
    "ordered integers": [0, 1, 2],
    "digits": ["0", "1", "2"],
    "mixed": ["a", 1, 2.5],
    "as of arrays": ["Column_0", "Column_1", "Column_2"],
    "tuples": pd.MultiIndex.from_tuples([("a", "x"), ("a", "y"), ("b", "z")]),
}


def xgboost_model(seed=0):
    return pytest.importorskip("xgboost").XGBRegressor(n_estimators=3, seed=seed, n_jobs=1)


def lightgbm_model(seed=0):
    return pytest.importorskip("lightgbm").LGBMRegressor(
        n_estimators=3, random_state=seed, n_jobs=1, verbose=-1
    )


def catboost_model(seed=0):
    return pytest.importorskip("catboost").CatBoostRegressor(
        iterations=3, thread_count=1, verbose=0, allow_writing_files=False, random_seed=seed
    )


every_library = pytest.mark.parametrize("make", [xgboost_model, lightgbm_model, catboost_model])

WRAPPERS = {
    "alone": lambda model: model,
    "pipeline": lambda model: make_pipeline("passthrough", model),
    "scaled": lambda model: make_pipeline(StandardScaler(), model),
    "target": lambda model: TransformedTargetRegressor(model),
    "search": lambda model: GridSearchCV(model, {}, cv=2),
    "voting": lambda model: VotingRegressor([("a", model)]),
    "stacking": lambda model: StackingRegressor([("a", model)], Ridge(), cv=2),
}


def fitted(make, frame, wrap=WRAPPERS["alone"]):
    try:
        return [wrap(make(seed)).fit(frame, y) for seed in range(2)]
    except Exception as error:  # each library refuses other names
        pytest.skip(f"cannot be fitted with these names: {error}")


def predicted(models, frame):
    return np.column_stack([model.predict(frame) for model in models])


@every_library
@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES.keys())
def test_frames_are_matched_with_the_names_that_a_library_wrote(make, names):
    frame = pd.DataFrame(X, columns=names)
    models = fitted(make, frame)
    expected = predicted(models, frame)
    assert_allclose(member_predictions(models, frame), expected, rtol=1e-6)
    assert_allclose(member_predictions(models, frame.iloc[:, [2, 0, 1]]), expected, rtol=1e-6)
    assert_allclose(member_predictions(models, X), expected, rtol=1e-6)


@every_library
@pytest.mark.parametrize("names", [NAMES["blanks"], NAMES["integers"]])
def test_other_columns_are_left_out(make, names):
    frame = pd.DataFrame(X, columns=names)
    models = fitted(make, frame)
    more = frame.iloc[:, [2, 0, 1]].assign(other=1.0)
    assert_allclose(member_predictions(models, more), predicted(models, frame), rtol=1e-6)


@every_library
@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS.keys())
@pytest.mark.parametrize("names", [NAMES["blanks"], NAMES["as of arrays"]])
def test_wrappers_match_the_names_of_the_model_inside(make, wrap, names):
    frame = pd.DataFrame(X, columns=names)
    models = fitted(make, frame, wrap)
    expected = predicted(models, frame)
    assert_allclose(member_predictions(models, frame.iloc[:, [2, 0, 1]]), expected, rtol=1e-6)
    frozen = [FrozenEstimator(model) for model in models]
    assert_allclose(member_predictions(frozen, frame.iloc[:, [2, 0, 1]]), expected, rtol=1e-6)


@every_library
def test_one_model_for_each_output_matches_names_too(make):
    frame, targets = pd.DataFrame(X, columns=["a b", "c", "d"]), np.c_[y, X[:, 2]]
    models = [MultiOutputRegressor(make(seed)).fit(frame, targets) for seed in range(2)]
    predictions = member_predictions(models, frame[["d", "a b", "c"]])
    assert_allclose(predictions[..., 1], models[1].predict(frame), rtol=1e-6)


@every_library
@pytest.mark.parametrize("names", [NAMES["blanks"], NAMES["integers"]])
def test_a_column_that_is_missing_raises(make, names):
    frame = pd.DataFrame(X, columns=names)
    models = fitted(make, frame)
    other = frame.set_axis([names[0], "other", names[2]], axis=1)
    with pytest.raises(ValueError, match=r"X lacks columns that .* was fitted with: received"):
        member_predictions(models, other)


def test_catboost_writes_the_position_of_a_column_without_a_name():
    frame = pd.DataFrame(X, columns=["", "a", "b"])
    models = fitted(catboost_model, frame)
    assert_allclose(member_predictions(models, frame), predicted(models, frame), rtol=1e-6)


def test_scikit_learn_keeps_names_so_that_an_underscore_is_no_blank():
    models = [Ridge(alpha).fit(pd.DataFrame(X, columns=["a b", "c", "d"]), y) for alpha in (1, 9)]
    with pytest.raises(ValueError, match=r"missing \['a b'\]"):
        member_predictions(models, pd.DataFrame(X, columns=["a_b", "c", "d"]))


def test_columns_that_a_library_writes_alike_raise():
    models = fitted(lightgbm_model, pd.DataFrame(X, columns=["a b", "c", "d"]))
    frame = pd.DataFrame(np.c_[X, X[:, 0]], columns=["a b", "c", "d", "a_b"])
    with pytest.raises(ValueError, match=r"several columns for one .*: \['a b', 'a_b'\]"):
        member_predictions(models, frame)


def test_two_columns_of_one_name_raise():
    models = [Ridge(alpha).fit(pd.DataFrame(X, columns=["a", "b", "c"]), y) for alpha in (1, 9)]
    frame = pd.DataFrame(np.c_[X, X[:, 0]], columns=["a", "b", "c", "a"])
    with pytest.raises(ValueError, match=r"X has several columns for one .*: \['a', 'a'\]"):
        member_predictions(models, frame)


def test_polars_frames_are_matched():
    models = fitted(lightgbm_model, pd.DataFrame(X, columns=["a b", "c", "d"]))
    expected = predicted(models, pd.DataFrame(X))
    frame = pl.DataFrame(X, schema=["a b", "c", "d"])[["d", "a b", "c"]]
    assert_allclose(member_predictions(models, frame), expected, rtol=1e-6)


NULLABLE = pd.DataFrame(
    {
        "a": pd.array([1, None, 3, 4] * 30, dtype="Int64"),
        "b": pd.array([True, False, None, True] * 30, dtype="boolean"),
        "c": pd.array([0.5, None, 1.5, 2.5] * 30, dtype="Float64"),
        "d": [True, False, True, False] * 30,
    }
)
AS_FLOATS = np.array([[1, 1, 0.5, 1], [np.nan, 0, np.nan, 0], [3, np.nan, 1.5, 1], [4, 1, 2.5, 0]])
AS_FLOATS = np.tile(AS_FLOATS, (30, 1))


@pytest.mark.parametrize("frame", [NULLABLE, pl.DataFrame(AS_FLOATS)], ids=["pandas", "polars"])
def test_models_of_arrays_get_missing_values_of_frames_as_nan(frame):
    models = [HistGradientBoostingRegressor(max_iter=n).fit(AS_FLOATS, y) for n in (3, 5)]
    assert_allclose(member_predictions(models, frame), predicted(models, AS_FLOATS))


def test_models_of_arrays_of_objects_get_frames_of_text():
    frame = pd.DataFrame({"a": ["u", "v", "w"] * 40, "b": X[:, 0]})
    encode = make_column_transformer((OneHotEncoder(), [0]), remainder="passthrough")
    models = [make_pipeline(encode, Ridge(a)).fit(frame.to_numpy(), y) for a in (1, 9)]
    assert_allclose(member_predictions(models, frame), predicted(models, frame.to_numpy()))


def test_categories_of_frames_whose_names_are_numbers_reach_models():
    frame = pd.DataFrame({0: pd.Categorical(["u", "v", "w"] * 40), 1: X[:, 0]})
    models = [
        HistGradientBoostingRegressor(max_iter=n, categorical_features="from_dtype").fit(frame, y)
        for n in (3, 5)
    ]
    assert_allclose(member_predictions(models, frame), predicted(models, frame))


def test_a_fitted_ensemble_has_the_names_as_the_library_wrote_them():
    frame = pd.DataFrame(X, columns=["a b", "c d", "e"])
    models = fitted(lightgbm_model, frame)
    assert list(FittedEnsemble(models).feature_names_in_) == ["a_b", "c_d", "e"]


def test_linear_models_of_integer_names_go_by_position():
    frame = pd.DataFrame(X, columns=[2, 0, 1])
    models = [LinearRegression().fit(frame, y), Ridge().fit(frame, y)]
    assert_allclose(member_predictions(models, frame), predicted(models, frame))


class ModelOfImages:
    """A model that records the second dimension of its rows, as scikit-learn does."""

    n_features_in_ = 2


def test_images_are_matched_by_their_second_dimension():
    images = rng.normal(size=(5, 2, 4, 4))
    assert match_columns(ModelOfImages(), images) is images
    with pytest.raises(ValueError, match=r"shape \(5, 4, 4, 2\), but ModelOfImages was fitted"):
        match_columns(ModelOfImages(), images.transpose(0, 2, 3, 1))
    with pytest.raises(ValueError, match=r"X has shape \(5,\)"):
        match_columns(ModelOfImages(), images[:, 0, 0, 0])
