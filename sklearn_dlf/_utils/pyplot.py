"""Matplotlib, which is optional."""

from __future__ import annotations

from typing import Any


def import_pyplot() -> Any:
    """Return ``matplotlib.pyplot``, or raise ImportError with the way to get it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Figures need matplotlib, which is not installed: pip install 'sklearn-dlf[plot]'."
        ) from error
    return plt
