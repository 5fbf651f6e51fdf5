"""Packages that are needed by some functions only."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def import_optional(module: str, need: str, install: str) -> Any:
    """Return a module, or raise ImportError with the way to get it.

    Parameters
    ----------
    module : str
        Name of the module.
    need : str
        Start of the error, such as "Figures need matplotlib".
    install : str
        What pip installs.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(f"{need}, which is not installed: pip install {install}.") from error
