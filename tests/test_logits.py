import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.special import expit, softmax
from scipy.stats import norm

from sklearn_dlf._logits import N_DRAWS, average_probabilities, normal_draws
from sklearn_dlf._objectives import AveragedProbabilities, ExpectedLikelihood
from sklearn_dlf._student import Heads


@pytest.mark.parametrize("n_dimensions", [1, 2, 14, 40])
def test_fixed_draws_have_the_moments_of_the_standard_normal(n_dimensions):
    draws = normal_draws(n_dimensions)
    assert draws.shape == (n_dimensions, N_DRAWS)
    assert_allclose(draws.mean(axis=1), 0, atol=1e-12)
    assert_allclose(draws @ draws.T / N_DRAWS, np.eye(n_dimensions), atol=1e-10)


def test_many_dimensions_have_unit_variances():
    assert_allclose(np.square(normal_draws(200)).mean(axis=1), 1)


def test_average_of_two_classes_is_the_integral():
    mean, variance = np.array([[-2.0], [0.5], [6.0]]), np.array([[0.3], [4.0], [9.0]])
    loadings = np.sqrt(variance / 2)[..., None]  # half of the variance
    expected = [
        quad(lambda f, m=m, s=s: expit(f) * norm.pdf(f, m, s), -40, 40, points=[m])[0]
        for m, s in zip(mean[:, 0], np.sqrt(variance[:, 0]), strict=True)
    ]
    averaged, _ = average_probabilities(mean, loadings, variance / 2)
    assert_allclose(averaged[:, 1], expected, atol=2e-3)


def test_averages_do_not_depend_on_the_order_of_classes():
    rng = np.random.RandomState(0)
    mean, loadings, variance = rng.randn(40, 4), rng.randn(40, 4, 3), rng.rand(40, 4)
    order = [2, 0, 3, 1]
    first, _ = average_probabilities(mean, loadings, variance)
    second, _ = average_probabilities(mean[:, order], loadings[:, order], variance[:, order])
    # The draws of the noise are others.
    assert_allclose(second, first[:, order], atol=0.05)


def test_objective_without_spread_is_the_cross_entropies_and_the_anchor():
    rng = np.random.RandomState(0)
    mean, loadings, residuals = rng.randn(8, 3), np.zeros((8, 3, 2)), np.zeros((8, 3, 5))
    center, scale = rng.randn(3), rng.rand(3) + 0.5
    heads = Heads(*(torch.tensor(a, dtype=torch.float32) for a in (mean, mean, loadings)))
    probabilities = softmax(rng.randn(8, 3), axis=1)
    targets = (probabilities, residuals, mean + 1, loadings, np.zeros((8, 3)), np.ones(8))
    targets = tuple(torch.tensor(target, dtype=torch.float32) for target in targets)
    objective = AveragedProbabilities(
        ExpectedLikelihood(0.1, fit_noise=False), 0.5, center, scale, np.zeros(3)
    )
    objective.set_members(rng.randn(2, 5))
    own = np.log(softmax(center + scale * mean, axis=1))
    members = softmax(center + scale * (mean + 1), axis=1)
    expected = -np.mean(np.sum((probabilities + members) * own, axis=1)) + 0.5 * 1.0
    assert_allclose(objective(heads, targets).item(), expected, rtol=1e-5)


def test_objective_is_least_where_members_are_met_at_their_latent_variables():
    rng = np.random.RandomState(0)
    loadings, latent = rng.randn(50, 3, 2), rng.randn(6, 2)
    mean = rng.randn(50, 3)
    residuals = loadings @ latent.T
    probabilities = softmax(mean, axis=1)
    objective = AveragedProbabilities(
        ExpectedLikelihood(0.1, fit_noise=False), 0.0, np.zeros(3), np.ones(3), np.ones(3)
    )
    rest = (probabilities, residuals, mean, loadings, np.zeros((50, 3)), np.ones(50))
    targets = tuple(torch.tensor(target, dtype=torch.float32) for target in rest)
    heads = Heads(
        targets[2], torch.full((50, 3), -9.0), torch.tensor(loadings, dtype=torch.float32)
    )
    losses = []
    for z in (latent, -latent):
        torch.manual_seed(0)
        objective.set_members(z.T)
        losses.append(objective(heads, targets).item())
    assert losses[0] < losses[1] - 0.1
