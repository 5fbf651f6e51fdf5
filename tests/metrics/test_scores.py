import warnings

import numpy as np
import pytest
import scoringrules
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal, norm
from sklearn.exceptions import UndefinedMetricWarning

from sklearn_dlf.metrics import (
    crps_ensemble,
    expected_calibration_error,
    gaussian_mixture_nll,
    interval_coverage,
    member_fidelity,
    mutual_information,
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


def test_nll_is_finite_far_from_the_means():
    assert np.isfinite(gaussian_mixture_nll([1e4], [[0.0, 1.0]], [[1.0, 1.0]]))


def test_coverage_counts_the_ends_in():
    intervals = [[0.0, 1.0]] * 4
    assert interval_coverage([0.0, 0.5, 1.0, 1.5], intervals) == 0.75


def test_fidelity_of_a_student_equal_to_its_teacher_is_perfect(rng):
    members = rng.standard_normal((30, 8)) * np.linspace(1, 2, 30)[:, None]
    fidelity = member_fidelity(members, members.mean(axis=1), members.std(axis=1, ddof=1))
    assert_allclose(fidelity.mean_error, 0.0, atol=1e-12)
    assert_allclose([fidelity.std_ratio, fidelity.std_correlation], 1.0)


def test_fidelity_is_in_units_of_the_teacher(rng):
    members = rng.standard_normal((30, 8))
    mean, std = members.mean(axis=1), members.std(axis=1, ddof=1)
    fidelity = member_fidelity(members, mean + 0.5 * mean.std(), 2 * std)
    assert_allclose([fidelity.mean_error, fidelity.std_ratio], [0.5, 2.0])


@pytest.mark.parametrize(
    ("members", "std", "score", "reason"),
    [
        (np.ones((3, 2)), np.ones(3), "std_ratio", "members agree at all rows"),
        (np.ones((3, 2)), np.ones(3), "mean_error", "mean is the same at all rows"),
        ([[0, 1], [2, 5], [4, 6]], np.ones(3), "std_correlation", "the same at all rows"),
    ],
)
def test_fidelity_is_nan_with_a_warning_where_it_is_undefined(members, std, score, reason):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fidelity = member_fidelity(members, [1.0, 2.0, 3.0], std)
    assert {each.category for each in caught} == {UndefinedMetricWarning}
    assert any(reason in str(each.message) for each in caught)
    assert np.isnan(fidelity[score])


def factors_of(rng, n_rows=12, q=2):
    return {
        "mean": rng.standard_normal((n_rows, 1)),
        "loadings": rng.standard_normal((n_rows, 1, q)),
        "member_std": rng.uniform(0.5, 1.0, (n_rows, 1)),
    }


def fidelity_of(latent, held_out):
    """Fidelity with any members, mean and std: the scores of factors do not depend on them."""
    n_rows = len(latent["mean"])
    members = np.arange(3.0 * n_rows).reshape(n_rows, 3) ** 2
    return member_fidelity(
        members,
        members.mean(axis=1),
        members.std(axis=1),
        latent_parameters=latent,
        held_out_members=held_out,
    )


def test_joint_gain_is_that_of_dense_normals(rng):
    latent, held_out = factors_of(rng), rng.standard_normal((12, 5))
    mean, loadings = latent["mean"][:, 0], latent["loadings"][:, 0]
    covariance = loadings @ loadings.T + np.diag(latent["member_std"][:, 0] ** 2)
    joint, independent = (
        multivariate_normal(mean, each).logpdf(held_out.T).mean() / 12
        for each in (covariance, np.diag(np.diag(covariance)))
    )
    fidelity = fidelity_of(latent, held_out)
    assert_allclose(fidelity.joint_gain, joint - independent, rtol=1e-10)
    share = np.sum(loadings**2) / np.trace(covariance)
    assert_allclose(fidelity.factor_variance_ratio, share, rtol=1e-12)


def test_joint_gain_of_factors_that_say_nothing_is_zero(rng):
    latent = {**factors_of(rng), "loadings": np.zeros((12, 1, 2))}
    fidelity = fidelity_of(latent, rng.standard_normal((12, 5)))
    assert (fidelity.joint_gain, fidelity.factor_variance_ratio) == (0.0, 0.0)


def test_joint_gain_is_finite_without_member_noise(rng):
    latent = {**factors_of(rng), "member_std": np.zeros((12, 1))}
    fidelity = fidelity_of(latent, rng.standard_normal((12, 5)))
    assert np.isfinite(fidelity.joint_gain)
    assert fidelity.factor_variance_ratio == 1.0


def test_a_student_without_spread_has_no_joint_gain(rng):
    latent = factors_of(rng)
    latent |= {name: 0 * latent[name] for name in ("loadings", "member_std")}
    fidelity = fidelity_of(latent, rng.standard_normal((12, 5)))
    assert_allclose([fidelity.joint_gain, fidelity.factor_variance_ratio], np.nan)


def test_a_student_without_factors_has_no_scores_of_them():
    fidelity = member_fidelity([[0.0, 2.0], [1.0, 5.0]], [1.0, 3.0], [1.0, 2.0])
    assert fidelity.factor_variance_ratio is None
    assert fidelity.joint_gain is None


def test_held_out_members_need_latent_parameters():
    members = [[0.0, 2.0], [1.0, 5.0]]
    with pytest.raises(ValueError, match="without latent_parameters"):
        member_fidelity(members, [1.0, 3.0], [1.0, 2.0], held_out_members=members)


def test_latent_parameters_of_several_outputs_are_refused(rng):
    latent = {name: np.repeat(each, 2, axis=1) for name, each in factors_of(rng).items()}
    with pytest.raises(ValueError, match=r"of one output at 12 rows.*\(12, 2, 2\)"):
        fidelity_of(latent, None)


def test_held_out_members_at_other_rows_are_refused(rng):
    with pytest.raises(ValueError, match="the 12 rows of members; got 11"):
        fidelity_of(factors_of(rng), np.ones((11, 5)))


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
def test_arrays_that_do_not_fit_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "score",
    [
        lambda weights: crps_ensemble([0.0, 1.0], [[1.0, 2.0], [0.0, 1.0]], weights),
        lambda weights: gaussian_mixture_nll([0.0, 1.0], [[1.0]] * 2, [[1.0]] * 2, weights),
    ],
)
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, -1.0], "Negative values in data passed to `sample_weight`"),
        ([1.0, np.nan], "sample_weight contains NaN"),
        ([0.0, 0.0], "All values of sample_weight are zero; expected at least one positive"),
        ([1.0], r"sample_weight.shape == \(1,\), expected \(2,\)"),
    ],
)
def test_weights_that_make_no_sense_are_refused(score, weights, message):
    with pytest.raises(ValueError, match=message):
        score(weights)


@pytest.mark.parametrize(
    "score",
    [
        lambda: crps_ensemble([], np.empty((0, 2))),
        lambda: gaussian_mixture_nll([], np.empty((0, 2)), np.empty((0, 2))),
        lambda: interval_coverage([], np.empty((0, 2))),
        lambda: member_fidelity(np.empty((0, 2)), [], []),
        lambda: expected_calibration_error([], np.empty((0, 2))),
        lambda: mutual_information(np.empty((0, 2, 3))),
    ],
)
def test_scores_of_no_rows_are_refused(score):
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        score()


@pytest.mark.parametrize("shape", [(5, 1), (1, 5)])
def test_fidelity_needs_two_rows_and_two_members(shape):
    with pytest.raises(ValueError, match=rf"two rows and two members.*got shape \({shape[0]}, "):
        member_fidelity(np.ones(shape), np.ones(shape[0]), np.ones(shape[0]))


def test_a_negative_standard_deviation_is_refused():
    with pytest.raises(ValueError, match=r"std must not be negative; the smallest is -1\.0"):
        member_fidelity([[0.0, 1.0], [1.0, 3.0]], [0.5, 2.0], [1.0, -1.0])


@pytest.mark.parametrize(
    "score",
    [
        lambda probabilities: expected_calibration_error([0], probabilities),
        lambda probabilities: mutual_information(np.repeat(probabilities, 2, axis=0).T[None]),
    ],
)
@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        ([[1.1, -0.1]], "probabilities, which are not negative; the smallest value is -0.1"),
        ([[0.5, 0.498]], "sum to one .* tolerance of 0.001; got sums from 0.998 to 0.998"),
        ([[0.5, 0.502]], "sum to one .* got sums from 1 to 1"),
    ],
)
def test_values_that_are_not_probabilities_are_refused(score, probabilities, message):
    with pytest.raises(ValueError, match=message):
        score(probabilities)


def test_probabilities_may_miss_one_by_rounding():
    probabilities = np.array([[0.75, 0.2505], [0.75, 0.2495]])
    assert expected_calibration_error([0, 1], probabilities) == 0.25
    assert mutual_information(probabilities.T[None]).shape == (1,)


@pytest.mark.parametrize("n_bins", [0, -3])
def test_fewer_than_one_bin_is_refused(n_bins):
    with pytest.raises(ValueError, match=f"n_bins == {n_bins}, must be >= 1"):
        expected_calibration_error([0], [[0.5, 0.5]], n_bins=n_bins)


def test_a_number_of_bins_that_is_no_integer_is_refused():
    with pytest.raises(TypeError, match="n_bins must be an instance of int"):
        expected_calibration_error([0], [[0.5, 0.5]], n_bins=2.5)


def test_labels_that_are_not_among_the_classes_are_refused():
    with pytest.raises(ValueError, match=r"labels \['a', 'b'\].* not in classes, \[0, 1\]"):
        expected_calibration_error(["a", "b"], [[0.5, 0.5]] * 2)
    assert expected_calibration_error(["a", "b"], [[0.5, 0.5]] * 2, classes=["a", "b"]) == 0.0


def test_calibration_error_is_that_of_a_loop_over_bins(rng):
    probabilities = rng.dirichlet([1.0, 1.0, 1.0], size=200)
    y = rng.randint(3, size=200)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == y
    expected = 0.0
    for low in np.arange(10) / 10:
        rows = (confidence >= low) & (confidence < low + 0.1)
        if rows.any():
            expected += rows.mean() * abs(confidence[rows].mean() - right[rows].mean())
    assert_allclose(expected_calibration_error(y, probabilities, n_bins=10), expected, rtol=1e-10)


DAYS = np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: crps_ensemble(DAYS, [[0.0], [1.0]]), TypeError, "y_true must be numbers"),
        (lambda: crps_ensemble([0.0, 1.0], DAYS[:, None]), TypeError, "draws must be numbers"),
        (lambda: interval_coverage([0.0], [["low", "high"]]), TypeError, "intervals must be numb"),
        (lambda: crps_ensemble([0.0], [[1.0, 2.0], [3.0]]), ValueError, "draws .* rows of one len"),
        (lambda: crps_ensemble([1e200], [[0.0]]), ValueError, r"y_true must lie within 1e\+140"),
        (lambda: member_fidelity([[0, 1], [2, 3]], [1j, 2], [1, 1]), TypeError, "mean must be num"),
        (lambda: gaussian_mixture_nll([1e140], [[0]], [[1e-100]]), ValueError, "y_true is too sm"),
        (
            lambda: member_fidelity(
                [[0, 1], [2, 5]], [1, 2], [1, 2], latent_parameters={"mean": 1}
            ),
            ValueError,
            "latent_parameters must have mean, loadings, member_std",
        ),
    ],
)
def test_values_that_are_no_numbers_of_ordinary_size_are_refused_by_name(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_gaps_of_masked_arrays_are_no_values():
    masked = np.ma.masked_array([0.0, 1.0], mask=[True, False])
    with pytest.raises(ValueError, match="Input y_true contains NaN"):
        crps_ensemble(masked, [[0.0], [1.0]])
    with pytest.raises(ValueError, match="some are not in classes"):
        expected_calibration_error(masked, [[0.5, 0.5]] * 2)


@pytest.mark.parametrize("unit", [1e-310, 1e-200, 1e200, 1e307])
def test_scores_do_not_depend_on_the_unit_of_weights(unit, rng):
    y, draws, weights = rng.standard_normal(9), rng.standard_normal((9, 5)), rng.uniform(1, 2, 9)
    for score in (
        crps_ensemble,
        lambda *rows: gaussian_mixture_nll(rows[0], draws, np.exp(draws), rows[2]),
    ):
        expected = score(y, draws, weights)
        # Denormal weights have few digits.
        assert_allclose(
            score(y, draws, unit * weights), expected, rtol=1e-3 if unit < 1e-300 else 1e-12
        )


@pytest.mark.parametrize("unit", [1e-200, 1e-150, 1e130])
def test_fidelity_is_the_same_in_any_unit(unit, rng):
    members, mean, std = rng.standard_normal((9, 5)), rng.standard_normal(9), rng.uniform(1, 2, 9)
    expected = member_fidelity(members, mean, std)
    found = member_fidelity(unit * members, unit * mean, unit * std)
    for name in ("mean_error", "std_ratio", "std_correlation"):
        assert_allclose(found[name], expected[name], rtol=1e-9)


@pytest.mark.parametrize("n_bins", [True, np.True_])
def test_a_bool_is_no_number_of_bins(n_bins):
    with pytest.raises(TypeError, match="n_bins must be an instance of int, not bool"):
        expected_calibration_error([0], [[0.5, 0.5]], n_bins=n_bins)


def test_reversed_intervals_are_refused():
    with pytest.raises(ValueError, match="lower end of 1 of 2 intervals is above"):
        interval_coverage([0.0, 0.0], [[1.0, -1.0], [-1.0, 1.0]])
