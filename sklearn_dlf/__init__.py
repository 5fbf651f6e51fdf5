"""Distil any fitted ensemble, its uncertainty included, into one small network."""

__version__ = "0.1.0"

__all__: list[str] = []
