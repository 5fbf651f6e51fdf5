"""Whether tables that belong together hold their rows in different orders, by their index."""

from __future__ import annotations

import sys
from typing import Any

from .._utils.warning import warn_user


def warn_of_index_order(X: Any, **others: Any) -> None:
    """Warn if a frame or series has the index of X in another order.

    Tables without an index are not compared, nor those with entries that repeat.

    Parameters
    ----------
    X : object
        Rows.
    **others : object
        What belongs to the rows, by its name.
    """
    index = _index_of(X)
    if index is None:
        return
    for name, table in others.items():
        other = _index_of(table)
        if other is not None and _is_reordered(index, other):
            warn_user(
                f"{name} has the index of X in another order. Rows are taken in the order in which "
                f"they are given, whatever their index. If they belong together by it, give "
                f"{name}.loc[X.index]. If they are in the same order already, the index of one of "
                "them is wrong: reset_index(drop=True) of both ends this warning."
            )


def _index_of(table: Any) -> Any:
    """Return the index of a frame or series of pandas, or None."""
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(table, pandas.DataFrame | pandas.Series):
        return None
    return table.index


def _is_reordered(first: Any, second: Any) -> bool:
    """Return whether two indices hold the same entries, each once, in different orders."""
    if len(first) != len(second) or first.nlevels != second.nlevels or first.equals(second):
        return False
    try:
        return bool(first.is_unique and second.is_unique and first.isin(second).all())
    except (TypeError, ValueError):  # entries of types that cannot be compared, or hashed
        return False
