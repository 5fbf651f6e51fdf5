"""Properties that hold for all data, by hypothesis: units, orders, quantiles, draws, files."""

import pickle

import numpy as np
import pytest
from every_student import BRIEF, make_student
from numpy.testing import assert_allclose
from scipy.stats import norm

from sklearn_dlf import DLFRegressor
from sklearn_dlf._latent.member_process import MemberProcess
from sklearn_dlf._latent.row_correlation import RowCorrelation
from sklearn_dlf.metrics import (
    crps_ensemble,
    expected_calibration_error,
    gaussian_mixture_nll,
    member_fidelity,
    mutual_information,
)

hypothesis = pytest.importorskip("hypothesis")
st = pytest.importorskip("hypothesis.strategies")
given = hypothesis.given

# The same examples in each run; times of shared machines say nothing.
settings = hypothesis.settings(derandomize=True, deadline=None, max_examples=40, database=None)
few = hypothesis.settings(settings, max_examples=15)
very_few = hypothesis.settings(settings, max_examples=5)

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 9)
units = st.floats(1e-9, 1e9)
shifts = st.floats(-1e3, 1e3)
levels = st.lists(st.floats(1e-6, 1 - 1e-6), min_size=1, max_size=6)

REGRESSORS = ["mlp", "piecewise_linear", "conformal", "noise_of_rows", "several", "logarithm"]
CLASSIFIERS = ["binary", "multiclass", "separable_classes", "dirichlet"]


def distribution(seed, n, m):
    """Return y (n,), draws (n, m), variances (n, m) and weights (n,)."""
    rng = np.random.RandomState(seed)
    normal = rng.standard_normal((n, 2 * m + 1))
    return normal[:, 0], normal[:, 1 : m + 1], np.exp(normal[:, m + 1 :]), rng.uniform(0.5, 2, n)


@settings
@given(seeds, sizes, sizes, units, shifts)
def test_crps_has_the_unit_of_y(seed, n, m, unit, shift):
    y, draws, _, weights = distribution(seed, n, m)
    score = crps_ensemble(y, draws, weights)
    assert_allclose(
        crps_ensemble(unit * (y + shift), unit * (draws + shift), weights),
        unit * score,
        rtol=1e-6,
        atol=1e-9 * unit,
    )


@settings
@given(seeds, sizes, sizes, units)
def test_nll_grows_by_the_logarithm_of_the_unit(seed, n, m, unit):
    y, means, variances, weights = distribution(seed, n, m)
    found = gaussian_mixture_nll(unit * y, unit * means, unit**2 * variances, weights)
    assert_allclose(
        found, gaussian_mixture_nll(y, means, variances, weights) + np.log(unit), atol=1e-9
    )


@settings
@given(seeds, sizes, sizes)
def test_a_weight_is_a_number_of_equal_rows(seed, n, m):
    y, draws, variances, _ = distribution(seed, n, m)
    counts = np.random.RandomState(seed).randint(0, 4, n)
    counts[0] += 1
    rows = np.repeat(np.arange(n), counts)
    assert_allclose(crps_ensemble(y, draws, counts), crps_ensemble(y[rows], draws[rows]), rtol=1e-9)
    assert_allclose(
        gaussian_mixture_nll(y, draws, variances, counts),
        gaussian_mixture_nll(y[rows], draws[rows], variances[rows]),
        rtol=1e-9,
    )


@settings
@given(seeds, sizes, sizes)
def test_scores_of_draws_depend_on_no_order(seed, n, m):
    y, draws, variances, weights = distribution(seed, n, m)
    rng = np.random.RandomState(seed)
    rows, members = rng.permutation(n), rng.permutation(m)
    moved = np.ix_(rows, members)
    assert_allclose(
        crps_ensemble(y[rows], draws[moved], weights[rows]),
        crps_ensemble(y, draws, weights),
        rtol=1e-9,
    )
    assert_allclose(
        gaussian_mixture_nll(y[rows], draws[moved], variances[moved], weights[rows]),
        gaussian_mixture_nll(y, draws, variances, weights),
        rtol=1e-9,
    )


@settings
@given(seeds, st.integers(2, 9), st.integers(2, 9), units, shifts)
def test_fidelity_has_no_unit_and_no_origin(seed, n, m, unit, shift):
    mean, members, variances, _ = distribution(seed, n, m)
    std = np.sqrt(variances[:, 0])
    expected = member_fidelity(members, mean, std)
    found = member_fidelity(unit * (members + shift), unit * (mean + shift), unit * std)
    for name in ("mean_error", "std_ratio", "std_correlation"):
        assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-7)


@settings
@given(seeds, sizes, st.integers(2, 5), sizes)
def test_mutual_information_is_within_its_bounds_and_depends_on_no_order(seed, n, n_classes, m):
    rng = np.random.RandomState(seed)
    members = rng.dirichlet(np.full(n_classes, 0.3), size=(n, m)).swapaxes(1, 2)
    information = mutual_information(members)
    assert (information >= 0).all()
    assert (information <= np.log(min(n_classes, m)) + 1e-9).all()
    moved = members[:, rng.permutation(n_classes)][..., rng.permutation(m)]
    assert_allclose(mutual_information(moved), information, atol=1e-9)
    assert_allclose(mutual_information(np.repeat(members, 2, axis=2)), information, atol=1e-9)


@settings
@given(seeds, sizes, st.integers(2, 5), st.integers(1, 30))
def test_calibration_error_is_that_of_renamed_classes(seed, n, n_classes, n_bins):
    rng = np.random.RandomState(seed)
    probabilities, labels = rng.dirichlet(np.ones(n_classes), n), rng.randint(n_classes, size=n)
    error = expected_calibration_error(labels, probabilities, n_bins=n_bins)
    order = rng.permutation(n_classes)
    names = np.array([*"abcde"])[:n_classes]
    renamed = expected_calibration_error(
        names[labels], probabilities[:, order], classes=names[order], n_bins=n_bins
    )
    assert 0 <= error <= 1
    assert_allclose(renamed, error, atol=1e-12)


@pytest.mark.parametrize("kind", REGRESSORS)
@few
@given(levels)
def test_quantiles_rise_with_the_level_and_do_not_depend_on_other_levels(kind, asked):
    student, X = make_student(kind)
    if kind == "conformal":  # of 40 rows
        asked = np.clip(asked, 0.03, 0.97)
    asked = np.sort(asked)
    quantiles = student.predict_quantiles(X[:7], asked)
    assert np.isfinite(quantiles).all()
    # Up to the tolerance of the inverse.
    slack = 1e-6 * np.abs(quantiles[..., 1:])
    assert (np.diff(quantiles, axis=-1) >= -slack).all()
    alone = student.predict_quantiles(X[:7], asked[:1])[..., 0]
    assert_allclose(quantiles[..., 0], alone, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", REGRESSORS)
@few
@given(st.floats(0.05, 0.9), st.floats(0.05, 0.9))
def test_intervals_are_nested_and_end_at_quantiles(kind, first, second):
    student, X = make_student(kind)
    narrow, wide = (student.predict_interval(X[:7], level) for level in sorted([first, second]))
    slack = 1e-6 * np.abs(narrow)
    assert (wide[..., 0] <= narrow[..., 0] + slack[..., 0]).all()
    assert (narrow[..., 1] <= wide[..., 1] + slack[..., 1]).all()
    tail = (1 - max(first, second)) / 2
    assert_allclose(student.predict_quantiles(X[:7], [tail, 1 - tail]), wide, rtol=1e-9)


@pytest.mark.parametrize("kind", ["mlp", "piecewise_linear", "several", "separable"])
@very_few
@given(seeds)
def test_draws_tend_to_mean_and_spread(kind, seed):
    student, X = make_student(kind)
    mean, std = student.predict(X[:5], return_std=True)
    draws = student.sample_predictions(X[:5], 2000, random_state=seed)
    # Six standard errors: of 150 numbers, none is beyond by chance.
    assert_allclose((draws.mean(axis=-1) - mean) / std, 0, atol=6 / np.sqrt(2000))
    assert_allclose(draws.std(axis=-1) / std, 1, atol=6 / np.sqrt(4000))


@pytest.mark.parametrize("kind", CLASSIFIERS)
@few
@given(seeds)
def test_drawn_probabilities_sum_to_one_and_uncertainty_adds_up(kind, seed):
    student, X = make_student(kind)
    draws = student.sample_predictions(X[:5], 7, random_state=seed)
    assert_allclose(draws.sum(axis=1), 1, rtol=1e-6)
    assert (draws >= 0).all()
    parts = student.predict_uncertainty(X)
    assert_allclose(parts.total, parts.aleatoric + parts.epistemic, atol=1e-9)
    assert (parts.epistemic >= 0).all()
    assert (parts.total <= np.log(draws.shape[1]) + 1e-9).all()


@pytest.mark.parametrize("kind", [*REGRESSORS, *CLASSIFIERS])
@few
@given(seeds)
def test_a_prediction_belongs_to_its_row(kind, seed):
    student, X = make_student(kind)
    order = np.random.RandomState(seed).permutation(len(X))[:9]
    again = pickle.loads(pickle.dumps(student))
    whole = student.predict_proba(X) if hasattr(student, "classes_") else student.predict(X)
    some = again.predict_proba(X[order]) if hasattr(again, "classes_") else again.predict(X[order])
    assert_allclose(some, whole[order], rtol=1e-6, atol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # one iteration
@very_few
@given(seeds, st.integers(-20, 20))
def test_members_may_change_places_and_units_may_be_powers_of_two(seed, exponent):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((20, 2))
    members = X[:, :1] + rng.standard_normal((20, 5))
    fit = {**BRIEF, "n_epochs": 1, "max_iter": 1}
    student = DLFRegressor(**fit).fit(X, predictions=members)
    mean, std = student.predict(X, return_std=True)
    unit = 2.0**exponent
    scaled = DLFRegressor(**fit).fit(X, predictions=unit * members).predict(X, return_std=True)
    assert_allclose(scaled, [unit * mean, unit * std], rtol=1e-6)
    moved = members[:, rng.permutation(5)]
    found = DLFRegressor(**fit).fit(X, predictions=moved).predict(X)
    # The mean of the members is theirs in any order, but for rounding, which training enlarges.
    assert_allclose(found, mean, atol=1e-2 * np.ptp(members))


@settings
@given(seeds, st.integers(1, 4), st.integers(1, 3), st.integers(2, 6))
def test_the_likelihood_of_the_latent_model_is_that_of_dense_normals(seed, n, q, m):
    rng = np.random.RandomState(seed)
    loadings, noise = rng.standard_normal((n, 1, q)), rng.uniform(0.3, 2)
    members = rng.standard_normal((n, m))
    covariance = loadings[:, 0] @ loadings[:, 0].T + noise * np.eye(n)
    root = np.linalg.cholesky(covariance)
    white = np.linalg.solve(root, members)
    dense = norm.logpdf(white).sum() - m * np.log(np.diag(root)).sum()
    assert_allclose(latent_log_density(loadings, noise, members), dense, rtol=1e-7)


def latent_log_density(loadings, noise, members):
    """Log-density of members (n, m) by the identities of determinant and inverse of low rank."""
    n, m = members.shape
    zero = np.zeros((n, 1))
    process = MemberProcess(zero, loadings, None, loadings[..., :0], np.full((n, 1), noise**0.5))
    per_entry = process.log_likelihood(members[:, None], RowCorrelation(), zero)
    return per_entry * n * m
