import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_dlf import DLFRegressor
from sklearn_dlf._transfer.row_names import known_names
from sklearn_dlf.ensembles import FittedEnsemble, member_predictions

QUICK = {"q": 2, "hidden_layer_sizes": (8,), "n_epochs": 1, "tol": 10.0, "random_state": 0}
ROWS = np.random.RandomState(0).standard_normal((40, 3))
Y = ROWS[:, 0] + 0.1 * np.random.RandomState(1).standard_normal(40)
NAMED = pd.DataFrame(ROWS, columns=["width", "height", "depth"])
FOREST = RandomForestRegressor(6, random_state=0).fit(NAMED, Y)
RIDGES = [Ridge(alpha).fit(NAMED, Y) for alpha in (1, 10, 100)]

TEACHERS = {
    "forest": FOREST,
    "list": RIDGES,
    "fitted ensemble": FittedEnsemble(RIDGES),
    "fitted ensemble of a forest": FittedEnsemble(FOREST),
    "pipeline": make_pipeline(StandardScaler(), BaggingRegressor(Ridge(), 3, random_state=0)).fit(
        NAMED, Y
    ),
    "frozen": FrozenEstimator(FOREST),
    "transformed target": TransformedTargetRegressor(
        BaggingRegressor(Ridge(), 3, random_state=0), transformer=StandardScaler()
    ).fit(NAMED, Y),
}


@pytest.mark.parametrize("name", TEACHERS)
def test_names_of_a_teacher_are_found(name):
    assert known_names(TEACHERS[name]) == ["width", "height", "depth"]


@pytest.mark.parametrize("name", ["forest", "list", "pipeline"])
def test_a_named_teacher_warns_once_of_nameless_rows(name):
    with pytest.warns(UserWarning, match="fitted with column names") as record:
        DLFRegressor(**QUICK).fit(ROWS, ensemble=TEACHERS[name])
    assert len(record) == 1
    assert record[0].filename == __file__


@pytest.mark.parametrize("name", TEACHERS)
def test_a_named_teacher_is_silent_with_named_rows_and_made_ones(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DLFRegressor(**QUICK).fit(NAMED, ensemble=TEACHERS[name])


def test_named_rows_by_x_ensemble_are_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DLFRegressor(**QUICK).fit(2 * ROWS, Y, ensemble=FOREST, X_ensemble=NAMED)


def test_a_nameless_teacher_is_silent():
    forest = RandomForestRegressor(6, random_state=0).fit(ROWS, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DLFRegressor(**QUICK).fit(ROWS, Y, ensemble=forest)


def test_member_predictions_at_nameless_rows_are_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        member_predictions(FOREST, ROWS)
