import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal

from sklearn_dlf import DLFRegressor
from sklearn_dlf._latent import number_of_factors
from sklearn_dlf.datasets import make_dlf_ensemble

QUICK = {"hidden_layer_sizes": (8,), "n_epochs": 1, "tol": 10.0, "random_state": 0}


def contrasts(members):
    return members - members.mean(axis=1, keepdims=True)


def dense_log_likelihood(members, held_out, q, noise_floor):
    """Density of held-out members from the eigendecomposition of the covariance of the others."""
    seen = members[:, ~held_out]
    n_entries, n_seen = seen.shape
    values, vectors = np.linalg.eigh(np.cov(seen))
    values, vectors = values[::-1], vectors[:, ::-1]
    degrees = (n_entries - q) * (n_seen - 1 - q) / (n_seen - 1)
    noise = max(values[q:].sum() / degrees, noise_floor)
    factors = np.maximum(values[:q] - noise, 0)
    cov = (vectors[:, :q] * factors) @ vectors[:, :q].T + noise * np.eye(n_entries)
    deviation = (members[:, held_out] - seen.mean(axis=1, keepdims=True)) / np.sqrt(1 + 1 / n_seen)
    return multivariate_normal(cov=cov).logpdf(deviation.T)


@pytest.mark.parametrize("noise_floor", [0.0, 0.5])
def test_held_out_likelihood_is_that_of_dense_algebra_for_every_q(noise_floor):
    rng = np.random.RandomState(0)
    members = rng.standard_normal((15, 3)) @ rng.standard_normal((3, 12))
    members += 0.5 * rng.standard_normal((15, 12)) + np.arange(15.0)[:, None]
    held_out = np.arange(12) % 3 == 1
    residuals = contrasts(members)
    found = number_of_factors.held_out_log_likelihood(
        residuals.T @ residuals, held_out, 15, 7, noise_floor=noise_floor
    )
    for q in range(7):
        expected = dense_log_likelihood(members, held_out, q, noise_floor)
        assert_allclose(found[:, q], expected, rtol=1e-8)


def test_scores_average_over_every_member_held_out_once(monkeypatch):
    monkeypatch.setattr(number_of_factors, "N_FOLDS", 3)
    members = np.random.RandomState(1).standard_normal((10, 9))
    expected = [
        np.mean(
            [dense_log_likelihood(members, np.arange(9) % 3 == fold, q, 0.0) for fold in range(3)]
        )
        for q in range(5)
    ]
    scores = number_of_factors.factor_scores(contrasts(members))
    assert_allclose(scores, np.array(expected) / 10, rtol=1e-8)


@pytest.mark.parametrize("q", [3, 6, 12])
def test_the_true_number_of_factors_is_found(q):
    # Over ten columns all of twelve smooth loadings stand out from the noise of 50 members. Over
    # three columns the last of twelve is too weak to be found in any eigenvalue.
    found = []
    for seed in range(10):
        data = make_dlf_ensemble(n_features=10, n_members=50, q=q, random_state=seed)
        found.append(np.argmax(number_of_factors.factor_scores(contrasts(data.predictions))))
    assert np.count_nonzero(np.abs(np.array(found) - q) <= 1) >= 9


def test_auto_stores_the_scores_and_takes_the_best(known):
    student = DLFRegressor(q="auto", **QUICK).fit(known.X, predictions=known.predictions)
    assert student.q_ == np.argmax(student.q_scores_) == 3
    assert student.q == "auto"
    assert student.latent_parameters(known.X).loadings.shape[-1] == 3


def test_auto_is_the_same_student_as_the_number_it_finds(known):
    fit = {"X": known.X, "predictions": known.predictions}
    auto, fixed = DLFRegressor(q="auto", **QUICK).fit(**fit), DLFRegressor(q=3, **QUICK).fit(**fit)
    assert fixed.q_scores_ is None
    for mine, other in zip(
        auto.predict(known.X, return_std=True),
        fixed.predict(known.X, return_std=True),
        strict=True,
    ):
        assert_array_equal(mine, other)


def test_scores_do_not_depend_on_units(known):
    fit = {"X": known.X, "predictions": known.predictions}
    scaled = {"X": known.X, "predictions": 1e3 * known.predictions + 5}
    first = DLFRegressor(q="auto", **QUICK).fit(**fit).q_scores_
    second = DLFRegressor(q="auto", **QUICK).fit(**scaled).q_scores_
    assert_allclose(first, second, rtol=1e-4)  # float32 contrasts


@pytest.mark.parametrize(("n_members", "n_scores"), [(2, 0), (3, 1), (5, 3)])
def test_few_members_have_at_least_one_factor(known, n_members, n_scores):
    student = DLFRegressor(q="auto", **QUICK)
    student.fit(known.X, predictions=known.predictions[:, :n_members])
    assert student.q_scores_.shape == (n_scores,)
    assert 1 <= student.q_ < n_members


def test_members_of_noise_alone_have_one_factor():
    rng = np.random.RandomState(0)
    X, predictions = rng.standard_normal((80, 2)), rng.standard_normal((80, 20))
    student = DLFRegressor(q="auto", **QUICK).fit(X, predictions=predictions)
    assert np.argmax(student.q_scores_) == 0
    assert student.q_ == 1


def test_other_strings_for_q_are_refused(known):
    with pytest.raises(ValueError, match=r"'q' parameter .* \{'auto'\}"):
        DLFRegressor(q="best").fit(known.X, predictions=known.predictions)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_members_without_noise_have_as_many_factors_as_directions(dtype):
    """What is left of linear functions of six columns is rounding, and no factor."""
    rng = np.random.RandomState(0)
    X, slopes = rng.standard_normal((100, 6)), rng.standard_normal((6, 80))
    predictions = (X @ (slopes * np.array([[1, 1, 1, 0.3, 0.1, 0.1]]).T)).astype(dtype)
    student = DLFRegressor(q="auto", **QUICK).fit(X, predictions=predictions)
    assert student.q_ == 6
