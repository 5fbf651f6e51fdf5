"""Where the teacher is evaluated: design points and calibration rows.

Members were often trained on the rows of `fit`. They differ too little there, and the space
between these rows is empty. A fitted ensemble can be evaluated anywhere, so that rows can be made
from those at hand and labelled by the ensemble [Bucila2006]. Made rows are added to the
rows of `fit`, with their mean weight, and need no y. The student does not learn from calibration
rows. Those of classifiers are made in the same way, those of regressors as far from the design
points as new rows are.

References
----------
.. [Bucila2006] Bucila, Caruana, Niculescu-Mizil. "Model compression". KDD 2006.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from .._rows.containers import column_names
from .._rows.novelties import Novelties, add_numbers
from .._rows.table import Table
from .._utils.equal_rows import join_equal_rows
from .._utils.seeding import MAX_SEED
from .._utils.warning import warn_user
from .row_choice import RowChoice
from .row_makers import Maker, RowMaker, fresh_maker, make_rows, near_maker

# Rows made for each row at hand, and the largest number made. See the studies of design points in
# docs/method.md and docs/ablations.md.
N_MADE, MAX_MADE = 4, 20_000

# The same for students that encode columns, as those of trees do. Steps lie so close to each other
# that a student of fewer rows learns where rows happen to lie.
N_MADE_ENCODED, MAX_MADE_ENCODED = 150, 120_000

# Rows made for each parameter of the network's body, if that is more: with few rows of `fit`, the
# student is closer to its teacher by them.
MADE_PER_PARAMETER = 2

# Rows that are made beyond `N_MADE` for each have at most this many outputs of members. The time
# and the memory of a fit with many members or classes follow it: this many are 64 MiB in float32.
MAX_OUTPUTS = 2**24

# Largest number of entries of made rows that are sparse: which are swapped is drawn for each.
MAX_SPARSE_ENTRIES = 2**25

# Largest number of calibration rows, and the fewest that are used. With fewer than `FEW_ROWS`, as
# where discrete columns let rows recur, some are taken from the design points.
MAX_CALIBRATION_ROWS, FEW_ROWS, MIN_CALIBRATION_ROWS = 2_000, 200, 50

# Unlabeled rows give a warning from this many interquartile ranges away, or if their own range is
# this many times that of X. A choice: rows of another region are seldom that far.
ELSEWHERE = 10.0

# Most rows at which a posterior is drawn at once. Its time grows with the cube of their number.
MAX_JOINT_ROWS = 2_000


class Points(NamedTuple):
    """Rows at which a teacher is evaluated.

    Attributes
    ----------
    table : Table of n_points rows
        First the rows of `fit`, then those of ``X_unlabeled``, then made rows; last, the
        calibration rows.
    n_own : int
        Rows of `fit`.
    n_design : int
        Design points: all but the calibration rows.
    augment : str, callable or None
        How rows were made.
    """

    table: Table
    n_own: int
    n_design: int
    augment: str | RowMaker | None = None

    @property
    def n_points(self) -> int:
        """Number of all rows."""
        return len(self.table)

    @property
    def are_own(self) -> bool:
        """Whether there are no other rows than those of `fit`."""
        return self.n_points == self.n_own


def make_points(
    table: Table,
    weights: np.ndarray | None,
    teacher: Any,
    *,
    augment: str | RowMaker | None,
    choice: RowChoice,
    unlabeled: Table | None,
    n_parameters: int,
    calibration_state: np.random.RandomState | None,
    random_state: np.random.RandomState,
    n_augmented: int | str = "auto",
    is_encoded: bool = False,
    fresh_calibration: bool = False,
) -> Points:
    """Build the design points (rows of `fit` first) and the calibration rows.

    Parameters
    ----------
    table : Table
        Rows of `fit`.
    weights : array of shape (n_samples,) or None
        Their weights. Rows of weight zero are not used to make others.
    teacher : EnsembleTeacher or PredictionsTeacher
        Teacher that will be evaluated at the points.
    augment : str, callable or None
        How rows are made: "auto", a key of `ROW_MAKERS`, or a callable.
    choice : RowChoice
        Judges how rows are made, and chooses.
    unlabeled : Table or None
        Further rows of the user.
    n_parameters : int
        Parameters of the body of the student's network.
    calibration_state : RandomState instance or None
        Source of calibration rows, none of them a design point; None for no such rows. There are
        none for draws from a posterior.
    random_state : RandomState instance
        Source of the random choices.
    n_augmented : int or "auto"
        Rows to make; "auto" for `count_made_rows`.
    is_encoded : bool
        Whether the student encodes columns. More rows are made then.
    fresh_calibration : bool
        Whether calibration rows are to be to the design points as new rows are (`fresh_maker`).
        Otherwise they are made as the other rows, except that far rows become near ones, and
        there are none if no design points are made.

    Returns
    -------
    Points

    Raises
    ------
    ValueError
        If further rows are requested of a teacher that cannot be evaluated at them.
    """
    n_own = len(table)
    if augment is None and n_augmented not in ("auto", 0):
        warn_user(f"n_augmented={n_augmented} has no effect: no rows are made with augment=None.")
    if not teacher.can_be_evaluated_at_others:
        augment = None if augment == "auto" else augment
        if augment is not None or unlabeled is not None:
            _raise_cannot_be_evaluated(
                "X_unlabeled" if augment is None else f"augment={augment!r}", teacher
            )
        return Points(table, n_own, n_own)
    base, unseen = table, teacher.unseen
    if weights is not None:
        base = table.take(weights > 0)
        unseen = None if unseen is None else unseen[weights > 0]
    if unlabeled is not None:
        _warn_if_elsewhere(base, unlabeled)
        base = base.join(unlabeled)
    seed = copy.deepcopy(random_state).randint(MAX_SEED, size=2)[1]  # the first: calibration rows
    _refuse_unknown_columns(augment, table)
    chosen, maker = choice.choose(augment, base, _evaluator(teacher), unseen, seed)
    n_rows = 0
    if teacher.is_drawn:
        n_rows = min(N_MADE * len(base), MAX_JOINT_ROWS - len(base))
    elif maker is not None and n_augmented != "auto":
        n_rows = int(n_augmented)
    elif maker is not None:
        n_values = _count_outputs(teacher, base) if is_encoded else teacher.n_members
        n_rows = count_made_rows(len(base), n_parameters, n_values, is_encoded)
        n_rows = min(n_rows, _most_rows(base))
    made = make_rows(maker, base, n_rows, random_state)
    parts = [] if unlabeled is None else [unlabeled]
    calibration = made.take(slice(0))
    if calibration_state is not None and not teacher.is_drawn:
        if len(made):
            maker = fresh_maker(maker, base) if fresh_calibration else near_maker(maker)
            design = table.join(*parts, made)
            calibration = _make_calibration_rows(maker, base, design, calibration_state)
            made = _rows_not_in(calibration, made)
        elif fresh_calibration and base.is_tabular:
            calibration = _make_midpoints(teacher, base, calibration_state)
    n_design = n_own + sum(map(len, [*parts, made]))
    if n_design + len(calibration) == n_own:
        return Points(table, n_own, n_own, chosen)
    return Points(table.join(*parts, made, calibration), n_own, n_design, chosen)


def count_made_rows(n_rows: int, n_parameters: int, n_values: int, is_encoded: bool) -> int:
    """Return how many design points to make from ``n_rows`` rows.

    Members have about ``n_values`` outputs in all at a row. No time is measured, so that the same
    seed gives the same student on every machine.
    """
    usual = min(N_MADE * n_rows, MAX_MADE)
    wanted = min(int(MADE_PER_PARAMETER * n_parameters), MAX_MADE)
    if is_encoded:
        wanted = min(N_MADE_ENCODED * n_rows, MAX_MADE_ENCODED)
    return max(usual, min(wanted, MAX_OUTPUTS // n_values))


def _most_rows(table: Table) -> int:
    """Return how many rows may be made: fewer if they are sparse and wide."""
    if sparse.issparse(table.rows):
        return MAX_SPARSE_ENTRIES // table.n_columns + 1
    return MAX_MADE_ENCODED


def _refuse_unknown_columns(augment: str | RowMaker | None, table: Table) -> None:
    """Raise if columns are to be swapped where they have no meaning of their own."""
    if isinstance(augment, str) and augment != "auto" and not table.is_tabular:
        raise ValueError(
            f"augment={augment!r} takes columns of other rows, but rows of shape "
            f"{table.rows.shape[1:]} are no rows of a table: pixels and tokens mean nothing of "
            "their own. Use augment=None, or a callable that makes rows, such as flipped images."
        )


def _count_outputs(teacher: Any, table: Table) -> int:
    """Return the number of outputs of all members at a row."""
    rows = teacher.rows_to_evaluate(table.take(slice(1)))
    return teacher.predict(rows, teacher.is_transformed).size


def _evaluator(teacher: Any) -> Callable[[Table], np.ndarray]:
    """Return a function that evaluates the teacher at a table, (n, n_outputs, n_members)."""

    def evaluate(table):
        blocks = teacher.evaluate(Points(table, 0, len(table)))
        return np.concatenate([outputs for _, outputs in blocks])

    return evaluate


def _warn_if_elsewhere(table: Table, unlabeled: Table) -> None:
    """Warn if many columns of ``unlabeled`` are far from X, or on a larger scale, or if one is.

    Single columns are compared as those of new rows are (`novelties`). An encoder has already
    warned of those that it reads.
    """
    if not table.is_tabular:
        return
    if not _warn_if_scaled(table, unlabeled) and table.rows_are_numbers:
        found = Novelties(may_extrapolate=True)
        columns = zip(column_names(table.rows), table.numbers.T, unlabeled.numbers.T, strict=True)
        for name, own, further in columns:
            add_numbers(name, further, (float(own.min()), float(own.max())), found)
        found.warn("X_unlabeled")


def _warn_if_scaled(table: Table, unlabeled: Table) -> bool:
    """Warn if a quarter of the columns are far from X, or on a larger scale; return whether.

    Medians and interquartile ranges are compared, which heavy tails do not move. Columns without a
    range, such as rare indicators, are not judged.
    """
    low, middle, high = np.percentile(table.numbers, [25, 50, 75], axis=0)
    own_low, own_middle, own_high = np.percentile(unlabeled.numbers, [25, 50, 75], axis=0)
    varies = high > low
    if not varies.any():
        return False
    unit = (high - low)[varies]
    distance = np.quantile(np.abs(own_middle - middle)[varies] / unit, 0.75)
    ratio = np.quantile((own_high - own_low)[varies] / unit, 0.75)
    is_elsewhere = bool(max(distance, ratio) > ELSEWHERE)
    if is_elsewhere:
        warn_user(
            "X_unlabeled seems to be far from X, or on another scale: in a quarter of the columns, "
            f"its median is {distance:.2g} or more interquartile ranges of X away, or its own "
            f"range is {ratio:.2g} or more times that of X. A pipeline transforms X, but not "
            "X_unlabeled: give transformed rows, or use metadata routing and "
            "Pipeline(..., transform_input=['X_unlabeled'])."
        )
    return is_elsewhere


def _make_midpoints(teacher: Any, base: Table, random_state: np.random.RandomState) -> Table:
    """Make calibration rows between those of ``base``; none if they are few, or refused."""
    if len(base) < MIN_CALIBRATION_ROWS:
        return base.take(slice(0))
    n_rows = min(len(base), MAX_CALIBRATION_ROWS)
    rows = _rows_not_in(base, make_rows(fresh_maker(None, base), base, n_rows, random_state))
    try:
        _evaluator(teacher)(rows)
    except Exception:  # encoders refuse values between codes, each package by its own error
        return base.take(slice(0))
    return rows if len(rows) >= MIN_CALIBRATION_ROWS else rows.take(slice(0))


def _make_calibration_rows(
    augment: Maker,
    base: Table,
    design: Table,
    random_state: np.random.RandomState,
) -> Table:
    """Make rows near those of ``base`` that are no design points; none if they are few.

    If they are few, at most a third of the different design points are taken, which are none of
    ``base``. They are no design points any more.
    """
    n_rows = min(N_MADE * len(base), MAX_CALIBRATION_ROWS, _most_rows(base))
    made = make_rows(augment, base, n_rows, random_state)
    rows = _rows_not_in(design, made)
    if len(rows) < FEW_ROWS:
        taken = _distinct(_rows_not_in(base, made))
        n_taken = len(_distinct(design)) // 3
        taken = taken.take(random_state.permutation(len(taken))[:n_taken])
        rows = max(rows, taken, key=len)
    return rows if len(rows) >= MIN_CALIBRATION_ROWS else rows.take(slice(0))


def _rows_not_in(table: Table, rows: Table) -> Table:
    """Return those of ``rows`` that the table lacks; rows of discrete columns often recur."""
    return rows.take(np.isin(rows.hashes(), table.hashes(), invert=True))


def _distinct(table: Table) -> Table:
    """Return the different rows of a table, in the order of their numbers."""
    flat = table.numbers.reshape(len(table), math.prod(table.numbers.shape[1:]))
    return table.take(join_equal_rows(flat)[0])


def _raise_cannot_be_evaluated(what: str, teacher: Any) -> None:
    """Raise an error: the teacher cannot be evaluated at further rows."""
    reason = (
        "the way from rows of X to those of X_ensemble is not known here"
        if teacher.can_be_evaluated
        else "predictions are known at the rows of X only"
    )
    raise ValueError(
        f"{what} needs an ensemble that can be evaluated at further rows, but {reason}. Give an "
        "ensemble that was fitted on rows like those of X; or a function as X_ensemble, which "
        "returns rows as the ensemble takes them, such as the inverse_transform of a scaler; or "
        "put the further rows into X yourself, with everything that belongs to them."
    )
