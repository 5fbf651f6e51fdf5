"""The base of all students: `fit` step by step, and what a fitted student keeps."""

from __future__ import annotations

import copy
import numbers
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import (
    _check_sample_weight,
    _check_y,
    _num_samples,
    check_is_fitted,
)
from torch import nn

from .._export.modules import is_plain
from .._export.state import pack_state, unpack_state
from .._fitting.student_bodies import count_body_parameters, name_body
from .._fitting.student_net import OPTIMIZERS
from .._network.bodies import ACTIVATIONS
from .._network.heads import Units
from .._rows.chosen import RowOrder, choose_rows, order_rows, rows_at
from .._rows.containers import as_container, in_container_of
from .._rows.heavy_columns import warn_of_heavy_columns
from .._rows.index_order import warn_of_index_order
from .._rows.labels import order_by_labels, take_labels
from .._rows.novelties import Novelties
from .._rows.preprocessors import set_input_tags
from .._rows.reader import RowReader, read_rows, read_rows_of_fit
from .._rows.refused import refuse_records
from .._rows.table import Table
from .._transfer.query import FitRows, query_teacher
from .._transfer.row_makers import ROW_MAKERS
from .._transfer.tasks import Task
from .._transfer.teachers import is_fitted_teacher
from .._transfer.transfer_set import TransferSet
from .._utils.content_keys import content_key
from .._utils.fit_tasks import FitTasks
from .._utils.numbers import as_frame, in_memory, refuse_dates, without_dates
from .._utils.parameters import BodyMaker, Count, Device, LayerSizes, SkorchCallbacks
from .._utils.threads import one_blas_thread
from .._utils.torch_settings import plain_torch
from .._version import __version__

# Of the students that have a choice of the body.
BODY_CONSTRAINTS: dict[str, Any] = {
    "body": [StrOptions({"auto", "mlp", "piecewise_linear"}), BodyMaker(), None],
    "activation": [StrOptions({"auto", *ACTIVATIONS})],
}


class BaseStudent(BaseEstimator, ABC):
    """Learns from a teacher; subclasses define the network and its training."""

    # What precedes the heads; a parameter of the students that have a choice.
    body: Any = "mlp"

    # Jobs of joblib; a parameter of some students.
    n_jobs: int | None = None

    # Number of rows that `augment` makes; a parameter of the public students.
    n_augmented: int | str = "auto"

    # Most rows of `fit` that are used; a parameter of some students.
    subsample: int | None = None

    # Whether training ends by matching probabilities, which needs calibration rows.
    _is_refined: bool = False

    _parameter_constraints: ClassVar[dict] = {
        "ensemble": "no_validation",
        "preprocessor": [StrOptions({"auto"}), HasMethods(["fit", "transform"]), None],
        "augment": [StrOptions({"auto", *ROW_MAKERS}), callable, None],
        "n_augmented": [StrOptions({"auto"}), Interval(numbers.Integral, 0, None, closed="left")],
        "out_of_bag": [StrOptions({"widen", "match"}), None],
        "hidden_layer_sizes": [LayerSizes()],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "max_iter": [Count()],
        "n_epochs": [StrOptions({"auto"}), Count()],
        "batch_size": [StrOptions({"auto"}), Count()],
        "lr": [Interval(numbers.Real, 0, None, closed="neither")],
        "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
        "weight_decay": [Interval(numbers.Real, 0, None, closed="left")],
        "device": [Device()],
        "callbacks": [SkorchCallbacks(), None],
        "memory": [str, HasMethods("cache"), None],
        "n_jobs": [
            Interval(numbers.Integral, None, -1, closed="right"),
            Interval(numbers.Integral, 1, None, closed="left"),
            None,
        ],
        "subsample": [Interval(numbers.Integral, 2, None, closed="left"), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # Parameters, which `store_parameters` stores.
    ensemble: Any
    preprocessor: Any
    augment: str | Callable | None
    out_of_bag: str | None
    hidden_layer_sizes: int | Sequence[int]
    activation: str
    max_iter: Any
    n_epochs: int | str
    batch_size: int | str
    lr: float
    optimizer: str | Callable
    weight_decay: float
    device: str | torch.device
    callbacks: list | None
    memory: Any
    random_state: int | np.random.RandomState | None
    verbose: int

    augment_: str | Callable | None
    body_: str
    ensemble_score_: float | None
    n_rows_used_: int

    def _fit(
        self,
        X: Any,
        y: Any,
        task: Task,
        *,
        ensemble: Any,
        predictions: Any,
        X_ensemble: Any,
        X_unlabeled: Any,
        sample_weight: Any,
        unseen: Any,
    ) -> BaseStudent:
        """Fit step by step; `fit` of both tasks calls it."""
        for name in ("conformal_scores_", "_update", "adaptation_", "student_"):
            self.__dict__.pop(name, None)  # after a failed fit the estimator is not fitted
        tasks = FitTasks.started(self, X, y)
        random_state = check_random_state(self.random_state)
        ensemble = self.ensemble if ensemble is None else ensemble
        X = as_frame(X)
        refuse_records(X, self.preprocessor)
        warn_of_index_order(X, y=y, X_ensemble=X_ensemble, predictions=predictions)
        warn_of_index_order(X, sample_weight=sample_weight, unseen=unseen)
        y, X_unlabeled, sample_weight = map(in_memory, (y, X_unlabeled, sample_weight))
        are_labels = task.kind == "classifier"
        chosen = choose_rows(X, y, sample_weight, unseen, self.subsample, random_state, are_labels)
        # An ensemble that has yet to be fitted gets all rows, and the student some of them.
        is_late = chosen is not None and predictions is None
        is_late = is_late and not is_fitted_teacher(ensemble, task.kind)
        rows = self._validate(
            X, y, task, X_ensemble, X_unlabeled, sample_weight, None if is_late else chosen
        )
        with plain_torch():
            n_parameters = count_body_parameters(self, rows.table.numbers)
        evaluation = tasks.part("teacher", 0)
        transfer_set = query_teacher(
            task,
            rows,
            chosen=chosen if is_late else None,
            ensemble=ensemble,
            predictions=predictions,
            unseen=unseen,
            augment=self.augment,
            n_augmented=self.n_augmented,
            is_encoded=None if self.body == "auto" else self.body == "piecewise_linear",
            n_parameters=n_parameters,
            out_of_bag=self.out_of_bag,
            memory=self.memory,
            n_jobs=self.n_jobs,
            is_seeded=isinstance(self.random_state, numbers.Integral),
            verbose=self.verbose,
            random_state=random_state,
        )
        evaluation.end()
        self._ensemble_takes_other_rows = X_ensemble is not None
        self.n_rows_used_ = len(rows.table) if chosen is None else len(chosen)
        with plain_torch(), one_blas_thread:  # the teacher was queried with all threads
            self._learn_from(transfer_set, rows, task, random_state)
        tasks.end()
        return self

    def _learn_from(
        self,
        transfer_set: TransferSet,
        rows: FitRows,
        task: Task,
        random_state: np.random.RandomState,
    ) -> None:
        """Do what `fit` does once the teacher was queried."""
        self.augment_ = transfer_set.augment
        self.body_ = name_body(self, transfer_set.is_encoded)
        if self.body_ == "mlp" and not rows.reader.is_raw:
            warn_of_heavy_columns(self, rows.reader, rows.table.numbers)
        self.ensemble_score_ = task.score_teacher(transfer_set)
        network = self._learn(transfer_set, random_state).eval().requires_grad_(False)
        self.preprocessor_, self.scaler_ = rows.reader.preprocessor, rows.reader.scaler
        self._reader = rows.reader
        if rows.unlabeled is not None:
            numbers = rows.reader.standardise(rows.unlabeled.numbers)
            self._reader = rows.reader.widened(numbers)
        self.output_center_, self.output_scale_, self.output_spread_ = transfer_set.contrasts.units
        _, self.n_outputs_, self.n_members_ = transfer_set.contrasts.shape
        self._teacher_is_transformed = transfer_set.is_transformed
        self._learn_targets(self._make_members(network), transfer_set, random_state)
        self.student_: nn.Module = network

    def _validate(
        self,
        X: Any,
        y: Any,
        task: Task,
        X_ensemble: Any,
        X_unlabeled: Any,
        sample_weight: Any,
        chosen: np.ndarray | None,
    ) -> FitRows:
        """Return the arguments of `fit` that belong to rows, or raise if one is invalid.

        Rows without a value of y are moved to the end, and those that are not ``chosen`` are left
        out.
        """
        order, found = None, None if y is None else order_by_labels(y)
        if found is not None:
            check_consistent_length(X, y)
        if chosen is not None or found is not None:
            order, n_labelled = order_rows(chosen, _num_samples(X), found)
            X = rows_at(X, order.numbers)
            own = order.numbers[:n_labelled]
            y = rows_at(y, own) if found is None else take_labels(y, own)
        X = as_container(in_memory(X))
        if y is not None and task.kind == "regressor":
            refuse_dates(y, "y")
        if y is not None:
            y = _check_y(y, estimator=self, **{"multi_output": False, **task.y_options})
            y = task.check_y(y)
        reader, table = read_rows_of_fit(self, X, y)
        if y is not None and order is None:
            check_consistent_length(table.numbers, y)
        ensemble_rows, adapt = self._rows_of_ensemble(table, X_ensemble, order)
        if X_unlabeled is not None:
            X_unlabeled = self._read_unlabeled(table, reader, X_unlabeled)
        weights = without_dates(sample_weight, "sample_weight")
        if weights is not None:
            if order is not None and np.shape(weights) == (order.n_given,):
                weights = np.asarray(weights)[order.numbers]
            weights = _check_sample_weight(
                weights, table.numbers, dtype=np.float64, ensure_non_negative=True
            )
            if not weights.any():  # older versions of scikit-learn let zeros pass
                raise ValueError(
                    "All values of sample_weight are zero; expected a positive weight for at least "
                    "one row."
                )
            if y is not None and not weights[: len(y)].any():
                raise ValueError(
                    "All rows with a value of y have the weight zero; expected at least one "
                    "non-zero weight among them, or no y."
                )
        return FitRows(table, reader, y, weights, X_unlabeled, ensemble_rows, adapt, order)

    def _read_unlabeled(self, table: Table, reader: RowReader, X_unlabeled: Any) -> Table:
        """Return further rows, in a container like that of X, or raise if they are not like X."""
        try:
            further = in_container_of(table.rows, as_container(X_unlabeled))
            found = Novelties(may_extrapolate=True)
            numbers = read_rows(self, reader, further, found)
        except ValueError as error:
            raise ValueError(f"X_unlabeled must hold rows like those of X. {error}") from error
        found.warn("X_unlabeled")
        return table.with_rows(further, numbers)

    def _rows_of_ensemble(
        self, table: Table, X_ensemble: Any, order: RowOrder | None
    ) -> tuple[Any, Callable[[Table], Any] | None]:
        """Return the rows as the ensemble takes them, and the way there from further rows."""
        if X_ensemble is None:
            return table.rows, attrgetter("rows")
        if callable(X_ensemble):
            return X_ensemble(table.rows), lambda table: X_ensemble(table.rows)
        X_ensemble = as_frame(X_ensemble)
        n_rows, n_given = _num_samples(X_ensemble), len(table) if order is None else order.n_given
        if n_rows != n_given:
            raise ValueError(
                "X_ensemble must have the rows of X, in the form that the ensemble takes; got "
                f"{n_rows} rows and expected {n_given}."
            )
        return X_ensemble if order is None else rows_at(X_ensemble, order.numbers), None

    @abstractmethod
    def _learn(self, transfer_set: TransferSet, random_state: np.random.RandomState) -> Any:
        """Return a network trained on a transfer set, and set attributes of the training."""

    @abstractmethod
    def _learn_targets(
        self, members: Any, transfer_set: TransferSet, random_state: np.random.RandomState
    ) -> None:
        """Set what a transfer set tells of y or of classes, given the members of the network."""

    @abstractmethod
    def _make_members(self, network: Any) -> Any:
        """Return the members of a trained network (`_predictive.members`)."""

    @property
    def _members(self) -> Any:
        """Members of the fitted student, at standardised rows."""
        return self._make_members(self.student_)

    @property
    def _units(self) -> Units:
        """Units of the network's outputs."""
        return Units(self.output_center_, self.output_scale_, self.output_spread_)

    def _standardised_rows(
        self, X: Any, novelties: Novelties | None = None, reader: RowReader | None = None
    ) -> np.ndarray:
        """Return validated and standardised rows (n, n_features).

        They are read by ``reader``, or by the student's own.

        Warn of what `fit` has not seen, or add it to ``novelties``, of which the caller warns.
        """
        if not hasattr(self, "student_"):  # `check_is_fitted` takes a tenth of the time of a row
            check_is_fitted(self)
        found = Novelties(self.has_learnt_further_rows) if novelties is None else novelties
        reader = reader or self._reader
        numbers = read_rows(self, reader, X, found)
        standardised = reader.standardise(numbers)
        reader.find_unusual(self, numbers, standardised, found)
        if novelties is None:
            found.warn()
        return standardised

    @property
    def has_learnt_further_rows(self) -> bool:
        """Whether it was updated with, or adapted to, rows that were not in `fit`."""
        return "_update" in self.__dict__ or "adaptation_" in self.__dict__

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "student_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = not isinstance(self, ClassifierMixin)
        set_input_tags(tags, self.preprocessor)
        return tags

    def __dask_tokenize__(self) -> str:
        """Return a key of all that the student holds: dask has to know the tasks that share it."""
        return content_key(self)

    def __getstate__(self) -> dict[str, Any]:
        """Return parameters and plain records of what was learnt, with a version.

        They hold arrays in place of tensors, and load without an accelerator.
        """
        state = super().__getstate__()
        if not isinstance(state.get("student_", None), nn.Module):
            return pack_state(state, self._kept_names(), __version__)
        network = state["student_"]
        if not is_plain(network):  # a body of the user's own, which is pickled in its own way
            state = {**state, "student_": copy.deepcopy(network).cpu()}
        return pack_state(state, self._kept_names(), __version__)

    def _kept_names(self) -> list[str]:
        """Names of attributes that are pickled as they are: parameters, and callbacks."""
        return [*self._get_param_names(), "_skl_callbacks"]

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Set what `__getstate__` has returned; raise ValueError if it is of another format."""
        names, own_name = self._kept_names(), type(self).__name__
        with plain_torch():  # tensors of inference mode could not be used outside of it
            state = unpack_state(state, names, own_name, __version__)
        super().__setstate__(state)
