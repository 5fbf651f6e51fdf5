"""Ask the members of an ensemble, and check what they return."""

from __future__ import annotations

import numpy as np

from ._registry import describe_ensemble

#: Smallest probability handed out, so that every log-odds is finite: trees' leaves hold exact
#: zeros, and a member may never have seen a class. The mean moves by less than 1e-8 a class.
PROBABILITY_FLOOR = 1e-8

#: How far from one a member's probabilities may sum: float32 networks round to about 1e-6.
SUM_TOLERANCE = 1e-3


def member_predictions(ensemble, X, *, dtype=np.float64) -> np.ndarray:
    """Ask every member of a fitted ensemble.

    Parameters
    ----------
    ensemble : object
        A fitted ensemble of a registered type, a list of fitted models, or a
        :class:`FittedEnsemble`.

    X : array-like or DataFrame of shape (n_samples, n_features)
        Rows as the ensemble wants them. Models that know the names of their columns find them
        by name, the others get an array. Posterior draws are drawn anew in every call: rows
        asked in the same call belong to the same functions.

    dtype : dtype, default=np.float64
        Of the result. Members are written into it one at a time, so that memory holds one
        result and one member.

    Returns
    -------
    predictions : ndarray
        (n_samples, n_members), or (n_samples, n_outputs, n_members), in the unit of `y`, from
        regressors; probabilities (n_samples, n_classes, n_members) from classifiers, positive
        and summing to one over the classes.

    Raises
    ------
    TypeError
        If the type is unknown or is no ensemble of alternatives.

    ValueError
        If the ensemble is not fitted, `X` has other columns than the ensemble was fitted with,
        or a member returns something that is not finite, has another shape than the other
        members' or is no probability.

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
    members = describe_ensemble(ensemble)
    X = X if hasattr(X, "shape") else np.asarray(X)
    predictions, number = np.empty(0), 0
    for number, raw in enumerate(members.predict(X), start=1):
        output = _checked_output(raw, members, number, X.shape[0])
        if number == 1:
            predictions = np.empty((*output.shape, members.n_members), dtype=dtype)
        if output.shape != predictions.shape[:-1] or number > members.n_members:
            raise ValueError(
                f"Member {number} of {members.n_members} returned outputs of shape "
                f"{output.shape}, expected {members.n_members} members with the shape of the "
                f"first, {predictions.shape[:-1]}."
            )
        predictions[..., number - 1] = output
    if number < members.n_members:
        raise ValueError(f"Only {number} of {members.n_members} members returned outputs.")
    return predictions


def _checked_output(output, members, number, n_samples):
    """Check what one member returned: finite, (n,) or (n, k); floored probabilities (n, K)."""
    output = np.asarray(output)
    is_classifier = members.kind == "classifier"
    if output.ndim == 2 and output.shape[1] == 1 and not is_classifier:
        output = output[:, 0]
    expected = "(n_samples, n_classes)" if is_classifier else "(n_samples,) or (n_samples, k)"
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


def _floor_probabilities(output, members, number):
    """Check probabilities (n, K), lift them to the floor and let them sum to one again."""
    n_classes = output.shape[1] if members.classes is None else len(members.classes)
    if output.shape[1] != n_classes or n_classes < 2:
        raise ValueError(
            f"Member {number} returned {output.shape[1]} columns of probabilities, expected one "
            f"for each of at least two classes, of which {n_classes} are known."
        )
    sums = output.sum(axis=1, dtype=np.float64)
    if output.min(initial=0) < -SUM_TOLERANCE or np.any(np.abs(sums - 1) > SUM_TOLERANCE):
        raise ValueError(
            f"Member {number} returned values from {output.min():.3g} to {output.max():.3g} with "
            f"row sums from {sums.min():.3g} to {sums.max():.3g}, expected probabilities that "
            "sum to one. If these are logits, say so with outputs='logits'."
        )
    floored = np.maximum(output, PROBABILITY_FLOOR, dtype=np.float64)
    floored /= floored.sum(axis=1, keepdims=True)
    return floored


def unseen_rows(ensemble, n_samples) -> np.ndarray | None:
    """Say which rows of an ensemble's own fit each member did not see.

    Parameters
    ----------
    ensemble : object
        A fitted ensemble of a registered type, or a list of fitted models.

    n_samples : int
        Number of rows at hand. They must be the rows, in the order, that the ensemble was fitted
        with; only their number can be checked.

    Returns
    -------
    unseen : ndarray of shape (n_samples, n_members), bool, or None
        True where the member did not see the row (out of bag). None where that is not known,
        where the ensemble was fitted on another number of rows, or where every member saw all.

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
    members = describe_ensemble(ensemble)
    unseen = members.unseen() if members.unseen is not None else None
    if unseen is None or unseen.shape != (n_samples, members.n_members) or not unseen.any():
        return None
    return unseen
