"""Columns of two values are features of what an update learns."""

import copy
import pickle

import numpy as np
import pytest
from linear_students import make_classifier, make_regressor
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, logit

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


def in_and_outside_of_the_group(X):
    in_group, others = X.copy(), X.copy()
    in_group[:, 2], others[:, 2] = 1.0, 0.0
    return in_group, others


@pytest.mark.filterwarnings("ignore:Values of y")
@pytest.mark.filterwarnings("ignore:New values")
@pytest.mark.parametrize("change", [2.0, -1.0])
def test_the_level_of_a_group_is_learnt_and_that_of_others_kept(change):
    student, X, _ = make_regressor(1, has_group=True)
    in_group, others = in_and_outside_of_the_group(X)
    assert_array_equal(student._memory.columns, [2])
    before = student.predict(in_group), student.predict(others)
    noise = 0.3 * np.random.RandomState(1).standard_normal(len(X))
    student.update(in_group, before[0] + change + noise)
    assert_allclose(student.predict(in_group) - before[0], change, atol=0.3)
    assert abs(student.predict(others) - before[1]).mean() < 0.08


@pytest.mark.parametrize("change", [2.0, -2.0])
def test_the_frequency_of_a_class_in_a_group_is_learnt_and_that_of_others_kept(change):
    student, X, _ = make_classifier(2, has_group=True)
    in_group, others = in_and_outside_of_the_group(X)
    before = student.predict_proba(in_group)[:, 1], student.predict_proba(others)[:, 1]
    wanted = expit(logit(before[0]) + change)
    drawn = np.random.RandomState(1).uniform(size=len(X)) < wanted
    student.update(in_group, np.where(drawn, "b", "a"))
    assert student.predict_proba(in_group)[:, 1].mean() == pytest.approx(wanted.mean(), abs=0.08)
    assert student.predict_proba(others)[:, 1].mean() == pytest.approx(before[1].mean(), abs=0.03)


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
