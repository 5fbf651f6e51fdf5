"""Warnings that point at the line of the user."""

from __future__ import annotations

import os
import sys
import warnings

import joblib
import sklearn
import skorch

# Frames below these folders are not the user's: our own code and what calls it on the user's
# behalf, such as a pipeline or a search of scikit-learn.
_FOLDERS = tuple(
    os.path.dirname(path) + os.sep
    for path in (os.path.dirname(__file__), sklearn.__file__, joblib.__file__, skorch.__file__)
)


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the innermost line that is outside this package, scikit-learn, joblib and skorch."""
    level, frame = 2, sys._getframe(1)  # level 1 is the line of `warnings.warn` below
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_FOLDERS):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
