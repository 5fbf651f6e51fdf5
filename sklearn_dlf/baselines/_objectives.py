"""Objectives of students that have an output for every member."""

from __future__ import annotations

from torch import nn

from .._fitting.objectives import class_logits


class SquaredError(nn.Module):
    """Weighted mean of the squared error to each member."""

    def forward(self, outputs, targets):
        """Return the mean over rows, outputs and members."""
        members, weights = targets
        return ((outputs - members).square().mean(dim=(1, 2)) * weights).mean()


class CrossEntropy(nn.Module):
    """Weighted mean of the cross-entropy to each member's probabilities (m, n_classes, M)."""

    def forward(self, outputs, targets):
        """Return the mean over rows and members; one output is the log-odds of the second class."""
        members, weights = targets
        log_probabilities = class_logits(outputs).log_softmax(dim=1)
        losses = -(members * log_probabilities).sum(dim=1).mean(dim=1)
        return (losses * weights).mean()
