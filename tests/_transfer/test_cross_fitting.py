"""Residuals of clones that were not fitted to the row."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit

from sklearn_dlf import DLFRegressor
from sklearn_dlf._transfer.cache import TeacherCache
from sklearn_dlf._transfer.cross_fitting import cross_fit

QUICK = {"q": 1, "hidden_layer_sizes": (8,), "n_epochs": 1, "tol": 10.0, "random_state": 0}

X = np.random.RandomState(0).standard_normal((60, 3))
Y = X[:, 0] + 0.1 * np.random.RandomState(1).standard_normal(60)
TREES = ExtraTreesRegressor(5, random_state=0)


def moments(cv, X=X, y=Y, sample_weight=None):
    options = {"cache": TeacherCache(None), "repeatable": True, "verbose": 0}
    return cross_fit(TREES, X, y, sample_weight, False, cv=cv, **options)


def test_mean_is_that_of_a_clone_fitted_to_the_other_rows():
    folds = KFold(3, shuffle=True, random_state=0)
    mean, variance = moments(folds)
    for train, test in folds.split(X):
        clone = ExtraTreesRegressor(5, random_state=0).fit(X[train], Y[train])
        outputs = np.array([tree.predict(X[test]) for tree in clone.estimators_])
        assert_allclose(mean[test, 0], outputs.mean(axis=0), rtol=1e-6)
        assert_allclose(variance[test, 0], outputs.var(axis=0, ddof=1), rtol=1e-6)


def test_weights_are_given_to_the_clones():
    weights = np.where(np.arange(60) < 30, 1.0, 100.0)
    assert not np.allclose(moments(3)[0], moments(3, sample_weight=weights)[0])


def test_several_outputs_are_cross_fitted():
    mean, variance = moments(3, y=np.column_stack([Y, 2 * Y]))
    assert mean.shape == variance.shape == (60, 2)


@pytest.mark.parametrize("cv", [3, KFold(3)])
def test_frames_are_cut_as_frames(cv):
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    assert_allclose(moments(cv, frame)[0], moments(cv)[0])


def test_folds_of_groups_are_given_as_a_list():
    folds = list(GroupKFold(3).split(X, Y, groups=np.arange(60) // 4))
    student = DLFRegressor(TREES, cv=folds, **QUICK).fit(X, Y)
    assert student.target_noise_ is not None


def test_a_splitter_of_groups_names_the_way_to_give_them():
    with pytest.raises(ValueError, match=r"cv=GroupKFold.* needs groups.*list\(cv\.split"):
        moments(GroupKFold(3))


@pytest.mark.parametrize("cv", [ShuffleSplit(3, random_state=0), [(np.arange(30), np.arange(30))]])
def test_folds_that_leave_rows_out_twice_or_never_are_an_error(cv):
    with pytest.raises(ValueError, match="cv must leave out each of the 60 rows exactly once"):
        DLFRegressor(TREES, cv=cv, **QUICK).fit(X, Y)


def test_a_fitted_ensemble_cannot_be_cross_fitted():
    fitted = ExtraTreesRegressor(5, random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match="cv=<2 folds> cross-fits an unfitted ensemble"):
        DLFRegressor(fitted, cv=list(KFold(2).split(X)), **QUICK).fit(X, Y)
    with pytest.raises(ValueError, match="cv=3 cross-fits an unfitted ensemble, but a fitted"):
        DLFRegressor(fitted, cv=3, **QUICK).fit(X, Y)


def test_predictions_cannot_be_cross_fitted():
    predictions = Y[:, None] + np.arange(3)
    with pytest.raises(ValueError, match="an unfitted ensemble, but predictions were given"):
        DLFRegressor(cv=3, **QUICK).fit(X, Y, predictions=predictions)


def test_the_student_does_not_depend_on_folds():
    with_cv, without = (DLFRegressor(TREES, cv=cv, **QUICK).fit(X, Y) for cv in (3, None))
    assert_array_equal(with_cv.predict(X, return_std=True), without.predict(X, return_std=True))


def test_folds_are_printed_if_verbose(capsys):
    DLFRegressor(TREES, cv=3, verbose=1, **QUICK).fit(X, Y)
    assert "[cross-fitting] fold 2 of 3" in capsys.readouterr().out


def test_weights_whose_sum_overflows_are_taken():
    forest = RandomForestRegressor(3, random_state=0)
    large, ones = (
        DLFRegressor(forest, cv=3, **QUICK).fit(X, Y, sample_weight=np.full(60, weight))
        for weight in (2.0**1023, 1.0)
    )
    assert_allclose(large.predict(X), ones.predict(X), rtol=1e-6)
