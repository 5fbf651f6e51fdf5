"""The choice of the law of the latent variables of a trained network."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.linalg import eigh
from scipy.stats import ortho_group
from torch import nn

from sklearn_dlf._fitting.latent_law import choose_law
from sklearn_dlf._network.students import StudentNetwork
from sklearn_dlf._transfer.contrasts import make_contrasts

X = np.random.RandomState(0).standard_normal((80, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    generator = torch.Generator().manual_seed(0)
    body = nn.Sequential(nn.Linear(2, 8), nn.Tanh())
    with torch.no_grad():
        for parameter in body.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return StudentNetwork(body, 2, 1, 3, generator).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def members(network):
    """Members (n, 1, 40) of the network, in two groups along its largest direction."""
    rng = np.random.RandomState(1)
    loadings = network.evaluate(X).loadings
    directions = eigh(loadings[:, 0].T @ loadings[:, 0])[1]
    latent = rng.standard_normal((3, 40))
    latent[-1] = np.repeat([-1.0, 1.0], 20) + 0.05 * latent[-1]
    members = loadings @ (directions @ latent)
    return members + 0.01 * members.std() * rng.standard_normal(members.shape)


def learnt(contrasts):
    """Return what stands for the transfer set of members with these contrasts."""
    return SimpleNamespace(design=X, contrasts=contrasts, transformation=None)


def law_of(network, members, latent="smoothed", **weights):
    """Return the law, and the centers of its normals as functions (n, n_members)."""
    network = copy.deepcopy(network)
    contrasts = make_contrasts(members.copy(), **weights)
    choice = choose_law(network, learnt(contrasts), 1e-4, latent, np.random.RandomState(0))
    centers = None if choice.law is None else choice.law.centers
    functions = None if centers is None else network.evaluate(X).loadings[:, 0] @ centers.T
    return choice, functions


def test_a_rotation_of_factors_leaves_the_law_alone(network, members):
    choice, functions = law_of(network, members)
    rotated = copy.deepcopy(network)
    rotated.transform_loadings(ortho_group.rvs(3, random_state=0))
    other, other_functions = law_of(rotated, members)
    assert choice.gain > 20
    assert_allclose(other.gain, choice.gain, rtol=1e-3)
    assert_allclose(other.law.std, choice.law.std, atol=1e-3)
    assert_allclose(other_functions, functions, atol=1e-3 * np.abs(functions).max())


def test_the_order_of_members_leaves_the_law_alone(network, members):
    choice, functions = law_of(network, members)
    order = np.random.RandomState(2).permutation(40)
    other, other_functions = law_of(network, members[..., order])
    assert_allclose(other.gain, choice.gain, rtol=1e-4)
    assert_allclose(other_functions, functions[:, order], atol=1e-3 * np.abs(functions).max())


def test_members_near_the_law_are_those_of_the_ensemble(network, members):
    _, functions = law_of(network, members)
    expected = (members - members.mean(axis=-1, keepdims=True))[:, 0]
    correlation = [np.corrcoef(a, b)[0, 1] for a, b in zip(functions.T, expected.T, strict=True)]
    assert min(correlation) > 0.9


def test_a_gaussian_choice_leaves_the_network_as_it_is(network, members):
    before = copy.deepcopy(network.state_dict())
    contrasts = make_contrasts(members.copy())
    with pytest.warns(UserWarning, match="members are not Gaussian"):
        choice = choose_law(network, learnt(contrasts), 1e-4, "gaussian", np.random.RandomState(0))
    assert choice.law is None
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_test_of_normality_takes_no_draw_from_the_random_state(network, members):
    rng = np.random.RandomState(0)
    contrasts = make_contrasts(members.copy())
    choose_law(copy.deepcopy(network), learnt(contrasts), 1e-4, "smoothed", rng)
    assert rng.randint(1000) == np.random.RandomState(0).randint(1000)


def test_members_that_agree_are_gaussian(network, members):
    same = np.repeat(members[..., :1], 5, axis=-1)
    choice, _ = law_of(network, same)
    assert choice.law is None
    assert choice.gain == 0


def test_factors_that_members_do_not_use_are_gaussian(network, members):
    idle = copy.deepcopy(network)
    loadings = idle.evaluate(X).loadings[:, 0]
    directions = eigh(loadings.T @ loadings)[1]
    idle.transform_loadings(directions[:, ::-1] @ np.diag([1.0, 1.0, 1e-4]))
    choice, _ = law_of(idle, members)
    assert choice.gain > 20
    assert choice.law.std[-1] > 0.99
    assert np.abs(choice.law.centers[:, -1]).max() < 0.05
