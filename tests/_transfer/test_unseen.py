"""Rows that the user says the members were not fitted to."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.ensemble import BaggingRegressor, ExtraTreesRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV

from sklearn_dlf import DLFRegressor
from sklearn_dlf._transfer.teachers import PredictionsTeacher
from sklearn_dlf.ensembles import DeepEnsembleRegressor, FittedEnsemble
from sklearn_dlf.exceptions import SeenRowsWarning

QUICK = {
    "q": 1,
    "hidden_layer_sizes": (8,),
    "n_epochs": 1,
    "tol": 10.0,
    "random_state": 0,
    "augment": None,
}

X = np.random.RandomState(0).standard_normal((40, 3))
Y = X[:, 0] + 0.1 * np.random.RandomState(1).standard_normal(40)
P = Y[:, None] + 0.5 * np.random.RandomState(2).standard_normal((40, 4))
EVEN = np.arange(40) % 2 == 0
BY_MEMBER = np.random.RandomState(3).uniform(size=(40, 4)) < 0.5


def declared(unseen):
    teacher = PredictionsTeacher(P, 40)
    teacher.declare_unseen(unseen, 40)
    return teacher.unseen


@pytest.mark.parametrize(
    ("unseen", "expected"),
    [
        (True, np.ones((40, 4))),
        (EVEN, np.repeat(EVEN[:, None], 4, axis=1)),
        (list(EVEN), np.repeat(EVEN[:, None], 4, axis=1)),
        (BY_MEMBER, BY_MEMBER),
    ],
    ids=["all", "of rows", "list", "of rows and members"],
)
def test_forms_of_unseen_rows(unseen, expected):
    assert_array_equal(declared(unseen), expected)


@pytest.mark.parametrize("unseen", [None, False, np.zeros(40, bool)], ids=["None", "False", "no"])
def test_no_unseen_rows(unseen):
    assert declared(unseen) is None


def test_row_numbers_are_an_error_that_names_the_way_out():
    with pytest.raises(TypeError, match=r"unseen must be True or hold booleans; .* use np.isin"):
        DLFRegressor(**QUICK).fit(X, Y, predictions=P, unseen=np.arange(10))


@pytest.mark.parametrize("shape", [(39,), (40, 3), (40, 1, 4)])
def test_other_shapes_of_unseen_rows_are_an_error(shape):
    with pytest.raises(
        ValueError, match=r"unseen must be True, or have shape \(40,\) or \(40, 4\)"
    ):
        DLFRegressor(**QUICK).fit(X, Y, predictions=P, unseen=np.ones(shape, bool))


def test_noise_is_that_of_the_unseen_rows():
    predictions = 100 * X[:, :1] + P
    y = predictions.mean(axis=1) + np.where(
        EVEN, 10.0 * np.where(np.arange(len(P)) % 4, 1, -1), 0.0
    )
    squares = {
        name: DLFRegressor(target_noise="constant", **QUICK)
        .fit(X, y, predictions=predictions, unseen=rows)
        .target_noise_.nodes()[0]
        .min()
        for name, rows in {"even": EVEN, "odd": ~EVEN}.items()
    }
    assert squares["even"] > 10
    assert squares["odd"] < 1e-3


def test_a_search_cuts_unseen_rows():
    search = GridSearchCV(DLFRegressor(**QUICK), {"q": [1]}, cv=2, error_score="raise")
    with warnings.catch_warnings():
        warnings.simplefilter("error", SeenRowsWarning)
        search.fit(X, Y, predictions=P, unseen=BY_MEMBER)
    assert search.best_estimator_.target_noise_ is not None


def lists_of_models():
    return [Ridge(alpha).fit(X, Y) for alpha in (1, 10, 100)]


@pytest.mark.parametrize(
    "teacher",
    [
        lambda: {"ensemble": lists_of_models()},
        lambda: {"ensemble": FittedEnsemble(lists_of_models())},
        lambda: {"ensemble": ExtraTreesRegressor(5, min_samples_leaf=3, random_state=0)},
        lambda: {"predictions": P},
    ],
    ids=["list", "FittedEnsemble", "ExtraTrees", "predictions"],
)
def test_rows_that_may_have_been_seen_give_a_warning_with_the_ways_out(teacher):
    with pytest.warns(
        SeenRowsWarning, match=r"too narrow.* too wide.*unseen.* cv=5.* conformalize"
    ):
        DLFRegressor(**QUICK).fit(X, Y, **teacher())


@pytest.mark.parametrize(
    ("parameters", "arguments"),
    [
        ({}, {"y": Y, "predictions": P, "unseen": True}),
        ({}, {"y": Y, "predictions": P, "unseen": EVEN}),
        ({}, {"predictions": P}),
        (
            {"cv": 3},
            {"y": Y, "ensemble": ExtraTreesRegressor(5, min_samples_leaf=3, random_state=0)},
        ),
        ({}, {"y": Y, "ensemble": RandomForestRegressor(5, random_state=0)}),
        ({}, {"y": Y, "ensemble": ExtraTreesRegressor(5, bootstrap=True, random_state=0)}),
        ({}, {"y": Y, "ensemble": BaggingRegressor(Ridge(), 5, random_state=0)}),
        ({}, {"y": Y, "ensemble": DeepEnsembleRegressor(3, max_iter=3, random_state=0)}),
    ],
    ids=["unseen", "some unseen", "no y", "cv", "forest", "bootstrap", "bagging", "deep ensemble"],
)
def test_no_warning_where_unseen_rows_are_known_or_not_needed(parameters, arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("error", SeenRowsWarning)
        DLFRegressor(**{**QUICK, **parameters}).fit(X, **arguments)


def test_unseen_of_an_ensemble_that_is_not_fitted_is_an_error():
    X = np.random.RandomState(0).standard_normal((40, 2))
    with pytest.raises(ValueError, match="use cv=5"):
        DLFRegressor(RandomForestRegressor(3), **QUICK).fit(X, X[:, 0], unseen=True)
