import numpy as np
import torch
from numpy.testing import assert_allclose

from sklearn_dlf._fitting.member_likelihoods import (
    MinibatchLikelihood,
    PenalisedLikelihood,
    squared_mmd,
)
from sklearn_dlf._latent import full
from sklearn_dlf._network.bodies import make_mlp
from sklearn_dlf._network.students import StudentNetwork


def test_minibatch_objective_is_the_expected_likelihood_of_its_batch():
    rng = np.random.RandomState(0)
    loadings, members = rng.standard_normal((8, 1, 2)), rng.standard_normal((8, 1, 5))
    mean, noise = rng.standard_normal((8, 1)), 0.4
    network = StudentNetwork(make_mlp(1, (2,), "relu"), 1, 1, 2)
    objective = MinibatchLikelihood(network, [1.0], noise)
    tensors = [torch.tensor(a, dtype=torch.float32) for a in (mean, loadings, members)]
    columns = network.layout.join(tensors[0], torch.zeros(8, 1), tensors[1])
    loss = objective(columns, (tensors[2], torch.ones(8)))
    residuals = (members - mean[..., None])[:, 0]
    latent = full.posterior(full.project(loadings[:, 0], residuals), noise)
    misfit = np.mean((residuals - loadings[:, 0] @ latent.mean.T) ** 2)
    misfit += np.trace(loadings[:, 0] @ latent.cov @ loadings[:, 0].T) / 8
    assert_allclose(loss.item(), 0.5 * (np.log(noise) + misfit / noise), rtol=1e-5)


def test_squared_mmd_is_zero_on_average_for_equal_distributions_only():
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(60, 100, 3, generator=generator)
    same = [squared_mmd(a, b).item() for a, b in zip(draws[:30], draws[30:], strict=True)]
    shifted = [squared_mmd(a + 1, b).item() for a, b in zip(draws[:30], draws[30:], strict=True)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(30)
    assert min(shifted) > max(same)


def test_penalised_start_adds_the_penalty():
    torch.manual_seed(0)
    network = StudentNetwork(make_mlp(1, (2,), "relu"), 1, 1, 2)
    columns = torch.zeros(4, network.layout.n_columns)
    targets = (torch.zeros(4, 1, 20), torch.ones(4))
    light, heavy = (PenalisedLikelihood(network, [1.0], 20, 2, weight, 4) for weight in (0.0, 10.0))
    for objective in (light, heavy):
        objective.latent.data.fill_(3.0)
    assert heavy(columns, targets) > light(columns, targets) + 1
