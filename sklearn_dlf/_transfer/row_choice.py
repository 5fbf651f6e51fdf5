"""How rows are made: what ``augment="auto"`` chooses, and a warning of what the user chose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy import sparse

from .._rows.containers import number_columns
from .._rows.table import Table
from .._utils.warning import warn_user
from .column_groups import find_column_groups
from .row_judge import MIN_ROWS, Likeness, Outputs, RowJudge
from .row_makers import Maker, RowMaker, TableMaker, near_maker, swap_column_groups

# What "auto" tries after its first choice and "column_groups", in this order: steps along the data
# have told students more than smaller swaps.
ALTERNATIVES = ("local", "near_neighbors")

# Limits are multiplied by this for what the user chose, so that a warning is no matter of taste.
WARNING_LENIENCY = 1.5


class Choice(NamedTuple):
    """How rows are made.

    Attributes
    ----------
    name : str, callable or None
        What was chosen, as `augment` takes it.
    make : str, callable or None
        What makes them.
    """

    name: str | RowMaker | None
    make: Maker


NO_ROWS = Choice(None, None)


@dataclass(frozen=True)
class RowChoice:
    """Judges how rows are made.

    Parameters
    ----------
    first : {"neighbors", "far_neighbors", "local"}
        What "auto" tries first. "local" is taken without a judgement: it is for draws of functions,
        which agree at the data if there is no noise, and differ elsewhere for good reasons. Far
        rows are unlike the data on purpose: "neighbors" is judged in place of "far_neighbors".
    has_steps : bool
        Whether members are step functions. "auto" then tries first to make half of the rows by
        "local". Swapped columns have values of the data only, and thresholds lie between these.
    latent : callable
        Turns the teacher's outputs into latent outputs.
    leniency : float
        Multiplies the limits of what is like the data.
    """

    first: str
    has_steps: bool
    latent: Callable[[np.ndarray], np.ndarray]
    leniency: float = 1.0

    def choose(
        self,
        augment: str | RowMaker | None,
        table: Table,
        evaluate: Outputs,
        unseen: np.ndarray | None,
        seed: int,
    ) -> Choice:
        """Return how to make rows of a table: as the user says, or as the first way that is fine.

        Parameters
        ----------
        augment : str, callable or None
            The user's choice.
        table : Table
            Rows from which others are made. Fewer than `MIN_ROWS` are too few to judge.
        evaluate : callable
            Evaluates the teacher at a table.
        unseen : bool array of shape (n_known, n_members) or None
            Which of the first rows each member did not see.
        seed : int
            Seed of the judgement's random choices.
        """
        is_judged = len(table) >= MIN_ROWS and table.is_tabular
        if not (isinstance(augment, str) and augment == "auto"):
            if is_judged and augment is not None:
                likeness = self._judge(table, evaluate, unseen, seed).judge(near_maker(augment))
                if not likeness.holds(self.leniency * WARNING_LENIENCY):
                    _warn_of_unlike(augment, likeness)
            return Choice(augment, augment)
        if not table.is_tabular:
            return NO_ROWS
        choices = self._choices(table, np.random.RandomState(seed))
        if not is_judged or self.first == "local":
            return next(choices, NO_ROWS)
        judge = self._judge(table, evaluate, unseen, seed)
        for choice in choices:
            try:
                likeness = judge.judge(near_maker(choice.make))
            except Exception:  # the ensemble refuses such rows, as encoders do new values
                if choice.name == self.first:
                    raise
                continue
            if likeness.holds(self.leniency):
                return choice
        return NO_ROWS

    def _judge(
        self, table: Table, evaluate: Outputs, unseen: np.ndarray | None, seed: int
    ) -> RowJudge:
        """Return what judges rows; parameters are those of `choose`."""
        return RowJudge(table, lambda rows: self.latent(evaluate(rows)), unseen, seed)

    def _choices(self, table: Table, random_state: np.random.RandomState) -> Iterator[Choice]:
        """Yield what "auto" tries, in this order."""
        has_numbers = bool(len(number_columns(table.rows)))
        if table.n_columns == 1:  # nothing to swap with
            if has_numbers:
                yield Choice("mixup", "mixup")
            return
        # Sparse columns hold zeros mostly, and have hardly any values to lie between.
        if self.has_steps and has_numbers and not sparse.issparse(table.rows):
            both = f"{self.first}+local"
            yield Choice(both, both)
        if self.first == "local" and not has_numbers:
            yield Choice("neighbors", "neighbors")
        yield Choice(self.first, self.first)
        groups = find_column_groups(table.column_codes(), random_state)
        # One group of all columns would copy rows, and a group for each column has just failed.
        if 1 < groups.max() + 1 < table.n_columns:
            yield Choice("column_groups", TableMaker(partial(swap_column_groups, groups=groups)))
        for name in ALTERNATIVES:
            yield Choice(name, name)


def _warn_of_unlike(augment: str | RowMaker, likeness: Likeness) -> None:
    """Warn that made rows are unlike the data."""
    name = repr(augment) if isinstance(augment, str) else getattr(augment, "__name__", "a callable")
    warn_user(
        f"The rows that augment={name} makes are unlike the data: the members differ "
        f"{likeness.mean:.2g} times as much there (ninth decile: {likeness.decile:.2g} times), and "
        f"the nearest row of data is {likeness.distance:.2g} times as far. The student's spread at "
        "the data may be too large, or blurred. Use augment='auto', which chooses by these "
        "numbers, or 'column_groups', 'local' or None; or ignore it, if rows far from the data are "
        "wanted."
    )
