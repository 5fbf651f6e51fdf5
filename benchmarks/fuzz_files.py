"""Calls that ``fuzz.py`` draws of files and copies of students, and of interrupted fits."""

from __future__ import annotations

import contextlib
import copy
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_calls import Call, anything
from fuzz_ensembles import N_ROWS, Teachers
from fuzz_students import TINY, Students
from fuzz_values import QUANTILES, SWITCHES, Draw
from skorch.callbacks import Callback

import sklearn_dlf
from sklearn_dlf import DLFClassifier, DLFRegressor, baselines
from sklearn_dlf.callbacks import FitCheckpoint

# What files hold that are none of a student; None is no file.
CONTENTS = {
    "absent": None,
    "empty": b"",
    "text": b"a student",
    "header": (2**40).to_bytes(8, "little") + b"{}",
    "no student": (2).to_bytes(8, "little") + b"{}",
    "pickle": pickle.dumps({"a": 1}),
    "zeros": bytes(64),
}


def files(draw: Draw, students: Students) -> Call:
    """Files of students: written and read, or refused."""
    name, student = students.pick(draw)
    X = students.rows[name]
    if draw.rng.uniform() < 0.4:
        return broken_file(draw)
    if draw.is_spoilt():
        label, other = draw.pick(
            [
                ("not fitted", DLFRegressor()),
                ("None", None),
                ("text", "student"),
                ("forest", students.teachers.regressors["forest"]),
            ]
        )
        draw.note("student", label, "bad")
        student = other
    elif name in ("pipeline", "frozen", "target", "transformed"):
        draw.note("student", name, "edge")

    wrong = draw.one_of("path", None, {"bad": [3, b"file", object()]})

    def write_and_read(student: Any) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "student.safetensors"
            sklearn_dlf.save_student(student, path if wrong is None else wrong)
            read = sklearn_dlf.load_student(path)
        return read.predict(X) == student.predict(X)

    def check(result: Any) -> str | None:
        return None if result.all() else "predicts otherwise"

    return Call(write_and_read, {"student": student}, check)


def broken_file(draw: Draw) -> Call:
    """Reading of what is no file of a student."""
    label = draw.pick([*CONTENTS, "None", "a number", "a folder"])
    draw.note("path", label, "bad")

    def read(label: str) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            others = {"None": None, "a number": 3.5, "a folder": Path(folder)}
            path = Path(folder) / f"{label}.safetensors"
            if CONTENTS.get(label) is not None:
                path.write_bytes(CONTENTS[label])
            return sklearn_dlf.load_student(others.get(label, path))

    return Call(read, {"label": label}, anything)


def exported(draw: Draw, students: Students) -> Call:
    """Files of ONNX."""
    name, student = students.pick(draw, lambda name: hasattr(students.fitted[name], "to_onnx"))
    outputs = {
        "variant": [["mean"]],
        "edge": [["mean", "mean"], [], "mean", ("probabilities",)],
        "bad": [["none"], 3, [3], "text"],
    }
    quantiles = draw.one_of("quantiles", (0.1, 0.9), QUANTILES)
    draw.note("student", name, "edge")
    wrong = draw.one_of("path", None, {"bad": [3, b"file", object()]})

    def write(**options: Any) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "student.onnx"
            student.to_onnx(path if wrong is None else wrong, **options)
            return path.stat().st_size

    arguments = {
        "outputs": draw.one_of("outputs", None, outputs),
        "quantiles": quantiles,
        "preprocessed": draw.one_of("preprocessed", False, SWITCHES),
    }
    return Call(write, arguments, anything)


def changed_state(draw: Draw, students: Students) -> Call:
    """Copies of students, which predict the same; and students without updates, which predict."""
    name, student = students.pick(draw)
    X = students.rows[name]
    copies = {
        "pickle": lambda student: pickle.loads(pickle.dumps(student)),
        "deepcopy": copy.deepcopy,
        "reset": lambda student: (
            student.reset_update() if hasattr(student, "reset_update") else student
        ),
    }
    label = draw.pick(copies)

    def call() -> Any:
        before = students.fitted[name].predict(X)
        found = copies[label](student).predict(X)
        is_other = (label, name) == ("reset", "updated")
        return is_other or np.array_equal(found, before)

    return Call(call, {}, lambda same: None if same else f"{name} after {label} predicts otherwise")


class Stop(Callback):
    """Interrupts a fit at the second round of training."""

    def __init__(self) -> None:
        self.n_rounds = 0

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Count the rounds; raise in the second one."""
        self.n_rounds += 1
        if self.n_rounds == 2:
            raise InterruptedError


def checkpoints(draw: Draw, teachers: Teachers) -> Call:
    """Fits that are interrupted and go on from a file, which may be damaged."""
    cls = draw.pick([DLFRegressor, DLFClassifier, baselines.HydraRegressor])
    folder = draw.one_of("dirname", "fits", {"bad": [None, 3, b"fits", object(), ["a"]]})
    files = {"variant": ["absent"], "bad": ["empty", "text", "zeros", "pickle"]}
    file = draw.one_of("path", "kept", files)
    members = draw.probabilities(N_ROWS, 3, 5) if cls is DLFClassifier else teachers.members

    def call(dirname: Any, file: str) -> Any:
        with tempfile.TemporaryDirectory() as root:
            path = Path(root, dirname) if dirname == "fits" else dirname

            def fit(*others: Any) -> Any:
                student = cls(**TINY, callbacks=[FitCheckpoint(path), *others])
                return student.fit(teachers.X, predictions=members)

            wanted = fit().predict(teachers.X)
            with contextlib.suppress(InterruptedError):
                fit(Stop())
            kept = [*path.iterdir()]
            if file != "kept":
                for each in kept:
                    each.unlink()
                    if CONTENTS[file] is not None:
                        each.write_bytes(CONTENTS[file])
            found = fit().predict(teachers.X)
            return len(kept), len([*path.iterdir()]), np.array_equal(found, wanted)

    def check(result: Any) -> str | None:
        wanted = 1, 0, True
        return None if result == wanted else f"files before, after, and equality: {result}"

    return Call(call, {"dirname": folder, "file": file}, check)
