"""Errors that the package raises and scikit-learn has no name for."""

__all__ = ["TrainingDivergedError"]


class TrainingDivergedError(ArithmeticError):
    """Training of the student left the finite numbers, and the student was not kept."""
