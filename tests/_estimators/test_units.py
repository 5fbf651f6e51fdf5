"""Students of very small and very large numbers are those of ordinary ones, but for the unit."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf.ensembles import DeepEnsembleClassifier, DeepEnsembleRegressor

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
Y = X[:, 0] + X[:, 1] ** 2 + 0.3 * rng.normal(size=60)
WEIGHTS = rng.uniform(0.5, 1.0, size=60)
TEACHER = {"n_estimators": 4, "hidden_layer_sizes": 10, "max_iter": 3, "random_state": 0}
QUICK = {"q": 2, "hidden_layer_sizes": 10, "n_epochs": 1, "tol": 10.0, "random_state": 0}


def regress(of_X=0, of_y=0, of_weights=0):
    """Fit with arguments times powers of two; return predictions in the unit of Y."""
    rows, y, weights = np.ldexp(X, of_X), np.ldexp(Y, of_y), np.ldexp(WEIGHTS, of_weights)
    student = DLFRegressor(DeepEnsembleRegressor(**TEACHER), **QUICK)
    student.fit(rows, y, sample_weight=weights)
    parts = [*student.predict(rows, return_std=True), *student.predict_interval(rows, 0.9).T]
    return np.ldexp(parts, -of_y)


ORDINARY = regress()


@pytest.mark.parametrize("exponent", [-200, -130, 100])
def test_y_of_another_unit_gives_the_same_student(exponent):
    assert_allclose(regress(of_y=exponent), ORDINARY, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("exponent", [-1000, -660, -150, 150, 660])
def test_rows_of_another_unit_give_the_same_student(exponent):
    assert_allclose(regress(of_X=exponent), ORDINARY, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("exponent", [-1000, 1000])
def test_weights_of_another_unit_give_the_same_student(exponent):
    assert_allclose(regress(of_weights=exponent), ORDINARY, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("exponent", [-660, 660])
def test_rows_of_another_unit_give_the_same_classifier(exponent):
    def classify(rows):
        student = DLFClassifier(DeepEnsembleClassifier(**TEACHER), **QUICK)
        return student.fit(rows, Y > 1).predict_proba(rows)

    assert_allclose(classify(np.ldexp(X, exponent)), classify(X), rtol=1e-5)


@pytest.mark.parametrize("exponent", [-1000, 600])
def test_y_beyond_what_variances_hold_raises(exponent):
    with pytest.raises(ValueError, match=r"y must (vary by|lie within) .* Give members and y in"):
        regress(of_y=exponent)
