"""Normal priors of the coordinates, normal likelihoods, and how a posterior drifts to its prior."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import dtrtri

from .._utils.cholesky import inverse_by, lower_factor, solve_lower
from .posterior import Normal, square_root


class Likelihood(NamedTuple):
    """A likelihood of k coordinates that is normal, or taken for it.

    Attributes
    ----------
    precision : array of shape (k, k)
        Its precision matrix, which may be singular.
    slope : array of shape (k,)
        The precision matrix times its mean.
    log_evidence : float
        Log-evidence of all that is in it, in nats.
    """

    precision: np.ndarray
    slope: np.ndarray
    log_evidence: float


def no_rows(size: int) -> Likelihood:
    """Return the likelihood of no rows, in coordinates of a size."""
    return Likelihood(np.zeros((size, size)), np.zeros(size), 0.0)


class Model(NamedTuple):
    """One hypothesis: a normal prior of the coordinates, with mean zero.

    Attributes
    ----------
    root : array of shape (k, r) or None
        Vectors that a normal variable is multiplied by. None if the coordinates are that variable.
    precision : array of shape (r, r)
        Precision of the variable.
    factors : array of shape (k, q) or None
        Vectors that the factors are multiplied by, if their posterior is to be returned behind that
        of the coordinates. They are the first of the root.
    """

    root: np.ndarray | None
    precision: np.ndarray
    factors: np.ndarray | None = None

    def condition(self, likelihood: Likelihood) -> tuple[np.ndarray, np.ndarray]:
        """Posterior mean of the variable, and the Cholesky factor of its precision."""
        precision, slope = likelihood.precision, likelihood.slope
        if self.root is not None:
            precision = self.root.T @ precision @ self.root
            slope = self.root.T @ slope
        factor = lower_factor(self.precision + precision)
        return solve_lower(factor, solve_lower(factor, slope), transposed=True), factor

    def posterior(self, likelihood: Likelihood) -> Normal:
        """Posterior of the coordinates, and of the factors behind them."""
        mean, factor = self.condition(likelihood)
        root = dtrtri(factor, lower=1)[0].T
        if self.root is not None:
            vectors = self.root
            if self.factors is not None:
                vectors = np.concatenate([vectors, np.eye(self.factors.shape[1], len(mean))])
            return Normal(vectors @ mean, vectors @ root)
        if self.factors is None:
            return Normal(mean, root)
        # Factors are known by the coordinates, up to a rest.
        regression = self.factors.T @ self.precision
        rest = square_root(np.eye(len(regression)) - regression @ self.factors)
        known = np.concatenate([root, regression @ root])
        unknown = np.concatenate([np.zeros((len(root), rest.shape[1])), rest])
        return Normal(np.r_[mean, regression @ mean], np.column_stack([known, unknown]))

    def log_normaliser(self, likelihood: Likelihood) -> float:
        """Logarithm of the integral of prior times likelihood, less what the prior alone gives."""
        mean, factor = self.condition(likelihood)
        half = factor.T @ mean
        return float(0.5 * half @ half - np.log(np.diag(factor)).sum())

    def drift(self, likelihood: Likelihood, share: float) -> Likelihood:
        """Return the likelihood under which the posterior is nearer to the prior.

        With ``share`` rho, the posterior's mean m and covariance S become ``rho m`` and ``rho^2 S +
        (1 - rho^2) K`` for the prior's covariance K: a step of the process that has the prior as
        its stationary distribution. Neither S nor K is inverted, so that precisions stay positive
        definite after any number of steps.
        """
        mean, _ = self.condition(likelihood)
        own, precision = likelihood.precision, self.precision
        left = own
        if self.root is not None:
            left = self.root.T @ own
            mean = self.root @ mean
        rest = 1 - share**2
        inner = precision + rest * (left if self.root is None else left @ self.root)
        half = solve_lower(lower_factor(inner), left)
        drifted = share**2 * (own - rest * (half.T @ half))
        slope = share * (likelihood.slope + (drifted - own) @ mean)
        return Likelihood(drifted, slope, share**2 * likelihood.log_evidence)


def model_of(root: np.ndarray, factors: np.ndarray | None = None) -> Model:
    """Return the prior with a root (k, r) of its covariance; of full rank if r is k or more."""
    if root.shape[1] < len(root):
        return Model(root, np.eye(root.shape[1]), factors)
    return Model(None, inverse_by(lower_factor(root @ root.T)), factors)
