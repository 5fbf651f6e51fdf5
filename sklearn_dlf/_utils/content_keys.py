"""Keys of objects by all that they hold, the same in each process."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable
from pickle import PicklingError, _Pickler
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodDescriptorType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

import torch
from joblib.hashing import NumpyHasher
from skorch import NeuralNet

from .code_content import (
    class_content,
    code_text,
    function_content,
    installed_package,
    is_installed,
)

# What a skorch net keeps of its training. Times of epochs differ in each fit.
TRAINING_OF_NETS = {"callbacks", "callbacks_", "history_", "virtual_params_"}

BesideType = Callable[[type], Any]


def content_key(content: Any, beside_type: BesideType | None = None) -> str:
    """Return a key of an object, the same for equal contents in each process.

    Tensors are known by their values. Functions and classes of the user are known by their code and
    what it reads; those of installed packages by name and version.

    Parameters
    ----------
    content : object
        Anything that can be pickled.
    beside_type : callable, default=None
        Takes a class that occurs in the content, and returns what else belongs to its instances.

    Raises
    ------
    PicklingError, TypeError, AttributeError, ValueError, RuntimeError
        If something cannot be pickled or identified.
    """
    return _ContentHasher(beside_type).hash(content)


class _Content:
    """Stands for an object in what is hashed. It is made of a name, and has the content as state.

    A pickler notes an object before its state, so that functions may call each other.
    """


class _ContentHasher(NumpyHasher):
    """Hasher of joblib that looks into what joblib knows by name or by place in memory."""

    def __init__(self, beside_type: BesideType | None = None):
        super().__init__(hash_name="sha1")
        self._beside_type = beside_type
        self._versions: dict[str, Any] = {}

    def hash(self, obj: Any, return_digest: bool = True) -> Any:
        super().hash(obj, return_digest=False)
        versions = {
            package: str(getattr(sys.modules.get(package), "__version__", None))
            for package in sorted(self._versions)
        }
        self._hash.update(repr(versions).encode())
        return self._hash.hexdigest()

    def save(self, obj: Any) -> None:
        if isinstance(obj, BuiltinFunctionType):
            module = getattr(obj, "__self__", None)
            if isinstance(module, ModuleType) and not is_installed(module):
                raise PicklingError(
                    f"the compiled function {obj.__qualname__} is known by name only"
                )
        super().save(obj)

    def reducer_override(self, obj: Any) -> Any:
        """Return what is pickled in place of an object: constructor, arguments and state."""
        if isinstance(obj, torch.Tensor):
            return _Content, ("tensor",), _tensor_content(obj)
        if isinstance(obj, NeuralNet):
            return _Content, ("net",), _net_content(obj)
        if isinstance(obj, FunctionType):
            return self._by_code(obj, function_content)
        if isinstance(obj, type):
            return self._by_code(obj, class_content)
        if isinstance(obj, set | frozenset):
            return _Content, ("set", type(obj)), sorted(self._keys(obj))
        return _simple_reduction(obj)

    def _by_code(self, obj: Any, content: Callable[[Any], Any]) -> Any:
        """Return the reduction of a function or class."""
        beside = self._beside_type(obj) if self._beside_type and isinstance(obj, type) else None
        package = installed_package(obj)
        if package is not None and beside is None:
            self._versions[package] = None
            return NotImplemented
        name = obj.__module__, obj.__qualname__
        return _Content, name, (beside, None if package is not None else content(obj))

    def _keys(self, objects: Iterable[Any]) -> list[str]:
        """Return keys of objects, each on its own."""
        return [content_key(each, self._beside_type) for each in objects]

    def _batch_setitems(self, items: Any, *args: Any) -> None:
        """Save the items of a dict in an order that is the same in each process."""
        items = list(items)
        if all(isinstance(key, str) for key, _ in items):
            items.sort(key=lambda item: item[0])
        else:
            keys = self._keys(key for key, _ in items)
            values = zip(keys, (value for _, value in items), strict=True)
            items = sorted(values, key=lambda item: item[0])
        _Pickler._batch_setitems(self, iter(items), *args)  # type: ignore[attr-defined]

    def save_global(self, obj: Any, name: str | None = None, **kwargs: Any) -> None:
        """Save what is pickled by its name, or the function of the user that it wraps."""
        module = sys.modules.get(str(getattr(obj, "__module__", None)))
        if isinstance(obj, type | FunctionType) or module is None or is_installed(module):
            super().save_global(obj, name, **kwargs)
            return
        wrapped = getattr(obj, "__wrapped__", getattr(obj, "py_func", None))
        if wrapped is None:
            raise PicklingError(f"{obj!r} is identified by name only")
        self.save_reduce(_Content, (name, type(obj)), wrapped, obj=obj)


def _simple_reduction(obj: Any) -> Any:
    """Return the reduction of what functions and classes are made of; else NotImplemented."""
    if isinstance(obj, CodeType):
        return _Content, ("code", code_text(obj))
    if isinstance(obj, staticmethod | classmethod):
        return _Content, (type(obj),), obj.__func__
    if isinstance(obj, property):
        return _Content, (type(obj),), (obj.fget, obj.fset, obj.fdel)
    if isinstance(obj, functools.cached_property):
        return _Content, (type(obj),), obj.func
    if isinstance(obj, MappingProxyType):
        return _Content, ("mapping",), dict(obj)
    if isinstance(obj, MemberDescriptorType | GetSetDescriptorType):
        return _Content, ("slot", obj.__name__)
    if isinstance(obj, MethodDescriptorType | WrapperDescriptorType):
        if installed_package(obj.__objclass__) is None:
            raise PicklingError(f"the compiled method {obj.__qualname__} is known by name only")
        return _Content, ("method", obj.__qualname__)
    if isinstance(obj, ModuleType):
        if not is_installed(obj):
            raise PicklingError(f"what is read of the module {obj.__name__} is not known")
        return _Content, ("module", obj.__name__, str(getattr(obj, "__version__", None)))
    return NotImplemented


def _tensor_content(tensor: torch.Tensor) -> tuple[Any, ...]:
    """Return the type and the values of a tensor. Where it is stored makes no difference."""
    values = tensor.detach()
    values = values.dequantize() if values.is_quantized else values
    values = values.to_dense() if values.layout != torch.strided else values
    values = values.cpu().resolve_conj().resolve_neg().contiguous()
    kind = str(tensor.dtype), str(tensor.layout), tensor.device.type, tuple(tensor.shape)
    return type(tensor), kind, values.reshape(-1).view(torch.uint8).numpy(), dict(vars(tensor))


def _net_content(net: NeuralNet) -> tuple[Any, ...]:
    """Return the class of a skorch net, its parameters and modules, without its training."""
    left_out = {*TRAINING_OF_NETS, *(f"{name}_" for name in getattr(net, "_optimizers", ()))}
    contents = {name: value for name, value in vars(net).items() if name not in left_out}
    return type(net), contents
