"""The transfer set: where the teacher is evaluated, and what the student learns from it."""
