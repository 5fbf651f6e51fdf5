"""DLFRegressor: a latent factor model as the student of an ensemble of regressors."""

from __future__ import annotations

import numpy as np
from sklearn.utils import Bunch

from .._latent.deviations import factor_covariance
from .latent_factor import BaseDLF
from .regressor_mixin import BaseRegressorStudent


class DLFRegressor(BaseRegressorStudent, BaseDLF):
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

    loadings : {"full", "separable"}, default="full"
        How several outputs depend on the factors. "full": each has q loadings of its own.
        "separable", the model of [1]_: all have the same q loadings, and a matrix mixes them in
        the same way everywhere; members deviate from the mean by ``mixing Z loadings(x)`` with
        standard normal ``Z`` (n_outputs, q). Both are one for one output. "separable" is not
        known with ``em="minibatch"``, ``init="mmd"`` or ``q="auto"``.

    augment : {"auto", "neighbors", "reach", "mixup"}, callable or None, default="auto"
        How further design points are made, at which the ensemble is asked too: four for each row,
        at most 20,000. "neighbors" swaps about half of a row's columns with one of its ten nearest
        neighbours (as MUNGE does, without its noise); "reach" does so for half of the rows, and
        lets neighbours of the others lie farther, at ranks up to all of the rows; "mixup" takes a
        point on the line to one of the ten; a callable takes X, a number of rows and a RandomState,
        and returns rows. "auto" stands for "neighbors" where the ensemble can be asked about rows
        like those of X ("mixup" for a single column), and for None with `predictions` or
        `X_ensemble`.

    out_of_bag : {"spread", "members"} or None, default="spread"
        What to make of rows that members were fitted to, where they differ less than on fresh ones.
        "spread": their deviations from their mean are widened there by one factor an output, to the
        spread of members that did not see the row; nothing is done where these are not known.
        "members": outputs are moved to mean and spread of the members that did not see the row,
        where these are five or more. None: outputs are taken as they are. Known for bagging,
        forests and deep ensembles, with the rows of their fit as X.

    hidden_layer_sizes : array-like of int, default=(100, 100)
        Units of the student's hidden layers. Ignored with `body`.

    activation : {"swish", "relu", "gelu", "silu", "tanh"}, default="swish"
        Of the hidden layers: "swish" is ``x sigmoid(5 x)``, a "relu" without its kink. Ignored with
        `body`.

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
        Most iterations of EM, beside the last four by L-BFGS (see `optimizer`).

    tol : float, default=1e-3
        Least gain of an iteration in restricted log-likelihood, in nats per entry. After two
        iterations without it (and without 5 % off the squared error of the mean) the learning rate
        is halved; at a fiftieth of `lr`, EM has converged.

    n_epochs : int or "auto", default="auto"
        Epochs of one M-step; "auto" makes about 250 optimiser steps, and at least one epoch.

    loadings_weight : float or "auto", default="auto"
        Weight of the loadings' error, in units of the members' mean variance, against the mean's,
        in units of its variance over rows. "auto" is three times what the members' likelihood
        gives it, their mean variance over the mean's over rows, within 0.003 and 0.03. A third of
        the weight is left where training ends by L-BFGS (see `optimizer`).

    mmd_weight : float, default=10.0
        Weight of the penalty of ``init="mmd"``.

    batch_size : int or "auto", default="auto"
        Rows of a step; "auto" is the power of two nearest to the root of their number, within 32
        and 512.

    lr : float, default=0.01
        First learning rate.

    optimizer : {"adam", "adamw", "sgd"} or callable, default="adam"
        Optimiser, or a class or callable as skorch takes it. With "adam", no weight decay and no
        body of the user's, training ends by L-BFGS over all design points at once, where there are
        two or more for each parameter of the network, at most 32,768, and at most 2^28 products of
        a row and a parameter.

    weight_decay : float, default=0.0
        Of the optimiser.

    device : str or torch.device, default="cpu"
        Where the student is trained and asked, as torch has it. Pickles load without it.

    callbacks : list, default=None
        Further callbacks of skorch for the training of the student, which works on copies of them.
        There is no validation loss to monitor; ``EarlyStopping("train_loss")`` ends one M-step,
        not the fit.

    memory : str or joblib.Memory, default=None
        Folder or memory where fits of an unfitted ensemble and its answers are kept, and answers of
        a fitted one, so that a grid over the student's parameters has them once a fold and not once
        a candidate. Fits are kept only where `random_state` is an integer, or the ensemble has one
        of its own, and answers at rows made by `augment` only where it is; draws of a posterior are
        not kept. Functions and classes are known by module and name, not by what they do: nothing
        is kept of an ensemble that holds some of `__main__`, such as a notebook's; clear the memory
        where a module's have changed.

    random_state : int, RandomState instance or None, default=None
        Determines the start, the order of rows, those made by `augment`, and the fit of an unfitted
        ensemble.

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
        Iterations of EM, the last ones by L-BFGS among them.

    converged_ : bool
        Whether EM stopped before `max_iter`.

    log_likelihoods_ : ndarray of shape (`n_iter_`,)
        Restricted log-likelihood of the members at the design points under constant noise, nats per
        entry and degree of freedom, outputs in units of the members' rms spread.

    log_likelihood_bound_ : float
        The largest that any loadings reach there (probabilistic PCA). If separable, what EM comes
        to with loadings that are free at every row.

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

    output_center_, output_scale_, output_spread_ : ndarray of shape (`n_outputs_`,)
        Units of the student's heads: mean and standard deviation over rows of the ensemble's mean,
        and the members' rms spread.

    n_features_in_ : int
        Columns of X.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
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
        if return_std:
            moments = self._moments(X)
            return self._squeeze(moments.mean), self._squeeze(np.sqrt(moments.variance))
        heads = self._latent_heads(X)
        cov = factor_covariance(heads.loadings, heads.mixing)
        diagonal = np.arange(len(X))
        cov[diagonal, diagonal] += heads.member_variance
        return self._squeeze(heads.mean), cov[..., 0] if self.n_outputs_ == 1 else cov

    def _moments(self, X):
        center, scale, spread = self._units
        mean, variance = self._student_for(X).evaluate_moments(X)
        return Bunch(mean=center + scale * mean, variance=spread**2 * variance)
