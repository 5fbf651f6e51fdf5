"""Frames that belong together are compared by their index."""

import copy
import warnings
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest

from sklearn_dlf import DLFRegressor
from sklearn_dlf._estimators import base
from sklearn_dlf._rows.index_order import warn_of_index_order
from sklearn_dlf.metrics import FidelityReport

QUICK = {"q": 2, "n_epochs": 1, "tol": 1.0, "augment": None, "random_state": 0}


@pytest.fixture(scope="module")
def data():
    rng = np.random.RandomState(0)
    X = pd.DataFrame(rng.standard_normal((40, 2)), columns=["a", "b"], index=np.arange(100, 140))
    y = X["a"] + 0.1 * rng.standard_normal(40)
    return X, y, X.to_numpy()[:, :1] * rng.uniform(0.8, 1.2, size=6)


@pytest.fixture(scope="module")
def student(data):
    X, y, predictions = data
    return DLFRegressor(**QUICK).fit(X, y, predictions=predictions, unseen=True)


def in_other_order(table):
    return table.iloc[::-1]


class StopError(Exception):
    """Ends a fit."""


@pytest.mark.parametrize("name", ["y", "X_ensemble", "predictions", "sample_weight", "unseen"])
def test_fit_tells_rows_in_another_order(data, name, monkeypatch):
    X, y, predictions = data
    given = {
        "y": y,
        "X_ensemble": X,
        "predictions": pd.DataFrame(predictions, index=X.index),
        "sample_weight": pd.Series(1.0, index=X.index),
        "unseen": pd.Series(True, index=X.index),
    }
    given[name] = in_other_order(given[name])
    monkeypatch.setattr(base, "choose_rows", Mock(side_effect=StopError))
    told = pytest.warns(UserWarning, match=f"{name} has the index of X")
    with told as caught, pytest.raises(StopError):
        DLFRegressor().fit(X, **given)
    assert len(caught) == 1


@pytest.mark.parametrize("method", ["update", "adapt", "conformalize"])
def test_new_rows_are_compared_with_y(data, student, method):
    X, y, _ = data
    with pytest.warns(
        UserWarning, match=r"y has the index of X in another order.*y.loc\[X.index\]"
    ):
        getattr(copy.deepcopy(student), method)(X, y.set_axis(y.index[::-1]))


def test_a_report_compares_them(data, student):
    X, y, predictions = data
    with pytest.warns(UserWarning, match="y has the index of X in another order"):
        FidelityReport.from_estimator(
            student, None, X, y.set_axis(y.index[::-1]), predictions=predictions
        )


@pytest.mark.parametrize(
    "y",
    [
        np.arange(3),
        pd.Series([1, 2, 3], index=[5, 6, 7]),
        pd.Series([1, 2, 3]),
        pd.Series([1, 2, 3], index=[7, 7, 5]),
        pd.Series([1, 2], index=[7, 6]),
        pd.Series([1, 2, 3], index=list("cba")),
        pd.Series([1, 2, 3], index=pd.MultiIndex.from_product([[1, 2, 3], [1]])),
        pd.Series([1, 2, 3], index=pd.Index([[5], [6], [7]], dtype=object)),
        None,
    ],
    ids=["array", "equal", "others", "repeated", "fewer", "strings", "levels", "lists", "none"],
)
def test_nothing_is_said_where_the_index_tells_nothing(y):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_index_order(pd.DataFrame({"a": [1, 2, 3]}, index=[5, 6, 7]), y=y)
        warn_of_index_order(np.ones((3, 1)), y=pd.Series([1, 2, 3], index=[2, 1, 0]))
        if isinstance(y, pd.Series):
            warn_of_index_order(y, y=pd.DataFrame({"a": [1, 2, 3]}, index=[5, 6, 7]))


def test_an_index_of_several_levels_is_compared():
    index = pd.MultiIndex.from_product([["a", "b"], [1, 2]])
    X = pd.DataFrame({"a": range(4)}, index=index)
    with pytest.warns(UserWarning, match="y has the index of X"):
        warn_of_index_order(X, y=pd.Series(range(4), index=index[::-1]))
