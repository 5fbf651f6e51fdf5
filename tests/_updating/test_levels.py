"""An update warns where it does not follow a level of y, or a frequency of a label."""

import copy
import pickle
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from sklearn_dlf import DLFRegressor
from sklearn_dlf._updating.levels import RECENT_ROWS, warn_of_frequencies


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
        update = SimpleNamespace(recent_level=None, quiet_rows=0)
        classes = np.array(["paid", "default"])
        warn_of_frequencies((X, indicators), classes, updated, update)
        update.recent_level = None
        warn_of_frequencies((X[:20], indicators[:20]), classes, updated, update)  # too few
    messages = [str(each.message) for each in caught]
    assert len(messages) == is_told
    assert not is_told or "label default for 10% of the new rows, and 4" in messages[0]


@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_a_level_that_has_moved_is_told_by_small_calls_too(one_output, shift):
    """Fifteen rows a day, of which none tells it alone, in a student that is stored each day."""
    student, X, y = one_output
    student, rng = copy.deepcopy(student), np.random.RandomState(1)
    noise = np.std(y - student.predict(X))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(15):
            rows = rng.choice(len(X), size=15)
            values = y[rows] + shift * noise
            student = pickle.loads(pickle.dumps(student)).update(X[rows], values)
    told = [str(each.message) for each in caught]
    assert bool(told) == (shift > 0)
    assert all("After the last updates, of about" in each and "above" in each for each in told)
    assert len(told) < 2  # once told, it is quiet for a while


def test_equal_rows_have_a_spread_too(one_output):
    student, X, y = one_output
    student = copy.deepcopy(student)
    for _ in range(60):
        student.update(X[:1], y[:1])


def test_a_call_that_forgets_ends_the_count(one_output):
    student, X, y = one_output
    student, noise = copy.deepcopy(student), np.std(y - student.predict(X))
    for rows in np.array_split(np.arange(29), 3):
        student.update(X[rows], y[rows] + 1.5 * noise)
    student.update(X[:30], y[:30], forgetting=0.0).update(X[30:35], y[30:35])


def test_a_frequency_that_has_moved_is_told_by_small_calls_too():
    updated = SimpleNamespace(log_probabilities=lambda X: np.log(np.tile([0.9, 0.1], (len(X), 1))))
    update, classes = (
        SimpleNamespace(recent_level=None, quiet_rows=0),
        np.array(["paid", "default"]),
    )

    def learn(n_default):
        labels = np.eye(2)[(np.arange(20) < n_default).astype(int)]
        warn_of_frequencies((np.zeros((20, 1)), labels), classes, updated, update)

    for _ in range(100):
        learn(2)
    assert update.recent_level.n_rows == RECENT_ROWS
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(20):
            learn(5)
    told = [str(each.message) for each in caught]
    assert (
        "After the last updates, of about 500 rows in all, the student predicts label d" in told[0]
    )
