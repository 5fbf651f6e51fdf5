"""What a student of regressors learns of the new meaning of y."""

import copy
import pickle

import numpy as np
import pytest
from linear_students import answers
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_dlf import DLFRegressor
from sklearn_dlf._updating.coordinates import read_heads
from sklearn_dlf._updating.posterior import Posterior
from sklearn_dlf._updating.updated_members import UpdatedMembers
from sklearn_dlf.metrics import interval_coverage, neg_nll_scorer

LABELS = ["kept", "mapped"]


@pytest.fixture(params=["one_output", "separable", "values_of_groups"])
def fitted(request):
    return request.getfixturevalue(request.param)


def test_other_units_are_found(fitted):
    student, X, y = fitted
    adapted = student.adapt(X[:35], 50 - 3 * y[:35])
    found = adapted.adaptation_
    assert found.labels == "mapped"
    assert_allclose(found.slope, -3, atol=0.4)
    assert_allclose(found.intercept, 50, atol=0.5)
    before = -neg_nll_scorer(student, X[35:], y[35:])
    after = -neg_nll_scorer(adapted, X[35:], 50 - 3 * y[35:]) - np.log(3)
    assert after < before + 0.2


def test_units_are_kept_where_they_are_the_same(fitted):
    student, X, y = fitted
    adapted = student.adapt(X[:35], y[:35])
    assert adapted.adaptation_.labels == "kept"
    assert_array_equal(adapted.adaptation_.slope, np.ones(student.n_outputs_))


def test_the_spread_of_members_gets_the_new_units(fitted):
    student, X, y = fitted
    adapted = student.adapt(X, -10 * y, labels="mapped")
    ratio = adapted.predict(X, return_std=True)[1] / student.predict(X, return_std=True)[1]
    assert 2 < np.median(ratio) < 15
    draws = adapted.sample_predictions(X, 2000, random_state=0)
    assert_allclose(draws.std(axis=-1), adapted.predict(X, return_std=True)[1], rtol=0.1)


def test_covariance_of_outputs_gets_the_signs_of_the_slopes(separable):
    student, X, _ = separable
    slope = np.array([2.0, -3.0])
    members, rows = student._members, student._standardised_rows(X)
    heads = read_heads(members.network, members.units)
    change = (slope - 1)[:, None] * heads.mean
    loadings = slope[:, None, None] * heads.loadings
    posterior = Posterior(change, loadings, slope=slope)
    found = UpdatedMembers(members.network, members.units, posterior).process(rows, exact=True)
    before = members.process(rows, exact=True)
    units = slope[:, None] * slope
    assert np.abs(before.local_covariance[:, 0, 1]).max() > 0
    assert_allclose(found.local_covariance, units * before.local_covariance, rtol=1e-5)
    assert_allclose(found.output_covariance, units * before.output_covariance, rtol=1e-5)


@pytest.mark.parametrize("unit", [-100.0, 1e-20])
def test_answers_follow_the_units_of_the_new_y(fitted, unit):
    student, X, y = fitted
    one = student.adapt(X, y, labels="mapped")
    other = student.adapt(X, unit * (y - 7), labels="mapped")
    assert_allclose(other.predict(X) / unit, one.predict(X) - 7, rtol=0, atol=1e-8)
    stds = [each.predict(X, return_std=True)[1] for each in (one, other)]
    assert_allclose(stds[1], abs(unit) * stds[0], rtol=1e-6)
    noise = [each.predict_uncertainty(X).aleatoric for each in (one, other)]
    assert_allclose(noise[1], unit**2 * noise[0], rtol=1e-6)


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_values_whose_variance_is_not_held_are_refused(one_output, unit):
    student, X, y = one_output
    with pytest.raises(ValueError, match="y must vary by 1e-140 to 1e"):
        student.adapt(X, unit * y, labels="mapped")


@pytest.mark.parametrize("labels", LABELS)
def test_intervals_cover_further_rows(one_output, labels):
    student, X, y = one_output
    new = y + np.cos(2 * X[:, 1])
    adapted = student.adapt(X[:25], new[:25], labels=labels)
    assert interval_coverage(new[25:], adapted.predict_interval(X[25:], 0.9)) > 0.75
    conformal = adapted.conformalize(X[25:], new[25:])
    assert interval_coverage(new[25:], conformal.predict_interval(X[25:], 0.9)) >= 0.9


@pytest.mark.parametrize("labels", LABELS)
def test_the_order_of_rows_does_not_count(fitted, labels):
    student, X, y = fitted
    one = answers(student.adapt(X, y, labels=labels), X)
    other = answers(student.adapt(X[::-1], y[::-1], labels=labels), X)
    assert_allclose(other, one, rtol=1e-9, atol=1e-9)


@pytest.mark.filterwarnings("ignore:.* of the new values of y lie in:UserWarning")
@pytest.mark.parametrize("labels", LABELS)
def test_a_weight_is_a_number_of_equal_rows(fitted, labels):
    student, X, y = fitted
    counts = np.arange(len(X)) % 3
    repeated = np.repeat(X, counts, axis=0), np.repeat(y, counts, axis=0)
    one = answers(student.adapt(*repeated, labels=labels), X)
    other = answers(student.adapt(X, y, sample_weight=counts, labels=labels), X)
    assert_allclose(other, one, rtol=1e-9, atol=1e-9)


def test_kept_values_are_those_of_an_update_without_memory(one_output):
    student, X, y = one_output
    adapted = student.adapt(X, y, labels="kept")
    updated = copy.deepcopy(student).update(X, y, forgetting=0)
    assert_allclose(answers(adapted, X), answers(updated, X), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n_rows", [1, 2])
def test_few_rows_keep_units(fitted, n_rows):
    student, X, y = fitted
    adapted = student.adapt(X[:n_rows], y[:n_rows])
    assert adapted.adaptation_.labels == "kept"
    assert np.isfinite(answers(adapted, X)).all()
    with pytest.raises(ValueError, match="needs at least 3 different rows"):
        student.adapt(X[:n_rows], y[:n_rows], labels="mapped")


def test_constant_values_are_learnt_in_the_units_of_fit(one_output):
    student, X, _ = one_output
    adapted = student.adapt(X, np.full(len(X), 0.5))
    assert adapted.adaptation_.labels == "kept"
    assert np.abs(adapted.predict(X) - 0.5).mean() < 0.2


def test_the_student_that_is_adapted_stays_as_it_was(fitted):
    student, X, y = fitted
    student = copy.deepcopy(student).update(X[:20], y[:20]).conformalize(X, y)
    before = answers(student, X)
    with pytest.warns(UserWarning, match="learnt by update is left out"):
        adapted = student.adapt(X, -y)
    assert_array_equal(answers(student, X), before)
    assert not hasattr(adapted, "conformal_scores_")


def test_a_pickle_keeps_the_adaptation(fitted):
    student, X, y = fitted
    adapted = student.adapt(X, -y, labels="mapped")
    loaded = pickle.loads(pickle.dumps(adapted))
    assert_array_equal(answers(loaded, X), answers(adapted, X))
    assert_array_equal(loaded.adaptation_.slope, adapted.adaptation_.slope)


def test_each_output_has_noise_of_its_own():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((700, 3))
    slopes = np.array([[1.0, 0.2], [0.0, 1.0], [0.5, 0.0]])
    members = (X @ slopes)[..., None] + 0.1 * rng.standard_normal((1, 2, 20))
    y = X @ slopes + rng.standard_normal((700, 2)) * [0.1, 1.0]
    student = DLFRegressor(q=2, tol=2.0, n_epochs=10, target_noise="constant", random_state=0)
    student.fit(X[:200], y[:200], predictions=members[:200], unseen=True)
    new = y * [3.0, -200.0]
    adapted = student.adapt(X[200:300], new[200:300], labels="mapped")
    ends = adapted.predict_interval(X[300:], 0.9)
    covered = ((ends[..., 0] <= new[300:]) & (new[300:] <= ends[..., 1])).mean(axis=0)
    assert_allclose(covered, 0.9, atol=0.06)


@pytest.fixture(scope="module")
def mostly_zero():
    """A student of a y that is mostly zero, and new rows whose other values are thrice as large."""
    rng = np.random.RandomState(0)
    X = rng.uniform(-1, 1, (900, 3))
    y = np.where(rng.uniform(size=900) < 0.25, 500 * np.exp(X[:, 1]) * rng.gamma(1.2, 1, 900), 0.0)
    members = 150 * np.exp(X[:500, 1:2]) * np.exp(0.1 * rng.standard_normal((1, 12)))
    student = DLFRegressor(
        q=2, hidden_layer_sizes=(20,), n_epochs=1, tol=1.0, augment=None, random_state=0
    ).fit(X[:500], y[:500], predictions=members, unseen=True)
    return student, X[500:], 3 * y[500:]


def test_a_noise_that_is_no_multiple_of_what_it_was_is_told(mostly_zero):
    student, X, y = mostly_zero
    with pytest.warns(UserWarning, match="% of the new values .*conformalize.*labels='mapped'"):
        adapted = student.adapt(X, y, labels="kept")
    assert adapted.adaptation_.coverage < 0.8


def test_units_are_mapped_where_intervals_of_kept_ones_do_not_hold(mostly_zero):
    student, X, y = mostly_zero
    adapted = student.adapt(X, y)
    assert adapted.adaptation_.labels == "mapped"
    assert adapted.adaptation_.coverage > 0.85
