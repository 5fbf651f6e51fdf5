import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_dlf import DLFClassifier, DLFRegressor, conformalize, predict_interval
from sklearn_dlf._predictive.conformal import conformal_quantiles
from sklearn_dlf.baselines import HydraRegressor
from sklearn_dlf.metrics import interval_coverage

QUICK = {"q": 2, "hidden_layer_sizes": (8,), "n_epochs": 1, "tol": 10.0, "random_state": 0}


def overfitted(X, y):
    """Boosted models that have overfitted their rows, in a list that does not know which ones."""
    return [
        GradientBoostingRegressor(
            n_estimators=50, subsample=0.8, max_depth=6, learning_rate=0.2, random_state=seed
        ).fit(X, y)
        for seed in range(6)
    ]


@pytest.fixture(scope="module")
def rows():
    X, y = load_diabetes(return_X_y=True)
    order = np.random.RandomState(0).permutation(len(X))
    return X[order], y[order]


@pytest.fixture(scope="module")
def fitted(rows):
    X, y = rows[0][:150], rows[1][:150]
    return DLFRegressor(**QUICK).fit(X, y, ensemble=overfitted(X, y))


@pytest.mark.parametrize("n_held_out", [19, 50, 199])
@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_intervals_cover_new_values_with_at_least_their_level(n_held_out, level):
    # Scores of any law: here a skewed one. Ranks of exchangeable values are uniform.
    rng = np.random.RandomState(0)
    draws = rng.standard_gamma(0.5, size=(4000, n_held_out + 1))
    tail = (1 - level) / 2
    zero, one = np.zeros((1, 1)), np.ones((1, 1))
    covered = []
    for scores in draws:
        held_out = np.sort(scores[:-1])[:, None]
        low, high = conformal_quantiles(held_out, zero, one, [tail, 1 - tail])[0, 0]
        covered.append(low <= scores[-1] <= high)
    error = 3 * np.sqrt(level * (1 - level) / 4000)
    assert level - error < np.mean(covered) < level + 2 / (n_held_out + 1) + error


def test_levels_need_enough_rows():
    zero, one = np.zeros((1, 1)), np.ones((1, 1))
    scores = np.sort(np.random.RandomState(0).standard_normal((19, 1)), axis=0)
    ends = conformal_quantiles(scores, zero, one, [0.05, 0.95])[0, 0]
    assert_array_equal(ends, scores[[0, -1], 0])
    with pytest.raises(ValueError, match=r"level 0.05 needs at least 19 rows.*got 18"):
        conformal_quantiles(scores[1:], zero, one, [0.05])
    with pytest.raises(ValueError, match=r"level 0.995 needs at least 199 rows.*got 19"):
        conformal_quantiles(scores, zero, one, [0.5, 0.995])


def test_intervals_of_an_overfitted_teacher_cover_after_conformalize(fitted, rows):
    X, y = rows
    student = pickle.loads(pickle.dumps(fitted))
    before = interval_coverage(y[300:], student.predict_interval(X[300:], 0.9))
    assert student.conformalize(X[150:300], y[150:300]) is student
    after = interval_coverage(y[300:], student.predict_interval(X[300:], 0.9))
    assert before < 0.8
    # Of 142 rows: three standard errors, and as many of the 150 held-out ones.
    assert abs(after - 0.9) < 3 * np.sqrt(0.9 * 0.1 * (1 / 142 + 1 / 150))


def test_intervals_stay_as_wide_from_row_to_row_as_the_students_own(fitted, rows):
    X, y = rows
    student = pickle.loads(pickle.dumps(fitted))
    own = np.ptp(student.predict_interval(X[300:], 0.68), axis=1)
    student.conformalize(X[150:300], y[150:300])
    widths = np.ptp(student.predict_interval(X[300:], 0.9), axis=1)
    assert own.max() > 1.1 * own.min()
    # The unit is the student's own distance at level 0.84: half the width of the 68 % interval.
    assert_allclose(widths / own, (widths / own).mean(), rtol=1e-6)
    quantiles = student.predict_quantiles(X[300:], [0.05, 0.95])
    assert_allclose(quantiles, student.predict_interval(X[300:], 0.9))


def test_the_guarantee_survives_a_pickle_and_not_a_clone_or_a_new_fit(fitted, rows):
    X, y = rows
    student = pickle.loads(pickle.dumps(fitted))
    own = student.predict_interval(X, 0.9)
    student.conformalize(X[150:], y[150:])
    intervals = student.predict_interval(X, 0.9)
    loaded = pickle.loads(pickle.dumps(student))
    assert_array_equal(loaded.predict_interval(X, 0.9), intervals)
    assert not hasattr(clone(student), "conformal_scores_")
    student.fit(X[:150], y[:150], ensemble=overfitted(X[:150], y[:150]))
    assert_array_equal(student.predict_interval(X, 0.9), own)


def test_a_student_that_was_fitted_without_y_has_intervals_too(rows):
    X, y = rows
    student = DLFRegressor(**QUICK).fit(X[:150], ensemble=overfitted(X[:150], y[:150]))
    with pytest.raises(NotFittedError, match="noise of y"):
        student.predict_interval(X, 0.9)
    student.conformalize(X[150:300], y[150:300])
    covered = interval_coverage(y[300:], student.predict_interval(X[300:], 0.9))
    assert abs(covered - 0.9) < 3 * np.sqrt(0.9 * 0.1 * (1 / 142 + 1 / 150))


def test_outputs_have_scores_of_their_own(two_outputs):
    scale = np.array([1.0, 100.0])
    X, y, P = two_outputs.X, two_outputs.y * scale, two_outputs.predictions * scale[:, None]
    student = DLFRegressor(**QUICK).fit(X[:50], y[:50], predictions=P[:50])
    intervals = student.conformalize(X[50:100], y[50:100]).predict_interval(X[100:], 0.8)
    assert intervals.shape == (50, 2, 2)
    for output in range(2):
        assert interval_coverage(y[100:, output], intervals[:, output]) > 0.55
    baseline = HydraRegressor(max_iter=2, n_epochs=1, random_state=0)
    baseline.fit(X[:50], y[:50], predictions=P[:50]).conformalize(X[50:100], y[50:100])
    assert baseline.predict_interval(X[100:], 0.8).shape == (50, 2, 2)


def test_students_inside_other_estimators_are_conformalized(rows):
    X, y = rows
    pipeline = make_pipeline(StandardScaler(), DLFRegressor(**QUICK))
    model = TransformedTargetRegressor(pipeline, func=np.log, inverse_func=np.exp)
    model.fit(X[:150], y[:150])
    assert conformalize(model, X[150:300], y[150:300]) is model
    intervals = predict_interval(model, X[300:], 0.9)
    assert (intervals > 0).all()
    covered = interval_coverage(y[300:], intervals)
    assert abs(covered - 0.9) < 3 * np.sqrt(0.9 * 0.1 * (1 / 142 + 1 / 150))
    # The same by hand, in logarithms.
    student = pickle.loads(pickle.dumps(model.regressor_[-1]))
    scaled = model.regressor_[0].transform(X)
    student.conformalize(scaled[150:300], np.log(y[150:300]))
    assert_allclose(np.exp(student.predict_interval(scaled[300:], 0.9)), intervals)


def test_wrong_values_are_refused(fitted, rows):
    X, y = rows
    with pytest.raises(ValueError, match=r"y must have 1 value.* for each of the 20 rows"):
        fitted.conformalize(X[:20], y[:19])
    with pytest.raises(ValueError, match="y contains NaN"):
        fitted.conformalize(X[:20], np.full(20, np.nan))
    with pytest.raises(ValueError, match="X has 3 features"):
        fitted.conformalize(X[:20, :3], y[:20])
    with pytest.raises(NotFittedError):
        DLFRegressor().conformalize(X, y)
    classifier = DLFClassifier(**QUICK).fit(X[:60], y[:60] > 150)
    with pytest.raises(TypeError, match="no method conformalize"):
        conformalize(classifier, X, y)


def test_too_few_rows_for_the_default_interval_are_told(fitted, rows):
    X, y = rows[:2]
    with pytest.warns(UserWarning, match="was given 5 rows.* needs at least 19"):
        copy.copy(fitted).conformalize(X[:5], y[:5])


@pytest.mark.parametrize("change", [lambda y: y / 100, lambda y: y + 1000])
def test_values_in_other_units_are_told(fitted, rows, change):
    X, y = rows
    student = copy.deepcopy(fitted)
    with pytest.warns(UserWarning, match=r"far from all that the student thought.*units of fit"):
        student.conformalize(X[200:300], change(y[200:300]))


def test_one_of_several_outputs_in_other_units_is_named():
    X = np.random.RandomState(0).standard_normal((200, 2))
    y = np.column_stack([X[:, 0], 10 * X[:, 1]])
    y += 0.1 * np.random.RandomState(1).standard_normal(y.shape)
    members = y[..., None] + 0.1 * np.random.RandomState(2).standard_normal((200, 2, 5))
    student = DLFRegressor(**QUICK).fit(X[:100], y[:100], predictions=members[:100], unseen=True)
    with pytest.warns(UserWarning, match="Values of y of output 1 in conformalize"):
        student.conformalize(X[100:], y[100:] * [1, 100])


def test_intervals_of_several_outputs_hold_for_each_one_and_not_for_all_together():
    rng = np.random.RandomState(0)
    X = rng.uniform(-1, 1, size=(4200, 2))
    Y = X + 0.3 * rng.standard_normal((4200, 2))
    P = X[:200, :, None] + 0.05 * rng.standard_normal((200, 1, 5))
    student = DLFRegressor(
        q=2, hidden_layer_sizes=(10,), n_epochs=2, tol=1.0, augment=None, random_state=0
    )
    student.fit(X[:200], predictions=P).conformalize(X[200:2200], Y[200:2200])
    interval = student.predict_interval(X[2200:], 0.8)
    assert interval.shape == (2000, 2, 2)
    holds = (interval[..., 0] <= Y[2200:]) & (Y[2200:] <= interval[..., 1])
    assert_allclose(holds.mean(axis=0), 0.8, atol=0.04)  # standard error 0.013
    assert 0.6 <= holds.all(axis=1).mean() < 0.72
