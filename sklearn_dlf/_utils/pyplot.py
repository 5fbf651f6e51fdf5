"""Matplotlib, which is optional."""

from __future__ import annotations

from typing import Any

from .optional import import_optional


def import_pyplot() -> Any:
    """Return ``matplotlib.pyplot``, or raise ImportError with the way to get it."""
    return import_optional("matplotlib.pyplot", "Figures need matplotlib", "'sklearn-dlf[plot]'")
