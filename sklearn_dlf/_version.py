"""The version of the package, which files of students hold."""

__version__ = "0.1.0"
