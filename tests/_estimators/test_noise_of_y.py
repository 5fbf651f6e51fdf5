"""Intervals of y and their parts, where the noise of y is known."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import BaggingRegressor, ExtraTreesRegressor
from sklearn.tree import DecisionTreeRegressor

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import DeepEnsembleRegressor, FittedEnsemble

SMALL = {"q": 1, "hidden_layer_sizes": (30,), "tol": 0.05, "augment": None, "random_state": 0}
QUICK = {**SMALL, "hidden_layer_sizes": (8,), "n_epochs": 2, "tol": 1.0}

N_FIT, N_TEST, N_MEMBERS = 1500, 6000, 5


def truth(X):
    return np.sin(2 * X[:, 0]) + X[:, 1]


def members(X):
    """Return members that differ from the truth by a small multiple of the first column."""
    return truth(X)[:, None] + 0.05 * X[:, :1] * np.linspace(-1, 1, N_MEMBERS)


def make_rows(seed, n=N_FIT + N_TEST):
    return np.random.RandomState(seed).uniform(-2, 2, size=(n, 4))


def noise_std(X):
    return 0.1 + 0.25 * (X[:, 2] + 2)


def fit_noise(X, noise, **options):
    """Return a student of `members`, and y, whose rows from N_FIT on are new."""
    y = truth(X) + noise
    student = DLFRegressor(**{**SMALL, **options})
    student.fit(X[:N_FIT], y[:N_FIT], predictions=members(X[:N_FIT]), unseen=True)
    return student, y


def coverage(student, X, y, level=0.9):
    low, high = student.predict_interval(X, level).T
    return np.mean((low < y) & (y < high))


@pytest.fixture(scope="module")
def growing():
    """Rows, a student and y, whose noise grows with the third column."""
    X = make_rows(0)
    noise = noise_std(X) * np.random.RandomState(1).standard_normal(len(X))
    return X, *fit_noise(X, noise)


def test_intervals_have_their_level_where_the_noise_is_small_and_where_it_is_large(growing):
    X, student, y = growing
    assert student.target_noise_.depends_on_row
    X, y = X[N_FIT:], y[N_FIT:]
    third = np.digitize(X[:, 2], [-2 / 3, 2 / 3])
    for part in range(3):
        rows = third == part
        assert abs(coverage(student, X[rows], y[rows]) - 0.9) < 0.05


def test_aleatoric_variance_is_that_of_the_noise(growing):
    X, student, _ = growing
    aleatoric = student.predict_uncertainty(X[N_FIT:]).aleatoric
    assert np.corrcoef(np.log(aleatoric), np.log(noise_std(X[N_FIT:])))[0, 1] > 0.95
    assert_allclose(aleatoric.mean(), np.mean(noise_std(X) ** 2), rtol=0.15)


def test_a_constant_misses_noise_that_grows():
    X = make_rows(0)
    noise = noise_std(X) * np.random.RandomState(1).standard_normal(len(X))
    student, y = fit_noise(X, noise, **QUICK, target_noise="constant")
    assert not student.target_noise_.depends_on_row
    assert coverage(student, X[X[:, 2] < -2 / 3], y[X[:, 2] < -2 / 3]) > 0.97


@pytest.mark.parametrize("seed", range(3))
def test_constant_noise_has_the_same_intervals_everywhere(seed):
    X = make_rows(seed)
    student, y = fit_noise(X, 0.5 * np.random.RandomState(seed).standard_normal(len(X)), **QUICK)
    noise = student.target_noise_
    factor = noise.factor(X, student.predict(X)[:, None], np.ones((len(X), 1)))
    assert np.log(factor).std() < 0.2
    assert abs(coverage(student, X[N_FIT:], y[N_FIT:]) - 0.9) < 0.03


@pytest.mark.parametrize(("level", "error"), [(0.5, 0.03), (0.9, 0.03)])
def test_intervals_have_their_level_where_noise_has_heavy_tails(heavy, level, error):
    X, student, y = heavy
    assert abs(coverage(student, X[N_FIT:], y[N_FIT:], level) - level) < error


@pytest.fixture(scope="module")
def heavy():
    """Rows, a student and y, whose noise has a t distribution with two degrees of freedom."""
    X = make_rows(4)
    return X, *fit_noise(X, 0.3 * np.random.RandomState(5).standard_t(2, size=len(X)))


def test_an_infinite_variance_of_y_is_told_with_what_is_finite():
    X = make_rows(4, 600)
    student, _ = fit_noise(X, 0.3 * np.random.RandomState(5).standard_cauchy(len(X)), **QUICK)
    student.target_noise_.shape = np.array([0.8])
    with pytest.warns(UserWarning, match=r"shape is \[0.8\].*width of predict_interval"):
        parts = student.predict_uncertainty(X)
    assert np.isinf(parts.std).all()
    assert np.isfinite(parts.epistemic).all()
    assert np.isfinite(student.predict_interval(X)).all()


@pytest.mark.parametrize("side", [1, -1])
def test_both_ends_of_intervals_hold_where_noise_is_skewed(side):
    X = make_rows(0)
    noise = side * 0.3 * (np.random.RandomState(1).gamma(3.0, size=len(X)) - 3)
    student, y = fit_noise(X, noise)
    assert (student.target_noise_.skewness[0] > 1) == (side > 0)
    X, y = X[N_FIT:], y[N_FIT:]
    low, median, high = student.predict_quantiles(X, [0.05, 0.5, 0.95]).T
    assert np.mean(y < low) == pytest.approx(0.05, abs=0.02)
    assert np.mean(y < median) == pytest.approx(0.5, abs=0.03)
    assert np.mean(y > high) == pytest.approx(0.05, abs=0.02)


def test_skewness_changes_its_side_where_y_does():
    X = make_rows(0, 400)
    noise = 0.5 * (np.random.RandomState(1).standard_exponential(len(X)) - 1)
    y = truth(X) + noise
    student = DLFRegressor(**QUICK).fit(X, y, predictions=members(X), unseen=True)
    adapted = student.adapt(X[:200], 3 - 2 * y[:200], labels="mapped")
    skewness = student.target_noise_.skewness
    assert skewness[0] > 1
    assert_allclose(adapted.target_noise_.skewness, 1 / skewness)
    assert_allclose(adapted.reset_update().target_noise_.skewness, 1 / skewness)


def test_parts_of_the_variance_sum_to_it(growing):
    X, student, _ = growing
    parts = student.predict_uncertainty(X)
    assert_allclose(parts.total, parts.aleatoric + parts.epistemic)
    assert_allclose(parts.std, np.sqrt(parts.total))


def test_epistemic_variance_is_that_of_the_members(growing):
    X, student, _ = growing
    assert_array_equal(student.target_noise_.spread_share, [1.0])
    _, std = student.predict(X, return_std=True)
    assert_allclose(student.predict_uncertainty(X).epistemic, std**2)


def test_std_is_that_of_draws_of_y(growing):
    X, student, _ = growing
    X = X[:20]
    draws = student.sample_y(X, 20_000, random_state=0)
    assert_allclose(draws.std(axis=1), student.predict_uncertainty(X).std, rtol=0.05)


def test_draws_of_y_have_the_quantiles(growing):
    X, student, _ = growing
    X = X[:20]
    draws = student.sample_y(X, 20_000, random_state=0)
    levels = [0.05, 0.25, 0.5, 0.95]
    share = (draws[..., None] < student.predict_quantiles(X, levels)[:, None]).mean(axis=1)
    assert_allclose(share, np.broadcast_to(levels, share.shape), atol=0.02)


def test_the_noise_is_pickled(growing):
    X, student, _ = growing
    copy = pickle.loads(pickle.dumps(student))
    assert_array_equal(copy.predict_interval(X), student.predict_interval(X))


def test_a_clone_keeps_the_parameters_of_the_noise():
    student = clone(DLFRegressor(target_noise="constant", cv=3))
    assert (student.target_noise, student.cv) == ("constant", 3)


def test_the_student_does_not_depend_on_y():
    X = make_rows(6, 100)
    with_y = DLFRegressor(**QUICK).fit(X, truth(X), predictions=members(X), unseen=True)
    without = DLFRegressor(**QUICK).fit(X, predictions=members(X))
    assert_array_equal(without.predict(X, return_std=True), with_y.predict(X, return_std=True))


def test_the_student_of_an_ensemble_that_makes_rows_does_not_depend_on_y():
    X = make_rows(6, 100)
    ensemble = FittedEnsemble(members, outputs="values", n_members=N_MEMBERS)
    fits = [
        DLFRegressor(**{**QUICK, "augment": "auto"}).fit(X, y, ensemble=ensemble, unseen=unseen)
        for y, unseen in [(None, None), (truth(X), True)]
    ]
    first, second = (student.predict(X, return_std=True) for student in fits)
    assert_array_equal(first, second)


def test_weights_count_in_the_noise_of_y():
    X = make_rows(7, 1200)
    is_noisy = np.arange(1200) % 2 == 0
    y = truth(X) + np.where(is_noisy, 2.0, 0.5) * np.random.RandomState(8).standard_normal(1200)
    levels = []
    for weights in (np.where(is_noisy, 1.0, 1e-3), np.where(is_noisy, 1e-3, 1.0)):
        student = DLFRegressor(**QUICK, target_noise="constant")
        student.fit(X, y, predictions=members(X), sample_weight=weights, unseen=True)
        noise = student.target_noise_
        zero, one = np.zeros((1, 1)), np.ones((1, 1))
        levels.append((noise.mean_variance(zero, one) - noise.squared_misfit)[0, 0])
    assert_allclose(levels, [4.0, 0.25], rtol=0.2)


def test_rows_of_weight_zero_do_not_count_in_the_noise_of_y():
    X = make_rows(9, 400)
    y = truth(X) + 0.5 * np.random.RandomState(10).standard_normal(400)
    weights = np.ones(400)
    weights[::4], y[::4] = 0.0, 1e6
    student = DLFRegressor(**QUICK).fit(
        X, y, predictions=members(X), sample_weight=weights, unseen=True
    )
    assert student.predict_uncertainty(X).aleatoric.max() < 10


def test_each_output_has_its_own_noise():
    X = make_rows(11, 1000)
    rng = np.random.RandomState(12)
    predictions = np.stack([members(X), members(X[:, ::-1])], axis=1)
    y = predictions.mean(axis=-1) + [0.3, 2.0] * rng.standard_normal((1000, 2))
    student = DLFRegressor(**QUICK).fit(X, y, predictions=predictions, unseen=True)
    aleatoric = student.predict_uncertainty(X).aleatoric - student.target_noise_.squared_misfit
    assert aleatoric.shape == (1000, 2)
    assert_allclose(aleatoric.mean(axis=0), [0.09, 4.0], rtol=0.2)


def test_trees_that_memorise_noise_have_a_share_of_their_spread_below_one():
    # The trees differ by the noise of single values, and their mean does not.
    X = make_rows(13, 800)
    y = truth(X) + np.random.RandomState(14).standard_normal(800)
    trees = BaggingRegressor(DecisionTreeRegressor(), 60, random_state=0).fit(X, y)
    student = DLFRegressor(**SMALL).fit(X, y, ensemble=trees)
    assert student.target_noise_.spread_share[0] < 0.7
    new = make_rows(15, 3000)
    values = truth(new) + np.random.RandomState(16).standard_normal(3000)
    assert abs(coverage(student, new, values) - 0.9) < 0.04


def test_noise_at_rows_that_trees_have_memorised_is_too_small():
    X = make_rows(17, 150)
    y = truth(X) + 0.5 * np.random.RandomState(18).standard_normal(150)
    trees = ExtraTreesRegressor(10, random_state=0).fit(X, y)
    student = DLFRegressor(**{**QUICK, "augment": "auto"})
    aleatoric = {
        cv: clone(student.set_params(ensemble=clone(trees), cv=cv))
        .fit(X, y)
        .target_noise_.nodes()
        .max()
        for cv in (None, 3)
    }
    assert aleatoric[None] < 0.01 < 0.2 < aleatoric[3]


def test_intervals_hold_where_noise_follows_a_spread_that_few_members_show():
    X = make_rows(19, 3000)
    std = np.exp(X[:, 0] * X[:, 1] / 2)  # no single column tells it
    y = truth(X) + std * np.random.RandomState(20).standard_normal(3000)
    predictions = truth(X)[:, None] + 0.3 * std[:, None] * np.tile([-1, 1], 5)
    turn = (np.arange(10) - np.arange(500)[:, None]) % 10
    student = DLFRegressor(**{**QUICK, "hidden_layer_sizes": (30,)}, target_noise="input")
    student.fit(X[:500], y[:500], predictions=predictions[:500], unseen=turn < 2)
    assert coverage(student, X[500:], y[500:]) > 0.8


def test_optimism_of_early_stopping_counts_in_the_noise_of_y():
    X = make_rows(21, 150)
    y = truth(X) + np.random.RandomState(22).standard_normal(150)
    ensemble = DeepEnsembleRegressor(10, max_iter=5, random_state=0).fit(X, y)
    levels = []
    for optimism in (1.0, 4.0):
        ensemble.optimism_ = optimism
        noise = DLFRegressor(**QUICK, target_noise="constant").fit(X, y, ensemble=ensemble)
        levels.append(np.median(noise.target_noise_.nodes()))
    assert_allclose(levels[1] / levels[0], 4.0, rtol=0.25)


@pytest.fixture(scope="module")
def biased():
    """Rows, a student of members that predict too much by 0.4, and y."""
    X = make_rows(0)
    return X, *fit_noise(X, 0.5 * np.random.RandomState(1).standard_normal(len(X)) - 0.4)


def test_y_has_its_mean_where_members_predict_another_one(biased):
    X, student, y = biased
    assert student.target_noise_.bias == pytest.approx(-0.4, abs=0.05)
    X, y = X[N_FIT:], y[N_FIT:]
    below = np.mean(y[:, None] < student.predict_quantiles(X, [0.05, 0.5, 0.95]), axis=0)
    assert_allclose(below, [0.05, 0.5, 0.95], atol=0.03)
    assert student.sample_y(X, 20, random_state=0).mean() == pytest.approx(y.mean(), abs=0.05)
    assert_allclose(student.predict(X).mean(), truth(X).mean(), atol=0.05)  # the ensemble's own
    assert student.predict_uncertainty(X).std.mean() == pytest.approx(0.5, rel=0.1)


def test_updates_know_the_bias(biased):
    X, student, y = biased
    rows = slice(N_FIT, N_FIT + 300)
    updated = pickle.loads(pickle.dumps(student)).update(X[rows], y[rows])
    median = updated.predict_quantiles(X[N_FIT:], [0.5])[:, 0]
    assert np.mean(y[N_FIT:] < median) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("slope", [1.0, -2.0])
def test_other_units_of_y_have_no_bias_left(biased, slope):
    X, student, y = biased
    rows = slice(N_FIT, N_FIT + 300)
    adapted = student.adapt(X[rows], slope * y[rows] + 100, labels="mapped")
    median = adapted.predict_quantiles(X[N_FIT:], [0.5])[:, 0]
    assert np.mean(slope * y[N_FIT:] + 100 < median) == pytest.approx(0.5, abs=0.03)
    assert not adapted.target_noise_.bias.any()


def test_a_mean_residual_that_may_be_chance_is_no_bias(growing):
    assert not growing[1].target_noise_.bias.any()
