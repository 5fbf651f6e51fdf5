"""Time of one row in onnxruntime, beside the student's own: ``python benchmarks/serving.py``.

Needs onnx and onnxruntime. Students have the default network, and are trained briefly, since the
time does not depend on what they have learnt. Prints microseconds of CPU time, the median of
repetitions that take turns, the size of the file, and the largest relative difference.
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from sklearn_dlf import DLFClassifier, DLFRegressor

BRIEF = {"max_iter": 2, "n_epochs": 1, "random_state": 0}

# Repetitions, each of this many calls.
N_REPETITIONS, N_CALLS = 15, 200


def make_rows(n_outputs: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of ten columns, and values."""
    rng = np.random.RandomState(0)
    X = rng.standard_normal((400, 10))
    y = np.sin(X @ rng.standard_normal((10, n_outputs))) + 0.1 * rng.standard_normal(
        (400, n_outputs)
    )
    return X, y


def make_students() -> dict:
    """Return students by name, each with its rows."""
    students = {}
    for name, n_outputs, params in (
        ("one output", 1, {"body": "mlp"}),
        ("one output, of trees", 1, {"body": "piecewise_linear"}),
        ("three outputs", 3, {"body": "mlp"}),
        ("three outputs, separable", 3, {"body": "mlp", "loadings": "separable"}),
    ):
        X, y = make_rows(n_outputs)
        y = y[:, 0] if n_outputs == 1 else y
        forest = RandomForestRegressor(20, random_state=0).fit(X, y)
        students[name] = DLFRegressor(**BRIEF, **params).fit(X, y, ensemble=forest), X
    X, y = make_rows()
    for n_classes in (2, 3, 10):
        labels = np.digitize(y[:, 0], np.quantile(y, np.linspace(0, 1, n_classes + 1)[1:-1]))
        forest = RandomForestClassifier(20, random_state=0).fit(X, labels)
        student = DLFClassifier(**BRIEF, body="mlp").fit(X, ensemble=forest)
        students[f"{n_classes} classes"] = student, X
    return students


def microseconds(functions: list) -> list[float]:
    """Return the median time of a call of each function."""
    times = np.empty((N_REPETITIONS, len(functions)))
    for repetition in range(N_REPETITIONS):
        for place, function in enumerate(functions):
            start = time.process_time()
            for _ in range(N_CALLS):
                function()
            times[repetition, place] = time.process_time() - start
    return list(1e6 * np.median(times, axis=0) / N_CALLS)


def main() -> None:
    """Print the table."""
    print(f"{'':26} {'all':>7} {'few':>7} {'student':>8} {'KiB':>6} {'difference':>11}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with TemporaryDirectory() as folder:
        path = Path(folder) / "student.onnx"
        for name, (student, X) in make_students().items():
            is_classifier = hasattr(student, "classes_")
            few = ["probabilities"] if is_classifier else ["mean", "std"]
            sessions = []
            for outputs in (None, few):
                student.to_onnx(path, outputs=outputs)
                size = path.stat().st_size / 1024
                sessions.append(onnxruntime.InferenceSession(path.read_bytes(), options))
            row = X[:1]

            def own(student=student, row=row, is_classifier=is_classifier):
                return (
                    student.predict_proba(row)
                    if is_classifier
                    else student.predict(row, return_std=True)[1]
                )

            calls = [lambda s=s, row=row: s.run(None, {"X": row}) for s in sessions]
            times = microseconds([*calls, own])
            found, expected = sessions[1].run(None, {"X": row})[-1], own()
            difference = np.max(np.abs(np.ravel(found) / np.ravel(expected) - 1))
            print(
                f"{name:26} {times[0]:7.1f} {times[1]:7.1f} {times[2]:8.1f} {size:6.1f} "
                f"{difference:11.1e}"
            )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
