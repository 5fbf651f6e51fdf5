"""Fitted attributes as plain records of numbers, strings and arrays, and back.

The classes of this package, and modules of torch, become dictionaries that name their class. What
a pickle or a skops file holds is then an estimator, its parameters and records. Files do not depend
on how torch pickles tensors, and skops trusts numbers and arrays. The scaler of the rows is a
record too, so that a student of numbers does not depend on the version of scikit-learn.

Objects of other packages, such as a preprocessor or a transformer of y, stay as they are.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from scipy import special
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from torch import nn

from .._predictive import variance_functions
from .._rows.preprocessors import to_dense
from .modules import is_plain, pack_module, unpack_module

# The only packages whose classes a record may name by a string. Others are named by the class
# itself, which skops shows among the types that a user has to trust.
TRUSTED = ("sklearn_dlf.", "torch.nn.modules.")

# Parts of a `TableEncoder`, the network of `NetworkVariance`, and transformers of y: of functions
# those that a name tells. Their state holds the version of scikit-learn, which warns if it reads
# another.
PARTS = (
    *(SimpleImputer, MissingIndicator, OneHotEncoder, MLPRegressor),
    *(FunctionTransformer, MaxAbsScaler, MinMaxScaler, RobustScaler),
    *(PowerTransformer, QuantileTransformer, Pipeline),
)
PARTS_BY_NAME = {cls.__name__: cls for cls in PARTS}

# Where classes are now that earlier files name as of another module.
MOVED = {
    f"sklearn_dlf._predictive.target_noise:{name}": f"{variance_functions.__name__}:{name}"
    for name in ("PiecewiseLinear", "VarianceFunction", "NetworkVariance")
}

# What only further training of such a network needs.
OF_TRAINING = ("_optimizer", "_random_state")

# What a scaler has learnt.
SCALER_KEYS = ("mean_", "var_", "scale_", "n_samples_seen_", "n_features_in_")

# Keys that tell a record from a dictionary.
OBJECT, TUPLE, MODULE, SCALER, DTYPE = "object", "named_tuple", "module", "scaler", "dtype"
FUNCTION, OF_SCIPY = "function", "scipy.special:"
RECORD_KEY = "sklearn_dlf_record"


class Packer:
    """Makes records; what occurs twice has one record."""

    def __init__(self) -> None:
        # Objects are kept, so that a new one cannot have the identity of an old one.
        self._done: dict[int, tuple[Any, Any]] = {}

    def pack(self, value: Any) -> Any:
        """Return a value with records in place of objects of this package."""
        if id(value) in self._done:
            return self._done[id(value)][1]
        packed = self._pack(value)
        if packed is not value:
            self._done[id(value)] = value, packed
        return packed

    def _pack(self, value: Any) -> Any:
        if type(value) is dict:
            return {key: self.pack(each) for key, each in value.items()}
        if type(value) in (list, tuple):
            return type(value)(map(self.pack, value))
        if isinstance(value, nn.Module):
            if not is_plain(value):
                return value
            return {RECORD_KEY: MODULE, "state": pack_module(value, self.pack, name_class)}
        if type(value) is StandardScaler:
            state = {key: vars(value)[key] for key in SCALER_KEYS}
            record = {RECORD_KEY: SCALER, "state": state}
            given = {key: vars(value)[key] for key in ("with_mean", "with_std")}
            return record if all(given.values()) else {**record, "parameters": given}
        if isinstance(value, np.dtype):
            return {RECORD_KEY: DTYPE, "name": value.str}
        if _function_name(value):
            return {RECORD_KEY: FUNCTION, "name": _function_name(value)}
        if type(value) is FunctionTransformer and not _has_known_functions(value):
            return value
        is_ours = type(value).__module__.startswith("sklearn_dlf.")
        if not is_ours and type(value) not in PARTS:
            return value
        record = {"class": name_class(type(value))}
        if isinstance(value, tuple):
            return {RECORD_KEY: TUPLE, **record, "values": [self.pack(each) for each in value]}
        # Python 3.10 has no default `__getstate__`.
        state = value.__getstate__() if hasattr(value, "__getstate__") else vars(value)
        kept = {key: each for key, each in state.items() if key not in OF_TRAINING}
        if isinstance(value, MLPRegressor):
            kept["random_state"] = None
        return {RECORD_KEY: OBJECT, **record, "state": self.pack(kept)}


class Unpacker:
    """Makes objects of records; a record that occurs twice is one object."""

    def __init__(self) -> None:
        self._done: dict[int, Any] = {}

    def unpack(self, value: Any) -> Any:
        """Return a value with objects in place of records."""
        if type(value) in (list, tuple):
            return type(value)(map(self.unpack, value))
        if type(value) is not dict:
            return value
        if id(value) not in self._done:
            self._done[id(value)] = self._unpack(value)
        return self._done[id(value)]

    def _unpack(self, value: dict) -> Any:
        kind = value.get(RECORD_KEY)
        if kind is None:
            return {key: self.unpack(each) for key, each in value.items()}
        if kind == MODULE:
            return unpack_module(value["state"], self.unpack, find_class)
        if kind == SCALER:
            scaler = StandardScaler(**value.get("parameters", {}))
            vars(scaler).update(value["state"])
            return scaler
        if kind == DTYPE:
            return np.dtype(value["name"])
        if kind == FUNCTION:
            return _find_function(value["name"])
        cls = find_class(value["class"])
        if kind == TUPLE:
            return cls(*map(self.unpack, value["values"]))
        instance: Any = object.__new__(cls)
        state = self.unpack(value["state"])
        if hasattr(instance, "__setstate__"):
            instance.__setstate__(state)
        else:
            vars(instance).update(state)
        return instance


def _function_name(value: Any) -> str:
    """Return the name of a function of numpy or scipy.special by elements, or ""."""
    if value is to_dense:
        return to_dense.__name__
    name = value.__name__ if isinstance(value, np.ufunc) else ""
    if name and getattr(np, name, None) is value:
        return name
    return f"{OF_SCIPY}{name}" if name and getattr(special, name, None) is value else ""


def _find_function(name: str) -> Any:
    """Return the function of a name, or raise ValueError if there is none."""
    name = str(name)
    where = special if name.startswith(OF_SCIPY) else np
    found = getattr(where, name.removeprefix(OF_SCIPY), None)
    if name == to_dense.__name__:
        found = to_dense
    if found is None or _function_name(found) != name:
        raise ValueError(f"The file names a function {name!r}, which numpy and scipy do not have.")
    return found


def _has_known_functions(transformer: FunctionTransformer) -> bool:
    """Return whether a name tells the functions of a transformer."""
    functions = transformer.func, transformer.inverse_func
    are_known = all(each is None or _function_name(each) for each in functions)
    return are_known and not callable(transformer.feature_names_out)


def name_class(cls: type) -> Any:
    """Return the name of a class of this package or of torch's layers; others are themselves."""
    if cls in PARTS:
        return cls.__name__
    if cls.__module__.startswith(TRUSTED):
        return f"{cls.__module__}:{cls.__qualname__}"
    return cls


def find_class(name: Any) -> type:
    """Return the class of a name, or raise ValueError if there is none."""
    if isinstance(name, type):
        return name
    if name in PARTS_BY_NAME:
        return PARTS_BY_NAME[name]
    module, _, own = MOVED.get(name, str(name)).partition(":")
    found = getattr(import_module(module), own, None) if module.startswith(TRUSTED) else None
    if not isinstance(found, type) or found.__module__ != module:
        raise ValueError(
            f"The file holds {name!r}, which this version of sklearn_dlf does not have. It was "
            "written by another version, or is no file of this package."
        )
    return found
