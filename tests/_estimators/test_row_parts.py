import copy
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import coo_matrix
from sklearn import config_context

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
        time.sleep(0.01)  # so that the other thread takes a part too
        return standardised(self, *rows)

    monkeypatch.setattr(BaseStudent, "_standardised_rows", note_thread)
    try:
        with jobs(student):
            assert_array_equal(student.predict_interval(X), expected[0])
            assert len(threads) > 1
            assert_array_equal(student.sample_predictions(X, 3, random_state=0), expected[1])
    finally:
        student.set_params(n_jobs=None)


@pytest.fixture
def many(monkeypatch):
    """Rows of five parts of 64 rows, the first of 16; torch has two threads."""
    monkeypatch.setattr(row_parts, "THREAD_ROWS", 64)
    monkeypatch.setattr(row_parts, "STEP_ROWS", 16)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    return members()[0][:272]


def threads_of(monkeypatch, student):
    """The threads that read rows, and how many rows each call has read."""
    found, standardised = [], BaseStudent._standardised_rows

    def note(self, *rows):
        found.append((threading.get_ident(), len(rows[0])))
        time.sleep(0.01)  # so that the other thread takes a part too
        return standardised(self, *rows)

    monkeypatch.setattr(BaseStudent, "_standardised_rows", note)
    return found


@pytest.mark.parametrize("name", ["regressor", "classifier", "Hydra"])
def test_many_rows_are_predicted_in_torchs_number_of_threads(fitted, monkeypatch, many, name):
    student, _ = fitted[name]
    alone = copy.copy(student)
    alone.n_jobs = 1
    expected = alone.predict(many)
    found = threads_of(monkeypatch, student)
    assert_array_equal(student.predict(many), expected)
    assert [size for _, size in found] == [16, 64, 64, 64, 64]
    assert len({thread for thread, _ in found[1:]}) == 2


@pytest.mark.parametrize("n_jobs", [1, None])
def test_one_job_few_rows_and_one_thread_of_torch_are_one_thread(fitted, monkeypatch, many, n_jobs):
    student = copy.copy(fitted["regressor"][0]).set_params(n_jobs=n_jobs)
    found = threads_of(monkeypatch, student)
    if n_jobs is None:
        student.predict(many[:127])
        monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    student.predict(many)
    assert {thread for thread, _ in found} == {threading.get_ident()}


def test_a_body_that_is_not_small_keeps_torchs_own_threads(fitted, monkeypatch, many):
    student, _ = fitted["regressor"]
    found = threads_of(monkeypatch, student)
    monkeypatch.setattr(type(student.student_), "is_small", lambda self, n_rows: False)
    student.predict(many)
    assert len(found) == 1


def test_settings_of_the_calling_thread_hold_in_all(fitted, many):
    student, _ = fitted["regressor"]
    rows = many.copy()
    rows[-1, 0] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        student.predict(rows)
    with config_context(assume_finite=True):
        assert np.isnan(student.predict(rows)[-1]).all()


def test_after_an_error_no_further_part_is_begun(fitted, monkeypatch, many):
    student, _ = fitted["regressor"]
    found = threads_of(monkeypatch, student)
    rows = np.tile(many, (20, 1))
    rows[20, 0] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        student.predict(rows)
    assert len(found) < 20


def test_a_configuration_of_joblib_says_how_many_threads(fitted, monkeypatch, many):
    student, _ = fitted["regressor"]
    found = threads_of(monkeypatch, student)
    with joblib.parallel_config(n_jobs=1):
        student.predict(many)
    with joblib.parallel_config(backend="threading", n_jobs=2):  # a job starts no further threads
        joblib.Parallel()(joblib.delayed(student.predict)(many) for _ in range(2))
    by_call = [size for _, size in found]
    assert by_call == [len(many)] * 3


def test_rows_are_read_by_one_thread_at_a_time(fitted, monkeypatch, many):
    student, _ = fitted["regressor"]
    reading, standardised = threading.Lock(), BaseStudent._standardised_rows

    def read(self, *rows):
        assert reading.acquire(blocking=False)
        time.sleep(0.01)
        try:
            return standardised(self, *rows)
        finally:
            reading.release()

    monkeypatch.setattr(BaseStudent, "_standardised_rows", read)
    assert student.predict(many).shape == (len(many), 2)


def test_where_no_thread_can_be_started_the_calling_one_predicts(fitted, monkeypatch, many):
    student, _ = fitted["regressor"]
    expected = student.predict(many)

    def refuse(*call):
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    monkeypatch.setattr(ThreadPoolExecutor, "submit", refuse)
    assert_array_equal(student.predict(many), expected)
