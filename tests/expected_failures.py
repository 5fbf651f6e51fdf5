"""Checks of scikit-learn that learners with mini-batches cannot pass."""

REASON = (
    "sample_weight is not equivalent to removing or repeating samples, as in scikit-learn's own "
    "stochastic learners (SGDRegressor, BaggingRegressor): a repeated row changes the order of the "
    "rows from which mini-batches are cut."
)
STOCHASTIC = {
    "check_sample_weight_equivalence_on_dense_data": REASON,
    "check_sample_weight_equivalence_on_sparse_data": REASON,
}


def expected_failures(estimator):
    """Return the checks that an estimator is allowed to fail, with the reason."""
    return STOCHASTIC
