"""Whether made rows are like the data: by the members' spread there, and by where they lie.

Where columns nearly determine each other, a row with some columns of another one lies off the
data. Members were not trained there, and may differ a hundred times as much. A student that learns
such rows has no spread left to learn at the data. Two measurements tell:

- Spread. Members' spread at made rows is compared with that at the data, by the ratio of means and
  the ratio of ninth deciles. The mean sees a few rows of enormous spread; the decile sees many rows
  of a large one, which a mean over skewed data may hide. Members differ less at rows that they were
  fitted to. So their spread at such rows is widened to that of members that did not see the row,
  where that is known. Otherwise, midpoints of nearest neighbours are fresh rows near the data.
- Distance. Rows are made from one half of the data, and their distances to the other half are
  compared with those of the first half itself, which is a fresh sample. So the parents of a row do
  not count as near rows. Equal rows count once: a copy in the other half is no fresh row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.neighbors import NearestNeighbors

from .._rows.table import Table
from .._utils.equal_rows import join_equal_rows
from .out_of_bag import MIN_DEGREES, spread_at_unseen
from .row_makers import Maker, make_rows, nearest_midpoints

# Rows at which the ensemble is evaluated for each judgement, the fewest rows of data that can be
# judged, and the most that are used. The relative standard error of a ratio is about 5 %.
N_JUDGED, MIN_ROWS, MAX_ROWS = 400, 50, 4_000

# The fewest rows that some member did not see, by which the data's spread is known.
MIN_FRESH = 25

# Largest ratios of rows that are like the data. On healthy sets, made rows have up to 1.1 in the
# mean and in the decile, and fresh rows up to 1.4 in the decile. Distances were up to 1.32 where
# the student gains from made rows, when equal rows still were neighbours of each other. Off a
# surface, spreads are from 1.5 on, or distances from 1.37.
MAX_MEAN, MAX_DECILE, MAX_DISTANCE = 1.25, 1.4, 1.35

# Midpoints lie deeper inside the data than fresh rows. These have about this many times the spread.
MIDPOINTS = 1.3

# Members agree if their spread is below this share of the standard deviation of their mean over
# rows: what is left are rounding errors, whose ratios say nothing.
NO_SPREAD = 1e-6

Outputs = Callable[[Table], np.ndarray]


class Likeness(NamedTuple):
    """How made rows compare with the data.

    Attributes
    ----------
    mean, decile : float
        Ratios of the members' spread, relative to fresh rows: of means over rows, and of ninth
        deciles.
    distance : float
        Ratio of the mean distances to the nearest row of data; one where the data have none.
    """

    mean: float
    decile: float
    distance: float

    def holds(self, leniency: float = 1.0) -> bool:
        """Return whether made rows are like the data; ``leniency`` multiplies all limits."""
        return (
            self.mean <= leniency * MAX_MEAN
            and self.decile <= leniency * MAX_DECILE
            and self.distance <= leniency * MAX_DISTANCE
        )


class RowJudge:
    """Compares made rows with the data.

    Parameters
    ----------
    table : Table
        The data: rows from which others are made.
    outputs : callable
        Takes a table of n rows, returns the members' latent outputs (n, n_outputs, n_members).
    unseen : bool array of shape (n_known, n_members) or None
        Which of the first rows each member did not see.
    seed : int
        Seed of all random choices.
    """

    def __init__(self, table: Table, outputs: Outputs, unseen: np.ndarray | None, seed: int):
        self.outputs = outputs
        self.seed = seed
        order = np.random.RandomState(seed).permutation(len(table))[:MAX_ROWS]
        self.table = table.take(order)
        distinct = self._distinct()
        self.first = distinct.take(slice(None, None, 2))
        second = distinct.take(slice(1, None, 2))
        self.units = self.table.units()
        self._search = NearestNeighbors(n_neighbors=1).fit(second.numbers / self.units)
        self._measure_data(order[:N_JUDGED], unseen)

    def _distinct(self) -> Table:
        """Return the data with equal rows once, if enough rows are left."""
        first = np.sort(join_equal_rows(self.table.numbers)[0])
        return self.table.take(first) if len(first) >= MIN_ROWS else self.table

    def judge(self, augment: Maker) -> Likeness:
        """Compare rows that ``augment`` makes with the data."""
        state = np.random.RandomState(self.seed)
        rows = make_rows(augment, self.table, N_JUDGED, state)
        mean = decile = 1.0
        if self._differs.any():
            spread = self._relative(_spread(self.outputs(rows)))
            mean = spread.mean() / self._spread.mean()
            decile = _ratio(np.quantile(spread, 0.9), np.quantile(self._spread, 0.9))
        made = self._distance(make_rows(augment, self.first, N_JUDGED, state))
        return Likeness(float(mean), float(decile), _ratio(made, self._distance(self.first)))

    def _measure_data(self, order: np.ndarray, unseen: np.ndarray | None) -> None:
        """Measure the spread at a sample of the data, as it is at fresh rows."""
        own = self.table.take(slice(len(order)))
        outputs = self.outputs(own)
        spread = _spread(outputs)
        known = order < (0 if unseen is None else len(unseen))
        record = np.empty((0, 0), dtype=bool) if unseen is None else unseen[order[known]]
        counts = record.sum(axis=1)
        # Where every member saw a row, the spread is too small by more than the multiplier says.
        is_fresh = ~known
        is_fresh[known] = counts > 0
        enough = np.maximum(counts - 1, 0).sum() >= MIN_DEGREES and is_fresh.sum() >= MIN_FRESH
        if enough:
            spread[known] *= spread_at_unseen(outputs[known], record)
            spread = spread[is_fresh]
        else:
            between = self._spread_at_midpoints(own)
            if between is not None:
                spread = np.where(between.mean(axis=0) > spread.mean(axis=0), between, spread)
        self._unit = spread.mean(axis=0)
        self._differs = self._unit > NO_SPREAD * outputs.mean(axis=-1).std(axis=0)
        if self._differs.any():
            self._spread = self._relative(spread)

    def _spread_at_midpoints(self, table: Table) -> np.ndarray | None:
        """Return the spread between rows; None if the ensemble refuses values between codes."""
        try:
            return MIDPOINTS * _spread(self.outputs(nearest_midpoints(table)))
        except Exception:  # encoders refuse them, each package by its own error
            return None

    def _relative(self, spread: np.ndarray) -> np.ndarray:
        """Return spread (n, n_outputs) in units of its mean at the data, as a mean over outputs."""
        return (spread[:, self._differs] / self._unit[self._differs]).mean(axis=1)

    def _distance(self, rows: Table) -> float:
        """Return the mean distance of rows to the second half of the data."""
        return float(self._search.kneighbors(rows.numbers / self.units)[0].mean())


def _spread(outputs: np.ndarray) -> np.ndarray:
    """Return the members' standard deviation (n, n_outputs)."""
    return outputs.std(axis=-1, ddof=1)


def _ratio(made: float, own: float) -> float:
    """Return a ratio; one where the data have zero, as the distances of duplicates."""
    return float(made / own) if own > 0 else 1.0
