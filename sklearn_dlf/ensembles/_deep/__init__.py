"""Deep ensembles whose members are trained at once."""
