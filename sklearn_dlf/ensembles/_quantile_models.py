"""Models of different quantiles of y, which are no alternatives and so no ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# Names under which packages keep a loss, what it is called for quantiles, and the level. CatBoost
# writes both in one: "Quantile:alpha=0.1".
LOSSES = {
    "loss": ("quantile",),  # scikit-learn
    "objective": ("quantile", "reg:quantileerror"),  # LightGBM, XGBoost
    "loss_function": ("Quantile",),  # CatBoost
}
LEVELS = "quantile", "quantile_alpha", "alpha"

# Parameters in which another model may be.
INNER = "regressor", "estimator"


def refuse_quantiles(models: Sequence[Any]) -> None:
    """Raise ValueError if models predict different quantiles of y."""
    levels = [level for model in models if (level := _level(model)) is not None]
    if len(levels) < len(models) or len(set(levels)) == 1:
        return
    shown = ", ".join(sorted(set(levels))[:5])
    raise ValueError(
        f"The models predict different quantiles of y: {shown}. They do not disagree on one y: "
        "their range is its noise, which would be taken for disagreement. Give alternatives, such "
        "as models of the mean that differ by seed, bootstrap sample or parameters. The student "
        "learns the noise of y by itself (predict_quantiles, predict_interval)."
    )


def _level(model: Any) -> str | None:
    """Return the level of the quantile that a model predicts, None if it predicts none."""
    if not hasattr(model, "get_params"):
        return None
    if hasattr(model, "steps"):
        return _level(model.steps[-1][1])
    parameters = model.get_params(deep=False)
    for name in INNER:
        if hasattr(parameters.get(name), "get_params"):
            return _level(parameters[name])
    if type(model).__name__ == "QuantileRegressor":
        return str(parameters["quantile"])
    for name, values in LOSSES.items():
        loss = parameters.get(name)
        if not isinstance(loss, str) or loss.partition(":alpha")[0] not in values:
            continue
        levels = [parameters[each] for each in LEVELS if parameters.get(each) is not None]
        return str(levels[0] if levels else loss)
    return None
