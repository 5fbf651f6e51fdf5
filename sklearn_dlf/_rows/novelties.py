"""What rows hold that those of `fit` did not, of which a student of columns has learnt nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binom

from .._utils.blocks import spaced_rows
from .._utils.warning import warn_user
from .columns import as_date

# New categories are nothing unusual in some rows. If most of at least this many rows have one, the
# column is written in another way than in fit. Of fewer rows, all must have one, and it must be one
# that is not read as the rare ones of fit are. A choice.
MANY_ROWS = 10

# Numbers are far outside of those of fit if they are beyond them by so many times their range: far
# enough for other units, such as months for years, and too far for tails.
FAR_NUMBERS = 5.0

# There is a warning, too, if so large a share of at least `MANY_ROWS` rows is beyond the range of a
# column in fit, by a tenth of that range: in units that make numbers smaller, or in another region.
# Of a column of one sign it is enough to be nearer to zero by this factor: heavy tails make a tenth
# of the range more than the distance to zero.
BEYOND, BEYOND_SHARE, NEARER = 0.1, 0.95, 2.0

# A student learns from rows beyond those of fit. There is a warning if all of at least `MANY_ROWS`
# rows to learn from are in other places of a column: more than its whole range away, or, in a
# column of one sign, at less than this share of the smallest. Such rows are more often in other
# units, as kilometres for metres, than from elsewhere. A choice.
AWAY, SMALLEST_SHARE = 1.0, 0.1

# Changes of a constant that are rounding: relative to its size, and in any case. There is no
# warning of a constant in fewer rows than `MANY_ROWS`: one of them may have a rare mark.
ROUNDING, LEAST_CHANGE = 1e-7, 1e-12

LEARNT_AS_THEY_ARE = (
    " The student learns from them as they are. If they are in other units, convert them, and "
    "repeat the call: reset_update takes all updates back, and adapt leaves the student as it was. "
    "If they are not, as in a column of time, ignore this warning."
)
NOTHING_LEARNT = " Neither student nor teacher has learnt anything there, and no uncertainty holds."

# Values that a warning shows of a column at most.
MAX_SHOWN = 3

# There is a warning of more gaps than in fit, of a column that had a value in at least this share
# of the rows of fit, if two things are true. At least half of the values that rows of fit would
# have are missing. And so many gaps are rarer than this in rows like those of fit, if these are
# independent: of 1,000 columns, each in 1,000 calls, one gives a warning by chance. Rows that
# belong together, such as those of one shop, may all lack what others have.
LEAST_KNOWN, CHANCE_OF_GAPS = 0.5, 1e-6


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

    Parameters
    ----------
    may_extrapolate : bool, default=False
        Whether all rows may lie beyond those of `fit`: a student learns from them, or has learnt
        from others after `fit`.
    are_learnt : bool, default=False
        Whether a fitted student learns from them.
    knows_all : bool, default=True
        Whether the range is known of all rows that it has learnt from before.
    """

    def __init__(
        self, may_extrapolate: bool = False, are_learnt: bool = False, knows_all: bool = True
    ) -> None:
        self.may_extrapolate = may_extrapolate
        self.are_learnt, self.knows_all = are_learnt, knows_all
        self._gaps: list[tuple[Any, str]] = []
        self._categories: list[NewValues] = []
        self._dates: list[NewValues] = []
        self._numbers: list[NewValues] = []
        self._beyond: list[NewValues] = []
        self._away: list[NewValues] = []
        self._n_rows: list[int] = []
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

    def add_beyond(self, found: NewValues) -> None:
        """Add some rows of a column of numbers, with those that are beyond `fit`."""
        self._beyond.append(found)

    def add_away(self, found: NewValues) -> None:
        """Add some rows of a column of numbers, with those that are in other places than `fit`."""
        self._away.append(found)

    def add_rows(self, n_rows: int) -> None:
        """Count rows, of which columns may be added that are suspect only."""
        self._n_rows.append(n_rows)

    def add_missing(self, found: NewValues) -> None:
        """Add some rows of a column that had gaps in `fit`, with those that have one."""
        self._missing.append(found)

    def warn(self, name: str = "X") -> None:
        """Warn of columns with new gaps, and of those in which most of the rest is new.

        ``name`` is that of the rows.
        """
        if self._gaps:
            gaps = dict(self._gaps).items()
            described = ", ".join(f"{_name(column)} as {filled}" for column, filled in gaps)
            warn_user(
                f"{name} has missing values in columns that had no gap in fit, so that nothing was "
                f"learnt of gaps there. They are read as other values: {described}. Put rows with "
                "such gaps into fit, or leave them out here."
            )
        self._warn_of_missing(name)
        self._warn_of_categories(name)
        self._warn_of_dates()
        self._warn_of_numbers(name)

    def _warn_of_missing(self, name: str) -> None:
        found = [each for each in _mostly_new(self._missing) if _has_more_gaps(each)]
        if not found:
            return
        described = ", ".join(
            f"{_name(each.column)} has one in {each.n_rows - each.n_new} of {each.n_rows} rows "
            f"(fit had one in {100 * each.known[0]:.0f} %)"
            for each in found
        )
        is_empty = all(each.n_new == each.n_rows for each in found)
        what = "no value at all" if is_empty else "far fewer values"
        warn_user(
            f"{name} has {what} in columns that had some in fit: {described}. All other rows of "
            "such a column are read as gaps. Check that the columns were filled."
        )

    def _warn_of_numbers(self, name: str) -> None:
        far = [*_mostly_new(self._numbers)]
        if far:
            remedy = LEARNT_AS_THEY_ARE if self.are_learnt else ""
            warn_user(
                f"{name} has numbers far outside of those of fit: {_describe_numbers(far)}. Are "
                f"they in the same units?{remedy if self.may_extrapolate else NOTHING_LEARNT}"
            )
        told = {found.column for found in far}
        away = [each for each in _mostly_new(self._away) if each.column not in told]
        away = [each for each in away if each.n_new == each.n_rows >= MANY_ROWS]
        if away and self.are_learnt and self.knows_all:
            warn_user(
                f"All rows of {name} are away from those that are known, by more than their whole "
                "range, or at less than a tenth of the smallest: "
                f"{_describe_numbers(away)}. Were they meant to be in the same units?"
                f"{LEARNT_AS_THEY_ARE}"
            )
        beyond = [found for found in self._nearly_all_beyond() if found.column not in told]
        if beyond:
            warn_user(
                f"Nearly all rows of {name} are beyond those of fit: {_describe_numbers(beyond)}. "
                "Are they in the same units? If so, student and teacher extrapolate, and what they "
                "say of their uncertainty there is a guess. Fit both to such rows, or use update."
            )

    def _nearly_all_beyond(self) -> Iterator[NewValues]:
        """Yield the parts of each column as one, if nearly all of many rows are beyond `fit`."""
        n_rows = sum(self._n_rows)
        if self.may_extrapolate or n_rows < MANY_ROWS:
            return
        for column in dict.fromkeys(part.column for part in self._beyond):
            joined = _join([part for part in self._beyond if part.column == column])
            if joined.n_new >= BEYOND_SHARE * n_rows:
                yield joined._replace(n_rows=n_rows)

    def _warn_of_categories(self, name: str) -> None:
        described = []
        for found in _mostly_new(self._categories):
            shown, known = (
                ", ".join(map(repr, labels))
                for labels in (list(dict.fromkeys(found.shown))[:MAX_SHOWN], found.known)
            )
            described.append(
                f"{_name(found.column)} in {found.n_new} of {found.n_rows} rows, such as {shown} "
                f"(fit had, for example, {known})"
            )
        if described:
            warn_user(
                f"{name} has categories that were not in fit, so that nothing was learnt of them: "
                f"{'; '.join(described)}. Check whether they are written as in fit."
            )

    def _remedy_for_dates(self) -> str:
        """Return what is known where dates are new, and a remedy."""
        if self.may_extrapolate:
            return (
                "The student knows of such rows only what update or adapt have shown it. Fit "
                "teacher and student to newer rows from time to time."
            )
        return (
            "The student was not fitted to such dates, and may predict something else than its "
            "teacher there. Fit both to newer rows, or leave the column out and give what matters "
            "of it, such as the time of the year or an age."
        )

    def _warn_of_dates(self) -> None:
        for found in _mostly_new(self._dates):
            days = min(found.shown), max(found.shown), *found.known
            low, high, first, last = map(as_date, days)
            warn_user(
                f"Column {found.column!r} has dates far outside of those of fit in {found.n_new} "
                f"of {found.n_rows} rows: {low} to {high}, and fit had {first} to {last}. "
                f"{self._remedy_for_dates()}"
            )


def _mostly_new(parts: list[NewValues]) -> Iterator[NewValues]:
    """Yield the parts of each column as one, if most of many rows are new, or all of few."""
    for column in dict.fromkeys(part.column for part in parts):
        joined = _join([part for part in parts if part.column == column])
        n_rows, n_new = joined.n_rows, joined.n_new
        if 2 * n_new > n_rows if n_rows >= MANY_ROWS else n_new == n_rows:
            yield joined


def _has_more_gaps(found: NewValues) -> bool:
    """Return whether a column has far more gaps than in `fit`, by more than chance."""
    share = 1 - found.known[0] if found.known else 1.0
    if found.n_rows < MANY_ROWS or share > 1 - LEAST_KNOWN:
        return False
    is_far = found.n_new >= 0.5 * (1 + share) * found.n_rows
    return is_far and binom.sf(found.n_new - 1, found.n_rows, share) < CHANCE_OF_GAPS


def _join(parts: list[NewValues]) -> NewValues:
    """Return the parts of a column as one."""
    n_rows, n_new = sum(part.n_rows for part in parts), sum(part.n_new for part in parts)
    shown = [value for part in parts for value in part.shown]
    known = next((part.known for part in parts if part.n_new), [])
    return NewValues(parts[0].column, n_rows, n_new, shown, known)


def _name(column: Any) -> str:
    """Return the name of a column, or "column" and its number."""
    return repr(column) if isinstance(column, str) else f"column {column}"


def _describe_numbers(columns: list[NewValues]) -> str:
    """Return which numbers columns have, in how many rows, and which they had before."""
    described = [
        f"{_name(found.column)} in {found.n_new} of {found.n_rows} rows, {min(found.shown):.4g} to "
        f"{max(found.shown):.4g} (known are {found.known[0]:.4g} to {found.known[1]:.4g})"
        for found in columns
    ]
    return "; ".join(described[:MAX_SHOWN]) + ("; ..." if described[MAX_SHOWN:] else "")


def add_numbers(
    column: Any, numbers: np.ndarray, known: tuple[float, float], novelties: Novelties
) -> None:
    """Add a column of numbers (n,), which had these smallest and largest ones in `fit`.

    One that was constant in `fit` is far from that if it is another number at all.
    """
    low, high = known
    if not high > low and len(numbers) < MANY_ROWS:
        return
    n_gaps = int(np.count_nonzero(np.isnan(numbers)))
    for share, least, add in (
        (FAR_NUMBERS, 0.0, novelties.add_numbers),
        (BEYOND, 1 / NEARER, novelties.add_beyond),
        (AWAY, SMALLEST_SHARE, novelties.add_away),
    ):
        margin = share * (high - low) if high > low else rounding_of(high)
        with np.errstate(invalid="ignore"):
            is_new = (numbers < low - margin) | (numbers > high + margin)
            if low * high > 0:
                is_new |= np.abs(numbers) < least * min(abs(low), abs(high))
        n_new = int(np.count_nonzero(is_new))
        shown = [float(numbers[is_new].min()), float(numbers[is_new].max())] if n_new else []
        n_rows = len(numbers)
        if 2 * n_new > n_rows:  # gaps are no sign of the contrary
            n_new += n_gaps
        add(NewValues(column, n_rows, n_new, shown, [low, high]))


def rounding_of(constant: Any) -> Any:
    """Return how far numbers may be from a constant (or from several) and still be the same."""
    return np.maximum(ROUNDING * np.abs(constant), LEAST_CHANGE)


def suspect_columns(
    standardised: np.ndarray, numbers: np.ndarray, bounds: np.ndarray
) -> Iterable[int]:
    """Return the columns that may have unusual numbers: a fast first look, for one row too.

    A standard deviation is at most half the range. Numbers that are nearly all beyond `fit` are so
    in most of a few rows. A constant has no range: all of its numbers are compared.

    Parameters
    ----------
    standardised, numbers : arrays of shape (n, n_columns)
        Numbers, the former in units of the standard deviations of those of `fit`.
    bounds : array of shape (2, n_columns)
        Smallest and largest ones of `fit`.
    """
    limit = 2 * FAR_NUMBERS
    if standardised.max() > limit or standardised.min() < -limit:
        return range(standardised.shape[1])
    if len(standardised) < MANY_ROWS:
        return ()
    some = numbers[spaced_rows(len(numbers), MANY_ROWS)]
    is_suspect = 2 * ((some < bounds[0]) | (some > bounds[1])).sum(axis=0) > MANY_ROWS
    is_constant = bounds[0] == bounds[1]
    if is_constant.any():
        value = bounds[0, is_constant]
        changes = np.abs(numbers[:, is_constant] - value)
        is_suspect[is_constant] = (changes > rounding_of(value)).any(axis=0)
    return np.flatnonzero(is_suspect).tolist()
