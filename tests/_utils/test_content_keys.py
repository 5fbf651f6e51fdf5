import importlib
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from pickle import PicklingError

import numpy as np
import pytest
import torch
from skorch import NeuralNetRegressor
from torch import nn

import sklearn_dlf
from sklearn_dlf._utils.content_keys import content_key

MINE = """
import functools
import math
import numpy as np
import mine_further
from mine_further import helper

FACTOR = 2
KINDS = {"a", "b", "c", "d"}
TABLE = {"low": [1, 2], "high": [3, 4]}


def plain(X):
    return 2 * X


def reads_global(X):
    return FACTOR * X


def reads_dict(X):
    return TABLE["low"][0] * X


def calls_helper(X):
    return helper(X)


def calls_module(X):
    return mine_further.helper(X)


def imports_inside(X):
    from mine_further import helper as inner

    return inner(X)


def has_default(X, factor=2):
    return factor * X


def has_keyword(X, *, factor=2):
    return factor * X


def made(factor):
    def inner(X):
        return factor * X

    return inner


closure = made(2)


@functools.lru_cache
def kept(X):
    return 2 * X


def calls_kept(X):
    return kept(X)


def has_set(X):
    return X if str(X) in {"a", "b", "c", "d"} else math.sqrt(X)


def first(n):
    return n if n < 1 else second(n - 1)


def second(n):
    return n if n < 1 else first(n - 2)


def with_attribute(X):
    return with_attribute.factor * X


with_attribute.factor = 2


class Model:
    depth = 2

    def __init__(self, scale=1):
        self.scale = scale

    def predict(self, X):
        return self.scale * X + self.shift(X)

    @property
    def twice(self):
        return 2 * self.scale

    @staticmethod
    def shift(X):
        return 2 + X


class Inherits(Model):
    pass
"""

FURTHER = """
def helper(X):
    return 2 * X


def unread(X):
    return 3 * X
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Return a function that imports the two modules with some text replaced."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def load(old="", new="", further=("", "")):
        for name, text in (("mine_further", FURTHER.replace(*further)), ("mine", MINE)):
            (tmp_path / f"{name}.py").write_text(text.replace(old, new) if old else text)
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return importlib.import_module("mine")

    yield load
    for name in ("mine", "mine_further"):
        sys.modules.pop(name, None)


FUNCTIONS = [
    "plain",
    "reads_global",
    "reads_dict",
    "calls_helper",
    "calls_module",
    "imports_inside",
    "has_default",
    "has_keyword",
    "closure",
    "calls_kept",
    "has_set",
    "first",
    "with_attribute",
    "Model",
    "Inherits",
]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_module_that_was_loaded_again_has_the_same_keys(load, name):
    assert content_key(getattr(load(), name)) == content_key(getattr(load(), name))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("plain", "return 2 * X", "return 3 * X"),
        ("plain", "return 2 * X", "return 2.0 * X"),
        ("reads_global", "FACTOR = 2", "FACTOR = 3"),
        ("reads_dict", "[1, 2]", "[2, 2]"),
        ("has_default", "factor=2", "factor=3"),
        ("has_keyword", "*, factor=2", "*, factor=3"),
        ("closure", "made(2)", "made(3)"),
        ("calls_kept", "def kept(X):\n    return 2", "def kept(X):\n    return 3"),
        ("has_set", '"d"}', '"e"}'),
        ("has_set", "math.sqrt", "math.exp"),
        ("first", "first(n - 2)", "first(n - 3)"),
        ("with_attribute", ".factor = 2", ".factor = 3"),
        ("Model", "depth = 2", "depth = 3"),
        ("Model", "return 2 + X", "return 3 + X"),
        ("Model", "2 * self.scale", "3 * self.scale"),
        ("Inherits", "return 2 + X", "return 3 + X"),
        ("Model", "scale=1", "scale=2"),
    ],
)
def test_edited_code_has_another_key(load, name, old, new):
    before = content_key(getattr(load(), name))
    assert content_key(getattr(load(old, new), name)) != before


@pytest.mark.parametrize("name", ["calls_helper", "calls_module", "imports_inside"])
def test_an_edited_helper_of_another_module_changes_the_key(load, name):
    before = content_key(getattr(load(), name))
    assert content_key(getattr(load(further=("return 2", "return 3")), name)) != before


@pytest.mark.parametrize("name", ["calls_helper", "calls_module", "imports_inside"])
def test_an_edit_of_what_is_not_read_leaves_the_key(load, name):
    before = content_key(getattr(load(), name))
    assert content_key(getattr(load(further=("return 3", "return 4")), name)) == before


@pytest.mark.parametrize(
    "wrap",
    [
        lambda mine: [mine.plain],
        lambda mine: partial(mine.plain, X=1),
        lambda mine: {mine.plain: 1},
        lambda mine: {mine.plain},
        lambda mine: mine.Model(3),
        lambda mine: mine.Model(3).predict,
    ],
    ids=["list", "partial", "key", "set", "instance", "method"],
)
def test_code_is_found_inside_of_objects(load, wrap):
    before = content_key(wrap(load()))
    assert content_key(wrap(load())) == before
    assert content_key(wrap(load("X", "Y"))) != before


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


def test_modules_with_equal_weights_have_one_key():
    assert content_key(network()) == content_key(network())


def change_weight(module):
    module[0].weight.data[0, 0] += 1e-6


def change_buffer(module):
    module[1].running_mean[0] += 1e-6


def change_kind(module):
    module.double()


@pytest.mark.parametrize("change", [change_weight, change_buffer, change_kind])
def test_modules_with_other_weights_have_other_keys(change):
    module = network()
    change(module)
    assert content_key(module) != content_key(network())


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(4).to(torch.bfloat16),
        torch.eye(3).to_sparse(),
        torch.arange(6).reshape(2, 3).T,
        torch.tensor([1 + 2j]).conj(),
        torch.empty(0, 3),
    ],
    ids=["bfloat16", "sparse", "strided", "conjugate", "empty"],
)
def test_tensors_of_any_kind_are_known_by_their_values(tensor):
    assert content_key(tensor) == content_key(tensor.clone())
    if tensor.numel():
        assert content_key(tensor) != content_key(tensor + tensor)


def test_tensors_without_values_are_refused():
    with pytest.raises((NotImplementedError, RuntimeError)):
        content_key(torch.empty(2, device="meta"))


def test_nets_are_known_by_their_weights_and_not_by_the_times_of_their_epochs():
    X = np.linspace(0, 1, 12, dtype=np.float32).reshape(-1, 3)
    nets = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        net = NeuralNetRegressor(nn.Linear, module__in_features=3, module__out_features=1)
        net.set_params(max_epochs=2, train_split=None, verbose=0)
        nets.append(content_key(net.fit(X, X[:, :1])))
    assert nets[0] == nets[1]
    assert nets[0] != nets[2]


def test_what_cannot_be_identified_is_refused(load):
    mine = load()
    mine.FACTOR = open(os.devnull)  # noqa: SIM115
    with mine.FACTOR, pytest.raises((PicklingError, TypeError)):
        content_key(mine.reads_global)


def test_keys_are_the_same_in_another_process(load, tmp_path):
    mine = load()
    script = (
        "import mine\nfrom sklearn_dlf._utils.content_keys import content_key\n"
        f"print(*(content_key(getattr(mine, name)) for name in {FUNCTIONS}))"
    )
    path = os.pathsep.join([str(Path(sklearn_dlf.__file__).parents[1]), str(tmp_path), *sys.path])
    variables = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "3"}
    printed = subprocess.run(
        [sys.executable, "-c", script], env=variables, check=True, capture_output=True, text=True
    ).stdout
    assert printed.split() == [content_key(getattr(mine, name)) for name in FUNCTIONS]
