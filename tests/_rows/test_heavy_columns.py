"""A column of which one value makes up the variance gives a warning, and others do not."""

import warnings

import numpy as np
import pandas as pd
import pytest

from sklearn_dlf import DLFRegressor

RNG = np.random.RandomState(0)
QUICK = {"q": 2, "n_epochs": 1, "tol": 9.0, "augment": None, "random_state": 0}


def fit(X, sample_weight=None, **options):
    X = pd.DataFrame(X)
    X.columns = [f"c{place}" for place in range(X.shape[1])]
    base = RNG.standard_normal((len(X), 1))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        DLFRegressor(**QUICK, **options).fit(
            X, predictions=base * [1.0, 2.0, 3.0], sample_weight=sample_weight
        )
    return [str(each.message) for each in caught if "One value makes up" in str(each.message)]


@pytest.mark.parametrize("with_text", [False, True])
def test_it_names_column_and_value(with_text):
    X = pd.DataFrame(RNG.lognormal(size=(200, 3)))
    X.iloc[5, 1] = 2.3e6
    if with_text:
        X[3] = np.where(np.arange(200) % 2, "a", "b")
    (told,) = fit(X)
    assert "of some columns: 'c1' (2.3e+06). In units" in told
    X.iloc[5, 1] = -1e300
    (told,) = fit(X)
    assert "'c1' (-1e+300)" in told


def test_bins_of_quantiles_tell_its_values_apart():
    X = RNG.lognormal(size=(200, 3))
    X[5, 1] = 2.3e6
    assert fit(X, body="piecewise_linear") == []


@pytest.mark.parametrize(
    "column",
    [
        RNG.standard_normal(200),
        RNG.lognormal(sigma=1.5, size=200),
        np.arange(200) == 7,
        (np.arange(200) == 7) * 5.0 + (np.arange(200) == 8),
        np.zeros(200),
    ],
    ids=["normal", "log-normal", "mark", "few values", "constant"],
)
def test_other_columns_are_left_alone(column):
    assert fit(np.column_stack([column, RNG.standard_normal(200)])) == []


def test_weights_and_dates_make_no_column_heavy():
    X = np.column_stack([np.arange(1000.0), RNG.standard_normal(1000)])
    assert fit(X, sample_weight=0.95 ** (999 - np.arange(1000))) == []
    days = pd.Series(pd.date_range("2024-01-01", periods=200))
    days[3] = pd.Timestamp("1900-01-01")
    assert fit(pd.DataFrame({"day": days, "x": RNG.standard_normal(200)})) == []
