"""Documentation of the two deep ensembles: shared parameters have the same text."""

from inspect import signature

import pytest
from sklearn.utils._testing import assert_docstring_consistency

from sklearn_dlf.ensembles import DeepEnsembleClassifier, DeepEnsembleRegressor

# These differ: the unit of the loss, and the proportions of classes.
OWN_PARAMETERS = {"tol", "validation_fraction"}
OWN_ATTRIBUTES = {"classes_", "member_noise_variance_", "n_outputs_"}


def test_shared_parameters_and_attributes_have_the_same_documentation():
    pytest.importorskip("numpydoc")
    assert_docstring_consistency(
        [DeepEnsembleRegressor, DeepEnsembleClassifier],
        include_params=True,
        exclude_params=OWN_PARAMETERS,
        include_attrs=True,
        exclude_attrs=OWN_ATTRIBUTES,
    )


@pytest.mark.parametrize("ensemble_class", [DeepEnsembleRegressor, DeepEnsembleClassifier])
def test_every_parameter_is_documented(ensemble_class):
    documentation = pytest.importorskip("numpydoc.docscrape").ClassDoc(ensemble_class)
    documented = [parameter.name for parameter in documentation["Parameters"]]
    assert documented == list(signature(ensemble_class).parameters)
