"""DLFClassifier: the student of an ensemble of classifiers."""

from __future__ import annotations

import numbers
from typing import ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval

from .._fitting.calibration import N_ROWS, calibrate, said_by_ensemble
from .._fitting.objectives import AveragedProbabilities
from .._predictive.averaged_probabilities import average_probabilities
from .._utils.blocks import row_blocks
from .base import DRAW_ROWS
from .classifier_mixin import BaseClassifierStudent
from .latent_factor import BaseDLF

# Weight of the regression on logits in the refinement, against the cross-entropies in nats: without
# it the spread is lost where probabilities hardly tell of it. It is less where the squared error of
# the mean after EM would cost more than these nats: such logits cannot be fitted, but probabilities
# can.
ANCHOR = 0.3
ANCHOR_NATS = 0.005


class DLFClassifier(BaseClassifierStudent, BaseDLF):
    """Small network that predicts as an ensemble of classifiers does, its uncertainty included.

    The members' logits are taken as draws of a Gaussian process whose mean and factor loadings are
    heads of one student network, the deep latent factor model [1]_:
    ``f_i(x) = mean(x) + loadings(x) z_i + e_i(x)`` with standard normal ``z_i`` (q,) and
    ``e_i(x) ~ N(0, member_std(x)^2)``; the member's probabilities are ``softmax(f_i(x))``. Two
    classes have one output, the log-odds of the second; more have logits centred over classes.
    It is fitted by restricted EM on the members' contrasts. X is standardised inside.

    Probabilities are averaged over 100 fixed draws of members, so that they are the same in every
    call. On the digits they are off the average over 100,000 random draws by a thousandth (rms) and
    by about a hundredth at most (``benchmarks/averaging.py``).

    Parameters
    ----------
    ensemble : ensemble, list of fitted classifiers or FittedEnsemble, default=None
        Teacher. A fitted one is asked; an unfitted one is cloned and fitted to X and y first. With
        None, `fit` is given a teacher, or trains a
        :class:`~sklearn_dlf.ensembles.DeepEnsembleClassifier`. Wrap a fitted one in
        :class:`~sklearn_dlf.ensembles.FittedEnsemble` where it has to survive
        :func:`~sklearn.base.clone`, as in a grid search.

    q : int or "auto", default=10
        Number of latent factors. Clipped, with a warning, to what the members can tell apart.
        "auto" takes the number under which held-out members are likeliest at the design points,
        in closed form before any network is trained.

    loadings : {"full", "separable"}, default="full"
        How several classes depend on the factors. "full": each has q loadings of its own.
        "separable", the model of [1]_: all have the same q loadings, and a matrix mixes them in
        the same way everywhere; members deviate from the mean by ``mixing Z loadings(x)`` with
        standard normal ``Z`` (n_classes, q). Both are one for two classes. "separable" is not
        known with ``em="minibatch"``, ``init="mmd"`` or ``q="auto"``.

    augment : {"auto", "neighbors", "reach", "mixup"}, callable or None, default="auto"
        How further design points are made, at which the ensemble is asked too: four for each row,
        at most 20,000. "neighbors" swaps about half of a row's columns with one of its ten nearest
        neighbours (as MUNGE does, without its noise); "reach" does so for half of the rows, and
        lets neighbours of the others lie farther, at ranks up to all of the rows; "mixup" takes a
        point on the line to one of the ten; a callable takes X, a number of rows and a RandomState,
        and returns rows (it is asked twice, as `refine` wants further ones). "auto" stands for
        "reach" where the ensemble can be asked about rows like those of X ("mixup" for a single
        column), and for None with `predictions` or `X_ensemble`.

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
        Most iterations of EM, beside the forty rounds of training of `refine`.

    tol : float, default=1e-3
        Least gain of an iteration in restricted log-likelihood, in nats per entry. After two
        iterations without it (and without 5 % off the squared error of the mean) the learning rate
        is halved; at an eighth of `lr` (without `refine`: a fiftieth), EM has converged.

    n_epochs : int or "auto", default="auto"
        Epochs of one M-step; "auto" makes about 250 optimiser steps, and at least one epoch.

    probability_floor : float, default=1e-6
        Members' smaller probabilities are lifted to it before logs are taken: trees say zero, and
        networks next to nothing.

    refine : bool, default=True
        Whether the student is trained, after EM, by the cross-entropy of its averaged and its
        members' probabilities with the ensemble's too. Not with ``em="minibatch"``. In the end
        two factors are found, at up to 2,000 further rows that are made near those of `fit` and not
        learnt (at the design points, where `augment` makes none, or columns are so discrete that
        there are none): a temperature of all logits, under which averaged probabilities are nearest
        to the ensemble's; and a factor of the spread that brings its mean mutual information to the
        ensemble's, as far as the averages allow. Rows of the calibration count equally.

    loadings_weight : float or "auto", default="auto"
        Weight of the loadings' error, in units of the members' mean variance, against the mean's,
        in units of its variance over rows. "auto" is three times what the members' likelihood
        gives it, their mean variance over the mean's over rows, within 0.003 and 0.03.

    mmd_weight : float, default=10.0
        Weight of the penalty of ``init="mmd"``.

    batch_size : int or "auto", default="auto"
        Rows of a step; "auto" is the power of two nearest to the root of their number, within 32
        and 512.

    lr : float, default=0.01
        First learning rate.

    optimizer : {"adam", "adamw", "sgd"} or callable, default="adamw"
        Optimiser, or a class or callable as skorch takes it. With ``refine=False``, "adam" ends as
        in :class:`DLFRegressor`.

    weight_decay : float, default=0.1
        Of the optimiser; under `refine` only in a student with more than half as many parameters
        as there are design points.

    device : str or torch.device, default="cpu"
        Where the student is trained and asked, as torch has it. Pickles load without it.

    callbacks : list, default=None
        Further callbacks of skorch for the training of the student, which works on copies of them.
        There is no validation loss to monitor; ``EarlyStopping("train_loss")`` ends one M-step,
        not the fit.

    memory : str or joblib.Memory, default=None
        Folder or memory where fits of an unfitted ensemble and its answers are kept, and answers of
        a fitted one, so that a grid over the student's parameters has them once a fold and not once
        a candidate; but for `augment`, `refine` and `em`, which change the rows that it is asked
        about. Fits are kept only where `random_state` is an integer, or the ensemble has one
        of its own, and answers at rows made by `augment` only where it is; draws of a posterior are
        not kept. Functions and classes are known by module and name, not by what they do: nothing
        is kept of an ensemble that holds some of `__main__`, such as a notebook's; clear the memory
        where a module's have changed.

    random_state : int, RandomState instance or None, default=None
        Determines the start, the order of rows, those made by `augment`, and the fit of an unfitted
        ensemble.

    verbose : int, default=0
        1 prints a line an EM iteration and a round of refinement, 2 also skorch's line an epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, in the order of the columns of the probabilities: the ensemble's.

    student_ : nn.Module
        The network, in training units.

    q_ : int
        Latent factors used.

    q_scores_ : ndarray of shape (n_q,)
        Log-likelihood of held-out members with 0, 1, ... factors free at the design points, nats
        per entry, outputs in units of the members' rms spread. None unless ``q="auto"``; empty
        with two members.

    n_members_ : int
        Of the ensemble.

    n_outputs_ : int
        Latent outputs: 1 for two classes, else the number of classes.

    n_iter_ : int
        Iterations of EM.

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

    ensemble_score_ : float
        Accuracy of the teacher at the rows of `fit`. None without y.

    scaler_ : StandardScaler
        Of X.

    output_center_, output_scale_, output_spread_ : ndarray of shape (`n_outputs_`,)
        Units of the student's heads: mean and standard deviation over rows of the ensemble's mean
        logits, and the members' rms spread.

    n_features_in_ : int
        Columns of X.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where all are strings.

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
        **BaseDLF._parameter_constraints,
        "refine": ["boolean"],
        "probability_floor": [Interval(numbers.Real, 0, 0.5, closed="neither")],
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
        probability_floor=1e-6,
        refine=True,
        loadings_weight="auto",
        mmd_weight=10.0,
        batch_size="auto",
        lr=0.01,
        optimizer="adamw",
        weight_decay=0.1,
        device="cpu",
        callbacks=None,
        memory=None,
        random_state=None,
        verbose=0,
    ):
        super().__init__(
            ensemble,
            q=q,
            loadings=loadings,
            augment=augment,
            out_of_bag=out_of_bag,
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            body=body,
            member_noise=member_noise,
            init=init,
            em=em,
            max_iter=max_iter,
            tol=tol,
            n_epochs=n_epochs,
            loadings_weight=loadings_weight,
            mmd_weight=mmd_weight,
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
        self.probability_floor = probability_floor
        self.refine = refine

    @property
    def _is_refined(self):
        """Whether probabilities are learnt beside logits."""
        return self.refine and self.em == "restricted"

    @property
    def _n_calibration(self):
        return N_ROWS if self._is_refined else 0

    def _learn(self, X, contrasts, observer, random_state):
        """Student fitted by EM, in the end scaled to what the ensemble says of classes."""
        design = X[: observer.n_design]
        student = super()._learn(design, contrasts, observer, random_state)
        if self._is_refined:
            calibrate(student, said_by_ensemble(X, observer, contrasts, random_state), contrasts)
        return student

    def _refinement(self, contrasts, observer):
        """Train on by probabilities, so that they do not only follow from logits."""
        if not self._is_refined:
            return None

        def refinement(regression, mean_error):
            units = contrasts.center, contrasts.scale, contrasts.spread
            anchor = min(ANCHOR, ANCHOR_NATS / mean_error**2) if mean_error else ANCHOR
            objective = AveragedProbabilities(regression, anchor, *units)
            return objective, (observer.probabilities[: observer.n_design],)

        return refinement

    def _average(self, X, with_entropy=False):
        """Averaged probabilities, and entropies of the members' own, from validated rows."""
        probabilities = np.empty((len(X), len(self.classes_)))
        entropy = np.empty(len(X)) if with_entropy else None
        for rows in row_blocks(len(X), DRAW_ROWS):
            heads = self._student_for(X[rows]).evaluate(X[rows])
            probabilities[rows], part = average_probabilities(
                heads, *self._units, with_entropy=with_entropy
            )
            if entropy is not None:
                entropy[rows] = part
        return probabilities, entropy
