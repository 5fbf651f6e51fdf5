"""The published EM algorithm [Park2025]_, kept for comparison as ``em="minibatch"``.

Its E-step is a part of the M-step: the posterior of the latent variables is that given one
mini-batch. Members are neither centred nor is their posterior normalised, and the variance of the
member noise is a constant that is learnt by gradients.

References
----------
.. [Park2025] Park, Lee, Ohn, Shin, Kim. "Knowledge Distillation of Uncertainty using Deep Latent
   Factor Model". NeurIPS 2025, arXiv:2510.19290.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .em import ExpectationMaximisation
from .member_likelihoods import MinibatchLikelihood


class PublishedEM(ExpectationMaximisation):
    """EM whose E-step sees one mini-batch.

    Parameters
    ----------
    trainer, contrasts, model
        As in `ExpectationMaximisation`.
    member_noise : {"input", "constant"} or None
        "input" is the same as "constant".
    **options
        As in `ExpectationMaximisation`.
    """

    def __init__(
        self, trainer, contrasts, model, *, member_noise: str | None = "constant", **options: Any
    ):
        member_noise = None if member_noise is None else "constant"
        super().__init__(trainer, contrasts, model, member_noise=member_noise, **options)

    def initialise(self) -> None:
        super().initialise()
        if self.init == "spectral":  # the network first learns the spectral loadings by regression
            self.trainer.train(self.regression, self.regression_targets())
            self.read_network()
        [self._members] = self.trainer.to_device(self.contrasts.members())
        self._likelihood = MinibatchLikelihood(
            self.network, self._spread_scale(), self.model.noise_variance
        )

    def m_step(self, train: Callable) -> None:
        train(self._likelihood, self._members)
        self.read_network()
        self.model.noise_variance = self._learnt_noise(self._likelihood)

    def e_step(self) -> None:
        """Do nothing: the E-step is inside the M-step."""

    def finish(self) -> None:
        self.fix_noise()
