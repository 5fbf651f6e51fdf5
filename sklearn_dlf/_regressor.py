"""DLFRegressor: the student of an ensemble of regressors, and the noise of y around it."""

from __future__ import annotations

import numbers
import warnings

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from sklearn.utils import check_random_state, check_scalar, gen_batches

from ._base import DRAW_ROWS, BaseDLF
from ._target_noise import MemberResiduals, TargetNoise
from .ensembles import DeepEnsembleRegressor


class DLFRegressor(RegressorMixin, BaseDLF):
    """Small network that predicts as an ensemble of regressors does, its uncertainty included.

    The members of the ensemble are taken as draws of a Gaussian process whose mean and factor
    loadings are heads of one student network, the deep latent factor model [1]_:
    ``f_i(x) = mean(x) + loadings(x) z_i + e_i(x)`` with standard normal ``z_i`` (q,) and
    ``e_i(x) ~ N(0, member_std(x)^2)``. It is fitted by restricted EM on the members' contrasts.
    X is standardised inside.

    Parameters
    ----------
    ensemble : ensemble, list of fitted regressors or FittedEnsemble, default=None
        Teacher. A fitted one is asked; an unfitted one is cloned and fitted to X and y first. With
        None, `fit` is given a teacher, or trains a
        :class:`~sklearn_dlf.ensembles.DeepEnsembleRegressor`. Wrap a fitted one in
        :class:`~sklearn_dlf.ensembles.FittedEnsemble` where it has to survive
        :func:`~sklearn.base.clone`, as in a grid search.

    q : int or "auto", default=10
        Number of latent factors. Clipped, with a warning, to what the members can tell apart.
        "auto" takes the number under which held-out members are likeliest at the design points,
        in closed form before any network is trained.

    hidden_layer_sizes : array-like of int, default=(100, 100)
        Units of the student's hidden layers. Ignored with `body`.

    activation : {"relu", "gelu", "silu", "tanh"}, default="relu"
        Of the hidden layers. Ignored with `body`.

    body : callable, default=None
        Takes the number of features, returns an ``nn.Module`` that maps standardised rows
        (n, n_features) to features (n, any number), on which the heads are put.

    member_noise : {"input", "constant", "none"}, default="input"
        What is left of the members' spread beside the factors: a function of the input, the same
        everywhere, or nothing.

    init : {"spectral", "mmd", "random"}, default="spectral"
        Start of EM: the closed-form maximum with free loadings; the penalised start of [1]_; the
        untrained network.

    em : {"restricted", "minibatch"}, default="restricted"
        Restricted EM, or the published algorithm, whose E-step sees one mini-batch alone. The
        latter neither centres nor normalises and has a constant member noise; it is there to
        compare.

    max_iter : int, default=100
        Most iterations of EM.

    tol : float, default=1e-3
        Least gain of an iteration in restricted log-likelihood, in nats per entry. After two
        iterations without it (and without 5 % off the squared error of the mean) the learning rate
        is halved; at a fiftieth of `lr`, EM has converged.

    n_epochs : int or "auto", default="auto"
        Epochs of one M-step; "auto" makes about 250 optimiser steps, and at least one epoch.

    loadings_weight : float, default=0.03
        Weight of the loadings' and the noise's loss, in units of the members' spread, against the
        mean's, in units of the mean's standard deviation over rows.

    mmd_weight : float, default=10.0
        Weight of the penalty of ``init="mmd"``.

    batch_size : int or "auto", default="auto"
        Rows of a step; "auto" is the power of two nearest to the root of their number, within 32
        and 512.

    lr : float, default=0.01
        First learning rate.

    optimizer : {"adam", "adamw", "sgd"} or callable, default="adam"
        Optimiser, or a class or callable as skorch takes it.

    weight_decay : float, default=0.0
        Of the optimiser.

    device : str, default="cpu"
        Where the student is trained and asked, as torch has it. Pickles load without it.

    callbacks : list, default=None
        Further callbacks of skorch for the training of the student.

    memory : str or joblib.Memory, default=None
        Folder or memory where fits of an unfitted ensemble and its answers are kept, and answers of
        a fitted one, so that a grid over the student's parameters has them once a fold and not once
        a candidate. Fits are kept only where `random_state` is an integer, or the ensemble has one
        of its own; draws of a posterior are not kept.

    random_state : int, RandomState instance or None, default=None
        Determines the start, the order of rows, and the fit of an unfitted ensemble.

    verbose : int, default=0
        1 prints a line an EM iteration, 2 also skorch's line an epoch.

    Attributes
    ----------
    student_ : nn.Module
        The network, in training units.

    q_ : int
        Latent factors used.

    q_scores_ : ndarray of shape (n_q,)
        Log-likelihood of held-out members with 0, 1, ... factors free at the design points, nats
        per entry, outputs in units of the members' rms spread. None unless ``q="auto"``; empty
        with two members.

    n_members_, n_outputs_ : int
        Of the ensemble.

    n_iter_ : int
        Iterations of EM.

    converged_ : bool
        Whether EM stopped before `max_iter`.

    log_likelihoods_ : ndarray of shape (n_iter_,)
        Restricted log-likelihood of the members at the design points under constant noise, nats per
        entry and degree of freedom, outputs in units of the members' rms spread.

    log_likelihood_bound_ : float
        The largest that any loadings reach there (probabilistic PCA).

    history_ : list of dict
        One record an iteration: ``log_likelihood``, ``noise_variance``, ``mean_error``, ``lr``,
        ``seconds``.

    target_noise_ : TargetNoise
        Inverse gamma of the variance of y around a member: ``shape`` and ``scale`` (n_outputs,).
        None without y.

    ensemble_score_ : float
        R^2 of the teacher's mean at the rows of `fit`. None without y.

    scaler_ : StandardScaler
        Of X.

    output_center_, output_scale_, output_spread_ : ndarray of shape (n_outputs_,)
        Units of the student's heads: mean and standard deviation over rows of the ensemble's mean,
        and the members' rms spread.

    n_features_in_ : int
        Columns of X.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where all are strings.

    See Also
    --------
    sklearn_dlf.ensembles.FittedEnsemble : A teacher that survives clone.

    References
    ----------
    .. [1] Park, Lee, Ohn, Shin, Kim. "Knowledge Distillation of Uncertainty using Deep Latent
       Factor Model". NeurIPS 2025, arXiv:2510.19290.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from sklearn_dlf import DLFRegressor
    >>> X, y = make_regression(200, 4, noise=10.0, random_state=0)
    >>> forest = RandomForestRegressor(30, random_state=0).fit(X, y)
    >>> student = DLFRegressor(q=3, tol=0.05, random_state=0).fit(X, y, ensemble=forest)
    >>> mean, std = student.predict(X, return_std=True)
    >>> mean.shape, std.shape, student.sample_predictions(X, 7).shape
    ((200,), (200,), (200, 7))
    >>> student.predict_interval(X, confidence_level=0.9).shape
    (200, 2)
    """

    _kind = "regressor"

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self, X, y=None, *, ensemble=None, predictions=None, X_ensemble=None, sample_weight=None
    ):
        """Distil an ensemble.

        At most one of `ensemble` and `predictions` is given; with neither, the constructor's
        ensemble is the teacher, and without one a deep ensemble is trained.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Design points: rows at which the student learns what the members say.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Observed values, for their noise around the members, and for ensembles that have to be
            fitted. Without it `sample_y`, `predict_interval` and `predict_quantiles` are not
            available.

        ensemble : ensemble, list of fitted regressors or FittedEnsemble, default=None
            Teacher; goes before the constructor's.

        predictions : array-like of shape (n_samples, n_members) or (n_samples, n_outputs, \
n_members), or list of arrays of shape (n_samples,) or (n_samples, n_outputs), default=None
            Outputs of the members at X, members last, or one array a member.

        X_ensemble : array-like or DataFrame with n_samples rows, default=None
            The rows of X as the ensemble wants them, where X has been transformed.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the design points; a weight of two counts as two equal rows.

        Returns
        -------
        DLFRegressor
            Itself.

        Raises
        ------
        ValueError
            If values are NaN or infinite, shapes do not match, there are fewer than two members,
            the ensemble is one of classifiers, both `ensemble` and `predictions` are given, or y
            is needed and missing.
        TypeError
            If the ensemble's type is not known.
        TrainingDivergedError
            If training left the finite numbers.
        """
        residuals = self._distil(
            X,
            y,
            ensemble=ensemble,
            predictions=predictions,
            X_ensemble=X_ensemble,
            sample_weight=sample_weight,
        )
        self.target_noise_ = self.ensemble_score_ = None
        if residuals is not None:
            self.target_noise_ = TargetNoise(residuals.variances())
            self.ensemble_score_ = self._score_teacher(residuals)
        return self

    def _default_ensemble(self):
        """Teacher where none is given."""
        return DeepEnsembleRegressor()

    def _observer(self, teacher, y, weights):
        """Gather the members' residuals around y, where it is given."""
        if y is None:
            return None
        return MemberResiduals(y.reshape(len(y), -1), weights, teacher.unseen())

    def _score_teacher(self, residuals):
        """R^2 of the teacher's mean; warn where a constant would do better."""
        score = r2_score(residuals.y, residuals.mean, sample_weight=residuals.weights)
        if score < 0:
            warnings.warn(
                f"The ensemble predicts y worse than a constant does (R^2 = {score:.2f} at the "
                "rows of fit). Was it fitted on rows in other units? Give the rows as it wants "
                "them by X_ensemble.",
                UserWarning,
                stacklevel=4,
            )
        return float(score)

    def predict(self, X, return_std=False, return_cov=False):
        """Mean of the members, and their standard deviation or covariance.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        return_std : bool, default=False
            Whether to return the members' standard deviation too.

        return_cov : bool, default=False
            Whether to return the covariance over rows too.

        Returns
        -------
        mean : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            In units of y.

        std : ndarray of the shape of `mean`
            Of the members around their mean, without the noise of y. Only with `return_std`.

        cov : ndarray of shape (n_samples, n_samples) or (n_samples, n_samples, n_outputs)
            Of the members, its diagonal the square of `std`. Only with `return_cov`.

        Raises
        ------
        ValueError
            If both are asked for.
        """
        if return_std and return_cov:
            raise ValueError(
                "return_std=True and return_cov=True were given; expected one of them at most. The "
                "diagonal of the covariance holds the squared standard deviations."
            )
        X = self._rows_for_student(X)
        if not (return_std or return_cov):
            return self._squeeze(self._latent_mean(X))
        heads = self._latent_heads(X)
        mean = self._squeeze(heads.mean)
        if return_std:
            return mean, self._squeeze(np.sqrt(_variance(heads)))
        cov = np.einsum("icq,jcq->ijc", heads.loadings, heads.loadings, optimize=True)
        diagonal = np.arange(len(X))
        cov[diagonal, diagonal] = _variance(heads)
        return mean, cov[..., 0] if self.n_outputs_ == 1 else cov

    def sample_predictions(self, X, n_samples=1, random_state=None):
        """Draw members.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Rows.

        n_samples : int, default=1
            Members to draw.

        random_state : int, RandomState instance or None, default=None
            With an integer, the same members are drawn whatever the rows: first rows do not depend
            on those after them.

        Returns
        -------
        ndarray of shape (n_rows, n_samples) or (n_rows, n_outputs, n_samples)
            Predictions of each member, in units of y.
        """
        X, random_state = self._rows_for_student(X), check_random_state(random_state)
        return self._squeeze(self._draw_latent(X, _check_count(n_samples), random_state))

    def sample_y(self, X, n_samples=1, random_state=None):
        """Draw values of y: a member, a variance of the noise, and the noise.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Rows.

        n_samples : int, default=1
            Draws.

        random_state : int, RandomState instance or None, default=None
            As in `sample_predictions`.

        Returns
        -------
        ndarray of shape (n_rows, n_samples) or (n_rows, n_outputs, n_samples)
            In units of y.

        Raises
        ------
        NotFittedError
            If `fit` was not given y.
        """
        X, random_state = self._rows_for_student(X), check_random_state(random_state)
        n_samples = _check_count(n_samples)
        noise = self._check_target_noise("sample_y").draw(n_samples, random_state)
        return self._squeeze(self._draw_latent(X, n_samples, random_state, extra_variance=noise))

    def predict_quantiles(self, X, quantiles=(0.05, 0.5, 0.95)):
        """Quantiles of y, from the members' spread and the noise around them; nothing is drawn.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        quantiles : array-like of shape (n_quantiles,), default=(0.05, 0.5, 0.95)
            Levels, strictly between 0 and 1.

        Returns
        -------
        ndarray of shape (n_samples, n_quantiles) or (n_samples, n_outputs, n_quantiles)
            In units of y.

        Raises
        ------
        NotFittedError
            If `fit` was not given y.
        ValueError
            If a level is not between 0 and 1.
        """
        X = self._rows_for_student(X)
        noise = self._check_target_noise("predict_quantiles")
        levels = np.atleast_1d(np.asarray(quantiles, dtype=np.float64))
        if levels.ndim != 1 or not np.all((levels > 0) & (levels < 1)):
            raise ValueError(
                f"quantiles must lie strictly between 0 and 1, in one dimension; got {quantiles!r}."
            )
        result = np.empty((len(X), self.n_outputs_, len(levels)))
        for rows in gen_batches(len(X), DRAW_ROWS):
            heads = self._latent_heads(X[rows])
            result[rows] = noise.quantiles(heads.mean, _variance(heads), levels)
        return self._squeeze(result)

    def predict_interval(self, X, confidence_level=0.9):
        """Central interval of y at each row.

        The variance of y is the members' spread plus the squared residual of a single member, as in
        [1]_. The latter holds the member's own deviation from the mean too, so that intervals of
        ensembles whose members differ much, such as forests, are wider than they say.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        confidence_level : float, default=0.9
            Probability that y lies in the interval, strictly between 0 and 1.

        Returns
        -------
        ndarray of shape (n_samples, 2) or (n_samples, n_outputs, 2)
            Lower and upper end, in units of y.

        Raises
        ------
        NotFittedError
            If `fit` was not given y.
        ValueError
            If the level is not between 0 and 1.
        """
        if not 0 < confidence_level < 1:
            raise ValueError(
                f"confidence_level must lie strictly between 0 and 1; got {confidence_level!r}."
            )
        tail = 0.5 * (1 - confidence_level)
        return self.predict_quantiles(X, [tail, 1 - tail])

    def _check_target_noise(self, method):
        """Noise of y, or an error that says how to have it."""
        if self.target_noise_ is None:
            raise NotFittedError(
                f"{method} needs the noise of y around the ensemble; fit was called without y. "
                "Call fit(X, y, ...) with the observed values. sample_predictions and predict do "
                "not need them."
            )
        return self.target_noise_

    def _squeeze(self, values):
        """Drop the axis of outputs (n, n_outputs, ...) where there is one output."""
        return values[:, 0] if self.n_outputs_ == 1 else values


def _variance(heads):
    """Variance of the members (n, n_outputs): factors and member noise."""
    return np.einsum("icq,icq->ic", heads.loadings, heads.loadings) + heads.member_variance


def _check_count(n_samples):
    """Number of draws."""
    return check_scalar(n_samples, "n_samples", numbers.Integral, min_val=1)
