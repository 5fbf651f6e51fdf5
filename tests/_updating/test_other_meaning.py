"""An update warns where y seems to mean something else than in `fit`, and only there."""

import copy
import pickle
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from sklearn_dlf import DLFRegressor
from sklearn_dlf._updating.other_meaning import warn_of_frequencies, warn_of_other_labels


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


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_level_that_an_update_does_not_follow_is_told(one_output, sign):
    student, X, y = one_output
    rows, values = np.tile(X, (4, 1)), student.predict(np.tile(X, (4, 1)))
    noise = np.random.RandomState(0).standard_normal(len(rows)) * np.std(y - student.predict(X))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        copy.deepcopy(student).update(rows, values + noise)
        copy.deepcopy(student).update(rows[:20], values[:20] + noise[:20] + noise.std())
    moved = values + noise + 2 * sign * noise.std()
    where = "above" if sign > 0 else "below"
    with pytest.warns(UserWarning, match=f"still {where} what the student predicts.*adapt"):
        copy.deepcopy(student).update(rows, moved)
    kept = student.adapt(rows, moved, labels="kept")
    assert np.mean(moved - kept.predict(rows)) == pytest.approx(0, abs=0.2 * noise.std())


def test_of_several_outputs_the_one_whose_level_has_moved_is_named(separable):
    student, X, y = separable
    rows = np.tile(X, (4, 1))
    values, residuals = student.predict(rows), (y - student.predict(X)).std(axis=0)
    values = values + np.random.RandomState(0).standard_normal(values.shape) * residuals
    values[::3, 0] += 10 * residuals[0]  # outliers
    values[:, 1] -= 2 * residuals[1]
    with pytest.warns(UserWarning, match="y of output 1 are still below"):
        copy.deepcopy(student).update(rows, values)


def test_a_constant_output_has_no_level_that_moves():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((120, 3))
    Y = np.column_stack([X[:, 0] + 0.3 * rng.standard_normal(120), np.full(120, 3.3)])
    forest = RandomForestRegressor(20, random_state=0).fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # all members agree on the constant
        student = DLFRegressor(q=2, tol=1.0, n_epochs=1, random_state=0).fit(X, Y, ensemble=forest)
    student.update(X[:60], Y[:60])


@pytest.mark.parametrize(("share", "is_told"), [(0.1, False), (0.2, False), (0.4, True)])
@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_a_class_that_has_become_frequent_is_told(share, is_told, weight):
    """Of 200 rows, a share has a label that is predicted for a tenth."""
    X, indicators = np.zeros((200, 1)), np.zeros((200, 2))
    has_label = np.arange(200) < 200 * share
    indicators[has_label, 1] = indicators[~has_label, 0] = weight
    if weight == 3.0:  # as many rows as before
        X, indicators = X[::3], indicators[::3]
    updated = SimpleNamespace(log_probabilities=lambda X: np.log(np.tile([0.9, 0.1], (len(X), 1))))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_frequencies((X, indicators), np.array(["paid", "default"]), updated)
        warn_of_frequencies((X[:20], indicators[:20]), np.array(["a", "b"]), updated)  # too few
    messages = [str(each.message) for each in caught]
    assert len(messages) == is_told
    assert not is_told or "label default for 10% of the new rows, and 4" in messages[0]


@pytest.mark.parametrize("n_rows", [500, 3000])
def test_labels_in_another_order_than_the_rows_are_told(n_rows):
    rng = np.random.RandomState(0)
    X = rng.uniform(0.02, 0.98, size=(n_rows, 1))
    members = SimpleNamespace(log_probabilities=lambda X: np.log(np.column_stack([X, 1 - X])))
    labels = np.eye(2)[(rng.uniform(size=n_rows) > X[:, 0]).astype(int)]
    classes = np.array(["paid", "default"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not warn_of_other_labels((X, labels), classes, members)
    with pytest.warns(UserWarning, match="as in another order than the rows"):
        assert warn_of_other_labels((X, labels[rng.permutation(n_rows)]), classes, members)
