"""Columns of two values are features of what an update learns."""

import copy
import pickle

import numpy as np
import pytest
from linear_students import make_classifier, make_regressor
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_dlf import load_student, save_student
from sklearn_dlf._updating.memory import MAX_INDICATORS, indicators


@pytest.fixture
def rows():
    return np.random.RandomState(0).standard_normal((500, 6))


def test_indicators_are_columns_of_two_values_those_of_few_rows_first(rows):
    rows[:, 1] = rows[:, 1] > 0
    rows[:, 2] = 7.0
    rows[:, 3] = np.where(np.arange(500) == 7, 3.5, -1.0)
    rows[:, 4] = np.round(rows[:, 4]).clip(-1, 1)
    assert_array_equal(indicators(rows, 10), [1, 3])
    assert_array_equal(indicators(rows, 1), [3])
    assert len(indicators(rows, 0)) == 0
    assert len(indicators(rows[:0], 10)) == 0
    assert len(indicators(rows[..., None], 10)) == 0
    rows[400, 1] = 0.5
    assert_array_equal(indicators(rows, 10), [3])


def test_indicators_are_bounded(rows):
    many = (np.repeat(rows, 10, axis=1) > np.linspace(-1, 1, 60)).astype(float)
    assert len(indicators(many, 1000)) == MAX_INDICATORS


def test_a_column_that_has_two_values_in_most_rows_is_found_by_all_rows():
    rows = np.zeros((5000, 1))
    rows[4321] = 1.0
    assert_array_equal(indicators(rows, 5), [0])
    rows[1234] = 2.0
    assert len(indicators(rows, 5)) == 0


@pytest.mark.parametrize("make", [make_regressor, make_classifier])
def test_the_level_of_a_group_is_learnt_and_that_of_others_kept(make):
    n = 1 if make is make_regressor else 2
    student, X, y = make(n, has_group=True)
    in_group, others = X.copy(), X.copy()
    in_group[:, 2], others[:, 2] = 1.0, 0.0
    assert_array_equal(student._memory.columns, [2])
    if make is make_regressor:
        before = student.predict(in_group), student.predict(others)
        student.update(in_group, before[0] + 2.0)
        after = student.predict(in_group), student.predict(others)
        assert (after[0] - before[0]).mean() == pytest.approx(2.0, abs=0.3)
        assert abs(after[1] - before[1]).mean() < 0.1
        return
    before = student.predict_proba(others)
    student.update(in_group, np.repeat("b", len(X)))
    assert student.predict_proba(in_group)[:, 1].mean() > 0.85
    assert abs(student.predict_proba(others) - before).mean() < 0.06


def test_updated_students_of_groups_survive_files(tmp_path):
    student, X, y = make_regressor(1, has_group=True)
    student.update(X[:20], y[:20])
    expected = student.predict(X, return_std=True)
    save_student(student, tmp_path / "student.safetensors")
    for other in (
        pickle.loads(pickle.dumps(student)),
        copy.deepcopy(student),
        load_student(tmp_path / "student.safetensors"),
    ):
        for found, wanted in zip(other.predict(X, return_std=True), expected, strict=True):
            assert_allclose(found, wanted, rtol=1e-12)
        other.update(X[20:], y[20:])
        assert_allclose(
            other.predict(X), copy.deepcopy(student).update(X[20:], y[20:]).predict(X), rtol=1e-10
        )
