"""How an estimator reads rows: as numbers, through a preprocessor, or as they are."""

from __future__ import annotations

from copy import copy
from math import isfinite
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg.blas import ddot
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array
from sklearn.utils.validation import _num_samples, validate_data

from .._utils.blocks import row_blocks
from .._utils.numbers import in_memory, refuse_dates, with_gaps
from .._utils.standardise import fit_scaler, standardise
from .._utils.warning import warn_user
from .containers import as_container, is_frame, take
from .novelties import Novelties, add_numbers, rounding_of, suspect_columns
from .preprocessors import choose_preprocessor, fit_preprocessor, goes_raw
from .preprocessors import to_dense as to_dense  # its place in pickles of earlier commits
from .refused import refuse_date_objects, refuse_records, refuse_strings
from .table import Table
from .table_encoder import TableEncoder

IDS_AS_NUMBERS = (
    "The preprocessor returns ids of tokens, and the student has no body that reads them: ids are "
    "taken for numbers, whose order means nothing. Give body=PretrainedBody(...), or a callable "
    "whose module begins with nn.Embedding; or another preprocessor, such as TfidfVectorizer in a "
    "pipeline."
)

# Integers for floats, or the other way round, whose largest is below this share of that of `fit` or
# above twice it, are of another scale. A choice: one dark image may have a tenth.
OTHER_SIZE = 0.1

# Rows that are standardised at a time on their way to float32: 10 MB of 20 columns in float64.
STANDARDISED_ROWS = 2**16


class RowReader:
    """Reads rows of one kind, those of `fit`.

    Parameters
    ----------
    preprocessor : fitted transformer or None
        What turns rows into numbers. None if they are numbers.
    is_raw : bool
        Whether the body gets what is read as it is, without standardisation.

    Attributes
    ----------
    scaler : StandardScaler or None
        Set by `fit_scaler`; None if rows are raw.
    raw_shape : tuple of int or None
        Shape of one row that the body gets as it is; None for standardised rows.
    raw_numbers : tuple of bool and float, or None
        Whether raw rows of `fit` were floats, and their largest size; None for standardised rows.
    bounds : array of shape (2, n_features), or None
        Smallest and largest numbers of `fit`, and of updates, where there is no preprocessor.
    """

    bounds: np.ndarray | None = None  # as in files of earlier commits

    raw_numbers: tuple[bool, float] | None = None  # as in files of earlier commits

    def __init__(self, preprocessor: Any = None, *, is_raw: bool = False):
        self.preprocessor = preprocessor
        self.is_raw = is_raw
        self.scaler: StandardScaler | None = None
        self.raw_shape: tuple[int, ...] | None = None

    def read(self, rows: Any, novelties: Novelties | None = None) -> np.ndarray:
        """Return rows as numbers (n, n_features), or as they are (n, *raw_shape).

        What `fit` has not seen is added to ``novelties``.

        Raises
        ------
        ValueError
            If they are not finite, or of another shape than in `fit`.
        """
        name = "X"
        if self.preprocessor is not None:
            if novelties is not None and isinstance(self.preprocessor, TableEncoder):
                rows = self.preprocessor.transform(rows, novelties)
            else:
                rows = self.preprocessor.transform(rows)
            name = f"X, as {type(self.preprocessor).__name__} returns it,"
        if self.is_raw:
            return self._check_raw(np.asarray(rows), name)
        if sparse.issparse(rows):
            rows = rows.toarray()
        return check_array(rows, dtype=np.float64, input_name=name)

    def _check_raw(self, rows: np.ndarray, name: str) -> np.ndarray:
        """Return rows of any shape as they are, or raise if they are no finite numbers."""
        if rows.dtype.kind not in "fiub" or rows.ndim < 2:
            raise ValueError(
                f"{name} goes to the body as it is, and must be an array of numbers with at least "
                f"two dimensions; got dtype {rows.dtype} and shape {rows.shape}."
            )
        self.check_shape(np.shape(rows), name)
        if rows.dtype.kind == "f":
            check_array(rows, dtype=None, allow_nd=True, input_name=name)
        return rows

    def check_shape(self, shape: tuple[int, ...], name: str = "X") -> None:
        """Raise ValueError if raw rows in an array of a shape are unlike those of `fit`."""
        expected = self.raw_shape
        if expected is None or shape[1:] == expected:
            return
        hint = " A single row needs an axis more: X[None]." if shape == expected else ""
        if shape[1:] != expected and sorted(shape[1:]) == sorted(expected):
            hint = " Its axes are in another order."
        raise ValueError(
            f"{name} has rows of shape {shape[1:]}, expected {expected} as in fit.{hint}"
        )

    def warn_of_other_numbers(self, numbers: np.ndarray) -> None:
        """Warn if raw rows are integers for floats, or floats for integers, of another size.

        Nothing is scaled, so that bytes of an image in place of shares of 255 go unnoticed.
        """
        if self.raw_numbers is None or not numbers.size:
            return
        was_float, largest = self.raw_numbers
        own = _largest(numbers)
        if (numbers.dtype.kind == "f") == was_float or OTHER_SIZE * largest <= own <= 2 * largest:
            return
        kinds = ("floats", "integers") if was_float else ("integers", "floats")
        warn_user(
            f"The rows of fit were {kinds[0]} of up to {largest:g}, and X holds {kinds[1]} of up "
            f"to {own:g}. They go to the body as they are: scale them as those of fit, such as "
            "bytes of images by 1 / 255."
        )

    def find_unusual(
        self, estimator: Any, numbers: np.ndarray, standardised: np.ndarray, novelties: Novelties
    ) -> None:
        """Add columns of plain numbers with some that are unlike those of `fit` of an estimator."""
        if self.bounds is None or not standardised.size:
            return
        novelties.add_rows(len(numbers))
        names = getattr(estimator, "feature_names_in_", None)
        for column in suspect_columns(standardised, numbers, self.bounds):
            name = column if names is None else str(names[column])
            low, high = self.bounds[:, column].tolist()
            add_numbers(name, numbers[:, column], (low, high), novelties)

    def as_in_fit(self, numbers: np.ndarray) -> np.ndarray:
        """Return raw rows as floats if they were in `fit`: a body may refuse integers."""
        was_float = self.raw_numbers is not None and self.raw_numbers[0]
        return numbers.astype(np.float32) if was_float and numbers.dtype.kind != "f" else numbers

    def standardise(self, numbers: np.ndarray) -> np.ndarray:
        """Return numbers in units of the standard deviation of those of `fit`; raw ones as is."""
        return numbers if self.scaler is None else standardise(self.scaler, numbers)

    def standardise_as_single(self, numbers: np.ndarray) -> np.ndarray:
        """Do what `standardise` does in float32, without a copy of all rows in float64."""
        if numbers.dtype.kind != "f":
            return self.standardise(numbers)
        if self.scaler is None:
            return numbers.astype(np.float32, copy=False)
        standardised = np.empty_like(numbers, dtype=np.float32, subok=False)
        for rows in row_blocks(len(numbers), STANDARDISED_ROWS):
            standardised[rows] = self.standardise(numbers[rows])
        return standardised

    def fit_scaler(self, numbers: np.ndarray, weights: np.ndarray | None) -> RowReader:
        """Learn the scale of numbers (n, n_features) of `fit`."""
        if self.is_plain:
            self.bounds = np.stack([numbers.min(axis=0), numbers.max(axis=0)])
        if not self.is_raw:
            self.scaler = fit_scaler(numbers, weights)
            if self.units is not None:
                self.scaler.scale_ = self.units
        return self

    def widened(self, standardised: np.ndarray) -> RowReader:
        """Return a reader whose ranges hold such rows (n, n_features), which give no warning then.

        So it is with columns without a range in `fit`. Nothing is learnt of them, and there was a
        warning when the rows were read.
        """
        if self.bounds is None or self.scaler is None:
            return self
        center, unit = self.scaler.mean_, self.scaler.scale_
        low = center + unit * standardised.min(axis=0).astype(np.float64)
        high = center + unit * standardised.max(axis=0).astype(np.float64)
        known_low, known_high = self.bounds
        if (low >= known_low).all() and (high <= known_high).all():
            return self
        wider = np.stack([np.minimum(known_low, low), np.maximum(known_high, high)])
        is_rounding = np.ptp(wider, axis=0) <= rounding_of(known_low)
        reader = copy(self)
        reader.bounds = np.where((known_low < known_high) | ~is_rounding, wider, self.bounds)
        return reader

    @property
    def units(self) -> np.ndarray | None:
        """Units of numbers that the preprocessor has; None for standard deviations."""
        return getattr(self.preprocessor, "units_", None)

    @property
    def is_plain(self) -> bool:
        """Whether rows are numbers that are only standardised."""
        return self.preprocessor is None and not self.is_raw


def read_rows_of_fit(estimator: Any, X: Any, y: Any = None) -> tuple[RowReader, Table]:
    """Validate the rows of `fit`, and learn how to read them.

    Parameters
    ----------
    estimator : estimator
        Has ``preprocessor``. Its attributes ``n_features_in_`` and ``feature_names_in_`` are set.
    X : array-like, sparse matrix or DataFrame with n_samples rows
        Rows.
    y : array-like of shape (n_labelled,) or (n_labelled, n_outputs), or None
        Values of the first rows, for a preprocessor that is fitted with y.

    Returns
    -------
    reader : RowReader
    table : Table
        The rows, and what is read there.
    """
    X = with_gaps(in_memory(X))
    refuse_records(X, estimator.preprocessor)
    refuse_date_objects(X, estimator.preprocessor)
    rows = as_container(X)
    preprocessor = choose_preprocessor(estimator.preprocessor, rows)
    if preprocessor is None and not goes_raw(estimator.preprocessor, rows):
        return _read_plain(estimator, X, rows)
    validate_data(estimator, rows, skip_check_array=True)
    _check_count(rows, 2)
    reader = RowReader(fit_preprocessor(preprocessor, rows, y), is_raw=preprocessor is None)
    if preprocessor is not None:
        # Integers and arrays of more dimensions that a transformer returns, as token ids, are raw.
        probe = reader.preprocessor.transform(take(rows, np.arange(2)))
        probe = probe if sparse.issparse(probe) else np.asarray(probe)  # with set_output, a frame
        takes_raw = callable(getattr(estimator, "body", None))
        reader.is_raw = len(probe.shape) > 2 or (probe.dtype.kind in "iu" and takes_raw)
        if getattr(preprocessor, "makes_ids", False) and not takes_raw:
            warn_user(IDS_AS_NUMBERS)
    numbers = reader.read(rows)
    if reader.is_raw:
        _check_body(estimator, numbers)
        reader.raw_shape = numbers.shape[1:]
        reader.raw_numbers = numbers.dtype.kind == "f", _largest(numbers)
    return reader, Table(rows, reader.read, numbers, reader.units)


def _read_plain(estimator: Any, X: Any, rows: Any) -> tuple[RowReader, Table]:
    """Return how rows of numbers are read, and the rows."""
    numbers = validate_data(estimator, X, dtype=np.float64, ensure_min_samples=2)
    reader = RowReader()
    is_typed = isinstance(rows, np.ndarray) and rows.dtype.kind in "fiub"
    if is_frame(rows) or (is_typed and rows.dtype != numbers.dtype):
        return reader, Table(rows, reader.read, numbers)
    return reader, Table(numbers)


def _check_body(estimator: Any, numbers: np.ndarray) -> None:
    """Raise ValueError if rows go to the package's own layers as they are, and these cannot."""
    body = getattr(estimator, "body", None)
    if callable(body) or (numbers.ndim == 2 and numbers.dtype.kind == "f"):
        return
    raise ValueError(
        f"Rows of shape {numbers.shape[1:]} and dtype {numbers.dtype} need a body of your own that "
        f"reads them; got body={body!r}, expected a callable that takes the shape of a row and "
        "returns a torch module. For numbers in a table, use preprocessor='auto'."
    )


def read_rows(
    estimator: Any, reader: RowReader, X: Any, novelties: Novelties | None = None
) -> np.ndarray:
    """Return further rows as numbers; raise if they are not like those of `fit`.

    Warn of what `fit` has not seen, or add it to ``novelties``, of which the caller warns.
    """
    if reader.is_plain and _is_valid(estimator, X):
        return X
    X = in_memory(X)
    refuse_records(X, estimator.preprocessor)
    refuse_date_objects(X, estimator.preprocessor)
    if reader.is_plain:
        refuse_dates(X, "X")
        refuse_strings(X)
        try:
            return validate_data(estimator, with_gaps(X), dtype=np.float64, reset=False)
        except ValueError as error:
            if "contains NaN" not in str(error):
                raise
            raise ValueError(
                f"{str(error).splitlines()[0]} The rows of fit had no missing values, so that "
                "nothing is known of them. Put rows with missing values into fit, impute them "
                "before, or give an imputer by preprocessor."
            ) from error
    rows = _as_column(estimator, as_container(X))
    if isinstance(estimator.preprocessor, str) and len(getattr(rows, "shape", (0, 0))) < 2:
        check_array(rows, dtype=None)  # raises, and says how one row is given
    if reader.is_raw and reader.preprocessor is None and len(getattr(rows, "shape", ())) > 1:
        reader.check_shape(rows.shape)
    validate_data(estimator, rows, reset=False, skip_check_array=True)
    _check_count(rows, 1)
    found = Novelties() if novelties is None else novelties
    numbers = reader.read(rows, found)
    reader.warn_of_other_numbers(numbers)
    if novelties is None:
        found.warn()
    return reader.as_in_fit(numbers)


def _as_column(estimator: Any, rows: Any) -> Any:
    """Return a sequence of strings as a column, if the user's preprocessor reads one."""
    is_column = getattr(estimator, "n_features_in_", None) == 1
    if isinstance(estimator.preprocessor, str) or not is_column or np.ndim(rows) != 1:
        return rows
    strings = np.asarray(rows)
    return strings[:, None] if strings.dtype.kind in "OUT" else rows


def _is_valid(estimator: Any, X: Any) -> bool:
    """Return whether `validate_data` would return rows as they are.

    For one row it takes longer than the network.
    """
    if type(X) is not np.ndarray or X.dtype != np.float64 or X.ndim != 2:
        return False
    if X.shape[1] != estimator.n_features_in_ or not len(X):
        return False
    if len(X) == 1:  # products with zero are zero, unless a number is not finite
        is_finite = ddot(X[0], np.zeros(X.shape[1])) == 0  # numpy's would warn
        return is_finite and not hasattr(estimator, "feature_names_in_")
    with np.errstate(over="ignore", invalid="ignore"):
        is_finite = isfinite(X.sum())  # the sum of finite numbers may be infinite too
    return is_finite and not hasattr(estimator, "feature_names_in_")


def _check_count(rows: Any, least: int) -> None:
    """Raise ValueError if there are fewer than ``least`` rows."""
    n_rows = _num_samples(rows)
    if n_rows < least:
        raise ValueError(
            f"Found array with {n_rows} sample(s) (shape={np.shape(rows)}) while a minimum of "
            f"{least} is required."
        )


def _largest(numbers: np.ndarray) -> float:
    """Return the largest size of numbers."""
    return max(float(numbers.max()), -float(numbers.min()))
