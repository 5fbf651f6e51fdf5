"""Correlation of the noise of y over outputs, where the truth is known."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from quick_students import QUICK

from sklearn_dlf import DLFRegressor, load_student, save_student
from sklearn_dlf._fitting.noise_correlation import _nearest_correlation

TRUTH = np.array([[1.0, 0.7, 0.0], [0.7, 1.0, -0.5], [0.0, -0.5, 1.0]])


def make_data(n, seed):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, 3))
    noise = rng.standard_normal((n, 3)) @ np.linalg.cholesky(TRUTH).T
    return X, X + noise * [0.3, 0.5, 0.4], rng


def fit(X, y, rng, **options):
    members = X[..., None] + 0.1 * rng.standard_normal((1, 3, 12)) * np.sign(X[..., None])
    return DLFRegressor(**QUICK).fit(X, y, predictions=members, **options)


def correlation_of(draws):
    deviations = draws - draws.mean(axis=-1, keepdims=True)
    return np.corrcoef(deviations.transpose(1, 0, 2).reshape(draws.shape[1], -1))


@pytest.fixture(scope="module")
def student():
    return fit(*make_data(800, 0), unseen=True)


def test_correlation_of_the_noise_is_found_and_drawn(student):
    assert_allclose(student.target_noise_.correlation, TRUTH, atol=0.12)
    draws = student.sample_y(make_data(200, 1)[0], 200, random_state=0)
    assert_allclose(correlation_of(draws), TRUTH, atol=0.15)
    single = student.predict_uncertainty(make_data(200, 1)[0]).std
    assert_allclose(draws.std(axis=-1).mean(axis=0), single.mean(axis=0), rtol=0.05)


def test_independent_noise_stays_independent():
    X, y, rng = make_data(800, 0)
    y = X + 0.4 * rng.standard_normal(y.shape)
    assert fit(X, y, rng, unseen=True).target_noise_.correlation is None


def test_nothing_is_found_at_rows_that_members_may_have_seen():
    with pytest.warns(UserWarning, match="may have been fitted to"):
        student = fit(*make_data(800, 0))
    assert student.target_noise_.correlation is None


def test_files_and_pickles_keep_it(student, tmp_path):
    save_student(student, tmp_path / "student.safetensors")
    X = make_data(20, 1)[0]
    for again in (
        load_student(tmp_path / "student.safetensors"),
        pickle.loads(pickle.dumps(student)),
    ):
        draws = (each.sample_y(X, 3, random_state=0) for each in (again, student))
        assert_array_equal(*draws)


def test_an_output_of_the_other_sign_turns_its_correlations(student):
    X, y, _ = make_data(120, 2)
    adapted = student.adapt(X, y * [1, -1, 1], labels="mapped")
    signs = np.array([1, -1, 1])
    expected = student.target_noise_.correlation * signs * signs[:, None]
    assert_array_equal(adapted.target_noise_.correlation, expected)


def test_a_matrix_that_is_no_correlation_becomes_one():
    matrix = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
    found = _nearest_correlation(matrix)
    assert np.linalg.eigvalsh(found)[0] > 0
    assert_allclose(np.diag(found), 1)
    assert_allclose(_nearest_correlation(TRUTH), TRUTH, atol=1e-9)
