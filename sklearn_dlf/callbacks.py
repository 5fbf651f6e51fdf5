"""Callbacks for `callbacks` of the students, beside those of skorch."""

from ._fitting.checkpoints import FitCheckpoint

__all__ = ["FitCheckpoint"]
