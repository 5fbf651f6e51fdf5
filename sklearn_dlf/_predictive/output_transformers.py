"""A transformation of y of several outputs, each by a transformer of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def as_transformer(transformer: Any) -> Any:
    """Return the transformer of all outputs: as it is, or of a list with one for each.

    Raises
    ------
    TypeError
        If it is no transformer with a way back, or one of the list is none.
    """
    is_list = isinstance(transformer, list | tuple)
    for each in [one for one in transformer if one is not None] if is_list else [transformer]:
        if not (hasattr(each, "transform") and hasattr(each, "inverse_transform")):
            raise TypeError(
                "transformer must have transform and inverse_transform, as "
                f"FunctionTransformer(np.log, np.exp) has; got {each!r}."
            )
    return OutputTransformers(transformer) if is_list else transformer


class OutputTransformers:
    """Fitted transformers of y, one for each output.

    Parameters
    ----------
    transformers : sequence of fitted transformers or None
        Of one column each; None leaves an output as it is.
    """

    def __init__(self, transformers: Sequence[Any]):
        self.transformers = list(transformers)

    def __repr__(self) -> str:
        return f"[{', '.join(map(repr, self.transformers))}]"

    def transform(self, y: np.ndarray) -> np.ndarray:
        """Return y (n, n_outputs) in the transformed space."""
        return self._apply("transform", y)

    def inverse_transform(self, values: np.ndarray) -> np.ndarray:
        """Return transformed values (n, n_outputs) in units of y."""
        return self._apply("inverse_transform", values)

    def _apply(self, method: str, values: np.ndarray) -> np.ndarray:
        """Call a method of each transformer with the column of its output."""
        n_outputs = values.shape[1]
        if n_outputs != len(self.transformers):
            raise ValueError(
                f"The ensemble has {len(self.transformers)} transformers, one for each output, and "
                f"{n_outputs} output(s); give as many."
            )
        columns = [
            column if each is None else np.asarray(getattr(each, method)(column))
            for each, column in zip(self.transformers, np.hsplit(values, n_outputs), strict=True)
        ]
        return np.concatenate(columns, axis=1)
