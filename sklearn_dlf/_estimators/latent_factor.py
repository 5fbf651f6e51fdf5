"""The latent factor model that students of both tasks share: fitted by EM, asked, drawn from."""

from __future__ import annotations

import numbers
import warnings
from inspect import signature
from typing import ClassVar

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, StrOptions

from .._fitting.em import ExpectationMaximisation
from .._fitting.trainer import seeded
from .._latent.deviations import draw_deviations
from .._latent.models import NOISE_FLOOR, FullModel, SeparableModel
from .._latent.number_of_factors import factor_scores
from .._network.students import SeparableStudent, Student
from .._transfer.teachers import MAX_SEED
from .._utils.blocks import row_blocks
from .base import DRAW_ROWS, BaseDistiller
from .._utils.parameters import BodyMaker, Count

# The members' likelihood weighs the loadings' error against the mean's by the squared ratio of the
# members' spread to the mean's own; "auto" takes a multiple of it, within these bounds. Below them
# the loadings learn too slowly, above them the mean is fitted worse.
LIKELIHOOD_MULTIPLE = 3.0
LOADINGS_WEIGHTS = 0.003, 0.03


class BaseDLF(BaseDistiller):
    """Fit and prediction of a latent factor model; faces add what is particular to their task."""

    _parameter_constraints: ClassVar[dict] = {
        **BaseDistiller._parameter_constraints,
        "q": [StrOptions({"auto"}), Count()],
        "loadings": [StrOptions({"full", "separable"})],
        "body": [BodyMaker(), None],
        "member_noise": [StrOptions({"input", "constant", "none"})],
        "init": [StrOptions({"spectral", "mmd", "random"})],
        "em": [StrOptions({"restricted", "minibatch"})],
        "tol": [Interval(numbers.Real, 0, None, closed="left")],
        "loadings_weight": [
            StrOptions({"auto"}),
            Interval(numbers.Real, 0, None, closed="neither"),
        ],
        "mmd_weight": [Interval(numbers.Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        ensemble=None,
        *,
        q=10,
        loadings="full",
        augment="auto",
        out_of_bag="spread",
        hidden_layer_sizes=(100, 100),
        activation="swish",
        body=None,
        member_noise="input",
        init="spectral",
        em="restricted",
        max_iter=100,
        tol=1e-3,
        n_epochs="auto",
        loadings_weight="auto",
        mmd_weight=10.0,
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
        self.q = q
        self.loadings = loadings
        self.body = body
        self.member_noise = member_noise
        self.init = init
        self.em = em
        self.tol = tol
        self.loadings_weight = loadings_weight
        self.mmd_weight = mmd_weight

    def _learn(self, X, contrasts, observer, random_state):
        """Student fitted by EM."""
        separable = self._is_separable(contrasts.shape[1])
        q = self._choose_q(contrasts, separable)
        student_class, model_class = (
            (SeparableStudent, SeparableModel) if separable else (Student, FullModel)
        )
        with seeded(random_state.randint(MAX_SEED), self.device):
            body = self._make_body(X.shape[1])
            student = student_class(body, X.shape[1], contrasts.shape[1], q)
            em = ExpectationMaximisation(
                self._make_trainer(student, X, contrasts.weights, random_state),
                contrasts,
                model_class(contrasts, q),
                refinement=self._refinement(contrasts, observer),
                init=self.init,
                em=self.em,
                member_noise=self.member_noise,
                max_iter=self.max_iter,
                tol=self.tol,
                loadings_weight=self._choose_loadings_weight(contrasts),
                mmd_weight=self.mmd_weight,
                verbose=self.verbose,
            ).run()
        self.q_ = q
        self.n_iter_ = em.n_iter
        self.converged_ = em.converged
        self.log_likelihoods_ = em.log_likelihoods
        self.log_likelihood_bound_ = em.log_likelihood_bound
        self.history_ = em.history
        return student

    def _refinement(self, contrasts, observer):
        """What the student is trained by after EM; nothing."""

    def _is_separable(self, n_outputs):
        """Whether outputs share their loadings; with one output both models are the same."""
        if self.loadings == "full" or n_outputs == 1:
            return False
        for name, value in (("em", "minibatch"), ("init", "mmd"), ("q", "auto")):
            if getattr(self, name) == value:
                default = signature(type(self)).parameters[name].default
                raise ValueError(
                    f"loadings='separable' with {n_outputs} outputs was given together with "
                    f"{name}={value!r}, which is known for loadings='full' only; expected another "
                    f"{name}, such as the default {default!r}."
                )
        return True

    def _choose_loadings_weight(self, contrasts):
        """Weight of the loadings' error against the mean's, each in its own unit."""
        if self.loadings_weight != "auto":
            return self.loadings_weight
        share = np.mean((contrasts.spread / contrasts.scale) ** 2)
        return float(np.clip(LIKELIHOOD_MULTIPLE * share, *LOADINGS_WEIGHTS))

    def _choose_q(self, contrasts, separable):
        """Number of factors: the best at held-out members, or as many as can be told apart."""
        self.q_scores_ = None
        if self.q == "auto":
            self.q_scores_ = factor_scores(contrasts.residuals, noise_floor=NOISE_FLOOR)
            return max(1, int(np.argmax(self.q_scores_))) if len(self.q_scores_) else 1
        n_samples, n_outputs, n_members = contrasts.shape
        if separable:  # every output of a member brings a function of its own
            most = max(1, min(n_outputs * (n_members - 1), n_samples) - 1)
        else:
            most = min(n_members, n_samples * n_outputs) - 1
        if self.q > most:
            warnings.warn(
                f"q={self.q} factors are more than {n_members} members at {n_samples} design "
                f"points can tell apart; q_={most} is used. Give more members, or a smaller q.",
                UserWarning,
                stacklevel=6,
            )
        return min(self.q, most)

    @property
    def _units(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Units of the student's heads."""
        return self.output_center_, self.output_scale_, self.output_spread_

    def _latent_mean(self, X):
        """Mean of the members in latent units (n, n_outputs), from validated rows."""
        return self.output_center_ + self.output_scale_ * self._student_for(X).evaluate_mean(X)

    def _latent_heads(self, X, exact=False):
        """Mean, loadings, mixing and member variance in latent units, from validated rows."""
        return self._student_for(X, exact).evaluate(X).in_units(*self._units)

    def latent_parameters(self, X):
        """Parameters of the members' distribution at each row.

        A member is ``mean + loadings @ z + member_std * e`` with one standard normal ``z`` (q,) for
        all rows and standard normal ``e`` of its own for each. With ``loadings="separable"`` and
        more than one output it is ``mean + mixing @ Z @ loadings + member_std * e``, with one
        standard normal ``Z`` (n_outputs, q) for all rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        Bunch
            ``mean`` (n_samples, n_outputs), ``loadings`` (n_samples, n_outputs, q), ``member_std``
            (n_samples, n_outputs), float64, in units of the ensemble's outputs. If separable,
            ``loadings`` (n_samples, q), which have no unit, and ``mixing`` (n_outputs, n_outputs).
        """
        heads = self._latent_heads(self._rows_for_student(X))
        parameters = Bunch(
            mean=heads.mean, loadings=heads.loadings, member_std=np.sqrt(heads.member_variance)
        )
        if heads.mixing is not None:
            parameters.update(loadings=heads.loadings[:, 0], mixing=heads.mixing)
        return parameters

    def _draw_latent(self, X, n_samples, random_state, extra_variance=0.0):
        """Draws of members' outputs (n, n_outputs, n_samples), from validated rows.

        ``extra_variance`` (n_outputs, n_samples) is added to the variance of each row's own noise.
        All z are drawn first and rows' noise in the order of rows, so that first rows do not depend
        on what follows.
        """
        latent = random_state.standard_normal((*self.student_.latent_shape, n_samples))
        draws = np.empty((len(X), self.n_outputs_, n_samples))
        for rows in row_blocks(len(X), DRAW_ROWS):
            heads = self._latent_heads(X[rows], exact=True)
            noise = random_state.standard_normal(draws[rows].shape)
            noise *= np.sqrt(heads.member_variance[..., None] + extra_variance)
            draws[rows] = heads.mean[..., None] + noise
            draws[rows] += draw_deviations(heads.loadings, heads.mixing, latent)
        return draws
