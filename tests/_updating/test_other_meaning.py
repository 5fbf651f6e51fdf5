"""An update warns where y seems to mean something else than in `fit`, and only there."""

import copy
import pickle
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from sklearn_dlf._updating.other_meaning import warn_of_other_labels


@pytest.mark.parametrize("change", [lambda y: 1.8 * y + 32, lambda y: 20 * y], ids=["offset", "20"])
def test_values_in_other_units_are_told(one_output, change):
    student, X, y = one_output
    with pytest.warns(UserWarning, match=r"standard deviations away.*other units.*adapt with all"):
        copy.deepcopy(student).update(X, change(y))


def test_the_output_in_other_units_is_named(separable):
    student, X, y = separable
    with pytest.warns(UserWarning, match="of output 1 are far"):
        copy.deepcopy(student).update(X, y * [1, 1] + [0, 30])


def test_labels_with_other_names_are_told(three_classes):
    student, X, y = three_classes
    names = {"a": "b", "b": "a", "c": "c"}
    with pytest.warns(UserWarning, match=r"stand for others: a for b, b for a\..*adapt with all"):
        copy.deepcopy(student).update(X, [names[each] for each in y])
    copy.deepcopy(student).update(X, y)


def test_values_of_a_stream_may_mean_something_else(one_output):
    student, X, y = one_output
    copy.deepcopy(student).update(X, 1.8 * y + 32, forgetting=0.9)


def test_one_outlier_is_not_another_meaning(one_output):
    student, X, y = one_output
    copy.deepcopy(student).update(X[:1], y[:1] + 100)
    copy.deepcopy(student).update(X, np.where(np.arange(len(y)) % 3 == 0, y + 100, y))


def test_values_of_a_new_region_are_not_another_meaning(one_output):
    student, X, y = one_output
    copy.deepcopy(student).update(X + 8, y + 3)


@pytest.mark.parametrize("factor", [-10, 10, 1000])
def test_other_units_are_told_in_a_new_region_too(one_output, factor):
    student, X, y = one_output
    with pytest.warns(UserWarning, match="standard deviations away"):
        copy.deepcopy(student).update(X + 8, factor * (y + 3))


def test_values_that_come_one_at_a_time_are_counted_over_calls(one_output):
    student, X, y = one_output
    student = copy.deepcopy(student)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for row in range(10):
            student.update(X[row : row + 1], y[row : row + 1])
        student.reset_update()
        for row in range(4):
            student.update(X[row : row + 1], 20 * y[row : row + 1])
    with pytest.warns(UserWarning, match="standard deviations away"):
        pickle.loads(pickle.dumps(student)).update(X[4:5], 20 * y[4:5])


@pytest.mark.parametrize("n_rows", [500, 3000])
def test_labels_in_another_order_than_the_rows_are_told(n_rows):
    rng = np.random.RandomState(0)
    X = rng.uniform(0.02, 0.98, size=(n_rows, 1))
    members = SimpleNamespace(log_probabilities=lambda X: np.log(np.column_stack([X, 1 - X])))
    labels = np.eye(2)[(rng.uniform(size=n_rows) > X[:, 0]).astype(int)]
    classes, update = np.array(["paid", "default"]), SimpleNamespace(recent_labels=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not warn_of_other_labels((X, labels), classes, members, update)
    labels = labels[rng.permutation(n_rows)]
    with pytest.warns(UserWarning, match="as in another order than the rows"):
        assert warn_of_other_labels((X, labels), classes, members, update)


def test_labels_that_come_a_few_at_a_time_are_counted_over_calls():
    rng = np.random.RandomState(0)
    members = SimpleNamespace(log_probabilities=lambda X: np.log(np.column_stack([X, 1 - X])))
    classes, update = np.array(["paid", "default"]), SimpleNamespace(recent_labels=None)

    def learn(n_calls, is_swapped):
        told = []
        for _ in range(n_calls):
            X = rng.uniform(0.02, 0.98, size=(4, 1))
            labels = np.eye(2)[(rng.uniform(size=4) > X[:, 0]).astype(int)]
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                labels = labels[:, ::-1] if is_swapped else labels
                assert warn_of_other_labels((X, labels), classes, members, update) == bool(caught)
            told += [str(each.message) for each in caught]
        return told

    assert learn(100, is_swapped=False) == []
    assert len(update.recent_labels.codes) == 200
    assert "By the student, the new labels are l" in learn(60, is_swapped=True)[0]


def test_a_student_that_has_learnt_other_labels_is_not_blamed_for_what_it_was(three_classes):
    student, X, y = three_classes
    student, names = copy.deepcopy(student), {"a": "b", "b": "a", "c": "c"}
    swapped = np.array([names[each] for each in y])
    with pytest.warns(UserWarning, match="adapt with all rows"):
        student.update(np.tile(X, (8, 1)), np.tile(swapped, 8))
    is_learnt = student.predict(X) == swapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for start in range(0, 60, 4):
            rows = np.flatnonzero(is_learnt)[start : start + 4]
            student.update(X[rows], swapped[rows])
