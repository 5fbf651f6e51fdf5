"""Both latent factor models as the EM loop sees them: a state, and the steps that it goes through.

`FullModel` gives every output loadings of its own, `SeparableModel` gives all outputs the same
loadings and mixes them. The mathematics is in `_latent` and `_separable`. Each holds what the
student's weighted loadings tell of the members, as they were last read, the noise variance, and the
targets of the next M-step.
"""

from __future__ import annotations

import numpy as np

from . import full, separable

# The smallest member noise variance in units of the members' mean variance. Float32 members cannot
# carry less, and a q that spans all contrasts would send it to zero.
NOISE_FLOOR = 1e-6

# The separable model's free loadings have no closed form. EM with exact M-steps finds them in some
# ten sweeps; it stops at this gain, in nats per entry.
MAX_SWEEPS = 50
SWEEP_GAIN = 1e-4


class LatentModel:
    """What the EM loop asks of a latent factor model.

    Parameters
    ----------
    contrasts : Contrasts
        Of the members.
    q : int
        Latent factors, of every output or of all.

    Attributes
    ----------
    noise_variance : float
        Of the members beside the factors, the same at all entries.
    latent_mean : array of shape (n_members, q) or (n_members, c, q)
        Posterior mean of the last E-step.
    targets : array of shape (m, c, q) or (m, 1, q)
        What the M-step's regression wants the loadings to be, weighted as the residuals are.
    metric_root : array of shape (q, q) or None
        Of the regression's squared error, by which the error is multiplied; the identity if None.
    """

    metric_root = None

    def __init__(self, contrasts, q):
        self.contrasts = contrasts
        self.q = q
        self._root = np.sqrt(contrasts.weights, dtype=np.float64)[:, None, None]
        self._total_variance = full.contrast_variance(contrasts.residuals).sum()

    def start(self, student):
        """Targets and noise variance of free loadings; the log-likelihood that they reach."""
        raise NotImplementedError

    def read(self, heads):
        """Take over the student's loadings at the design points."""
        raise NotImplementedError

    def maximise(self, student):
        """Rest of the M-step, once the loadings are read: what has a closed form."""
        raise NotImplementedError

    def e_step(self, student):
        """Posterior, normalised exactly by the student's heads, and the targets it gives."""
        raise NotImplementedError

    def log_likelihood(self):
        """Restricted log-likelihood of what was read, in nats per entry and degree of freedom."""
        raise NotImplementedError


class FullModel(LatentModel):
    """``f_i = mu + Lambda z_i + e_i`` with loadings of its own for every output."""

    def start(self, student):
        spectral = full.spectral_solution(self.contrasts.residuals, self.q, noise_floor=NOISE_FLOOR)
        self._aim_at(spectral.loadings)
        self.noise_variance = spectral.noise_variance
        return spectral.log_likelihood

    def read(self, heads):
        self._loadings = (heads.loadings * self._root).reshape(-1, self.q)
        self._projection = full.project(self._loadings, self.contrasts.residuals)

    def maximise(self, student):
        variance = self.contrasts.variance * self.contrasts.weights[:, None]
        unexplained = full.expected_residual_variance(
            variance.ravel(), self.targets.reshape(-1, self.q), self._loadings
        )
        del self._loadings  # as large as those that will be read next
        self.noise_variance = max(unexplained.mean(), NOISE_FLOOR)

    def e_step(self, student):
        latent = full.posterior(self._projection, self.noise_variance)
        latent, transform = full.normalise(latent)
        student.transform_loadings(transform)
        self.latent_mean = latent.mean
        self._aim_at(full.expected_loadings(self.contrasts.residuals, latent.mean))

    def log_likelihood(self):
        n_entries = len(self.contrasts.residuals)
        return full.restricted_log_likelihood(
            self._projection, self._total_variance, self.noise_variance, n_entries
        )

    def _aim_at(self, loadings):
        self.targets = loadings.reshape(*self.contrasts.shape[:2], self.q)


class SeparableModel(LatentModel):
    """``f_i = mu + L Z_i phi + e_i`` with a mixing L of outputs and the same phi for all of them.

    The mixing is no function of the input: it is a buffer of the student, and its M-step has a
    closed form. Its scale is that of rows of unit length on average, so that ``phi' phi`` is the
    mean variance of the outputs.
    """

    def __init__(self, contrasts, q):
        super().__init__(contrasts, q)
        self.residuals = contrasts.residuals.reshape(contrasts.shape)
        self.mixing = np.eye(contrasts.shape[1])

    def start(self, student):
        self.mixing, loadings, noise_variance = separable.rough_solution(self.residuals, self.q)
        self.noise_variance = max(noise_variance, NOISE_FLOOR)
        self._look_along(loadings)
        self._infer()
        likelihood = -np.inf
        for _ in range(MAX_SWEEPS):
            self._look_along(self.targets[:, 0])  # the M-step of free loadings
            self.maximise(student)
            previous, likelihood = likelihood, self.log_likelihood()
            self._infer()
            if likelihood - previous < SWEEP_GAIN:
                break
        student.set_mixing(self.mixing)
        return likelihood

    def read(self, heads):
        self._look_along((heads.loadings * self._root)[:, 0])

    def maximise(self, student):
        self.mixing, explained = separable.expected_mixing(
            self._latent, self._gram, self._projection
        )
        self._basis = None
        unexplained = (self._total_variance - explained) / len(self.contrasts.residuals)
        self.noise_variance = max(unexplained, NOISE_FLOOR)
        student.set_mixing(self.mixing)

    def e_step(self, student):
        student.transform_loadings(self._infer())
        student.set_mixing(self.mixing)

    @property
    def latent_mean(self):
        """Posterior mean of the last E-step, (n_members, c, q)."""
        return self._latent.mean

    def _infer(self):
        """E-step and its normalisation; what the loadings are to be multiplied by, (q, q)."""
        latent = separable.posterior(self._eigenbasis(), self.noise_variance)
        self._latent, left, right = separable.normalise(latent)
        mixing = self.mixing @ left
        length = np.sqrt(np.mean(np.square(mixing).sum(axis=1))) or 1.0
        self.mixing, self._basis = mixing / length, None
        targets, metric = separable.expected_loadings(self.residuals, self._latent, self.mixing)
        self.targets = targets[:, None]
        self.metric_root = full.symmetric_root(metric / len(mixing))[0]
        return length * right

    def log_likelihood(self):
        return separable.restricted_log_likelihood(
            self._eigenbasis(), self._total_variance, self.noise_variance, len(self.residuals)
        )

    def _look_along(self, loadings):
        """Keep what the weighted loadings (m, q) tell of the members."""
        self._gram = full.cross_product(loadings, loadings)
        self._projection = separable.project(loadings, self.residuals)
        self._basis = None

    def _eigenbasis(self):
        """Of the present mixing and loadings: the likelihood and the E-step after it share it."""
        if self._basis is None:
            self._basis = separable.eigenbasis(self.mixing, self._gram, self._projection)
        return self._basis
