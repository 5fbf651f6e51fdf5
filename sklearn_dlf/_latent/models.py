"""Both latent factor models with the interface that the EM loop uses.

`FullModel` gives every output loadings of its own. `SeparableModel` gives all outputs the same
loadings and mixes them. The algebra is in the modules ``full`` and ``separable``; a model keeps the
state between the steps of EM: the products of the student's weighted loadings with the contrasts,
the noise variance, and the targets of the next M-step.

Equation numbers are those of ``docs/equations.md``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from . import full, separable

# Smallest member noise variance, in units of the members' mean variance. Members in float32 cannot
# resolve less, and a q that spans all contrasts would make the variance zero.
NOISE_FLOOR = 1e-6

# The separable model's free loadings have no closed form. EM with exact M-steps finds them. It
# stops after a sweep that gains less than SWEEP_GAIN, in nats per entry and degree of freedom,
# which takes some ten sweeps; MAX_SWEEPS is a limit that leaves room. Both are choices.
MAX_SWEEPS = 50
SWEEP_GAIN = 1e-4


class LatentModel(ABC):
    """A latent factor model of an ensemble's contrasts, with the steps of EM.

    One iteration is: the caller trains the network on `targets`, then calls `read` with the
    network's heads, `maximise` and `e_step`. `log_likelihood` may be called after `read`.

    Parameters
    ----------
    contrasts : Contrasts
        Contrasts of the members at the design points, with the weights of these.
    q : int
        Number of latent factors: of each output, or those that all outputs share.

    Attributes
    ----------
    noise_variance : float
        Variance of the member noise, the same at all entries, in units of the members' mean
        variance. Set by `initialise` and `maximise`; the caller may set another one.
    posterior : FullPosterior or SeparablePosterior
        Posterior of the latent variables after the last E-step, normalised.
    latent_mean : array of shape (n_members, q) or (n_members, c, q)
        Mean of `posterior`.
    targets : array of shape (m, c, q) or (m, 1, q)
        Loadings that the M-step regresses on, weighted as the residuals are.
    metric_root : array of shape (q, q) or None
        The M-step multiplies the error of the loadings by it before it is squared. None is the
        identity.
    """

    noise_variance: float
    targets: np.ndarray
    posterior: full.FullPosterior | separable.SeparablePosterior
    metric_root: np.ndarray | None = None

    def __init__(self, contrasts, q):
        self.contrasts = contrasts
        self.q = q
        self._root = np.sqrt(contrasts.weights, dtype=np.float64)[:, None, None]
        self._total_variance = full.contrast_variance(contrasts.residuals).sum()

    @abstractmethod
    def initialise(self, network) -> float:
        """Set the targets and the noise variance to those of free loadings.

        Returns the log-likelihood that free loadings reach, in nats per entry and degree of
        freedom: the bound. A mixing of outputs is written into the network.
        """

    @abstractmethod
    def read(self, heads) -> None:
        """Take over the network's loadings at the design points from its evaluated heads."""

    @abstractmethod
    def maximise(self, network) -> None:
        """Finish the M-step after `read`: maximise over all that has a closed form.

        Sets the noise variance, and the mixing of outputs here and in the network.
        """

    @abstractmethod
    def e_step(self, network) -> None:
        """Compute the posterior, normalise it, and set the next targets.

        The normalisation multiplies the network's loadings, in its heads, so that it describes the
        same functions as before.
        """

    @abstractmethod
    def log_likelihood(self) -> float:
        """Restricted log-likelihood of the loadings that were last read.

        In nats per entry and degree of freedom.
        """

    @property
    def latent_mean(self) -> np.ndarray:
        """Posterior mean of the latent variables after the last E-step."""
        return self.posterior.mean


class FullModel(LatentModel):
    """``f_i = mu + Lambda z_i + e_i``, with loadings of its own for every output. Eq. (1)."""

    posterior: full.FullPosterior

    def initialise(self, network):
        solution = full.spectral_solution(self.contrasts.residuals, self.q, noise_floor=NOISE_FLOOR)
        self._set_targets(solution.loadings)  # Eq. (12)
        self.noise_variance = solution.noise_variance
        return solution.log_likelihood  # Eq. (13)

    def read(self, heads):
        self._loadings = (heads.loadings * self._root).reshape(-1, self.q)
        self._projection = full.project(self._loadings, self.contrasts.residuals)  # Eq. (5)

    def maximise(self, network):
        variance = self.contrasts.variance * self.contrasts.weights[:, None]
        unexplained = full.expected_residual_variance(
            variance.ravel(), self.targets.reshape(-1, self.q), self._loadings
        )
        # The loadings are not needed any more, and the next ones take as much memory.
        del self._loadings
        self.noise_variance = max(unexplained.mean(), NOISE_FLOOR)  # Eq. (9)

    def e_step(self, network):
        latent = full.posterior(self._projection, self.noise_variance)  # Eq. (6)
        self.posterior, transform = full.normalise(latent)  # Eq. (7)
        network.transform_loadings(transform)
        # Eq. (8)
        self._set_targets(full.expected_loadings(self.contrasts.residuals, self.posterior.mean))

    def log_likelihood(self):
        n_entries = len(self.contrasts.residuals)
        return full.restricted_log_likelihood(  # Eq. (10)
            self._projection, self._total_variance, self.noise_variance, n_entries
        )

    def _set_targets(self, loadings):
        """Set the targets to loadings (n_entries, q)."""
        self.targets = loadings.reshape(*self.contrasts.shape[:2], self.q)


class SeparableModel(LatentModel):
    """``f_i = mu + L Z_i phi + e_i``, with the same phi for all outputs, mixed by L. Eq. (16).

    The mixing does not depend on the input. It is a buffer of the network, and its M-step has a
    closed form. Its rows have unit length on average, Eq. (23), so that ``phi' phi`` is the mean
    variance of the outputs.

    Attributes
    ----------
    mixing : array of shape (c, c)
        The mixing L of the outputs.
    residuals : array of shape (m, c, n_members)
        Residuals of the contrasts.
    """

    posterior: separable.SeparablePosterior

    def __init__(self, contrasts, q):
        super().__init__(contrasts, q)
        self.residuals = contrasts.residuals.reshape(contrasts.shape)
        self.mixing = np.eye(contrasts.shape[1])

    def initialise(self, network):
        self.mixing, loadings, noise_variance = separable.initial_solution(self.residuals, self.q)
        self.noise_variance = max(noise_variance, NOISE_FLOOR)
        self._project(loadings)
        self._infer_and_normalise()
        likelihood = -np.inf
        for _ in range(MAX_SWEEPS):
            self._project(self.targets[:, 0])  # the M-step of free loadings
            self._maximise_mixing()
            previous, likelihood = likelihood, self.log_likelihood()
            self._infer_and_normalise()
            if likelihood - previous < SWEEP_GAIN:
                break
        network.set_mixing(self.mixing)
        return likelihood

    def read(self, heads):
        self._project((heads.loadings * self._root)[:, 0])

    def maximise(self, network):
        self._maximise_mixing()
        network.set_mixing(self.mixing)

    def e_step(self, network):
        network.transform_loadings(self._infer_and_normalise())
        network.set_mixing(self.mixing)

    def log_likelihood(self):
        return separable.restricted_log_likelihood(  # Eq. (20)
            self._eigenbasis(), self._total_variance, self.noise_variance, len(self.residuals)
        )

    def _project(self, loadings):
        """Compute the products of the weighted loadings (m, q) with themselves and the members."""
        self._gram = full.cross_product(loadings, loadings)
        self._projection = separable.project(loadings, self.residuals)
        self._basis = None

    def _maximise_mixing(self):
        """Maximise the expected likelihood over the mixing and the noise variance. Eq. (25)."""
        self.mixing, explained = separable.expected_mixing(
            self.posterior, self._gram, self._projection
        )
        self._basis = None
        unexplained = (self._total_variance - explained) / len(self.contrasts.residuals)
        self.noise_variance = max(unexplained, NOISE_FLOOR)

    def _infer_and_normalise(self):
        """Compute the posterior, normalise it and the mixing, and set the next targets.

        Returns the matrix (q, q) by which the caller multiplies the loadings.
        """
        latent = separable.posterior(self._eigenbasis(), self.noise_variance)  # Eq. (19)
        self.posterior, left, right = separable.normalise(latent)  # Eq. (22)
        mixing = self.mixing @ left
        length = np.sqrt(np.mean(np.square(mixing).sum(axis=1))) or 1.0
        self.mixing, self._basis = mixing / length, None  # Eq. (23)
        targets, metric = separable.expected_loadings(  # Eq. (24)
            self.residuals, self.posterior, self.mixing
        )
        self.targets = targets[:, None]
        self.metric_root = full.symmetric_root(metric / len(mixing))[0]
        return length * right

    def _eigenbasis(self):
        """Eigenbasis of the present mixing and loadings, Eq. (18).

        It is kept, because the likelihood and the E-step after it use the same one.
        """
        if self._basis is None:
            self._basis = separable.eigenbasis(self.mixing, self._gram, self._projection)
        return self._basis
