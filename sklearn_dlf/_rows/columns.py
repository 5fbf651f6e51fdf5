"""Columns of frames and of arrays of objects: what they hold, and how they are read."""

from __future__ import annotations

import datetime
import numbers
import re
import zoneinfo
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Literal

import numpy as np

from .containers import as_floats

Kind = Literal["number", "category", "date"]

# A column of strings is text if more than this many of its values, and more than this share of its
# rows, are different. Names and sentences are; postcodes of many rows are categories.
TEXT_VALUES, TEXT_SHARE = 50, 0.5

SECONDS_PER_DAY = 86_400

# Strings of dates: the year first or last, with a time of day and a zone or without.
_YEAR, _MONTH, _DAY = r"(1[5-9]|2[01])\d\d", r"(0?[1-9]|1[0-2])", r"(0?[1-9]|[12]\d|3[01])"
DATE = re.compile(
    rf"({_YEAR}[-./]{_MONTH}[-./]{_DAY}|({_DAY}[-./]{_MONTH}|{_MONTH}[-./]{_DAY})[-./]{_YEAR}"
    rf"|\d\d[-./]\d\d[-./]\d\d)([T ]+[\d:.,]+ ?([AP]M)? ?(Z|[+-][\d:]+)?)?"
)

NUMBERS = numbers.Real, Decimal, np.bool_

# A missing time with its unit: numpy 2.5 deprecates times without one.
NO_TIME = np.datetime64("NaT", "us")


class ColumnError(ValueError):
    """A column cannot be read."""


def kind_of_column(column: Any, name: Any) -> Kind:
    """Return what a column holds, by its type, or by its values if they are objects.

    Raises
    ------
    ColumnError
        If it holds text, complex numbers, lists or other objects.
    """
    dtype = column.dtype
    kind: Kind | None = None
    if hasattr(dtype, "is_numeric"):  # polars
        kind = _kind_of_polars(dtype)
        if kind == "category" and str(dtype) == "String":
            _refuse_text(column, name)
    elif hasattr(dtype, "categories"):
        kind = "category"
    elif dtype.kind in "biufmc":
        kind = None if dtype.kind == "c" else "number"
    elif dtype.kind == "M" or type(dtype).__name__ == "PeriodDtype":
        kind = "date"
    elif dtype.kind in "OUST":
        kind = _kind_of_objects(column, name)
    if kind is None:
        raise ColumnError(
            f"Column {name!r} is of type {dtype}, which cannot be read; expected numbers, "
            "booleans, categories, short strings or dates. Leave it out, or give a transformer "
            "that reads it by preprocessor."
        )
    return kind


def _kind_of_polars(dtype: Any) -> Kind | None:
    """Return what a column of polars holds."""
    name = type(dtype).__name__ if not isinstance(dtype, type) else dtype.__name__
    if dtype.is_numeric() or name in ("Boolean", "Duration", "Null"):
        return "number"
    if name in ("Date", "Datetime"):
        return "date"
    return "category" if name in ("String", "Categorical", "Enum") else None


def _kind_of_objects(column: Any, name: Any) -> Kind | None:
    """Return what a column of Python objects or strings holds, by its values."""
    values = {type(value): value for value in _as_objects(column) if not is_missing(value)}
    if all(isinstance(value, NUMBERS) for value in values.values()):
        return "number"
    if all(isinstance(value, datetime.date | np.datetime64) for value in values.values()):
        return "date"
    if not all(
        isinstance(value, (str, bytes, datetime.date, *NUMBERS)) for value in values.values()
    ):
        return None
    _refuse_text(column, name)
    return "category"


def _refuse_text(column: Any, name: Any) -> None:
    """Raise ColumnError if a column of strings holds text."""
    labels = read_labels(column, name)
    known = labels[labels != MISSING]
    n_different = len(set(known))
    if n_different > TEXT_VALUES and n_different > TEXT_SHARE * len(known):
        if _spell_numbers(known):
            raise ColumnError(
                f"Column {name!r} holds strings that spell numbers, such as {known[0]!r}: convert "
                f"them before, by frame.astype({{{name!r}: float}}). Decimal commas become "
                "points by pandas.read_csv(..., decimal=',')."
            )
        if looks_like_dates(known):
            raise ColumnError(
                f"Column {name!r} holds strings that look like dates, such as {str(known[0])!r}: "
                "convert them before, by pandas.to_datetime."
            )
        raise ColumnError(
            f"Column {name!r} seems to be text: {n_different} of its {len(known)} strings are "
            "different. Leave it out, turn it into categories, or give a transformer that reads "
            "it by preprocessor, such as a ColumnTransformer with a TfidfVectorizer. If the "
            "ensemble needs the column only to be there, leave it out and hand it to the ensemble: "
            f"X_ensemble=lambda rows: rows.assign(**{{{str(name)!r}: ''}})."
        )


def looks_like_dates(strings: Iterable[str]) -> bool:
    """Return whether all of some strings look like dates, with a time of day or without."""
    return all(map(DATE.fullmatch, strings))


def _spell_numbers(strings: Any) -> bool:
    """Return whether all of some strings are numbers, with a decimal point or a comma."""
    try:
        for each in strings:
            float(str(each).replace(",", ".", 1))
    except ValueError:
        return False
    return True


def is_missing(value: Any) -> bool:
    """Return whether a value stands for a missing one: None, NaN, NaT or pandas.NA."""
    if value is None:
        return True
    if isinstance(value, float | np.floating | np.datetime64 | np.timedelta64):
        return bool(value != value)
    return type(value).__name__ in ("NAType", "NaTType")


def read_numbers(column: Any, name: Any) -> np.ndarray:
    """Return a column of numbers as float64, NaN where a value is missing.

    Raises
    ------
    ColumnError
        If a value is no number, or infinite.
    """
    try:
        values = _durations(column)
        if values is None:
            values = _floats(column)
    except (TypeError, ValueError) as error:
        raise ColumnError(
            f"Column {name!r} held numbers or booleans in fit, and now holds other values: "
            f"{str(error).rstrip('.')}. Turn strings of numbers into numbers first, as "
            "pandas.to_numeric does."
        ) from error
    if np.isinf(values).any():
        raise ColumnError(
            f"Input X contains infinity in column {name!r}; expected finite or missing values."
        )
    return values


def _floats(column: Any) -> np.ndarray:
    """Return a column as float64."""
    dtype = column.dtype
    if hasattr(dtype, "is_numeric"):
        if not (dtype.is_numeric() or str(dtype) in ("Boolean", "Null")):
            raise TypeError(f"its type is {dtype}.")
        return as_floats(column)
    if dtype.kind in "OUST" or hasattr(dtype, "categories"):
        values = [np.nan if is_missing(value) else value for value in _as_objects(column)]
        wrong = [value for value in values if not isinstance(value, NUMBERS)]
        if wrong:
            raise TypeError(f"{wrong[0]!r}.")
        return np.array(values, dtype=np.float64)
    return as_floats(column)


def _durations(column: Any) -> np.ndarray | None:
    """Return durations in days; None if a column holds no durations."""
    if getattr(column.dtype, "kind", "") != "m" and type(column.dtype).__name__ != "Duration":
        return None
    values = column.to_numpy() if hasattr(column, "to_numpy") else column
    seconds = values.astype("timedelta64[us]").astype(np.float64) / 1e6
    return np.where(np.isnat(values), np.nan, seconds / SECONDS_PER_DAY)


def read_dates(column: Any, name: Any, zone: Any = None) -> np.ndarray:
    """Return a column of dates as datetime64[us], NaT where one is missing.

    Times of a time zone are those of its clocks, or of those of another ``zone``.

    Raises
    ------
    ColumnError
        If a value is no date.
    """
    try:
        if hasattr(column, "dt") and hasattr(column, "iloc"):
            if type(column.dtype).__name__ == "PeriodDtype":
                column = column.dt.to_timestamp()
            elif _time_zone(column.dtype) is not None:
                if zone is not None and time_zone_of(column) != zone:
                    column = column.dt.tz_convert(zone)
                column = column.dt.tz_localize(None)
        elif hasattr(column.dtype, "is_temporal"):
            return _polars_dates(column, zone)
        values = _as_objects(column) if column.dtype.kind == "O" else np.asarray(column)
        if values.dtype.kind == "O":
            values = np.array(
                [NO_TIME if is_missing(v) else _clock_time(v, zone) for v in values],
                dtype="datetime64[us]",
            )
        if values.dtype.kind == "f" and np.isnan(values).all():  # a column of gaps
            return np.full(len(values), NO_TIME, dtype="datetime64[us]")
        if values.dtype.kind != "M":
            raise TypeError(f"its type is {column.dtype}")
        return values.astype("datetime64[us]")
    except (TypeError, ValueError, AttributeError) as error:
        raise ColumnError(
            f"Column {name!r} held dates in fit, and now holds other values: {error}. Convert "
            "strings by pandas.to_datetime, and numbers with the unit that they have, such as "
            'unit="ms".'
        ) from error


def time_zone_of(column: Any) -> str | None:
    """Return the name of the time zone that a column of pandas or polars has.

    None if it has no zone, or one without a name by which it can be found.
    """
    dtype = getattr(column, "dtype", None)
    zone = getattr(dtype, "time_zone", None) or _time_zone(dtype)
    try:
        return None if zone is None else zoneinfo.ZoneInfo(str(zone)).key
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _time_zone(dtype: Any) -> Any:
    """Return the time zone of a type of pandas, of its own or of Arrow."""
    return getattr(getattr(dtype, "pyarrow_dtype", dtype), "tz", None)


def _polars_dates(column: Any, zone: Any) -> np.ndarray:
    """Return a column of polars as datetime64[us]."""
    if type(column.dtype).__name__ == "Datetime" and column.dtype.time_zone is not None:
        column = column if zone is None else column.dt.convert_time_zone(zone)
        column = column.dt.replace_time_zone(None)
    values = column.to_numpy()
    if values.dtype.kind != "M":
        raise TypeError(f"its type is {column.dtype}")
    return values.astype("datetime64[us]")


def _clock_time(value: Any, zone: str | None) -> np.datetime64:
    """Return a date or a time by the clocks of its time zone, or of another one."""
    if isinstance(value, datetime.datetime):
        if zone is not None and value.tzinfo is not None:
            value = value.astimezone(zoneinfo.ZoneInfo(zone))
        value = value.replace(tzinfo=None)
    elif not isinstance(value, datetime.date | np.datetime64):
        raise TypeError(repr(value))
    return np.datetime64(value, "us")


MISSING = ""


def read_labels(column: Any, name: Any) -> np.ndarray:
    """Return a column of categories as strings, an array of objects; `MISSING` where it is missing.

    Equal values have equal labels in every container: those of 1, 1.0 and "1" are "1".

    Raises
    ------
    ColumnError
        If a value is no string, number, boolean or date.
    """
    values = _as_objects(column)
    labels: dict[Any, str] = {}
    read = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        try:
            label = labels.get(value)
        except TypeError as error:
            raise ColumnError(f"Column {name!r} holds {value!r}, which is no category.") from error
        if label is None:
            label = labels[value] = _label(value)
        read[place] = label
    return read


def _label(value: Any) -> str:
    """Return the label of a value."""
    if is_missing(value):
        return MISSING
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, numbers.Real) and float(value).is_integer():
        return str(int(float(value)))
    return str(value)


def _as_objects(column: Any) -> np.ndarray:
    """Return a column as an array of Python objects."""
    if hasattr(column.dtype, "is_numeric"):
        values = np.empty(len(column), dtype=object)
        values[:] = column.to_list()
        return values
    return np.asarray(column, dtype=object)


def as_date(days: float) -> str:
    """Return days since 1970 as text."""
    date = np.datetime64(round(days * SECONDS_PER_DAY), "s")
    return str(date if days % 1 else date.astype("datetime64[D]"))
