import numpy as np
import pandas as pd
import pytest

from sklearn_dlf._transfer.containers import rows_like


def test_pandas_columns_keep_names_and_types():
    X = pd.DataFrame({"size": [1, 2, 3], "share": [0.5, 0.25, 0.1], "is_new": [True, False, True]})
    swapped = rows_like(X, np.array([[3, 0.25, 1], [1, 0.1, 0]]))
    expected = pd.DataFrame({"size": [3, 1], "share": [0.25, 0.1], "is_new": [True, False]})
    pd.testing.assert_frame_equal(swapped, expected)
    mixed = rows_like(X, np.array([[1.5, 0.25, 1]]))
    assert mixed["size"].tolist() == [1.5]


def test_polars_columns_keep_names_and_types():
    pl = pytest.importorskip("polars")
    X = pl.DataFrame({"size": [1, 2, 3], "share": [0.5, 0.25, 0.1]})
    swapped = rows_like(X, np.array([[3, 0.25], [1, 0.1]]))
    assert swapped.equals(pl.DataFrame({"size": [3, 1], "share": [0.25, 0.1]}))
    assert rows_like(X, np.array([[1.5, 0.25]]))["size"].to_list() == [1.5]


def test_arrays_keep_their_type_where_values_fit():
    assert rows_like(np.ones((2, 1), dtype=np.float32), np.array([[0.1]])).dtype == np.float32
    assert rows_like(np.ones((2, 1), dtype=int), np.array([[3.0]])).dtype == int
    assert rows_like([[1], [2]], np.array([[0.5]])).tolist() == [[0.5]]
