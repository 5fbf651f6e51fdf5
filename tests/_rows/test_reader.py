import numpy as np
import pytest

from sklearn_dlf import DLFRegressor


@pytest.fixture(scope="module")
def student():
    X = np.random.RandomState(0).standard_normal((60, 3))
    params = {"hidden_layer_sizes": (4,), "n_epochs": 1, "tol": 10.0, "augment": None, "q": 1}
    return DLFRegressor(random_state=0, **params).fit(
        X, predictions=X @ np.random.RandomState(1).rand(3, 4)
    )


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ([[0.0, np.nan, 0.0]], "NaN"),
        ([[0.0, np.inf, 0.0]], "infinity"),
        (np.empty((0, 3)), "0 sample"),
        ([[0.0, 1.0]], "expecting 3 features"),
    ],
)
def test_rows_of_floats_that_are_not_valid_are_refused(student, rows, match):
    with pytest.raises(ValueError, match=match):
        student.predict(np.asarray(rows))


def test_finite_numbers_whose_sum_is_infinite_are_validated(student):
    with pytest.raises(ValueError, match="standard deviations"):
        student.predict(np.full((1, 3), 1e308))
