"""
Posteriors as teachers
======================

Draws of a posterior are members like any others. This example distils a Gaussian process and two
approximations of a Bayesian network, each by a thousand draws, and looks at what a spread alone
hides: how the rows vary together.
"""

# %%
# A Gaussian process
# ------------------
# Its draws are functions, which the student evaluates at as many rows as it likes. A thousand of
# them take a few times as long as fifty. With ``q=30`` factors, the student has room for all the
# directions in which they vary.
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from torch import nn
from torch.func import functional_call, grad, grad_and_value, vmap
from torch.nn.utils import parameters_to_vector

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import FittedEnsemble, parameter_draws

rng = np.random.RandomState(0)
X = np.concatenate([rng.uniform(-3, -0.5, (30, 1)), rng.uniform(1, 3, (30, 1))])
y = np.sin(2 * X[:, 0]) + 0.2 * rng.standard_normal(60)
grid = np.linspace(-3.5, 3.5, 141)[:, None]
rows = np.linspace(-3.5, 3.5, 500)[:, None]  # design points

torch.set_num_threads(1)  # several threads hinder each other in networks as small as these
process = GaussianProcessRegressor(1.0 * RBF(1.0) + WhiteKernel(0.1), random_state=0).fit(X, y)
noise = process.kernel_.k2.noise_level
exact = process.predict(grid, return_cov=True)[1] - noise * np.eye(len(grid))

settings = {"q": 30, "hidden_layer_sizes": (50, 50), "augment": None, "random_state": 0}
students = {"Gaussian process": DLFRegressor(process, **settings).fit(X, X_unlabeled=rows)}

# %%
# A Bayesian network by Laplace's approximation
# ---------------------------------------------
# The posterior of the parameters is taken as normal around its mode, with the Gauss-Newton matrix
# as precision, and the network as linear in them there. One function returns all members at once.
torch.manual_seed(0)
network = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1)).double()
X_tensor, y_tensor = torch.tensor(X), torch.tensor(y)
names = [name for name, _ in network.named_parameters()]
sizes = [parameter.numel() for parameter in network.parameters()]
shapes = [parameter.shape for parameter in network.parameters()]


def evaluate(parameters, X):
    """Return the network's outputs at one vector of parameters."""
    parts = [part.view(shape) for part, shape in zip(parameters.split(sizes), shapes, strict=True)]
    return functional_call(network, dict(zip(names, parts, strict=True)), (X,))[:, 0]


def energy(parameters):
    """Return minus the logarithm of the posterior's density: normal noise, normal prior."""
    error = y_tensor - evaluate(parameters, X_tensor)
    return 0.5 * (error.square().sum() / 0.04 + parameters.square().sum())


def slopes(X):
    """Return the derivatives of the outputs by the parameters at the mode."""
    slope = grad(lambda parameters, row: evaluate(parameters, row[None])[0])
    return vmap(slope, in_dims=(None, 0))(mode, torch.tensor(np.asarray(X)))


mode = parameters_to_vector(network.parameters()).detach().requires_grad_()
optimizer = torch.optim.LBFGS([mode], max_iter=2000, line_search_fn="strong_wolfe")


def closure():
    """Return the energy, and set its gradient."""
    optimizer.zero_grad()
    value = energy(mode)
    value.backward()
    return value


optimizer.step(closure)
mode = mode.detach()
precision = slopes(X).T @ slopes(X) / 0.04 + torch.eye(len(mode))
root = torch.linalg.inv(torch.linalg.cholesky(precision)).T  # of the covariance
deviations = root @ torch.randn(len(mode), 1000, dtype=torch.float64)


def laplace_members(X):
    """Return all members (n, 1000)."""
    mean = evaluate(mode, torch.tensor(np.asarray(X)))
    return (mean[:, None] + slopes(X) @ deviations).numpy()


laplace = FittedEnsemble(laplace_members, outputs="values", n_members=1000)
students["Laplace network"] = DLFRegressor(laplace, **settings).fit(X, X_unlabeled=rows)

# %%
# The same network by Langevin dynamics
# -------------------------------------
# Twenty chains start at the mode. Each step goes down the gradient and adds noise, and is accepted
# by the rule of Metropolis. Steps are short where the data determine the parameters, and nowhere
# long, since the network is not linear far from the mode. The states of the chains are
# draws of the parameters, and :func:`~sklearn_dlf.ensembles.parameter_draws` makes them members.
# Half of the states are learnt, the other half tells what the posterior is.
short = torch.linalg.inv(torch.linalg.cholesky(precision + 500 * torch.eye(len(mode)))).T
look_up = vmap(grad_and_value(lambda state: energy(mode + short @ state)))
step, kept = 0.1, []


def log_density(end, start, slope):
    """Return the log-density of a step from one state to another, up to a constant."""
    return -(end - start + 0.5 * step * slope).square().sum(dim=1) / (2 * step)


states = torch.zeros((20, len(mode)), dtype=torch.float64)
slope, value = look_up(states)
for number in range(4400):
    new = states - 0.5 * step * slope + step**0.5 * torch.randn_like(states)
    new_slope, new_value = look_up(new)
    gain = value - new_value
    gain += log_density(states, new, new_slope) - log_density(new, states, slope)
    accepted = torch.rand(20).log() < gain
    states = torch.where(accepted[:, None], new, states)
    slope = torch.where(accepted[:, None], new_slope, slope)
    value = torch.where(accepted, new_value, value)
    if number >= 400 and number % 40 == 0:
        kept.append(mode + states @ short.T)
kept = torch.cat(kept)
langevin = parameter_draws(network, kept[::2])
students["Langevin network"] = DLFRegressor(langevin, **settings).fit(X, X_unlabeled=rows)

# %%
# Spread and covariance
# ---------------------
# Top: draws of the teacher, and the student's spread. Middle and bottom: the covariance between
# the rows of the grid. Its error is the relative Frobenius norm of the entries off the diagonal.
# In the gap between the rows of `fit`, functions differ most, and neighbours vary together.
laplace_root = (slopes(grid) @ root).numpy()
held_out = parameter_draws(network, kept[1::2]).member_predictions(grid)
covariances = [exact, laplace_root @ laplace_root.T, np.cov(held_out)]
teachers = [FittedEnsemble(process, n_members=30), laplace, langevin]

figure, axes = plt.subplots(3, 3, figsize=(10, 9.5), layout="constrained")
off = ~np.eye(len(grid), dtype=bool)
print(f"{'':20}{'ratio of spreads':>20}{'correlation':>15}{'covariance error':>20}")
for column, (name, covariance, teacher) in enumerate(
    zip(students, covariances, teachers, strict=True)
):
    mean, own = students[name].predict(grid, return_cov=True)
    std, true_std = np.sqrt(np.diag(own)), np.sqrt(np.diag(covariance))
    error = np.linalg.norm((own - covariance)[off]) / np.linalg.norm(covariance[off])
    correlation = np.corrcoef(std, true_std)[0, 1]
    print(f"{name:20}{std.mean() / true_std.mean():20.3f}{correlation:15.3f}{error:20.3f}")

    top, middle, bottom = axes[:, column]
    draws = teacher.member_predictions(grid)[:, :30]
    top.plot(grid, draws, color="0.6", linewidth=0.5)
    band = {"color": "tab:blue", "alpha": 0.25, "label": "student: mean and two spreads"}
    top.fill_between(grid[:, 0], mean - 2 * std, mean + 2 * std, **band)
    top.plot(grid, mean, color="tab:blue")
    top.plot(X, y, "k.", markersize=4)
    top.set(title=name, ylim=(-4, 4))
    limit = np.abs(covariance).max()
    image = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit, "extent": (-3.5, 3.5, 3.5, -3.5)}
    middle.imshow(covariance, **image)
    shown = bottom.imshow(own, **image)
    figure.colorbar(shown, ax=[middle, bottom], shrink=0.6)
    middle.set_title("covariance: posterior", fontsize=10)
    bottom.set_title(f"student, error {error:.2f}", fontsize=10)
axes[0, 0].legend(frameon=False, loc="lower right", fontsize=8)
plt.show()
