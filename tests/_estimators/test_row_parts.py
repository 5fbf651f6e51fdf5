import threading
from contextlib import nullcontext

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import coo_matrix

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf._estimators import row_parts
from sklearn_dlf._estimators.base import BaseStudent
from sklearn_dlf._estimators.row_parts import PART_BYTES, STEP_ROWS, part_size
from sklearn_dlf.baselines import DirichletClassifier, HydraClassifier, HydraRegressor

BRIEF = {"hidden_layer_sizes": (8,), "n_epochs": 1, "augment": None}

# float32, in which many rows are evaluated
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


def members(n_outputs=2, n_members=6):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((300, 4))
    return X, np.einsum("nd,dcm->ncm", X, rng.standard_normal((4, n_outputs, n_members)))


def briefly(kind, **params):
    stop = {"tol": 10.0, "q": 2} if kind in (DLFRegressor, DLFClassifier) else {"max_iter": 1}
    stop |= {"refine": False} if kind is DLFClassifier else {}
    stop |= {"target_noise": "constant"} if kind is DLFRegressor else {}
    return kind(random_state=0, **stop, **BRIEF, **params)


def fit_regressor(kind=DLFRegressor, **params):
    X, predictions = members()
    y = predictions.mean(axis=2) + np.random.RandomState(1).standard_normal((300, 2))
    return briefly(kind, **params).fit(X, y, predictions=predictions, unseen=True), X


def fit_classifier(kind=DLFClassifier, **params):
    X, predictions = members(3)
    probabilities = np.exp(predictions) / np.exp(predictions).sum(axis=1, keepdims=True)
    return briefly(kind, **params).fit(X, predictions=probabilities), X


def conformal_regressor():
    student, X = fit_regressor()
    return student.conformalize(X, members()[1].mean(axis=2)), X


STUDENTS = {
    "regressor": fit_regressor,
    "separable": lambda: fit_regressor(loadings="separable"),
    "conformal": conformal_regressor,
    "Hydra": lambda: fit_regressor(HydraRegressor),
    "classifier": fit_classifier,
    "Hydra classifier": lambda: fit_classifier(HydraClassifier),
    "Dirichlet": lambda: fit_classifier(DirichletClassifier),
}

METHODS = {
    "predict": lambda student, X: student.predict(X),
    "predict with std": lambda student, X: student.predict(X, return_std=True),
    "predict_interval": lambda student, X: student.predict_interval(X),
    "predict_uncertainty": lambda student, X: tuple(student.predict_uncertainty(X).values()),
    "predict_proba": lambda student, X: student.predict_proba(X),
    "predict_log_proba": lambda student, X: student.predict_log_proba(X),
    "sample_predictions": lambda student, X: student.sample_predictions(X, 5, random_state=0),
    "sample_y": lambda student, X: student.sample_y(X, 5, random_state=0),
    "member_predictions": lambda student, X: student.member_predictions(X),
}


@pytest.fixture(scope="module")
def fitted():
    return {name: fit() for name, fit in STUDENTS.items()}


@pytest.fixture
def read_sizes(monkeypatch, fitted):
    """Numbers of rows that were read at a time, with parts of at most 64 rows."""
    monkeypatch.setattr(row_parts, "part_size", lambda row_numbers: 64)
    sizes, original = [], BaseStudent._standardised_rows

    def read(self, X, *novelties):
        rows = original(self, X, *novelties)
        sizes.append(len(rows))
        return rows

    monkeypatch.setattr(BaseStudent, "_standardised_rows", read)
    return sizes


def cases():
    for student in STUDENTS:
        is_regressor = student in ("regressor", "separable", "conformal", "Hydra")
        for method in METHODS:
            only = {"predict_interval", "sample_y"} if is_regressor else set()
            only |= set() if is_regressor else {"predict_proba", "predict_log_proba"}
            only |= {"predict with std"} if is_regressor else set()
            only |= {"member_predictions"} if student.startswith("Hydra") else set()
            if method in only | {"predict", "predict_uncertainty", "sample_predictions"}:
                yield student, method


@pytest.mark.parametrize(("student", "method"), list(cases()))
def test_parts_predict_what_all_rows_do(fitted, read_sizes, student, method):
    student, X = fitted[student]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_parts, "part_size", lambda row_numbers: 1000)
        whole = METHODS[method](student, X)
    assert read_sizes == [len(X)]
    parts = METHODS[method](student, X)
    assert read_sizes[1:] == [64, 64, 64, 64, 44]
    for part, expected in zip(np.atleast_1d(parts), np.atleast_1d(whole), strict=True):
        if part.dtype.kind == "f":
            assert_allclose(part, expected, **TOLERANCE)
        else:
            assert (part == expected).mean() > 0.95


def test_parts_of_few_rows_are_as_exact_as_the_rows_at_once(fitted, monkeypatch):
    student, X = fitted["regressor"]
    whole = student.predict(X[:200])
    monkeypatch.setattr(row_parts, "part_size", lambda row_numbers: 30)
    assert_allclose(student.predict(X[:200]), whole, rtol=1e-13)


@pytest.mark.parametrize("container", [np.asarray, pd.DataFrame, coo_matrix, list])
def test_rows_of_any_container_are_predicted(fitted, read_sizes, container):
    student, X = fitted["regressor"]
    expected = student.predict(X)
    if container is coo_matrix:
        student, _ = fit_sparse(X)
        expected = student.predict(X)
    assert_allclose(student.predict(container(X)), expected, **TOLERANCE)


def fit_sparse(X):
    return briefly(DLFRegressor).fit(coo_matrix(X), predictions=members()[1]), X


def test_an_array_on_disk_is_read_in_parts(fitted, read_sizes, tmp_path):
    student, X = fitted["regressor"]
    stored = np.memmap(tmp_path / "rows", dtype=np.float64, mode="w+", shape=X.shape)
    stored[:] = X
    expected = student.predict(X)
    read_sizes.clear()
    assert_array_equal(student.predict(stored), expected)
    assert max(read_sizes) == 64


@pytest.mark.parametrize(
    ("row_numbers", "size"),
    [
        (1e9, 1),
        (PART_BYTES / 8 / 10, 10),
        (PART_BYTES / 8 / (2 * STEP_ROWS + 5), 2 * STEP_ROWS),
        (1, row_parts.MAX_PART_ROWS),
    ],
)
def test_a_part_takes_a_bounded_number_of_bytes(row_numbers, size):
    assert part_size(row_numbers) == size


def test_rows_of_another_shape_are_refused_as_before(fitted):
    student, X = fitted["regressor"]
    with pytest.raises(ValueError, match="Expected 2D array"):
        student.predict(X[0])
    with pytest.raises(ValueError, match="expecting 4 features"):
        student.predict(X[:, :3])


def jobs_by_parameter(student):
    student.set_params(n_jobs=2)
    return nullcontext()


def jobs_by_configuration(student):
    return joblib.parallel_config(backend="threading", n_jobs=2)


@pytest.mark.parametrize("jobs", [jobs_by_parameter, jobs_by_configuration])
def test_threads_predict_what_one_does(fitted, read_sizes, monkeypatch, jobs):
    student, X = fitted["regressor"]
    expected = student.predict_interval(X), student.sample_predictions(X, 3, random_state=0)
    threads, standardised = set(), BaseStudent._standardised_rows

    def note_thread(self, *rows):
        threads.add(threading.get_ident())
        return standardised(self, *rows)

    monkeypatch.setattr(BaseStudent, "_standardised_rows", note_thread)
    try:
        with jobs(student):
            assert_array_equal(student.predict_interval(X), expected[0])
            assert len(threads) > 1
            assert_array_equal(student.sample_predictions(X, 3, random_state=0), expected[1])
    finally:
        student.set_params(n_jobs=None)
