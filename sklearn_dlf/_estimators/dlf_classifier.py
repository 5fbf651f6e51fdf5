"""DLFClassifier: a latent factor model as the student of an ensemble of classifiers."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions

from .._utils.parameters import Count, store_parameters
from .adapt_mixin import ClassifierAdaptMixin
from .latent_factor import LatentFactorStudent


class DLFClassifier(ClassifierAdaptMixin, LatentFactorStudent):
    """Small network that predicts as an ensemble of classifiers does, with its uncertainty.

    The members' logits are taken as draws from a Gaussian process. Its mean and factor loadings are
    heads of one network: the deep latent factor model [1]_,
    ``f_i(x) = mean(x) + loadings(x) z_i + e_i(x)`` with standard normal ``z_i`` (q,) and
    ``e_i(x) ~ N(0, member_std(x)^2)``. The member's probabilities are ``softmax(f_i(x))``. Two
    classes have one output, the log-odds of the second. More classes have logits centred over
    classes. The noise of more classes is correlated at a row, unless that would cost spread, and
    independent from row to row. The model is fitted by restricted EM to the members' contrasts. X
    is standardised inside.

    Probabilities of three or more classes are averaged over 100 fixed draws of members, so that
    they are the same in every call. For two classes they are a sum over a line, nearly without
    error. On the digits their error against the average over 100,000 random draws is a thousandth
    (rms), and about a hundredth at most (``benchmarks/averaging.py``).

    Parameters
    ----------
    ensemble : ensemble, list of fitted classifiers or FittedEnsemble, default=None
        Teacher. A fitted ensemble is evaluated; an unfitted one is cloned and fitted to X and y
        first. With None, `fit` is given a teacher, or it trains a
        :class:`~sklearn_dlf.ensembles.DeepEnsembleClassifier`. Wrap a fitted ensemble in
        :class:`~sklearn_dlf.ensembles.FittedEnsemble` if it has to survive
        :func:`~sklearn.base.clone`, as in a grid search.

    q : int or "auto", default=10
        Number of latent factors. It is reduced to what the members can tell apart, with a warning
        unless it is the default. "auto" takes the number under which held-out members are likeliest
        at the design points, in closed form before any network is trained.

    loadings : {"full", "separable"}, default="full"
        How several classes depend on the factors. "full": each class has q loadings of its own.
        "separable", the model of [1]_: all classes share q loadings, and one matrix mixes them at
        every row; members deviate from the mean by ``mixing Z loadings(x)`` with standard normal
        ``Z`` (n_classes, q). For two classes both are the same. "separable" is not available with
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
        "far_neighbors", for members that are step functions "far_neighbors+local" (steps of trees
        lie between the values of the data), if near neighbours make rows like the data, by the
        members' spread of logits and by distance; otherwise the first of "column_groups", "local"
        and "near_neighbors" that does, or None. A choice of your own that does not gives a warning.
        For a single column, "auto" is "mixup" or None; with `predictions`, or an array as
        `X_ensemble`, it is None. Fewer than 50 rows are not judged.

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

    max_iter : int or "auto", default="auto"
        Largest number of iterations of EM, not counting the rounds of `refine`. "auto" is 100. With
        a callable `body` and `refine` it is 10, which is the planned length: EM need not converge.

    tol : float, default=1e-3
        Smallest gain of an iteration in restricted log-likelihood, in nats per entry. After two
        iterations with less (and less than 5 % off the squared error of the mean) the learning rate
        is halved. EM has converged at an eighth of `lr`; without `refine` below a fiftieth, and
        with plain layers the learning rate is then multiplied by 0.7 after one such iteration.

    n_epochs : int or "auto", default="auto"
        Epochs of one M-step. "auto" makes about 250 optimiser steps (400 with an encoding of the
        columns, 50 with a callable `body`), and at least one epoch.

    probability_floor : float, default=1e-6
        Members' smaller probabilities are lifted to it before logarithms are taken. Trees predict
        zeros, and networks numbers next to zero. It does not apply to logits, be they `predictions`
        or those of a ``FittedEnsemble(models, outputs="logits")``.

    refine : bool or int, default=True
        Rounds in which the network is trained on, after EM, by the cross-entropy of its averaged
        and its members' probabilities with the ensemble's; not with ``em="minibatch"``. True is 40
        rounds, or 12 with a callable `body`. The integer 1 is one round. In the end the student is
        calibrated by two numbers between 0.5 and 2. One multiplies all logits, so that averaged
        probabilities are nearest to the ensemble's. The other multiplies the spread, so that the
        mean mutual information is the ensemble's, as far as the averages allow. They are found at
        up to 2,000 further rows, made near those of `fit`, from which the student does not learn,
        or at the design points if `augment` makes none or columns are so discrete that there are
        none. Calibration rows count equally. The logit of each class is shifted besides, by at most
        1 nat, so that the mean probability of the class over these rows and the design points that
        are not rows of `fit` is the ensemble's.

    early_stopping : int, default=None
        Number of rounds of `refine` without a lower cross-entropy at the calibration rows, after
        which it ends. The network of the best round is kept. None for all rounds, and the last. It
        needs calibration rows, and so an `augment` that makes rows.

    loadings_weight : float or "auto", default="auto"
        Weight of the loadings' error, in units of the members' mean variance, against the mean's,
        in units of its variance over rows. "auto" is three times the weight in the members'
        likelihood, the ratio of these two variances, within 0.003 and 0.03.

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

    optimizer : {"adam", "adamw", "sgd"} or callable, default="adamw"
        Optimiser, or a class or callable as skorch takes it. With ``refine=False``, training by
        "adam" ends as in :class:`DLFRegressor`.

    weight_decay : float, default=0.1
        Weight decay of the optimiser. Under `refine` it is kept only in a network with more than
        half as many parameters as there are design points.

    device : str or torch.device, default="cpu"
        Where the network is trained and evaluated, as in torch. Pickles load without that device.

    callbacks : list, default=None
        Further callbacks of skorch; training uses copies of them. There is no validation loss to
        monitor. ``EarlyStopping("train_loss")`` ends one M-step, not the fit. With
        :class:`~sklearn_dlf.callbacks.FitCheckpoint`, an interrupted fit goes on.

    memory : str or joblib.Memory, default=None
        Folder or memory where fits of an unfitted ensemble and predictions of an ensemble are kept,
        so that a grid over the student's parameters computes them once a fold and not once a
        candidate, except for `augment`, `hidden_layer_sizes`, `refine` and `em`, which change the
        rows at which it is evaluated. Fits are kept only if `random_state` is an integer or the
        ensemble has a seed of its own, and predictions at made rows only if `random_state` is an
        integer. Draws from a posterior that are made anew in each call are not kept. Networks of
        torch are known by their weights.
        Functions and classes of your own modules are known by their code and what it reads, but
        files that they read are not looked at; those of installed packages by name and version.
        Nothing is kept of an ensemble that holds some of `__main__`, such as a notebook's.

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
        1 prints a line for each iteration of EM and each round of refinement, with the time left of
        the latter, 2 also skorch's line for each epoch.

    Attributes
    ----------
    augment_ : str, callable or None
        How further design points were made: what "auto" chose, or `augment`.

    classes_ : ndarray of shape (n_classes,)
        Sorted labels of the ensemble: the order of the columns of the probabilities.

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

    n_members_, n_rows_used_ : int
        Numbers of members, and of the rows of X that were used: all, or `subsample`.

    n_outputs_ : int
        Number of latent outputs: 1 for two classes, else the number of classes.

    n_iter_ : int
        Iterations of EM.

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

    ensemble_score_ : float
        Accuracy of the teacher at the rows of `fit`. None without y.

    adaptation_ : ClassAdaptation
        Only of a student that `adapt` has made: ``labels``, "kept" or "mapped"; ``label_map``
        (n_old_classes, n_classes), the probability of each new label in each old class; ``head``,
        None if there is none; ``loss``, the mean cross-entropy of held-out labels, in nats.

    scaler_ : StandardScaler
        Scaler of X.

    output_center_, output_scale_, output_spread_ : ndarray of shape (`n_outputs_`,)
        Units of the network's heads: mean and standard deviation over rows of the members' mean
        logits, and the members' rms spread.

    n_features_in_ : int
        Number of columns of X.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if all are strings.

    See Also
    --------
    DLFRegressor : The same for regression.
    sklearn_dlf.ensembles.FittedEnsemble : A teacher that survives clone.

    References
    ----------
    .. [1] Park, Lee, Ohn, Shin, Kim. "Knowledge Distillation of Uncertainty using Deep Latent
       Factor Model". NeurIPS 2025, arXiv:2510.19290.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn_dlf import DLFClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(30, random_state=0).fit(X, y)
    >>> student = DLFClassifier(q=3, n_epochs=5, random_state=0).fit(X, y, ensemble=forest)
    >>> student.predict_proba(X).shape, student.sample_predictions(X, 7).shape
    ((150, 3), (150, 3, 7))
    >>> student.predict_uncertainty(X).epistemic.shape
    (150,)
    """

    _parameter_constraints: ClassVar[dict] = {
        **LatentFactorStudent._parameter_constraints,
        "max_iter": [StrOptions({"auto"}), Count()],
        "refine": ["boolean", Count()],
        "early_stopping": [Count(), None],
        "probability_floor": [Interval(numbers.Real, 0, 0.5, closed="neither")],
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
        hidden_layer_sizes: int | Sequence[int] = (100, 100),
        activation: Literal["auto", "swish", "relu", "gelu", "silu", "tanh"] = "auto",
        body: Literal["auto", "mlp", "piecewise_linear"] | Callable | None = "auto",
        member_noise: Literal["input", "constant"] | None = "input",
        init: Literal["spectral", "mmd", "random"] = "spectral",
        em: Literal["restricted", "minibatch"] = "restricted",
        max_iter: int | Literal["auto"] = "auto",
        tol: float = 1e-3,
        n_epochs: int | Literal["auto"] = "auto",
        probability_floor: float = 1e-6,
        refine: bool | int = True,
        early_stopping: int | None = None,
        loadings_weight: float | Literal["auto"] = "auto",
        mmd_weight: float = 10.0,
        batch_size: int | Literal["auto"] = "auto",
        lr: float = 0.01,
        body_lr: float = 1.0,
        optimizer: str | Callable = "adamw",
        weight_decay: float = 0.1,
        device: str | torch.device = "cpu",
        callbacks: list | None = None,
        memory: Any = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ):
        store_parameters(self, locals())
