"""Students of members that are not normal at a row."""

import copy
import json
import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression

from sklearn_dlf import DLFRegressor, load_student, save_student
from sklearn_dlf._latent.member_law import MemberLaw
from sklearn_dlf.metrics import member_log_likelihood_scorer

X = np.random.RandomState(0).uniform(-1, 1, size=(400, 2))
QUICK = {"q": 2, "hidden_layer_sizes": (20,), "n_epochs": 4, "tol": 0.05, "random_state": 0}
LAW = MemberLaw(np.array([0.4]), np.array([1.5]))


def members(law=None, seed=1, n_members=60):
    """Members whose noise is independent from row to row, (n, n_members)."""
    rng = np.random.RandomState(seed)
    noise = rng.standard_normal((len(X), 1, n_members))
    noise = noise if law is None else law.from_normal(noise)
    std = 0.5 + 0.4 * X[:, :1]
    return np.sin(2 * X[:, 1:]) + std * noise[:, 0]


def fit(predictions, y=None, **parameters):
    """Return a student of members none of which has seen a row."""
    y = predictions.mean(axis=-1) if y is None else y
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # y has no noise
        student = DLFRegressor(**{**QUICK, **parameters})
        return student.fit(X[: len(y)], y, predictions=predictions, unseen=True)


def normal(student):
    """Return a copy of a student whose members are normal at a row."""
    student = copy.copy(student)
    student.member_law_ = None
    return student


@pytest.fixture(scope="module")
def student():
    y = np.sin(2 * X[:, 1]) + 0.3 * np.random.RandomState(2).standard_normal(len(X))
    return fit(members(LAW), y)


def test_skewness_and_tails_are_found(student):
    assert_allclose(student.member_law_.skewness, LAW.skewness, atol=0.1)
    assert_allclose(student.member_law_.tail, LAW.tail, atol=0.2)


@pytest.mark.parametrize("seed", range(5))
def test_normal_members_have_no_law(seed):
    assert fit(members(seed=10 + seed)).member_law_ is None


def test_draws_have_the_law_and_keep_mean_and_std(student):
    mean, std = student.predict(X, return_std=True)
    draws = student.sample_predictions(X, 20_000, random_state=0)
    assert_allclose(draws.mean(axis=1), mean, atol=0.05 * std.max())
    assert_allclose(draws.std(axis=1), std, rtol=0.05)
    unit = (draws - mean[:, None]) / std[:, None]
    expected = LAW.from_normal(np.random.RandomState(3).standard_normal((1, 1, 200_000)))
    levels = [0.01, 0.25, 0.75, 0.99]
    assert_allclose(np.quantile(unit, levels), np.quantile(expected, levels), atol=0.25)


def test_fresh_members_are_likelier_than_as_normals(student):
    fresh = members(LAW, seed=5)
    gain = member_log_likelihood_scorer(student, X, predictions=fresh)
    gain -= member_log_likelihood_scorer(normal(student), X, predictions=fresh)
    mean, std = student.predict(X, return_std=True)
    unit = ((fresh - mean[:, None]) / std[:, None])[:, None]
    values, log_slope = student.member_law_.to_normal(unit)
    by_hand = log_slope.mean() - 0.5 * (values**2).mean() + 0.5 * (unit**2).mean()
    assert gain > 0.03
    assert_allclose(gain, by_hand, atol=0.01)


def test_y_does_not_follow_the_law_twice(student):
    other = normal(student)
    levels = [0.05, 0.5, 0.95]
    assert_array_equal(student.predict_quantiles(X, levels), other.predict_quantiles(X, levels))
    draws = student.sample_y(X[:20], 5, random_state=0)
    assert_array_equal(draws, other.sample_y(X[:20], 5, random_state=0))


def test_the_law_stays_in_files_and_after_updates(student, tmp_path):
    expected = student.sample_predictions(X[:9], 4, random_state=0)
    save_student(student, tmp_path / "student.safetensors")
    loaded = load_student(tmp_path / "student.safetensors")
    for same in (pickle.loads(pickle.dumps(student)), loaded):
        assert_array_equal(same.sample_predictions(X[:9], 4, random_state=0), expected)
    updated = copy.deepcopy(student).update(X[:0], np.empty(0))
    draws = updated.sample_predictions(X[:9], 4, random_state=0)
    assert_allclose(draws, expected, rtol=1e-6, atol=1e-9)


def test_onnx_files_name_the_law(student, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    student.to_onnx(tmp_path / "student.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "student.onnx")
    law = json.loads(session.get_modelmeta().custom_metadata_map["member_law"])
    assert_allclose(law["tail"], student.member_law_.tail)
    skewness, tail = (np.array(law[name])[:, None] for name in ("skewness", "tail"))
    mean, std = (each[:, None, None] for each in student.predict(X, return_std=True))
    members = mean + std * np.random.RandomState(0).standard_normal((len(X), 1, 2_000))
    raw = np.sinh(tail * np.arcsinh((members - mean) / std) + skewness)
    raw = (raw - raw.mean(axis=(0, 2), keepdims=True)) / raw.std(axis=(0, 2), keepdims=True)
    expected = student.member_law_.from_normal((members - mean) / std)
    assert_allclose(raw, expected, rtol=0.02, atol=0.02)


def test_each_output_has_a_law_of_its_own():
    both = np.stack([members(), members(LAW, seed=4)], axis=1)
    student = fit(both, loadings="full")
    assert_array_equal(student.member_law_.tail == 1, [True, False])
    assert_allclose(student.member_law_.tail[1], LAW.tail[0], atol=0.2)


@pytest.mark.parametrize("parameters", [{"latent": "gaussian"}, {"latent": "smoothed"}])
def test_a_law_of_the_factors_that_was_asked_for_is_all(parameters):
    assert fit(members(LAW), **parameters).member_law_ is None


def test_rows_that_members_may_have_seen_give_no_law():
    student = DLFRegressor(**QUICK).fit(X, predictions=members(LAW))
    assert student.member_law_ is None


def test_transformed_targets_and_few_rows_have_none():
    y = np.exp(X[:, 0])
    models = [
        TransformedTargetRegressor(LinearRegression(), func=np.log, inverse_func=np.exp).fit(
            X[i::10], y[i::10]
        )
        for i in range(10)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert DLFRegressor(**QUICK).fit(X, ensemble=models).member_law_ is None
    assert fit(members(LAW)[:60]).member_law_ is None


def test_the_trees_of_a_forest_are_skewed():
    X, y = load_diabetes(return_X_y=True)
    forest = RandomForestRegressor(40, random_state=0).fit(X, y)
    student = DLFRegressor(forest, **QUICK).fit(X, y)
    assert student.member_law_.skewness[0] > 0.1
