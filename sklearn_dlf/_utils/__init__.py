"""Blocks of rows and seeds."""
