"""What rows hold that those of `fit` did not, of which a student of columns has learnt nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

from .._utils.warning import warn_user
from .columns import as_date

# New categories are nothing unusual in some rows. If most of at least this many rows have one, the
# column is written in another way than in fit. Of fewer rows, all must have one, and it must be one
# that is not read as the rare ones of fit are. A choice.
MANY_ROWS = 10

# Values that a warning shows of a column at most.
MAX_SHOWN = 3


class Unknown(NamedTuple):
    """Rows of a column of categories, and how many of them have one that was not in `fit`."""

    column: Any
    n_rows: int
    n_unknown: int
    shown: list[str]  # some of the new categories
    known: list[str]  # some of those of `fit`


class Beyond(NamedTuple):
    """Rows of a column of dates, and how many of them lie far outside of those of `fit`."""

    column: Any
    n_rows: int
    n_beyond: int
    shown: list[float]  # the first and the last of these, in days since 1970
    known: list[float]  # the first and the last of `fit`


class Novelties:
    """Gaps, categories and dates that were not in `fit`, of all rows of one call.

    Several threads may add parts of the rows.
    """

    def __init__(self) -> None:
        self._gaps: list[tuple[Any, str]] = []
        self._unknown: list[Unknown] = []
        self._beyond: list[Beyond] = []

    def add_gap(self, column: Any, filled: str) -> None:
        """Add a column with a new gap, and how it is read."""
        self._gaps.append((column, filled))

    def add_unknown(self, unknown: Unknown) -> None:
        """Add some rows of a column of categories."""
        self._unknown.append(unknown)

    def add_beyond(self, beyond: Beyond) -> None:
        """Add some rows of a column of dates."""
        self._beyond.append(beyond)

    def warn(self) -> None:
        """Warn of columns with new gaps, and of those in which most categories or dates are new."""
        if self._gaps:
            gaps = dict(self._gaps).items()
            described = ", ".join(f"{column!r} as {filled}" for column, filled in gaps)
            warn_user(
                "X has missing values in columns that had no gap in fit, so that nothing was "
                f"learnt of gaps there. They are read as other values: {described}. Put rows with "
                "such gaps into fit, or leave them out here."
            )
        self._warn_of_categories()
        self._warn_of_dates()

    def _warn_of_categories(self) -> None:
        columns = dict.fromkeys(part.column for part in self._unknown)
        described = "; ".join(filter(None, map(self._describe, columns)))
        if described:
            warn_user(
                "X has categories that were not in fit, so that nothing was learnt of them: "
                f"{described}. Check whether they are written as in fit."
            )

    def _warn_of_dates(self) -> None:
        for column in dict.fromkeys(part.column for part in self._beyond):
            parts = [part for part in self._beyond if part.column == column]
            n_rows = sum(part.n_rows for part in parts)
            n_beyond = sum(part.n_beyond for part in parts)
            if not _is_most(n_beyond, n_rows):
                continue
            days = [day for part in parts for day in part.shown]
            known = next(part.known for part in parts if part.n_beyond)
            low, high, first, last = map(as_date, (min(days), max(days), *known))
            warn_user(
                f"Column {column!r} has dates far outside of those of fit in {n_beyond} of "
                f"{n_rows} rows: {low} to {high}, and fit had {first} to {last}. "
                "Neither the student nor its teacher has seen such dates, and they may go on in "
                "different ways there. Fit both to newer rows, or leave the column out and give "
                "what matters of it, such as the time of the year or an age."
            )

    def _describe(self, column: Any) -> str:
        """Return what most rows of a column have that is new; nothing if they do not."""
        parts = [part for part in self._unknown if part.column == column]
        n_rows = sum(part.n_rows for part in parts)
        n_unknown = sum(part.n_unknown for part in parts)
        if not _is_most(n_unknown, n_rows):
            return ""
        shown = list(dict.fromkeys(label for part in parts for label in part.shown))[:MAX_SHOWN]
        known = next(part.known for part in parts if part.n_unknown)
        return (
            f"{column!r} in {n_unknown} of {n_rows} rows, such as {', '.join(map(repr, shown))} "
            f"(fit had, for example, {', '.join(map(repr, known))})"
        )


def _is_most(n_new: int, n_rows: int) -> bool:
    """Return whether most of many rows are new, or all of few."""
    return 2 * n_new > n_rows if n_rows >= MANY_ROWS else n_new == n_rows
