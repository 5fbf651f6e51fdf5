"""Memory that predictions of a student take beyond their result.

Students of many outputs or classes are fitted briefly. Each method is called in a process of its
own, which has evaluated a few rows before, so that its libraries are loaded. Memory is what the
operating system counts as resident, torch's included; Linux only::

    python benchmarks/memory.py
    python benchmarks/memory.py --rows 100000 --outputs 10

The script prints a Markdown table in MiB.
"""

from __future__ import annotations

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

N_TRAINED, N_FEATURES, N_MEMBERS = 300, 8, 12

# Draws of `sample_predictions` and `sample_y`.
N_DRAWS = 20

# Brief training: what is measured does not depend on it.
BRIEF = {"max_iter": 2, "n_epochs": 1, "tol": 10.0, "augment": None, "random_state": 0}

STUDENTS = {
    "regressor": (
        "predict",
        "predict with std",
        "predict_interval",
        "predict_quantiles",
        "predict_uncertainty",
        "sample_predictions",
        "sample_y",
    ),
    "separable regressor": ("predict with std", "predict_interval", "sample_predictions"),
    "conformal regressor": ("predict_interval",),
    "regressor of log y": (
        "predict",
        "predict with std",
        "predict_interval",
        "sample_predictions",
    ),
    "Hydra regressor": ("predict with std", "predict_interval", "sample_predictions"),
    "classifier": (
        "predict_proba",
        "predict_log_proba",
        "predict_uncertainty",
        "sample_predictions",
    ),
    "classifier of 2": ("predict_proba", "predict_uncertainty", "sample_predictions"),
    "classifier of 10": ("predict_proba", "predict_uncertainty", "sample_predictions"),
    "Hydra classifier": ("predict_proba", "predict_uncertainty", "sample_predictions"),
}


def main():
    """Fit the students, measure each method and print the table."""
    arguments = parse_arguments()
    if arguments.measure:
        print(json.dumps(measure(Path(arguments.student), arguments.measure, arguments.rows)))
        return
    print(f"{arguments.rows:,} rows, {arguments.outputs} outputs or classes, {N_DRAWS} draws\n")
    print("| student | method | result | beyond it |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for name, methods in STUDENTS.items():
            if arguments.only and arguments.only not in name:
                continue
            path = Path(folder) / "student.pkl"
            path.write_bytes(pickle.dumps(fit(name, arguments.outputs)))
            for method in methods:
                found = run(path, method, arguments.rows)
                beyond = found["peak"] - found["result"]
                print(f"| {name} | {method} | {found['result']:.0f} | {beyond:.0f} |", flush=True)


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--outputs", type=int, default=200)
    parser.add_argument("--only", help="measure students whose name contains this")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--student", help=argparse.SUPPRESS)
    return parser.parse_args()


def fit(name, n_outputs):
    """Return a student of a kind, fitted to made predictions."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.linear_model import Ridge

    from sklearn_dlf import DLFClassifier, DLFRegressor
    from sklearn_dlf.baselines import HydraClassifier, HydraRegressor

    warnings.simplefilter("ignore")
    rng = np.random.RandomState(0)
    X = rng.standard_normal((N_TRAINED, N_FEATURES))
    if "classifier" in name:
        n_classes = int(name.split()[-1]) if name[-1].isdigit() else n_outputs
        logits = np.einsum("nd,dcm->ncm", X, rng.standard_normal((N_FEATURES, n_classes, 1)))
        logits = logits + 0.3 * np.einsum(
            "nd,dcm->ncm", X, rng.standard_normal((N_FEATURES, n_classes, N_MEMBERS))
        )
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        if "Hydra" in name:
            student = HydraClassifier(max_iter=1, n_epochs=1, augment=None, random_state=0)
        else:
            student = DLFClassifier(refine=False, **BRIEF)
        return student.fit(X, predictions=probabilities)
    members = np.einsum("nd,dcm->ncm", X, rng.standard_normal((N_FEATURES, n_outputs, N_MEMBERS)))
    y = members.mean(axis=2) + rng.standard_normal((N_TRAINED, n_outputs))
    if name == "regressor of log y":
        models = [
            TransformedTargetRegressor(Ridge(alpha), func=np.log, inverse_func=np.exp).fit(
                X, np.exp(0.1 * y)
            )
            for alpha in np.geomspace(0.01, 1000, N_MEMBERS)
        ]
        return DLFRegressor(**BRIEF).fit(X, np.exp(0.1 * y), ensemble=models, unseen=True)
    if name == "Hydra regressor":
        student = HydraRegressor(max_iter=1, n_epochs=1, augment=None, random_state=0)
    else:
        loadings = "separable" if name.startswith("separable") else "full"
        student = DLFRegressor(loadings=loadings, **BRIEF)
    student.fit(X, y, predictions=members, unseen=True)
    if name.startswith("conformal"):
        student.conformalize(X, y)
    return student


def run(path, method, n_rows):
    """Measure a method in a new process; return MiB of the result and of the peak."""
    options = ["--student", str(path), "--measure", method, "--rows", str(n_rows)]
    result = subprocess.run(
        [sys.executable, __file__, *options], check=True, stdout=subprocess.PIPE
    )
    return json.loads(result.stdout)


def measure(path, method, n_rows):
    """Return MiB of the result, and of the rise of resident memory to its peak."""
    student = pickle.loads(path.read_bytes())
    X = np.random.RandomState(1).standard_normal((n_rows, N_FEATURES))
    call(student, method, X[:64])
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew
    result = call(student, method, X)
    return {"result": size(result), "peak": resident("VmHWM") - before}


def call(student, method, X):
    """Call a method of the table."""
    if method == "predict with std":
        return student.predict(X, return_std=True)
    if method.startswith("sample"):
        return getattr(student, method)(X, N_DRAWS, random_state=0)
    return getattr(student, method)(X)


def size(result):
    """Return the MiB of an array, or of several."""
    if isinstance(result, dict):
        result = tuple(result.values())
    arrays = result if isinstance(result, tuple) else (result,)
    return sum(array.nbytes for array in arrays) / 2**20


def resident(field):
    """Return a field of this process's memory in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 2**10


if __name__ == "__main__":
    main()
