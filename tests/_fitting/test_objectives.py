import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_dlf._fitting.objectives import (
    MAX_VARIANCE_RATIO,
    MIN_MEMBER_NOISE,
    ExpectedLikelihood,
)
from sklearn_dlf._network.bodies import make_mlp
from sklearn_dlf._network.students import SeparableStudentNetwork, StudentNetwork

N_ROWS, N_OUTPUTS, Q = 7, 3, 4


def by_autograd(heads, wanted, weights, objective):
    """The loss of the M-step as one would write it, derivatives left to torch."""
    error = heads.loadings - wanted.loadings
    if objective.metric_root is not None:
        error = error @ torch.as_tensor(objective.metric_root)
    loss = error.square().sum(dim=-1)
    if objective.fit_noise:
        explained = heads.loadings.detach().square().sum(dim=-1)
        if heads.mixing is not None:
            explained = explained * heads.mixing.square().sum(dim=-1)
        unexplained = (wanted.log_noise - explained).clamp_min(MIN_MEMBER_NOISE)
        loss = loss + 0.5 * (heads.log_noise + unexplained * torch.exp(-heads.log_noise))
    loss = (heads.mean - wanted.mean).square() + objective.loadings_weight * loss
    return (loss.mean(dim=1) * weights).mean()


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("fit_noise", [False, True])
def test_derivatives_of_the_m_step_are_those_of_its_loss(fit_noise, separable):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    student_class = SeparableStudentNetwork if separable else StudentNetwork
    student = student_class(make_mlp(2, (3,), "relu"), 2, N_OUTPUTS, Q)
    if separable:
        student.set_mixing(draw(N_OUTPUTS, N_OUTPUTS))
    student.double()
    loadings_shape = N_ROWS, *student.layout.loadings_shape
    columns = draw(N_ROWS, student.layout.n_columns).requires_grad_()
    variance = 3 * draw(N_ROWS, N_OUTPUTS).square()  # below what is explained at some entries
    objective = ExpectedLikelihood(student, 0.9, fit_noise)
    objective.weigh_loadings(0.3)
    objective.double()
    wanted = objective.targets(draw(N_ROWS, N_OUTPUTS), draw(*loadings_shape), variance).double()
    weights = draw(N_ROWS).square()
    if separable:
        objective.metric_root = np.random.RandomState(0).standard_normal((Q, Q))

    loss = objective(columns, (wanted, weights))
    expected = by_autograd(student.split(columns), student.split(wanted), weights, objective)
    assert_allclose(loss.detach(), expected.detach(), rtol=1e-6)  # the weight is a float32 there
    (slope,), (expected_slope,) = (
        torch.autograd.grad(2 * value, columns) for value in (loss, expected)
    )
    assert_allclose(slope, expected_slope, rtol=1e-6, atol=1e-9)


def test_an_outlier_moves_the_noise_head_by_a_bounded_amount():
    student = StudentNetwork(make_mlp(2, (3,), "relu"), 2, N_OUTPUTS, Q)
    columns = torch.zeros(2, student.layout.n_columns, requires_grad=True)
    zero = torch.zeros(2, N_OUTPUTS)
    objective = ExpectedLikelihood(student, 0.3, fit_noise=True)
    variance = torch.tensor([[MAX_VARIANCE_RATIO], [1e30]]).expand(2, N_OUTPUTS)
    wanted = objective.targets(zero, torch.zeros(2, N_OUTPUTS, Q), variance)
    (slope,) = torch.autograd.grad(objective(columns, (wanted, torch.ones(2))), columns)
    at_bound, far = student.split(slope).log_noise
    assert (at_bound < 0).all()
    assert_array_equal(far, at_bound)


@pytest.mark.parametrize("student_class", [StudentNetwork, SeparableStudentNetwork])
def test_heads_that_are_joined_are_split_again(student_class):
    layout = student_class(make_mlp(2, (3,), "relu"), 2, N_OUTPUTS, Q).layout
    generator = torch.Generator().manual_seed(0)
    mean, log_noise = torch.randn(2, N_ROWS, N_OUTPUTS, generator=generator)
    loadings = torch.randn(N_ROWS, *layout.loadings_shape, generator=generator)
    columns = layout.join(mean, log_noise, loadings)
    assert columns.shape == (N_ROWS, layout.n_columns)
    for head, expected in zip(layout.split(columns), (mean, log_noise, loadings), strict=False):
        assert_array_equal(head, expected)
    assert_array_equal(columns[:, layout.mean_columns], mean)


def make_student():
    """A student of three outputs and two factors."""
    return StudentNetwork(make_mlp(1, (2,), "relu"), 1, 3, 2)


def test_an_untrained_noise_head_adds_nothing_to_the_loss():
    regression = ExpectedLikelihood(make_student(), 0.1, fit_noise=False)
    mean, loadings = torch.ones(4, 3), torch.zeros(4, 3, 2)
    wanted = regression.targets(torch.zeros(4, 3), loadings, torch.ones(4, 3))
    for log_noise in (0.0, -np.inf):
        columns = regression.join(mean, torch.full((4, 3), log_noise), loadings).requires_grad_()
        loss = regression(columns, (wanted, torch.ones(4)))
        loss.backward()
        assert loss.item() == 1.0
        assert_array_equal(columns.grad.unflatten(1, (3, 4))[..., 1:], 0.0)
