"""What both deep ensembles share."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from ..._utils.blocks import row_blocks
from .training import (
    ACTIVATIONS,
    Layer,
    bootstrap_rows,
    forward,
    held_out_in_turn,
    init_layers,
    rows_at_once,
    share_data,
    train,
)

# An "auto" batch makes about 32 steps an epoch: the smaller the data, the more epochs would be
# needed with larger batches. Fewer than 32 rows double the time for the same errors; at 64 rows
# products are as fast as they get, and more rows only need more epochs.
_STEPS_AN_EPOCH, _FEWEST_BATCH_ROWS, _MOST_BATCH_ROWS = 32, 32, 64


class BaseDeepEnsemble(BaseEstimator, metaclass=ABCMeta):
    """Rows of the members, training, outputs of the members."""

    _parameter_constraints: ClassVar[dict] = {
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "bootstrap": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_estimators=20,
        *,
        hidden_layer_sizes=(100, 100),
        activation="relu",
        alpha=1e-4,
        batch_size="auto",
        learning_rate_init=0.005,
        max_iter=100,
        bootstrap=False,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=20,
        tol=1e-5,
        device="cpu",
        random_state=None,
        verbose=0,
    ):
        self.n_estimators = n_estimators
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.bootstrap = bootstrap
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _validate(self, X, y, sample_weight, **y_options):
        """Return X, y and weights of mean one without rows of weight zero, and who is left."""
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2, **y_options)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        weights = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        present = weights > 0
        if np.count_nonzero(present) < 2:
            raise ValueError(
                f"sample_weight is positive for {np.count_nonzero(present)} of {len(X)} samples, "
                "expected at least two."
            )
        weights = weights[present]
        return X[present], y[present], weights / weights.mean(), present

    def _fit_members(self, X, targets, weights, present, loss, n_outputs, strata=None):
        """Train all members on the rows present; return what they shared."""
        sizes = np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=int))
        if sizes.ndim > 1 or np.any(sizes < 1):
            raise ValueError(
                f"hidden_layer_sizes must be positive integers, got {self.hidden_layer_sizes!r}."
            )
        rng = check_random_state(self.random_state)
        generator = torch.Generator().manual_seed(int(rng.randint(2**31 - 1)))
        train_rows, unseen = self._choose_rows(len(X), strata, rng)
        self._X_scaler = StandardScaler().fit(X, sample_weight=weights)
        scaled = torch.as_tensor(self._X_scaler.transform(X), dtype=torch.float32)
        data = share_data(scaled, targets, weights, train_rows, unseen, self.device)
        layers = init_layers([X.shape[1], *sizes, n_outputs], self.n_estimators, generator)
        trained = train(
            [Layer(*(p.to(self.device) for p in layer)) for layer in layers],
            data,
            loss,
            activation=self.activation,
            batch_size=self._batch_rows(train_rows.shape[1]),
            learning_rate=self.learning_rate_init,
            weight_decay=self.alpha / train_rows.shape[1],
            max_iter=self.max_iter,
            patience=self.n_iter_no_change if self.early_stopping else None,
            tol=self.tol,
            generator=generator,
            verbose=self.verbose,
        )
        self.coefs_ = [layer.weight.cpu().numpy() for layer in trained.layers]
        self.intercepts_ = [layer.bias.squeeze(1).cpu().numpy() for layer in trained.layers]
        self.n_members_ = self.n_estimators
        self.n_iter_ = trained.n_iter
        self.unseen_rows_ = np.ones((len(present), self.n_estimators), dtype=bool)
        self.unseen_rows_[present] = unseen
        return data

    def _batch_rows(self, n_rows):
        if self.batch_size != "auto":
            return self.batch_size
        return min(max(n_rows // _STEPS_AN_EPOCH, _FEWEST_BATCH_ROWS), _MOST_BATCH_ROWS)

    def _choose_rows(self, n_samples, strata, rng):
        """Return rows to train on (n_members, m), and the mask (n_samples, n_members) of others."""
        n_members = self.n_estimators
        if self.bootstrap:
            return bootstrap_rows(n_samples, n_members, rng)
        fraction = self.validation_fraction if self.early_stopping else 0
        unseen = held_out_in_turn(n_samples, n_members, fraction, strata, rng)
        return np.nonzero(~unseen.T)[1].reshape(n_members, -1), unseen

    def _layers(self, dtype, members=slice(None)):
        """Return the networks of some members as tensors."""
        return [
            Layer(
                torch.as_tensor(weight[members], dtype=dtype, device=self.device),
                torch.as_tensor(bias[members, None], dtype=dtype, device=self.device),
            )
            for weight, bias in zip(self.coefs_, self.intercepts_, strict=True)
        ]

    def _outputs(self, X, dtype=np.float64, members=slice(None)):
        """Yield slices of rows with the members' outputs there, (n_members, rows, n_outputs).

        Training is float32; the networks are evaluated in float64 unless less is asked for, so
        that what is predicted for a row does not depend on the rows it comes with.
        """
        dtype = torch.float64 if np.dtype(dtype) == np.float64 else torch.float32
        layers = self._layers(dtype, members)
        n_members = len(layers[0].weight)
        for rows in row_blocks(len(X), rows_at_once(layers)):
            scaled = (X[rows] - self._X_scaler.mean_) / self._X_scaler.scale_
            shared = torch.as_tensor(scaled, dtype=dtype, device=self.device)
            with torch.no_grad():
                raw = forward(layers, shared.expand(n_members, -1, -1), self.activation)
                outputs = self._finish(raw)
            yield rows, outputs.cpu().numpy()

    @abstractmethod
    def _finish(self, raw):
        """Turn raw outputs of the networks (n_members, rows, k) into what members predict."""

    def _validate_predict(self, X):
        check_is_fitted(self)
        return validate_data(self, X, dtype=np.float64, reset=False)

    def _member_predictions(self, X, dtype=np.float64, members=slice(None)):
        """Ask some members about validated rows: (n_samples, k, n_members)."""
        n_outputs, n_members = self.n_outputs_, len(self.coefs_[0][members])
        predictions = np.empty((len(X), n_outputs, n_members), dtype=dtype)
        for rows, outputs in self._outputs(X, dtype, members):
            predictions[rows] = outputs.transpose(1, 2, 0)
        return predictions

    def member_predictions(self, X, *, dtype=np.float64):
        """Ask every member.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows in the units of the rows of `fit`.

        dtype : dtype, default=np.float64
            Of the result. All but float64 is computed in float32, in about half the time.

        Returns
        -------
        predictions : ndarray
            (n_samples, n_members) or (n_samples, n_outputs, n_members), in the unit of `y`, from
            regressors; probabilities (n_samples, n_classes, n_members) from classifiers.
        """
        return self._member_predictions(self._validate_predict(X), dtype)
