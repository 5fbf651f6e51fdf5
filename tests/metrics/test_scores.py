import numpy as np
import pytest
import scoringrules
from numpy.testing import assert_allclose
from scipy.stats import norm

from sklearn_dlf.metrics import (
    crps_ensemble,
    gaussian_mixture_nll,
    interval_coverage,
    member_fidelity,
)


@pytest.fixture
def rng():
    return np.random.RandomState(0)


def test_crps_is_that_of_scoringrules(rng):
    y, draws = rng.standard_normal(50), rng.standard_normal((50, 17))
    expected = scoringrules.crps_ensemble(y, draws, estimator="nrg").mean()
    assert_allclose(crps_ensemble(y, draws), expected, rtol=1e-10)


def test_nll_of_one_component_is_that_of_a_normal(rng):
    y, mean, std = rng.standard_normal((3, 20, 1)) ** 2
    expected = -norm.logpdf(y, mean, std).mean()
    assert_allclose(gaussian_mixture_nll(y[:, 0], mean, std**2), expected, rtol=1e-10)


def test_nll_of_a_mixture_is_the_log_of_the_mean_density(rng):
    y, means = rng.standard_normal(20), rng.standard_normal((20, 4))
    variances = 0.1 + rng.uniform(size=(20, 4))
    density = norm.pdf(y[:, None], means, np.sqrt(variances)).mean(axis=1)
    assert_allclose(gaussian_mixture_nll(y, means, variances), -np.log(density).mean(), rtol=1e-10)


def test_nll_stays_finite_far_out():
    assert np.isfinite(gaussian_mixture_nll([1e4], [[0.0, 1.0]], [[1.0, 1.0]]))


def test_coverage_counts_the_ends_in():
    intervals = [[0.0, 1.0]] * 4
    assert interval_coverage([0.0, 0.5, 1.0, 1.5], intervals) == 0.75


def test_a_student_equal_to_its_teacher_is_true_to_it(rng):
    members = rng.standard_normal((30, 8)) * np.linspace(1, 2, 30)[:, None]
    fidelity = member_fidelity(members, members.mean(axis=1), members.std(axis=1, ddof=1))
    assert_allclose(fidelity.mean_error, 0.0, atol=1e-12)
    assert_allclose([fidelity.std_ratio, fidelity.std_correlation], 1.0)


def test_fidelity_is_in_the_units_it_says(rng):
    members = rng.standard_normal((30, 8))
    mean, std = members.mean(axis=1), members.std(axis=1, ddof=1)
    fidelity = member_fidelity(members, mean + 0.5 * mean.std(), 2 * std)
    assert_allclose([fidelity.mean_error, fidelity.std_ratio], [0.5, 2.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: crps_ensemble([0.0, 1.0], [[1.0]]), "inconsistent numbers of samples"),
        (lambda: crps_ensemble([[0.0]], [[1.0]]), r"shape \(n_samples,\); got \(1, 1\)"),
        (lambda: crps_ensemble([np.nan], [[1.0]]), "contains NaN"),
        (lambda: gaussian_mixture_nll([0.0], [[1.0]], [[0.0]]), "positive; the smallest is 0.0"),
        (lambda: gaussian_mixture_nll([0.0], [[1.0]], [[1.0, 2.0]]), r"\(1, 1\) and \(1, 2\)"),
        (lambda: interval_coverage([0.0], [[1.0]]), r"\(n_samples, 2\); got \(1, 1\)"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
