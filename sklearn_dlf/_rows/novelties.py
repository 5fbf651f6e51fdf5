"""What rows hold that those of `fit` did not, of which a student of columns has learnt nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .._utils.warning import warn_user
from .columns import as_date

# New categories are nothing unusual in some rows. If most of at least this many rows have one, the
# column is written in another way than in fit. Of fewer rows, all must have one, and it must be one
# that is not read as the rare ones of fit are. A choice.
MANY_ROWS = 10

# Numbers are far outside of those of fit if they are beyond them by so many times their range: far
# enough for other units, such as months for years, and too far for tails.
FAR_NUMBERS = 5.0

# Values that a warning shows of a column at most.
MAX_SHOWN = 3

# There is a warning of a column without any value in many rows if it had one in at least this share
# of the rows of fit.
LEAST_KNOWN = 0.5


class NewValues(NamedTuple):
    """Rows of a column, and how many of them have what was not in `fit`.

    Attributes
    ----------
    column : str or int
        Name or number of the column.
    n_rows, n_new : int
        Number of rows, and of those with a new value.
    shown, known : list
        Some of the new values, and some of those of `fit`: categories; the smallest and the largest
        number, or date in days since 1970; of gaps, the share of rows with a value in `fit`.
    """

    column: Any
    n_rows: int
    n_new: int
    shown: list
    known: list


class Novelties:
    """Gaps, categories, dates and far numbers that were not in `fit`, of all rows of one call.

    Several threads may add parts of the rows.
    """

    def __init__(self) -> None:
        self._gaps: list[tuple[Any, str]] = []
        self._categories: list[NewValues] = []
        self._dates: list[NewValues] = []
        self._numbers: list[NewValues] = []
        self._missing: list[NewValues] = []

    def add_gap(self, column: Any, filled: str) -> None:
        """Add a column with a new gap, and how it is read."""
        self._gaps.append((column, filled))

    def add_categories(self, found: NewValues) -> None:
        """Add some rows of a column of categories."""
        self._categories.append(found)

    def add_dates(self, found: NewValues) -> None:
        """Add some rows of a column of dates."""
        self._dates.append(found)

    def add_numbers(self, found: NewValues) -> None:
        """Add some rows of a column of numbers, with those that are far outside of `fit`."""
        self._numbers.append(found)

    def add_missing(self, found: NewValues) -> None:
        """Add some rows of a column that had gaps in `fit`, with those that have one."""
        self._missing.append(found)

    def warn(self) -> None:
        """Warn of columns with new gaps, and of those in which most of the rest is new."""
        if self._gaps:
            gaps = dict(self._gaps).items()
            described = ", ".join(f"{column!r} as {filled}" for column, filled in gaps)
            warn_user(
                "X has missing values in columns that had no gap in fit, so that nothing was "
                f"learnt of gaps there. They are read as other values: {described}. Put rows with "
                "such gaps into fit, or leave them out here."
            )
        self._warn_of_missing()
        self._warn_of_categories()
        self._warn_of_dates()
        self._warn_of_numbers()

    def _warn_of_missing(self) -> None:
        empty = [
            f"{found.column!r} (fit had one in {100 * found.known[0]:.0f} % of its rows)"
            for found in _mostly_new(self._missing)
            if found.n_new == found.n_rows >= MANY_ROWS and found.known[0] >= LEAST_KNOWN
        ]
        if empty:
            warn_user(
                f"X has no value at all in columns that had some in fit: {', '.join(empty)}. They "
                "are read as gaps. Check that the columns were filled."
            )

    def _warn_of_numbers(self) -> None:
        described = [
            f"{found.column!r} in {found.n_new} of {found.n_rows} rows, {min(found.shown):.4g} to "
            f"{max(found.shown):.4g} (fit had {found.known[0]:.4g} to {found.known[1]:.4g})"
            for found in _mostly_new(self._numbers)
        ]
        if described:
            shown = "; ".join(described[:MAX_SHOWN]) + ("; ..." if described[MAX_SHOWN:] else "")
            warn_user(
                f"X has numbers far outside of those of fit: {shown}. Are they in the same units? "
                "Neither student nor teacher has learnt anything there, and no uncertainty holds."
            )

    def _warn_of_categories(self) -> None:
        described = []
        for found in _mostly_new(self._categories):
            shown, known = (
                ", ".join(map(repr, labels))
                for labels in (list(dict.fromkeys(found.shown))[:MAX_SHOWN], found.known)
            )
            described.append(
                f"{found.column!r} in {found.n_new} of {found.n_rows} rows, such as {shown} (fit "
                f"had, for example, {known})"
            )
        if described:
            warn_user(
                "X has categories that were not in fit, so that nothing was learnt of them: "
                f"{'; '.join(described)}. Check whether they are written as in fit."
            )

    def _warn_of_dates(self) -> None:
        for found in _mostly_new(self._dates):
            days = min(found.shown), max(found.shown), *found.known
            low, high, first, last = map(as_date, days)
            warn_user(
                f"Column {found.column!r} has dates far outside of those of fit in {found.n_new} "
                f"of {found.n_rows} rows: {low} to {high}, and fit had {first} to {last}. Neither "
                "student nor teacher was fitted to such dates, and their predictions may differ "
                "there. Fit both to newer rows, or leave the column out and give what matters of "
                "it, such as the time of the year or an age."
            )


def _mostly_new(parts: list[NewValues]) -> Iterator[NewValues]:
    """Yield the parts of each column as one, if most of many rows are new, or all of few."""
    for column in dict.fromkeys(part.column for part in parts):
        own = [part for part in parts if part.column == column]
        n_rows, n_new = sum(part.n_rows for part in own), sum(part.n_new for part in own)
        if 2 * n_new > n_rows if n_rows >= MANY_ROWS else n_new == n_rows:
            shown = [value for part in own for value in part.shown]
            known = next(part.known for part in own if part.n_new)
            yield NewValues(column, n_rows, n_new, shown, known)


def add_far_numbers(
    column: Any, numbers: np.ndarray, known: tuple[float, float], novelties: Novelties
) -> None:
    """Add a column of numbers (n,), which had these smallest and largest ones in `fit`."""
    low, high = known
    if not high > low:
        return
    margin = FAR_NUMBERS * (high - low)
    with np.errstate(invalid="ignore"):
        is_far = (numbers < low - margin) | (numbers > high + margin)
    n_far = int(np.count_nonzero(is_far))
    shown = [float(numbers[is_far].min()), float(numbers[is_far].max())] if n_far else []
    novelties.add_numbers(NewValues(column, len(numbers), n_far, shown, [low, high]))
