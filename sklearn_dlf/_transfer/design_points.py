"""Design points beside the rows of `fit`: where else the ensemble is asked what its members say.

Members were often trained on the rows of `fit`, understate their spread there, and say little about
the space between them. An ensemble that can be asked is an oracle: rows are made from those at
hand, and it says what its members think of them [Bucila2006]. They are added to the rows of `fit`,
each with their mean weight, and need no y. Further ones, those of the calibration, are kept from
the student: an ensemble that can be asked is a test set without end.

References
----------
.. [Bucila2006] Bucila, Caruana, Niculescu-Mizil. "Model compression". KDD 2006.
"""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_array

# Rows made for each row at hand, and the most that are made.
N_MADE, MAX_MADE = 4, 20_000

# Neighbours are looked for among so many rows; of more, a random choice.
POOL_ROWS = 2**14

# A made row takes half of its columns, on average, from one of so many nearest neighbours.
N_NEIGHBORS, SWAP_PROBABILITY = 10, 0.5

# Share of the rows made within reach whose neighbours may be far.
FAR_SHARE = 0.5

# Fewest rows of the calibration that say enough.
MIN_CALIBRATION = 50

# Most rows at which a posterior is drawn at once, which takes the cube of their number.
MAX_JOINT_ROWS = 2_000


def swap_with_neighbors(X, n_rows, random_state):
    """Rows (n_rows, n_features) with some columns of one of their nearest neighbours.

    Every value is one that its column has, so that integers and codes stay what they are.
    """
    X = _pool(X, random_state)
    first, second = _neighbors(X, n_rows, random_state)
    return _swap(X, first, second, random_state)


def swap_within_reach(X, n_rows, random_state):
    """Rows (n_rows, n_features) as by `swap_with_neighbors`, of which half may reach farther.

    These have one of the nearest neighbours in a random half, quarter, ... of the rows, so that the
    rank of the neighbour among all is about log-uniform: from near to as far as the rows go.
    """
    X = _pool(X, random_state)
    first, second = _neighbors(X, n_rows, random_state)
    n_halvings = max(0, int(np.log2(len(X) / N_NEIGHBORS)))
    far = random_state.uniform(size=n_rows) < FAR_SHARE
    halvings = np.where(far, random_state.randint(n_halvings + 1, size=n_rows), 0)
    standardised = _standardise(X)
    for halving in range(1, n_halvings + 1):
        made = np.flatnonzero(halvings == halving)
        among = random_state.permutation(len(X))[: len(X) >> halving]
        if len(made):
            search = NearestNeighbors(n_neighbors=N_NEIGHBORS).fit(standardised[among])
            near = search.kneighbors(standardised[first[made]], return_distance=False)
            second[made] = among[_pick(near, random_state)]
    return _swap(X, first, second, random_state)


def mix_with_neighbors(X, n_rows, random_state):
    """Rows (n_rows, n_features) on the lines between rows and their nearest neighbours."""
    X = _pool(X, random_state)
    first, second = _neighbors(X, n_rows, random_state)
    share = random_state.uniform(size=(n_rows, 1))
    return share * X[first] + (1 - share) * X[second]


AUGMENTATIONS = {
    "neighbors": swap_with_neighbors,
    "reach": swap_within_reach,
    "mixup": mix_with_neighbors,
}


def design_points(
    X,
    weights,
    teacher,
    *,
    augment,
    automatic,
    unlabeled,
    transformed,
    n_calibration,
    random_state,
):
    """Rows to ask the teacher about, who is told: design points, those of X first, and others.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        Rows of `fit`.
    weights : array of shape (n_samples,) or None
        Theirs. Rows without weight are not built on.
    teacher : AskedEnsemble or GivenPredictions
        To be asked.
    augment : {"auto", "neighbors", "reach", "mixup"}, callable or None
        How rows are made.
    automatic : {"neighbors", "reach"}
        What "auto" stands for.
    unlabeled : array of shape (n_unlabeled, n_features) or None
        Further rows of the user.
    transformed : bool
        Whether the ensemble wants other rows than those of X.
    n_calibration : int
        Most rows to make for the calibration, none of them a design point. They are made as others
        are, but for "reach" near. None are where none are made to learn from, nor of draws of a
        posterior, which take the cube of their number.
    random_state : RandomState instance
        Of the choice.

    Returns
    -------
    array of shape (n_points, n_features)
        X, ``unlabeled``, made rows, and those of the calibration.

    Raises
    ------
    ValueError
        If further rows are wanted of a teacher that cannot be asked about them.
    """
    can_be_asked = teacher.can_be_asked and not transformed
    if not can_be_asked:
        augment = None if augment == "auto" else augment
        if augment is not None or unlabeled is not None:
            _refuse("X_unlabeled" if augment is None else f"augment={augment!r}", teacher)
        return X
    base = X if weights is None else X[weights > 0]
    if unlabeled is not None:
        base = np.concatenate([base, unlabeled])
    n_most = MAX_JOINT_ROWS - len(base) if teacher.is_drawn else np.inf
    made = make_rows(augment, base, n_most, random_state, automatic)
    points = np.concatenate([X, *([] if unlabeled is None else [unlabeled]), made])
    near = X[:0]
    if n_calibration and len(made) and not teacher.is_drawn:
        augment = "neighbors" if augment == "reach" else augment
        near = make_rows(augment, base, n_calibration, random_state, "neighbors")
        near = _rows_not_in(points, near)
        near = near if len(near) >= MIN_CALIBRATION else X[:0]
    if len(points) + len(near) > len(X):
        points = np.concatenate([points, near])
        teacher.ask_about(points, n_calibration=len(near))
    return points


def _rows_not_in(X, rows):
    """Those of ``rows`` (n, n_features) that X does not have; discrete columns have few others."""
    known = {row.tobytes() for row in np.ascontiguousarray(X)}
    return rows[[row.tobytes() not in known for row in np.ascontiguousarray(rows)]]


def _refuse(what, teacher):
    """Say why a teacher cannot be asked about further rows, and the way out."""
    reason = (
        "the transformation of X_ensemble to X is not known here"
        if teacher.can_be_asked
        else "predictions say nothing of other rows than those of X"
    )
    raise ValueError(
        f"{what} needs an ensemble that can be asked about further rows, but {reason}. Give the "
        "ensemble fitted on rows as they are in X; or put the further rows into X yourself, with "
        "what belongs to them."
    )


def make_rows(augment, X, n_most, random_state, automatic="neighbors"):
    """Further design points.

    Parameters
    ----------
    augment : {"auto", "neighbors", "reach", "mixup"}, callable or None
        How they are made. A callable takes X, a number of rows and a random state.
    X : array of shape (n_samples, n_features)
        Rows at hand.
    n_most : int
        Most rows to make.
    random_state : RandomState instance
        Of the choice.
    automatic : {"neighbors", "reach"}
        What "auto" stands for.

    Returns
    -------
    array of shape (n_rows, n_features)
        As many as `N_MADE` for each row, `MAX_MADE` and ``n_most`` allow.

    Raises
    ------
    ValueError
        If a callable returns another number of rows or columns, or values that are not finite.
    """
    n_rows = max(0, min(N_MADE * len(X), MAX_MADE, n_most))
    if augment is None or n_rows == 0 or len(X) < 2:
        return X[:0]
    if augment == "auto":  # one column has nothing to be combined with
        augment = automatic if X.shape[1] > 1 else "mixup"
    if not callable(augment):
        return AUGMENTATIONS[augment](X, n_rows, random_state)
    rows = check_array(
        augment(X, n_rows, random_state), dtype=np.float64, input_name="rows of augment"
    )
    if rows.shape != (n_rows, X.shape[1]):
        raise ValueError(
            "augment must return as many rows as it is asked for, with the columns of X: expected "
            f"shape {(n_rows, X.shape[1])}; got {rows.shape}."
        )
    return rows


def rows_like(X, values):
    """Rows ``values`` (n, n_features) in the container of X and, where they fit, in its types.

    X is an array, anything that numpy makes one of, or a DataFrame of pandas or polars.
    """
    if hasattr(X, "iloc"):
        frame = type(X)(values, columns=X.columns)
        types = {
            name: dtype
            for name, dtype in X.dtypes.items()
            if frame[name].equals(frame[name].astype(dtype).astype(frame[name].dtype))
        }
        return frame.astype(types)
    if hasattr(X, "columns"):
        frame = type(X)(values, schema=X.columns)
        return frame.with_columns(
            column.cast(dtype)
            for column, dtype in zip(frame.get_columns(), X.dtypes, strict=True)
            if column.cast(dtype).cast(column.dtype).equals(column)
        )
    cast = values.astype(np.asarray(X).dtype, copy=False)
    return cast if cast.dtype.kind == "f" or np.array_equal(cast, values) else values


def _pool(X, random_state):
    """X, or a random choice of its rows where there are many."""
    if len(X) <= POOL_ROWS:
        return X
    return X[random_state.choice(len(X), POOL_ROWS, replace=False)]


def _standardise(X):
    """X in units of the columns' standard deviation."""
    scale = X.std(axis=0)
    return X / np.where(scale > 0, scale, 1)


def _neighbors(X, n_rows, random_state):
    """Indices (n_rows,) of rows, each as often as the others, and of a neighbour of each."""
    search = NearestNeighbors(n_neighbors=min(N_NEIGHBORS, len(X) - 1)).fit(_standardise(X))
    neighbors = search.kneighbors(return_distance=False)
    first = random_state.permutation(len(X))[np.arange(n_rows) % len(X)]
    return first, _pick(neighbors[first], random_state)


def _pick(neighbors, random_state):
    """One of each row's neighbours (n_rows, n_neighbors)."""
    n_rows, n_neighbors = neighbors.shape
    return neighbors[np.arange(n_rows), random_state.randint(n_neighbors, size=n_rows)]


def _swap(X, first, second, random_state):
    """Rows ``first`` of X with some columns of rows ``second``."""
    swapped = random_state.uniform(size=(len(first), X.shape[1])) < SWAP_PROBABILITY
    return np.where(swapped, X[second], X[first])
