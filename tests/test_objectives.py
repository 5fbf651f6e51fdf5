import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from sklearn_dlf._objectives import MIN_MEMBER_NOISE, ExpectedLikelihood
from sklearn_dlf._student import Heads

N_ROWS, N_OUTPUTS, Q = 7, 3, 4


def by_autograd(heads, targets, objective):
    """The loss of the M-step as one would write it, derivatives left to torch."""
    wanted, wanted_loadings, variance, weights = targets
    error = heads.loadings - wanted_loadings
    if objective.metric_root is not None:
        error = error @ torch.as_tensor(objective.metric_root)
    loss = error.square().sum(dim=-1)
    if objective.fit_noise:
        explained = heads.loadings.detach().square().sum(dim=-1)
        if heads.mixing is not None:
            explained = explained * heads.mixing.square().sum(dim=-1)
        unexplained = (variance - explained).clamp_min(MIN_MEMBER_NOISE)
        loss = loss + 0.5 * (heads.log_noise + unexplained * torch.exp(-heads.log_noise))
    loss = (heads.mean - wanted).square() + objective.loadings_weight * loss
    return (loss.mean(dim=1) * weights).mean()


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("fit_noise", [False, True])
def test_derivatives_of_the_m_step_are_those_of_its_loss(fit_noise, separable):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    loadings_shape = (N_ROWS, 1 if separable else N_OUTPUTS, Q)
    own = [draw(N_ROWS, N_OUTPUTS), draw(N_ROWS, N_OUTPUTS), draw(*loadings_shape)]
    own = [head.requires_grad_() for head in own]
    heads = Heads(*own, draw(N_OUTPUTS, N_OUTPUTS) if separable else None)
    variance = 3 * draw(N_ROWS, N_OUTPUTS).square()  # below what is explained at some entries
    targets = [draw(N_ROWS, N_OUTPUTS), draw(*loadings_shape), variance, draw(N_ROWS).square()]
    objective = ExpectedLikelihood(0.3, fit_noise)
    if separable:
        objective.metric_root = np.random.RandomState(0).standard_normal((Q, Q))

    loss, expected = objective(heads, targets), by_autograd(heads, targets, objective)
    assert_allclose(loss.detach(), expected.detach(), rtol=1e-12)
    wanted = own if fit_noise else own[::2]
    slopes, expected = (torch.autograd.grad(2 * value, wanted) for value in (loss, expected))
    for slope, expected_slope in zip(slopes, expected, strict=True):
        assert_allclose(slope, expected_slope, rtol=1e-10, atol=1e-14)
