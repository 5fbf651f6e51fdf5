"""Small tools of all rooms: blocks of rows, seeds, parameters, warnings."""
