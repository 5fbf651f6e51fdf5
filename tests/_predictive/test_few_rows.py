"""Moments and probabilities of few rows, beside those of many."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_dlf._network.bodies import make_mlp
from sklearn_dlf._network.heads import Units
from sklearn_dlf._network.students import SeparableStudentNetwork, StudentNetwork
from sklearn_dlf._predictive.averaged_probabilities import average_probabilities
from sklearn_dlf._predictive.few_rows import MAX_LOGITS, few_rows_of
from sklearn_dlf._predictive.members import EXACT_ROWS, LatentFactorMembers

N_FEATURES, Q = 3, 4


def make_members(n_outputs, has_shares=False, scale=1.0, seed=0, network_class=StudentNetwork):
    generator = torch.Generator().manual_seed(seed)
    body = make_mlp(N_FEATURES, (8, 8), "swish", generator)
    network = network_class(body, N_FEATURES, n_outputs, Q, generator)
    if has_shares:
        network.noise_head = torch.nn.Linear(8, n_outputs * 2)
        with torch.no_grad():
            network.noise_head.weight.normal_(0, 3, generator=generator)
            network.noise_head.bias.normal_(0, 1, generator=generator)
    network.limit_noise(np.full(n_outputs, -0.1))
    rng = np.random.RandomState(seed)
    units = Units(
        scale * rng.standard_normal(n_outputs),
        scale * rng.uniform(1, 2, n_outputs),
        scale * rng.uniform(0.5, 1, n_outputs),
    )
    return LatentFactorMembers(network.eval().requires_grad_(False), units)


def make_rows(n_rows):
    return np.random.RandomState(1).standard_normal((n_rows, N_FEATURES))


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_moments_are_those_of_the_heads(n_outputs):
    members, X = make_members(n_outputs), make_rows(5)
    mean, variance = members.network.frozen(True).evaluate_moments(X)
    center, scale, spread = members.units
    found = members.moments(X)
    assert_allclose(found.mean, center + scale * mean, rtol=1e-12)
    assert_allclose(found.variance, spread**2 * variance, rtol=1e-12)


@pytest.mark.parametrize("n_rows", [1, 7])
@pytest.mark.parametrize(
    ("n_outputs", "has_shares"), [(1, False), (3, False), (3, True), (10, True)]
)
def test_probabilities_are_those_of_averaged_heads(n_outputs, has_shares, n_rows):
    members, X = make_members(n_outputs, has_shares), make_rows(n_rows)
    network = members.network.frozen(True)
    expected, _ = average_probabilities(network.evaluate(X), members.units)
    few = few_rows_of(network, members.units)
    assert_allclose(few.probabilities(X), expected, rtol=1e-11)
    assert_allclose(members.probabilities(X)[0], expected, rtol=1e-11)


def test_logits_beyond_the_range_of_powers_are_left_to_others():
    members, X = make_members(3, scale=1e4), make_rows(2)
    network = members.network.frozen(True)
    assert few_rows_of(network, members.units).probabilities(X) is None
    probabilities = members.probabilities(X)[0]
    assert_allclose(probabilities.sum(axis=1), 1)


def test_many_logits_are_left_to_others():
    members = make_members(10)
    few = few_rows_of(members.network.frozen(True), members.units)
    n_most = MAX_LOGITS // (10 * 50)
    assert few.probabilities(make_rows(n_most)) is not None
    assert few.probabilities(make_rows(n_most + 1)) is None


def test_many_rows_are_left_to_others():
    members = make_members(3)
    assert members._few_rows(make_rows(EXACT_ROWS)) is not None
    assert members._few_rows(make_rows(EXACT_ROWS + 1)) is None


def test_separable_loadings_are_left_to_others():
    members = make_members(3, network_class=SeparableStudentNetwork)
    assert few_rows_of(members.network.frozen(True), members.units) is None
    assert members.probabilities(make_rows(2))[0].shape == (2, 3)


def test_a_row_does_not_depend_on_its_batch():
    members, X = make_members(3, True), make_rows(200)
    together = members.probabilities(X)[0]
    alone = np.concatenate([members.probabilities(X[i : i + 1])[0] for i in range(200)])
    assert_allclose(together, alone, rtol=1e-12)


def test_other_units_are_noticed():
    members, X = make_members(3), make_rows(2)
    before = members.moments(X).mean
    other = LatentFactorMembers(members.network, Units(*(2 * part for part in members.units)))
    assert_allclose(other.moments(X).mean, 2 * before)
    assert_array_equal(members.moments(X).mean, before)


def test_changed_weights_are_noticed():
    members, X = make_members(3), make_rows(2)
    before = members.probabilities(X)[0]
    members.network.shift_mean(np.array([1.0, 0.0, 0.0]))
    assert (members.probabilities(X)[0][:, 0] > before[:, 0]).all()
