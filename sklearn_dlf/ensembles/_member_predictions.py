"""Evaluation of the members of an ensemble, with checks of what they return."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .._utils.numbers import as_frame, numeric_array
from .._utils.parameters import check_count
from ._members import Members
from ._registry import describe_ensemble

#: Smallest probability that is returned, so that every log-odds is finite: leaves of trees hold
#: exact zeros, and a member may not have been trained on every class. A choice: the mean moves by
#: less than 1e-8 for each class.
PROBABILITY_FLOOR = 1e-8

#: How far from one the sum of a member's probabilities may be. A choice: float32 networks round to
#: about 1e-6.
SUM_TOLERANCE = 1e-3


def member_predictions(ensemble: Any, X: ArrayLike, *, dtype: DTypeLike = np.float64) -> np.ndarray:
    """Evaluate every member of a fitted ensemble.

    Parameters
    ----------
    ensemble : object
        A fitted ensemble of a registered type, a list of fitted models, or a
        :class:`FittedEnsemble`.

    X : array-like or DataFrame of shape (n_samples, n_features)
        Rows as the ensemble expects them. Models that were fitted with column names find their
        columns by name, other models receive an array. Draws from a posterior are drawn anew in
        every call: only rows of the same call belong to the same functions.

    dtype : dtype, default=np.float64
        Floating-point dtype of the result. The result is filled one member at a time, so that the
        memory holds the result and one member. In float16, small probabilities round to zero.

    Returns
    -------
    predictions : ndarray
        (n_samples, n_members), or (n_samples, n_outputs, n_members), in the unit of `y`, from
        regressors; probabilities (n_samples, n_classes, n_members) from classifiers, positive
        and summing to one over the classes.

    Raises
    ------
    TypeError
        If the type is not registered, or is not an ensemble of alternatives.

    ValueError
        If the ensemble is not fitted, `X` has other columns than the ensemble was fitted with,
        `dtype` is not a floating-point dtype, or a member returns values that are not finite, an
        array of another shape than the other members, or values that are not probabilities.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from sklearn_dlf.ensembles import member_predictions
    >>> X, y = make_regression(50, 4, random_state=0)
    >>> forest = RandomForestRegressor(20, random_state=0).fit(X, y)
    >>> predictions = member_predictions(forest, X)
    >>> predictions.shape
    (50, 20)
    >>> bool(np.allclose(predictions.mean(axis=1), forest.predict(X)))
    True
    """
    return evaluate_members(describe_ensemble(ensemble), X, dtype)


def evaluate_members(members: Members, X: Any, dtype: DTypeLike = np.float64) -> np.ndarray:
    """Evaluate described members, as `member_predictions` does."""
    dtype = check_floating(dtype)
    rows = as_rows(X)
    if not rows.shape:
        raise ValueError(f"X must hold rows; got {X!r}.")
    predictions, number = np.empty(0), 0
    for number, raw in enumerate(_outputs_of(members, rows), start=1):
        output = _check_output(raw, members, number, rows.shape[0])
        if number == 1:
            predictions = np.empty((*output.shape, members.n_members), dtype=dtype)
        if output.shape != predictions.shape[:-1] or number > members.n_members:
            raise ValueError(
                f"Member {number} of {members.n_members} returned outputs of shape "
                f"{output.shape}, expected {members.n_members} members with the shape of the "
                f"first, {predictions.shape[:-1]}."
            )
        with np.errstate(over="ignore"):
            predictions[..., number - 1] = output
        if not np.isfinite(predictions[..., number - 1]).all():
            raise ValueError(
                f"Member {number} returned {np.abs(output).max():.3g}, which dtype={dtype} cannot "
                "hold. Take dtype=np.float64, or give the members in a larger unit."
            )
    if number < members.n_members:
        raise ValueError(f"Only {number} of {members.n_members} members returned outputs.")
    return predictions


def _outputs_of(members: Members, rows: Any) -> Iterator[Any]:
    """Yield the outputs of each member. Errors that it raises get a note of which member it was."""
    n_done = 0
    try:
        for output in members.predict(rows):
            yield output
            n_done += 1
    except Exception as error:
        if hasattr(error, "add_note"):  # since Python 3.11
            error.add_note(
                f"Raised by member {n_done + 1} of {members.n_members} of the ensemble, evaluated "
                f"at rows of shape {rows.shape}. If it takes other rows than the student, such as "
                "those before a transformer, give them by X_ensemble. Rows that fit has made may "
                "lie beyond those of X: if it cannot take these, as a logarithm takes no negative "
                "ones, let augment='neighbors' make rows of known values, or give the student the "
                "logarithm, and X_ensemble as the function back."
            )
        raise


def as_rows(X: Any) -> Any:
    """Return rows as they are if they have a shape, others as a frame or an array, or raise."""
    X = as_frame(X)
    if isinstance(getattr(X, "shape", None), tuple):
        return X
    try:
        return np.asarray(X)
    except ValueError as error:
        raise ValueError(
            f"X must hold rows of one length; got a {type(X).__name__} that does not: {error}"
        ) from error


def member_variances(ensemble: Any, X: Any) -> np.ndarray:
    """Return the variance of y around each member, whose members must have one of their own.

    The shape is that of `member_predictions`, (n_samples, n_members) or (n_samples, n_outputs,
    n_members), in squared units of y.
    """
    members = describe_ensemble(ensemble)
    assert members.predict_variance is not None
    rows = as_rows(X)
    return np.stack(
        [
            _check_variance(raw, number, rows.shape[0])
            for number, raw in enumerate(members.predict_variance(rows), start=1)
        ],
        axis=-1,
    )


def _check_variance(variance: Any, number: int, n_samples: int) -> np.ndarray:
    """Return the variance of one member, (n,) or (n, k); raise if it is no variance."""
    variance = numeric_array(variance, f"Variances of member {number}").astype(np.float64)
    if variance.ndim == 2 and variance.shape[1] == 1:
        variance = variance[:, 0]
    if variance.ndim not in (1, 2) or len(variance) != n_samples:
        raise ValueError(
            f"Member {number} returned variances of shape {variance.shape}, expected (n_samples,) "
            f"or (n_samples, n_outputs) with n_samples={n_samples}."
        )
    if not (np.isfinite(variance).all() and variance.min(initial=1.0) > 0):
        raise ValueError(
            f"Member {number} returned variances from {variance.min():.3g} to "
            f"{variance.max():.3g}; expected finite and positive variances of y, such as exp of a "
            "log variance."
        )
    return variance


def check_floating(dtype: DTypeLike) -> np.dtype:
    """Return a dtype for members' predictions; raise ValueError if it is not floating-point."""
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = np.dtype(object)
    if not np.issubdtype(found, np.floating):
        raise ValueError(
            "dtype must be a floating-point dtype, such as np.float64 or np.float32, got "
            f"{dtype!r}."
        )
    return found


def _check_output(output: Any, members: Members, number: int, n_samples: int) -> np.ndarray:
    """Return the output of one member, (n,) or (n, k), or floored probabilities (n, K).

    Raise ValueError if its shape is not one of these, or its values are not finite.
    """
    output = numeric_array(output, f"Outputs of member {number}")
    is_classifier = members.kind == "classifier"
    if output.ndim == 2 and output.shape[1] == 1 and not is_classifier:
        output = output[:, 0]
    expected = (
        "(n_samples, n_classes)" if is_classifier else "(n_samples,) or (n_samples, n_outputs)"
    )
    if output.ndim not in ((2,) if is_classifier else (1, 2)) or output.shape[0] != n_samples:
        raise ValueError(
            f"Member {number} returned outputs of shape {output.shape}, expected {expected} "
            f"with n_samples={n_samples}."
        )
    if not np.isfinite(output).all():
        raise ValueError(
            f"Member {number} returned {np.count_nonzero(~np.isfinite(output))} values that are "
            "not finite, expected finite outputs."
        )
    return _floor_probabilities(output, members, number) if is_classifier else output


def _floor_probabilities(output: np.ndarray, members: Members, number: int) -> np.ndarray:
    """Check probabilities (n, K), raise them to the floor, and rescale rows to sum to one.

    Of logits, only zeros are raised: small probabilities are as they should be.
    """
    n_columns = output.shape[1]
    n_classes = n_columns if members.classes is None else len(members.classes)
    if n_classes < 2 or n_columns != n_classes:
        n_expected = "at least two" if members.classes is None else max(n_classes, 2)
        raise ValueError(
            f"Member {number} returned {n_columns} columns of probabilities, expected "
            f"{n_expected}, one for each class."
        )
    sums = output.sum(axis=1, dtype=np.float64)
    if output.min(initial=0) < -SUM_TOLERANCE or np.any(np.abs(sums - 1) > SUM_TOLERANCE):
        raise ValueError(
            f"Member {number} returned values from {output.min():.3g} to {output.max():.3g} with "
            f"row sums from {sums.min():.3g} to {sums.max():.3g}, expected probabilities that "
            "sum to one. For logits, use FittedEnsemble(..., outputs='logits')."
        )
    if members.from_logits and output.min(initial=1) > 0:
        return output
    floored = np.maximum(output, PROBABILITY_FLOOR, dtype=np.float64)
    if members.from_logits:
        floored = np.where(output > 0, output, floored)
    floored /= floored.sum(axis=1, keepdims=True)
    return floored


def unseen_rows(ensemble: Any, n_samples: int) -> np.ndarray | None:
    """Return which rows of the ensemble's own fit each member was not trained on.

    Parameters
    ----------
    ensemble : object
        A fitted ensemble of a registered type, or a list of fitted models.

    n_samples : int
        Number of rows to which the result is to be applied. They must be the rows that the
        ensemble was fitted on, in the same order. Only their number is checked here.

    Returns
    -------
    unseen : ndarray of shape (n_samples, n_members), bool, or None
        True where the member was not trained on the row (out of bag). None where that is not
        known, where the ensemble was fitted on another number of rows, or where every member was
        trained on all rows.

    Raises
    ------
    TypeError
        If the type is not registered, or `n_samples` is no integer.

    ValueError
        If the ensemble is not fitted, or `n_samples` is less than one.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from sklearn_dlf.ensembles import unseen_rows
    >>> X, y = make_regression(50, 4, random_state=0)
    >>> forest = RandomForestRegressor(20, random_state=0).fit(X, y)
    >>> round(float(unseen_rows(forest, 50).mean()), 2)  # about exp(-1)
    0.36
    >>> unseen_rows(forest, 49) is None
    True
    """
    n_samples = check_count(n_samples, "n_samples")
    members = describe_ensemble(ensemble)
    unseen = members.unseen() if members.unseen is not None else None
    if unseen is None or unseen.shape != (n_samples, members.n_members) or not unseen.any():
        return None
    return unseen
