"""Draws of a model's parameters as members."""

import copy
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.base import clone
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from sklearn_dlf.ensembles import member_predictions, parameter_draws

rng = np.random.default_rng(0)
X = rng.normal(size=(6, 3))


@pytest.fixture
def module():
    layers = [nn.Linear(3, 5), nn.Tanh(), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 2)]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(*layers)


@pytest.fixture
def draws(module):
    mode = parameters_to_vector(module.parameters()).detach().numpy()
    return mode + rng.normal(size=(4, len(mode)))


def at(module, draw):
    """Return a copy of a module with other parameters, which is evaluated."""
    module = copy.deepcopy(module).eval()
    vector_to_parameters(torch.tensor(draw, dtype=torch.float32), module.parameters())
    return module


def outputs_at(module, draw):
    with torch.no_grad():
        return at(module, draw)(torch.tensor(X, dtype=torch.float32)).numpy()


def test_each_vector_is_one_member(module, draws):
    predictions = parameter_draws(module, draws).member_predictions(X)
    expected = np.stack([outputs_at(module, draw) for draw in draws], axis=-1)
    assert_allclose(predictions, expected, atol=1e-5)


def test_the_module_keeps_its_own_parameters_and_mode(module, draws):
    before = copy.deepcopy(module.state_dict())
    parameter_draws(module, draws).member_predictions(X)
    assert module.training
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])


def test_dicts_by_name_are_draws_too(module, draws):
    states = [at(module, draw).state_dict() for draw in draws]
    states[0]["2.running_mean"] += 1.0
    predictions = parameter_draws(module, states).member_predictions(X)
    vectors = parameter_draws(module, draws).member_predictions(X)
    assert_allclose(predictions[..., 1:], vectors[..., 1:], atol=1e-6)
    assert np.abs(predictions[..., 0] - vectors[..., 0]).max() > 0.01


def test_logits_of_classes_become_probabilities(module, draws):
    ensemble = parameter_draws(module, draws, outputs="logits", classes=["a", "b"])
    assert list(ensemble.classes_) == ["a", "b"]
    logits = outputs_at(module, draws[2])
    odds = np.exp(logits[:, 1] - logits[:, 0])
    assert_allclose(member_predictions(ensemble, X)[:, 1, 2], odds / (1 + odds), rtol=1e-4)


def line(parameters, X):
    return X @ parameters["slopes"] + parameters["offset"]


def test_a_function_gets_each_draw():
    draws = [{"slopes": rng.normal(size=3), "offset": i} for i in range(3)]
    predictions = parameter_draws(line, draws).member_predictions(X)
    assert_allclose(predictions, np.stack([line(draw, X) for draw in draws], axis=-1))


def test_a_dict_of_arrays_has_a_dict_for_each_draw(module, draws):
    slopes, shifts = np.arange(9.0).reshape(3, 3), np.array([1.0, 2.0, 4.0])
    both = {"slopes": slopes, "offset": shifts}
    predictions = parameter_draws(line, both).member_predictions(X)
    assert_allclose(predictions, X @ slopes.T + shifts)
    states = [at(module, draw).state_dict() for draw in draws]
    by_name = {name: torch.stack([state[name] for state in states]) for name in states[0]}
    predictions = parameter_draws(module, by_name).member_predictions(X)
    assert_allclose(predictions, parameter_draws(module, states).member_predictions(X), atol=1e-6)


@pytest.mark.parametrize(
    "by_name",
    [
        {"slope": np.ones((3, 2)), "shift": np.ones(4)},
        {"slope": np.ones((3, 2)), "shift": 1.0},
        {"slope": 2.0, "shift": 1.0},
        {},
    ],
)
def test_arrays_of_other_lengths_are_refused(by_name):
    with pytest.raises(ValueError, match="of one length, with the draws first; got the lengths"):
        parameter_draws(lambda draw, X: X @ draw["slope"], by_name)


def test_draws_survive_pickles_and_clones(module, draws):
    ensemble = parameter_draws(module, draws)
    loaded = pickle.loads(pickle.dumps(clone(ensemble)))
    assert_allclose(loaded.member_predictions(X), ensemble.member_predictions(X))


def test_draws_of_other_parameters_raise(module, draws):
    with pytest.raises(ValueError, match=r"has 41 numbers, expected the 42 parameters of Sequen"):
        parameter_draws(module, draws[:, 1:])
    with pytest.raises(ValueError, match=r"has \['weight'\], which Sequential lacks; expected nam"):
        parameter_draws(module, [{"weight": 1.0}, {}])
    with pytest.raises(TypeError, match=r"must be a torch module or a function .* got 'net'"):
        parameter_draws("net", draws)
    with pytest.raises(ValueError, match="draws must be at least two draws"):
        parameter_draws(module, draws[:1])
    with pytest.raises(ValueError, match=r"draws must be vectors .* of shape \(\d+, 1\)"):
        parameter_draws(module, draws[:, :, None])


@pytest.mark.parametrize("draws", [None, 3, [], [1.0], object()])
def test_fewer_than_two_draws_are_refused(draws):
    with pytest.raises(ValueError, match="draws must be at least two draws"):
        parameter_draws(lambda draw, X: X[:, 0] * draw, draws)
