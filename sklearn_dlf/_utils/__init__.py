"""Code that several folders use: blocks of rows, seeds, parameters, numbers, warnings."""
