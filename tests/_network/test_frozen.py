import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from sklearn_dlf import DLFRegressor
from sklearn_dlf._latent.deviations import dense_loadings
from sklearn_dlf._network.base import PREDICT_ROWS
from sklearn_dlf._network.bodies import ACTIVATIONS, Swish, make_mlp
from sklearn_dlf._network.frozen import FrozenMLP
from sklearn_dlf._network.heads import Units
from sklearn_dlf._network.students import SeparableStudentNetwork, StudentNetwork
from sklearn_dlf.baselines._networks import (
    BatchEnsembleNetwork,
    HydraNetwork,
    SmallEnsembleNetwork,
)

N_FEATURES, N_OUTPUTS, Q, N_MEMBERS = 3, 2, 5, 4

STUDENTS = [StudentNetwork, SeparableStudentNetwork]


def make_student(activation="swish", student_class=StudentNetwork):
    torch.manual_seed(0)
    body = make_mlp(N_FEATURES, (6, 4), activation)
    return student_class(body, N_FEATURES, n_outputs=N_OUTPUTS, q=Q).eval()


def make_member_network(network_class):
    torch.manual_seed(0)
    if network_class is HydraNetwork:
        body = make_mlp(N_FEATURES, (6, 4), "swish")
        return network_class(body, N_FEATURES, N_OUTPUTS, N_MEMBERS).eval()
    return network_class([N_FEATURES, 6, N_OUTPUTS], "swish", N_MEMBERS).eval()


def make_rows(n_rows=20):
    return np.random.RandomState(0).standard_normal((n_rows, N_FEATURES))


def test_swish_is_one_function_with_and_without_derivatives():
    X = torch.linspace(-3, 3, 61)
    wanted, before = X / (1 + torch.exp(-5 * X)), X.clone()
    assert_allclose(Swish()(X), wanted, rtol=1e-5, atol=1e-7)
    assert_array_equal(X, before)
    X.requires_grad_()
    assert_array_equal(Swish()(X).detach(), Swish()(before))
    assert_array_equal(X.detach(), before)


@pytest.mark.parametrize("student_class", STUDENTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_frozen_student_is_the_same_function(activation, student_class):
    student = make_student(activation, student_class)
    student.limit_noise([0.1, 0.2])
    student.noise_head = nn.Linear(student.heads.in_features, N_OUTPUTS)
    X = make_rows()
    wanted = student.double().evaluate(X)
    student.float()
    for exact, dtype, rtol in ((True, np.float64, 1e-6), (False, np.float32, 1e-4)):
        frozen = student.frozen(exact)
        assert isinstance(frozen.body, FrozenMLP)
        heads = frozen.evaluate(X)
        for name in ("mean", "log_noise", "loadings", "noise_shares"):
            head = getattr(heads, name)
            assert head.dtype == dtype
            assert_allclose(head, getattr(wanted, name), rtol=rtol, atol=rtol)
        assert_allclose(frozen.evaluate_mean(X), wanted.mean, rtol=rtol, atol=rtol)
    assert_array_equal(X, make_rows())  # is worked on in place, but not in its own memory


@pytest.mark.parametrize(
    "network_class", [HydraNetwork, SmallEnsembleNetwork, BatchEnsembleNetwork]
)
def test_a_frozen_network_of_members_is_the_same_function(network_class):
    network = make_member_network(network_class)
    X = make_rows()
    wanted = network.evaluate(X.astype(np.float32))
    assert_allclose(network.frozen().evaluate(X), wanted, rtol=1e-4, atol=1e-5)
    assert_allclose(network.frozen(exact=True).evaluate(X), wanted, rtol=1e-4, atol=1e-5)


def test_a_body_of_ones_own_stays_as_it_is_when_frozen():
    body = nn.Sequential(nn.Linear(N_FEATURES, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.ReLU())
    student = StudentNetwork(body, N_FEATURES, n_outputs=N_OUTPUTS, q=Q)
    frozen = student.frozen()
    assert isinstance(frozen.body, nn.Sequential)
    X = make_rows().astype(np.float32)
    assert_array_equal(frozen.evaluate(X).mean, student.evaluate(X).mean)
    assert all(not parameter.requires_grad for parameter in frozen.parameters())


@pytest.mark.parametrize("exact", [False, True])
def test_freezing_leaves_the_student_and_is_done_once(exact):
    student = make_student()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    frozen = student.frozen(exact)
    assert student.frozen(exact) is frozen
    assert frozen is not student.frozen(not exact)
    for name, value in student.state_dict().items():
        assert_array_equal(value, before[name])
    assert len(pickle.dumps(student)) == len(pickle.dumps(make_student()))


@pytest.mark.parametrize("student_class", STUDENTS)
def test_rows_may_be_a_tensor(student_class):
    student, X = make_student("tanh", student_class), make_rows().astype(np.float32)
    assert_array_equal(student.evaluate(torch.from_numpy(X)).mean, student.evaluate(X).mean)


def test_devices_without_float64_stay_in_float32(monkeypatch):
    monkeypatch.setattr("sklearn_dlf._network.base.has_float64", lambda device: False)
    assert make_student().frozen(exact=True).heads.weight.dtype == torch.float32


@pytest.mark.parametrize("student_class", STUDENTS)
@pytest.mark.parametrize("freeze", [False, True])
def test_many_rows_are_answered_as_each_of_their_blocks_is(student_class, freeze):
    student = make_student("tanh", student_class).train()
    if freeze:
        student = student.frozen()
    X = make_rows(2 * PREDICT_ROWS + 3).astype(np.float32)
    heads, mean, moments = (
        student.evaluate(X),
        student.evaluate_mean(X),
        student.evaluate_moments(X),
    )
    assert_allclose(mean, heads.mean, rtol=1e-5, atol=1e-6)  # float32
    for rows in (slice(PREDICT_ROWS), slice(PREDICT_ROWS, 2 * PREDICT_ROWS), slice(-3, None)):
        block = student.evaluate(X[rows])
        for name in ("mean", "log_noise", "loadings"):
            assert_array_equal(getattr(heads, name)[rows], getattr(block, name))
        for moment, of_block in zip(moments, student.evaluate_moments(X[rows]), strict=True):
            assert_array_equal(moment[rows], of_block)
    assert not student.training


@pytest.mark.parametrize("student_class", STUDENTS)
def test_moments_are_those_of_the_heads(student_class):
    student = make_student(student_class=student_class)
    if student_class is SeparableStudentNetwork:
        student.set_mixing([[1.0, 0.5], [-0.3, 2.0]])
    X = make_rows().astype(np.float32)
    heads = student.evaluate(X)
    mean, variance = student.evaluate_moments(X)
    ones = np.ones(N_OUTPUTS)
    in_units = heads.in_units(Units(0 * ones, ones, ones))
    dense = dense_loadings(in_units.loadings, in_units.mixing)
    assert_array_equal(mean, heads.mean)
    assert_allclose(variance, np.square(dense).sum(axis=-1) + in_units.member_variance, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:X has numbers far outside")
def test_std_is_finite_where_squares_leave_float32(known):
    student = DLFRegressor(q=2, hidden_layer_sizes=(8,), n_epochs=2, tol=1.0, random_state=0)
    student.fit(known.X, predictions=known.predictions)
    far = 1e22 * known.X
    rows = np.resize(far, (300, known.X.shape[1]))  # more than are evaluated in float64
    _, std = student.predict(rows, return_std=True)
    assert np.isfinite(std).all()
    assert std.max() > 1e19  # the square of which is more than float32 holds
