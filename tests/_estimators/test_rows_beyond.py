"""Rows unlike those of `fit`: constants that change, and columns beyond their range."""

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Ridge

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import FittedEnsemble
from sklearn_dlf.exceptions import SeenRowsWarning

QUICK = {"q": 1, "tol": 2.0, "n_epochs": 1, "hidden_layer_sizes": (8,), "random_state": 0}
N = 120
RNG = np.random.RandomState(0)
X = np.column_stack([RNG.uniform(1000, 3000, N), RNG.standard_normal(N), np.full(N, 4.0)])
Y = X[:, 0] / 1000 + X[:, 1]
COLUMNS = ["speed", "load", "version"]
FAR, BEYOND = "far outside of those of fit", "Nearly all rows of X are beyond"


def members(rows):
    rows = np.asarray(rows, dtype=float)
    return (rows[:, 0] / 1000 + rows[:, 1])[:, None] + 0.1 * rows[:, 1:2] * np.linspace(-1, 1, 4)


def make_student(rows):
    return DLFRegressor(augment=None, **QUICK).fit(rows, Y, predictions=members(X), unseen=True)


@pytest.fixture(scope="module")
def student():
    return make_student(X)


def messages(call):
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        call()
    return [str(each.message) for each in warned]


def changed(**columns):
    return pd.DataFrame(X, columns=COLUMNS).assign(**columns).to_numpy()


def test_a_constant_that_changes_is_told_and_changes_nothing(student):
    rows = changed(version=5.0)
    with pytest.warns(UserWarning, match=rf"{FAR}: column 2 in 120 of 120 rows, 5 to 5"):
        found = student.predict(rows)
    assert_allclose(found, student.predict(X), rtol=1e-6)


def test_a_constant_that_changes_is_told_by_the_first_update_alone(student):
    updated, rows = copy.deepcopy(student), changed(version=5.0)[:30]
    assert any(FAR in each for each in messages(lambda: updated.update(rows, Y[:30])))
    assert all(FAR not in each for each in messages(lambda: updated.update(rows, Y[:30])))
    assert messages(lambda: updated.predict(rows)) == []
    other = changed(version=50.0)[:30]
    assert any(FAR in each for each in messages(lambda: updated.predict(other)))
    assert any(FAR in each for each in messages(lambda: updated.reset_update().predict(rows)))


def test_rounding_of_a_constant_stays_rounding_after_an_update(student):
    updated = copy.deepcopy(student)
    rows = changed(version=4.0 * (1 + 1e-9))[:30]
    messages(lambda: updated.update(rows, Y[:30]))
    assert messages(lambda: updated.predict(changed(version=4.0 * (1 - 1e-8)))) == []


def test_rows_like_those_of_unlabeled_ones_are_not_told():
    ensemble = FittedEnsemble(members, outputs="values", n_members=4)
    far = changed(speed=X[:, 0] + 40_000)
    fitted = DLFRegressor(augment=None, **QUICK)
    told = messages(lambda: fitted.fit(X, Y, ensemble=ensemble, X_unlabeled=far, unseen=True))
    assert any("X_unlabeled" in each for each in told)
    assert messages(lambda: fitted.predict(far)) == []
    farther = changed(speed=X[:, 0] + 1_000_000)
    assert any(FAR in each for each in messages(lambda: fitted.predict(farther)))


def test_a_rare_mark_in_few_rows_is_not_told(student):
    rows = changed(version=5.0)[:5]
    told = messages(lambda: assert_allclose(student.predict(rows), student.predict(X[:5])))
    assert told == []


def test_a_constant_that_is_rounded_in_another_way_is_the_same(student):
    assert messages(lambda: student.predict(changed(version=4.0 * (1 + 1e-9)))) == []
    zero = np.column_stack([X[:, :2], np.zeros(N)])
    fitted = make_student(zero)
    assert messages(lambda: fitted.predict(zero + 1e-17)) == []


def test_a_column_of_a_frame_in_smaller_units_is_named():
    frame = pd.DataFrame(X, columns=COLUMNS)
    fitted = make_student(frame)
    rows = frame.assign(speed=frame.speed / 60)
    [message] = messages(lambda: fitted.predict(rows))
    assert BEYOND in message
    assert "'speed' in 120 of 120 rows" in message
    assert messages(lambda: fitted.predict(rows.iloc[:5])) == []  # too few to tell
    assert messages(lambda: fitted.predict(frame)) == []


def test_smaller_units_of_a_column_with_heavy_tails_and_gaps_are_named():
    """A tenth of the range is more than the distance from the smallest number to zero."""
    rng = np.random.RandomState(0)
    income = np.exp(rng.normal(10, 0.6, N))
    frame = pd.DataFrame({"income": income, "age": rng.uniform(20, 70, N)})
    fitted = make_student(frame)
    [message] = messages(lambda: fitted.predict(frame.assign(income=income / 1000)))
    assert "'income' in 120 of 120 rows" in message
    assert messages(lambda: fitted.predict(frame.assign(income=0.9 * income))) == []
    gaps = frame.mask(rng.uniform(size=frame.shape) < 0.1)
    fitted = make_student(gaps)
    [message] = messages(lambda: fitted.predict(gaps.assign(age=gaps.age / 100)))
    assert "'age' in 120 of 120 rows" in message
    assert messages(lambda: fitted.predict(gaps)) == []


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_rows_in_parts_are_judged_together(student, monkeypatch, n_jobs):
    monkeypatch.setattr("sklearn_dlf._estimators.row_parts.part_size", lambda row_numbers: 50)
    parallel = copy.deepcopy(student).set_params(n_jobs=n_jobs)
    [message] = messages(lambda: parallel.predict(changed(speed=X[:, 0] + 2500)))
    assert "column 0 in 120 of 120 rows" in message
    half = np.where(np.arange(N) < N // 2, 2500, 0)
    assert messages(lambda: parallel.predict(changed(speed=X[:, 0] + half))) == []


def test_update_tells_far_rows_and_learns_from_rows_beyond(student):
    updated = copy.deepcopy(student)
    with pytest.warns(UserWarning, match=rf"{FAR}: column 0 in 30 of 30"):
        updated.update(changed(speed=1000 * X[:, 0])[:30], Y[:30])
    updated = copy.deepcopy(student)
    beyond = changed(speed=X[:, 0] + 2500)
    told = messages(lambda: updated.update(beyond, Y + 2.5))
    told += messages(lambda: updated.predict(beyond))
    told += messages(lambda: updated.predict(beyond[:50], return_cov=True))
    assert not any(BEYOND in message for message in told)
    assert any(BEYOND in message for message in messages(lambda: student.predict(beyond)))


def test_adapt_tells_far_rows(student):
    with pytest.warns(UserWarning, match=rf"{FAR}: column 0 in 120 of 120"):
        student.adapt(changed(speed=1000 * X[:, 0]), Y, labels="kept")


def test_far_rows_are_no_news_once_they_were_learnt(student):
    far, usual = changed(speed=X[:, 0] + 20_000), messages(lambda: student.predict(X))
    updated = copy.deepcopy(student)
    first = messages(lambda: updated.update(far[:30], Y[:30], forgetting=0.5))
    again = messages(lambda: updated.update(far[30:], Y[30:], forgetting=0.5))
    again += messages(lambda: updated.predict(far))
    further = messages(lambda: updated.predict(changed(speed=1000 * X[:, 0])))
    adapted = messages(lambda: student.adapt(far, Y, labels="kept").predict(far))
    restored = messages(lambda: updated.reset_update().predict(far))
    assert [sum(FAR in message for message in each) for each in (usual, first, again)] == [0, 1, 0]
    assert [sum(FAR in message for message in each) for each in (further, adapted)] == [1, 1]
    assert sum(FAR in message for message in restored) == 1


def test_one_column_of_further_rows_in_other_units_is_told():
    rows = np.column_stack([X[:, :2], RNG.standard_normal((N, 6))])
    models = [Ridge(alpha).fit(rows, Y) for alpha in (1, 9, 99)]
    options = {"ensemble": models, "unseen": True}
    student = DLFRegressor(augment=None, **QUICK)
    far, beyond = rows.copy(), rows.copy()
    far[:, 0], beyond[:, 0] = 1000 * X[:, 0], X[:, 0] + 2500
    with pytest.warns(UserWarning, match=r"X_unlabeled has numbers far.*: column 0 in 120 of 120"):
        student.fit(rows, Y, X_unlabeled=far, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", SeenRowsWarning)
        student.fit(rows, Y, X_unlabeled=beyond, **options)


def test_other_columns_have_the_weights_that_they_have_without_a_constant():
    without = DLFRegressor(augment=None, **QUICK).fit(X[:, :2], predictions=members(X))
    with_one = DLFRegressor(augment=None, **QUICK).fit(X, predictions=members(X))
    first = next(with_one.student_.body.parameters())
    assert_array_equal(first[:, 2], 0.0)
    assert (first[:, :2] != 0).all()
    assert next(without.student_.body.parameters()).shape == (8, 2)


AWAY = "All rows of X are away from those that are known"


@pytest.mark.parametrize("method", ["update", "adapt"])
@pytest.mark.parametrize("as_rows", [np.asarray, pd.DataFrame], ids=["array", "frame"])
@pytest.mark.parametrize(("move", "is_told"), [(4100, 1), (-4100, 1), (3000, 0), (None, 1)])
def test_rows_to_learn_from_in_other_units_are_told(method, as_rows, move, is_told):
    names = {"columns": COLUMNS} if as_rows is pd.DataFrame else {}
    fitted = make_student(as_rows(X, **names))
    rows = changed(speed=X[:, 0] / 1000 if move is None else X[:, 0] + move)[:30]
    told = messages(lambda: getattr(fitted, method)(as_rows(rows, **names), Y[:30]))
    assert sum(AWAY in message for message in told) == is_told
    name = "column 0" if as_rows is np.asarray else "'speed'"
    assert all(name in message for message in told if AWAY in message)
    assert all("reset_update takes" in message for message in told if AWAY in message)


def test_a_frame_with_categories_is_told_once_of_rows_in_other_units():
    frame = pd.DataFrame(X, columns=COLUMNS).assign(kind=RNG.choice(["a", "b"], N))
    fitted = make_student(frame)
    moved = frame.assign(speed=X[:, 0] + 4100).head(30)
    told = messages(lambda: fitted.update(moved, Y[:30]))
    assert sum(AWAY in message and "'speed'" in message for message in told) == 1
    assert all(AWAY not in each for each in messages(lambda: fitted.update(moved, Y[:30])))


def test_few_rows_and_rows_some_of_which_are_near_are_learnt_silently(student):
    updated = copy.deepcopy(student)
    rows = changed(speed=X[:, 0] + 4100)
    assert all(AWAY not in each for each in messages(lambda: updated.update(rows[:9], Y[:9])))
    updated = copy.deepcopy(student)
    rows[0] = X[0]
    assert all(AWAY not in each for each in messages(lambda: updated.update(rows, Y)))


def test_adapt_compares_with_the_rows_of_fit_as_updates_are_left_out(student):
    updated = copy.deepcopy(student)
    rows = changed(speed=X[:, 0] + 4100)[:30]
    messages(lambda: updated.update(rows, Y[:30]))
    assert any(AWAY in each for each in messages(lambda: updated.adapt(rows, Y[:30])))
