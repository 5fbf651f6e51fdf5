"""Refinement of a student of classifiers: after EM, it is trained to match probabilities."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from .._latent.deviations import count_dimensions, draw_deviations, draw_within_rows
from .._network.heads import Units
from .objectives import ExpectedLikelihood, class_logits

if TYPE_CHECKING:
    from .em import ExpectationMaximisation

# Rounds of training, along half a cosine of learning rates.
N_ROUNDS = 40

# The first learning rate is EM's own times the odds of the mean's relative error after EM, clipped
# to this number and one. The odds are error / (1 - error), the denominator at least this.
# The worse EM fitted the mean (a small network for many classes), the faster the start.
MIN_ODDS = 0.1

# Number of members that a round is trained on; they are chosen anew in every round.
N_MEMBERS = 8

# Draws of members by which a step averages probabilities, each with its mirror image. Every step
# makes fresh draws, so that few are enough.
N_PAIRS = 4

# Weight of the M-step's regression on logits beside the cross-entropies, in nats. Without it the
# spread is lost where probabilities hardly depend on it. The weight is smaller where the squared
# error of the mean after EM would cost more than ANCHOR_NATS: such a network cannot fit the logits,
# but it can fit the probabilities.
ANCHOR, ANCHOR_NATS = 0.3, 0.005


class Refinement:
    """Trains a student on by cross-entropy with the ensemble's probabilities.

    Parameters
    ----------
    probabilities : array of shape (n_design, n_classes)
        Averaged probabilities of the ensemble at the design points.
    """

    def __init__(self, probabilities: np.ndarray):
        self.probabilities = probabilities

    def run(self, em: ExpectationMaximisation) -> None:
        """Train the network of an EM that has ended, for some rounds.

        The first learning rate depends on the error that EM has left. Weights do not decay where
        rows are many.
        """
        trainer, contrasts, model = em.trainer, em.contrasts, em.model
        objective = self._make_objective(em)
        odds = em.mean_error / max(1 - em.mean_error, MIN_ODDS)
        first_lr = em.first_lr * np.clip(odds, MIN_ODDS, 1.0)
        if trainer.has_many_rows:
            trainer.weight_decay = 0.0
        # What is the same in all rounds is sent to the device once.
        probabilities, wanted = trainer.to_device(self.probabilities, em.regression_targets())
        for share in np.arange(N_ROUNDS) / N_ROUNDS:
            trainer.lr = float(first_lr * (1 + np.cos(np.pi * share)) / 2)
            order = torch.randperm(contrasts.shape[-1], generator=em.draws.cpu)
            picked = order[:N_MEMBERS].numpy()
            objective.set_members(np.moveaxis(model.latent_mean[picked], 0, -1))
            residuals = contrasts.residuals.reshape(contrasts.shape)[..., picked]
            residuals = contrasts.unweighted(residuals)
            loss = trainer.train(objective, probabilities, residuals, wanted)
            if em.verbose:
                print(f"Refinement: loss {loss:.4f}, learning rate {trainer.lr:.1e}")
        trainer.evaluate()  # raises if training has diverged

    def _make_objective(self, em: ExpectationMaximisation) -> AveragedProbabilities:
        """Return the objective, anchored to the regression of EM."""
        anchor = min(ANCHOR, ANCHOR_NATS / em.mean_error**2) if em.mean_error else ANCHOR
        units, generator = em.contrasts.units, em.draws.device
        return AveragedProbabilities(em.regression, anchor, units, generator)


class AveragedProbabilities(nn.Module):
    """Cross-entropies of averaged and members' probabilities, beside the M-step's objective.

    Probabilities are averaged over a few fresh draws of members and their mirror images. Some of
    the ensemble's own members are compared with the student at the latent variables that EM found
    for them. This keeps the spread where logits have little effect on probabilities. The targets
    are the ensemble's averaged probabilities (m, K), the members' residuals (m, c, S), and those of
    the M-step.

    Parameters
    ----------
    regression : ExpectedLikelihood
        Objective of the M-step. It keeps mean, loadings and noise where probabilities do not depend
        on them.
    anchor : float
        Weight of the regression against the cross-entropies in nats.
    units : Units
        Units of the network's heads.
    generator : torch.Generator, default=None
        Draws members, on the network's device. None is torch's own.
    """

    def __init__(
        self,
        regression: ExpectedLikelihood,
        anchor: float,
        units: Units,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.generator = generator
        self.regression = regression
        self.anchor = anchor
        for name, unit in units._asdict().items():
            self.register_buffer(name, torch.as_tensor(unit, dtype=torch.float32)[:, None])

    def set_members(self, latent_mean: np.ndarray) -> None:
        """Set the latent variables (q, S) or (c, q, S) of the members among the targets."""
        latent = torch.as_tensor(latent_mean, dtype=torch.float32)
        self.register_buffer("latent", latent.to(self.get_buffer("center").device))

    def forward(self, columns, targets):
        """Return the weighted mean over rows."""
        probabilities, residuals, *targets = targets
        split = self.regression.split
        heads, ensemble_mean = split(columns), split(targets[0]).mean
        averaged = self._log_probabilities(heads.mean, self._deviations(heads))
        averaged = averaged.logsumexp(dim=-1) - math.log(averaged.shape[-1])
        members = self._log_probabilities(ensemble_mean, residuals).exp()
        own = self._log_probabilities(
            heads.mean, draw_deviations(heads.loadings, heads.mixing, self.latent)
        )
        cross_entropy = -(probabilities * averaged).sum(dim=1)
        cross_entropy = cross_entropy - (members * own).sum(dim=1).mean(dim=-1)
        loss = (cross_entropy * targets[-1]).mean()
        return loss + self.anchor * self.regression(columns, targets)

    def _log_probabilities(self, mean, deviations):
        """Return those of classes (m, K, S), from a mean (m, c) and deviations (m, c, S)."""
        latent = self.center + self.scale * mean[..., None] + self.spread * deviations
        return class_logits(latent).log_softmax(dim=1)

    def _deviations(self, heads):
        """Draw members around their mean (m, c, S), in units of their spread."""
        factors = heads.loadings, heads.mixing
        z = heads.loadings.new_empty(count_dimensions(*factors), N_PAIRS)
        noise = heads.mean.new_empty(*heads.mean.shape, N_PAIRS)
        z, noise = (_mirrored_normal(empty, self.generator) for empty in (z, noise))
        log_noise = heads.log_noise if self.regression.fit_noise else heads.log_noise.detach()
        return draw_within_rows(*factors, z) + (0.5 * log_noise).exp()[..., None] * noise


def _mirrored_normal(empty: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    """Fill a tensor with standard normal draws, and append their mirror images."""
    draws = empty.normal_(generator=generator)
    return torch.cat([draws, -draws], dim=-1)
