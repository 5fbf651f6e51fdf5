"""Functions of the user's that return something else in each call."""

import warnings

import numpy as np
import pytest

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import FittedEnsemble

QUICK = {"q": 1, "tol": 2.0, "n_epochs": 1, "hidden_layer_sizes": (8,), "random_state": 0}
X = np.random.RandomState(0).standard_normal((60, 2))
DROPOUT = np.random.RandomState(1)


def steady(k):
    return lambda rows: rows[:, 0] + 0.1 * k * rows[:, 1]


def drawn(k):
    return lambda rows: steady(k)(rows) + 0.1 * DROPOUT.standard_normal(len(rows))


@pytest.mark.parametrize("is_bare", [False, True])
def test_functions_that_differ_from_call_to_call_are_told(is_bare):
    functions = [drawn(k) for k in range(4)]
    ensemble = FittedEnsemble(functions, outputs="values")
    if is_bare:
        stacked = lambda rows: np.stack([each(rows) for each in functions], axis=-1)  # noqa: E731
        ensemble = FittedEnsemble(stacked, outputs="values", n_members=4)
    with pytest.warns(UserWarning, match=r"something else each time.*eval\(\)"):
        DLFRegressor(ensemble, augment=None, **QUICK).fit(X)


def test_functions_that_depend_on_other_rows_of_a_call_are_told():
    functions = [lambda rows, k=k: steady(k)(rows) - rows[:, 0].mean() for k in range(4)]
    with pytest.warns(UserWarning, match="normalise by batches"):
        DLFRegressor(functions, augment=None, **QUICK).fit(X)


def test_functions_that_do_not_are_taken_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DLFRegressor([steady(k) for k in range(4)], augment=None, **QUICK).fit(X)
