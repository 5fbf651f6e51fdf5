"""Deep ensembles, whose members are trained jointly."""
