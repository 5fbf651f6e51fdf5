"""`update` and `reset_update`: what they take, and what they say of what they do not take."""

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from quick_students import QUICK, make_classifier
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import log_loss

from sklearn_dlf import DLFClassifier, DLFRegressor


@pytest.fixture
def own(student):
    """A copy of a student of a forest."""
    return copy.deepcopy(student)


@pytest.fixture(scope="module")
def classifier(friedman):
    return make_classifier(*friedman)


def test_update_returns_the_student(own, friedman):
    X, y = friedman
    assert own.update(X[:5], y[:5]) is own
    assert own.reset_update() is own


@pytest.mark.parametrize("method", ["update", "reset_update"])
def test_an_unfitted_student_is_refused(method, friedman):
    arguments = friedman if method == "update" else ()
    with pytest.raises(NotFittedError):
        getattr(DLFRegressor(), method)(*arguments)


def test_a_student_without_noise_of_y_is_refused(friedman, forest):
    X, y = friedman
    model = DLFRegressor(**QUICK).fit(X, ensemble=forest)
    with pytest.raises(NotFittedError, match=r"fit was called without y"):
        model.update(X, y)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(own, friedman, value):
    X, _ = friedman
    with pytest.raises(ValueError, match="y contains"):
        own.update(X[:3], [1.0, value, 2.0])


def test_shapes_that_do_not_match_are_refused(own, friedman):
    X, y = friedman
    with pytest.raises(ValueError, match="each of the 5 rows of X; got 4"):
        own.update(X[:5], y[:4])
    with pytest.raises(ValueError, match=r"got shape \(5, 2\)"):
        own.update(X[:5], np.ones((5, 2)))


@pytest.mark.parametrize("weights", [[1.0, -1.0, 1.0], [1.0, 1.0]])
def test_bad_weights_are_refused(own, friedman, weights):
    X, y = friedman
    with pytest.raises(ValueError, match="sample_weight must hold"):
        own.update(X[:3], y[:3], sample_weight=weights)


@pytest.mark.parametrize(
    "options", [{"discrepancy": "none"}, {"forgetting": 1.5}, {"forgetting": True}]
)
def test_bad_options_are_refused(own, friedman, options):
    X, y = friedman
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        own.update(X[:3], y[:3], **options)


def test_a_refused_update_changes_nothing(own, friedman):
    X, y = friedman
    before = own.update(X[:5], y[:5]).predict(X)
    with pytest.raises(ValueError, match="y contains"):
        own.update(X[:3], np.full(3, np.nan))
    assert_array_equal(own.predict(X), before)


@pytest.mark.parametrize("rows", [slice(0, 0), slice(0, 5)], ids=["no rows", "no weight"])
def test_rows_that_do_not_count_change_nothing(own, friedman, rows):
    X, y = friedman
    own.update(X[:20], y[:20] + 1, discrepancy=None).conformalize(X, y)
    before = own.predict_interval(X)
    own.update(X[rows], y[rows], sample_weight=np.zeros(len(y[rows])))
    assert_array_equal(own.predict_interval(X), before)


def test_unknown_labels_are_refused(classifier):
    model, X, _ = classifier
    with pytest.raises(ValueError, match=r"no classes of the student: \['other'\]"):
        copy.deepcopy(model).update(X[:3], ["high", "other", "low"])


def test_missing_labels_are_refused(classifier):
    model, X, _ = classifier
    with pytest.raises(ValueError, match="missing labels"):
        copy.deepcopy(model).update(X[:3], np.array(["high", None, "low"], dtype=object))


def test_columns_of_other_names_are_refused(friedman, forest):
    X, y = friedman
    names = [f"x{i}" for i in range(X.shape[1])]
    frame = pd.DataFrame(X, columns=names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = DLFRegressor(**QUICK).fit(frame, y, ensemble=forest)
    model.update(frame[:5], pd.Series(y[:5]))
    with pytest.raises(ValueError, match="feature names"):
        model.update(frame[names[::-1]][:5], y[:5])


def test_a_guarantee_is_removed_with_a_warning_and_comes_back(own, friedman):
    X, y = friedman
    own.conformalize(X, y)
    before = own.predict_interval(X)
    with pytest.warns(UserWarning, match="guarantee was removed"):
        own.update(X[:20], y[:20])
    assert not hasattr(own, "conformal_scores_")
    own.conformalize(X, y)  # of the posterior
    own.reset_update()
    assert_array_equal(own.predict_interval(X), before)


def test_a_new_fit_forgets_updates(friedman, forest):
    X, y = friedman
    model = DLFRegressor(**QUICK).fit(X, y, ensemble=forest)
    before = model.predict(X)
    model.update(X[:20], y[:20] + 3).fit(X, y, ensemble=forest)
    assert_array_equal(model.predict(X), before)


def test_transformed_values_are_updated_in_their_own_space(friedman):
    X, y = friedman
    y = np.exp(0.2 * (y - y.mean()))
    forest = RandomForestRegressor(20, min_samples_leaf=3, random_state=0)
    ensemble = TransformedTargetRegressor(forest, func=np.log, inverse_func=np.exp)
    ensemble.fit(X[:150], y[:150])
    model = DLFRegressor(**QUICK).fit(X[:150], y[:150], ensemble=ensemble)
    assert model.target_transformation_ is not None
    before = model.predict(X[150:])
    with pytest.warns(UserWarning, match="y are still above what the student predicts"):
        model.update(X[150:], 3 * y[150:])
    assert (model.predict(X[150:]) > before).mean() > 0.9
    assert (model.predict_interval(X) > 0).all()
    assert_allclose(model.reset_update().predict(X[150:]), before)


@pytest.mark.parametrize("weights", [[], [1e13] * 5, [1.0] * 4, np.ones((5, 1)), [-1.0] * 5])
def test_weights_of_an_update_that_are_no_numbers_of_rows_are_refused(own, friedman, weights):
    X, y = friedman
    before = own.predict(X)
    with pytest.raises(ValueError, match="sample_weight"):
        own.update(X[:5], y[:5], weights)
    assert_array_equal(own.predict(X), before)


@pytest.mark.parametrize("value", [1e40, -1e300])
def test_a_value_beyond_all_bounds_is_refused_and_changes_nothing(own, friedman, value):
    X, y = friedman
    before = own.predict(X)
    with pytest.raises(ValueError, match=r"y must lie within 1e\+30 standard deviations"):
        own.update(X[:5], np.r_[value, y[1:5]])
    assert_array_equal(own.predict(X), before)


def test_right_labels_make_no_student_of_a_forest_worse():
    X, y = make_classification(
        1300, 6, n_informative=4, n_redundant=0, weights=[0.85], class_sep=0.6, random_state=0
    )
    forest = RandomForestClassifier(40, min_samples_leaf=2, random_state=0).fit(X[:300], y[:300])
    quick = {"q": 3, "hidden_layer_sizes": (30,), "n_epochs": 3, "refine": 3, "max_iter": 5}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        student = DLFClassifier(**quick, random_state=0).fit(X[:300], y[:300], ensemble=forest)
    before = log_loss(y[700:], student.predict_proba(X[700:]))
    for n in (100, 400):
        probabilities = student.update(X[300 : 300 + n], y[300 : 300 + n]).predict_proba(X[700:])
        assert log_loss(y[700:], probabilities) < before + 0.01
        assert probabilities[:, 1].mean() == pytest.approx(y[700:].mean(), abs=0.05)
        student.reset_update()


@pytest.mark.parametrize("way", ["update", "stream", "adapt"])
def test_units_of_outputs_may_differ_by_any_factor(way):
    rng = np.random.RandomState(0)
    X = rng.uniform(-1, 1, (160, 3))
    Y = np.c_[X[:, 0] + X[:, 1], np.sin(3 * X[:, 2])] + 0.2 * rng.standard_normal((160, 2))
    members = Y[:, :, None] + 0.2 * rng.standard_normal((160, 2, 8))
    found = []
    for units in ([1.0, 1.0], [1e6, 1e-4], [1e-9, 1e9]):
        y = Y * units
        student = DLFRegressor(q=2, hidden_layer_sizes=(10,), n_epochs=1, tol=1.0, random_state=0)
        predictions = members[:120] * np.array(units)[:, None]
        student.fit(X[:120], y[:120], predictions=predictions, unseen=True)
        if way == "adapt":
            student = student.adapt(X[120:], -y[120:])
        else:
            student.update(X[120:], y[120:], forgetting=0.9 if way == "stream" else None)
        mean, std = student.predict(X, return_std=True)
        found.append(np.concatenate([mean / units, std / units]))
    assert_allclose(found[1], found[0], rtol=0.05, atol=0.02)
    assert_allclose(found[2], found[0], rtol=0.05, atol=0.02)
