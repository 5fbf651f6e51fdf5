"""Normal models: conditioning, and how a posterior drifts to its prior."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_dlf._updating.models import Likelihood, Model, model_of, no_rows

SIZE = 6


def make_model(n_factors, seed=0):
    """A model of full or of low rank, and a likelihood."""
    rng = np.random.RandomState(seed)
    root = rng.standard_normal((SIZE, n_factors))
    design = rng.standard_normal((4, SIZE))
    likelihood = Likelihood(design.T @ design, design.T @ rng.standard_normal(4), -3.0)
    return model_of(root), root @ root.T, likelihood


def moments(model, likelihood):
    normal = model.posterior(likelihood)
    return normal.mean, normal.root @ normal.root.T


@pytest.mark.parametrize("n_factors", [2, 9])
def test_posterior_equals_dense_conditioning(n_factors):
    model, prior, likelihood = make_model(n_factors)
    mean, covariance = moments(model, likelihood)
    dense = prior @ np.linalg.inv(np.eye(SIZE) + likelihood.precision @ prior)
    assert_allclose(covariance, dense, atol=1e-12)
    assert_allclose(mean, dense @ likelihood.slope, atol=1e-12)


@pytest.mark.parametrize("n_vectors", [2, 4, 9])
def test_the_posterior_of_the_factors_equals_dense_conditioning(n_vectors):
    _, _, likelihood = make_model(n_vectors)
    root = np.random.RandomState(1).standard_normal((SIZE, n_vectors))
    normal = model_of(root, factors=root[:, :2]).posterior(likelihood)
    vectors = np.concatenate([root, np.eye(2, n_vectors)])
    prior = vectors @ vectors.T
    dense = np.linalg.inv(np.eye(SIZE) + likelihood.precision @ prior[:SIZE, :SIZE])
    gain = prior[:, :SIZE] @ dense
    assert_allclose(normal.mean, gain @ likelihood.slope, atol=1e-12)
    expected = prior - gain @ likelihood.precision @ prior[:SIZE]
    assert_allclose(normal.root @ normal.root.T, expected, atol=1e-12)


@pytest.mark.parametrize("n_factors", [2, 9])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.997, 1.0])
def test_drift_moves_mean_and_covariance_to_the_prior(n_factors, share):
    model, prior, likelihood = make_model(n_factors)
    mean, covariance = moments(model, likelihood)
    drifted = moments(model, model.drift(likelihood, share))
    assert_allclose(drifted[0], share * mean, atol=1e-12)
    assert_allclose(drifted[1], share**2 * covariance + (1 - share**2) * prior, atol=1e-12)


@pytest.mark.parametrize("n_factors", [2, 9])
def test_precisions_stay_positive_definite_after_ten_thousand_steps(n_factors):
    model, prior, _ = make_model(n_factors)
    rng = np.random.RandomState(1)
    likelihood = no_rows(SIZE)
    for _ in range(10_000):
        row = 100 * rng.standard_normal(SIZE)
        likelihood = model.drift(likelihood, 0.999)
        likelihood = likelihood._replace(precision=likelihood.precision + np.outer(row, row))
    covariance = moments(model, likelihood)[1]
    values = np.linalg.eigvalsh(covariance)[-n_factors:]
    assert np.isfinite(values).all()
    assert (values > 0).all()
    assert values.max() < np.linalg.eigvalsh(prior).max()


def test_evidence_is_that_of_the_marginal_likelihood():
    # Of two observations of the coordinates' sum, with unit noise.
    model = Model(None, np.eye(2))
    design, values = np.ones((2, 2)), np.array([1.0, 2.0])
    likelihood = Likelihood(design.T @ design, design.T @ values, 0.0)
    covariance = np.eye(2) + design @ design.T
    expected = -0.5 * values @ np.linalg.solve(covariance, values)
    expected -= 0.5 * np.linalg.slogdet(covariance)[1]
    found = model.log_normaliser(likelihood) - model.log_normaliser(no_rows(2))
    assert_allclose(found - 0.5 * values @ values, expected)
