"""A short run of the fuzzer, and that it finds what it looks for."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

# Calls of the short run: some seconds. `python benchmarks/fuzz.py --calls 20000` makes more.
N_CALLS = 250

pytest.importorskip("matplotlib").use("Agg")
pytest.importorskip("onnx")
pytest.importorskip("safetensors")


@pytest.fixture(scope="module")
def fuzz():
    """The module of the fuzzer."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("fuzz")
    for name in set(sys.modules) - before:
        if name.startswith("fuzz"):
            del sys.modules[name]


@pytest.fixture(scope="module")
def calls(fuzz):
    return fuzz.Calls()


def test_calls_answer_or_refuse_as_documented(fuzz, calls):
    found = {}
    for number in range(N_CALLS):
        _, finding = fuzz.judge(calls, 0, number)
        if finding is not None:
            found[f"python benchmarks/fuzz.py --seed 0 --only {number}"] = finding
    assert found == {}


def test_a_call_depends_on_seed_and_number_alone(fuzz, calls):
    first, second = (calls.draw(3, 5) for _ in range(2))
    assert first[0] == second[0]
    assert first[1].spoilt == second[1].spoilt
    assert fuzz.contents(first[2].arguments) == fuzz.contents(second[2].arguments)


def changes_its_argument(values):
    values[0] = 1.0
    return 0.5


@pytest.mark.parametrize(
    ("function", "level", "finding"),
    [
        (lambda values: np.inf, "plain", "1 numbers are not finite"),
        (lambda values: 0.5, "bad", "accepted {'values': 'as wanted'}"),
        (lambda values: values[9], "bad", "IndexError"),
        (lambda values: float("word"), "bad", "accidental ValueError"),
        (lambda values: np.zeros(1) / 0 and 0.5, "plain", "RuntimeWarning"),
        (changes_its_argument, "plain", "an argument was changed"),
    ],
)
def test_what_breaks_the_contract_is_found(fuzz, function, level, finding):
    class OneCall:
        def draw(self, seed, number):
            draw = fuzz.Draw(np.random.RandomState(seed), 0.0)
            if level == "bad":
                draw.note("values", "as wanted", level)
            return (
                "call",
                draw,
                fuzz.Call(function, {"values": np.zeros(2)}, fuzz.fuzz_calls.finite),
            )

    assert finding in fuzz.judge(OneCall(), 0, 0)[1]
