"""What functions and classes do: their code, and all that it reads.

Those of an installed library are known by their names and the library's version. Those of the user
may be edited while their names stay the same. So they are known by their code, and by the values of
the globals, closures, defaults and attributes that it reads, from module to module.
"""

from __future__ import annotations

import dis
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

# Folders of installed packages, wherever they are.
INSTALLED_FOLDERS = {"site-packages", "dist-packages"}

# What Python keeps in a class beside its contents.
NO_CONTENTS = {
    "__abstractmethods__",
    "__annotate__",
    "__annotate_func__",
    "__annotations__",
    "__annotations_cache__",
    "__dict__",
    "__doc__",
    "__firstlineno__",
    "__module__",
    "__qualname__",
    "__static_attributes__",
    "__weakref__",
    "_abc_impl",
}


def installed_package(obj: Any) -> str | None:
    """Return the name of the installed package where a function or class is found by its name."""
    name, module = getattr(obj, "__qualname__", ""), sys.modules.get(str(obj.__module__))
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if module is None or found is not obj or not is_installed(module):
        return None
    return module.__name__.partition(".")[0]


def is_installed(module: ModuleType) -> bool:
    """Return whether a module is part of Python, of an installed package, or of this one."""
    origin = getattr(getattr(module, "__spec__", None), "origin", None)
    if origin in ("built-in", "frozen") or module.__name__ in sys.builtin_module_names:
        return True
    file = getattr(module, "__file__", None) or origin
    return file is not None and _is_installed_file(file)


@cache
def _is_installed_file(file: str) -> bool:
    path = Path(file).resolve()
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = [Path(sysconfig.get_path(name)).resolve() for name in names]
    own = Path(__file__).resolve().parents[1]
    if INSTALLED_FOLDERS.intersection(path.parts):
        return True
    return any(folder in path.parents for folder in [*folders, own])


def function_content(function: FunctionType) -> tuple[Any, ...]:
    """Return what a function does: its code, and the values that it reads."""
    names, imported = set(_names(function.__code__)), set(_imports(function.__code__))
    cells = []
    for cell in function.__closure__ or ():
        try:
            cells.append(_read(cell.cell_contents, names))
        except ValueError:  # it has no value yet
            cells.append(None)
    values: dict[str, Any] = {}
    if not _is_installed_file(function.__code__.co_filename):
        variables = function.__globals__
        values = {name: variables[name] for name in sorted(names & variables.keys())}
        values.update(_imported_modules(imported, variables.get("__package__")))
    return (
        code_text(function.__code__),
        function.__defaults__,
        function.__kwdefaults__,
        cells,
        dict(function.__dict__),
        {name: _read(value, names) for name, value in values.items()},
    )


def class_content(cls: type) -> tuple[Any, ...]:
    """Return what a class is made of: its bases, its methods and its attributes."""
    contents = {name: value for name, value in vars(cls).items() if name not in NO_CONTENTS}
    return type(cls), cls.__bases__, contents


def code_text(code: CodeType) -> str:
    """Return compiled code as text, without the lines and the file that it stands in."""
    parts = [
        code.co_code,
        code.co_flags,
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        getattr(code, "co_exceptiontable", b""),
        _constant_text(code.co_consts),
    ]
    return repr(parts)


def _constant_text(constant: Any) -> str:
    """Return a constant of some code as text, the same one in each process."""
    if isinstance(constant, CodeType):
        return code_text(constant)
    if isinstance(constant, tuple | frozenset):
        parts = [_constant_text(each) for each in constant]
        # The order of a set of strings differs from process to process.
        return repr((type(constant), parts if isinstance(constant, tuple) else sorted(parts)))
    return repr((type(constant), constant))


def _nested(code: CodeType) -> Iterator[CodeType]:
    """Yield code, and the code of the functions and classes that it defines."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _names(code: CodeType) -> Iterator[str]:
    """Yield names of globals and attributes that some code may read."""
    for part in _nested(code):
        yield from part.co_names


def _imports(code: CodeType) -> Iterator[str]:
    """Yield names of modules that some code imports when it runs."""
    for part in _nested(code):
        for instruction in dis.get_instructions(part):
            if instruction.opname == "IMPORT_NAME":
                yield instruction.argval


def _imported_modules(names: set[str], package: str | None) -> dict[str, ModuleType]:
    """Return modules of these names, which may be relative to a package."""
    parents = (package or "").split(".")
    prefixes = [".".join(parents[:length]) for length in range(len(parents) + 1)]
    found = {}
    for candidate in {".".join(filter(None, (p, n))) for p in prefixes for n in names} - {""}:
        with suppress(Exception):  # what the code would raise itself when it runs
            found[f"import {candidate}"] = import_module(candidate)
    return found


def _read(value: Any, names: set[str]) -> Any:
    """Return a value as code that uses these names reads it: of a module of the user, parts."""
    if not isinstance(value, ModuleType) or is_installed(value):
        return value
    return _module_parts(value, names, [])


def _module_parts(module: ModuleType, names: set[str], above: list[str]) -> Any:
    """Return the attributes of a module of the user that have these names."""
    parts: list[Any] = [module.__name__]
    for name in sorted(names & vars(module).keys()):
        part = vars(module)[name]
        if isinstance(part, ModuleType) and not is_installed(part):
            if part.__name__ in above:
                continue
            part = _module_parts(part, names, [*above, module.__name__])
        parts.append((name, part))
    return parts
