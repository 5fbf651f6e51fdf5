"""Errors and warnings of the package for which scikit-learn has no class."""

__all__ = ["SeenRowsWarning", "TrainingDivergedError"]


class TrainingDivergedError(ArithmeticError):
    """Training of the student led to values that are not finite; no student was kept."""


class SeenRowsWarning(UserWarning):
    """The noise of y was estimated at rows that the members may have been fitted to.

    It is often too small then, so that intervals of y are too narrow; where members differ much,
    they may be too wide. The mutual information of a classifier that has learnt at such rows alone
    is too small. Say which rows the members were not fitted to by ``fit(..., unseen=)``,
    cross-fit an unfitted ensemble by ``cv``, or call ``conformalize`` with held-out rows.
    """
