"""The checks of scikit-learn for DLFRegressor and DLFClassifier."""

import pytest
from expected_failures import STOCHASTIC, expected_failures
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_dlf import DLFClassifier, DLFRegressor

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


@pytest.mark.parametrize("learner", ["SGDRegressor", "SGDClassifier", "BaggingRegressor"])
def test_expected_failures_are_granted_to_stochastic_learners_of_scikit_learn(learner):
    module = pytest.importorskip("sklearn.utils._test_common.instance_generator")
    granted = {each.__name__: checks for each, checks in module.PER_ESTIMATOR_XFAIL_CHECKS.items()}
    assert set(STOCHASTIC) <= set(granted[learner])


@pytest.mark.parametrize("student", [DLFRegressor, DLFClassifier])
def test_a_wrong_parameter_names_the_class(student):
    with pytest.raises(TypeError, match=rf"{student.__name__}\.__init__\(\) .* 'n_factors'"):
        student(n_factors=3)
