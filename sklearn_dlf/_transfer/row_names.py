"""Whether rows have the column names that a fitted ensemble knows."""

from __future__ import annotations

from typing import Any

from .._utils.warning import warn_user
from ..ensembles._fitted_ensemble import without_wrapper
from ..ensembles._member_models import fitted_column_names

# Attributes under which wrappers of scikit-learn keep the fitted model that takes the rows.
WRAPPED = "best_estimator_", "regressor_", "estimator"

# Names that the warning shows.
MAX_SHOWN = 5


def warn_if_nameless(ensemble: Any, X: Any) -> None:
    """Warn if a fitted ensemble knows the names of its columns and the rows have none.

    It is called once a fit. Made rows are put into the container of X, so that they have names
    where X has them.
    """
    names = None if hasattr(X, "columns") else known_names(ensemble)
    if names is None:
        return
    shown = ", ".join(map(str, names[:MAX_SHOWN])) + (", ..." if len(names) > MAX_SHOWN else "")
    warn_user(
        f"The ensemble was fitted with column names ({shown}), but the rows that it gets have "
        "none: nothing tells whether these are its columns, in its order and units. Give a "
        "DataFrame with these columns, as X, or by X_ensemble if X has been transformed, as in a "
        "pipeline. A function as X_ensemble has to return one."
    )


def known_names(ensemble: Any) -> list[str] | None:
    """Return the column names that a fitted ensemble or one of its models knows, or None."""
    ensemble = without_wrapper(ensemble)
    if isinstance(ensemble, list | tuple):
        found = (known_names(model) for model in ensemble)
        return next((names for names in found if names is not None), None)
    names = fitted_column_names(ensemble)
    wrapped = (getattr(ensemble, name, None) for name in WRAPPED if names is None)
    for model in wrapped:
        if model is not None and not isinstance(model, str):
            names = known_names(model) if names is None else names
    return names
