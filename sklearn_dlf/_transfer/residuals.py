"""What the transfer set holds of y: the members' squared residuals around it.

On rows that a member did not see, its mean squared residual has three parts: the noise of y, the
deviation of the truth from the ensemble's mean, and the member's own deviation from that mean. The
student's spread already stands for the two deviations. So the variance among the members that did
not see the row is subtracted twice (among all members, if only one did not see it). Spread and
noise of y then add up to the squared error of the ensemble's mean. On rows that the members were
trained on, residuals do not contain the deviations, and they are used as they are.
"""

from __future__ import annotations

import numpy as np

from .out_of_bag import moments_of_some

# Smallest share of the residual variance that is taken for noise of y, where the members' spread
# would explain all of it.
MIN_NOISE_SHARE = 0.05


class MemberResiduals:
    """Collects the variance of y around each member, block by block.

    If it is known which rows a member did not see, these rows alone are used for it, and what the
    members' spread explains of the residuals there is subtracted. Rows without y are ignored.

    Parameters
    ----------
    y : array of shape (n_own, n_outputs)
        Observed values at the rows of `fit`.
    weights : array of shape (n_own,) or None
        Weights of the rows.
    unseen : bool array of shape (n_own, n_members) or None
        Rows that each member did not see.

    Attributes
    ----------
    mean : array of shape (n_own, n_outputs)
        Mean of the members at the rows that were added.
    lowest, highest : arrays of shape (n_outputs,)
        Smallest and largest value of the members there.
    """

    def __init__(
        self, y: np.ndarray, weights: np.ndarray | None = None, unseen: np.ndarray | None = None
    ):
        self.y = y
        self.weights = np.ones(len(y)) if weights is None else weights
        self.unseen = unseen
        self.mean = np.empty(y.shape)
        self.lowest, self.highest = np.full(y.shape[1], np.inf), np.full(y.shape[1], -np.inf)
        # Weighted sums over all rows and over unseen ones: squared residuals and the members'
        # variance (n_outputs, n_members), weights (n_members,).
        self._sums: dict[str, tuple] = {}

    def add(self, rows: slice, outputs: np.ndarray) -> np.ndarray:
        """Add residuals of outputs (n_block, n_outputs, n_members); return the outputs."""
        if outputs.shape[1] != self.y.shape[1]:
            raise ValueError(
                f"The members have {outputs.shape[1]} outputs and y has {self.y.shape[1]}; "
                "expected the same number."
            )
        own = outputs[: len(self.y[rows])]
        self.mean[rows] = own.mean(axis=-1)
        self.lowest = np.minimum(self.lowest, own.min(axis=(0, 2), initial=np.inf))
        self.highest = np.maximum(self.highest, own.max(axis=(0, 2), initial=-np.inf))
        squares = (self.y[rows, :, None] - own) ** 2
        variance = own.var(axis=-1, ddof=1)
        weights = np.repeat(self.weights[rows, None], own.shape[-1], axis=1)
        self._add_sums("all", squares, variance, weights)
        if self.unseen is not None:
            unseen = self.unseen[rows]
            several = unseen.sum(axis=1)[:, None] > 1
            variance = np.where(several, moments_of_some(own, unseen)[1], variance)
            self._add_sums("unseen", squares, variance, weights * unseen)
        return outputs

    def _add_sums(
        self, name: str, squares: np.ndarray, variance: np.ndarray, weights: np.ndarray
    ) -> None:
        """Add a block's squared residuals (n_block, c, M), variance (n_block, c) and weights."""
        sums = (
            np.einsum("jci,ji->ci", squares, weights),
            variance.T @ weights,
            weights.sum(axis=0),
        )
        before = self._sums.get(name, (0.0, 0.0, 0.0))
        self._sums[name] = tuple(a + b for a, b in zip(before, sums, strict=True))

    def variances(self) -> np.ndarray:
        """Variance of y around each member, (n_members, n_outputs), in squared units of y."""
        squared, _, weight = self._sums["all"]
        variances = squared / weight
        if "unseen" in self._sums:
            squared, variance, weight = self._sums["unseen"]
            known = weight > 0
            residual = squared[:, known] / weight[known]
            twice = 2 * (variance[:, known] / weight[known]).mean(axis=1)
            share = 1 - twice / np.maximum(residual.mean(axis=1), np.finfo(np.float64).tiny)
            variances[:, known] = residual * np.maximum(share, MIN_NOISE_SHARE)[:, None]
        return variances.T
