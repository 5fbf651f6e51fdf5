"""Errors that the package raises and for which scikit-learn has no class."""

__all__ = ["TrainingDivergedError"]


class TrainingDivergedError(ArithmeticError):
    """Training of the student led to values that are not finite; no student was kept."""
