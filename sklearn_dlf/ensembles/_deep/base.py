"""Base class of both deep ensembles."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Iterator, Sequence
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

from ..._network.base import ACCELERATOR_ROWS
from ..._network.rows import as_tensor, place_rows
from ..._rows.containers import as_container
from ..._rows.preprocessors import set_input_tags
from ..._rows.reader import read_rows, read_rows_of_fit
from ..._utils.blocks import row_blocks
from ..._utils.numbers import with_gaps, without_dates
from ..._utils.parameters import BodyMaker, Count, Device, LayerSizes, layer_sizes
from ..._utils.standardise import scale_weights, standardise
from ..._utils.threads import one_thread
from ..._utils.torch_settings import plain_torch
from .._member_predictions import check_floating
from .._members import Members
from .own_bodies import BodyMember, evaluate_members, on_cpu, train_members
from .training import (
    ACTIVATIONS,
    MAX_ACTIVATIONS,
    Data,
    Layer,
    Loss,
    average_over_rows,
    bootstrap_rows,
    forward,
    held_out_in_turn,
    init_layers,
    is_small,
    losses_at_rows,
    rows_at_once,
    share_data,
    train,
)

Activation = Literal["identity", "logistic", "relu", "tanh"]

# With batch_size="auto" an epoch has about 32 steps, because larger batches of few rows need more
# epochs. A choice: batches of fewer than 32 rows double the time for the same errors; at 64 rows
# matrix products reach their full speed, and larger batches only need more epochs.
_STEPS_PER_EPOCH, _FEWEST_BATCH_ROWS, _MOST_BATCH_ROWS = 32, 32, 64

# weight_decay="auto", a choice. Half of it times ||weights||^2 is added to the summed loss.
_AUTO_PENALTY = 1e-4


class BaseDeepEnsemble(BaseEstimator, metaclass=ABCMeta):
    """Parameters, the choice of the members' rows, training, and evaluation of the members."""

    _parameter_constraints: ClassVar[dict] = {
        "n_estimators": [Count()],
        "preprocessor": [StrOptions({"auto"}), HasMethods(["fit", "transform"]), None],
        "hidden_layer_sizes": [LayerSizes()],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "body": [BodyMaker(), None],
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

    # Networks with a body of the user's own. Other members have `coefs_` and `intercepts_`.
    members_: list[BodyMember]

    def __init__(
        self,
        n_estimators: int = 20,
        *,
        preprocessor: Any = "auto",
        hidden_layer_sizes: int | Sequence[int] = (100, 100),
        activation: Activation = "relu",
        body: Callable | None = None,
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
        self.body = body
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
        y = _check_y(with_gaps(y), estimator=self, **{"multi_output": False, **y_options})
        self._reader, table = read_rows_of_fit(self, X, y)
        X = table.numbers
        check_consistent_length(X, y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        weights = without_dates(sample_weight, "sample_weight")
        weights = _check_sample_weight(weights, X, dtype=float, ensure_non_negative=True)
        weights = cast(np.ndarray, scale_weights(weights))
        present = weights > 0
        if np.count_nonzero(present) < 2:
            raise ValueError(
                f"sample_weight is positive for {np.count_nonzero(present)} of {len(X)} samples, "
                "expected at least two."
            )
        weights = weights[present]
        if not present.all():  # rows may be too large to be copied without need
            X, y = X[present], y[present]
        return X, y, weights / weights.mean(), present

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
        rng = check_random_state(self.random_state)
        generator = torch.Generator().manual_seed(int(rng.randint(2**31 - 1)))
        train_rows, unseen = self._choose_rows(len(X), strata, rng)
        self._X_scaler = self._reader.fit_scaler(X, weights).scaler
        n_rows = train_rows.shape[1]
        data = share_data(self._place(X), targets, weights, train_rows, unseen, self.device)
        options: dict[str, Any] = {
            "batch_size": self._batch_rows(n_rows),
            "lr": self.lr,
            "weight_decay": self._weight_decay(n_rows),
            "max_iter": self.max_iter,
            "patience": self.n_iter_no_change if self.early_stopping else None,
            "tol": self.tol,
            "generator": generator,
            "verbose": self.verbose,
        }
        for name in ("coefs_", "intercepts_", "members_"):  # of an earlier fit
            self.__dict__.pop(name, None)
        if self.body is None:
            self._fit_stacked(X.shape[1], n_outputs, data, loss, options)
        else:
            trained = train_members(
                self.body,
                self._standardise(X[:2]),
                n_outputs,
                data,
                loss,
                n_members=self.n_estimators,
                device=self.device,
                **options,
            )
            self.members_, self.n_iter_ = trained.networks, trained.n_iter
            self.optimism_ = trained.optimism
        self.n_members_ = self.n_estimators
        self.unseen_rows_ = np.ones((len(present), self.n_estimators), dtype=bool)
        self.unseen_rows_[present] = unseen
        return data

    def _fit_stacked(
        self, n_features: int, n_outputs: int, data: Data, loss: Loss, options: dict[str, Any]
    ) -> None:
        """Train members of the package's own layers, all at once."""
        sizes = [n_features, *layer_sizes(self.hidden_layer_sizes), n_outputs]
        layers = init_layers(sizes, self.n_estimators, options["generator"])
        layers = [Layer(*(p.to(self.device) for p in layer)) for layer in layers]
        with one_thread(is_small(layers, options["batch_size"])):
            trained = train(layers, data, loss, activation=self.activation, **options)
        self.coefs_ = [layer.weight.cpu().numpy() for layer in trained.layers]
        self.intercepts_ = [layer.bias.squeeze(1).cpu().numpy() for layer in trained.layers]
        self.n_iter_, self.optimism_ = trained.n_iter, trained.optimism

    def _standardise(self, X: np.ndarray) -> np.ndarray:
        """Return rows as the networks get them; raw ones as they are."""
        return X if self._X_scaler is None else standardise(self._X_scaler, X)

    def _place(self, X: np.ndarray) -> Tensor:
        """Return the rows of `fit` for training. A body of the user's own gets raw ones as is."""
        if self._X_scaler is None and self.body is not None:
            return place_rows(X, self.device)
        rows = as_tensor(self._standardise(X)).to(torch.float32)
        return rows.to(self.device)

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
        prediction for a row does not depend on the rows that it is evaluated with. Bodies of the
        user's own are evaluated in float32.
        """
        torch_dtype = torch.float64 if np.dtype(dtype) == np.float64 else torch.float32
        if hasattr(self, "members_"):
            yield from self._outputs_of_bodies(X, torch_dtype, members)
            return
        layers = self._layers(torch_dtype, members)
        n_members = len(layers[0].weight)
        for rows in row_blocks(len(X), rows_at_once(layers)):
            small = is_small(layers, rows.stop - rows.start)
            with plain_torch(), torch.no_grad(), one_thread(small):
                scaled = as_tensor(self._standardise(X[rows]))
                shared = scaled.to(dtype=torch_dtype, device=self.device)
                raw = forward(layers, shared.expand(n_members, -1, -1), self.activation)
                outputs = self._finish(raw)
            yield rows, outputs.cpu().numpy()

    def _outputs_of_bodies(
        self, X: np.ndarray, dtype: torch.dtype, members: slice
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Do what `_outputs` does, with bodies of the user's own, which predict in float32."""
        networks = [network.to(self.device) for network in self.members_[members]]
        n_numbers = len(networks) * self.n_outputs_
        n_most = max(1, min(ACCELERATOR_ROWS, MAX_ACTIVATIONS // n_numbers))
        for rows in row_blocks(len(X), n_most):
            with plain_torch():
                raw = evaluate_members(networks, self._standardise(X[rows]))
                outputs = self._finish(torch.from_numpy(raw).to(dtype)).numpy()
            yield rows, outputs

    def _average(self, loss: Loss, data: Data, rows: Tensor, weights: Tensor) -> Tensor:
        """Average the loss of each member (n_members, ...) over its own rows (n_members, m)."""
        with plain_torch():
            if hasattr(self, "members_"):
                each = zip(self.members_, rows, weights, strict=True)
                return torch.stack([one.average(loss, data, *own) for one, *own in each])
            layers = self._layers(torch.float32)
            with one_thread(is_small(layers, rows.shape[1])):
                blocks = losses_at_rows(layers, self.activation, loss, data, rows)
                return average_over_rows(blocks, weights)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with networks on the CPU, so that it loads without an accelerator."""
        state = super().__getstate__()
        own = {"members_": [on_cpu(one) for one in self.members_]} if "members_" in state else {}
        return {**state, **own}

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        set_input_tags(tags, self.preprocessor)
        return tags

    @abstractmethod
    def _finish(self, raw: Tensor) -> Tensor:
        """Turn raw outputs of the networks (n_members, rows, k) into the members' predictions."""

    def _validate_predict(self, X: Any) -> np.ndarray:
        """Return rows as numbers, or as they are if the body gets them so; raise if not fitted."""
        check_is_fitted(self)
        return read_rows(self, self._reader, X)

    def _member_predictions(
        self, X: np.ndarray, dtype: DTypeLike = np.float64, members: slice = slice(None)
    ) -> np.ndarray:
        """Evaluate some members at validated rows: (n_samples, n_outputs, n_members)."""
        n_outputs = self.n_outputs_
        n_members = len(range(self.n_members_)[members])
        predictions = np.empty((len(X), n_outputs, n_members), dtype=dtype)
        for rows, outputs in self._outputs(X, dtype, members):
            predictions[rows] = outputs.transpose(1, 2, 0)
        return predictions

    def member_predictions(self, X: ArrayLike, *, dtype: DTypeLike = np.float64) -> np.ndarray:
        """Evaluate every member.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            Rows in the units of the rows of `fit`, and of their kind.

        dtype : dtype, default=np.float64
            Floating-point dtype of the result. With any dtype but float64, the members are
            evaluated in float32, which takes about half the time. Members with a `body` are
            evaluated in float32 always.

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
        optimism=ensemble.optimism_,
    )
