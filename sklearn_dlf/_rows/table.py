"""Rows in the user's container, beside the numbers that a student reads there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import sparse

from .._utils.blocks import row_blocks
from .._utils.standardise import column_std
from . import containers
from .columns import kind_of_column, read_dates, read_labels, read_numbers

# Rows that are hashed at a time, so that memory stays bounded.
HASHED_ROWS = 2**16


class Table:
    """Rows in two forms: as the ensemble knows them, and as numbers.

    Parameters
    ----------
    rows : container with n rows
        As the user gave them.
    read : callable or None
        Takes rows in such a container, returns numbers (n, n_features), or raises. None if the rows
        themselves are numbers.
    numbers : array of shape (n, n_features) or None
        The numbers, if they are known already.
    units : array of shape (n_features,) or None
        Units of distances; None for the standard deviations.
    """

    def __init__(
        self,
        rows: Any,
        read: Callable[[Any], np.ndarray] | None = None,
        numbers: np.ndarray | None = None,
        units: np.ndarray | None = None,
    ):
        self.rows = rows
        self._read = read
        if numbers is None:
            numbers = rows if read is None else read(rows)
        self.numbers = numbers
        self._units = units

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def n_columns(self) -> int:
        """Number of columns of the rows in the user's container."""
        return containers.count_columns(self.rows)

    @property
    def rows_are_numbers(self) -> bool:
        """Whether each column of the rows is one of numbers, as it is."""
        return self._units is None and self.numbers.shape[1] == self.n_columns

    @property
    def is_tabular(self) -> bool:
        """Whether columns mean something of their own, unlike pixels and tokens of a sentence."""
        is_read = self.numbers.ndim == 2 and self.numbers.dtype.kind == "f"
        return is_read and len(self.rows.shape) == 2

    def with_rows(self, rows: Any, numbers: np.ndarray | None = None) -> Table:
        """Return other rows in a container of the same kind; ``numbers`` if they are known."""
        if self._read is None and numbers is not None:
            rows = numbers
        return Table(rows, self._read, numbers, self._units)

    def take(self, index: np.ndarray | slice) -> Table:
        """Return some rows, by a slice, by their numbers or by a boolean mask."""
        if isinstance(index, slice):
            index = np.arange(len(self))[index]
        numbers = self.numbers[index]
        is_same = self.rows is self.numbers
        rows = numbers if is_same else containers.take(self.rows, index)
        return Table(rows, self._read, numbers, self._units)

    def join(self, *others: Table) -> Table:
        """Return these rows, and those of others after them."""
        rows, numbers = self.rows, [self.numbers]
        for other in others:
            if len(other):
                numbers.append(other.numbers)
                if self.rows is not self.numbers:
                    rows = containers.concatenate(rows, other.rows)
        joined = np.concatenate(numbers) if len(numbers) > 1 else self.numbers
        if self.rows is self.numbers:
            rows = joined
        return Table(rows, self._read, joined, self._units)

    def in_units(self) -> np.ndarray:
        """Return the numbers in units of distances."""
        return self.numbers / self.units()

    def units(self) -> np.ndarray:
        """Return the units of distances (n_features,): standard deviations of these rows."""
        if self._units is not None:
            return self._units
        scale = column_std(self.numbers)
        return np.where(scale > 0, scale, 1)

    def hashes(self) -> np.ndarray:
        """Return a number for each row (n,), equal for equal rows."""
        return np.fromiter(_hashes(self.numbers), np.int64, len(self))

    def column_codes(self) -> np.ndarray:
        """Return one number for each column of the container (n, n_columns).

        Categories have codes, and missing numbers the median.
        """
        if self.numbers.shape[1] == self.n_columns:
            return self.numbers
        if sparse.issparse(self.rows):
            return self.rows.toarray()
        codes = np.empty((len(self), self.n_columns))
        for place, column in enumerate(containers.columns_of(self.rows)):
            kind = kind_of_column(column, place)
            if kind == "category":
                codes[:, place] = np.unique(read_labels(column, place), return_inverse=True)[1]
                continue
            if kind == "number":
                values = read_numbers(column, place)
            else:
                dates = read_dates(column, place)
                values = np.where(np.isnat(dates), np.nan, dates.astype(np.float64))
            known = values[~np.isnan(values)]
            middle = np.median(known) if len(known) else 0.0
            codes[:, place] = np.where(np.isnan(values), middle, values)
        return codes


def _hashes(numbers: np.ndarray) -> Iterator[int]:
    """Yield the hash of each row."""
    for rows in row_blocks(len(numbers), HASHED_ROWS):
        block = np.ascontiguousarray(numbers[rows] + 0)  # no negative zeros
        yield from (hash(row.tobytes()) for row in block)
