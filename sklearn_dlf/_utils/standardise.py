"""Rows in units of the standard deviation of the rows of `fit`, and numbers of any size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg.blas import ddot
from sklearn.preprocessing import StandardScaler

# Rows farther away than this many standard deviations are refused: sums over units would leave the
# range of float32.
MAX_DISTANCE = 1e30

# Variances below this have lost digits, or are zero: float64 has all its digits from about 2e-308.
MIN_VARIANCE = float(np.finfo(np.float64).tiny / np.finfo(np.float64).eps)

# Columns that vary by rounding errors only have the scale one. If their values are so large that
# rounding errors are above this, they are measured in units too.
MAX_ROUNDING = 1e6

# Powers of two that float32 holds, with room for sums: it ends at 126.
MAX_EXPONENT = 100

# Weights between the inverse of this and itself are kept as they are: their sums, squares, and
# products with values of ordinary size are held by float64. Others are divided by their largest.
MAX_WEIGHT = 1e100

# Weights below this share of the largest count as zero: float32 holds the square of a value divided
# by a standard deviation that is as small as the root of the share.
MIN_SHARE = 1e-30

# Standard deviations of values, such as those of y, that are held: sums over many rows of their
# squares stay within the range of float64, 1e-308 to 1e308.
MIN_STD, MAX_STD = 1e-140, 1e140


# Numbers up to which OpenBLAS sums products on the calling thread.
MAX_DOT = 10_000


def fit_scaler(X: np.ndarray, weights: np.ndarray | None = None) -> StandardScaler:
    """Return a scaler fitted to rows (n, d), also where squares of a column leave float64.

    Columns whose variance is not held are measured in units of their largest value: the scaler then
    has their location and scale, and their `var_` is the square of that, which may be zero or
    infinite. Others are as scikit-learn fits them.
    """
    low, high = X.min(axis=0), X.max(axis=0)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        scaler = StandardScaler().fit(X, sample_weight=weights)
        is_held = (scaler.var_ > MIN_VARIANCE) & np.isfinite(scaler.var_)
        farthest = np.maximum(high - scaler.mean_, scaler.mean_ - low)
        lost = (~is_held & (high > low)) | ((scaler.scale_ == 1) & (farthest > MAX_ROUNDING))
        if lost.any():
            columns, exponents = in_units(X[:, lost])
            own = StandardScaler().fit(columns, sample_weight=weights)
            scaler.mean_[lost] = np.ldexp(own.mean_, exponents)
            scaler.scale_[lost] = np.ldexp(own.scale_, exponents)
            scaler.var_[lost] = scaler.scale_[lost] ** 2
    return scaler


def in_units(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divide columns (n, ...) by powers of two near their largest value; return the exponents too.

    Such a division is exact, but for values 1e-308 times as large as the largest. NaN is ignored.
    """
    largest = np.nan_to_num(np.fmax.reduce(np.abs(X), axis=0))
    exponents = np.frexp(largest)[1]
    return np.ldexp(X, -exponents), exponents


def in_float32(X: np.ndarray) -> np.ndarray:
    """Return columns (n, d) in units in which float32 holds them, such as for trees."""
    columns, exponents = in_units(X)
    return np.where(np.abs(exponents) > MAX_EXPONENT, columns, X)


def column_std(X: np.ndarray, std: Callable[..., np.ndarray] = np.std) -> np.ndarray:
    """Return the standard deviation of columns (n, ...), also where its square leaves float64."""
    if X.dtype.kind != "f":
        return std(X, axis=0)
    columns, exponents = in_units(X)
    return np.ldexp(std(columns, axis=0), exponents)


def scale_weights(weights: np.ndarray | None) -> np.ndarray | None:
    """Return weights of rows whose sums and squares float64 can hold; their ratios are kept.

    Weights that are negligible beside the largest become zero.
    """
    if weights is None or not weights.any():
        return weights
    if not 1 / MAX_WEIGHT < weights.max() < MAX_WEIGHT:
        weights = in_units(weights)[0]
    is_negligible = (weights > 0) & (weights < MIN_SHARE * weights.max())
    return np.where(is_negligible, 0.0, weights) if is_negligible.any() else weights


def check_std(std: np.ndarray, name: str, least: float = MIN_STD) -> None:
    """Raise ValueError if the squares of standard deviations leave the range of float64.

    A standard deviation of zero, of a constant, is no error.
    """
    wrong = (std > 0) & ~((std >= least) & (std <= MAX_STD))
    if wrong.any():
        raise ValueError(
            f"{name} must vary by {least:g} to {MAX_STD:g}, so that variances can be computed in "
            f"float64; got a standard deviation of {std[wrong][0]:.3g}. Give members and y in "
            f"a {'smaller' if std[wrong][0] < 1 else 'larger'} unit."
        )


def divide_out(scaler: StandardScaler, X: np.ndarray) -> np.ndarray:
    """Return ``scaler.transform(X)`` as an array, whatever scikit-learn is set to return."""
    standardised = X - scaler.mean_
    standardised /= scaler.scale_
    return standardised


def standardise(scaler: StandardScaler, X: np.ndarray) -> np.ndarray:
    """Return ``scaler.transform(X)`` without a second validation, or raise if rows are too far."""
    with np.errstate(over="ignore"):  # rows that are too far may be so by more than float64 holds
        standardised = divide_out(scaler, X)
    entries = standardised.ravel(order="K")
    # The sum of squares takes less time than the largest entry. It may be infinite. BLAS is the
    # fastest for a row. Of many numbers, it would wake threads that then wait for more to do.
    is_short = len(entries) <= MAX_DOT
    squares = ddot(entries, entries) if is_short else np.einsum("i,i->", entries, entries)
    if squares > MAX_DISTANCE**2:
        largest = np.abs(entries).max()
        if largest > MAX_DISTANCE:
            raise ValueError(
                f"X must lie within {MAX_DISTANCE:g} standard deviations of the rows of fit, since "
                f"networks compute in float32; got a value {largest:.3g} away."
            )
    return standardised
