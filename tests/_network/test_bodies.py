"""Bodies of the user's own: what they are given, and how much of it at a time."""

import copy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from raw_rows import LENGTH, TokenBody, conv_body, images, sentences
from torch import nn

from sklearn_dlf._network import base
from sklearn_dlf._network.bodies import make_body, make_mlp, measure_body
from sklearn_dlf._network.students import StudentNetwork

N_OUTPUTS, Q = 2, 3


class Recorder(nn.Module):
    """A body that notes what it is given."""

    def __init__(self, *_):
        super().__init__()
        self.linear = nn.Linear(64, 4)
        self.given = []

    def forward(self, X):
        self.given.append(X)
        return self.linear(X.flatten(1))


def make_network(body, rows):
    torch.manual_seed(0)
    return StudentNetwork(body, rows, n_outputs=N_OUTPUTS, q=Q)


def trained(network):
    """What is left of a network after training."""
    return network.eval().requires_grad_(False)


def test_a_callable_gets_the_number_of_columns_or_the_shape_of_a_row():
    given = []

    def make(shape):
        given.append(shape)
        return nn.Identity()

    for rows in (4, (4,), np.zeros((9, 4)), (3, 8, 8), np.zeros((9, 3, 8, 8), np.uint8)):
        make_body(make, rows, (5,), "relu")
    assert given == [4, 4, 4, (3, 8, 8), (3, 8, 8)]


@pytest.mark.parametrize("rows", [(1, 8, 8), images()[0], sentences()])
def test_raw_rows_without_a_body_are_refused(rows):
    with pytest.raises(ValueError, match="Raw rows need a body of your own"):
        make_body(None, rows, (5,), "relu")


def test_a_body_is_tried_with_real_rows():
    size = measure_body(TokenBody(LENGTH), sentences())  # raises for floats, and for padding alone
    assert size.n_features == 8
    with pytest.raises(AssertionError):
        measure_body(TokenBody(LENGTH), 0 * sentences())


def test_a_body_is_tried_with_two_rows_where_there_is_one():
    assert measure_body(conv_body((1, 8, 8)), images(1)[0]).n_features == 8


def test_the_largest_tensor_of_a_row_is_that_of_the_widest_layer():
    size = measure_body(conv_body((1, 8, 8)), images()[0])
    assert size.row_bytes == 4 * 8 * 8 * 4  # four channels in float32


def test_a_body_of_wrong_shape_is_told_the_shape_of_its_rows():
    with pytest.raises(ValueError, match=r"of shape \(1, 8, 8\) it returned shape \(2, 4, 8, 8\)"):
        measure_body(nn.Conv2d(1, 4, 3, padding=1), images()[0])


def test_blocks_of_large_rows_have_fewer_of_them(monkeypatch):
    X = images(40)[0]
    network = make_network(Recorder(), X)
    row_bytes = 64 * 4
    assert network.row_bytes == row_bytes
    monkeypatch.setattr(base, "BLOCK_BYTES", 10 * row_bytes)
    network.body.given.clear()
    wanted = network.evaluate_mean(X)
    assert [len(rows) for rows in network.body.given] == [10] * 4
    monkeypatch.undo()
    assert_allclose(network.evaluate_mean(X), wanted, rtol=1e-5, atol=1e-6)


def test_blocks_of_tables_have_as_many_rows_as_ever():
    wide = make_network(make_mlp(5, (20_000,), "relu"), 5)
    for network in (wide, make_network(nn.Linear(5, 3), 5)):
        assert network.block_rows(torch.device("cpu")) == base.PREDICT_ROWS
        assert network.block_rows(torch.device("cuda")) == base.ACCELERATOR_ROWS


def test_blocks_of_rather_wide_layers_are_small_enough_for_one_thread():
    network = make_network(make_mlp(5, (200, 200), "relu"), 5)
    assert not network.is_small(base.PREDICT_ROWS)
    assert network.is_small(network.block_rows(torch.device("cpu")))


def test_a_body_gets_single_precision_even_of_few_rows():
    X = images(3)[0]
    network = trained(make_network(Recorder(), X))
    frozen = network.frozen(exact=True)
    frozen.evaluate_mean(X)
    assert network.body.given[-1].dtype == torch.float32
    frozen.evaluate_mean(X.astype(np.float64))
    assert network.body.given[-1].dtype == torch.float32


def test_a_trained_body_is_not_copied_to_predict():
    network = trained(make_network(conv_body((1, 8, 8)), images()[0]))
    assert network.frozen(exact=True) is network.frozen()
    assert network.frozen().body is network.body
    own = trained(make_network(make_mlp(5, (4,), "relu"), 5))
    assert own.frozen(exact=True) is not own.frozen()


def test_a_body_under_training_is_copied_to_predict():
    network = make_network(conv_body((1, 8, 8)), images()[0]).train()
    assert network.frozen().body is not network.body
    assert network.body[1].training
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_a_student_set_to_training_still_predicts():
    X = images()[0]
    network = trained(make_network(conv_body((1, 8, 8)), X))
    wanted = network.frozen().evaluate_mean(X)
    network.train().requires_grad_(True)
    network.body.train()
    assert_array_equal(network.frozen().evaluate_mean(X), wanted)


def test_a_body_that_writes_to_its_input_leaves_the_rows():
    X = np.random.RandomState(0).standard_normal((20, 4)).astype(np.float32)
    before = X.copy()
    network = make_network(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 3)), X)
    network.evaluate(X)
    trained(network).frozen().evaluate(X)
    assert_array_equal(X, before)


def test_tensors_that_a_body_keeps_can_be_trained_with():
    class Caching(nn.Linear):
        def forward(self, X):
            if not hasattr(self, "kept"):
                self.kept = torch.ones(3) * 2
            return super().forward(X) * self.kept

    X = np.ones((5, 4), dtype=np.float32)
    network = make_network(Caching(4, 3), X)
    del network.body.kept
    network.evaluate(X)
    network(torch.from_numpy(X)).mean.sum().backward()


def test_frozen_parts_of_a_body_are_never_in_training_mode():
    body = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 3))
    body[1].requires_grad_(False)
    network = make_network(body, 4).train()
    assert [layer.training for layer in network.body] == [True, False, True, True]
    again = copy.deepcopy(network).eval().train()
    assert [layer.training for layer in again.body] == [True, False, True, True]
    assert not any(parameter.requires_grad for parameter in again.body[1].parameters())
    body.requires_grad_(False)
    network.train()
    assert not any(layer.training for layer in body.modules())


def test_features_stand_for_raw_rows_and_tables_for_themselves():
    X = images()[0]
    network = make_network(conv_body((1, 8, 8)), X)
    network.set_points(X, are_raw=True)
    points = network.evaluate_points(X)
    assert points.shape == (len(X), 8)
    assert_allclose(points.mean(axis=0), 0, atol=1e-5)
    assert set(points.std(axis=0).round(3)) <= {0.0, 1.0}  # a dead feature does not vary
    table = np.random.RandomState(0).standard_normal((20, 4)).astype(np.float32)
    own = make_network(nn.Linear(4, 3), table)
    own.set_points(table, are_raw=False)
    assert own.evaluate_points(table) is table
    assert "point_center" not in own.state_dict()
    own.set_points(table, are_raw=True)  # such as signals
    assert own.evaluate_points(table).shape == (20, 3)


def test_a_small_body_is_known_to_be_small():
    small = make_network(conv_body((1, 8, 8)), (1, 8, 8))
    assert small.is_small(64)
    assert not small.is_small(10**6)
    wide = nn.Sequential(nn.Flatten(), nn.Linear(64, 2048), nn.ReLU(), nn.Linear(2048, 2))
    assert not make_network(wide, (1, 8, 8)).is_small(64)
    assert make_network(nn.Flatten(), (1, 8, 8)).is_small(64)  # without parameters of its own


def test_a_small_body_has_one_thread_and_a_large_one_has_all():
    seen = []

    class Body(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(8, width), nn.Linear(width, 2))

        def forward(self, X):
            seen.append(torch.get_num_threads())
            return self.layers(X)

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        for width in (4, 2**12):
            network = trained(make_network(Body(width), (8,)))
            seen.clear()
            network.evaluate(np.zeros((100, 8), np.float32))
            assert set(seen) == {1 if width == 4 else 3}
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("parameter", [None, torch.empty(0, 3), torch.ones(3)])
def test_bodies_of_few_parameters_predict(parameter):
    class Squares(nn.Module):
        def __init__(self):
            super().__init__()
            if parameter is not None:
                self.further = nn.Parameter(parameter)

        def forward(self, X):
            return torch.cat([X, X**2], dim=1)

    network = trained(make_network(Squares(), (4,)))
    X = np.ones((5, 4), np.float32)
    assert_allclose(network.frozen().evaluate(X).mean, network.evaluate(X).mean, rtol=1e-5)
    assert network.is_small(10)


def test_a_body_that_ends_in_softmax_is_told():
    body = nn.Sequential(nn.Linear(3, 4), nn.Softmax(dim=1))
    with pytest.warns(UserWarning, match="sum to one at each row"):
        measure_body(body, np.random.RandomState(0).standard_normal((5, 3)).astype(np.float32))
