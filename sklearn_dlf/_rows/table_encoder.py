"""Columns of all kinds as numbers: what a network reads of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.validation import check_is_fitted

from .._utils.warning import warn_user
from .columns import (
    MISSING,
    SECONDS_PER_DAY,
    as_date,
    kind_of_column,
    looks_like_dates,
    read_dates,
    read_labels,
    read_numbers,
    time_zone_of,
)
from .containers import as_container, column_names, columns_of
from .novelties import MANY_ROWS, MAX_SHOWN, NewValues, Novelties, add_numbers

# Categories of a column that get an indicator of their own at most, as many as scikit-learn's
# boosted trees tell apart, and the rows that each has at least, or this share of few rows. Rarer
# ones share an indicator, and so do those that are unknown. A choice.
MAX_CATEGORIES, MIN_ROWS, MIN_SHARE = 255, 3, 1 / 40

# There is a warning if a larger share of the rows has categories that share one for their number.
MAX_MERGED = 0.05

# Periods of dates that are read as cycles, in days.
CYCLES = {"year": 365.2425, "week": 7.0, "day": 1.0}

# Shorter ranges of dates than this many periods show no cycle.
MIN_PERIODS = 1.5

# Dates are far outside of those of `fit` from this share of their range on, and a day at least. A
# choice: rows that are a little newer are what a student is for.
FAR_SHARE, LEAST_MARGIN = 0.1, 1.0


class TableEncoder(TransformerMixin, BaseEstimator):
    """Turns columns of numbers, booleans, categories and dates into numbers.

    Numbers and booleans are kept, with the median for missing ones and an indicator of these where
    `fit` had some. Categories and strings get an indicator each; rare and unknown ones share one,
    and a missing one is a category. Dates are days since 1970, with sine and cosine of the
    time of year, of week and of day where the rows of `fit` span these. Values are the same
    whatever the container: a frame of pandas or polars, or an array of objects or of numbers.

    Attributes
    ----------
    kinds_ : list of {"number", "category", "date"}
        What each column held in `fit`.
    units_ : array of shape (n_features_out,)
        Unit of each number: the standard deviation of numbers and dates, one for indicators of
        missing values, and the same unit for all indicators of a column of categories. In it, each
        column has about the same weight in a distance.
    """

    def fit(self, X: Any, y: Any = None) -> TableEncoder:
        """Learn medians, categories and cycles of rows (n_samples, n_columns)."""
        X = as_container(X)
        names = column_names(X)
        self.n_features_in_ = len(names)
        if all(isinstance(name, str) for name in names):
            self.feature_names_in_ = np.array(names, dtype=object)
        self._names = names
        columns = zip(columns_of(X), names, strict=True)
        self.kinds_ = [kind_of_column(column, name) for column, name in columns]
        self._cycles = self._find_cycles(X)
        self._zones = [time_zone_of(column) for column in columns_of(X)]
        numbers, labels = self._read(X)
        self._ranges = [_range_of(numbers[:, place]) for _, _, place in self._places()]
        self._known_shares = 1 - np.isnan(numbers).mean(axis=0)
        self._known_label_shares = (labels != MISSING).mean(axis=0)
        self._imputer = SimpleImputer(strategy="median", add_indicator=True)
        self._imputer.set_params(keep_empty_features=True).set_output(transform="default")
        self._one_hot = OneHotEncoder(
            max_categories=MAX_CATEGORIES,
            min_frequency=min(MIN_ROWS, max(1, int(MIN_SHARE * len(labels)))),
            handle_unknown="infrequent_if_exist",
            sparse_output=False,
        ).set_output(transform="default")
        parts = []
        if numbers.shape[1]:
            parts.append(self._imputer.fit_transform(numbers))
        if labels.shape[1]:
            parts.append(self._one_hot.fit_transform(labels))
            self._warn_of_merged(labels)
            self._warn_of_dates(labels)
        self.units_ = self._find_units(parts, numbers.shape[1], labels.shape[1])
        return self

    def transform(self, X: Any, novelties: Novelties | None = None) -> np.ndarray:
        """Return rows as numbers (n_samples, n_features_out).

        What `fit` has not seen is added to ``novelties``.

        Raises
        ------
        ValueError
            If a column does not hold what it held in `fit`, or an infinite number.
        """
        check_is_fitted(self, "kinds_")
        X = as_container(X)
        if X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {X.shape[1]} columns, expected {self.n_features_in_} as in fit."
            )
        numbers, labels = self._read(X)
        parts = []
        if numbers.shape[1]:
            parts.append(self._imputer.transform(numbers))
        if labels.shape[1]:
            parts.append(self._one_hot.transform(labels))
        if novelties is not None and numbers.shape[1]:
            self._find_gaps(numbers, novelties)
            self._find_beyond(numbers, novelties)
        if novelties is not None and labels.shape[1]:
            self._find_unknown(labels, parts[-1], novelties)
        return np.concatenate(parts, axis=1)

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> np.ndarray:
        """Return the name of each number (n_features_out,)."""
        check_is_fitted(self, "kinds_")
        numbers, categories = [], []
        for name, kind, cycles in zip(self._names, self.kinds_, self._cycles, strict=True):
            if kind == "category":
                categories.append(str(name))
            else:
                numbers.append(str(name))
                numbers += [f"{name}_{part}_{cycle}" for cycle in cycles for part in ("sin", "cos")]
        found: list[str] = []
        if numbers:
            found += list(self._imputer.get_feature_names_out(numbers))
        if categories:
            found += list(self._one_hot.get_feature_names_out(categories))
        return np.array(found, dtype=object)

    def _find_cycles(self, X: Any) -> list[list[str]]:
        """Return the cycles that each column of dates shows."""
        cycles: list[list[str]] = []
        for column, kind, name in zip(columns_of(X), self.kinds_, self._names, strict=True):
            found: list[str] = []
            if kind == "date":
                days = _days(read_dates(column, name))
                days = days[~np.isnan(days)]
                span = np.ptp(days) if len(days) else 0
                found = [c for c, length in CYCLES.items() if span >= MIN_PERIODS * length]
                if not np.mod(days, 1).any():  # dates without a time
                    found = [cycle for cycle in found if cycle != "day"]
            cycles.append(found)
        return cycles

    def _read(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return numbers (n, n_numbers) and labels (n, n_categories)."""
        numbers: list[np.ndarray] = []
        labels: list[np.ndarray] = []
        zones = self.__dict__.get("_zones") or [None] * len(self._names)
        columns = zip(columns_of(X), self.kinds_, self._cycles, self._names, zones, strict=True)
        for column, kind, cycles, name, zone in columns:
            if kind == "category":
                labels.append(read_labels(column, name))
            elif kind == "number":
                numbers.append(read_numbers(column, name))
            else:
                days = _days(read_dates(column, name, zone))
                numbers.append(days)
                for cycle in cycles:
                    phase = 2 * np.pi * days / CYCLES[cycle]
                    numbers += [np.sin(phase), np.cos(phase)]
        n_rows = X.shape[0]
        return (
            np.stack(numbers, axis=1) if numbers else np.empty((n_rows, 0)),
            np.stack(labels, axis=1) if labels else np.empty((n_rows, 0), dtype=object),
        )

    def _find_gaps(self, numbers: np.ndarray, novelties: Novelties) -> None:
        """Add columns of numbers and dates with gaps that had none in `fit`, and others."""
        n_gaps = np.isnan(numbers).sum(axis=0)
        known = self.__dict__.get("_known_shares")  # not in files of earlier commits
        if known is not None:
            for name, _, place in self._places():
                if 0 < known[place] < 1:
                    missing = NewValues(name, len(numbers), int(n_gaps[place]), [], [known[place]])
                    novelties.add_missing(missing)
        has_gap = n_gaps > 0
        has_gap[self._imputer.indicator_.features_] = False
        if not has_gap.any():
            return
        for name, kind, place in self._places():
            if has_gap[place]:
                median = self._imputer.statistics_[place]
                shown = as_date(median) if kind == "date" else f"{median:.6g}"
                novelties.add_gap(name, f"{shown}, the median of fit")

    def _find_beyond(self, numbers: np.ndarray, novelties: Novelties) -> None:
        """Add columns of dates and numbers with some that lie far outside of those of `fit`."""
        ranges = self.__dict__.get("_ranges", [])  # not in files of earlier commits
        novelties.add_rows(len(numbers))
        for (name, kind, place), known in zip(self._places(), ranges, strict=False):
            if known is None:
                continue
            if kind == "number":
                add_numbers(name, numbers[:, place], known, novelties)
                continue
            days, (first, last) = numbers[:, place], known
            margin = max(FAR_SHARE * (last - first), LEAST_MARGIN)
            is_beyond = (days < first - margin) | (days > last + margin)
            found = NewValues(name, len(days), int(np.count_nonzero(is_beyond)), [], [])
            if found.n_new:
                shown = [float(days[is_beyond].min()), float(days[is_beyond].max())]
                found = found._replace(shown=shown, known=[first, last])
            novelties.add_dates(found)

    def _places(self) -> list[tuple[Any, str, int]]:
        """Return name, kind and place among the numbers of each column of numbers or dates."""
        found: list[tuple[Any, str, int]] = []
        place = 0
        for name, kind, cycles in zip(self._names, self.kinds_, self._cycles, strict=True):
            if kind != "category":
                found.append((name, kind, place))
                place += 1 + 2 * len(cycles)  # sine and cosine
        return found

    def _find_unknown(
        self, labels: np.ndarray, indicators: np.ndarray, novelties: Novelties
    ) -> None:
        """Add columns of categories, given their labels and what is read of these."""
        names = self._category_names()
        rare, stop = self._one_hot.infrequent_categories_, 0
        shares = self.__dict__.get("_known_label_shares")  # not in files of earlier commits
        for place, size in enumerate(self._count_indicators()):
            start, stop = stop, stop + size
            own, known = labels[:, place], self._one_hot.categories_[place]
            is_gap = own == MISSING
            if known[0] != MISSING and is_gap.any():  # categories are sorted
                novelties.add_gap(names[place], "a category that was not in fit")
            elif shares is not None and 0 < shares[place] < 1:
                n_gaps, share = int(np.count_nonzero(is_gap)), float(shares[place])
                novelties.add_missing(NewValues(names[place], len(own), n_gaps, [], [share]))
            if rare[place] is None:
                is_unknown = ~indicators[:, start:stop].any(axis=1)
            elif len(own) < MANY_ROWS:  # new ones are read as rare ones of fit
                continue
            else:
                categories = set(known)
                is_unknown = np.array([label not in categories for label in own])
            is_unknown &= ~is_gap
            unknown = own[is_unknown]
            found = NewValues(names[place], len(own), len(unknown), [], [])
            if len(unknown):
                shown = list(dict.fromkeys(unknown))[:MAX_SHOWN]
                found = found._replace(shown=shown, known=list(filter(None, known))[:MAX_SHOWN])
            novelties.add_categories(found)

    def _category_names(self) -> list[Any]:
        """Return the names of the columns of categories."""
        pairs = zip(self._names, self.kinds_, strict=True)
        return [name for name, kind in pairs if kind == "category"]

    def _warn_of_merged(self, labels: np.ndarray) -> None:
        """Warn of columns with too many categories for an indicator each."""
        names = self._category_names()
        for name, own, rare in zip(
            names, labels.T, self._one_hot.infrequent_categories_, strict=True
        ):
            categories, counts = np.unique(own, return_counts=True)
            if rare is None or len(categories) <= MAX_CATEGORIES:
                continue
            is_merged = np.isin(categories, rare) & (counts >= self._one_hot.min_frequency)
            share = counts[is_merged].sum() / len(own)
            if share > MAX_MERGED:
                warn_user(
                    f"Column {name!r} has {len(categories)} categories. The student tells apart "
                    f"the {MAX_CATEGORIES - 1} that most rows have, and takes the others for one. "
                    f"{share:.0%} of the rows have one of these that is not rare, and the ensemble "
                    "may tell them apart. Give a preprocessor, such as a ColumnTransformer with "
                    "TargetEncoder for this column."
                )

    def _warn_of_dates(self, labels: np.ndarray) -> None:
        """Warn of categories that look like dates: of time, nothing is learnt there."""
        for name, own in zip(self._category_names(), labels.T, strict=True):
            written = [each for each in np.unique(own) if each != MISSING]
            if len(written) >= MANY_ROWS and looks_like_dates(written):
                warn_user(
                    f"Column {name!r} holds categories that look like dates, such as "
                    f"{str(written[0])!r}. They are read without an order. If they are dates, "
                    "convert the column by pandas.to_datetime."
                )

    def number_columns(self) -> dict[int, Any]:
        """Return the names of the columns of numbers, by their place in what is read."""
        return {place: name for name, kind, place in self._places() if kind == "number"}

    def _find_units(self, parts: list[np.ndarray], n_numbers: int, n_categories: int) -> np.ndarray:
        """Return the unit of each number."""
        units: list[np.ndarray] = []
        if n_numbers:
            part = parts[0]
            std = part.std(axis=0)
            std[n_numbers:] = 1.0  # indicators of missing values
            units.append(np.where(std > 0, std, 1.0))
        if n_categories:
            variances = parts[-1].var(axis=0)
            sizes = self._count_indicators()
            totals = [v.sum() for v in np.split(variances, np.cumsum(sizes)[:-1])]
            units.append(np.repeat(np.sqrt([t if t > 0 else 1.0 for t in totals]), sizes))
        return np.concatenate(units)

    def _count_indicators(self) -> list[int]:
        """Return the number of indicators of each column of categories; rare ones share one."""
        pairs = zip(self._one_hot.categories_, self._one_hot.infrequent_categories_, strict=True)
        return [len(own) - (0 if rare is None else len(rare) - 1) for own, rare in pairs]


def _days(dates: np.ndarray) -> np.ndarray:
    """Return dates as days since 1970, NaN where one is missing."""
    days = dates.astype(np.int64) / (1e6 * SECONDS_PER_DAY)
    return np.where(np.isnat(dates), np.nan, days)


def _range_of(numbers: np.ndarray) -> tuple[float, float] | None:
    """Return the smallest and the largest of numbers or days (n,); None if none is known."""
    known = numbers[~np.isnan(numbers)]
    return (float(known.min()), float(known.max())) if len(known) else None
