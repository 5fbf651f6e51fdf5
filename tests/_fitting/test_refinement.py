import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.special import softmax

from sklearn_dlf._fitting.latent_law import DrawnLaw
from sklearn_dlf._fitting.objectives import ExpectedLikelihood
from sklearn_dlf._fitting.refinement import AveragedProbabilities
from sklearn_dlf._network.bodies import make_mlp
from sklearn_dlf._network.heads import Units
from sklearn_dlf._network.students import SeparableStudentNetwork, StudentNetwork


def make_student():
    """A network of three outputs and two factors."""
    return StudentNetwork(make_mlp(1, (2,), "relu"), 1, 3, 2)


def probabilities_of(objective, mean, residuals):
    """Those of members, from arrays."""
    arrays = (torch.as_tensor(each, dtype=torch.float32) for each in (mean, residuals))
    return objective.member_probabilities(*arrays)


def test_objective_without_spread_is_the_cross_entropies_and_the_anchor():
    rng = np.random.RandomState(0)
    mean, loadings, residuals = rng.randn(8, 3), np.zeros((8, 3, 2)), np.zeros((8, 3, 5))
    center, scale = rng.randn(3), rng.rand(3) + 0.5
    regression = ExpectedLikelihood(make_student(), 0.1, fit_noise=False)
    own = (torch.tensor(a, dtype=torch.float32) for a in (mean, mean, loadings))
    columns = regression.join(*own)
    probabilities = softmax(rng.randn(8, 3), axis=1)
    wanted = regression.targets(mean + 1, loadings, np.zeros((8, 3)))
    objective = AveragedProbabilities(regression, 0.5, Units(center, scale, np.zeros(3)))
    objective.set_members(rng.randn(2, 5))
    of_members = probabilities_of(objective, mean + 1, residuals)
    targets = (probabilities, of_members, wanted, np.ones(8))
    targets = tuple(torch.as_tensor(target, dtype=torch.float32) for target in targets)
    own = np.log(softmax(center + scale * mean, axis=1))
    members = softmax(center + scale * (mean + 1), axis=1)
    assert_allclose(of_members, np.repeat(members[..., None], 5, axis=2), rtol=1e-5)
    expected = -np.mean(np.sum((probabilities + members) * own, axis=1)) + 0.5 * 1.0
    assert_allclose(objective(columns, targets).item(), expected, rtol=1e-5)


def test_objective_is_least_at_the_members_own_latent_variables():
    rng = np.random.RandomState(0)
    loadings, latent = rng.randn(50, 3, 2), rng.randn(6, 2)
    mean = rng.randn(50, 3)
    residuals = loadings @ latent.T
    probabilities = softmax(mean, axis=1)
    regression = ExpectedLikelihood(make_student(), 0.1, fit_noise=False)
    objective = AveragedProbabilities(regression, 0.0, Units(np.zeros(3), np.ones(3), np.ones(3)))
    wanted = regression.targets(mean, loadings, np.zeros((50, 3)))
    members = probabilities_of(objective, mean, residuals)
    rest = (probabilities, members, wanted, np.ones(50))
    targets = tuple(torch.as_tensor(target, dtype=torch.float32) for target in rest)
    columns = regression.join(
        targets[2].new_tensor(mean), torch.full((50, 3), -9.0), targets[2].new_tensor(loadings)
    )
    losses = []
    for z in (latent, -latent):
        torch.manual_seed(0)
        objective.set_members(z.T)
        losses.append(objective(columns, targets).item())
    assert losses[0] < losses[1] - 0.1


@pytest.mark.parametrize(
    ("student_class", "has_law"),
    [(StudentNetwork, False), (StudentNetwork, True), (SeparableStudentNetwork, False)],
)
@pytest.mark.parametrize("n_outputs", [1, 3])  # one output is the log-odds of two classes
@pytest.mark.parametrize("fit_noise", [True, False])
def test_written_derivative_is_that_of_autograd_at_the_same_draws(
    student_class, has_law, n_outputs, fit_noise
):
    rng, n_rows, n_members = np.random.RandomState(0), 8, 5
    student = student_class(make_mlp(1, (2,), "relu"), 1, n_outputs, 2)
    regression = ExpectedLikelihood(student, 0.1, fit_noise=fit_noise)
    units = Units(rng.randn(n_outputs), rng.rand(n_outputs) + 0.5, rng.rand(n_outputs) + 0.5)
    generator = torch.Generator()
    objective = AveragedProbabilities(regression, 0.5, units, generator)
    if has_law:
        objective.set_law(DrawnLaw(rng.randn(12, 2), rng.randn(2, 2)))
    objective.set_members(rng.randn(*student.latent_shape, n_members))
    mean, residuals = rng.randn(n_rows, n_outputs), rng.randn(n_rows, n_outputs, n_members)
    loadings = rng.randn(n_rows, *student.layout.loadings_shape)
    targets = (
        softmax(rng.randn(n_rows, max(2, n_outputs)), axis=1),
        probabilities_of(objective, mean, residuals),
        regression.targets(mean, loadings, rng.uniform(1, 3, mean.shape)),
        rng.uniform(0.5, 1.5, n_rows),
    )
    targets = tuple(torch.as_tensor(target, dtype=torch.float32) for target in targets)
    columns = torch.as_tensor(rng.randn(n_rows, student.layout.n_columns), dtype=torch.float32)
    columns.requires_grad_()
    generator.manual_seed(1)
    loss = objective(columns, targets)
    (expected,) = torch.autograd.grad(loss, columns)
    slope = torch.empty_like(columns)
    generator.manual_seed(1)
    with torch.no_grad():
        found = objective.plan(columns.detach(), targets, slope)(True)
    assert_allclose(found, loss.item(), rtol=1e-6)
    assert_allclose(slope, expected, atol=1e-6)
