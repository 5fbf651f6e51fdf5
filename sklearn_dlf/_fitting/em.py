"""The EM loop that fits a student to an ensemble.

Restricted EM works on the members' contrasts, over all design points at once:

    E-step     posterior of the latent variables under the student's loadings       (model)
    normalise  their second moment is set to the prior's, exactly, by the heads     (model)
    M-step     the student regresses on the ensemble's mean and expected loadings   (_training)

Contrasts do not involve the mean, so that latent variables cannot trade a shift with it, and the
student's own misfit of the mean is not taken for spread. After normalisation the M-step is a plain
regression on ``q + 1`` targets an entry, at a cost that does not grow with the members. The model
is that of full or of separable loadings (`_latent_models`).

The published algorithm (mini-batch posterior, no centring, no normalisation) is kept for
comparison as ``em="minibatch"``.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from .._latent.models import NOISE_FLOOR
from .objectives import ExpectedLikelihood, MinibatchLikelihood, PenalisedLikelihood
from .trainer import diverged

# The learning rate is halved after this many iterations without gain; the fit ends below this share
# of the first one, or goes over to the refinement, which anneals in its own way, below the other.
PATIENCE = 2
LR_DECAY = 0.5
MIN_LR_SHARE = 0.02
REFINE_BELOW_LR_SHARE = 0.25

# An iteration also gains if it takes this share off the squared error of the mean.
MEAN_GAIN = 0.05

# Log variances of member noise are clipped to what float32 has room for: few steps and a row far
# from all others reach that. Beyond what float64 has room for, training has diverged.
MAX_LOG_NOISE, DIVERGED_LOG_NOISE = 80.0, 700.0

# A refinement trains for this many rounds along half a cosine of learning rates. The first is the
# fit's own times the odds of the mean's error in its scale (error over the rest), within this share
# and one: where EM left much (a small network for many classes), there is much to mend.
N_REFINE_ROUNDS = 40
MIN_REFINE_LR_SHARE = 0.1

# Members that a round of refinement trains for, picked anew each time.
N_REFINE_MEMBERS = 8

# The noise head starts from this share of the members' variance at least. Factors that span all
# contrasts leave none with free loadings, but the student's first loadings explain little: with no
# noise to begin with, the likelihood of what they leave would drown the mean and the loadings.
MIN_START_NOISE = 0.1

# Iterations of EM whose M-step is the trainer's `polish`, in the end and where that suits, and what
# is left in them of the loadings' weight: it helps them to be learnt, and in the end the mean comes
# first.
N_POLISH_ROUNDS, POLISH_WEIGHT_SHARE = 4, 1 / 3

# Rounds of training of the published penalised start.
N_START_ROUNDS = 10


class ExpectationMaximisation:
    """Fits a trainer's student to the contrasts of an ensemble.

    Parameters
    ----------
    trainer : Trainer
        Holds the student and does the M-steps.
    contrasts : Contrasts
        What is known of the ensemble.
    model : LatentModel
        Of the contrasts; takes the E-step, and what of the M-step has a closed form.
    refinement : callable, default=None
        Takes the M-step's objective and the error of the mean after EM, returns another objective
        and the targets that it wants first. Members' residuals (m, c, S) follow, whose latent
        variables it is told by ``set_members``, and those of the M-step. The student is trained by
        it for some rounds in the end, without weight decay where rows are many.
    loadings_weight : float
        Of the loadings' error against the mean's.
    init, em, member_noise, max_iter, tol, mmd_weight, verbose
        As in the estimators.

    Attributes
    ----------
    n_iter, converged, log_likelihoods, log_likelihood_bound, history
        As the estimators' fitted attributes of these names.
    """

    def __init__(
        self,
        trainer,
        contrasts,
        model,
        *,
        refinement=None,
        init="spectral",
        em="restricted",
        member_noise="input",
        max_iter=100,
        tol=1e-3,
        loadings_weight=0.03,
        mmd_weight=10.0,
        verbose=0,
    ):
        self.trainer = trainer
        self.contrasts = contrasts
        self.model = model
        self.refinement = refinement
        self.init = init
        self.em = em
        self.member_noise = member_noise
        self.max_iter = max_iter
        self.tol = tol
        self.mmd_weight = mmd_weight
        self.verbose = verbose
        self.first_lr = trainer.lr
        self.converged = False
        self.history: list[dict] = []
        self._best_likelihood, self._best_error, self._n_iter_no_gain = -np.inf, np.inf, 0
        fit_noise = member_noise == "input" and em == "restricted"
        self._regression = ExpectedLikelihood(trainer.student, loadings_weight, fit_noise)

    def run(self):
        """Start, iterate until nothing is gained at any learning rate, and finish."""
        self.start()
        refine = self.refinement is not None and self.em == "restricted"
        last_lr = self.first_lr * (REFINE_BELOW_LR_SHARE if refine else MIN_LR_SHARE)
        for _ in range(self.max_iter):
            self.iterate(self.trainer.train)
            self.anneal()
            if self.trainer.lr < last_lr:
                self.converged = True
                break
        else:
            warnings.warn(
                f"EM was still gaining after max_iter={self.max_iter} iterations. Increase "
                f"max_iter, or tol={self.tol:g} (nats per entry) if the fit is good enough.",
                ConvergenceWarning,
                stacklevel=6,
            )
        if self.em == "restricted" and not refine and self.trainer.can_polish:
            self.polish()
        self.fix_noise()
        if refine:
            self.refine()
        if self._regression.fit_noise:
            self.limit_noise()
        return self

    @property
    def n_iter(self):
        """Iterations so far."""
        return len(self.history)

    @property
    def log_likelihoods(self):
        """Restricted log-likelihood after each M-step, in nats per entry, (n_iter,)."""
        return np.array([record["log_likelihood"] for record in self.history])

    def start(self):
        """Find the first posterior, or the first targets, and what free loadings reach."""
        self.log_likelihood_bound = self.model.start(self.trainer.student)
        self.trainer.student.set_noise(max(self.model.noise_variance, MIN_START_NOISE))
        if self.init != "spectral":  # a mixing of outputs stays the spectral one
            self.model.noise_variance = self._penalised_start() if self.init == "mmd" else 1.0
            self._read_student()
            self.e_step()
        if self.em == "minibatch":
            self._start_minibatch()

    def iterate(self, train):
        """One iteration; ``train`` is the trainer's method of the M-step, `train` or `polish`."""
        began = time.perf_counter()
        self.m_step(train)
        self.e_step()
        self.record(seconds=time.perf_counter() - began)

    def m_step(self, train):
        """Train the student, and set the noise variance to what its factors leave."""
        if self.em == "minibatch":
            train(self._published, self._members)
            self._read_student()
            self.model.noise_variance = self._learnt_noise(self._published)
        else:
            self._regress(train)
            self.model.maximise(self.trainer.student)
        self.log_likelihood = self.model.log_likelihood()

    def e_step(self):
        """Posterior at all design points, normalised, and the regression targets it gives.

        The published algorithm has its own inside the M-step.
        """
        if self.em == "restricted":
            self.model.e_step(self.trainer.student)

    def record(self, seconds):
        """Keep what the iteration came to, and show it."""
        self.history.append(
            {
                "log_likelihood": self.log_likelihood,
                "noise_variance": self.model.noise_variance,
                "mean_error": self.mean_error,
                "lr": self.trainer.lr,
                "seconds": seconds,
            }
        )
        if self.verbose:
            print(
                f"EM iteration {self.n_iter}: log-likelihood {self.log_likelihood:.4f} (bound "
                f"{self.log_likelihood_bound:.4f}), error of the mean {self.mean_error:.4f}, "
                f"learning rate {self.trainer.lr:.1e}, {seconds:.2f} s"
            )

    def anneal(self):
        """Halve the learning rate after some iterations without gain on the best before them."""
        last = self.history[-1]
        gained = last["log_likelihood"] - self._best_likelihood >= self.tol
        gained |= last["mean_error"] ** 2 < (1 - MEAN_GAIN) * self._best_error**2
        self._best_likelihood = max(self._best_likelihood, last["log_likelihood"])
        self._best_error = min(self._best_error, last["mean_error"])
        self._n_iter_no_gain = 0 if gained else self._n_iter_no_gain + 1
        if self._n_iter_no_gain == PATIENCE:
            self.trainer.lr *= LR_DECAY
            self._n_iter_no_gain = 0

    def fix_noise(self):
        """Write a member noise that does not depend on the input into the student's head."""
        if self.member_noise == "none":
            self.trainer.student.set_noise(0.0)
        elif self.member_noise == "constant" or self.em == "minibatch":
            self.trainer.student.set_noise(self.model.noise_variance)

    def polish(self):
        """Iterate on by M-steps over all rows at once, for the mean above all."""
        self._regression.weigh_loadings(POLISH_WEIGHT_SHARE * self._regression.loadings_weight)
        for _ in range(N_POLISH_ROUNDS):
            self.iterate(self.trainer.polish)

    def refine(self):
        """Train on by a further objective, from a learning rate that suits what EM has left."""
        objective, targets = self.refinement(self._regression, self.mean_error)
        odds = self.mean_error / max(1 - self.mean_error, MIN_REFINE_LR_SHARE)
        first_lr = self.first_lr * np.clip(odds, MIN_REFINE_LR_SHARE, 1.0)
        if self.trainer.has_many_rows:
            self.trainer.weight_decay = 0.0
        for share in np.arange(N_REFINE_ROUNDS) / N_REFINE_ROUNDS:
            self.trainer.lr = float(first_lr * (1 + np.cos(np.pi * share)) / 2)
            picked = torch.randperm(self.contrasts.shape[-1])[:N_REFINE_MEMBERS].numpy()
            objective.set_members(np.moveaxis(self.model.latent_mean[picked], 0, -1))
            residuals = self.contrasts.residuals.reshape(self.contrasts.shape)[..., picked]
            residuals = self.contrasts.unweighted(residuals)
            loss = self.trainer.train(objective, *targets, residuals, self._moments())
            if self.verbose:
                print(f"Refinement: loss {loss:.4f}, learning rate {self.trainer.lr:.1e}")
        self.trainer.evaluate()  # says so if it has diverged
        self.fix_noise()

    def limit_noise(self):
        """Let the member noise grow nowhere beyond the largest at design points that count."""
        log_noise = self.trainer.evaluate().log_noise[self.contrasts.weights > 0]
        if log_noise.max() > DIVERGED_LOG_NOISE:
            raise diverged("the member noise has no finite variance", self.trainer.lr)
        self.trainer.student.limit_noise(np.minimum(log_noise.max(axis=0), MAX_LOG_NOISE))

    def _regress(self, train):
        """Train the student's heads on the ensemble's mean, the targets and the variance."""
        train(self._regression, self._moments())
        self._read_student()

    def _moments(self):
        """Targets of the M-step: the ensemble's mean, expected loadings, members' variance.

        The regression is told the metric that goes with these loadings.
        """
        self._regression.metric_root = self.model.metric_root
        contrasts = self.contrasts
        loadings = contrasts.unweighted(self.model.targets)
        return self._regression.targets(contrasts.mean, loadings, contrasts.variance)

    def _read_student(self):
        """Evaluate the student at the design points: its loadings, error of the mean."""
        heads = self.trainer.evaluate()
        self.model.read(heads)
        misfit = np.square(heads.mean - self.contrasts.mean, dtype=np.float64).mean(axis=1)
        self.mean_error = float(np.sqrt(np.average(misfit, weights=self.contrasts.weights)))

    def _penalised_start(self):
        """Published start: free latent variables under a penalty; its noise variance."""
        n_samples, n_outputs, n_members = self.contrasts.shape
        objective = PenalisedLikelihood(
            self.trainer.student,
            self._spread_scale(),
            n_members,
            self.model.q,
            self.mmd_weight,
            n_samples * n_outputs,
        )
        members = self.contrasts.members()
        for _ in range(N_START_ROUNDS):
            self.trainer.train(objective, members)
        return max(self._learnt_noise(objective), NOISE_FLOOR)

    def _start_minibatch(self):
        """Set up the published M-step; a spectral start is first learnt by regression."""
        if self.init == "spectral":
            self._regress(self.trainer.train)
        self._members = self.contrasts.members()
        self._published = MinibatchLikelihood(
            self.trainer.student, self._spread_scale(), self.model.noise_variance
        )

    def _learnt_noise(self, objective):
        """Noise variance of an objective that learns it by gradients."""
        if not 0 < objective.noise_variance < np.inf:
            what = f"the member noise has variance {objective.noise_variance}"
            raise diverged(what, self.trainer.lr)
        return objective.noise_variance

    def _spread_scale(self):
        """Unit of the loadings in units of the mean; one where an output has no spread."""
        scale = self.contrasts.spread / self.contrasts.scale
        return np.where(scale > 0, scale, 1.0)
