"""The layout of the package: imports run down, modules and functions stay short."""

import ast
import inspect
from importlib import import_module
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sklearn_dlf"

# From the bottom to the top. A module imports from its own folder and from folders before it.
FOLDERS = [
    "exceptions",
    "_version",
    "_utils",
    "_rows",
    "_latent",
    "_network",
    "_predictive",
    "_export",
    "ensembles",
    "_transfer",
    "_fitting",
    "_updating",
    "_estimators",
    "datasets",
    "baselines",
    "metrics",
    "plotting",
    "augmentation",
    "callbacks",
    "text",
    "__init__",
]

MAX_MODULE_LINES, MAX_FUNCTION_LINES = 400, 60

MODULES = sorted(PACKAGE.rglob("*.py"))


def folder_of(path):
    """Return the name of the folder, or of the module, below the package."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_folders(path):
    """Yield the folders of the package that a module imports from."""
    parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = parts[: len(parts) - node.level]
            names = [*base, *(node.module.split(".") if node.module else [])]
            yield names[0] if names else node.names[0].name
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = (
                [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            )
            assert not any(name.startswith("sklearn_dlf") for name in names), path


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_down(path):
    own = FOLDERS.index(folder_of(path))
    above = [name for name in imported_folders(path) if FOLDERS.index(name) > own]
    assert above == []


def docstring_lines(node):
    """Return the number of lines that the docstring of a class or function takes."""
    if ast.get_docstring(node) is None:
        return 0
    return node.body[0].end_lineno - node.body[0].lineno + 1


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_and_functions_are_short(path):
    text = path.read_text()
    nodes = list(ast.walk(ast.parse(text)))
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    n_lines = len(text.splitlines()) - sum(map(docstring_lines, classes))
    assert n_lines <= MAX_MODULE_LINES
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            n_lines = node.end_lineno - node.lineno + 1 - docstring_lines(node)
            assert n_lines <= MAX_FUNCTION_LINES, node.name


def test_every_folder_of_tests_is_one_of_the_package():
    tests = Path(__file__).parent
    folders = {
        path.parent.relative_to(tests) for path in tests.rglob("test_*.py") if path.parent != tests
    }
    assert all((PACKAGE / folder).is_dir() for folder in folders)
    assert len(folders) >= 9


def public_callables():
    """Yield names and functions of everything public, methods of classes included."""
    for name in ["", ".ensembles", ".baselines", ".metrics", ".plotting", ".datasets"]:
        module = import_module(f"sklearn_dlf{name}")
        for public in module.__all__:
            value = getattr(module, public)
            if not inspect.isclass(value):
                yield public, value
                continue
            for member, function in inspect.getmembers(value, inspect.isroutine):
                is_ours = (getattr(function, "__module__", "") or "").startswith("sklearn_dlf")
                if is_ours and (not member.startswith("_") or member == "__init__"):
                    yield f"{public}.{member}", function


@pytest.mark.parametrize(("name", "function"), list(public_callables()))
def test_public_signatures_are_annotated(name, function):
    if not inspect.isroutine(function):  # scorers are objects
        function = type(function).__call__
    signature = inspect.signature(function)
    parameters = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    missing = [p.name for p in parameters if p.annotation is p.empty]
    assert missing == []
    if not name.endswith("__init__"):
        assert signature.return_annotation is not signature.empty
