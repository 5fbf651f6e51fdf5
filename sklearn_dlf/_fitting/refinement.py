"""Refinement of a student of classifiers: after EM, it is trained to match probabilities."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from .._latent.deviations import count_dimensions, draw_deviations, draw_within_rows
from .._network.heads import Units
from .._transfer.transfer_set import TransferSet
from .._utils.blocks import row_blocks
from .._utils.progress import seconds_left
from .calibration import LEAST_PROBABILITY
from .held_out import HeldOut
from .latent_law import DrawnLaw
from .objectives import ExpectedLikelihood, class_logits

if TYPE_CHECKING:
    from .em import ExpectationMaximisation

# The first learning rate is EM's own times the odds of the mean's relative error after EM, clipped
# to this number and one. The odds are error / (1 - error), the denominator at least this.
# The worse EM fitted the mean (a small network for many classes), the faster the start.
MIN_ODDS = 0.1

# Rounds of training, along half a cosine of learning rates: the first number where these odds are
# MIN_ODDS or less, the second from MANY_ODDS on, and between them in between. On the digits, 16
# rounds have been as good as 40 for four students of well fitted means; a student with one layer of
# 16 units needs all of them.
N_ROUNDS, MANY_ODDS = (20, 40), 0.2

# Members in groups have this share of the rounds again, for their law. A choice.
LAW_SHARE = 0.25

# Rounds of a body of the user's own, where a round is a pass over the rows.
N_ROUNDS_OF_OWN_BODY = 12

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

# Rows whose members' probabilities are computed at once.
BLOCK_ROWS = 2**13


class Refinement:
    """Trains a student on by cross-entropy with the ensemble's probabilities.

    Parameters
    ----------
    probabilities : array of shape (n_design, n_classes)
        Averaged probabilities of the ensemble at the design points.
    n_rounds : int, default=None
        Rounds of training. None for as many as the error of the mean after EM asks for.
    held_out : HeldOut, default=None
        Ends training early, and says which round's network is kept. None for the last one's.
    """

    def __init__(
        self,
        probabilities: np.ndarray,
        n_rounds: int | None = None,
        held_out: HeldOut | None = None,
    ):
        self.probabilities = probabilities
        self.n_rounds = n_rounds
        self.held_out = held_out

    def run(self, em: ExpectationMaximisation) -> None:
        """Train the network of an EM that has ended, for some rounds.

        The first learning rate depends on the error that EM has left. Weights do not decay where
        rows are many. If the members turn out to be in groups, it is trained on for some rounds by
        draws of members in these groups.
        """
        objective = self._make_objective(em)
        if em.law is None:
            is_stopped = self._train(em, objective, self.held_out)
            em.law = em.find_law(em)
            em.n_refined = 0
            if is_stopped:
                return
        if em.law is not None:
            objective.set_law(em.law)
            self._train(em, objective, None)

    def _train(
        self,
        em: ExpectationMaximisation,
        objective: AveragedProbabilities,
        held_out: HeldOut | None,
    ) -> bool:
        """Train for the rounds that are left; return whether a callback has ended it before."""
        trainer, contrasts, model, units = em.trainer, em.contrasts, em.model, em.contrasts.units
        odds = em.mean_error / max(1 - em.mean_error, MIN_ODDS)
        first_lr = em.first_lr * np.clip(odds, MIN_ODDS, 1.0)
        n_rounds = self.n_rounds
        if n_rounds is None:
            n_rounds = round(np.interp(odds, (MIN_ODDS, MANY_ODDS), N_ROUNDS))
        if em.law is not None:
            n_rounds = max(1, round(LAW_SHARE * n_rounds))
        if trainer.has_many_rows:
            trainer.weight_decay = 0.0
        # What is the same in all rounds is sent to the device once.
        probabilities, wanted = trainer.to_device(self.probabilities, em.regression_targets())
        began, first = time.monotonic(), em.n_refined
        tasks, is_stopped = em.tasks.part("refinement", n_rounds), False
        if held_out is not None and held_out.losses and held_out.is_over:
            first = n_rounds  # interrupted after the last round
        for number in range(first, n_rounds):
            one_round = tasks.part("round", 0)
            trainer.lr = float(first_lr * (1 + np.cos(np.pi * number / n_rounds)) / 2)
            order = torch.randperm(contrasts.shape[-1], generator=em.draws.cpu)
            picked = order[:N_MEMBERS].numpy()
            objective.set_members(np.moveaxis(model.latent_mean[picked], 0, -1))
            residuals = contrasts.residuals.reshape(contrasts.shape)[..., picked]
            members = objective.member_probabilities(
                *trainer.to_device(contrasts.mean, contrasts.unweighted(residuals))
            )
            loss = trainer.train(objective, probabilities, members, wanted)
            em.n_refined = number + 1
            text = f"loss {loss:.4f}, learning rate {trainer.lr:.1e}"
            if held_out is not None:
                held_out_loss = held_out.record(em.network, units)
                text += f", at calibration rows {held_out_loss:.4f}"
            em.keep()
            if em.verbose:
                left = seconds_left(began, number + 1 - first, n_rounds - first)
                print(f"Refinement {number + 1} of {n_rounds}: {text}, {left}")
            is_stopped = one_round.end()
            if is_stopped or (held_out is not None and held_out.is_over):
                break
        tasks.end()
        if held_out is not None:
            held_out.restore_best(em.network)
        trainer.evaluate()  # raises if training has diverged
        return is_stopped

    def _make_objective(self, em: ExpectationMaximisation) -> AveragedProbabilities:
        """Return the objective, anchored to the regression of EM."""
        anchor = min(ANCHOR, ANCHOR_NATS / em.mean_error**2) if em.mean_error else ANCHOR
        units, generator = em.contrasts.units, em.draws.device
        objective = AveragedProbabilities(em.regression, anchor, units, generator)
        return objective.to(em.trainer.device)


def make_refinement(student: Any, transfer_set: TransferSet) -> Refinement:
    """Return the refinement with the parameters of a student, which is an estimator.

    Raises
    ------
    ValueError
        If it is to end early, and there are no calibration rows.
    """
    n_rounds = student.refine
    if isinstance(n_rounds, bool):
        n_rounds = N_ROUNDS_OF_OWN_BODY if student.body_ == "custom" else None
    averages, n_design = transfer_set.targets.probabilities, len(transfer_set.design)
    held_out, patience = None, student.early_stopping
    if patience is not None:
        if n_design == len(transfer_set.X):
            raise ValueError(
                f"early_stopping={patience} needs calibration rows, and no rows were made. Give a "
                "callable `augment` that makes rows, such as FlipCrop() of "
                "sklearn_dlf.augmentation, or early_stopping=None."
            )
        held_out = HeldOut(transfer_set.X[n_design:], averages[n_design:], patience)
    return Refinement(averages[:n_design], n_rounds, held_out)


class AveragedProbabilities(nn.Module):
    """Cross-entropies of averaged and members' probabilities, beside the M-step's objective.

    Probabilities are averaged over a few fresh draws of members and their mirror images (under a
    law of the factors, over as many draws whose noise alone is mirrored). Some of
    the ensemble's own members are compared with the student at the latent variables that EM found
    for them. This keeps the spread where logits have little effect on probabilities. The targets
    are the ensemble's averaged probabilities (m, K), the members' own (m, K, S), and those of the
    M-step.

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

    center: torch.Tensor
    scale: torch.Tensor
    spread: torch.Tensor
    latent: torch.Tensor
    law_centers: torch.Tensor
    law_root: torch.Tensor

    def __init__(
        self,
        regression: ExpectedLikelihood,
        anchor: float,
        units: Units,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.generator = generator
        self.has_law = False
        self.regression = regression
        self.anchor = anchor
        for name, unit in units._asdict().items():
            self.register_buffer(name, torch.as_tensor(unit, dtype=torch.float32)[:, None])

    def set_law(self, law: DrawnLaw) -> None:
        """Set the law of the factors, which is the standard normal before."""
        self.has_law = True
        for name, part in law._asdict().items():
            tensor = torch.as_tensor(part, dtype=torch.float32)
            self.register_buffer(f"law_{name}", tensor.to(self.center.device))

    def set_members(self, latent_mean: np.ndarray) -> None:
        """Set the latent variables (q, S) or (c, q, S) of the members among the targets."""
        latent = torch.as_tensor(latent_mean, dtype=torch.float32)
        self.register_buffer("latent", latent.to(self.get_buffer("center").device))

    def member_probabilities(self, mean, residuals):
        """Return those of members (m, K, S), from their mean (m, c) and residuals (m, c, S)."""
        n_classes = max(2, residuals.shape[1])
        probabilities = residuals.new_empty(len(mean), n_classes, residuals.shape[2])
        for rows in row_blocks(len(mean), BLOCK_ROWS):
            logits = self._logits(mean[rows], residuals[rows])
            torch.softmax(logits, dim=1, out=probabilities[rows])
        return probabilities

    def forward(self, columns, targets):
        """Return the weighted mean over rows."""
        probabilities, members, *targets = targets
        heads = self.regression.split(columns)
        known = draw_deviations(heads.loadings, heads.mixing, self.latent)
        deviations = torch.cat([self._deviations(heads), known], dim=-1)
        own = self._logits(heads.mean, deviations).softmax(dim=1)
        loss = (_cross_entropies(own, probabilities, members) * targets[-1]).mean()
        return loss + self.anchor * self.regression(columns, targets)

    def plan(self, columns, targets, slope):
        """Return a function that writes the derivative by the columns to ``slope``.

        See `ExpectedLikelihood.plan`. The function draws as `forward` does.
        """
        probabilities, members, wanted, weights = targets
        heads, slopes = self.regression.split(columns), self.regression.split(slope)
        if heads.mixing is not None:
            return self._plan_by_autograd(columns, targets, slope)
        find_anchor_slope = self.regression.plan(columns, (wanted, weights), slope)
        loadings, loadings_slope = heads.loadings.flatten(0, 1), slopes.loadings.flatten(0, 1)
        noise = columns.new_empty(*heads.mean.shape, N_PAIRS)
        n_drawn, n_known = 2 * N_PAIRS, self.latent.shape[1]
        deviations = columns.new_empty(*heads.mean.shape, n_drawn + n_known)
        one, other, known = deviations.split([N_PAIRS, N_PAIRS, n_known], dim=-1)
        # Mirror images have the factors of the draws with another sign, unless there is a law.
        n_own = n_drawn if self.has_law else N_PAIRS
        z = columns.new_empty(loadings.shape[1], n_own)

        def find_slope(with_loss):
            loss = find_anchor_slope(with_loss)
            slope.mul_(self.anchor)
            if self.has_law:
                z.copy_(self._draw_law(n_own))
            else:
                z.normal_(generator=self.generator)
            noise.normal_(generator=self.generator)
            noise.mul_((0.5 * heads.log_noise).exp_()[..., None])
            latent = torch.cat([z, self.latent], dim=1)
            products = (loadings @ latent).unflatten(0, heads.mean.shape)
            torch.add(products[..., :N_PAIRS], noise, out=one)
            if self.has_law:
                torch.sub(products[..., N_PAIRS:n_drawn], noise, out=other)
            else:
                torch.neg(one, out=other)
            known.copy_(products[..., n_own:])
            own = self._logits(heads.mean, deviations).softmax(dim=1)
            if with_loss:
                entropies = _cross_entropies(own, probabilities, members)
                loss = self.anchor * loss + (entropies * weights).mean()
            by_logits = _slope_of_cross_entropies(own, probabilities, members)
            by_logits.mul_((weights / len(weights))[:, None, None])
            by_latent = by_logits[:, -heads.mean.shape[1] :]  # two classes have one latent output
            slopes.mean.add_(self.scale[:, 0] * by_latent.sum(dim=-1))
            by_members = self.spread * by_latent
            by_noise = by_members[..., :N_PAIRS] - by_members[..., N_PAIRS:n_drawn]
            if not self.has_law:
                by_members = by_members[..., N_PAIRS:]
                by_members[..., :N_PAIRS] = by_noise
            loadings_slope.addmm_(by_members.flatten(0, 1), latent.T)
            if self.regression.fit_noise:
                slopes.log_noise.add_((by_noise * noise).sum(dim=-1), alpha=0.5)
            return loss

        return find_slope

    def _plan_by_autograd(self, columns, targets, slope):
        """Do what `plan` does by autograd."""

        def find_slope(with_loss):
            with torch.enable_grad():
                leaf = columns.detach().requires_grad_()
                loss = self(leaf, targets)
                slope.copy_(torch.autograd.grad(loss, leaf)[0])
            return loss.detach() if with_loss else None

        return find_slope

    def _logits(self, mean, deviations):
        """Return those of classes (m, K, S), from a mean (m, c) and deviations (m, c, S)."""
        mean = torch.addcmul(self.center, self.scale, mean[..., None])
        return class_logits(torch.addcmul(mean, self.spread, deviations))

    def _deviations(self, heads):
        """Draw members around their mean (m, c, S), in units of their spread."""
        factors = heads.loadings, heads.mixing
        if self.has_law:
            z = self._draw_law(2 * N_PAIRS)
        else:
            z = heads.loadings.new_empty(count_dimensions(*factors), N_PAIRS)
            z = _mirrored_normal(z, self.generator)
        noise = _mirrored_normal(heads.mean.new_empty(*heads.mean.shape, N_PAIRS), self.generator)
        log_noise = heads.log_noise if self.regression.fit_noise else heads.log_noise.detach()
        return draw_within_rows(*factors, z) + (0.5 * log_noise).exp()[..., None] * noise

    def _draw_law(self, n_draws):
        """Draw factors (q, n_draws) under the law, around different members of the ensemble."""
        centers, root = self.law_centers, self.law_root
        order = centers.new_empty(len(centers)).uniform_(generator=self.generator).argsort()
        chosen = order.repeat(-(-n_draws // len(order)))[:n_draws]
        noise = centers.new_empty(len(root), len(chosen)).normal_(generator=self.generator)
        return centers[chosen].T + root @ noise


def _cross_entropies(own, probabilities, members):
    """Return the cross-entropy of each row (m,), of averaged and of members' probabilities.

    ``own`` (m, K, 2 N_PAIRS + S) are the student's probabilities: of draws, then of S members. The
    ensemble's are ``probabilities`` (m, K), averaged, and those of ``members`` (m, K, S).
    """
    n_drawn = 2 * N_PAIRS
    averaged = own[..., :n_drawn].mean(dim=-1).clamp_min(LEAST_PROBABILITY).log()
    logs = own[..., n_drawn:].clamp_min(LEAST_PROBABILITY).log()
    return -(probabilities * averaged).sum(dim=1) - (members * logs).sum(dim=1).mean(dim=-1)


def _slope_of_cross_entropies(own, probabilities, members):
    """Return the derivative of `_cross_entropies` by the logits, written to ``own``."""
    n_drawn = 2 * N_PAIRS
    drawn = own[..., :n_drawn]
    # The share of each draw in the average, times the wanted probability.
    sums = drawn.sum(dim=-1).clamp_min_(LEAST_PROBABILITY)
    shares = drawn * (probabilities / sums)[..., None]
    drawn.mul_(shares.sum(dim=1, keepdim=True)).sub_(shares)
    own[..., n_drawn:].sub_(members).div_(members.shape[-1])
    return own


def _mirrored_normal(empty: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    """Fill a tensor with standard normal draws, and append their mirror images."""
    draws = empty.normal_(generator=generator)
    return torch.cat([draws, -draws], dim=-1)
