"""Calls that ``fuzz.py`` draws of files and copies of students."""

from __future__ import annotations

import copy
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_calls import Call, anything
from fuzz_students import Students
from fuzz_values import QUANTILES, SWITCHES, Draw

import sklearn_dlf
from sklearn_dlf import DLFRegressor

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

    def write_and_read(student: Any) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "student.safetensors"
            sklearn_dlf.save_student(student, path)
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

    def write(**options: Any) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "student.onnx"
            student.to_onnx(path, **options)
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
