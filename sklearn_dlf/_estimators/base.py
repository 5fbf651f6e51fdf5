"""What all students share: rows and members in, a small fitted object out."""

from __future__ import annotations

import copy
import numbers
import warnings
from typing import ClassVar

import numpy as np
from scipy.linalg.blas import ddot
from sklearn.base import BaseEstimator
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import (
    _check_sample_weight,
    _num_samples,
    check_is_fitted,
    validate_data,
)

from .._fitting.trainer import OPTIMIZERS, Trainer
from .._network.bodies import ACTIVATIONS, check_body, make_mlp
from .._transfer.cache import TeacherMemory
from .._transfer.contrasts import Contrasts
from .._transfer.design_points import AUGMENTATIONS, design_points
from .._transfer.out_of_bag import watch_matched, watch_widened
from .._transfer.teachers import (
    MAX_SEED,
    AskedEnsemble,
    GivenPredictions,
    check_kind,
    check_list_is_whole,
    seed_ensemble,
)
from ..ensembles import is_fitted_ensemble
from ..ensembles._member_models import kind_of
from .._utils.parameters import Count, Device, LayerSizes, layer_sizes

# Rows of which draws are made at a time.
DRAW_ROWS = 2**13

# Up to so many rows are asked in float64: it costs little there, and what is said of a row does not
# depend on the rows it is asked with. Draws, which promise that for any number of rows, always are.
EXACT_ROWS = 2**8

# Rows are refused from so many standard deviations on: sums over units would leave float32.
MAX_DISTANCE = 1e30

# A spread below this, in units of the ensemble's mean over rows, is hardly one.
LITTLE_SPREAD = 1e-3


class BaseDistiller(BaseEstimator):
    """Rows and teacher in, a small fitted object out; what is learnt is the subclass's business."""

    # Of `validate_data`.
    _y_options: ClassVar[dict] = {"multi_output": True, "y_numeric": True}

    # What augment="auto" stands for.
    _automatic_augment = "neighbors"

    _parameter_constraints: ClassVar[dict] = {
        "ensemble": "no_validation",
        "augment": [StrOptions({"auto", *AUGMENTATIONS}), callable, None],
        "out_of_bag": [StrOptions({"spread", "members"}), None],
        "hidden_layer_sizes": [LayerSizes()],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "max_iter": [Count()],
        "n_epochs": [StrOptions({"auto"}), Count()],
        "batch_size": [StrOptions({"auto"}), Count()],
        "lr": [Interval(numbers.Real, 0, None, closed="neither")],
        "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
        "weight_decay": [Interval(numbers.Real, 0, None, closed="left")],
        "device": [Device()],
        "callbacks": [list, None],
        "memory": [str, HasMethods("cache"), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        ensemble=None,
        *,
        augment="auto",
        out_of_bag="spread",
        hidden_layer_sizes=(100, 100),
        activation="swish",
        max_iter=100,
        n_epochs="auto",
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
        self.ensemble = ensemble
        self.augment = augment
        self.out_of_bag = out_of_bag
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.max_iter = max_iter
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.device = device
        self.callbacks = callbacks
        self.memory = memory
        self.random_state = random_state
        self.verbose = verbose

    def _distil(
        self,
        X,
        y,
        *,
        ensemble,
        predictions,
        X_ensemble,
        X_unlabeled,
        sample_weight,
        **observer_options,
    ):
        """Fit to an ensemble or its predictions; the student is set last."""
        self.__dict__.pop("student_", None)  # a fit that fails leaves none
        random_state = check_random_state(self.random_state)
        rows = X if X_ensemble is None else X_ensemble
        X, y = self._check_rows(X, y, rows)
        if X_unlabeled is not None:
            X_unlabeled = validate_data(self, X_unlabeled, dtype=np.float64, reset=False)
        weights = sample_weight
        if weights is not None:
            weights = _check_sample_weight(weights, X, dtype=np.float64, ensure_non_negative=True)
        teacher = self._find_teacher(ensemble, predictions, rows, y, weights, random_state)
        points = design_points(
            X,
            weights,
            teacher,
            augment=self.augment,
            automatic=self._automatic_augment,
            unlabeled=X_unlabeled,
            transformed=X_ensemble is not None,
            n_calibration=self._n_calibration,
            random_state=random_state,
        )
        n_design = len(points) - teacher.n_calibration
        observer = self._observer(teacher, y, weights, **observer_options)
        blocks = teacher.blocks() if observer is None else observer.watch(teacher.blocks())
        if self.out_of_bag == "members":
            blocks = watch_matched(blocks, _check_unseen(teacher))
        elif self.out_of_bag == "spread":
            blocks = watch_widened(blocks, teacher.unseen, weights)
        outputs = self._gather(blocks, n_design, _extend_weights(weights, n_design))
        scaler = StandardScaler().fit(X, sample_weight=weights)
        standardised = _standardise(scaler, points).astype(np.float32)
        student = self._learn(standardised, outputs, observer, random_state)
        self.scaler_ = scaler
        self._keep_units(outputs)
        self._keep_observed(observer)
        self._has_rows_of_its_own = X_ensemble is not None
        self.student_ = student.eval().requires_grad_(False)
        return self

    @property
    def _n_calibration(self):
        """Most rows to ask the ensemble about from which the student does not learn."""
        return 0

    def _gather(self, blocks, n_samples, weights):
        """What the student is to learn of the members' outputs."""
        contrasts = Contrasts(blocks, n_samples, weights)
        self._check_spread(contrasts)
        return contrasts

    def _learn(self, X, outputs, observer, random_state):
        """Trained student, from standardised float32 rows and what was gathered and observed.

        What was gathered is of the design points, the first of these rows.
        """
        raise NotImplementedError

    def _keep_observed(self, observer):
        """Set the fitted attributes that come from what the face observed of the members."""
        raise NotImplementedError

    def _draw_latent(self, X, n_samples, random_state, extra_variance=0.0):
        """Draws of members' outputs (n, n_outputs, n_samples), from validated rows.

        ``extra_variance`` (n_outputs, n_samples) is that of independent noise on top.
        """
        raise NotImplementedError

    def _make_body(self, n_features):
        """Untrained layers of features, the user's own where there are any."""
        make_body = getattr(self, "body", None)
        if make_body is not None:
            return check_body(make_body(n_features))
        return make_mlp(n_features, layer_sizes(self.hidden_layer_sizes), self.activation)

    def _make_trainer(self, student, X, weights, random_state):
        """Trainer of a student at standardised rows."""
        return Trainer(
            student,
            X,
            weights,
            n_epochs=self.n_epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            optimizer=self.optimizer,
            weight_decay=self.weight_decay,
            device=self.device,
            callbacks=self.callbacks,
            verbose=self.verbose > 1,
            seed=random_state.randint(MAX_SEED),
            plain_layers=getattr(self, "body", None) is None,
        )

    def _check_rows(self, X, y, rows):
        """Validated X and y, and as many rows for the ensemble."""
        if y is None:
            X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        else:
            X, y = validate_data(
                self,
                X,
                y,
                dtype=np.float64,
                ensure_min_samples=2,
                **self._y_options,
            )
        n_rows = _num_samples(rows)
        if n_rows != len(X):
            raise ValueError(
                f"X_ensemble must have the rows of X, as the ensemble wants them; got {n_rows} "
                f"rows and expected {len(X)}."
            )
        return X, y

    def _find_teacher(self, ensemble, predictions, rows, y, sample_weight, random_state):
        """Teacher of given predictions, of a fitted ensemble, or of one fitted here."""
        if ensemble is None:
            ensemble = self.ensemble
        if predictions is not None:
            if ensemble is not None:
                raise ValueError(
                    "Both an ensemble and predictions were given; expected one of them. The "
                    "ensemble may come from fit or from the constructor."
                )
            return GivenPredictions(predictions, _num_samples(rows))
        memory = TeacherMemory(self.memory)
        if ensemble is None or not is_fitted_ensemble(ensemble):
            if y is None:
                raise ValueError(
                    f"{type(self).__name__} requires y to be passed, but the target y is None: "
                    "neither predictions nor a fitted ensemble was given, and without y none can "
                    "be trained."
                )
            prototype = self._default_ensemble() if ensemble is None else ensemble
            check_kind(self._kind, kind_of(prototype), type(prototype).__name__)
            prototype, seeds = seed_ensemble(prototype, random_state)
            repeatable = not seeds or isinstance(self.random_state, numbers.Integral)
            facts, ask = memory.fit(prototype, rows, y, sample_weight, repeatable)
        else:
            check_list_is_whole(ensemble, _num_samples(rows))
            facts, ask = memory.know(ensemble, rows)
        return AskedEnsemble(facts, ask, rows, self._kind)

    def _check_spread(self, contrasts):
        """Warn where members do not differ, or hardly so."""
        n_outputs = len(contrasts.spread)
        n_agree = np.count_nonzero(contrasts.spread == 0)
        share = contrasts.spread / contrasts.scale
        if n_agree:
            what = (
                f"All members agree at all design points in {n_agree} of {n_outputs} outputs, so "
                "that the student's spread is zero there."
            )
        elif share.min() < LITTLE_SPREAD:
            what = (
                "The members hardly differ at the design points: their spread is "
                f"{share.min():.1g} of the standard deviation of their mean over rows."
            )
        else:
            return
        warnings.warn(
            f"{what} Members that interpolate their training rows differ only elsewhere: give rows "
            "they were not trained on by X_unlabeled, or have rows made by augment='neighbors'; "
            "both need an ensemble that can be asked. With predictions, give such rows in X.",
            UserWarning,
            stacklevel=6,
        )

    def _keep_units(self, contrasts):
        """Set the fitted attributes that come from the ensemble's outputs."""
        self.output_center_ = contrasts.center
        self.output_scale_ = contrasts.scale
        self.output_spread_ = contrasts.spread
        _, self.n_outputs_, self.n_members_ = contrasts.shape

    def __sklearn_is_fitted__(self):
        return hasattr(self, "student_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False
        tags.target_tags.multi_output = True
        return tags

    def __getstate__(self):
        """State with the student on the CPU, so that it loads where there is no accelerator."""
        state = super().__getstate__()
        if "student_" in state:
            state = {**state, "student_": copy.deepcopy(state["student_"]).cpu()}
        return state

    def _rows_for_student(self, X):
        """Validated and standardised rows, (n, n_features)."""
        check_is_fitted(self)
        return _standardise(self.scaler_, validate_data(self, X, dtype=np.float64, reset=False))

    def _student_for(self, X, exact=False):
        """Student in float64 for few rows or where asked, as it was trained for many."""
        return self.student_.frozen(exact or len(X) <= EXACT_ROWS)


def _check_unseen(teacher):
    """Rows that each member did not see."""
    if teacher.unseen is None:
        raise ValueError(
            "out_of_bag='members' needs an ensemble that knows which rows its members did not see, "
            "and the rows of its own fit as X: bagging, forests with bootstrap=True, deep "
            "ensembles. Of this teacher it is not known, or its members have seen all rows; leave "
            "it out."
        )
    return teacher.unseen


def _extend_weights(weights, n_points):
    """Weights of all design points: those added have the mean weight."""
    if weights is None:
        return None
    return np.concatenate([weights, np.full(n_points - len(weights), weights.mean())])


def _standardise(scaler, X):
    """Rows as the student sees them; ``scaler.transform`` without validating them again."""
    standardised = X - scaler.mean_
    standardised /= scaler.scale_
    entries = standardised.ravel(order="K")
    # Their squared length takes less time to find than the largest, and may be infinite.
    if ddot(entries, entries) > MAX_DISTANCE**2:
        largest = np.abs(entries).max()
        if largest > MAX_DISTANCE:
            raise ValueError(
                f"X must lie within {MAX_DISTANCE:g} standard deviations of the rows of fit, as "
                f"the student computes in float32; got a value {largest:.3g} away."
            )
    return standardised


def check_count(n_samples):
    """Number of draws."""
    if isinstance(n_samples, bool):
        raise TypeError(f"n_samples must be an instance of int, not bool; got {n_samples}.")
    return check_scalar(n_samples, "n_samples", numbers.Integral, min_val=1)
