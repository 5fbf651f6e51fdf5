"""A fitted student as plain arrays, in a file of safetensors, which holds no code.

The file has the arrays, and one text of JSON that says where they belong. Whatever is in it,
reading it makes arrays, and objects of classes of this package and of ``torch.nn``. For a
`PretrainedBody`, transformers also loads the local folder that the file names.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Collection
from dataclasses import is_dataclass
from importlib import import_module
from os import PathLike
from typing import Any

import numpy as np

from .._utils.optional import import_optional
from .._utils.parameters import check_path
from .bodies import TrainedBody, with_body, without_body
from .records import find_class, name_class

# Key of the JSON in the file, and the kinds of arrays that safetensors holds.
METADATA_KEY, KINDS = "sklearn_dlf", "fiub"

# How values that JSON does not have are written: a dictionary with one of these keys.
ARRAY, SCALAR, TEXTS, TUPLE, DICT, TYPE = "array", "scalar", "texts", "tuple", "dict", "type"
VALUE = "value"

# First bytes of other files: of a pickle, before its protocol, and of a zip archive.
PICKLE_START, ZIP_START = b"\x80", b"PK"


def save_student(student: Any, path: str | PathLike[str]) -> None:
    """Write a fitted student to a file of safetensors: plain arrays, without pickle.

    Needs the package safetensors. Rows are numbers, categories, dates, or raw. Of a callable
    `body`, only those tensors are written that are not the ones that it returns anew: of a
    pre-trained body with adapters, the adapters. The file names the body, and `load_student` needs
    the same.

    Parameters
    ----------
    student : fitted student
        A DLFRegressor, DLFClassifier or a baseline; of a pipeline, give its last step.

    path : str or path-like
        File to write.

    Raises
    ------
    TypeError
        If it is no student of this package.
    ValueError
        If it is not fitted, or an attribute or a parameter is no number, string or array, as an
        ensemble is, or the network has several bodies, or one that no callable of `body` returned.
    FileNotFoundError
        If there is no such folder.
    ImportError
        If safetensors is not installed.

    See Also
    --------
    load_student : Reads the file.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_dlf import DLFRegressor, save_student
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> student = DLFRegressor(q=1, tol=1.0).fit(X, predictions=X + [-0.1, 0.0, 0.1])
    >>> save_student(student, "student.safetensors")  # doctest: +SKIP
    """
    safetensors = _import_safetensors()
    if not hasattr(student, "_learn_targets"):
        raise TypeError(
            "save_student takes a student of this package, such as a DLFRegressor; got "
            f"{type(student).__name__}. Of a pipeline, give its last step."
        )
    if not hasattr(student, "student_"):
        raise ValueError(f"This {type(student).__name__} is not fitted; expected a fitted one.")
    file = check_path(path, "path")
    record, body = {"class": name_class(type(student))}, None
    if student.body_ == "custom":
        student, body = without_body(student)
    state = student.__getstate__()
    writer = _Writer({key for key in student.get_params() if _can_be_left_out(state, key)})
    if body is not None:
        record["body"] = {key: writer.write(each, "body") for key, each in body._asdict().items()}
    state = {key: writer.write(each, key) for key, each in state.items()}
    text = json.dumps({**record, "state": state})
    file.write_bytes(safetensors.save(writer.arrays, metadata={METADATA_KEY: text}))


def _can_be_left_out(state: dict[str, Any], parameter: str) -> bool:
    """Return whether a file can hold what a student has learnt in place of a parameter."""
    try:
        _Writer().write(state.get(f"{parameter}_"), parameter)
    except ValueError:
        return False
    return True


def load_student(path: str | PathLike[str], *, body: Callable[..., Any] | None = None) -> Any:
    """Read a student that `save_student` has written.

    Parameters
    ----------
    path : str or path-like
        The file.

    body : callable, default=None
        The `body` of the student, if it was a callable. None for one of this package, such as a
        :class:`~sklearn_dlf.text.PretrainedBody`, if its folder is where it was.

    Returns
    -------
    fitted student
        It predicts what the one written did.

    Raises
    ------
    ValueError
        If the file is none of `save_student`, or of a format that this version cannot read, or if
        it needs a `body`, and got none or another one.
    TypeError
        If `path` is no path.
    FileNotFoundError
        If there is no file.
    ImportError
        If safetensors is not installed.

    See Also
    --------
    save_student : Writes the file, with an example.
    """
    text, arrays = _read_file(path)
    if text is None:
        raise ValueError(f"{path} holds arrays, and no student; expected a file of save_student.")
    try:
        record = json.loads(text)
        cls = find_class(record["class"])
        state = {key: _read(each, arrays) for key, each in record["state"].items()}
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} has a damaged record of a student: {error!r}. Write it again by save_student."
        ) from error
    if not hasattr(cls, "_learn_targets"):
        raise ValueError(f"{path} holds a {cls.__name__}; expected a student of this package.")
    student: Any = object.__new__(cls)
    student.__setstate__(state)
    if "body" in record:
        kept = TrainedBody(**{key: _read(each, arrays) for key, each in record["body"].items()})
        return with_body(student, kept, body)
    if body is not None:
        raise ValueError(f"{path} holds a student with a body of this package; leave out `body`.")
    return student


def _read_file(path: Any) -> tuple[str | None, dict[str, np.ndarray]]:
    """Return the text and the arrays of a file of safetensors, or raise if it is none."""
    _import_safetensors()
    package = import_module("safetensors")
    if not check_path(path, "path").is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    try:
        with package.safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(METADATA_KEY)
            return text, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except package.SafetensorError as error:
        raise ValueError(
            f"{path} is no file of safetensors, or it is damaged ({error}); expected a file of "
            f"save_student.{_name_reader(path)}"
        ) from error


def _name_reader(path: Any) -> str:
    """Return what reads a file that looks like one of pickle, joblib or skops; else nothing."""
    with open(path, "rb") as file:
        start = file.read(2)
    if start[:1] == PICKLE_START and start[1:] <= bytes([pickle.HIGHEST_PROTOCOL]):
        return " It looks like a pickle: read it by pickle.load or joblib.load, if you trust it."
    if start == ZIP_START:
        return " It looks like a file of skops: read it by skops.io.load."
    return ""


class _Writer:
    """Turns values into JSON, and collects their arrays.

    Parameters
    ----------
    removable : collection of str
        Parameters that a student does not need any more.
    """

    def __init__(self, removable: Collection[str] = ()) -> None:
        self.removable = removable
        self.arrays: dict[str, np.ndarray] = {}
        # Arrays are kept, so that a new one cannot have the identity of an old one.
        self._names: dict[int, tuple[Any, str]] = {}

    def write(self, value: Any, where: str) -> Any:
        """Return what stands for a value in JSON; ``where`` names it in an error."""
        if value is None or type(value) in (bool, int, float, str):
            return value
        if isinstance(value, np.ndarray):
            return self._write_array(value, where)
        if isinstance(value, np.generic) and value.dtype.kind in KINDS:
            return {SCALAR: self._add(np.asarray(value))}
        if type(value) is list:
            return [self.write(each, where) for each in value]
        if type(value) is tuple:
            return {TUPLE: [self.write(each, where) for each in value]}
        if type(value) is dict:
            pairs = [[self.write(k, where), self.write(v, where)] for k, v in value.items()]
            return {DICT: pairs}
        if isinstance(value, type) and issubclass(value, np.number):
            return {TYPE: value.__name__}
        if is_dataclass(value) and type(value).__module__.startswith("sklearn_dlf."):
            fields = {key: self.write(each, where) for key, each in vars(value).items()}
            return {VALUE: name_class(type(value)), "fields": fields}
        what = getattr(value, "__name__", type(value).__name__)
        hint = ""
        if where in self.removable:
            hint = (
                f" Or leave the parameter out before: student.set_params({where}=None). What was "
                "learnt stays in the file."
            )
        raise ValueError(
            f"A file of arrays cannot hold {what}, in {where!r} of the student; expected numbers, "
            f"strings and arrays. Write it by pickle, joblib or skops.{hint}"
        )

    def _write_array(self, array: np.ndarray, where: str) -> Any:
        if array.dtype.kind in KINDS:
            return {ARRAY: self._add(array)}
        if array.dtype.kind not in "OU":
            raise ValueError(
                f"A file of arrays cannot hold {where!r} of type {array.dtype}; expected numbers "
                "or strings. Write it by pickle, joblib or skops."
            )
        texts = [self.write(each, where) for each in array.ravel().tolist()]
        return {TEXTS: texts, "shape": list(array.shape), "dtype": array.dtype.str}

    def _add(self, array: np.ndarray) -> str:
        if id(array) not in self._names:
            name = str(len(self.arrays))
            self._names[id(array)] = array, name
            self.arrays[name] = np.ascontiguousarray(array).reshape(array.shape)
        return self._names[id(array)][1]


def _read(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return the value that `_Writer.write` has written."""
    if isinstance(value, list):
        return [_read(each, arrays) for each in value]
    if not isinstance(value, dict):
        return value
    if ARRAY in value:
        return arrays[value[ARRAY]]
    if SCALAR in value:
        return arrays[value[SCALAR]][()]
    if TUPLE in value:
        return tuple(_read(each, arrays) for each in value[TUPLE])
    if DICT in value:
        return {_read(key, arrays): _read(each, arrays) for key, each in value[DICT]}
    if VALUE in value:
        fields = {key: _read(each, arrays) for key, each in value["fields"].items()}
        return find_class(value[VALUE])(**fields)
    if TYPE in value:
        found = getattr(np, value[TYPE])
        if not (isinstance(found, type) and issubclass(found, np.number)):
            raise ValueError(f"The file names numpy's {value[TYPE]}, which is no type of numbers.")
        return found
    array = np.empty(len(value[TEXTS]), dtype=np.dtype(value["dtype"]))
    array[:] = [_read(each, arrays) for each in value[TEXTS]]
    return array.reshape(value["shape"])


def _import_safetensors() -> Any:
    """Return the module of safetensors for numpy, or raise with the way to get it."""
    need = "Files of arrays need the package safetensors"
    return import_optional("safetensors.numpy", need, "safetensors")
