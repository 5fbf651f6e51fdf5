"""Base class of both deep ensembles."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, DTypeLike
from sklearn.base import BaseEstimator
from sklearn.utils import Tags, check_consistent_length, check_random_state, column_or_1d
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, _check_y, check_is_fitted
from torch import Tensor

from ..._rows.containers import as_container
from ..._rows.reader import read_rows, read_rows_of_fit, set_input_tags
from ..._utils.blocks import row_blocks
from ..._utils.parameters import Count, Device, LayerSizes, layer_sizes
from ..._utils.standardise import divide_out, scale_weights
from ..._utils.threads import one_thread
from ..._utils.torch_settings import plain_torch
from .._member_predictions import check_floating
from .._members import Members
from .training import (
    ACTIVATIONS,
    Data,
    Layer,
    Loss,
    bootstrap_rows,
    forward,
    held_out_in_turn,
    init_layers,
    is_small,
    rows_at_once,
    share_data,
    train,
)

Activation = Literal["identity", "logistic", "relu", "tanh"]

# With batch_size="auto" an epoch has about 32 steps, because larger batches of few rows need more
# epochs. A choice: batches of fewer than 32 rows double the time for the same errors; at 64 rows
# matrix products reach their full speed, and larger batches only need more epochs.
_STEPS_PER_EPOCH, _FEWEST_BATCH_ROWS, _MOST_BATCH_ROWS = 32, 32, 64

# Strength of the penalty with weight_decay="auto", a choice. The penalty is half of it times
# ||weights||^2, added to the loss summed over the rows that a member trains on.
_AUTO_PENALTY = 1e-4


class BaseDeepEnsemble(BaseEstimator, metaclass=ABCMeta):
    """Parameters, the choice of the members' rows, training, and evaluation of the members."""

    _parameter_constraints: ClassVar[dict] = {
        "n_estimators": [Count()],
        "preprocessor": [StrOptions({"auto"}), HasMethods(["fit", "transform"])],
        "hidden_layer_sizes": [LayerSizes()],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "weight_decay": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Count()],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Count()],
        "bootstrap": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Count()],
        "tol": [Interval(Real, 0, None, closed="left")],
        "device": [Device()],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_estimators: int = 20,
        *,
        preprocessor: Any = "auto",
        hidden_layer_sizes: int | Sequence[int] = (100, 100),
        activation: Activation = "relu",
        weight_decay: float | Literal["auto"] = "auto",
        batch_size: int | Literal["auto"] = "auto",
        lr: float = 0.005,
        max_iter: int = 100,
        bootstrap: bool = False,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 20,
        tol: float = 1e-5,
        device: str | torch.device = "cpu",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.preprocessor = preprocessor
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.lr = lr
        self.max_iter = max_iter
        self.bootstrap = bootstrap
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _validate(
        self, X: Any, y: Any, sample_weight: Any, **y_options: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Validate the arguments of `fit`.

        Return X, y and the weights, scaled to a mean of one, of the rows of positive weight, and
        the mask (n_samples,) of these rows.
        """
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        y = _check_y(y, estimator=self, **{"multi_output": False, **y_options})
        self._reader, table = read_rows_of_fit(self, X, y)
        X = table.numbers
        check_consistent_length(X, y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        weights = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        weights = cast(np.ndarray, scale_weights(weights))
        present = weights > 0
        if np.count_nonzero(present) < 2:
            raise ValueError(
                f"sample_weight is positive for {np.count_nonzero(present)} of {len(X)} samples, "
                "expected at least two."
            )
        weights = weights[present]
        return X[present], y[present], weights / weights.mean(), present

    def _fit_members(self, *data: Any, **options: Any) -> Data:
        """Do what `_train_members` does, whatever the caller has set for torch."""
        with plain_torch():
            return self._train_members(*data, **options)

    def _train_members(
        self,
        X: np.ndarray,
        targets: Tensor | np.ndarray,
        weights: np.ndarray,
        present: np.ndarray,
        loss: Loss,
        n_outputs: int,
        strata: np.ndarray | None = None,
    ) -> Data:
        """Train all members on the rows of positive weight, and set the fitted attributes.

        `present` is the mask of these rows among all rows of `fit`. Held-out rows have the
        `strata` in about their proportions. Return the data that the members trained on.
        """
        sizes = [X.shape[1], *layer_sizes(self.hidden_layer_sizes), n_outputs]
        rng = check_random_state(self.random_state)
        generator = torch.Generator().manual_seed(int(rng.randint(2**31 - 1)))
        train_rows, unseen = self._choose_rows(len(X), strata, rng)
        self._X_scaler = self._reader.fit_scaler(X, weights).scaler
        scaled = torch.as_tensor(divide_out(self._X_scaler, X), dtype=torch.float32)
        data = share_data(scaled, targets, weights, train_rows, unseen, self.device)
        layers = init_layers(sizes, self.n_estimators, generator)
        batch_size = self._batch_rows(train_rows.shape[1])
        with one_thread(is_small(layers, batch_size)):
            trained = train(
                [Layer(*(p.to(self.device) for p in layer)) for layer in layers],
                data,
                loss,
                activation=self.activation,
                batch_size=batch_size,
                lr=self.lr,
                weight_decay=self._weight_decay(train_rows.shape[1]),
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

    def _weight_decay(self, n_rows: int) -> float:
        """Return Adam's weight decay for members that train on `n_rows` rows each."""
        if isinstance(self.weight_decay, str):
            return _AUTO_PENALTY / n_rows
        return self.weight_decay

    def _batch_rows(self, n_rows: int) -> int:
        """Return the rows of a batch for members that train on `n_rows` rows each."""
        if isinstance(self.batch_size, str):
            return min(max(n_rows // _STEPS_PER_EPOCH, _FEWEST_BATCH_ROWS), _MOST_BATCH_ROWS)
        return self.batch_size

    def _choose_rows(
        self, n_samples: int, strata: np.ndarray | None, rng: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return rows to train on (n_members, m), and the mask (n_samples, n_members) of others."""
        n_members = self.n_estimators
        if self.bootstrap:
            return bootstrap_rows(n_samples, n_members, rng)
        fraction = self.validation_fraction if self.early_stopping else 0
        unseen = held_out_in_turn(n_samples, n_members, fraction, strata, rng)
        return np.nonzero(~unseen.T)[1].reshape(n_members, -1), unseen

    def _layers(self, dtype: torch.dtype, members: slice = slice(None)) -> list[Layer]:
        """Return the parameters of some members as tensors."""
        return [
            Layer(
                torch.as_tensor(weight[members], dtype=dtype, device=self.device),
                torch.as_tensor(bias[members, None], dtype=dtype, device=self.device),
            )
            for weight, bias in zip(self.coefs_, self.intercepts_, strict=True)
        ]

    def _outputs(
        self, X: np.ndarray, dtype: DTypeLike = np.float64, members: slice = slice(None)
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield blocks of rows and the members' outputs there, (n_members, rows, n_outputs).

        Training uses float32. Evaluation uses float64 unless `dtype` is another type, so that the
        prediction for a row does not depend on the rows that it is evaluated with.
        """
        torch_dtype = torch.float64 if np.dtype(dtype) == np.float64 else torch.float32
        layers = self._layers(torch_dtype, members)
        n_members = len(layers[0].weight)
        for rows in row_blocks(len(X), rows_at_once(layers)):
            scaled = divide_out(self._X_scaler, X[rows])
            with plain_torch(), torch.no_grad(), one_thread(is_small(layers, len(scaled))):
                shared = torch.as_tensor(scaled, dtype=torch_dtype, device=self.device)
                raw = forward(layers, shared.expand(n_members, -1, -1), self.activation)
                outputs = self._finish(raw)
            yield rows, outputs.cpu().numpy()

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        set_input_tags(tags, self.preprocessor)
        return tags

    @abstractmethod
    def _finish(self, raw: Tensor) -> Tensor:
        """Turn raw outputs of the networks (n_members, rows, k) into the members' predictions."""

    def _validate_predict(self, X: Any) -> np.ndarray:
        """Return the rows as a float64 array; raise an error if the ensemble is not fitted."""
        check_is_fitted(self)
        return read_rows(self, self._reader, X)

    def _member_predictions(
        self, X: np.ndarray, dtype: DTypeLike = np.float64, members: slice = slice(None)
    ) -> np.ndarray:
        """Evaluate some members at validated rows: (n_samples, n_outputs, n_members)."""
        n_outputs, n_members = self.n_outputs_, len(self.coefs_[0][members])
        predictions = np.empty((len(X), n_outputs, n_members), dtype=dtype)
        for rows, outputs in self._outputs(X, dtype, members):
            predictions[rows] = outputs.transpose(1, 2, 0)
        return predictions

    def member_predictions(self, X: ArrayLike, *, dtype: DTypeLike = np.float64) -> np.ndarray:
        """Evaluate every member.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows in the units of the rows of `fit`.

        dtype : dtype, default=np.float64
            Floating-point dtype of the result. With any dtype but float64, the members are
            evaluated in float32, which takes about half the time.

        Returns
        -------
        predictions : ndarray
            (n_samples, n_members) or (n_samples, n_outputs, n_members), in the unit of `y`, from
            regressors; probabilities (n_samples, n_classes, n_members) from classifiers.

        Raises
        ------
        ValueError
            If `dtype` is not a floating-point dtype.
        """
        return self._member_predictions(self._validate_predict(X), check_floating(dtype))


def describe_members(ensemble: Any) -> Members:
    """Describe a fitted deep ensemble; this is the extractor of both classes.

    The members are evaluated one at a time, so that the memory holds the outputs of one.
    """
    classes = getattr(ensemble, "classes_", None)

    def predict(X):
        X = ensemble._reader.read(as_container(X))
        for member in range(ensemble.n_members_):
            one = slice(member, member + 1)
            yield ensemble._member_predictions(X, members=one)[..., 0]

    return Members(
        "regressor" if classes is None else "classifier",
        ensemble.n_members_,
        predict,
        classes,
        unseen=lambda: ensemble.unseen_rows_,
    )
