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
import copy
import functools
import os
import pickle
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.datasets import make_friedman1
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from tables import format_rows
from torch import nn

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf._fitting.trainer import Trainer
from sklearn_dlf.baselines import (
    BatchEnsembleClassifier,
    BatchEnsembleRegressor,
    DirichletClassifier,
    HydraClassifier,
    HydraRegressor,
    SmallEnsembleClassifier,
    SmallEnsembleRegressor,
)
from sklearn_dlf.ensembles import (
    DeepEnsembleClassifier,
    DeepEnsembleRegressor,
    FittedEnsemble,
    member_predictions,
)
from sklearn_dlf.metrics import member_fidelity

N_FEATURES, N_DRAWS, N_CLASSES = 20, 20, 3

STUDENTS = (DLFRegressor, HydraRegressor), (DLFClassifier, HydraClassifier)

# Of fits whose quality does not matter.
BRIEF = {"max_iter": 2, "n_epochs": 2, "batch_size": 256, "random_state": 0}

# Rows of which members are made at a time.
BLOCK = 2**16

# Up to 256 rows are answered in float64, more of them in float32. What is compared is a distance in
# units of the largest answer.
FEW, EXACT_TOLERANCE, SINGLE_TOLERANCE = 100, 1e-9, 2e-5

# A student of the device may have so much more error of the mean, relative to that of the CPU and
# as an absolute share, and so much less correlation of the standard deviation. The two start from
# the same weights and take rows in the same order, but rounding makes them different fits.
MORE_ERROR, ABSOLUTE_ERROR, LESS_CORRELATION = 1.3, 0.01, 0.05


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


class Checks:
    """Runs checks and parts of the script, and goes on after one that fails."""

    def __init__(self):
        self.failed = []

    def run(self, name, check, *args):
        """Run a check, which raises if it fails; print what it returns, and return it too."""
        try:
            result = check(*args)
        except Exception:
            self.failed.append(name)
            print(f"FAILED {name}\n{traceback.format_exc()}", flush=True)
            return None
        print(f"ok     {name}" + (f": {result}" if isinstance(result, str) else ""), flush=True)
        return result


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


def make_rows(n_rows, seed):
    """Return rows, values and labels of `N_CLASSES` classes of about the same size."""
    X, y = make_friedman1(n_rows, N_FEATURES, noise=1.0, random_state=seed)
    return X, y, np.digitize(y, [12.0, 17.0])


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


def all_answers(model, X):
    """Return all answers of a model at rows, by name; draws are those of one seed."""
    answers = {}
    if hasattr(model, "predict_proba"):
        answers["predict_proba"] = model.predict_proba(X)
    else:
        answers["predict"], answers["std"] = model.predict(X, return_std=True)
        if getattr(model, "target_noise_", None) is not None:
            answers["predict_interval"] = model.predict_interval(X)
            answers["sample_y"] = model.sample_y(X, N_DRAWS, random_state=0)
    if hasattr(model, "predict_uncertainty") and hasattr(model, "predict_proba"):
        answers["epistemic"] = model.predict_uncertainty(X).epistemic
    if hasattr(model, "sample_predictions"):
        answers["sample_predictions"] = model.sample_predictions(X, N_DRAWS, random_state=0)
    if hasattr(model, "member_predictions"):
        answers["member_predictions"] = model.member_predictions(X)
    return answers


def compare(answers, others, tolerance):
    """Return the largest distance of two sets of answers as text, or raise if one is too large."""
    distances = {
        name: np.abs(answer - others[name]).max() / np.abs(answer).max()
        for name, answer in answers.items()
    }
    wrong = {name: float(each) for name, each in distances.items() if not each <= tolerance}
    assert not wrong, f"distances beyond {tolerance}: {wrong}"
    name = max(distances, key=distances.get)
    return f"{', '.join(distances)}; largest distance {distances[name]:.1e} ({name})"


def check_device(model, device):
    """Raise if a student's network is not on a device."""
    found = {part.device.type for part in network_tensors(model)}
    assert found == {torch.device(device).type}, found
    return f"{len(network_tensors(model))} parameters and buffers"


def network_tensors(model):
    """Return parameters and buffers of a student's network."""
    return [*model.student_.parameters(), *model.student_.buffers()]


def check_pickle(model, X):
    """Compare the answers of a model with those of its pickle, whose network is on the CPU."""
    restored = pickle.loads(pickle.dumps(model))
    if hasattr(restored, "student_"):
        check_device(restored, "cpu")
    else:  # the parameters of deep ensembles are arrays
        restored.set_params(device="cpu")
    # A body of the user's predicts in float32 at any number of rows.
    exact = SINGLE_TOLERANCE if getattr(model, "body_", None) == "custom" else EXACT_TOLERANCE
    few = compare(all_answers(model, X[:FEW]), all_answers(restored, X[:FEW]), exact)
    many = compare(all_answers(model, X), all_answers(restored, X), SINGLE_TOLERANCE)
    return f"{FEW} rows: {few.rsplit('; ')[-1]}; {len(X)} rows: {many}"


def check_fresh_process(model, X):
    """Compare the answers of a model with those of its pickle in a process that sees no GPU."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pkl"
        path.write_bytes(pickle.dumps((model, X[:FEW])))
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, __file__, "--answer", str(path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        with np.load(path.with_suffix(".npz")) as others:
            return compare(all_answers(model, X[:FEW]), others, EXACT_TOLERANCE)


def answer(path):
    """Answer for `check_fresh_process`: load a pickle, save all answers beside it."""
    assert not torch.cuda.is_available()
    model, X = pickle.loads(path.read_bytes())
    np.savez(path.with_suffix(".npz"), **all_answers(model, X))


def check_copies(model, X):
    """Compare the answers of a model with those of a copy, and of its network sent to the CPU."""
    rows = X[:FEW]
    wanted = all_answers(model, rows)
    compare(wanted, all_answers(copy.deepcopy(model), rows), EXACT_TOLERANCE)
    device = model.student_.device
    model.student_.to("cpu")
    try:
        return compare(wanted, all_answers(model, rows), EXACT_TOLERANCE)
    finally:
        model.student_.to(device)


def check_conformalize(model, X, y):
    """Check that intervals with a guarantee cover about as often as they claim."""
    half = len(X) // 2
    fitted = copy.copy(model).conformalize(X[:half], y[:half])
    low, high = fitted.predict_interval(X[half:], 0.9).T
    coverage = np.mean((low <= y[half:]) & (y[half:] <= high))
    assert coverage > 0.7, coverage
    return f"covers {coverage:.2f} of {half} new values at a level of 0.9"


def fidelity_of(model, members, X):
    """Return error of the mean, and correlation of the standard deviation with the members'."""
    if hasattr(model, "predict_proba"):  # of the first class
        mean = model.predict_proba(X)[:, 0]
        std = model.sample_predictions(X, 200, random_state=0)[:, 0].std(axis=1)
        members = members[:, 0]
    else:
        mean, std = model.predict(X, return_std=True)
    return member_fidelity(members, mean, std)


def check_quality(models, members, X):
    """Compare the fidelity of a student on the device with one on the CPU."""
    on_cpu, on_device = (fidelity_of(model, members, X) for model in models)
    text = ", ".join(
        f"{name} {on_device[name]:.4f} (CPU {on_cpu[name]:.4f})"
        for name in ("mean_error", "std_ratio", "std_correlation")
    )
    assert on_device.mean_error <= MORE_ERROR * on_cpu.mean_error + ABSOLUTE_ERROR, text
    assert on_device.std_correlation >= on_cpu.std_correlation - LESS_CORRELATION, text
    return text


def check_repeats(make, device, fit):
    """Check that a fit repeats itself, and leaves the device's generator as it was."""
    is_cuda = torch.device(device).type == "cuda"
    before = torch.cuda.get_rng_state(device) if is_cuda else torch.get_rng_state()
    first, second = (fit(make(device=device)) for _ in range(2))
    after = torch.cuda.get_rng_state(device) if is_cuda else torch.get_rng_state()
    assert torch.equal(before, after), "the state of the generator has changed"
    pairs = [*zip(network_tensors(first), network_tensors(second), strict=True)]
    same = all(torch.equal(*pair) for pair in pairs)
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    return f"bit by bit: {'yes' if same else 'no'}"


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


def normalised_body(n_features):
    """Return a body of one's own, with normalisation over a batch and dropout."""
    return nn.Sequential(nn.Linear(n_features, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1))


def body_on(device):
    """Return a function that makes a body on a device already."""
    return lambda n_features: normalised_body(n_features).to(device)


def list_kinds(device, n_rows, n_members):
    """Return functions that fit each other kind of student on a device, by name."""
    X, y, labels = make_rows(n_rows, 0)
    outputs = np.stack([y, X[:, 0] * y], axis=1)
    options = {**BRIEF, "device": device}
    forest = RandomForestRegressor(n_members, random_state=0, max_depth=6).fit(X, y)
    several = RandomForestRegressor(n_members, random_state=0, max_depth=6).fit(X, outputs)
    trees = RandomForestClassifier(n_members, random_state=0, max_depth=6).fit(X, labels)
    two = RandomForestClassifier(n_members, random_state=0, max_depth=6).fit(X, labels > 0)

    def student(student_class, teacher, target, **own):
        return lambda: student_class(**options, **own).fit(X, target, ensemble=teacher)

    modules = [nn.Linear(N_FEATURES, 1).to(device) for _ in range(4)]
    kinds = {
        "forest, encoded": student(DLFRegressor, forest, y),
        "forest, encoded by hand": student(DLFRegressor, forest, y, body="piecewise_linear"),
        "two outputs": student(DLFRegressor, several, outputs),
        "two outputs, separable": student(DLFRegressor, several, outputs, loadings="separable"),
        "published EM": student(DLFRegressor, forest, y, em="minibatch", body="mlp"),
        "published start": student(DLFRegressor, forest, y, init="mmd", q=2, body="mlp"),
        "random start": student(DLFRegressor, forest, y, init="random", body="mlp"),
        "constant noise": student(DLFRegressor, forest, y, member_noise="constant"),
        "no member noise": student(DLFRegressor, forest, y, member_noise=None),
        "weights decay": student(DLFRegressor, forest, y, weight_decay=1e-3, optimizer="adamw"),
        "sgd": student(DLFRegressor, forest, y, optimizer="sgd", lr=1e-3, body="mlp"),
        "end by L-BFGS": student(DLFRegressor, forest, y, hidden_layer_sizes=4, body="mlp"),
        "own body": student(lambda **o: DLFRegressor(body=normalised_body, **o), forest, y),
        "body on the device": student(
            lambda **o: DLFRegressor(body=body_on(device), **o), forest, y
        ),
        "modules on the device": student(
            DLFRegressor, FittedEnsemble(modules, outputs="values"), y
        ),
        "own teacher on the device": student(
            DLFRegressor, DeepEnsembleRegressor(4, max_iter=2, device=device, random_state=0), y
        ),
        "three classes": student(DLFClassifier, trees, labels),
        "three classes, separable": student(
            DLFClassifier, trees, labels, loadings="separable", augment=None
        ),
        "two classes": student(DLFClassifier, two, labels > 0, augment=None),
        "bootstrapped deep ensemble": lambda: DeepEnsembleRegressor(
            4, max_iter=2, bootstrap=True, device=device, random_state=0
        ).fit(X, outputs),
    }
    for student_class in (HydraRegressor, BatchEnsembleRegressor, SmallEnsembleRegressor):
        kinds[f"{student_class.__name__} of a forest"] = student(student_class, forest, y)
    for student_class in (
        HydraClassifier,
        BatchEnsembleClassifier,
        SmallEnsembleClassifier,
        DirichletClassifier,
    ):
        kinds[f"{student_class.__name__} of a forest"] = student(student_class, trees, labels)
    return kinds


def run_kinds(args, sizes, checks, times):
    """Fit each other kind of model on the device, briefly, and compare it with its pickle."""
    X = make_rows(3 * FEW, 1)[0]
    kinds = list_kinds(args.device, sizes.kinds_rows, 8)
    for name, fit in kinds.items():
        checks.run(name, lambda fit=fit: check_kind(fit(), X))


def run_raw(args, sizes, checks, times):
    """Fit students of images and of ids of tokens on the device, and compare them likewise."""
    rng = np.random.RandomState(0)
    images = rng.randint(0, 256, (3 * FEW, 1, 8, 8), dtype=np.uint8)
    tokens = rng.randint(0, 20, (3 * FEW, 6))
    bright = images.mean(axis=(1, 2, 3)) / 255
    seen = (tokens == 1).mean(axis=1)
    options = {**BRIEF, "device": args.device, "preprocessor": None}
    for name, X, value, body in (
        ("images", images, bright, image_body),
        ("ids of tokens", tokens, seen, token_body),
    ):
        members = np.stack([np.sin(k * value) for k in range(1, 7)], axis=-1)
        first = 1 / (1 + np.exp(-members))
        classes = np.stack([first, 1 - first], axis=1)

        def regress(X=X, members=members, body=body):
            student = DLFRegressor(body=body, **options)
            return student.fit(X, members.mean(axis=1), predictions=members, unseen=True)

        def classify(X=X, classes=classes, body=body, student=DLFClassifier):
            return student(body=body, **options).fit(X, predictions=classes)

        checks.run(f"values of {name}", lambda fit=regress, X=X: check_kind(fit(), X))
        checks.run(f"classes of {name}", lambda fit=classify, X=X: check_kind(fit(), X))
        batch = functools.partial(classify, student=BatchEnsembleClassifier)
        checks.run(f"BatchEnsemble of {name}", lambda fit=batch, X=X: check_kind(fit(), X))


def image_body(shape):
    """Return a small convolutional body."""
    return nn.Sequential(
        nn.Conv2d(shape[0], 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(8)
    )


class MeanEmbedding(nn.Module):
    """The mean of the embeddings of the tokens of a row."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 8)

    def forward(self, X):
        """Return features (n, 8) of ids (n, length)."""
        return self.embedding(X).mean(dim=1)


def token_body(length):
    """Return a body of ids of tokens."""
    return MeanEmbedding()


def check_kind(model, X):
    """Compare a model on the device with its pickle on the CPU."""
    if getattr(model, "body", None) is not None and callable(model.body):
        model.set_params(body=None)  # functions made by functions cannot be pickled
    if getattr(model, "ensemble", None) is not None:
        model.set_params(ensemble=None)
    return check_pickle(model, X)


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
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # students are trained briefly, and from few members
    if args.answer is not None:
        answer(args.answer)
        return 0
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
