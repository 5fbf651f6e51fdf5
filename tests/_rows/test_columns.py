import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_dlf._rows.columns import (
    ColumnError,
    kind_of_column,
    read_dates,
    read_labels,
    read_numbers,
)

DAY = datetime.datetime(2024, 2, 29, 12)

NUMBERS = {
    "numpy integers": pd.Series([1, 2], dtype="uint8"),
    "nullable integers": pd.Series([1, 2], dtype="Int64"),
    "nullable floats": pd.Series([1.0, 2.0], dtype="Float32"),
    "objects": pd.Series([1, 2.0], dtype=object),
    "decimals": pd.Series([Decimal("1"), Decimal("2.0")]),
    "polars decimals": pl.Series([Decimal("1"), Decimal("2")]),
    "polars": pl.Series([1, 2], dtype=pl.Int8),
    "array": np.array([1, 2], dtype=">f4"),
    "durations": pd.to_timedelta(pd.Series(["1D", "2D"])),
    "polars durations": pl.Series([datetime.timedelta(days=1), datetime.timedelta(days=2)]),
}

CATEGORIES = {
    "strings": pd.Series(["1", "b", None]),
    "categorical": pd.Series(pd.Categorical(["1", "b", None])),
    "categorical of mixed types": pd.Series(pd.Categorical([1, "b", None])),
    "objects": pd.Series([1.0, "b", np.nan], dtype=object),
    "nullable strings": pd.Series(["1", "b", pd.NA], dtype="string"),
    "polars strings": pl.Series(["1", "b", None]),
    "polars categorical": pl.Series(["1", "b", None], dtype=pl.Categorical),
    "array of objects": np.array([1, "b", None], dtype=object),
    "array of bytes": np.array([b"1", b"b", b""]),
}

DATES = {
    "pandas": pd.Series([DAY, None]),
    "time zone": pd.Series([DAY, None]).dt.tz_localize("Asia/Tokyo"),
    "period": pd.Series(pd.PeriodIndex([DAY, None], freq="h")),
    "objects": pd.Series([DAY, None], dtype=object),
    "polars": pl.Series([DAY, None]),
    "polars time zone": pl.Series([DAY, None]).dt.replace_time_zone("Asia/Tokyo"),
    "array": np.array([DAY, "NaT"], dtype="datetime64[s]"),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_of_every_container(name):
    assert kind_of_column(NUMBERS[name], "c") == "number"
    assert_allclose(read_numbers(NUMBERS[name], "c"), [1, 2])


@pytest.mark.parametrize("name", CATEGORIES)
def test_categories_of_every_container_have_the_same_labels(name):
    assert kind_of_column(CATEGORIES[name], "c") == "category"
    assert_array_equal(read_labels(CATEGORIES[name], "c"), ["1", "b", ""])


@pytest.mark.parametrize("name", DATES)
def test_dates_of_every_container_are_clock_times(name):
    assert kind_of_column(DATES[name], "c") == "date"
    found = read_dates(DATES[name], "c")
    assert found[0] == np.datetime64(DAY)
    assert np.isnat(found[1])


def test_missing_numbers_are_nan():
    for column in (
        pd.Series([1, None], dtype="Int64"),
        pd.Series([1, None], dtype=object),
        pl.Series([1, None]),
    ):
        assert_array_equal(read_numbers(column, "c"), [1, np.nan])


def test_text_is_refused_with_a_hint_and_many_rows_of_few_strings_are_not():
    names = pd.Series([f"name {i}" for i in range(200)])
    with pytest.raises(ColumnError, match=r"Column 'who' seems to be text.*preprocessor"):
        kind_of_column(names, "who")
    with pytest.raises(ColumnError, match="seems to be text"):
        kind_of_column(pl.Series(names.tolist()), "who")
    assert kind_of_column(pd.concat([names] * 10), "who") == "category"


@pytest.mark.parametrize("comma", [".", ","])
def test_strings_that_spell_numbers_are_refused_with_the_way_to_convert_them(comma):
    strings = pd.Series([f"{i}{comma}5" for i in range(200)])
    with pytest.raises(ColumnError, match=r"'ph' holds strings that spell numbers.*astype"):
        kind_of_column(strings, "ph")


def test_categories_of_many_strings_are_not_text():
    names = pd.Series([f"name {i}" for i in range(200)])
    assert kind_of_column(names.astype("category"), "who") == "category"


@pytest.mark.parametrize(
    "column",
    [pd.Series([[1], [2]]), pd.Series([1j, 2j]), pl.Series([[1], [2]]), pd.Series([{}, "a"])],
    ids=["lists", "complex", "polars lists", "dictionaries"],
)
def test_columns_of_other_objects_are_refused_by_name(column):
    with pytest.raises(ColumnError, match=r"Column 'c' is of type .* cannot be read"):
        kind_of_column(column, "c")


def test_a_column_that_changes_its_kind_is_named():
    with pytest.raises(ColumnError, match=r"Column 'age' held numbers or booleans in fit.*'old'"):
        read_numbers(pd.Series([1, "old"], dtype=object), "age")
    with pytest.raises(ColumnError, match="Column 'age' held numbers or booleans in fit"):
        read_numbers(pl.Series(["1"]), "age")
    with pytest.raises(ColumnError, match="Column 'day' held dates in fit"):
        read_dates(pd.Series(["a"]), "day")
    with pytest.raises(ColumnError, match="Column 'day' held dates in fit"):
        read_dates(pl.Series([1]), "day")
    with pytest.raises(ColumnError, match="infinity in column 'age'"):
        read_numbers(pd.Series([1, np.inf]), "age")


def test_arrow_types_of_pandas():
    pa = pytest.importorskip("pyarrow")
    types = {
        "number": [pa.int8(), pa.float32(), pa.bool_(), pa.decimal128(5, 2), pa.duration("s")],
        "category": [pa.string(), pa.dictionary(pa.int8(), pa.string())],
        "date": [pa.date32(), pa.timestamp("us"), pa.timestamp("us", "UTC")],
    }
    values = {
        "number": [Decimal("1"), None],
        "category": ["a", None],
        "date": [DAY.replace(hour=0), None],
    }
    for kind, dtypes in types.items():
        for dtype in dtypes:
            own = [datetime.timedelta(days=1), None] if "duration" in str(dtype) else values[kind]
            own = [True, None] if dtype == pa.bool_() else own
            own = [1, None] if dtype in (pa.int8(), pa.float32()) else own
            column = pd.Series(pd.array(own, dtype=pd.ArrowDtype(dtype)))
            assert kind_of_column(column, "c") == kind
            if kind == "number":
                assert_array_equal(read_numbers(column, "c"), [1, np.nan])
            elif kind == "category":
                assert read_labels(column, "c").tolist() == ["a", ""]
            else:
                assert read_dates(column, "c")[0] == np.datetime64(values["date"][0])


@pytest.mark.parametrize("gap", [np.nan, None])
def test_a_column_of_gaps_is_one_of_dates(gap):
    found = read_dates(pd.Series([gap]), "day")
    assert np.isnat(found).tolist() == [True]
