"""Rows in both forms: columns of the container as one number each."""

import numpy as np
import pandas as pd
from numpy.testing import assert_array_equal
from scipy import sparse

from sklearn_dlf._rows.table import Table


def test_codes_of_columns_are_numbers_categories_and_times():
    frame = pd.DataFrame(
        {
            "size": [3.0, np.nan, 1.0, 2.0],
            "town": ["b", "a", None, "a"],
            "day": pd.to_datetime(["2020-01-01", None, "2020-01-03", "2020-01-02"]),
            "nothing": [np.nan] * 4,
        }
    )
    codes = Table(frame, numbers=np.zeros((4, 9))).column_codes()
    assert_array_equal(codes[:, 0], [3, 2, 1, 2])  # the median where one is missing
    assert_array_equal(codes[:, 1], [2, 1, 0, 1])
    day = np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "datetime64[us]").astype(float)
    assert_array_equal(codes[:, 2], day[[0, 1, 2, 1]])
    assert_array_equal(codes[:, 3], 0)


def test_codes_of_sparse_rows_and_of_plain_numbers_are_their_values():
    X = np.arange(12.0).reshape(4, 3)
    assert_array_equal(Table(sparse.csr_array(X), numbers=np.zeros((4, 2))).column_codes(), X)
    assert_array_equal(Table(X).column_codes(), X)
