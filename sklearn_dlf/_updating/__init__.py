"""New labelled rows: the posterior of a fitted student, given them."""
