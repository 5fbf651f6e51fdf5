"""Which of very many rows of `fit` are used."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from sklearn_dlf._rows.chosen import choose_rows, order_rows, rows_at
from sklearn_dlf._rows.labels import order_by_labels

N_ROWS = 1_000
X = np.arange(N_ROWS)[:, None]


def choose(subsample, y=None, weights=None, unseen=None, seed=0):
    return choose_rows(X, y, weights, unseen, subsample, np.random.RandomState(seed))


@pytest.mark.parametrize("subsample", [None, N_ROWS, N_ROWS + 1])
def test_no_rows_are_chosen_where_all_are_used(subsample):
    assert choose(subsample) is None


def test_chosen_rows_are_sorted_and_different():
    chosen = choose(100)
    assert len(chosen) == 100
    assert (np.diff(chosen) > 0).all()
    assert chosen[-1] < N_ROWS


def test_the_seed_determines_the_rows_and_stays_as_it_is():
    random_state = np.random.RandomState(3)
    first = choose_rows(X, None, None, None, 100, random_state)
    assert_array_equal(first, choose_rows(X, None, None, None, 100, random_state))
    assert not np.array_equal(first, choose(100, seed=4))


def test_all_rows_are_equally_likely():
    counts = np.zeros(N_ROWS)
    for seed in range(200):
        counts[choose(500, y=np.zeros(N_ROWS), unseen=True, seed=seed)] += 1
    # Binomial with 200 trials: a standard deviation of 7.1, and 1,000 rows.
    assert np.abs(counts - 100).max() < 5 * 7.1


def test_rows_without_weight_are_left_out():
    weights = np.arange(N_ROWS) % 2
    assert (choose(400, weights=weights) % 2 == 1).all()


def test_fewer_rows_with_weight_than_wanted_are_all_chosen():
    weights = (np.arange(N_ROWS) < 300).astype(float)
    assert_array_equal(choose(400, weights=weights), np.arange(300))


def test_few_labelled_rows_are_all_chosen():
    y = np.where(np.arange(N_ROWS) < 150, 1.0, np.nan)
    chosen = choose(400, y=y)
    assert_array_equal(chosen[:150], np.arange(150))
    assert len(chosen) == 400


def test_labelled_rows_are_half_of_the_chosen_ones():
    y = np.where(np.arange(N_ROWS) < 300, 1.0, np.nan)
    assert (choose(400, y=y) < 300).sum() == 200


def test_rows_that_members_did_not_see_are_preferred():
    unseen = np.zeros((N_ROWS, 3), dtype=bool)
    unseen[:100, 1] = True
    chosen = choose(400, y=np.zeros(N_ROWS), unseen=unseen)
    assert_array_equal(chosen[:100], np.arange(100))


@pytest.mark.parametrize("name", ["y", "weights"])
def test_another_number_of_values_than_rows_is_refused(name):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        choose(100, **{name: np.ones(N_ROWS - 1)})


def test_chosen_rows_with_labels_come_first():
    y = np.where(np.arange(6) % 2 == 0, 1.0, np.nan)
    order, n_labelled = order_rows(np.array([1, 2, 3, 4]), 6, order_by_labels(y))
    assert_array_equal(order.numbers, [2, 4, 1, 3])
    assert_array_equal(order.labelled, [0, 2, 4])
    assert n_labelled == 2
    assert order.n_given == 6


@pytest.mark.parametrize(
    "container", [np.asarray, pd.DataFrame, sparse.csr_array, sparse.coo_array, np.ndarray.tolist]
)
def test_rows_of_any_container(container):
    numbers = np.array([5, 2, 9])
    found = rows_at(container(X), numbers)
    found = found.toarray() if sparse.issparse(found) else np.asarray(found)
    assert_array_equal(found, X[numbers])


@pytest.mark.filterwarnings("default")  # those of dask are not ours
def test_rows_of_dask():
    da = pytest.importorskip("dask.array")
    dd = pytest.importorskip("dask.dataframe")
    numbers = np.array([700, 5, 2, 999])
    assert_array_equal(rows_at(da.from_array(X, chunks=(300, 1)), numbers), X[numbers])
    frame = dd.from_pandas(pd.DataFrame(X, columns=["a"]), npartitions=4)
    assert_array_equal(rows_at(frame, numbers), X[numbers])


def test_a_y_that_is_no_list_is_left_to_fit_to_refuse():
    unseen = np.ones(20, dtype=bool)
    chosen = choose_rows(np.zeros((20, 2)), "text", None, unseen, 5, np.random.RandomState(0))
    assert len(chosen) == 5


def test_rows_without_weight_are_left_out_where_all_others_are_used():
    weights = (np.arange(N_ROWS) % 3 > 0).astype(float)
    assert_array_equal(choose(None, weights=weights), np.flatnonzero(weights))
    assert_array_equal(choose(N_ROWS, y=np.zeros(N_ROWS), weights=weights), np.flatnonzero(weights))
    assert choose(None, weights=np.zeros(N_ROWS)) is None  # `fit` refuses these
    assert choose(None, weights=np.where(weights, 1.0, -1.0)) is None
    assert choose(None, y=np.where(weights, np.nan, 1.0), weights=weights) is None


def test_rows_without_weight_of_a_label_that_no_other_has_are_kept():
    labels = np.array(["a"] * (N_ROWS - 2) + ["b", "a"])
    weights = np.r_[np.ones(N_ROWS - 2), 0.0, 0.0]
    state = np.random.RandomState(0)
    kept = choose_rows(X, labels, weights, None, None, state, are_labels=True)
    assert_array_equal(kept, np.arange(N_ROWS - 1))
    assert_array_equal(choose(None, y=np.arange(N_ROWS), weights=weights), np.arange(N_ROWS - 2))


def test_a_single_value_for_all_rows_is_refused():
    with pytest.raises(ValueError, match="Expected one value a row"):
        rows_at(np.array(1.0), np.arange(2))
