"""Numbers from frames, arrays and objects."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_array_equal

from sklearn_dlf._utils.numbers import numeric_array

NULLABLE = pd.DataFrame({"a": pd.array([1, None], "Int64"), "b": pd.array([True, None], "boolean")})

OBJECTS = np.array([[1, None], [Decimal("2.5"), Fraction(1, 2)]], object)

NUMBERS = {
    "nullable frame": (NULLABLE, [[1, 1], [np.nan, np.nan]]),
    "nullable series": (NULLABLE["a"], [1, np.nan]),
    "mixed frame": (pd.DataFrame({"a": [1, 2], "b": [True, False]}), [[1, 1], [2, 0]]),
    "categories of numbers": (pd.DataFrame({"a": pd.Categorical([3, 4])}), [[3], [4]]),
    "two columns of one name": (pd.DataFrame([[1, 2.5]], columns=["a", "a"]), [[1, 2.5]]),
    "polars frame": (pl.DataFrame({"a": [1, None], "b": [True, None]}), [[1, 1], [np.nan] * 2]),
    "polars series": (pl.Series([1, None]), [1, np.nan]),
    "objects": (OBJECTS, [[1, np.nan], [2.5, 0.5]]),
    "long double": (np.arange(2, dtype=np.longdouble), [0, 1]),
    "big-endian": (np.arange(2, dtype=">f4"), [0, 1]),
    "masked": (np.ma.array([1, 2], mask=[False, True]), [1, np.nan]),
    "bfloat16": (torch.ones(2, dtype=torch.bfloat16, requires_grad=True), [1, 1]),
    "sparse columns": (pd.DataFrame({"a": pd.arrays.SparseArray([0.0, 1])}), [[0], [1]]),
}


@pytest.mark.parametrize(("values", "expected"), NUMBERS.values(), ids=NUMBERS.keys())
def test_numbers_become_a_native_array(values, expected):
    array = numeric_array(values)
    assert_array_equal(array, expected)
    assert array.dtype.isnative
    assert array.dtype.kind in "iuf"
    assert array.dtype.itemsize <= 8


def test_half_precision_is_widened():
    assert numeric_array(np.float16([1.5])).dtype == np.float32


@pytest.mark.parametrize(
    "values", [np.array([[2**60 + 1]], object), pd.array([2**60 + 1], "Int64")]
)
def test_integers_stay_exact(values):
    assert numeric_array(values).ravel()[0] == 2**60 + 1


def test_native_arrays_and_frames_of_one_type_are_not_copied():
    values = np.ones((3, 2))
    assert numeric_array(values) is values
    assert np.shares_memory(numeric_array(pd.DataFrame(values, copy=False)), values)


NO_NUMBERS = {
    "text": ["1.5", "2"],
    "objects of text": np.array(["1.5", 2], object),
    "complex": [1j],
    "dates": pd.Series(pd.to_datetime(["2020-01-01"])),
    "objects of dates": np.array([pd.Timestamp("2020-01-01")], object),
    "time differences": np.array([1], "timedelta64[s]"),
    "ragged": np.array([[1], [1, 2]], object),
}


@pytest.mark.parametrize("values", NO_NUMBERS.values(), ids=NO_NUMBERS.keys())
def test_other_values_raise(values):
    with pytest.raises(TypeError, match="y must be numbers; got an array of dtype"):
        numeric_array(values, "y")


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_columns_that_are_no_numbers_are_named(make):
    frame = make({"a": ["u", "v"], "b": [1, 2], "c": np.array(["2020", "2021"], "datetime64[ms]")})
    with pytest.raises(TypeError, match=r"X must be numbers; 2 of 3 columns do not: 'a', 'c'"):
        numeric_array(frame)


def test_columns_of_objects_are_numbered():
    with pytest.raises(TypeError, match=r"1 of 2 columns do not: 1\."):
        numeric_array(np.array([[1, "a"], [2, "b"]], object))
