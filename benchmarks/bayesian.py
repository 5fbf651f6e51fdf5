"""Distil posteriors: Gaussian processes, Bayesian linear models, Laplace and Langevin networks.

Prints a Markdown table. Students are compared with the posterior at 300 fresh rows: the ratio of
mean spreads, the correlation of spreads over rows, and the error of the covariance between rows
(its entries off the diagonal, relative Frobenius norm). Cells are means and standard errors over
seeds. So is the root mean square error of the student's mean, in standard deviations of the
posterior; its mean is that of other draws. The last columns are the same of as many other draws,
which no student can be expected to beat:

    python benchmarks/bayesian.py [--seeds 5] [--cases "process, 2 columns" ...]

The posteriors of processes, of linear models and of linearised networks are known exactly. That of
the Langevin network is taken from draws that the student has not learnt from.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel
from sklearn.linear_model import ARDRegression, BayesianRidge
from torch import nn
from torch.func import functional_call, grad, grad_and_value, vmap
from torch.nn.utils import parameters_to_vector

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import FittedEnsemble, parameter_draws

N_DRAWS = 1000


class Posterior(NamedTuple):
    """A teacher, its rows, and its exact covariance at fresh rows.

    Attributes
    ----------
    X, y : arrays
        Rows of the student's fit.
    X_fresh : array of shape (300, n_features)
        Rows of the comparison.
    draw : callable
        Takes a number of draws and a seed, and returns an ensemble.
    covariance : array of shape (300, 300)
        Of the function at the fresh rows.
    """

    X: np.ndarray
    y: np.ndarray
    X_fresh: np.ndarray
    draw: Callable[[int, int], Any]
    covariance: np.ndarray


def make_surface(n_columns, n_rows, seed):
    """Return rows, noisy values of a smooth function, and fresh rows."""
    rng = np.random.RandomState(seed)
    X = rng.uniform(-2, 2, size=(n_rows, n_columns))
    y = np.sin(2 * X[:, 0]) + 0.5 * X[:, 1] ** 2 + 0.3 * rng.standard_normal(n_rows)
    return X, y, rng.uniform(-2, 2, size=(300, n_columns))


def process(seed, n_columns, n_rows, shape):
    """Return the posterior of a Gaussian process whose kernel was fitted."""
    X, y, X_fresh = make_surface(n_columns, n_rows, seed)
    kernel = ConstantKernel(1.0) * shape(np.ones(n_columns)) + WhiteKernel(0.1)
    model = GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed).fit(X, y)
    noise = model.kernel_.k2.noise_level * y.var()  # the last term of the kernel, in units of y
    covariance = model.predict(X_fresh, return_cov=True)[1] - noise * np.eye(len(X_fresh))
    return Posterior(X, y, X_fresh, sampler(model), covariance)


def sampler(model):
    """Return a function that draws from a model with a posterior."""
    return lambda n, seed: FittedEnsemble(model, n_members=n, random_state=seed)


def linear(seed, model):
    """Return the posterior of a Bayesian linear model of the diabetes data."""
    X, y = load_diabetes(return_X_y=True)
    order = np.random.RandomState(seed).permutation(len(X))
    rows, fresh = order[:142], order[142:]
    model = clone(model).fit(X[rows], y[rows])
    kept = slice(None)
    if isinstance(model, ARDRegression):
        kept = model.lambda_ < model.threshold_lambda
    centred = (X[fresh] - model.X_offset_)[:, kept]
    covariance = centred @ model.sigma_ @ centred.T
    return Posterior(X[rows], y[rows], X[fresh], sampler(model), covariance)


#: Precisions of the prior of a network's parameters, of which the one of largest evidence is used.
PRECISIONS = (1.0, 2.0, 4.0, 8.0, 16.0)


class Network:
    """A small Bayesian network: normal prior of its parameters, normal noise of y."""

    @classmethod
    def by_evidence(cls, X, y, seed):
        """Return the network whose prior has the largest evidence, by Laplace's approximation."""
        networks = [cls(X, y, seed, precision) for precision in PRECISIONS]
        return max(networks, key=lambda network: network.evidence())

    def __init__(self, X, y, seed, precision, noise=0.09):
        torch.manual_seed(seed)
        self.module = nn.Sequential(nn.Linear(X.shape[1], 30), nn.Tanh(), nn.Linear(30, 1)).double()
        self.X, self.y = torch.as_tensor(X), torch.as_tensor(y)
        self.noise, self.precision = noise, precision
        self.mode = self._find_mode()

    def evaluate(self, parameters, X):
        """Return the outputs (n,) at one vector of parameters."""
        named = list(self.module.named_parameters())
        parts = parameters.split([parameter.numel() for _, parameter in named])
        values = {
            name: part.view_as(parameter)
            for (name, parameter), part in zip(named, parts, strict=True)
        }
        return functional_call(self.module, values, (X,))[..., 0]

    def energy(self, parameters):
        """Return the negative logarithm of the posterior's density, up to a constant."""
        error = self.y - self.evaluate(parameters, self.X)
        return 0.5 * (error.square().sum() / self.noise + self.precision * parameters @ parameters)

    def _find_mode(self):
        """Return the parameters of largest posterior density."""
        start = parameters_to_vector(self.module.parameters()).detach()
        parameters = start.clone().requires_grad_()
        optimizer = torch.optim.LBFGS([parameters], max_iter=2000, line_search_fn="strong_wolfe")

        def closure():
            optimizer.zero_grad()
            energy = self.energy(parameters)
            energy.backward()
            return energy

        optimizer.step(closure)
        return parameters.detach()

    def slopes(self, X):
        """Return the derivatives of the outputs by the parameters at the mode, (n, p)."""
        rows = torch.as_tensor(np.asarray(X, dtype=np.float64))
        slope = grad(lambda parameters, row: self.evaluate(parameters, row[None])[0])
        return vmap(slope, in_dims=(None, 0))(self.mode, rows)

    def precision_root(self, added=0.0):
        """Return the Cholesky factor of the posterior's precision (p, p), by Gauss-Newton."""
        slopes = self.slopes(self.X.numpy())
        matrix = slopes.T @ slopes / self.noise
        matrix += (self.precision + added) * torch.eye(len(self.mode), dtype=torch.float64)
        return torch.linalg.cholesky(matrix)

    def evidence(self):
        """Return the logarithm of the evidence, up to a constant."""
        half_prior = 0.5 * len(self.mode) * np.log(self.precision)
        half_posterior = self.precision_root().diagonal().log().sum()
        return float(half_prior - half_posterior - self.energy(self.mode))

    def covariance_root(self, added=0.0):
        """Return a root of the posterior's covariance (p, p), with some precision added."""
        return torch.linalg.inv(self.precision_root(added)).T

    def langevin(self, n_draws, seed, step=0.1, n_chains=20, n_burnt=1000, thinning=40):
        """Return states (n_draws, p) of Langevin chains with the acceptance of Metropolis."""
        generator = torch.Generator().manual_seed(seed)
        # steps are short where the data determine the parameters, and nowhere long
        root, kept = self.covariance_root(500.0), []
        look_up = vmap(grad_and_value(lambda state: self.energy(self.mode + root @ state)))

        def log_density(end, start, slope):
            return -(end - start + 0.5 * step * slope).square().sum(dim=1) / (2 * step)

        states = torch.zeros((n_chains, len(root)), dtype=torch.float64)
        slope, energy = look_up(states)
        for number in range(1, n_burnt + thinning * -(-n_draws // n_chains) + 1):
            noise = torch.randn(states.shape, generator=generator, dtype=torch.float64)
            new = states - 0.5 * step * slope + np.sqrt(step) * noise
            new_slope, new_energy = look_up(new)
            gain = energy - new_energy
            gain += log_density(states, new, new_slope) - log_density(new, states, slope)
            accepted = torch.rand(n_chains, generator=generator).log() < gain
            states = torch.where(accepted[:, None], new, states)
            slope = torch.where(accepted[:, None], new_slope, slope)
            energy = torch.where(accepted, new_energy, energy)
            if number <= n_burnt:  # about six in ten steps should be accepted
                step *= 1.02 ** float((accepted.double().mean() - 0.6).sign())
            if number > n_burnt and (number - n_burnt) % thinning == 0:
                kept.append(self.mode + states @ root.T)
        return torch.cat(kept)[:n_draws]


def laplace(seed):
    """Return the posterior of a network, linear in its parameters around their mode."""
    X, y, X_fresh = make_surface(5, 300, seed)
    network = Network.by_evidence(X, y, seed)
    root = network.covariance_root()

    def draw(n_draws, seed):
        generator = torch.Generator().manual_seed(seed)
        normal = torch.randn((len(root), n_draws), generator=generator, dtype=torch.float64)
        deviations = root @ normal

        def evaluate(X):
            mean = network.evaluate(network.mode, torch.as_tensor(np.asarray(X, dtype=np.float64)))
            return (mean[:, None] + network.slopes(X) @ deviations).numpy()

        return FittedEnsemble(evaluate, outputs="values", n_members=n_draws, are_draws=True)

    slopes = network.slopes(X_fresh) @ root
    return Posterior(X, y, X_fresh, draw, (slopes @ slopes.T).numpy())


def langevin(seed):
    """Return the posterior of a network by Markov chains; half of the states are held out."""
    X, y, X_fresh = make_surface(5, 300, seed)
    network = Network.by_evidence(X, y, seed)
    states = network.langevin(4 * N_DRAWS, seed)
    states = states[torch.randperm(len(states), generator=torch.Generator().manual_seed(seed))]

    def draw(n_draws, part):
        chosen = states[part * n_draws : (part + 1) * n_draws]
        return parameter_draws(network.module, chosen)

    held_out = parameter_draws(network.module, states[2 * N_DRAWS :]).member_predictions(X_fresh)
    return Posterior(X, y, X_fresh, draw, np.cov(held_out))


#: Name, posterior, draws, factors of the student.
CASES = {
    "process, 2 columns": (lambda seed: process(seed, 2, 100, RBF), N_DRAWS, 30),
    "the same, q = 10": (lambda seed: process(seed, 2, 100, RBF), N_DRAWS, 10),
    "the same, 50 draws": (lambda seed: process(seed, 2, 100, RBF), 50, 30),
    "Matern process, 2 columns": (lambda seed: process(seed, 2, 100, Matern), N_DRAWS, 30),
    "process, 5 columns": (lambda seed: process(seed, 5, 300, RBF), N_DRAWS, 40),
    "Bayesian ridge": (lambda seed: linear(seed, BayesianRidge()), N_DRAWS, 10),
    "ARD regression": (lambda seed: linear(seed, ARDRegression()), N_DRAWS, 10),
    "Laplace network": (laplace, N_DRAWS, 40),
    "Langevin network": (langevin, N_DRAWS, 40),
}


def compare(covariance, expected):
    """Return ratio and correlation of spreads, and error of the covariance off the diagonal."""
    own, std = np.sqrt(np.diag(covariance)), np.sqrt(np.diag(expected))
    off = ~np.eye(len(std), dtype=bool)
    error = np.linalg.norm((covariance - expected)[off]) / np.linalg.norm(expected[off])
    return [own.mean() / std.mean(), np.corrcoef(own, std)[0, 1], error]


def measure(case, seed):
    """Return what `compare` says of the student and of other draws, and seconds of the fit."""
    make, n_draws, q = CASES[case]
    posterior = make(seed)
    student = DLFRegressor(posterior.draw(n_draws, 0), q=q, random_state=seed)
    start = time.process_time()
    student.fit(posterior.X, posterior.y)
    seconds = time.process_time() - start
    covariance = student.predict(posterior.X_fresh, return_cov=True)[1]
    others = posterior.draw(n_draws, 1).member_predictions(posterior.X_fresh)
    error = student.predict(posterior.X_fresh) - others.mean(axis=1)
    return [
        np.sqrt(np.mean(error**2) / np.diag(posterior.covariance).mean()),
        *compare(covariance, posterior.covariance),
        *compare(np.cov(others), posterior.covariance),
        seconds,
    ]


def main():
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    columns = ["posterior", "draws", "q", "error of mean", "spread ratio", "correlation"]
    columns += ["covariance error", "ratio of other draws", "correlation"]
    columns += ["covariance error", "fit (s)"]
    print("| " + " | ".join(columns) + " |\n|" + " --- |" * len(columns), flush=True)
    for case in args.cases:
        values = np.array([measure(case, seed) for seed in range(args.seeds)])
        means, errors = values.mean(axis=0), values.std(axis=0) / np.sqrt(max(len(values) - 1, 1))
        cells = [f"{means[i]:.3f} ({errors[i]:.3f})" for i in range(4)]
        cells += [f"{m:.3f}" for m in means[4:7]] + [f"{means[7]:.0f}"]
        print("| " + " | ".join([case, *map(str, CASES[case][1:]), *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
