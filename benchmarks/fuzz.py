"""Call the public functions with right and wrong arguments, and report what is not documented.

Each call either returns a result that passes its check, which is finite unless NaN is documented,
or raises ValueError, TypeError or an error of this package that names the argument. A call with
nothing wrong has to return, one with a wrong argument has to raise. No call that returns gives a
RuntimeWarning, none changes its arguments, and a call that fails leaves a student as it was.
``fuzz_values.py`` has the values. A call depends on seed and number alone, so that each finding can
be repeated::

    python benchmarks/fuzz.py --calls 20000 --seed 1
    python benchmarks/fuzz.py --seed 1 --only 4711

The exit status is 1 if there is a finding.
"""

from __future__ import annotations

import argparse
import linecache
import sys
import time
import traceback
import warnings
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import fuzz_calls
import fuzz_ensembles
import fuzz_files
import fuzz_fits
import fuzz_reports
import fuzz_rows
import fuzz_students
import fuzz_updates
import numpy as np
import pandas as pd
import sklearn
from fuzz_calls import Call, numbers_of
from fuzz_ensembles import Teachers
from fuzz_students import Students
from fuzz_values import ORDER, Draw
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import InvalidParameterError

import sklearn_dlf
from sklearn_dlf.exceptions import TrainingDivergedError

# Probability that an argument is spoilt: about half of all calls have a spoilt one.
SHARE = 0.2

ERRORS = (ValueError, TypeError, AttributeError, NotFittedError, InvalidParameterError)
ERRORS = (*ERRORS, TrainingDivergedError, FileNotFoundError, IsADirectoryError)

# Roots of the code whose errors are meant.
OWN, SKLEARN = (str(Path(module.__file__).parent) for module in (sklearn_dlf, sklearn))

# Other words by which a message may name an argument.
WORDS = {
    "X": ("row", "sample", "feature", "column", "array", "extreme", "members", "strings", "images"),
    "X_outside": ("row", "sample", "feature", "column", "array", "input x"),
    "X_unlabeled": ("members", "member", "extreme", "x must lie"),
    "X_ensemble": ("members",),
    "y": ("label", "values of y", "targets", "samples", "classes", "class "),
    "y_true": ("samples", "input", "labels", "array"),
    "sample_weight": ("weight",),
    "predictions": ("logits", "members", "probabilities", "samples", "rows"),
    "probabilities": ("samples", "array"),
    "intervals": ("samples",),
    "outputs": ("output",),
    "draws": ("samples", "draw", "inputs", "member", "outputs", "rows"),
    "means": ("samples",),
    "variances": ("samples",),
    "members": ("samples",),
    "mean": ("samples", "y_true"),
    "std": ("samples",),
    "held_out_members": ("latent_parameters",),
    "latent_parameters": ("samples",),
    "teacher_spread": ("samples",),
    "student_spread": ("samples",),
    "ensemble": ("list", "model", "fitted", "class", "outputs", "member"),
    "models": ("list", "model", "fitted", "class", "outputs", "n_members", "array"),
    "estimator": (
        "student",
        "fitted",
        "class",
        "target",
        "fit was called without y",
        "member",
        "output",
        "model",
    ),
    "student": ("student", "fitted", "onnx"),
    "path": ("file", "directory"),
    "new": ("strings", "columns"),
    "dirname": ("folder",),
    "ensemble_type": ("registered",),
    "classes": ("labels", "columns"),
    "n_members": ("members",),
    "max_iter": ("training",),
    "lr": ("training",),
    "weight_decay": ("training",),
    "body_lr": ("training",),
    "quantiles": ("quantile",),
    "levels": ("level",),
    "body": ("forward", "module"),
    "cv": ("k-fold", "splits", "cross-validation"),
}


def main() -> int:
    """Make the calls and report."""
    arguments = parse_arguments()
    calls = Calls()
    if arguments.only is not None:
        return explain(calls, arguments.seed, arguments.only)
    began, found, levels = time.perf_counter(), defaultdict(list), Counter()
    for number in range(arguments.first, arguments.first + arguments.calls):
        level, finding = judge(calls, arguments.seed, number)
        levels[level] += 1
        if finding is not None:
            found[finding].append(number)
    for finding, numbers in sorted(found.items(), key=lambda item: -len(item[1])):
        print(f"{len(numbers)} x {finding}")
        print(f"    python benchmarks/fuzz.py --seed {arguments.seed} --only {numbers[0]}")
    counts = ", ".join(f"{levels[level]} {level}" for level in ORDER)
    print(f"seed {arguments.seed}: {arguments.calls} calls ({counts}), ", end="")
    print(f"{sum(map(len, found.values()))} findings of {len(found)} kinds, ", end="")
    print(f"{time.perf_counter() - began:.0f} s")
    return int(bool(found))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=2000, help="number of calls")
    parser.add_argument("--seed", type=int, default=0, help="determines all calls")
    parser.add_argument("--first", type=int, default=0, help="number of the first call")
    parser.add_argument("--only", type=int, help="number of one call, which is explained")
    return parser.parse_args()


class Calls:
    """Draws calls. Teachers and students are fitted once."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # students are trained briefly
            self.teachers = teachers = Teachers()
            students = Students(teachers)
        # What is drawn, and how often.
        self.makers = {
            fuzz_calls.scores: 3,
            fuzz_calls.fidelity: 2,
            fuzz_calls.class_scores: 2,
            fuzz_calls.figures: 0.3,
            fuzz_calls.data: 1,
            partial(fuzz_ensembles.members, teachers=teachers): 3,
            partial(fuzz_ensembles.wrapped_models, teachers=teachers): 1,
            fuzz_ensembles.described_members: 0.5,
            fuzz_ensembles.drawn_parameters: 0.7,
            fuzz_ensembles.registered: 0.3,
            partial(fuzz_ensembles.deep_ensemble, teachers=teachers): 1,
            partial(fuzz_students.prediction, students=students): 6,
            partial(fuzz_students.through_wrappers, students=students): 2,
            partial(fuzz_updates.held_out, students=students): 3,
            partial(fuzz_updates.adapted, students=students): 2,
            partial(fuzz_updates.conformalized, students=students): 1,
            partial(fuzz_reports.scorers, students=students): 2,
            partial(fuzz_reports.report, students=students): 1,
            partial(fuzz_files.files, students=students): 0.5,
            partial(fuzz_files.exported, students=students): 0.3,
            partial(fuzz_files.changed_state, students=students): 0.3,
            partial(fuzz_files.checkpoints, teachers=teachers): 0.3,
            partial(fuzz_fits.fit, teachers=teachers): 4,
            fuzz_rows.sentences: 0.5,
            fuzz_rows.made_rows: 0.5,
        }

    def draw(self, seed: int, number: int) -> tuple[str, Draw, Call]:
        """Return the name, the draw and the call of a number."""
        rng = np.random.RandomState([seed, number])
        weights = np.array(list(self.makers.values()))
        maker = list(self.makers)[rng.choice(len(weights), p=weights / weights.sum())]
        draw = Draw(rng, SHARE)
        call = maker(draw)
        return getattr(maker, "func", maker).__name__, draw, call


def judge(calls: Calls, seed: int, number: int) -> tuple[str, str | None]:
    """Make one call; return the level of its arguments, and what is not documented of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        name, draw, call = calls.draw(seed, number)
        before = contents(call.arguments)
        state = None if call.unchanged is None else call.unchanged()
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        try:
            result = call.function(**call.arguments)
        except Exception as error:
            finding = judge_error(error, draw)
            if finding is None and state is not None and has_changed(call, state):
                finding = "an error has changed the student"
        else:
            finding = judge_result(result, call, draw, raised)
    if finding is None and contents(call.arguments) != before:
        finding = "an argument was changed"
    if finding is None:
        return draw.level, None
    function = getattr(call.function, "__qualname__", name)
    return draw.level, f"{name} ({function}): {finding}"


def judge_error(error: Exception, draw: Draw) -> str | None:
    """Return what is not documented of an error."""
    text = f"{type(error).__name__}: {str(error)[:150]}"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    is_meant = linecache.getline(frame.filename, frame.lineno).strip().startswith("raise")
    if not isinstance(error, ERRORS):
        return f"{text} at {place}"
    if frame.filename.startswith(SKLEARN) or "mt19937" in frame.filename:
        is_named = True  # scikit-learn, in its own words; a seed is refused by numpy
    elif not (frame.filename.startswith(OWN) and is_meant) and not isinstance(error, OSError):
        return f"accidental {text} at {place}"
    else:
        words = [word for name in draw.spoilt for word in (name, *WORDS.get(name, ()))]
        shown = "\n".join([str(error), *getattr(error, "__notes__", [])]).lower()
        is_named = any(word.lower() in shown for word in words)
    if draw.level in ("plain", "variant"):
        return f"valid arguments {draw.spoilt} are refused: {text} at {place}"
    if not is_named:
        return f"message does not name {list(draw.spoilt)}: {text} at {place}"
    return None


def judge_result(result: Any, call: Call, draw: Draw, raised: list) -> str | None:
    """Return what is not documented of a result."""
    if draw.level == "bad":
        bad = {name: label for name, (label, level) in draw.spoilt.items() if level == "bad"}
        others = [call.arguments.get(name) for name in ("y", "predictions")]
        is_alone = "y" in call.arguments and all(each is None for each in others)
        if bad == {"X": "a row too many"} and is_alone:
            return None  # without y and predictions, X may have any number of rows
        if bad == dict.fromkeys(("X", "y"), "a row too many"):
            return None  # both have as many
        return f"accepted {bad}"
    for each in raised:
        if issubclass(each.category, RuntimeWarning | DeprecationWarning | FutureWarning):
            place = f"{Path(each.filename).name}:{each.lineno}"
            return f"{each.category.__name__}: {each.message} at {place} ({draw.spoilt})"
    problem = call.check(result)
    if problem is None and not call.allows_nan:
        return None
    if problem is None and any(np.isinf(array).any() for array in numbers_of(result)):
        problem = "infinite"
    return None if problem is None else f"{problem} ({draw.spoilt})"


def has_changed(call: Call, state: Any) -> bool:
    """Return whether an error has changed what must stay as it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return not np.array_equal(call.unchanged(), state)
        except Exception:
            return True


def contents(arguments: dict[str, Any]) -> list[Any]:
    """Return all that a call must not change: arrays, frames and lists."""
    return [content(value) for value in arguments.values()]


def content(value: Any) -> Any:
    """Return what one argument holds, in a form that can be compared."""
    if isinstance(value, dict):
        return [content(each) for each in value.values()]
    if isinstance(value, list | tuple):
        return [content(each) for each in value]
    if sparse.issparse(value):
        return value.toarray().tobytes()
    if isinstance(value, pd.DataFrame | pd.Series):
        return str(value.index), repr(value.to_numpy().tolist())
    if isinstance(value, np.ndarray):
        return value.shape, repr(value.tolist())
    if isinstance(value, BaseEstimator):
        return repr(value)
    return None


def explain(calls: Calls, seed: int, number: int) -> int:
    """Print one call, and what comes of it."""
    name, draw, call = calls.draw(seed, number)
    print(f"{name}: {getattr(call.function, '__qualname__', call.function)}, spoilt: {draw.spoilt}")
    for key, value in call.arguments.items():
        print(f"  {key} = {str(value)[:500]!r}")
    level, finding = judge(calls, seed, number)
    print(f"{level}: {finding or 'as documented'}")
    _, _, call = calls.draw(seed, number)
    try:
        print(f"returns {call.function(**call.arguments)!r}")
    except Exception:
        traceback.print_exc(file=sys.stdout)
    return int(finding is not None)


if __name__ == "__main__":
    sys.exit(main())
