"""What students with a function for each member share: training, and picking members."""

from __future__ import annotations

import time

import numpy as np
from sklearn.utils import Bunch
from torch import nn

from .._estimators.base import DRAW_ROWS, BaseDistiller
from .._estimators.classifier_mixin import BaseClassifierStudent
from .._estimators.regressor_mixin import BaseRegressorStudent
from .._fitting.em import MIN_LR_SHARE, N_POLISH_ROUNDS
from .._fitting.objectives import class_logits
from .._fitting.trainer import seeded
from .._predictive.logits import entropies, probabilities_from_latent
from .._transfer.teachers import MAX_SEED
from .._utils.blocks import row_blocks


class BaseMemberStudent(BaseDistiller):
    """Trains a network with outputs for every member, at a learning rate that falls to a fiftieth.

    Rounds and their steps are those of the latent factor model's M-steps: after as many, both have
    taken as many optimiser steps.
    """

    def __init__(
        self,
        ensemble=None,
        *,
        augment="auto",
        out_of_bag="spread",
        hidden_layer_sizes=(100, 100),
        activation="swish",
        max_iter=40,
        n_epochs="auto",
        batch_size="auto",
        lr=0.01,
        optimizer="adam",
        weight_decay=0.0,
        device="cpu",
        callbacks=None,
        memory=None,
        random_state=None,
        verbose=0,
    ):
        super().__init__(
            ensemble,
            augment=augment,
            out_of_bag=out_of_bag,
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            max_iter=max_iter,
            n_epochs=n_epochs,
            batch_size=batch_size,
            lr=lr,
            optimizer=optimizer,
            weight_decay=weight_decay,
            device=device,
            callbacks=callbacks,
            memory=memory,
            random_state=random_state,
            verbose=verbose,
        )

    def _learn(self, X, outputs, observer, random_state):
        """Student trained for all rounds."""
        with seeded(random_state.randint(MAX_SEED), self.device):
            network = self._make_network(X.shape[1], *outputs.shape[1:])
            trainer = self._make_trainer(network, X, outputs.weights, random_state)
            self.history_ = self._train(trainer, self._objective(), *self._targets(outputs))
        self.n_iter_ = len(self.history_)
        return network

    def _make_network(self, n_features, n_outputs, n_members):
        """Untrained network."""
        raise NotImplementedError

    def _objective(self):
        """Loss of the outputs (m, n_outputs, n_members) and the tuple of members and weights."""
        raise NotImplementedError

    def _targets(self, outputs):
        """Arrays that the loss takes beside the weights, with a row for each row of X."""
        return [outputs.members()]

    def _members(self, X, exact=False):
        """Outputs of the student's members (n, n_outputs, n_members), from validated rows."""
        raise NotImplementedError

    def _draw_latent(self, X, n_samples, random_state, extra_variance=0.0):
        """Members picked with replacement, the same for all rows."""
        picked = random_state.randint(self.student_.n_members, size=n_samples)
        draws = np.empty((len(X), self.n_outputs_, n_samples))
        for rows in row_blocks(len(X), DRAW_ROWS):
            noise = random_state.standard_normal(draws[rows].shape) * np.sqrt(extra_variance)
            draws[rows] = self._members(X[rows], exact=True)[..., picked] + noise
        return draws

    def _train(self, trainer, objective, *targets):
        """Train round after round; a record each."""
        history = []
        for lr in np.geomspace(self.lr, MIN_LR_SHARE * self.lr, self.max_iter):
            began = time.perf_counter()
            trainer.lr = float(lr)
            loss = trainer.train(objective, *targets)
            history.append({"loss": loss, "lr": lr, "seconds": time.perf_counter() - began})
            if self.verbose:
                print(f"Round {len(history)}: loss {loss:.6g}, learning rate {lr:.1e}")
        trainer.evaluate()  # says so if it has diverged
        return history

    def _sizes(self, n_features, n_outputs):
        """Widths of all layers, from rows to outputs."""
        return [n_features, *self.hidden_layer_sizes, n_outputs]


class BaseMemberRegressor(BaseRegressorStudent, BaseMemberStudent):
    """Student of regressors, by the squared error to each member."""

    def predict(self, X, return_std=False):
        """Mean of the members, and their standard deviation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        return_std : bool, default=False
            Whether to return the members' standard deviation too.

        Returns
        -------
        mean : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            In units of y.

        std : ndarray of the shape of `mean`
            Of the student's members around their mean, without the noise of y: that of
            `sample_predictions`. Only with `return_std`.
        """
        moments = self._moments(self._rows_for_student(X))
        mean = self._squeeze(moments.mean)
        return (mean, self._squeeze(np.sqrt(moments.variance))) if return_std else mean

    def member_predictions(self, X):
        """What the student says of every member.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_members) or (n_samples, n_outputs, n_members)
            In units of y; the members' order is the ensemble's.
        """
        return self._squeeze(self._members(self._rows_for_student(X)))

    def _objective(self):
        return SquaredError()

    def _train(self, trainer, objective, *targets):
        """Train round after round, and polish where that suits."""
        history = super()._train(trainer, objective, *targets)
        if trainer.can_polish:
            for _ in range(N_POLISH_ROUNDS):
                trainer.polish(objective, *targets)
        return history

    def _members(self, X, exact=False):
        outputs = self._student_for(X, exact).evaluate(X)
        return self.output_center_[:, None] + self.output_scale_[:, None] * outputs

    def _moments(self, X):
        mean, variance = np.empty((2, len(X), self.n_outputs_))
        for rows in row_blocks(len(X), DRAW_ROWS):
            members = self._members(X[rows])
            mean[rows], variance[rows] = members.mean(axis=-1), members.var(axis=-1)
        return Bunch(mean=mean, variance=variance)


class BaseMemberClassifier(BaseClassifierStudent, BaseMemberStudent):
    """Student of classifiers, by the cross-entropy to each member's probabilities."""

    def member_predictions(self, X):
        """What the student says of every member.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_classes, n_members)
            Probabilities; the members' order is the ensemble's.
        """
        return probabilities_from_latent(self._members(self._rows_for_student(X)))

    def _objective(self):
        return CrossEntropy()

    def _targets(self, outputs):
        return [member_probabilities(outputs)]

    def _members(self, X, exact=False):
        return self._student_for(X, exact).evaluate(X).astype(np.float64)

    def _average(self, X, with_entropy=False):
        mean = np.empty((len(X), len(self.classes_)))
        entropy = np.empty(len(X))
        for rows in row_blocks(len(X), DRAW_ROWS):
            members = probabilities_from_latent(self._members(X[rows]))
            mean[rows], entropy[rows] = members.mean(axis=-1), entropies(members).mean(axis=-1)
        return mean, entropy if with_entropy else None


def member_probabilities(contrasts):
    """Probabilities of the members (n, n_classes, n_members) from their latent outputs."""
    scale, center = contrasts.scale[:, None], contrasts.center[:, None]
    return probabilities_from_latent(center + scale * contrasts.members()).astype(np.float32)


class SquaredError(nn.Module):
    """Weighted mean of the squared error to each member."""

    def forward(self, outputs, targets):
        """Mean over rows, outputs and members."""
        members, weights = targets
        return ((outputs - members).square().mean(dim=(1, 2)) * weights).mean()


class CrossEntropy(nn.Module):
    """Weighted mean of the cross-entropy to each member's probabilities (m, n_classes, M)."""

    def forward(self, outputs, targets):
        """Mean over rows and members; a single output is the log-odds of the second class."""
        members, weights = targets
        log_probabilities = class_logits(outputs).log_softmax(dim=1)
        losses = -(members * log_probabilities).sum(dim=1).mean(dim=1)
        return (losses * weights).mean()
