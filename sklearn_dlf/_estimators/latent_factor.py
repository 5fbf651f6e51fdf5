"""The latent factor model that students of both tasks share."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from inspect import signature
from os import PathLike
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._export.onnx_file import write_onnx
from .._fitting.calibration import calibrate, ensemble_probabilities
from .._fitting.checkpoints import find_checkpoint
from .._fitting.choice_of_q import choose_q
from .._fitting.drawn_networks import drawn_network
from .._fitting.em import ANNEALING, PLAIN_ANNEALING, ExpectationMaximisation
from .._fitting.latent_law import choose_law, law_to_draw
from .._fitting.output_noise import learn_output_noise
from .._fitting.process import learn_process
from .._fitting.published import PublishedEM
from .._fitting.refinement import make_refinement
from .._fitting.student_bodies import BODY_LR_CONSTRAINTS, make_student_body
from .._fitting.trainer import make_trainer, trains_swiftly
from .._latent.member_law import MemberLaw
from .._latent.models import FullModel, SeparableModel
from .._latent.row_correlation import RowCorrelation
from .._latent.smoothed import LatentLaw
from .._network.students import SeparableStudentNetwork, StudentNetwork
from .._predictive.members import LatentFactorMembers
from .._transfer.contrasts import Contrasts
from .._transfer.transfer_set import TransferSet
from .._utils.fit_tasks import CallbackSupportMixin, FitTasks
from .._utils.parameters import Count
from .._utils.seeding import MAX_SEED
from .base import BODY_CONSTRAINTS, BaseStudent

# The members' likelihood weighs the loadings' error against the mean's by the squared ratio of the
# members' spread to the mean's own. "auto" takes this multiple of it, within these bounds. Below
# them the loadings learn too slowly, above them the mean is fitted worse.
LIKELIHOOD_MULTIPLE = 3.0
LOADINGS_WEIGHTS = 0.003, 0.03

# What ``max_iter="auto"`` stands for: a limit that is seldom reached, and the planned iterations
# before the refinement of a body of the user's own, of a pass over the rows each.
MAX_ITER, PLANNED_ITER = 100, 10


class LatentFactorStudent(CallbackSupportMixin, BaseStudent):
    """Student whose members are a latent factor model, fitted by EM."""

    # Whether the student is refined after EM; a parameter of students of classifiers.
    refine: bool | int = False

    # Rounds of it without gain at calibration rows, after which it ends; of classifiers too.
    early_stopping: int | None = None

    # Parameters, which subclasses store.
    q: int | str
    loadings: str
    latent: str
    latent_law_: LatentLaw | None
    member_law_: MemberLaw | None = None  # of regressors; None in files of before there was one
    member_noise: str | None
    init: str
    em: str
    tol: float
    loadings_weight: float | str
    mmd_weight: float
    body_lr: float

    _parameter_constraints: ClassVar[dict] = {
        **BaseStudent._parameter_constraints,
        "q": [StrOptions({"auto"}), Count()],
        "latent": [StrOptions({"auto", "gaussian", "smoothed"})],
        **BODY_CONSTRAINTS,
        **BODY_LR_CONSTRAINTS,
        "loadings": [StrOptions({"full", "separable"})],
        "member_noise": [StrOptions({"input", "constant"}), None],
        "init": [StrOptions({"spectral", "mmd", "random"})],
        "em": [StrOptions({"restricted", "minibatch"})],
        "tol": [Interval(numbers.Real, 0, None, closed="left")],
        "loadings_weight": [
            StrOptions({"auto"}),
            Interval(numbers.Real, 0, None, closed="neither"),
        ],
        "mmd_weight": [Interval(numbers.Real, 0, None, closed="left")],
    }

    def _learn(
        self, transfer_set: TransferSet, random_state: np.random.RandomState
    ) -> StudentNetwork:
        contrasts = transfer_set.contrasts
        n_outputs = contrasts.shape[1]
        separable = self._is_separable(n_outputs)
        q, self.q_scores_ = choose_q(self.q, self._default("q"), transfer_set, separable)
        network_class, model_class = (
            (SeparableStudentNetwork, SeparableModel) if separable else (StudentNetwork, FullModel)
        )
        em_class = ExpectationMaximisation if self.em == "restricted" else PublishedEM
        refinement = make_refinement(self, transfer_set) if self._is_refined else None
        X, weights = transfer_set.design, contrasts.weights
        seed = random_state.randint(MAX_SEED)

        def make(generator):
            body = make_student_body(self, transfer_set, generator)
            return network_class(body, transfer_set.X, n_outputs, q, generator)

        with drawn_network(self, transfer_set.X, seed, make) as (network, draws):
            checkpoint = find_checkpoint(self, network, transfer_set)
            em = em_class(
                make_trainer(self, network, X, weights, random_state),
                contrasts,
                model_class(contrasts, q),
                refinement=refinement,
                init=self.init,
                member_noise=self.member_noise,
                max_iter=self._longest_em,
                tol=self.tol,
                loadings_weight=self._choose_loadings_weight(contrasts),
                mmd_weight=self.mmd_weight,
                verbose=self.verbose,
                annealing=PLAIN_ANNEALING if trains_swiftly(self) else ANNEALING,
                find_law=lambda em: law_to_draw(
                    em.network, X, contrasts, em.model.noise_variance, self.latent
                ),
                draws=draws,
                is_planned=self._is_refined and self.body_ == "custom",
                checkpoint=checkpoint,
                tasks=FitTasks.of(self),
            ).run()
        network.set_points(X, transfer_set.reader.is_raw)
        if n_outputs > 1 and self.member_noise is not None and self.em == "restricted":
            network.noise_head = learn_output_noise(network, X, contrasts)
        self.factor_shares_, self.row_correlation_ = np.ones(q), RowCorrelation()
        if self.em == "restricted" and self.member_noise == "input":
            process = learn_process(network, transfer_set, random_state)
            self.factor_shares_, self.row_correlation_, _ = process
        latent = self.latent if em.law is None else "smoothed"  # what it has been trained for
        self.latent_law_, self.latent_gain_, self.latent_normality_ = choose_law(
            network, transfer_set, em.model.noise_variance, latent, random_state
        )
        if refinement is not None:
            self._calibrate(network, transfer_set, random_state)
        if checkpoint is not None:
            checkpoint.remove()
        self.q_ = q
        self._keep_course(em)
        return network

    def _keep_course(self, em: ExpectationMaximisation) -> None:
        """Keep how EM went."""
        self.n_iter_, self.converged_ = em.n_iter, em.converged
        self.log_likelihoods_ = em.log_likelihoods
        self.log_likelihood_bound_ = em.log_likelihood_bound
        self.history_ = em.history

    def _calibrate(self, network: Any, transfer_set: TransferSet, random_state: Any) -> None:
        """Match the refined network's averages and mutual information to the ensemble's."""
        if self.body_ == "custom":
            network.set_growth(transfer_set.design)
        ensemble = ensemble_probabilities(transfer_set, random_state)
        calibrate(network, ensemble, transfer_set.contrasts.units, self.latent_law_)

    @property
    def _longest_em(self) -> int:
        """Most iterations of EM. Before a refinement of a body of the user's, few are planned."""
        if self.max_iter != "auto":
            return self.max_iter
        return PLANNED_ITER if self._is_refined and self.body_ == "custom" else MAX_ITER

    @property
    def _is_refined(self) -> bool:  # type: ignore[override]
        """Whether training ends by matching probabilities."""
        return bool(self.refine) and self.em == "restricted"

    def _is_separable(self, n_outputs: int) -> bool:
        """Return whether outputs share their loadings; one output makes both models the same."""
        if self.loadings == "full" or n_outputs == 1:
            return False
        unavailable = ("em", "minibatch"), ("init", "mmd"), ("q", "auto"), ("latent", "smoothed")
        for name, value in unavailable:
            if getattr(self, name) == value:
                raise ValueError(
                    f"loadings='separable' with {n_outputs} outputs was given together with "
                    f"{name}={value!r}, which is available for loadings='full' only; expected "
                    f"another {name}, such as the default {self._default(name)!r}."
                )
        return True

    def _choose_loadings_weight(self, contrasts: Contrasts) -> float:
        """Return the weight of the loadings' error against the mean's, each in its own unit."""
        if not isinstance(self.loadings_weight, str):  # "auto"
            return self.loadings_weight
        _, scale, spread = contrasts.units
        share = np.mean((spread / scale) ** 2)
        return float(np.clip(LIKELIHOOD_MULTIPLE * share, *LOADINGS_WEIGHTS))

    def _default(self, name: str) -> Any:
        """Return the default of a parameter."""
        return signature(type(self)).parameters[name].default

    def _make_members(self, network: Any) -> LatentFactorMembers:
        return LatentFactorMembers(network, self._units, self.latent_law_, self.member_law_)

    def latent_parameters(self, X: ArrayLike) -> Bunch:
        """Return the parameters of the members' distribution at each row.

        A member is ``mean + loadings @ z + member_std * e``. It has one standard normal ``z`` (q,)
        for all rows, and an ``e`` of its own at each row, which is normal with unit variances,
        correlated over the outputs of the row and between near rows. What each factor has in common
        at all rows is in ``loadings``; the rest of it is in ``member_std`` (see `factor_shares_`).
        With ``loadings="separable"`` and more than one output it is
        ``mean + mixing @ Z @ loadings + member_std * e``, with one standard normal ``Z``
        (n_outputs, q) for all rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        Bunch
            ``mean`` (n_samples, n_outputs), ``loadings`` (n_samples, n_outputs, q), ``member_std``
            (n_samples, n_outputs), float64, in units of the ensemble's outputs. If separable,
            ``loadings`` (n_samples, q) without unit, and ``mixing`` (n_outputs, n_outputs). Over
            the outputs of each row: ``noise_correlation`` of ``e``, without unit, and
            ``member_cov`` of the members, in squared units, each (n_samples, n_outputs,
            n_outputs). Between rows: `row_correlation_` as ``row_correlation``, and the
            ``standardised_rows`` (n_samples, n_features), whose distances it takes: of raw rows,
            the standardised features of the body. If the teacher transforms y, the parameters are
            those of the transformed values.
        """
        X = self._standardised_rows(X)
        process = self._members.process(X)
        parameters = Bunch(
            mean=process.mean,
            loadings=process.loadings,
            member_std=np.sqrt(process.local_variance),
            noise_correlation=process.local_correlation,
            member_cov=process.output_covariance,
            row_correlation=self.row_correlation_,
            standardised_rows=self._members.points(X),
        )
        if process.mixing is not None:
            parameters.update(loadings=process.loadings[:, 0], mixing=process.mixing)
        return parameters

    def to_onnx(
        self,
        path: str | PathLike[str],
        *,
        outputs: str | Sequence[str] | None = None,
        quantiles: ArrayLike = (0.05, 0.5, 0.95),
        preprocessed: bool = False,
    ) -> None:
        """Write the student to a file of ONNX, which predicts without Python or this package.

        The file computes in float64, from rows as `fit` took them: standardisation, and missing
        values, categories and dates of ``preprocessor="auto"``, are inside. It has one input ``X``
        (n_rows, n_features) of float64. If there are categories or dates, it has an input (n_rows,)
        for each column instead, of the column's name: float64 for numbers and booleans, strings for
        categories ("" if missing), and float64 days since 1970 for dates. NaN is a missing value if
        `fit` had gaps, categories or dates; else outputs are NaN at such rows. Needs onnx.

        Parameters
        ----------
        path : str or path-like
            File to write.

        outputs : str or sequence of str, default=None
            Outputs of the file; None for all that the student has. Few take less time. Of
            regressors: ``mean``, ``std`` (n_rows, n_outputs), of the members, and ``quantiles``
            (n_rows, n_outputs, n_quantiles), ``aleatoric`` and ``epistemic`` (n_rows, n_outputs),
            of y, as `predict`, `predict_quantiles` and `predict_uncertainty` give them. Of
            classifiers: ``probabilities`` (n_rows, n_classes), and with two or with more than 32
            classes ``aleatoric`` and ``epistemic`` (n_rows,). Of both, what members are drawn from,
            all of it as ``draws``: ``latent_mean``, ``own_noise`` (n_rows, n_outputs), ``loadings``
            (n_rows, n_outputs, n_factors) and, with several outputs, ``shared_noise`` (n_rows,
            n_outputs, r). A member is ``latent_mean + loadings @ z + shared_noise @ e + own_noise *
            e'``, with one standard normal ``z`` for all rows, and ``e`` and ``e'`` drawn anew at
            each. It is a logit, or the transformed y if the teacher transforms y. Noise of near
            rows is correlated in `sample_predictions`, and not here.

        quantiles : float or array-like of shape (n_quantiles,), default=(0.05, 0.5, 0.95)
            Levels of ``quantiles``, one or more, strictly between 0 and 1. After `conformalize`,
            these are the conformal ones.

        preprocessed : bool, default=False
            Whether the file takes the numbers that ``preprocessor_.transform`` returns, as ``X``.

        Raises
        ------
        NotFittedError
            If the student is not fitted.
        ValueError
            If ONNX cannot hold a part of the student: a `body` or a `preprocessor` of your own,
            what it has learnt by `update`, members in groups (`latent_law_`), or a transformation
            of y that is none of the usual ones. The message names the way out.
        ImportError
            If onnx is not installed.

        Examples
        --------
        >>> student.to_onnx("student.onnx", quantiles=(0.1, 0.9))  # doctest: +SKIP
        """
        check_is_fitted(self)
        write_onnx(self, path, outputs, quantiles, preprocessed)
