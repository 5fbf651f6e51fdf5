"""Check ``device="cuda"``: every kind of fit and answer, beside the CPU, and the times of both.

It fits students, baselines and deep ensembles on the device and on the CPU, and goes on after a
check that fails, whose traceback is printed. The exit status is 1 if any failed. A Markdown table
of times comes last; they are seconds of one run each, after a small fit that warms up::

    python benchmarks/gpu.py [--device cuda] [--small] [--parts small kinds raw large]

The checks: a student on the device answers as its pickle does on the CPU, here and in a fresh
process that sees no GPU; it learns as well as one on the CPU does; a fit repeats itself and leaves
the device's random numbers as they were; all other kinds of student can be fitted and answer. With
``--device cpu --small`` the script rehearses in less than a minute on a machine without a GPU.
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
import warnings
from typing import NamedTuple

import numpy as np
import torch
from gpu_checks import (
    N_FEATURES,
    Checks,
    check_conformalize,
    check_copies,
    check_device,
    check_fresh_process,
    check_pickle,
    check_quality,
    check_repeats,
    make_rows,
)
from gpu_kinds import BRIEF, run_kinds, run_raw
from tables import format_rows

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf._fitting.trainer import Trainer
from sklearn_dlf.baselines import HydraClassifier, HydraRegressor
from sklearn_dlf.ensembles import (
    DeepEnsembleClassifier,
    DeepEnsembleRegressor,
    member_predictions,
)

STUDENTS = (DLFRegressor, HydraRegressor), (DLFClassifier, HydraClassifier)


# Rows of which members are made at a time.
BLOCK = 2**16


class Sizes(NamedTuple):
    """Sizes of a run; all are choices."""

    rows: int = 2_000
    members: int = 50
    max_iter: int = 20  # iterations of EM, rounds of baselines
    n_epochs: int | str = "auto"  # of one iteration
    augment: str | None = "auto"
    teacher_iter: int = 20  # epochs of deep ensembles
    kinds_rows: int = 400  # of each other kind of student
    large_rows: int = 1_000_000
    large_iter: int = 2


SMALL = Sizes(200, 8, 2, 1, None, 2, 60, 20_000, 1)


class Times:
    """Seconds of one run each, by what was done and on which device."""

    def __init__(self, devices):
        self.devices = devices
        self._seconds = {}

    def measure(self, what, device, function, *args, **kwargs):
        """Call a function and return what it returns."""
        synchronise()
        began = time.perf_counter()
        result = function(*args, **kwargs)
        synchronise()
        self._seconds.setdefault(what, {})[device] = time.perf_counter() - began
        return result

    def add(self, what, device, seconds):
        """Add seconds that were measured elsewhere."""
        self._seconds.setdefault(what, {})[device] = seconds

    def table(self):
        """Return a Markdown table, with the ratio of the last device to the first."""
        lines = [["seconds", *self.devices, "ratio"]]
        for what, seconds in self._seconds.items():
            cells = [f"{seconds[each]:.3g}" if each in seconds else "" for each in self.devices]
            both = all(each in seconds for each in self.devices)
            first, last = self.devices[0], self.devices[-1]
            ratio = f"{seconds[last] / seconds[first]:.2f}" if both else ""
            lines.append([what, *cells, ratio])
        return format_rows(lines)


def synchronise():
    """Wait until the GPU has done all that it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def make_members(X, n_members):
    """Return members (n, n_members), smooth functions of the rows in float32, block by block."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((X.shape[1], 20), np.float32)
    heads = 0.1 * rng.standard_normal((20, n_members), np.float32)
    members = np.empty((len(X), n_members), np.float32)
    for start in range(0, len(X), BLOCK):
        rows = X[start : start + BLOCK].astype(np.float32)
        members[start : start + BLOCK] = np.tanh(rows @ weights) @ heads
        members[start : start + BLOCK] += np.sin(3 * rows[:, :1]) + rows[:, 1:2] ** 2
    return members


def run_small(args, sizes, checks, times):
    """Fit all models of a usual size on both devices; check the answers, and measure times."""
    data, test = make_rows(sizes.rows, 0), make_rows(sizes.rows, 1)
    size = f"{sizes.rows:,} x {N_FEATURES}, {sizes.members} members"
    for task in (0, 1):
        X, y = data[0], data[1 + task]
        teacher_class = (DeepEnsembleRegressor, DeepEnsembleClassifier)[task]
        teachers = fit_on_both(
            functools.partial(
                teacher_class, sizes.members, max_iter=sizes.teacher_iter, random_state=0
            ),
            lambda model, X=X, y=y: model.fit(X, y),
            test[0],
            size,
            checks,
            times,
        )
        if teachers is None:
            continue
        teacher = teachers[0]
        members = member_predictions(teacher, test[0])
        checks.run(f"{teacher_class.__name__}: pickle", check_pickle, teachers[1], test[0])
        for student_class in STUDENTS[task]:
            learnt, unseen = (X, y, teacher), (test[0], test[1 + task], members)
            run_student(student_class, learnt, unseen, args, sizes, checks, times)


def fit_on_both(make, fit, X, size, checks, times):
    """Fit a model on both devices and measure times; return both, or None if a fit failed."""
    models = []
    for device in times.devices:
        model = make(device=device)
        name = type(model).__name__

        def fit_and_predict(model=model, name=name, device=device):
            times.measure(f"{name}, fit, {size}", device, fit, model)
            predict = getattr(model, "predict_proba", None) or model.predict
            predict(X)
            times.measure(f"{name}, {predict.__name__}, {size}", device, predict, X)
            if not hasattr(model, "predict_proba"):
                what = f"{name}, predict with std, {size}"
                times.measure(what, device, model.predict, X, return_std=True)
            return model

        models.append(checks.run(f"{name}: fit and predict on {device}", fit_and_predict))
    return None if None in models else models


def run_student(student_class, data, test, args, sizes, checks, times):
    """Fit a student of one class on both devices, and check it."""
    (X, y, teacher), (rows, values, members) = data, test

    def fit(model):
        return model.fit(X, y, ensemble=teacher)

    training = {"n_epochs": sizes.n_epochs, "augment": sizes.augment, "random_state": 0}
    make = functools.partial(student_class, max_iter=sizes.max_iter, **training)
    size = f"{len(X):,} x {X.shape[1]}, {sizes.members} members"
    models = fit_on_both(make, fit, rows, size, checks, times)
    if models is None:
        return
    name, model = student_class.__name__, models[-1]
    checks.run(f"{name}: on the device", check_device, model, args.device)
    checks.run(f"{name}: pickle", check_pickle, model, rows)
    checks.run(f"{name}: fresh process", check_fresh_process, model, rows)
    checks.run(f"{name}: copies", check_copies, model, rows)
    checks.run(f"{name}: as good as on the CPU", check_quality, models, members, rows)
    brief = functools.partial(student_class, augment=sizes.augment, **BRIEF)
    checks.run(f"{name}: repeats itself", check_repeats, brief, args.device, fit)
    if hasattr(model, "conformalize"):
        checks.run(f"{name}: conformalize", check_conformalize, model, rows, values)


def run_large(args, sizes, checks, times):
    """Fit students to predictions at many rows, on both devices."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((sizes.large_rows, N_FEATURES))
    members = make_members(X, sizes.members)
    first = 1 / (1 + np.exp(-members))
    classes = np.stack([first, 1 - first], axis=1)
    options = {"max_iter": sizes.large_iter, "random_state": 0}
    cases = {
        DLFRegressor: (members, options),
        HydraRegressor: (members, options),
        DLFClassifier: (classes, {**options, "refine": False}),
    }
    size = f"{len(X):,} x {N_FEATURES}, {sizes.members} members, {sizes.large_iter} iterations"
    for student_class, (predictions, own) in cases.items():

        def fit(model, predictions=predictions):
            return fit_and_report(model, X, predictions, times, size)

        models = fit_on_both(functools.partial(student_class, **own), fit, X, size, checks, times)
        if models is None:
            continue
        name, some = student_class.__name__, slice(0, 5_000)
        checks.run(f"{name}, many rows: pickle", check_pickle, models[-1], X[some])
        checks.run(
            f"{name}, many rows: as good as on the CPU",
            check_quality,
            models,
            predictions[some],
            X[some],
        )


def fit_and_report(model, X, predictions, times, size):
    """Fit, and measure the part of the time that is training, and the memory of the GPU."""
    seconds, train = [0.0], Trainer.train

    def timed(self, *args):
        began = time.perf_counter()
        loss = train(self, *args)
        synchronise()
        seconds[0] += time.perf_counter() - began
        return loss

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    Trainer.train = timed
    try:
        model.fit(X, predictions=predictions)
    finally:
        Trainer.train = train
    what = f"{type(model).__name__}, of which in training, {size}"
    times.add(what, model.device, seconds[0])
    if torch.device(model.device).type == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**20
        print(f"       {type(model).__name__}: at most {peak:,.0f} MiB of the GPU in use")
    return model


PARTS = {"small": run_small, "kinds": run_kinds, "raw": run_raw, "large": run_large}


def warm_up(device):
    """Fit and predict once, so that libraries are loaded before times are taken."""
    X, y, _ = make_rows(100, 0)
    members = make_members(X, 5)
    DLFRegressor(max_iter=1, n_epochs=1, device=device).fit(X, predictions=members).predict(X)
    DeepEnsembleRegressor(2, max_iter=1, device=device).fit(X, y).predict(X)


def main():
    """Parse the command line, check, print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="rehearse with tiny sizes")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # students are trained briefly, and from few members
    began, checks = time.perf_counter(), Checks()
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    print(f"torch {torch.__version__}, {name}, {torch.get_num_threads()} threads of the CPU")
    # Twice the CPU in a rehearsal, under two names.
    devices = ["cpu", args.device if args.device != "cpu" else "cpu:0"]
    times = Times(devices)
    checks.run("warm up", lambda: [warm_up(device) for device in devices] and None)
    for part in args.parts:
        checks.run(f"part {part}", PARTS[part], args, sizes_of(args), checks, times)
        print(f"       {time.perf_counter() - began:.0f} s so far", flush=True)
    print(f"\n{times.table()}\n")
    print(f"FAILED: {'; '.join(checks.failed)}" if checks.failed else "All checks are ok.")
    return int(bool(checks.failed))


def sizes_of(args):
    """Return the sizes of a run."""
    return SMALL if args.small else Sizes()


if __name__ == "__main__":
    sys.exit(main())
