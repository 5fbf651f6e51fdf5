"""Docstrings describe the same parameter, attribute or returned value in the same words.

What differs on purpose, between regression and classification or between methods, is excluded by
name.
"""

from inspect import getdoc, signature

import pytest
from sklearn.utils._testing import assert_docstring_consistency

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf.baselines import (
    BatchEnsembleClassifier,
    BatchEnsembleRegressor,
    DirichletClassifier,
    HydraClassifier,
    HydraRegressor,
    SmallEnsembleClassifier,
    SmallEnsembleRegressor,
)

# scikit-learn's function reads docstrings with numpydoc.
docscrape = pytest.importorskip("numpydoc.docscrape")

# What some of the docstrings lack is skipped on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:Checking was skipped for:UserWarning")

REGRESSORS = [HydraRegressor, BatchEnsembleRegressor, SmallEnsembleRegressor]
CLASSIFIERS = [
    HydraClassifier,
    BatchEnsembleClassifier,
    SmallEnsembleClassifier,
    DirichletClassifier,
]
# Attributes whose meaning depends on the task.
OF_TASK = [
    "adaptation_",
    "ensemble_score_",
    "n_outputs_",
    "output_center_, output_scale_, output_spread_",
]
# Parameters whose values depend on whether the method has a choice of the body.
OF_METHOD = ["activation", "body"]


def methods(name, *estimators):
    """Return an object with the docstring of each method.

    Their names differ, since scikit-learn's function overlooks objects of the same name.
    """
    return [
        type(f"{estimator.__name__}_{name}", (), {"__doc__": getattr(estimator, name).__doc__})
        for estimator in estimators
    ]


@pytest.mark.parametrize(
    "estimator", [DLFRegressor, DLFClassifier, *REGRESSORS, *CLASSIFIERS], ids=lambda e: e.__name__
)
def test_every_parameter_is_described_with_its_default(estimator):
    described = docscrape.NumpyDocString(getdoc(estimator))["Parameters"]
    parameters = signature(estimator).parameters
    assert sorted(parameter.name for parameter in described) == sorted(parameters)
    for parameter in described:
        default = parameter.type.split("default=")[1]
        expected = parameters[parameter.name].default
        assert default.strip('"') == str(expected) or float(default) == expected


def test_students_of_regressors_and_classifiers_share_descriptions():
    assert_docstring_consistency(
        [DLFRegressor, DLFClassifier],
        include_params=True,
        exclude_params=[
            "ensemble",
            "loadings",  # of outputs or of classes
            "augment",
            "memory",
            # With refinement there is no training by L-BFGS.
            "max_iter",
            "tol",
            "loadings_weight",
            "optimizer",
            "weight_decay",
            "verbose",
        ],
        include_attrs=True,
        exclude_attrs=["adaptation_", "n_iter_", *OF_TASK],
    )


def test_baselines_share_descriptions():
    assert_docstring_consistency(
        [*REGRESSORS, *CLASSIFIERS],
        include_params=True,
        exclude_params=OF_METHOD,
        include_attrs=True,
        exclude_attrs=OF_TASK,
    )


@pytest.mark.parametrize(
    "estimators",
    [
        REGRESSORS,
        CLASSIFIERS,
        [HydraRegressor, HydraClassifier],
        [BatchEnsembleRegressor, BatchEnsembleClassifier],
        [SmallEnsembleRegressor, SmallEnsembleClassifier],
    ],
)
def test_baselines_of_one_task_or_one_method_share_descriptions(estimators):
    is_one_task = len(estimators) > 2
    assert_docstring_consistency(
        estimators,
        include_params=True,
        exclude_params=OF_METHOD if is_one_task else None,
        include_attrs=True,
        exclude_attrs=None if is_one_task else OF_TASK,
    )


@pytest.mark.parametrize(
    ("student", "baselines"), [(DLFRegressor, REGRESSORS), (DLFClassifier, CLASSIFIERS)]
)
def test_students_and_baselines_share_descriptions(student, baselines):
    assert_docstring_consistency(
        [student, *baselines],
        include_params=["batch_size", "lr", "device", "random_state"],
        include_attrs=[
            "classes_",
            "target_noise_",
            "ensemble_score_",
            "scaler_",
            "n_features_in_",
            "feature_names_in_",
        ],
    )


def test_fit_of_both_tasks_shares_descriptions():
    assert_docstring_consistency(
        methods("fit", DLFRegressor, DLFClassifier),
        include_params=["X_ensemble", "X_unlabeled", "sample_weight"],
        include_returns=True,
    )


def test_draws_of_both_tasks_share_descriptions():
    assert_docstring_consistency(
        methods("sample_predictions", DLFRegressor, DLFClassifier), include_params=True
    )
    assert_docstring_consistency(
        [
            *methods("sample_predictions", DLFRegressor),
            *methods("sample_y", DLFRegressor),
        ],
        include_params=["X"],
    )


def test_predict_of_regressors_shares_descriptions():
    assert_docstring_consistency(
        methods("predict", DLFRegressor, *REGRESSORS), include_params=True, include_returns=["mean"]
    )


def test_predict_log_proba_of_classifiers_shares_descriptions():
    assert_docstring_consistency(
        methods("predict_log_proba", DLFClassifier, *CLASSIFIERS),
        include_params=True,
        include_returns=True,
    )
