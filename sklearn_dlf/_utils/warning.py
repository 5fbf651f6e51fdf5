"""Warnings that point at the line of the user."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import sys
import threading
import warnings
from types import FrameType

import joblib
import sklearn
import skorch

_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep

# Frames of these folders and files are not the user's: our own code and what calls it on the user's
# behalf, such as a pipeline, a search of scikit-learn, or a worker.
_NOT_THE_USER = (
    _PACKAGE,
    *(os.path.dirname(module.__file__) + os.sep for module in (sklearn, joblib, skorch)),
    *(os.path.dirname(os.path.dirname(concurrent.futures.__file__)) + os.sep,),
    os.path.dirname(multiprocessing.__file__) + os.sep,
    threading.__file__,
    "<frozen runpy>",
    "<string>",
)


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the innermost line of the user, or of this package where a worker runs it."""
    level = own_level = 2  # level 1 is the line of `warnings.warn` below
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_NOT_THE_USER):
        if frame.f_code.co_filename.startswith(_PACKAGE):
            own_level = level
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=own_level if frame is None else level)
