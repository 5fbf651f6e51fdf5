"""Errors and warnings of the package for which scikit-learn has no class."""

__all__ = ["SeenRowsWarning", "TrainingDivergedError"]


class TrainingDivergedError(ArithmeticError):
    """Training of the student led to values that are not finite; no student was kept."""


class SeenRowsWarning(UserWarning):
    """The noise of y was estimated at rows that the members may have been fitted to.

    It is too small then, and so is the mutual information of a classifier that has learnt at such
    rows alone. Say which rows the members were not fitted to by ``fit(..., unseen=)``,
    cross-fit an unfitted ensemble by ``cv``, or call ``conformalize`` with held-out rows.
    """
