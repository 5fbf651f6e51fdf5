"""A member that saw a copy of a row has seen the row."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.ensemble import RandomForestRegressor

from sklearn_dlf import DLFRegressor
from sklearn_dlf._rows.table import Table
from sklearn_dlf._rows.table_encoder import TableEncoder
from sklearn_dlf._transfer.copied_rows import unseen_with_copies
from sklearn_dlf._transfer.neighbors import find_neighbors
from sklearn_dlf._transfer.row_judge import RowJudge
from sklearn_dlf._utils.equal_rows import join_equal_rows
from sklearn_dlf.exceptions import SeenRowsWarning

RNG = np.random.RandomState(0)


def naive(unseen, numbers, y):
    """The same by a comparison of all pairs."""
    known = unseen.copy()
    for i in range(len(y)):
        for j in range(len(y)):
            if (numbers[i] == numbers[j]).all() and np.all(y[i] == y[j]):
                known[i] &= unseen[j]
    return known


@pytest.mark.parametrize("n_outputs", [None, 2])
def test_copies_share_what_members_saw(n_outputs):
    rows = RNG.randint(0, 25, 60)
    numbers = RNG.randn(25, 2)[rows]
    y = RNG.randn(25, *([n_outputs] if n_outputs else []))[rows]
    unseen = RNG.uniform(size=(70, 5)) < 0.7  # the last rows have no y
    found = unseen_with_copies(unseen, Table(np.r_[numbers, numbers[:10]]), y)
    assert_array_equal(found[:60], naive(unseen[:60], numbers, y))
    assert_array_equal(found[60:], unseen[60:])
    assert found.sum() < unseen.sum()


def test_rows_without_copies_keep_their_record():
    unseen = RNG.uniform(size=(60, 5)) < 0.5
    X = RNG.randn(60, 3)
    assert unseen_with_copies(unseen, Table(X), X[:, 0]) is unseen
    # the same row with another y is a new observation
    assert_array_equal(unseen_with_copies(unseen, Table(0 * X), np.arange(60)), unseen)


def test_rows_and_values_that_are_equal_by_chance_are_no_copies():
    X = RNG.randint(0, 3, (200, 2)).astype(float)
    y = np.clip(np.round(X.mean(axis=1) + RNG.randn(200)), 0, 3)
    unseen = RNG.uniform(size=(200, 5)) < 0.5
    assert unseen_with_copies(unseen, Table(X), y) is unseen
    twice = np.tile(np.c_[np.arange(100), RNG.randint(0, 3, 100)].astype(float), (2, 1))
    found = unseen_with_copies(unseen, Table(twice), twice[:, 1])
    assert_array_equal(found[:100], unseen[:100] & unseen[100:])


def test_rare_categories_are_different():
    frame = pd.DataFrame({"name": pd.Categorical([f"u{i}" for i in range(90)])})
    encoder = TableEncoder().fit(frame)
    unseen = RNG.uniform(size=(90, 5)) < 0.5
    table = Table(frame, encoder.transform)
    assert len(np.unique(table.numbers, axis=0)) == 1
    assert unseen_with_copies(unseen, table, np.repeat([0.5, 1.5], 45)) is unseen


def test_equal_rows_are_no_neighbours():
    X = np.repeat(RNG.randn(30, 2), 3, axis=0)
    near = find_neighbors(Table(X), 4)
    assert near.shape == (90, 4)
    assert all(len(join_equal_rows(X[[i, *near[i]]])[0]) == 5 for i in range(90))
    first, number = join_equal_rows(X)
    assert_array_equal(np.sort(first), np.arange(0, 90, 3))
    assert_array_equal(first[number], np.repeat(np.arange(0, 90, 3), 3))


def test_repeated_rows_are_judged_as_the_same_rows_once():
    def outputs(table):
        spread = 1 + np.abs(table.numbers).sum(axis=1)
        return spread[:, None, None] * np.linspace(-1, 1, 9)

    X = RNG.randn(200, 3)
    once, thrice = (
        RowJudge(Table(rows), outputs, None, seed=0).judge("neighbors")
        for rows in (X, np.repeat(X, 3, axis=0))
    )
    assert thrice.holds()
    assert thrice.distance == pytest.approx(once.distance, abs=0.2)


@pytest.mark.parametrize(("n_rows", "n_copies", "is_told"), [(120, 2, False), (40, 6, True)])
def test_intervals_of_repeated_rows_hold_or_a_warning_says_so(n_rows, n_copies, is_told):
    rng = np.random.RandomState(1)

    def observe(n):
        X = rng.uniform(-2, 2, (n, 3))
        return X, 2 * X[:, 0] + 0.8 * rng.standard_normal(n)

    X, y = observe(n_rows)
    X_new, y_new = observe(1000)
    order = rng.permutation(np.repeat(np.arange(n_rows), n_copies))
    forest = RandomForestRegressor(30, min_samples_leaf=3, random_state=0).fit(X[order], y[order])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        student = DLFRegressor(q=2, random_state=0, tol=0.05).fit(
            X[order], y[order], ensemble=forest
        )
    told = [str(each.message) for each in caught if each.category is SeenRowsWarning]
    assert any("occur several times" in each for each in told) == bool(told) == is_told
    low, high = student.predict_interval(X_new).T
    if not is_told:
        assert ((low < y_new) & (y_new < high)).mean() > 0.85
