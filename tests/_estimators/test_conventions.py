"""scikit-learn's own conventions, for every estimator whose module has no such test of its own."""

import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_dlf import DLFClassifier, DLFRegressor

STOCHASTIC = {
    "check_sample_weight_equivalence_on_dense_data": (
        "sample_weight is not equivalent to removing/repeating samples, as in scikit-learn's own "
        "stochastic learners (SGDRegressor, BaggingRegressor): a repeated row changes the order "
        "of the rows that mini-batches are cut from."
    ),
}


def expected_failures(estimator):
    return STOCHASTIC


# Distil a small forest by short M-steps, so that the checks are about the student.
FAST = [
    student(
        forest(10, random_state=0),
        q=3,
        loadings=loadings,
        hidden_layer_sizes=(20,),
        augment=None,
        n_epochs=8,
        tol=0.05,
    )
    for student, forest, loadings in (
        (DLFRegressor, RandomForestRegressor, "full"),
        (DLFClassifier, RandomForestClassifier, "full"),
        (DLFClassifier, RandomForestClassifier, "separable"),
    )
]


# Some checks have rows so few and alike that all trees agree on them.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # short M-steps
@pytest.mark.filterwarnings("ignore:All members agree:UserWarning")
@parametrize_with_checks(FAST, expected_failed_checks=expected_failures)
def test_scikit_learn_conventions(estimator, check):
    check(estimator)
