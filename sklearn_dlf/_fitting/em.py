"""The EM loop that fits a student's network to the contrasts of an ensemble.

One iteration of restricted EM works on the contrasts at all design points at once:

    M-step      the network regresses on the members' mean and the expected loadings   (trainer)
    likelihood  restricted log-likelihood of the network's loadings                    (model)
    E-step      posterior of the latent variables under the network's loadings         (model)
    normalise   the heads set the second moment of the latent variables to one         (model)

Contrasts do not involve the mean. So the latent variables cannot trade a shift with it, and the
network's own error of the mean is not taken for spread. After the normalisation the M-step is a
plain regression on ``q + 1`` targets an entry, whose cost does not grow with the members. The model
has full or separable loadings (`_latent.models`). Equations are in ``docs/equations.md``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .._latent.models import NOISE_FLOOR, LatentModel
from .._transfer.contrasts import Contrasts
from .._utils.fit_tasks import FitTasks
from .._utils.seeding import Draws
from .._utils.warning import warn_user
from .best_network import BestNetwork
from .checkpoints import Checkpoint
from .latent_law import DrawnLaw
from .member_likelihoods import MemberLikelihood, PenalisedLikelihood
from .objectives import ExpectedLikelihood
from .refinement import Refinement
from .trainer import Trainer, diverged


class Annealing(NamedTuple):
    """The learning rate is multiplied by ``decay`` after ``patience`` iterations without gain."""

    patience: int
    decay: float


# The second one is that of students that take fewer steps (see `trainer.trains_swiftly`). They
# reach the same likelihood in less time.
ANNEALING, PLAIN_ANNEALING = Annealing(2, 0.5), Annealing(1, 0.7)

# EM ends below this share of the first learning rate, or below the larger share if a refinement
# follows, which lowers the learning rate in its own way.
MIN_LR_SHARE = 0.02
REFINE_BELOW_LR_SHARE = 0.25

# An iteration also gains if it takes this share off the squared error of the mean.
MEAN_GAIN = 0.05

# Log variances of member noise are clipped to the range of float32; few training steps and a row
# far from all others can exceed it. Beyond the range of float64, training has diverged.
MAX_LOG_NOISE, DIVERGED_LOG_NOISE = 80.0, 700.0

# Smallest noise variance at the start, as a share of the members' variance. Factors that span all
# contrasts leave no noise with free loadings, but the network's first loadings explain little.
# Without noise, the likelihood of what they leave would drown the mean and the loadings.
MIN_START_NOISE = 0.1

# The last iterations of EM have the trainer's `polish` as their M-step. They keep this share of the
# loadings' weight: the loadings have been learnt by then, and the mean comes first.
N_POLISH_ROUNDS, POLISH_WEIGHT_SHARE = 4, 1 / 3

# What changes from iteration to iteration, and from round to round of the refinement.
LOOP_STATE = (
    *("history", "mean_error", "converged", "n_refined", "law", "is_over"),
    *("_best_likelihood", "_best_error", "_n_iter_no_gain", "_best"),
)

# Draws from torch's own generators.
TORCH_DRAWS = Draws()

# Tasks without callbacks.
NO_TASKS = FitTasks()

# Rounds of training of the published penalised start.
N_START_ROUNDS = 10


class ExpectationMaximisation:
    """Restricted EM.

    Parameters
    ----------
    trainer : Trainer
        Holds the network and trains it in the M-step.
    contrasts : Contrasts
        Mean and contrasts of the members.
    model : LatentModel
        Model of the contrasts: E-step, likelihood, and the closed forms of the M-step.
    refinement : Refinement, default=None
        Trains the network on after EM.
    loadings_weight : float
        Weight of the loadings' error against the mean's.
    init, member_noise, max_iter, tol, mmd_weight, verbose
        As in the estimators.
    annealing : Annealing
        When and how the learning rate is lowered.
    find_law : callable
        Takes this EM when it has been refined, and returns the `DrawnLaw` of the factors, which it
        is refined on for. None stands for the Gaussian.
    draws : Draws
        Generators of the draws of refinement and of the penalised start. By default torch's own.
    is_planned : bool
        Whether ``max_iter`` is the planned length, and no limit of which to warn.
    checkpoint : Checkpoint, default=None
        Keeps the state after each iteration and each round of the refinement.
    tasks : FitTasks
        Callbacks are called at each iteration and each round. One may end EM, or the refinement.

    Attributes
    ----------
    regression : ExpectedLikelihood
        Objective of the M-step.
    mean_error : float
        Root mean squared error of the network's mean at the design points, in units of the standard
        deviation of the members' mean over rows.
    converged, history, log_likelihood_bound
        As the estimators' fitted attributes of these names.
    """

    def __init__(
        self,
        trainer: Trainer,
        contrasts: Contrasts,
        model: LatentModel,
        *,
        refinement: Refinement | None = None,
        init: str = "spectral",
        member_noise: str | None = "input",
        max_iter: int = 100,
        tol: float = 1e-3,
        loadings_weight: float = 0.03,
        mmd_weight: float = 10.0,
        verbose: int = 0,
        annealing: Annealing = ANNEALING,
        find_law: Callable[[Any], DrawnLaw | None] = lambda em: None,
        draws: Draws = TORCH_DRAWS,
        is_planned: bool = False,
        checkpoint: Checkpoint | None = None,
        tasks: FitTasks = NO_TASKS,
    ):
        self.trainer = trainer
        self.network = trainer.network
        self.contrasts = contrasts
        self.model = model
        self.refinement = refinement
        self.init = init
        self.member_noise = member_noise
        self.max_iter = max_iter
        self.tol = tol
        self.mmd_weight = mmd_weight
        self.verbose = verbose
        self.annealing = annealing
        self.find_law = find_law
        self.draws = draws
        self.is_planned = is_planned
        self.checkpoint = checkpoint
        self.n_refined = 0
        self.law: DrawnLaw | None = None
        self.is_over = False  # beside its last step, which polishes or refines the network
        self.tasks = tasks
        self.first_lr = trainer.lr
        self.converged = False
        self.history: list[dict] = []
        self._best_likelihood, self._best_error, self._n_iter_no_gain = -np.inf, np.inf, 0
        self._best = BestNetwork()
        self.regression = ExpectedLikelihood(
            self.network, loadings_weight, fit_noise=member_noise == "input"
        )

    def run(self) -> ExpectationMaximisation:
        """Fit the network."""
        self.initialise()
        self.go_on()
        tasks, is_stopped = self.tasks.part("EM"), False
        if not self.is_over:
            min_share = MIN_LR_SHARE if self.refinement is None else REFINE_BELOW_LR_SHARE
            is_stopped = self._iterate_until(min_share, tasks)
            self.is_over = True
        tasks.end()
        if not (self.converged or is_stopped or self.is_planned):
            warn_user(
                f"EM was still gaining after max_iter={self.max_iter} iterations. Increase "
                f"max_iter, or tol={self.tol:g} (nats per entry) if the fit is good enough.",
                ConvergenceWarning,
            )
        self.finish()
        if self.verbose:
            print("[DLF] trained; noise, calibration and memory for updates follow", flush=True)
        return self

    def _iterate_until(self, min_share: float, tasks: FitTasks) -> bool:
        """Iterate until the learning rate is below this share of the first one.

        Return whether a callback has ended it before.
        """
        self.converged, is_stopped = self.trainer.lr < min_share * self.first_lr, False
        while self.n_iter < self.max_iter and not self.converged and not is_stopped:
            is_stopped = tasks.run("iteration", lambda: self.iterate(self.trainer.train))
            self._best.see(self.network, self.model, self.history[-1]["log_likelihood"])
            self.anneal()
            self.keep()
            self.converged = self.trainer.lr < min_share * self.first_lr
        if self._best.restore(self.network, self.model, self.history[-1]["log_likelihood"]):
            self.read_network()
            log_likelihood = self.model.log_likelihood()
            self.e_step()
            self.record(log_likelihood, seconds=0.0)
        return is_stopped

    def keep(self) -> None:
        """Write the state to the checkpoint, if there is one."""
        if self.checkpoint is not None:
            self.checkpoint.write(self.trainer, self.draws, self._loop_state())

    def go_on(self) -> None:
        """Go on from the checkpoint, if there is one and it holds this fit."""
        if self.checkpoint is None:
            return
        state = self.checkpoint.read(self.trainer, self.draws)
        if state is not None:
            model, held_out = state.pop("model"), state.pop("held_out")
            vars(self).update(state)
            vars(self.model).update(model)
            if self.refinement is not None and self.refinement.held_out is not None:
                vars(self.refinement.held_out).update(held_out)

    def _loop_state(self) -> dict[str, Any]:
        """Return what changes in the loop, beside the trainer's state."""
        state = {key: vars(self)[key] for key in LOOP_STATE}
        model = {key: each for key, each in vars(self.model).items() if key != "contrasts"}
        held_out = None if self.refinement is None else self.refinement.held_out
        kept = {} if held_out is None else {"losses": held_out.losses, "best": held_out.best}
        return {**state, "model": model, "held_out": kept}

    def iterate(self, train: Callable) -> None:
        """Run one iteration; ``train`` is the trainer's method `train` or `polish`."""
        began = time.perf_counter()
        self.m_step(train)
        log_likelihood = self.model.log_likelihood()
        self.e_step()
        self.record(log_likelihood, seconds=time.perf_counter() - began)

    def m_step(self, train: Callable) -> None:
        """Train the network on the targets, then maximise over the rest in closed form."""
        train(self.regression, self.regression_targets())
        self.read_network()
        self.model.maximise(self.network)

    def e_step(self) -> None:
        """Find the posterior at all design points, normalised, and the targets that it gives."""
        self.model.e_step(self.network)

    def anneal(self) -> None:
        """Lower the learning rate after some iterations without gain on the best before them."""
        last = self.history[-1]
        gained = last["log_likelihood"] - self._best_likelihood >= self.tol
        gained |= last["mean_error"] ** 2 < (1 - MEAN_GAIN) * self._best_error**2
        self._best_likelihood = max(self._best_likelihood, last["log_likelihood"])
        self._best_error = min(self._best_error, last["mean_error"])
        self._n_iter_no_gain = 0 if gained else self._n_iter_no_gain + 1
        if self._n_iter_no_gain == self.annealing.patience:
            self.trainer.lr *= self.annealing.decay
            self._n_iter_no_gain = 0

    def record(self, log_likelihood: float, seconds: float) -> None:
        """Append the iteration to the history, and print it."""
        self.history.append(
            {
                "log_likelihood": log_likelihood,
                "noise_variance": self.model.noise_variance,
                "mean_error": self.mean_error,
                "lr": self.trainer.lr,
                "seconds": seconds,
            }
        )
        if self.verbose:
            print(
                f"EM iteration {self.n_iter}: log-likelihood {log_likelihood:.4f} (bound "
                f"{self.log_likelihood_bound:.4f}), error of the mean {self.mean_error:.4f}, "
                f"learning rate {self.trainer.lr:.1e}, {seconds:.2f} s"
            )

    @property
    def n_iter(self) -> int:
        """Iterations so far."""
        return len(self.history)

    @property
    def log_likelihoods(self) -> np.ndarray:
        """Restricted log-likelihood after each M-step, in nats per entry, (n_iter,).

        A network that was taken back (`BestNetwork`) counts as a further iteration.
        """
        return np.array([record["log_likelihood"] for record in self.history])

    def initialise(self) -> None:
        """Set the first targets and noise variance, and the bound that free loadings reach."""
        self.log_likelihood_bound = self.model.initialise(self.network)
        self.network.set_noise(max(self.model.noise_variance, MIN_START_NOISE))
        if self.init != "spectral":  # the mixing of outputs is kept from the spectral start
            self.model.noise_variance = self._penalised_start() if self.init == "mmd" else 1.0
            self.read_network()
            self.e_step()

    def finish(self) -> None:
        """Polish or refine the network, and fix its member noise."""
        if self.refinement is None and self.trainer.can_polish:
            self.polish()
        self.fix_noise()
        if self.refinement is not None:
            self.refinement.run(self)
            self.fix_noise()
        if self.regression.fit_noise:
            self.limit_noise()

    def polish(self) -> None:
        """Iterate on, with M-steps over all design points at once."""
        self.regression.weigh_loadings(POLISH_WEIGHT_SHARE * self.regression.loadings_weight)
        tasks = self.tasks.part("L-BFGS", N_POLISH_ROUNDS)
        for _ in range(N_POLISH_ROUNDS):
            if tasks.run("iteration", lambda: self.iterate(self.trainer.polish)):
                break
        tasks.end()

    def fix_noise(self) -> None:
        """Write a member noise that does not depend on the input into the network's head."""
        if self.member_noise is None:
            self.network.set_noise(0.0)
        elif self.member_noise == "constant":
            self.network.set_noise(self.model.noise_variance)

    def limit_noise(self) -> None:
        """Limit the member noise everywhere to its largest value at design points with weight."""
        log_noise = self.trainer.evaluate().log_noise[self.contrasts.weights > 0]
        if log_noise.max() > DIVERGED_LOG_NOISE:
            raise diverged("the member noise has no finite variance", self.trainer.lr)
        self.network.limit_noise(np.minimum(log_noise.max(axis=0), MAX_LOG_NOISE))

    def regression_targets(self) -> Any:
        """Return the M-step's targets, and give the regression the metric of the loadings."""
        self.regression.metric_root = self.model.metric_root
        contrasts = self.contrasts
        loadings = contrasts.unweighted(self.model.targets)
        return self.regression.targets(contrasts.mean, loadings, contrasts.variance)

    def read_network(self) -> None:
        """Evaluate the network at the design points: its loadings, and the error of its mean."""
        heads = self.trainer.evaluate()
        self.model.read(heads)
        error = np.square(heads.mean - self.contrasts.mean, dtype=np.float64).mean(axis=1)
        self.mean_error = float(np.sqrt(np.average(error, weights=self.contrasts.weights)))

    def _penalised_start(self) -> float:
        """Train the network by the published start; return its noise variance."""
        n_samples, n_outputs, n_members = self.contrasts.shape
        objective = PenalisedLikelihood(
            self.network,
            self._spread_scale(),
            n_members,
            self.model.q,
            self.mmd_weight,
            n_samples * n_outputs,
            self.draws,
        )
        [members] = self.trainer.to_device(self.contrasts.members())
        for _ in range(N_START_ROUNDS):
            self.trainer.train(objective, members)
        return max(self._learnt_noise(objective), NOISE_FLOOR)

    def _learnt_noise(self, objective: MemberLikelihood) -> float:
        """Return the noise variance of an objective that learns it by gradients, or raise."""
        if not 0 < objective.noise_variance < np.inf:
            what = f"the member noise has variance {objective.noise_variance}"
            raise diverged(what, self.trainer.lr)
        return objective.noise_variance

    def _spread_scale(self) -> np.ndarray:
        """Return the unit of the loadings in units of the mean; one for outputs without spread."""
        _, scale, spread = self.contrasts.units
        return np.where(spread > 0, spread / scale, 1.0)
