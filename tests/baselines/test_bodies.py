"""Bodies of the user's own in the baselines."""

import copy
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from raw_rows import (
    TokenBody,
    conv_body,
    images,
    learn,
    members_of,
    of_classes,
    sentences,
    softmax,
    transfer_set,
)
from sklearn.utils._param_validation import InvalidParameterError
from torch import nn
from torch.func import functional_call

from sklearn_dlf.baselines import (
    BatchEnsembleClassifier,
    BatchEnsembleRegressor,
    DirichletClassifier,
    HydraClassifier,
    HydraRegressor,
    SmallEnsembleClassifier,
    SmallEnsembleRegressor,
)
from sklearn_dlf.baselines._body_networks import MaskedBodyNetwork, find_kernels
from sklearn_dlf.baselines._networks import BatchEnsembleNetwork

QUICK = {"max_iter": 2, "n_epochs": 2, "random_state": 0}

CLASSIFIERS = [
    BatchEnsembleClassifier,
    DirichletClassifier,
    HydraClassifier,
    SmallEnsembleClassifier,
]
REGRESSORS = [BatchEnsembleRegressor, HydraRegressor, SmallEnsembleRegressor]

ROWS = {"images": (images()[0], conv_body), "sentences": (sentences(), TokenBody)}

N_MEMBERS, N_OUTPUTS = 3, 2


def masked(body, X):
    torch.manual_seed(0)
    return MaskedBodyNetwork(body, X, N_OUTPUTS, N_MEMBERS).eval()


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("student", CLASSIFIERS)
def test_classifiers_learn_raw_rows(student, kind):
    X, make_body = ROWS[kind]
    logits = 2 * members_of(X)
    n_epochs = 10 if kind == "images" else 20  # a sentence takes less time
    options = {"max_iter": 6, "n_epochs": n_epochs, "lr": 0.03, "random_state": 0}
    members = learn(student(body=make_body, **options), of_classes(X, logits))
    wanted = softmax(logits).mean(axis=-1)
    error = np.abs(members.probabilities(X)[0] - wanted).mean()
    assert error < 0.7 * np.abs(wanted - wanted.mean(axis=0)).mean()


@pytest.mark.parametrize("student", REGRESSORS)
def test_members_of_a_body_differ_and_survive_a_pickle(student):
    X = images()[0]
    members = learn(student(body=conv_body, **QUICK), transfer_set(X, members_of(X)))
    predicted = members.predict(X)
    assert predicted.shape == (80, 3, 6)
    assert (predicted.std(axis=-1) > 0).all()
    again = pickle.loads(pickle.dumps(members.network)).frozen().evaluate(X)
    assert_array_equal(again, members.network.frozen().evaluate(X))


@pytest.mark.parametrize("student", [*CLASSIFIERS, *REGRESSORS])
def test_tables_take_a_body_through_fit(student, friedman):
    X, y = friedman
    labels = (y > np.median(y)).astype(int)
    outputs = np.repeat(y[:, None], 6, axis=1) + np.random.RandomState(0).standard_normal((200, 6))
    if student in CLASSIFIERS:
        outputs = softmax(np.stack([0 * outputs, outputs - outputs.mean()], axis=1))
    fitted = student(body=lambda n: nn.Sequential(nn.Linear(n, 5), nn.ReLU()), **QUICK)
    fitted.fit(X, labels if student in CLASSIFIERS else y, predictions=outputs)
    assert fitted.body_ == "custom"
    assert np.isfinite(fitted.sample_predictions(X, 3)).all()


@pytest.mark.parametrize("student", [DirichletClassifier, SmallEnsembleRegressor])
def test_plain_baselines_have_no_encoding(student, friedman):
    X, y = friedman
    with pytest.raises(InvalidParameterError, match="'body' parameter"):
        student(body="piecewise_linear").fit(X, y > 14)


def explicit_weight(network, number, member):
    """A kernel times the outer product of its masks, entry by entry."""
    kernel = network.kernels[number]
    weight = network.body.get_parameter(kernel.name).detach().clone()
    first, second = (masks[number][member] for masks in (network.first_masks, network.second_masks))
    n_rows = kernel.first // kernel.n_groups
    for i in range(weight.shape[0]):
        for j in range(weight.shape[1]):
            weight[i, j] *= first[i] * second[i // n_rows * kernel.second + j]
    return weight


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Flatten(), nn.Linear(64, 3)],
        [nn.Conv2d(1, 4, 3), nn.Conv2d(4, 6, 3, groups=2), nn.Flatten()],
        [nn.ConvTranspose2d(1, 4, 2), nn.ConvTranspose2d(4, 2, 2, groups=2), nn.Flatten()],
        [nn.Flatten(2), nn.Conv1d(1, 2, 5), nn.Flatten()],
        [nn.Unflatten(3, (2, 4)), nn.Conv3d(1, 2, 2), nn.Flatten()],
    ],
    ids=["linear", "groups", "transposed", "1d", "3d"],
)
def test_masks_multiply_every_kernel_by_an_outer_product(layers):
    X = images(5)[0]
    network = masked(nn.Sequential(*layers), X)
    n_layers = sum(hasattr(layer, "weight") for layer in layers)
    assert len(network.kernels) == n_layers
    outputs = network.evaluate(X)
    for member in range(N_MEMBERS):
        weights = {
            kernel.name: explicit_weight(network, number, member)
            for number, kernel in enumerate(network.kernels)
        }
        features = functional_call(network.body, weights, (torch.from_numpy(X).float(),))
        layer = network.output_layer
        wanted = layer(features.expand(N_MEMBERS, -1, -1))[member].detach()
        assert_allclose(outputs[..., member], wanted, rtol=1e-4, atol=1e-4)


def test_masked_linear_layers_are_those_of_the_package_s_own_layers():
    X = np.random.RandomState(0).standard_normal((9, 4)).astype(np.float32)
    own = BatchEnsembleNetwork([4, 5, N_OUTPUTS], "relu", N_MEMBERS).eval()
    network = masked(nn.Sequential(nn.Linear(4, 5), nn.ReLU()), X)
    hidden = own.layers[0]
    with torch.no_grad():
        network.body[0].weight.copy_(hidden.weight.T)
        network.first_masks[0].copy_(hidden.output_mask[:, 0])
        network.second_masks[0].copy_(hidden.input_mask[:, 0])
        network.vectors[0].copy_(hidden.bias[:, 0])
    network.output_layer = own.layers[2]
    assert_allclose(network.evaluate(X), own.evaluate(X), rtol=1e-4, atol=1e-5)


def test_members_have_their_own_statistics_of_batches():
    X = images()[0]
    network = masked(conv_body((1, 8, 8)), X).train()
    before = copy.deepcopy(network.state_dict())
    network(torch.from_numpy(X).float())
    names = [name for name in before if name.startswith("statistic_")]
    assert len(names) == 3  # mean, variance and number of batches
    for name in names:
        assert (network.state_dict()[name] != before[name]).all()
    assert_array_equal(network.body[1].running_mean, 0)
    mean = network.state_dict()[names[0]]
    assert (mean[0] != mean[1]).all()


def test_averaged_members_are_one_network_with_the_mean_of_their_weights():
    X = images()[0]
    network = masked(conv_body((1, 8, 8)), X)
    means = [
        torch.stack([explicit_weight(network, number, m) for m in range(N_MEMBERS)]).mean(dim=0)
        for number in range(len(network.kernels))
    ]
    bias = network.vectors[0].mean(dim=0)
    network.average_members()
    assert network.evaluate(X).shape == (len(X), N_OUTPUTS, 1)
    tensors = network._tensors_of(0)
    for kernel, mean in zip(network.kernels, means, strict=True):
        assert_allclose(tensors[kernel.name].detach(), mean.detach(), rtol=1e-5, atol=1e-6)
    assert_allclose(tensors[network.vector_names[0]].detach(), bias.detach(), rtol=1e-5)


def test_a_kernel_that_two_layers_share_is_masked_once():
    body = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    body[2].weight = body[0].weight
    assert [kernel.name for kernel in find_kernels(body)] == ["0.weight"]


def test_frozen_parameters_of_a_masked_body_stay_as_they_are():
    base = conv_body((1, 8, 8))
    base(torch.zeros(2, 1, 8, 8))
    base[:2].requires_grad_(False)
    X = images()[0]
    student = BatchEnsembleRegressor(body=lambda shape: base, **QUICK)
    network = learn(student, transfer_set(X, members_of(X))).network
    for name, value in base[:2].state_dict().items():
        assert_array_equal(network.body[:2].state_dict()[name], value)
    assert network.vector_names == ["5.bias"]
    for number, name in enumerate(network.statistic_names):
        values = network.get_buffer(f"statistic_{number}")
        assert_array_equal(values, base.get_buffer(name).expand_as(values))


@pytest.mark.parametrize("student", REGRESSORS)
def test_body_lr_is_that_of_the_body_alone(student):
    X = images()[0]
    trained, slow = (
        learn(student(body=conv_body, body_lr=lr, **QUICK), transfer_set(X, members_of(X))).network
        for lr in (1.0, 1e-9)
    )
    torch.manual_seed(0)
    names = [name for name, _ in slow.named_parameters() if name.startswith("body.")]
    start = learn(student(body=conv_body, lr=1e-12, **QUICK), transfer_set(X, members_of(X)))
    for name in names:
        first = start.network.get_parameter(name)
        assert_allclose(slow.get_parameter(name), first, atol=1e-6)
    others = [name for name, _ in slow.named_parameters() if name not in names]
    assert any((slow.get_parameter(n) != start.network.get_parameter(n)).any() for n in others)
    assert any((trained.get_parameter(n) != slow.get_parameter(n)).any() for n in names)
