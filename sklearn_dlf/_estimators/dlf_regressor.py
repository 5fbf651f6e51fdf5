"""DLFRegressor: a latent factor model as the student of an ensemble of regressors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import StrOptions

from .._fitting.member_law import choose_member_law
from .._utils.parameters import store_parameters
from .adapt_mixin import RegressorAdaptMixin
from .latent_factor import LatentFactorStudent
from .row_parts import predict_in_parts


class DLFRegressor(RegressorAdaptMixin, LatentFactorStudent):
    """Small network that predicts as an ensemble of regressors does, with its uncertainty.

    The members of the ensemble are taken as draws from a Gaussian process. Its mean and factor
    loadings are heads of one network: the deep latent factor model [1]_,
    ``f_i(x) = mean(x) + loadings(x) z_i + e_i(x)`` with standard normal ``z_i`` (q,) and
    ``e_i(x) ~ N(0, member_std(x)^2)``. It is fitted by restricted EM to the members' contrasts. X
    is standardised inside. The noise ``e_i(x)`` of several outputs is correlated at a row, and
    between near rows (`row_correlation_`).

    Parameters
    ----------
    ensemble : ensemble, list of fitted regressors or FittedEnsemble, default=None
        Teacher. A fitted ensemble is evaluated; an unfitted one is cloned and fitted to X and y
        first. A list may also hold callables and torch modules that return values of y. With None,
        `fit` is given a teacher, or it trains a
        :class:`~sklearn_dlf.ensembles.DeepEnsembleRegressor`. Wrap a fitted ensemble in
        :class:`~sklearn_dlf.ensembles.FittedEnsemble` if it has to survive
        :func:`~sklearn.base.clone`, as in a grid search.

    q : int or "auto", default=10
        Number of latent factors. It is reduced to what the members can tell apart, with a warning
        unless it is the default. "auto" takes the number under which held-out members are likeliest
        at the design points, in closed form before any network is trained.

    loadings : {"full", "separable"}, default="full"
        How several outputs depend on the factors. "full": each output has q loadings of its own.
        "separable", the model of [1]_: all outputs share q loadings, and one matrix mixes them at
        every row; members deviate from the mean by ``mixing Z loadings(x)`` with standard normal
        ``Z`` (n_outputs, q). For one output both are the same. "separable" is not available with
        ``em="minibatch"``, ``init="mmd"`` or ``q="auto"``.

    latent : {"auto", "gaussian", "smoothed"}, default="auto"
        Law of the members' factors. "gaussian": standard normal, as in [1]_. "smoothed": near those
        of the ensemble's members, so that groups of members stay groups; mean and covariance are
        the same. "auto": smoothed if `latent_gain_` is above 20 nats; members of regressors also
        get the skewness and the tails that they have at a row in the ensemble (`member_law_`), if
        they are likelier so. Laws are not available for separable loadings of several outputs, nor
        if the teacher transforms y.

    preprocessor : "auto", transformer or None, default="auto"
        How the student reads rows; the ensemble gets them as they are. "auto": numbers are
        standardised. Where a table has missing values, categories, strings or dates, numbers are
        imputed by the median and get an indicator of missing ones, categories get an indicator
        each (rare and unknown ones share one), and dates become days and cycles. Sparse rows are
        made dense, or projected on 100 singular vectors if they have more columns. Arrays of more
        than two dimensions go to the `body` as they are. A transformer of scikit-learn's
        interface takes the place of all this; it is cloned and fitted to X (and y) unless it is
        fitted, and what it returns is standardised, unless `body` is a callable and it returns
        integers or arrays of more than two dimensions. None: rows go to the `body` as they are,
        floats and bytes as float32, other integers as int64. Examples are on the page
        :doc:`/frames`.

    augment : str, callable or None, default="auto"
        How further design points are made: at least four for each row of X, two for each parameter
        of the network's body, and 20,000 at most (150 for each row and 120,000 at most with an
        encoding of the columns; fewer if members have many outputs). "neighbors" takes about half
        of a row's columns from one of its ten nearest neighbours (as MUNGE does, without its
        noise). "far_neighbors" does so for half of the rows; for the others, neighbours are farther
        away, at ranks up to all of the rows. "near_neighbors" takes one of the three nearest.
        "column_groups" swaps columns that determine each other together. "local" adds to a row a
        part of the difference of two of its neighbours, and so stays along data on a curved
        surface. "mixup" takes a point on the line to a neighbour. "neighbors+local" and
        "far_neighbors+local" make half of the rows by each. A callable takes X, a number of rows
        and a RandomState, and returns rows in the container of X; it is called up to four times, to
        judge its rows too. Columns that hold no numbers are swapped, but not changed. "auto" is
        "neighbors", for members that are step functions "neighbors+local" (steps of trees lie
        between the values of the data), if that makes rows like the data, by the members' spread
        and by distance; otherwise the first of "neighbors", "column_groups", "local" and
        "near_neighbors" that does, or None. A choice of your own that does not gives a warning. For
        a single column, "auto" is "mixup" or None; with `predictions`, or an array as `X_ensemble`,
        it is None. Fewer than 50 rows are not judged.

    n_augmented : int or "auto", default="auto"
        Number of rows that `augment` makes; "auto" for the number that is described there.

    subsample : int or None, default=1_000_000
        Most rows of X that are used; None for all. Of more rows, so many are chosen by
        `random_state`, and the others are not read, except that an unfitted ensemble is fitted to
        all. Rows without weight are not chosen. Labelled ones, of regressors those that members
        were not fitted to, are at least a half, if there are so many. A rare class may lose most of
        its rows: see the page :doc:`/large_data`.

    out_of_bag : {"widen", "match"} or None, default="widen"
        What is done at rows that members were fitted to, where they differ less than on fresh rows.
        "widen": their deviations from their mean are multiplied by one number an output, which
        gives them the spread of members that did not see the row. "match": they are matched to the
        mean and spread of the members that did not see the row, if these are five or more. None:
        nothing is done. It is known for bagging, forests and deep ensembles which rows a member did
        not see, if X are the rows of their fit. If it is not known, "widen" does nothing and
        "match" raises an error.

    target_noise : {"auto", "input", "constant"}, default="auto"
        Variance of y around a member, beside its tails: a function of the row, or a constant.
        "auto" chooses by the held-out likelihood of the residuals, and takes a constant where it is
        not known which rows the members were not fitted to.

    cv : int, splitter or None, default=None
        Folds, as scikit-learn takes them, by which an unfitted `ensemble` is cross-fitted too: for
        each fold, a clone is fitted to the other folds. So the noise of y is estimated at rows that
        members did not see, for an ensemble of any kind. With None, this is known for bagging,
        forests with ``bootstrap=True`` and deep ensembles only.

    hidden_layer_sizes : int or sequence of int, default=(100, 100)
        Units of the network's hidden layers. Ignored if `body` is a callable.

    activation : {"auto", "swish", "relu", "gelu", "silu", "tanh"}, default="auto"
        Activation of the hidden layers. "swish" is ``x sigmoid(5 x)``, a "relu" without its kink.
        "auto" is "swish", or "silu" behind an encoding of the columns. Ignored if `body` is a
        callable.

    body : {"auto", "mlp", "piecewise_linear"}, callable or None, default="auto"
        What maps a row to the features on which the heads are put. "mlp", or None, has hidden
        layers on the standardised columns. "piecewise_linear" puts an encoding before them: bins of
        each column, which are -1 below their edges, 1 above and linear in between. It suits trees,
        which are step functions. Rows beyond the design points are predicted as the nearest edges
        of their columns, as by trees; the network has more parameters (about 21,000 with the
        default layers, `q`, one output and 46 columns or fewer), and training takes more steps and
        more made rows. "auto" evaluates the ensemble once more, at rows that differ by tiny steps,
        and chooses "piecewise_linear" if nearly all outputs of its members stay the same. Given
        `predictions`, it does so if the outputs of most members recur from row to row. A callable
        takes the number of features, and returns an ``nn.Module`` that maps standardised rows (n,
        n_features) to features (n, any number); for rows of more than one dimension, such as
        images, it takes the shape of one. Of raw rows, the module gets bytes as float32, not
        scaled, and other integers, such as ids of tokens, as int64. It is tried with the first two
        rows. It predicts in float32, so that predictions may depend a little on the batch.

    member_noise : {"input", "constant"} or None, default="input"
        Variance of the members beside the factors: a function of the row, the same at every row, or
        zero.

    init : {"spectral", "mmd", "random"}, default="spectral"
        Start of EM: the closed-form maximum with free loadings, the penalised start of [1]_, or the
        untrained network.

    em : {"restricted", "minibatch"}, default="restricted"
        Restricted EM, or the published algorithm, for comparison. The latter's E-step sees one
        mini-batch; it neither centres the members nor normalises their factors, and it has a
        constant member noise.

    max_iter : int, default=100
        Largest number of iterations of EM, not counting the last four by L-BFGS (see `optimizer`).

    tol : float, default=1e-3
        Smallest gain of an iteration in restricted log-likelihood, in nats per entry. After an
        iteration with less (and less than 5 % off the squared error of the mean) the learning rate
        is multiplied by 0.7; with an encoding of columns or a callable `body` it is halved after
        two. EM has converged below a fiftieth of `lr`.

    n_epochs : int or "auto", default="auto"
        Epochs of one M-step. "auto" makes about 250 optimiser steps (400 with an encoding of the
        columns, 50 with a callable `body`), and at least one epoch.

    loadings_weight : float or "auto", default="auto"
        Weight of the loadings' error, in units of the members' mean variance, against the mean's,
        in units of its variance over rows. "auto" is three times the weight in the members'
        likelihood, the ratio of these two variances, within 0.003 and 0.03. A third of the weight
        is left where training ends by L-BFGS (see `optimizer`).

    mmd_weight : float, default=10.0
        Weight of the penalty of ``init="mmd"``.

    batch_size : int or "auto", default="auto"
        Rows of an optimiser step. "auto" is the power of two nearest to the root of the number of
        rows, within 32 and 512.

    lr : float, default=0.01
        First learning rate.

    body_lr : float, default=1.0
        Learning rate of the body's parameters, as a share of that of all others. A pre-trained body
        takes less than one, such as 0.1. With 0 the body is not trained. Parameters that a callable
        `body` returns with ``requires_grad=False`` are never trained, and parts of the body that
        have no others stay in evaluation mode. Unless it is 1, training does not end by L-BFGS.

    optimizer : {"adam", "adamw", "sgd"} or callable, default="adam"
        Optimiser, or a class or callable as skorch takes it. With "adam", no weight decay and no
        callable `body`, training ends by L-BFGS over all design points at once if there are at
        least two for each parameter of the network, at most 32,768, and at most 2^28 products of a
        row and a parameter.

    weight_decay : float, default=0.0
        Weight decay of the optimiser.

    device : str or torch.device, default="cpu"
        Where the network is trained and evaluated, as in torch. Pickles load without that device.

    callbacks : list, default=None
        Further callbacks of skorch; training uses copies of them. There is no validation loss to
        monitor. ``EarlyStopping("train_loss")`` ends one M-step, not the fit. With
        :class:`~sklearn_dlf.callbacks.FitCheckpoint`, an interrupted fit goes on.

    memory : str or joblib.Memory, default=None
        Folder or memory where fits of an unfitted ensemble and predictions of an ensemble are kept,
        so that a grid over the student's parameters computes them once a fold and not once a
        candidate, except for `augment` and the network's body, which change the rows at which it is
        evaluated. Fits are kept only if `random_state` is an integer or the ensemble has a seed of
        its own, and predictions at made rows only if `random_state` is an integer. Draws from a
        posterior that are made anew in each call are not kept. Networks of torch are known by their
        weights. Functions and classes of your own modules are known by their code and what it
        reads, but files that they read are not looked at; those of installed packages by name and
        version. Nothing is kept of an ensemble that holds some of `__main__`, such as a notebook's.

    n_jobs : int or None, default=None
        Number of jobs of joblib that evaluate the ensemble's members at blocks of rows, and of
        threads that predict at many rows. With None, their number is that of an enclosing
        `joblib.parallel_config`. Without one there is one job, and from 32,768 rows on up to as
        many threads as torch has. Results are the same but for rounding. Draws from a posterior
        that are not functions are made by one job.

    random_state : int, RandomState instance or None, default=None
        Seed of the network's start, the order of rows, the rows made by `augment`, and the fit of
        an unfitted ensemble. One seed gives one student, also where fits run in threads. A callable
        `body` draws from torch's own generator, while no other does. If it draws in training too,
        as dropout does, its fit waits for others of the kind, and is repeated only if nothing else
        draws from that generator meanwhile.

    verbose : int, default=0
        1 prints a line for each iteration of EM, 2 also skorch's line for each epoch.

    Attributes
    ----------
    augment_ : str, callable or None
        How further design points were made: what "auto" chose, or `augment`.

    student_ : nn.Module
        The network, in training units. Predictions use a copy of it, which is renewed if a
        parameter is replaced or changed in place, but not if it is changed through ``.data`` or
        ``.numpy()``.

    q_ : int
        Number of latent factors used.

    q_scores_ : ndarray of shape (n_q,)
        Log-likelihood of held-out members with 0, 1, ... free factors at the design points, in nats
        per entry, outputs in units of the members' rms spread. None unless ``q="auto"``; empty
        with two members.

    latent_gain_, latent_normality_ : float or None
        Log-likelihood ratio of the smoothed law and the Gaussian, of each member under the law of
        the others, in nats; and the p-value of the normality of the members' first three factors,
        small for many ensembles whose Gaussian students are as good. None where not available.

    latent_law_ : LatentLaw or None
        The smoothed law, a mixture of normals: ``centers`` (`n_members_`, `q_`) and ``std``
        (`q_`,). None is the standard normal.

    member_law_ : MemberLaw or None
        Law of the members at a row, the same at all rows: ``skewness`` and ``tail`` (`n_outputs_`,)
        of a sinh-arcsinh distribution. Draws and the likelihood of members have it. None is the
        normal.

    body_ : {"mlp", "piecewise_linear", "custom"}
        Kind of the body: what "auto" has chosen. "custom" is a callable's.

    factor_shares_ : ndarray of shape (`q_`,)
        Share of each factor's variance that is common to all rows, by members that were held out.
        Factors are in the order of their variance. One where it is not estimated.

    row_correlation_ : RowCorrelation
        Correlation between rows of all that is not common: ``share`` at near rows, and the
        ``length_scale`` in standardised rows, of a Matern correlation of smoothness 3/2;
        ``common``, what all rows have in common. Shares are zero where they are not estimated.
        Standardised features of the body stand for raw rows.

    n_members_, n_outputs_, n_rows_used_ : int
        Numbers of members, of their outputs, and of the rows of X that were used: all, or
        `subsample`.

    n_iter_ : int
        Iterations of EM, those by L-BFGS included.

    converged_ : bool
        Whether EM converged within `max_iter` iterations.

    log_likelihoods_ : ndarray of shape (`n_iter_`,)
        Restricted log-likelihood of the members at the design points under constant noise, in nats
        per entry and degree of freedom, outputs in units of the members' rms spread.

    log_likelihood_bound_ : float
        Largest value of it that any loadings reach at the design points (probabilistic PCA). If
        separable, the value that EM reaches with loadings that are free at every row.

    history_ : list of dict
        One record for each iteration: ``log_likelihood``, ``noise_variance``, ``mean_error``,
        ``lr``, ``seconds``.

    target_noise_ : TargetNoise
        Variance of y around a member: an inverse gamma variable (``shape``, ``scale``), times a
        function of the row where ``depends_on_row``; ``spread_share``, the share of the members'
        variance that counts for y; ``skewness``, of y around the mean, one where it is symmetric.
        Each (n_outputs,). ``correlation`` (n_outputs, n_outputs) of the noise of a row's outputs,
        or None. Two booleans: ``spread_has_tails``, whether that variable multiplies the
        share too; ``takes_law``, whether intervals and draws of y follow the members' law, if it is
        not Gaussian. None without y, unless the members have a variance of their own.

    ensemble_score_ : float
        R^2 of the teacher's mean at the rows of `fit`. None without y.

    target_transformation_ : TransformedTarget or None
        How the teacher transforms y, if it is a ``TransformedTargetRegressor`` or a list of those
        with the same transformation. The mean, loadings and member noise, `target_noise_`,
        `ensemble_score_` and the units of the outputs are those of the transformed values then.
        Predictions are transformed back. The law of the factors is Gaussian then.

    adaptation_ : ValueAdaptation
        Only after `adapt`: ``labels``, "kept" or "mapped"; ``slope``, ``intercept`` (n_outputs,) of
        the new y over the old; ``loss``, mean negative log-density of held-out values, in nats;
        ``coverage``, the share of held-out values in their 90 % intervals.

    scaler_ : StandardScaler
        Scaler of X.

    output_center_, output_scale_, output_spread_ : ndarray of shape (`n_outputs_`,)
        Units of the network's heads: mean and standard deviation over rows of the members' mean,
        and the members' rms spread.

    n_features_in_ : int
        Number of columns of X.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if all are strings.

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
    >>> parts = student.predict_uncertainty(X)
    >>> bool((parts.total == parts.epistemic + parts.aleatoric).all())
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        **LatentFactorStudent._parameter_constraints,
        "target_noise": [StrOptions({"auto", "input", "constant"})],
        "cv": ["cv_object"],
    }

    def __init__(
        self,
        ensemble: Any = None,
        *,
        q: int | Literal["auto"] = 10,
        loadings: Literal["full", "separable"] = "full",
        latent: Literal["auto", "gaussian", "smoothed"] = "auto",
        preprocessor: Any = "auto",
        augment: str | Callable | None = "auto",
        n_augmented: int | Literal["auto"] = "auto",
        subsample: int | None = 1_000_000,
        out_of_bag: Literal["widen", "match"] | None = "widen",
        target_noise: Literal["auto", "input", "constant"] = "auto",
        cv: Any = None,
        hidden_layer_sizes: int | Sequence[int] = (100, 100),
        activation: Literal["auto", "swish", "relu", "gelu", "silu", "tanh"] = "auto",
        body: Literal["auto", "mlp", "piecewise_linear"] | Callable | None = "auto",
        member_noise: Literal["input", "constant"] | None = "input",
        init: Literal["spectral", "mmd", "random"] = "spectral",
        em: Literal["restricted", "minibatch"] = "restricted",
        max_iter: int = 100,
        tol: float = 1e-3,
        n_epochs: int | Literal["auto"] = "auto",
        loadings_weight: float | Literal["auto"] = "auto",
        mmd_weight: float = 10.0,
        batch_size: int | Literal["auto"] = "auto",
        lr: float = 0.01,
        body_lr: float = 1.0,
        optimizer: str | Callable = "adam",
        weight_decay: float = 0.0,
        device: str | torch.device = "cpu",
        callbacks: list | None = None,
        memory: Any = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ):
        store_parameters(self, locals())

    def _learn_targets(self, members, transfer_set, random_state):
        super()._learn_targets(members, transfer_set, random_state)
        self.member_law_ = None
        if self.latent == "auto" and self.member_noise == "input":
            self.member_law_ = choose_member_law(members, transfer_set)

    def predict(
        self, X: ArrayLike, return_std: bool = False, return_cov: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Predict the mean of the members, and their standard deviation or covariance.

        If the teacher transforms y, these are moments of the members transformed back, which the
        mean of many draws of `sample_predictions` tends to. They are integrated numerically; a
        linear transformation is exact. The covariance is a Hermite series of 20 terms. If members
        are logarithms with a standard deviation of 2, that leaves out less than 1e-8 of it.

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
            Mean of the members, in units of y.

        std : ndarray of the shape of `mean`
            Standard deviation of the members, without the noise of y. Only with `return_std`.

        cov : ndarray of shape (n_samples, n_samples) or (n_samples, n_samples, n_outputs)
            Covariance of the members over rows, of each output; its diagonal is the square of
            `std`. Only with `return_cov`. The covariance over outputs at each row is ``member_cov``
            of :meth:`latent_parameters`.

        Raises
        ------
        ValueError
            If both `return_std` and `return_cov` are True.
        """
        if return_std and return_cov:
            raise ValueError(
                "return_std=True and return_cov=True were given; expected at most one of them. The "
                "diagonal of the covariance holds the squared standard deviations."
            )
        if return_std:
            return self._mean_and_std(X)
        if return_cov:
            X = self._standardised_rows(X)
            mean, cov = self._members.covariance(X)
            if self.target_transformation_ is not None:
                mean, cov = self.target_transformation_.covariance(mean, cov)
            return self._squeeze(mean), cov[..., 0] if self.n_outputs_ == 1 else cov
        return predict_in_parts(self, X, self._mean)
