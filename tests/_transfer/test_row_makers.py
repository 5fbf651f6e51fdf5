from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf._rows.table import Table
from sklearn_dlf._transfer import row_makers


def make_rows(augment, X, n_rows, random_state):
    return row_makers.make_rows(augment, Table(X), n_rows, random_state).numbers


def rng():
    return np.random.RandomState(0)


@pytest.fixture(name="X")
def rows():
    return rng().standard_normal((40, 3)) + 5


def test_swapped_rows_have_values_of_the_rows_and_of_their_neighbours(X):
    # Two clusters whose columns would be torn apart by values of others than neighbours.
    X = np.concatenate([X, X + 1000])
    made = make_rows("neighbors", X, 400, rng())
    assert all(np.isin(made[:, column], X[:, column]).all() for column in range(3))
    far = made > 500
    assert_array_equal(far.any(axis=1), far.all(axis=1))
    new = ~(made[:, None] == X).all(axis=2).any(axis=1)
    assert new.mean() > 0.5
    own = (made[:, None] == X).mean(axis=2).max(axis=1)
    assert 0.5 < own.mean() < 0.9


def test_far_neighbors_are_near_and_far():
    # A line of points: the distance of two is that of their ranks.
    X = np.repeat(np.arange(2000.0)[:, None], 8, axis=1)
    made = make_rows("far_neighbors", X, 4000, rng())
    assert np.isin(made, X).all()
    distance = np.ptp(made, axis=1)
    near = distance <= 10
    assert 0.5 < near.mean() < 0.75
    # Log-uniform: about as many within each factor of four.
    counts, _ = np.histogram(distance[~near], [10, 40, 160, 640])
    assert counts.min() > 0.6 * counts.max()
    assert distance.max() > 1000
    near = np.ptp(make_rows("neighbors", X, 4000, rng()), axis=1)
    assert near.max() <= 10


def test_far_neighbors_of_few_rows(X):
    assert_array_equal(np.unique(make_rows("far_neighbors", X[:12], 48, rng())), np.unique(X[:12]))


def test_mixed_rows_lie_between_neighbours(X):
    clusters = np.concatenate([X, X + 1000])
    made = make_rows("mixup", clusters, 100, rng())
    assert not np.isin(made, clusters).any()
    low, high = X.min(axis=0), X.max(axis=0)
    far = made.min(axis=1, keepdims=True) > 500
    assert far.any()
    assert not far.all()
    assert ((made - 1000 * far >= low) & (made - 1000 * far <= high)).all()


def test_a_row_serves_as_often_as_the_others(X):
    made = make_rows("neighbors", X * [1, 1e9, 1e-9], 4 * len(X), rng())
    again = make_rows("neighbors", X * [1, 1e9, 1e-9], 4 * len(X), rng())
    assert_array_equal(made, again)
    parents = np.abs((made[:, None] - X * [1, 1e9, 1e-9]) == 0).sum(axis=2).argmax(axis=1)
    assert len(np.unique(parents)) > 35


def test_no_rows_are_made_where_none_are_wanted_or_possible(X):
    assert len(make_rows("neighbors", X, 7, rng())) == 7
    assert len(make_rows("neighbors", X, -3, rng())) == 0
    assert len(make_rows(None, X, 7, rng())) == 0
    assert len(make_rows("neighbors", X[:1], 7, rng())) == 0


def test_the_nearest_neighbours_are_nearer():
    X = np.arange(2000.0)[:, None] * [1.0, 1.0]
    near, nearest = (
        np.ptp(make_rows(name, X, 400, rng()), axis=1).max()
        for name in ("neighbors", "near_neighbors")
    )
    assert nearest <= 2 < near


def test_columns_that_determine_each_other_are_swapped_together():
    X = rng().uniform(size=(300, 4))
    X[:, 1], X[:, 3] = X[:, 0] ** 3, np.exp(-X[:, 2])
    made = make_rows("column_groups", X, 600, rng())
    assert_allclose(made[:, 1], made[:, 0] ** 3)
    assert_allclose(made[:, 3], np.exp(-made[:, 2]))
    new = ~(made[:, None] == X).all(axis=2).any(axis=1)
    assert new.mean() > 0.4


def test_local_rows_stay_near_a_curve_that_swaps_leave():
    angle = rng().uniform(0, 6, size=500)
    X = np.column_stack([np.cos(angle), np.sin(angle)])
    off = [
        np.abs(np.linalg.norm(make_rows(name, X, 400, rng()), axis=1) - 1).mean()
        for name in ("local", "neighbors")
    ]
    assert off[0] < 0.2 * off[1]


def test_local_rows_keep_the_values_of_discrete_columns():
    X = np.column_stack([rng().uniform(size=200), np.resize([1.0, 2.5, 9.0], 200)])
    made = make_rows("local", X, 400, rng())
    assert np.isin(made[:, 1], X[:, 1]).all()
    assert not np.isin(made[:, 0], X[:, 0]).any()


def test_local_rows_keep_the_sign_of_columns_of_one_sign():
    X = np.abs(rng().standard_normal((300, 4)))
    X[:, 1] *= -1
    X[:150, 2] = 0
    X[:, 3] -= 0.7
    made = make_rows("local", X, 2_000, rng())
    assert (made[:, 0] > 0).all()
    assert (made[:, 1] < 0).all()
    assert (made[:, 2] >= 0).all()
    assert (made[:, 3] > 0).any()
    assert (made[:, 3] < 0).any()
    assert len(np.unique(made[:, 0])) > 1_900  # turned back, and not cut off


def test_midpoints_lie_between_a_row_and_its_nearest():
    X = np.array([[0.0, 0.0], [1.0, 2.0], [10.0, 10.0], [12.0, 10.0]])
    midpoints = row_makers.nearest_midpoints(Table(X)).numbers
    assert_allclose(midpoints, [[0.5, 1], [0.5, 1], [11, 10], [11, 10]])


def make_fresh(augment, X, n_rows):
    table = Table(X)
    return row_makers.make_rows(
        row_makers.fresh_maker(augment, table), table, n_rows, rng()
    ).numbers


def test_fresh_rows_have_columns_of_more_than_two_rows():
    X = np.arange(200.0)[:, None] * np.ones(6)
    rows = make_fresh("neighbors", X, 200)
    assert np.isin(rows, X).all()
    assert np.mean([len(np.unique(row)) for row in rows]) > 3
    swapped = make_rows("neighbors", X, 200, rng())
    assert max(len(np.unique(row)) for row in swapped) == 2


def test_fresh_rows_keep_columns_together_that_determine_each_other():
    X = rng().standard_normal((200, 2))
    X = np.column_stack([X[:, 0], 2 * X[:, 0], X[:, 1], 3 * X[:, 1]])
    maker = partial(row_makers.swap_column_groups, groups=np.array([0, 0, 1, 1]))
    rows = make_fresh(row_makers.TableMaker(maker), X, 200)
    assert_allclose(rows[:, [1, 3]], rows[:, [0, 2]] * [2, 3])
    assert not np.isin(rows[:, 0] + rows[:, 2], X[:, 0] + X[:, 2]).all()


@pytest.mark.parametrize("name", ["neighbors+local", "far_neighbors+local"])
def test_half_of_the_rows_of_trees_have_values_between_those_of_the_data(name, X):
    made = make_rows(name, X, 401, rng())
    assert made.shape == (401, 3)
    swapped, between = made[:201], made[201:]
    assert all(np.isin(swapped[:, column], X[:, column]).all() for column in range(3))
    assert np.isin(between, X).mean() < 0.1
    # Trees have no steps beyond the data.
    assert (between >= X.min(axis=0)).all()
    assert (between <= X.max(axis=0)).all()
    fresh = row_makers.fresh_maker(name, Table(X))
    rows = make_rows(fresh, X, 400, rng())[:200]
    # Fresh rows mix columns of several rows.
    assert all(np.isin(rows[:, column], X[:, column]).all() for column in range(3))
    assert ((rows[:, None] == X).sum(axis=2).max(axis=1) == 1).any()


def test_rows_of_trees_may_have_gaps():
    X = rng().standard_normal((120, 3))
    X[::4, 0] = np.nan
    y = X[:, 1]
    boosted = BaggingRegressor(HistGradientBoostingRegressor(max_iter=5), 5, random_state=0)
    seen = []

    boosted.fit(X, y)
    made = boosted.estimators_[0].predict

    def record(rows):
        seen.append(np.asarray(rows))
        return made(rows)

    boosted.estimators_[0].predict = record
    student = DLFRegressor(q=2, hidden_layer_sizes=(8,), n_epochs=1, tol=10.0, random_state=0)
    assert student.fit(X, y, ensemble=boosted).augment_ == "neighbors+local"
    rows = max(seen, key=len)[:, 0]
    assert 0.1 < np.isnan(rows).mean() < 0.9
    assert np.nanmin(rows) >= np.nanmin(X[:, 0])
    assert np.nanmax(rows) <= np.nanmax(X[:, 0])


@pytest.mark.parametrize("kind", [RandomForestRegressor, RandomForestClassifier])
def test_only_step_functions_get_rows_between_the_values(kind):
    X = rng().standard_normal((120, 3))
    y = (X[:, 0] > 0).astype(int)
    is_class = kind is RandomForestClassifier
    student = DLFClassifier if is_class else DLFRegressor
    smooth = BaggingClassifier(LogisticRegression(), 5, random_state=0)
    smooth = smooth if is_class else BaggingRegressor(Ridge(), 5, random_state=0)
    first = "far_neighbors" if is_class else "neighbors"
    for teacher, expected in [(kind(5, random_state=0), f"{first}+local"), (smooth, first)]:
        fitted = student(q=2, hidden_layer_sizes=(8,), n_epochs=1, tol=10.0, random_state=0)
        assert fitted.fit(X, y, ensemble=teacher.fit(X, y)).augment_ == expected
    rows = sparse.random(120, 5, 0.3, format="csr", random_state=0)
    forest = kind(5, random_state=0).fit(rows, y)
    assert fitted.fit(rows, y, ensemble=forest).augment_ == first
