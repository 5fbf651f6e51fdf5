"""The posterior of a student of regressors, given new values of y."""

import copy
import pickle

import numpy as np
import pytest
from linear_students import answers, make_regressor
from numpy.testing import assert_allclose, assert_array_equal
from quick_students import QUICK
from sklearn.base import clone

from sklearn_dlf import DLFRegressor
from sklearn_dlf._updating.memory import value_covariance
from sklearn_dlf._updating.posterior import Posterior
from sklearn_dlf._updating.tails import tail_multiples


@pytest.fixture(params=["one_output", "separable", "values_of_groups"])
def fitted(request):
    student, X, y = request.getfixturevalue(request.param)
    return copy.deepcopy(student), X, y


def dense_posterior(student, X, y, X_new):
    """Condition the process of the factors on y by its dense covariance."""
    noise, members = student.target_noise_, student._members
    rows = student._standardised_rows(np.concatenate([X, X_new]))
    process = members.process(rows, exact=True)
    loadings = process.loadings
    if process.mixing is not None:
        loadings = np.einsum("kl,nq->nklq", process.mixing, loadings[:, 0])
    loadings = loadings.reshape(*process.mean.shape, -1) * np.sqrt(noise.spread_share)[:, None]
    n, c = len(X), process.mean.shape[1]
    loadings = loadings.reshape(len(rows) * c, -1)
    seen, new = loadings[: n * c], loadings[n * c :]
    covariance = seen @ seen.T
    blocks = value_covariance(members, noise, rows[:n])
    for row in range(n):
        at = slice(row * c, (row + 1) * c)
        covariance[at, at] += blocks[row]
    gain = np.linalg.solve(covariance, seen @ new.T).T
    residual = y.reshape(n, c) - process.mean[:n]
    mean = process.mean[n:] + (gain @ residual.ravel()).reshape(-1, c)
    own = new @ new.T - gain @ seen @ new.T
    variance = np.diag(own).reshape(-1, c) / noise.spread_share + process.local_variance[n:]
    return mean, np.sqrt(variance)


def test_factors_alone_equal_dense_conditioning_of_the_process(fitted):
    student, X, y = fitted
    mean, std = dense_posterior(student, X[:30], y[:30], X[30:])
    found = student.update(X[:30], y[:30], discrepancy=None).predict(X[30:], return_std=True)
    assert_allclose(found[0].reshape(mean.shape), mean, rtol=0, atol=1e-10 * mean.std())
    assert_allclose(found[1].reshape(mean.shape), std, rtol=1e-10)


@pytest.mark.filterwarnings("ignore:New values of y")
def test_factors_alone_never_widen_the_spread(fitted):
    student, X, y = fitted
    before = student.predict(X, return_std=True)[1]
    after = student.update(X[:5], 10 * y[:5], discrepancy=None).predict(X, return_std=True)[1]
    assert (after <= before * (1 + 1e-12)).all()
    assert after.mean() < 0.95 * before.mean()


@pytest.mark.parametrize("discrepancy", ["auto", None])
def test_two_batches_equal_one(fitted, discrepancy):
    student, X, y = fitted
    one = answers(copy.deepcopy(student).update(X, y, discrepancy=discrepancy), X)
    for rows in (slice(20), slice(20, None)):
        student.update(X[rows], y[rows], discrepancy=discrepancy)
    assert_allclose(answers(student, X), one, rtol=1e-10, atol=1e-10 * np.abs(one).max())


def test_the_order_of_rows_does_not_count(fitted):
    student, X, y = fitted
    one = answers(copy.deepcopy(student).update(X, y), X)
    other = answers(student.update(X[::-1], y[::-1]), X)
    assert_allclose(other, one, rtol=1e-10, atol=1e-10 * np.abs(one).max())


def test_a_weight_is_a_number_of_equal_rows(fitted):
    student, X, y = fitted
    counts = np.arange(len(X)) % 3
    other = copy.deepcopy(student).update(np.repeat(X, counts, axis=0), np.repeat(y, counts, 0))
    one = answers(student.update(X, y, sample_weight=counts), X)
    assert_allclose(answers(other, X), one, rtol=1e-10, atol=1e-10 * np.abs(one).max())


def test_no_rows_change_nothing(fitted):
    student, X, y = fitted
    before = answers(student, X)
    student.update(X[:0], y[:0])
    student.update(X, y, sample_weight=np.zeros(len(X)))
    assert_array_equal(answers(student, X), before)


def test_no_further_rows_change_nothing(fitted):
    student, X, y = fitted
    before = answers(student.update(X[:20], y[:20]), X)
    assert_array_equal(answers(student.update(X[:0], y[:0]), X), before)


def test_reset_restores_the_fitted_answers_bit_by_bit(fitted):
    student, X, y = fitted
    before = answers(student, X), student.sample_predictions(X, 3, random_state=0)
    changed = answers(student.update(X, y), X)
    assert np.abs(changed - before[0]).max() > 1e-3
    student.reset_update()
    assert_array_equal(answers(student, X), before[0])
    assert_array_equal(student.sample_predictions(X, 3, random_state=0), before[1])


def test_forgetting_of_one_is_none(fitted):
    student, X, y = fitted
    student.update(X[:20], y[:20])
    one = answers(copy.deepcopy(student).update(X[20:], y[20:]), X)
    assert_array_equal(answers(student.update(X[20:], y[20:], forgetting=1), X), one)


def test_forgetting_of_nearly_one_is_nearly_none(one_output):
    # Hypotheses are fewer in a stream, so that only factors can be compared.
    student, X, y = copy.deepcopy(one_output)
    student.update(X[:20], y[:20], discrepancy=None)
    rest = X[20:], y[20:]
    one = answers(copy.deepcopy(student).update(*rest, discrepancy=None), X)
    other = answers(student.update(*rest, discrepancy=None, forgetting=1 - 1e-9), X)
    assert_allclose(other, one, rtol=1e-5, atol=1e-6 * np.abs(one).max())


def test_full_forgetting_leaves_the_new_rows_only(fitted):
    student, X, y = fitted
    rest = X[20:], y[20:]
    one = answers(copy.deepcopy(student).update(*rest, discrepancy=None), X)
    student.update(X[:20], y[:20]).update(*rest, discrepancy=None, forgetting=0)
    assert_array_equal(answers(student, X), one)


def test_full_forgetting_without_rows_restores_the_fit(fitted):
    student, X, y = fitted
    before = answers(student, X)
    student.update(X, y).update(X[:0], y[:0], forgetting=0)
    assert_array_equal(answers(student, X), before)


@pytest.mark.filterwarnings("ignore:New values of y")
@pytest.mark.filterwarnings("ignore:After the last updates")
def test_a_stream_follows_values_that_change(one_output):
    student, X, y = one_output
    errors = []
    for forgetting in (None, 0.7):
        model = copy.deepcopy(student)
        for shift in (0.0, 0.0, 0.0, 2.0, 2.0, 2.0):
            model.update(X[:30], y[:30] + shift, forgetting=forgetting)
        errors.append(np.mean((model.predict(X[30:]) - y[30:] - 2.0) ** 2))
    assert errors[1] < 0.5 * errors[0]


def test_a_stream_of_many_steps_stays_finite(one_output):
    student, X, y = copy.deepcopy(one_output)
    for step in range(60):
        student.update(X[step % 50, None], y[step % 50, None], forgetting=0.9)
    assert np.isfinite(answers(student, X)).all()


@pytest.mark.parametrize("how", ["rows", "stream", "kept", "mapped"])
def test_what_the_mean_misses_counts_once_where_little_of_the_spread_does(fitted, how):
    student, X, y = fitted
    student.target_noise_.spread_share = np.full_like(student.target_noise_.shape, 0.02)
    prior = student.predict(X, return_std=True)[1]
    if how in ("rows", "stream"):
        student.update(X[:20], y[:20], forgetting=0.9 if how == "stream" else 1)
    else:
        student = student.adapt(X[:20], y[:20], labels=how)
        prior = np.abs(student.adaptation_.slope) * prior
    of_members = student.predict(X, return_std=True)[1]
    of_y = np.sqrt(student.predict_uncertainty(X).epistemic)
    # what is left of the factors, and all that is uncertain of the mean
    assert (of_members >= of_y * (1 - 1e-9)).all()
    assert (of_members <= 1.05 * prior + of_y).all()
    draws = student.sample_y(X, 4000, random_state=0)
    assert_allclose(draws.var(axis=-1), student.predict_uncertainty(X).total, rtol=0.15)


def test_a_single_row_hardly_changes_the_noise_of_others(one_output):
    student, X, y = one_output
    before = np.ptp(student.predict_interval(X), axis=1)
    for row in range(5):
        updated = copy.deepcopy(student).update(X[[row]], y[[row]])
        assert np.median(np.ptp(updated.predict_interval(X), axis=1) / before) < 1.1


def test_noise_is_never_below_the_students(one_output):
    student, X, _ = copy.deepcopy(one_output)
    before = student.predict_uncertainty(X).aleatoric
    mean = student.predict(X)
    after = student.update(X, mean).predict_uncertainty(X).aleatoric  # no residuals at all
    assert (after >= before * (1 - 1e-12)).all()


@pytest.mark.filterwarnings("ignore:New values of y")
def test_noise_grows_in_a_noisier_region_and_less_where_fit_was(one_output):
    student, X, y = copy.deepcopy(one_output)
    far = 3 * X[:40]
    scatter = 20 * y.std() * np.random.RandomState(1).standard_normal(40)
    before_far, before_near = (student.predict_uncertainty(rows).aleatoric for rows in (far, X))
    student.update(far, student.predict(far) + scatter)
    far_ratio = (student.predict_uncertainty(far).aleatoric / before_far).mean()
    near_ratio = (student.predict_uncertainty(X).aleatoric / before_near).mean()
    assert far_ratio > 2
    assert near_ratio < 0.7 * far_ratio


def test_a_discrepancy_is_found_where_fit_had_no_rows(one_output):
    student, X, y = copy.deepcopy(one_output)
    far = X + 3.0
    truth = student.predict(far) + y.std()
    errors = {}
    for discrepancy in ("auto", None):
        found = copy.deepcopy(student).update(far[:40], truth[:40], discrepancy=discrepancy)
        errors[discrepancy] = np.mean((found.predict(far[40:]) - truth[40:]) ** 2)
    assert errors["auto"] < 0.3 * errors[None]


def test_old_rows_are_remembered(one_output):
    student, X, y = copy.deepcopy(one_output)
    far, before = X + 3.0, student.predict(X)
    truth = student.predict(far) + 2 * y.std()  # more than noise explains
    forgetful = copy.deepcopy(student)
    forgetful._memory = forgetful._memory.emptied()
    changes = [
        np.square(model.update(far, truth).predict(X) - before).mean()
        for model in (student, forgetful)
    ]
    assert changes[0] < 0.9 * changes[1]


def test_draws_have_the_moments_of_the_posterior(fitted):
    student, X, y = fitted
    student.update(X[:30], y[:30])
    mean, std = student.predict(X[30:], return_std=True)
    draws = student.sample_predictions(X[30:], 4000, random_state=0)
    assert_allclose(draws.mean(axis=-1), mean, atol=0.1 * std.max())
    assert_allclose(draws.std(axis=-1), std, rtol=0.08)


def test_parameters_describe_the_posterior(fitted):
    student, X, y = fitted
    student.update(X[:30], y[:30])
    found = student.latent_parameters(X)
    mean, std = student.predict(X, return_std=True)
    assert_allclose(found.mean.reshape(mean.shape), mean, rtol=1e-12)
    variance = np.square(found.loadings).sum(axis=-1) + found.member_std**2
    assert_allclose(variance.reshape(std.shape), std**2, rtol=1e-10)
    assert "mixing" not in found


def test_many_rows_are_predicted_as_few(one_output):
    student, X, y = copy.deepcopy(one_output)
    student.update(X, y)
    few = student.predict(X, return_std=True)
    many = student.predict(np.tile(X, (10, 1)), return_std=True)  # in float32
    for one, other in zip(few, many, strict=True):
        assert_allclose(other[: len(X)], one, rtol=1e-4, atol=1e-4 * y.std())


def test_pickles_and_copies_predict_the_same(fitted):
    student, X, y = fitted
    student.update(X, y)
    loaded = pickle.loads(pickle.dumps(student))
    assert_array_equal(answers(loaded, X), answers(student, X))
    student.update(X, y, forgetting=0.9)
    loaded.update(X, y, forgetting=0.9)
    assert_array_equal(answers(loaded, X), answers(student, X))


def test_a_clone_is_not_fitted(one_output):
    student, X, y = copy.deepcopy(one_output)
    assert not hasattr(clone(student.update(X, y)), "_update")


def test_what_fit_keeps_is_small(one_output):
    student, X, y = copy.deepcopy(one_output)
    assert len(pickle.dumps(student)) < 96 * 1024
    assert len(pickle.dumps(student.update(X, y))) < 192 * 1024


def test_factors_are_the_same_where_coefficients_are_many(monkeypatch, one_output):
    student, X, y = copy.deepcopy(one_output)
    student.update(X[:30], y[:30], discrepancy=None)
    monkeypatch.setattr("sklearn_dlf._updating.coordinates.MAX_COEFFICIENTS", 10)
    wide, _, _ = make_regressor(1)
    wide.update(X[:30], y[:30], discrepancy=None)
    assert_allclose(answers(wide, X), answers(student, X), rtol=1e-8, atol=1e-8)
    before = np.mean((wide.predict(X[30:]) - y[30:]) ** 2)
    wide.update(X[:0], y[:0], discrepancy="auto")
    assert np.mean((wide.predict(X[30:]) - y[30:]) ** 2) < 1.1 * before


def test_forgetting_without_rows_moves_the_posterior_a_little(fitted):
    student, X, y = fitted
    before = answers(student.update(X, y), X)
    after = answers(student.update(X[:0], y[:0], forgetting=0.9999), X)
    assert np.abs(after - before).max() < 0.1 * np.abs(before).max()
    assert student._update._has_memory


def test_values_too_large_to_be_squared_are_refused(fitted):
    student, X, y = fitted
    before = answers(student, X)
    with pytest.raises(ValueError, match="standard deviations of the ensemble's mean in fit"):
        student.update(X, 1e155 + y)
    assert_array_equal(answers(student, X), before)


@pytest.fixture(scope="module")
def two_outputs():
    return make_regressor(2)


@pytest.mark.filterwarnings("ignore:New values of y")
@pytest.mark.parametrize("forgetting", [None, 0.99])
def test_each_output_has_its_own_noise(two_outputs, forgetting):
    student, X, _ = copy.deepcopy(two_outputs)
    X = np.concatenate([X] * 6) + 0.01 * np.random.RandomState(2).standard_normal((6 * len(X), 3))
    before = student.predict_uncertainty(X).aleatoric.mean(axis=0)
    noise = 0.3 * np.random.RandomState(1).standard_normal((len(X), 2)) * [1.0, 5.0]
    y = student.predict(X) + noise
    after = student.update(X, y, forgetting=forgetting).predict_uncertainty(X).aleatoric
    ratio = after.mean(axis=0) / before
    assert ratio[0] < 0.3 * ratio[1]
    assert ratio[1] > 8


def test_batches_of_several_outputs_equal_one(two_outputs):
    student, X, y = two_outputs
    y = student.predict(X) + 2 * (y - student.predict(X))
    one = copy.deepcopy(student).update(X, y)
    several = copy.deepcopy(student).update(X[:20], y[:20]).update(X[20:], y[20:])
    assert_allclose(answers(several, X), answers(one, X), rtol=1e-8)


def test_sums_of_earlier_files_are_joined_to_new_ones(two_outputs):
    student, X, y = copy.deepcopy(two_outputs)
    student.update(X[:20], y[:20])
    sums = student._update._sums
    student._update._sums = sums.totals()._replace(inverse_unknown=0.0)
    old = pickle.loads(pickle.dumps(student))
    found = old.update(X[20:], y[20:]).predict(X)
    expected = copy.deepcopy(two_outputs[0]).update(X, y).predict(X)
    assert_allclose(found, expected, rtol=0, atol=0.1 * expected.std())


@pytest.fixture(scope="module", params=[1.0, 2.0], ids=["symmetric", "skewed"])
def heavy_tailed(request):
    """A student of y whose noise has hardly a variance, and further rows."""
    rng, skewness = np.random.RandomState(0), request.param
    X = rng.uniform(-1, 1, (1000, 2))
    noise = rng.standard_t(2, size=1000)
    noise = np.where(noise > 0, skewness, 1 / skewness) * noise
    members = X[:, :1] + 0.2 * rng.standard_normal((1000, 1, 8)).mean(axis=1)
    student = DLFRegressor(q=2, hidden_layer_sizes=(10,), n_epochs=1, tol=1.0, random_state=0)
    student.fit(X[:500], (X[:, 0] + noise)[:500], predictions=members[:500], unseen=True)
    assert student.target_noise_.shape < 2
    return student, X[500:], noise[500:]


@pytest.mark.parametrize("n", [100, 500])
def test_usual_rows_do_not_widen_intervals_where_noise_has_heavy_tails(heavy_tailed, n):
    fitted, X, noise = heavy_tailed
    before = np.diff(fitted.predict_interval(X)).mean()
    student = copy.deepcopy(fitted).update(X[:n], X[:n, 0] + noise[:n])
    assert np.diff(student.predict_interval(X)).mean() == pytest.approx(before, rel=0.05)


def test_noise_of_heavy_tails_that_has_grown_widens_intervals(heavy_tailed):
    fitted, X, noise = heavy_tailed
    before = np.diff(fitted.predict_interval(X)).mean()
    student = copy.deepcopy(fitted).update(X, X[:, 0] + 4 * noise)
    assert 2 * before < np.diff(student.predict_interval(X)).mean() < 8 * before


def test_rows_of_a_heavy_tailed_stream_are_forgotten(heavy_tailed):
    fitted, X, noise = heavy_tailed
    student = copy.deepcopy(fitted).update(X[:50], X[:50, 0] + 10 * noise[:50], forgetting=0.9)
    widened = np.diff(student.predict_interval(X)).mean()
    for _ in range(60):
        student.update(X[50:100], X[50:100, 0] + noise[50:100], forgetting=0.9)
    assert np.diff(student.predict_interval(X)).mean() < 0.7 * widened


def test_noise_counts_where_rows_are_unlike_those_of_fit_in_units_of_y_and_of_the_noise():
    posterior = Posterior(
        np.zeros((1, 2)),
        np.zeros((1, 2, 1)),
        5.0,
        unknown=np.eye(2)[None],
        typical_unknown=np.ones(1),
        unknown_of_fit=np.full(1, 1 / 16),
        typical_relative=np.ones(1),
        relative_of_fit=np.full(1, 1 / 16),
    )
    features = np.array([[1.0, 0.0], [2.0, 0.0], [0.5, 0.0], [1.0, 0.0], [0.25, 0.0], [0.0, 0.0]])
    variance = np.array([[1.0], [1.0], [0.01], [4.0], [1.0], [1.0]])
    found = posterior.multiples(features, variance)
    assert_allclose(found[:, 0], [5.0, 5.0, 3.0, 3.0, 1.0, 1.0])
    alone = posterior._replace(typical_relative=None).multiples(features, variance)
    assert_allclose(alone[:, 0], [5.0, 5.0, 3.0, 5.0, 1.0, 1.0])
    without_memory = posterior._replace(typical_relative=None, unknown_of_fit=None)
    assert_allclose(
        without_memory.multiples(features, variance)[:, 0], [5.0, 5.0, 2.0, 5.0, 1.25, 1.0]
    )


def test_a_stream_of_few_rows_follows_a_level_that_moves():
    rng, step = np.random.RandomState(0), 0.03

    def rows_of(n_rows):
        X = rng.uniform(-1, 1, size=(n_rows, 5))
        truth = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2]
        return X, truth, truth + 0.5 * rng.standard_normal(n_rows)

    X, truth, y = rows_of(300)
    members = (
        truth[:, None] + 0.1 * rng.standard_normal(6) + 0.1 * X[:, :1] * rng.standard_normal(6)
    )
    student = DLFRegressor(**{**QUICK, "hidden_layer_sizes": (100,), "n_epochs": 5})
    student.fit(X, y, predictions=members, unseen=True)
    errors = []
    for number in range(1, 41):
        X, truth, y = rows_of(8)
        errors.append(np.mean(truth + number * step - student.predict(X)))
        student.update(X, y + number * step, forgetting=0.999)
    assert np.mean(errors[-15:]) < 0.25  # the level has risen by 1.2


def test_a_value_of_the_tails_hardly_moves_the_student():
    rng = np.random.RandomState(0)
    X = rng.uniform(-1, 1, size=(300, 5))
    truth = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2]
    members = (
        truth[:, None] + 0.1 * rng.standard_normal(6) + 0.1 * X[:, :1] * rng.standard_normal(6)
    )
    student = DLFRegressor(**{**QUICK, "hidden_layer_sizes": (100,), "n_epochs": 5})
    student.fit(X, truth + 0.2 * rng.standard_t(3, 300), predictions=members, unseen=True)
    assert student.target_noise_.shape < 4
    y = truth[:20] + 0.1 * rng.standard_normal(20)
    y[3] += 4.0
    before = student.predict(X)
    assert np.abs(student.update(X[:20], y).predict(X) - before).mean() < 0.01


def test_tails_are_none_of_a_normal_noise_and_large_where_residuals_are():
    squares = np.array([[0.0, 0.0], [4.0, 4.0], [100.0, 100.0]])
    found = tail_multiples(np.array([1.5, np.inf]), squares)
    assert_allclose(found[:, 0], [1.0, 1.75, 25.75])
    assert_array_equal(found[:, 1], 1.0)
