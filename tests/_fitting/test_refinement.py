import numpy as np
import torch
from numpy.testing import assert_allclose
from scipy.special import softmax

from sklearn_dlf._fitting.objectives import ExpectedLikelihood
from sklearn_dlf._fitting.refinement import AveragedProbabilities
from sklearn_dlf._network.bodies import make_mlp
from sklearn_dlf._network.heads import Units
from sklearn_dlf._network.students import StudentNetwork


def make_student():
    """A network of three outputs and two factors."""
    return StudentNetwork(make_mlp(1, (2,), "relu"), 1, 3, 2)


def test_objective_without_spread_is_the_cross_entropies_and_the_anchor():
    rng = np.random.RandomState(0)
    mean, loadings, residuals = rng.randn(8, 3), np.zeros((8, 3, 2)), np.zeros((8, 3, 5))
    center, scale = rng.randn(3), rng.rand(3) + 0.5
    regression = ExpectedLikelihood(make_student(), 0.1, fit_noise=False)
    own = (torch.tensor(a, dtype=torch.float32) for a in (mean, mean, loadings))
    columns = regression.join(*own)
    probabilities = softmax(rng.randn(8, 3), axis=1)
    wanted = regression.targets(mean + 1, loadings, np.zeros((8, 3)))
    targets = (probabilities, residuals, wanted, np.ones(8))
    targets = tuple(torch.as_tensor(target, dtype=torch.float32) for target in targets)
    objective = AveragedProbabilities(regression, 0.5, Units(center, scale, np.zeros(3)))
    objective.set_members(rng.randn(2, 5))
    own = np.log(softmax(center + scale * mean, axis=1))
    members = softmax(center + scale * (mean + 1), axis=1)
    expected = -np.mean(np.sum((probabilities + members) * own, axis=1)) + 0.5 * 1.0
    assert_allclose(objective(columns, targets).item(), expected, rtol=1e-5)


def test_objective_is_least_at_the_members_own_latent_variables():
    rng = np.random.RandomState(0)
    loadings, latent = rng.randn(50, 3, 2), rng.randn(6, 2)
    mean = rng.randn(50, 3)
    residuals = loadings @ latent.T
    probabilities = softmax(mean, axis=1)
    regression = ExpectedLikelihood(make_student(), 0.1, fit_noise=False)
    objective = AveragedProbabilities(regression, 0.0, Units(np.zeros(3), np.ones(3), np.ones(3)))
    wanted = regression.targets(mean, loadings, np.zeros((50, 3)))
    rest = (probabilities, residuals, wanted, np.ones(50))
    targets = tuple(torch.as_tensor(target, dtype=torch.float32) for target in rest)
    columns = regression.join(
        targets[2].new_tensor(mean), torch.full((50, 3), -9.0), targets[2].new_tensor(loadings)
    )
    losses = []
    for z in (latent, -latent):
        torch.manual_seed(0)
        objective.set_members(z.T)
        losses.append(objective(columns, targets).item())
    assert losses[0] < losses[1] - 0.1
