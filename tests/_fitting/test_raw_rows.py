"""Training on raw rows: images and ids of tokens, through bodies of the user's own."""

import copy
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from raw_rows import (
    TokenBody,
    contrasts_of,
    conv_body,
    images,
    learn,
    members_of,
    of_classes,
    of_values,
    sentences,
    transfer_set,
)
from torch import nn

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf._fitting.member_variances import distil_target_noise
from sklearn_dlf._fitting.noise_of_y import learn_noise_of_y
from sklearn_dlf._fitting.objectives import ExpectedLikelihood
from sklearn_dlf._fitting.student_bodies import count_body_parameters, make_student_body
from sklearn_dlf._fitting.trainer import Trainer, lr_shares
from sklearn_dlf._latent.process import Process
from sklearn_dlf._latent.row_correlation import RowCorrelation
from sklearn_dlf._network import students
from sklearn_dlf._network.students import StudentNetwork
from sklearn_dlf._predictive.target_distribution import TargetDistribution
from sklearn_dlf.baselines import HydraRegressor

QUICK = {"q": 2, "max_iter": 2, "n_epochs": 2, "random_state": 0}

TRAINED = {"max_iter": 6, "n_epochs": 5, "lr": 0.03, "random_state": 0}

ROWS = {"images": (images()[0], conv_body), "sentences": (sentences(), TokenBody)}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def seeded_state():
    return np.random.RandomState(0)


def make_trainer(body, X, **options):
    """Trainer of a small student, and the arguments of `train`."""
    torch.manual_seed(0)
    network = StudentNetwork(body, X, n_outputs=1, q=2)
    defaults = {
        "n_epochs": 2,
        "batch_size": 16,
        "lr": 0.01,
        "optimizer": "adam",
        "weight_decay": 0.0,
        "device": "cpu",
        "callbacks": None,
        "verbose": False,
        "seed": 0,
    }
    weights = np.ones(len(X), dtype=np.float32)
    trainer = Trainer(network, X, weights, **{**defaults, **options})
    objective = ExpectedLikelihood(network, 1.0, True)
    mean = members_of(X, 1).mean(axis=-1)
    return trainer, (objective, objective.targets(mean, np.ones((len(X), 1, 2)), 1 + 0 * mean))


def parameters_of(module):
    return nn.utils.parameters_to_vector(module.parameters()).detach().clone()


@pytest.mark.parametrize("kind", ROWS)
def test_rows_are_not_copied_and_keep_their_dtype(kind, tmp_path):
    X, make_body = ROWS[kind]
    np.save(tmp_path / "rows.npy", X)
    X = np.load(tmp_path / "rows.npy", mmap_mode="r")  # as in workers of joblib
    trainer, arguments = make_trainer(make_body(X.shape[1:] if X.ndim > 2 else X.shape[1]), X)
    assert trainer.X.data_ptr() == X.ctypes.data
    before = parameters_of(trainer.network)
    trainer.train(*arguments)
    trainer.evaluate()
    assert trainer.X.data_ptr() == X.ctypes.data
    assert (parameters_of(trainer.network) != before).any()


@pytest.mark.parametrize("kind", ROWS)
def test_classifiers_learn_raw_rows(kind):
    X, make_body = ROWS[kind]
    transfer = of_classes(X, 2 * members_of(X))
    student = DLFClassifier(q=2, body=make_body, **TRAINED)
    members = learn(student, transfer)
    wanted = transfer.targets.probabilities
    error = np.abs(members.probabilities(X)[0] - wanted).mean()
    assert error < 0.7 * np.abs(wanted - wanted.mean(axis=0)).mean()
    draws = members.draw(X, 4, seeded_state())
    assert_allclose(members.draw(X[:9], 4, seeded_state()), draws[:9], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("student", [DLFRegressor(q=2, **TRAINED), HydraRegressor(**TRAINED)])
def test_noise_of_y_depends_on_features_of_raw_rows(student):
    X = images(200)[0]
    outputs = members_of(X, 1)
    sign = np.random.RandomState(0).choice([-1, 1], (len(X), 1))
    contrast = contrasts_of(X)[:, :1]
    y = outputs.mean(axis=-1) + sign * np.exp(1 + contrast)
    transfer = of_values(X, outputs, y)
    members = learn(student.set_params(body=conv_body), transfer)
    noise = learn_noise_of_y(members, transfer, 0.5, "input", seeded_state())
    n_columns = noise.variance_functions[0].encoding.columns.max() + 1
    assert n_columns == 8 + 2  # the body's features, mean and variance
    distribution = TargetDistribution(members, noise)
    low, high = np.moveaxis(distribution.quantiles(X, [0.1, 0.9]), -1, 0)
    assert np.corrcoef(np.log(high - low)[:, 0], contrast[:, 0])[0, 1] > 0.5
    assert distribution.draw(X, 3, seeded_state()).shape == (len(X), 1, 3)


def test_variances_of_members_are_distilled_from_features():
    X = images(120)[0]
    contrast = contrasts_of(X)[:, 0]
    outputs = members_of(X, 1)
    variances = np.exp(contrast)[:, None, None] * np.ones(outputs.shape)
    transfer = transfer_set(X, outputs, variances=variances)
    members = learn(DLFRegressor(q=2, body=conv_body, **TRAINED), transfer)
    noise = distil_target_noise(members, transfer, seeded_state())
    found = TargetDistribution(members, noise).variances(X).aleatoric[:, 0]
    assert np.corrcoef(np.log(found), contrast)[0, 1] > 0.5


def test_draws_of_images_are_correlated_by_the_distance_of_their_features():
    X = images(60)[0]
    members = learn(DLFRegressor(body=conv_body, **QUICK), transfer_set(X, members_of(X, 1)))
    members.network.set_process(Process(np.zeros(2), RowCorrelation(1.0, 2.0), 0.0))
    twins = np.concatenate([X, X[:1]])
    draws = members.draw(twins, 2000, seeded_state())[:, 0]
    assert_allclose(draws[-1], draws[0], rtol=1e-4, atol=1e-4)  # members are functions of the row
    points = members.network.evaluate_points(twins)
    _, covariance = members.covariance(twins)
    std = np.sqrt(np.diag(covariance[..., 0]))
    wanted = RowCorrelation(1.0, 2.0).among(points)[0]
    assert_allclose(covariance[0, :, 0] / (std[0] * std), wanted, atol=1e-5)
    # The standard error is 0.02. Members of a group share their frequencies, which adds to it.
    assert_allclose(np.corrcoef(draws)[0], wanted, atol=0.15)


def test_the_correlation_of_rows_is_estimated_at_features_of_images():
    X = images(150)[0]
    points = conv_body((1, 8, 8)).eval()
    with torch.no_grad():
        features = points(torch.from_numpy(X).float()).numpy().astype(np.float64)
    features = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-6)
    correlation = RowCorrelation(1.0, 2.0).among(features) + 1e-9 * np.eye(len(X))
    draws = np.linalg.cholesky(correlation) @ np.random.RandomState(0).standard_normal((len(X), 40))
    student = DLFRegressor(body=lambda shape: points, body_lr=0, **QUICK)
    learn(student, transfer_set(X, 3 * contrasts_of(X)[:, :1, None] + draws[:, None]))
    assert student.row_correlation_.share > 0.9


def test_body_lr_is_kept_in_every_step_that_sets_the_learning_rate():
    trainer, arguments = make_trainer(conv_body((1, 8, 8)), images()[0], body_lr=0.1)
    for lr in (0.02, 0.001):
        trainer.lr = lr
        trainer.train(*arguments)
        rates = [group["lr"] for group in trainer._net.optimizer_.param_groups]
        assert_allclose(rates, [0.1 * lr, lr], rtol=1e-12)
    body, rest = (group["params"] for group in trainer._net.optimizer_.param_groups)
    n_body = len([*trainer.network.body.parameters()])
    assert (len(body), len(rest)) == (n_body, 2)


def test_groups_of_a_users_optimiser_keep_their_ratios():
    def optimizer(groups, lr):
        first, *others = groups[0]["params"]
        groups = [{"params": [first], "lr": 3 * lr}, {"params": others}]
        return torch.optim.SGD(groups, lr=lr)

    trainer, arguments = make_trainer(conv_body((1, 8, 8)), images()[0], optimizer=optimizer)
    trainer.train(*arguments)
    trainer.lr = 0.004
    trainer.train(*arguments)
    rates = [group["lr"] for group in trainer._net.optimizer_.param_groups]
    assert_allclose(rates, [0.012, 0.004], rtol=1e-12)


def test_an_optimiser_of_one_group_takes_the_learning_rate_as_it_is():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=7.0)
    assert lr_shares(optimizer, 0.01) == [1.0]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_frozen_parameters_are_not_trained(optimizer):
    body = conv_body((1, 8, 8))
    body[0].requires_grad_(False)
    body[1].requires_grad_(False)
    trainer, arguments = make_trainer(
        body, images()[0], optimizer=optimizer, weight_decay=0.1, body_lr=0.5
    )
    frozen = [value.clone() for layer in body[:2] for value in layer.state_dict().values()]
    before = parameters_of(body[5])
    trainer.train(*arguments)
    after = [value for layer in body[:2] for value in layer.state_dict().values()]
    for value, wanted in zip(after, frozen, strict=True):  # statistics of batches among them
        assert_array_equal(value, wanted)
    assert (parameters_of(body[5]) != before).any()
    groups = trainer._net.optimizer_.param_groups
    assert all(parameter.requires_grad for group in groups for parameter in group["params"])


def test_frozen_parameters_of_a_callable_are_frozen_in_the_student():
    base = conv_body((1, 8, 8))
    base[0].requires_grad_(False)
    X = images()[0]
    weight = base[0].weight.clone()
    members = learn(DLFRegressor(body=lambda shape: base, **QUICK), transfer_set(X, members_of(X)))
    assert_array_equal(members.network.body[0].weight, weight)
    assert members.network.body[0] is not base[0]


def test_a_body_lr_of_zero_trains_the_heads_alone():
    base = conv_body((1, 8, 8))
    base(torch.zeros(2, 1, 8, 8))  # initialises the lazy layer, and moves statistics of batches
    X = images()[0]
    student = DLFRegressor(body=lambda shape: base, body_lr=0, **QUICK)
    members = learn(student, transfer_set(X, members_of(X)))
    for name, value in base.state_dict().items():
        assert_array_equal(members.network.body.state_dict()[name], value)
    assert all(parameter.requires_grad for parameter in base.parameters())


@pytest.mark.parametrize("rows", [4, (4,), np.zeros((9, 4))])
def test_parameters_of_a_body_are_counted_from_columns_shapes_and_rows(rows):
    assert count_body_parameters(DLFRegressor(hidden_layer_sizes=(5,)), rows) == 25
    frozen = nn.Linear(4, 3).requires_grad_(False)
    assert count_body_parameters(DLFRegressor(body=lambda n: frozen), rows) == 0


def test_parameters_of_lazy_layers_are_counted():
    n_parameters = count_body_parameters(DLFRegressor(body=conv_body), images()[0])
    assert n_parameters == 4 * 9 + 4 + 2 * 4 + 4 * 4 * 4 * 8 + 8


def test_columns_of_raw_rows_are_not_encoded():
    student = DLFRegressor(body="piecewise_linear")
    student.body_ = "piecewise_linear"
    with pytest.raises(ValueError, match="needs rows of real columns"):
        make_student_body(student, transfer_set(sentences(), members_of(sentences())))


def growing_members(X):
    """Members of a trained student, and those of the same student without growth."""
    student = DLFClassifier(q=2, body=conv_body, **TRAINED)
    members = learn(student, of_classes(X, 2 * members_of(X)))
    plain = copy.deepcopy(members.network)
    del plain.growth_root
    return members.network, plain


def test_variance_grows_with_the_distance_of_features_from_design_points():
    X = images(120)[0]
    network, plain = growing_members(X)
    far = np.concatenate([X, 8 * X[:40]])
    features = plain.evaluate_body(X).astype(np.float64)
    deviations = plain.evaluate_body(far) - features.mean(axis=0)
    covariance = np.cov(features, rowvar=False)
    covariance += 1e-3 * np.trace(covariance) / 8 * np.eye(8)
    distances = np.einsum("ni,ij,nj->n", deviations, np.linalg.inv(covariance), deviations)
    unit = np.mean(distances[:120] / (1 - distances[:120] / 120))
    wanted = np.maximum(distances / unit, 1)
    assert (wanted[:120] == 1).mean() > 0.5
    assert np.median(wanted[120:]) > 1
    found, before = network.frozen().evaluate(far), plain.frozen().evaluate(far)
    assert_allclose(found.mean, before.mean, rtol=1e-5)
    growth = np.broadcast_to(wanted[:, None], found.mean.shape)
    assert_allclose(np.exp(found.log_noise - before.log_noise), growth, rtol=1e-3)
    squares = [np.square(each.loadings).sum(axis=-1) for each in (found, before)]
    assert_allclose(squares[0] / squares[1], growth, rtol=1e-3)
    variances = [each.evaluate_moments(far)[1] for each in (network, plain)]
    assert_allclose(variances[0] / variances[1], growth, rtol=1e-3)


def test_growth_is_left_out_in_training_and_kept_in_pickles():
    X = images(60)[0]
    network, plain = growing_members(X)
    rows = torch.from_numpy(8 * X[:5]).float()
    assert_array_equal(network.for_loss(rows).detach(), plain.for_loss(rows).detach())
    again = pickle.loads(pickle.dumps(network))
    assert_array_equal(again.evaluate(8 * X).log_noise, network.evaluate(8 * X).log_noise)


def test_growth_knows_the_directions_of_largest_variance(monkeypatch):
    monkeypatch.setattr(students, "MAX_DIRECTIONS", 3)
    X = images(80)[0]
    network, plain = growing_members(X)
    features = plain.evaluate_body(X).astype(np.float64)
    deviations = features - features.mean(axis=0)
    covariance = np.cov(features, rowvar=False)
    values, vectors = np.linalg.eigh(covariance + 1e-3 * np.trace(covariance) / 8 * np.eye(8))
    values[:5] = values[:5].mean()
    distances = (np.square(deviations @ vectors) / values).sum(axis=1)
    wanted = np.maximum(distances / np.mean(distances / (1 - distances / 80)), 1)
    found = network.evaluate(X).log_noise - plain.evaluate(X).log_noise
    assert_allclose(np.exp(found[:, 0]), wanted, rtol=1e-3)
