"""The checks of scikit-learn for DLFRegressor and DLFClassifier."""

import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_dlf import DLFClassifier, DLFRegressor

STOCHASTIC = {
    "check_sample_weight_equivalence_on_dense_data": (
        "sample_weight is not equivalent to removing or repeating samples, as in scikit-learn's "
        "own stochastic learners (SGDRegressor, BaggingRegressor): a repeated row changes the "
        "order of the rows from which mini-batches are cut."
    ),
    "check_sample_weight_equivalence_on_sparse_data": (
        "sample_weight is not equivalent to removing or repeating samples, as in scikit-learn's "
        "own stochastic learners (SGDRegressor, BaggingRegressor): a repeated row changes the "
        "order of the rows from which mini-batches are cut."
    ),
}


def expected_failures(estimator):
    return STOCHASTIC


# A small teacher and short M-steps keep the checks quick.
FAST = [
    student(
        forest(5, random_state=0),
        q=2,
        loadings=loadings,
        hidden_layer_sizes=(10,),
        augment=None,
        max_iter=10,
        n_epochs=1,
        tol=0.05,
    )
    for student, forest, loadings in (
        (DLFRegressor, RandomForestRegressor, "full"),
        (DLFClassifier, RandomForestClassifier, "full"),
        (DLFClassifier, RandomForestClassifier, "separable"),
    )
]


# All trees agree on the few and similar rows of some checks.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # short M-steps
@pytest.mark.filterwarnings("ignore:All members agree:UserWarning")
@parametrize_with_checks(FAST, expected_failed_checks=expected_failures)
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


def test_only_regressors_take_several_targets():
    assert get_tags(DLFRegressor()).target_tags.multi_output
    assert not get_tags(DLFClassifier()).target_tags.multi_output
