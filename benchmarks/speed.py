"""Measure speed, memory and size of students as ratios, beside the targets for them.

The two sides of a ratio alternate in one process. Times are processor seconds; after one round that
warms up, each round gives a ratio, and the median and range of these are printed. Memory is the
rise of a fresh process's peak above what the process held before (Linux only). Where only
predictions are timed, students and teachers are trained for a short time. Other methods are
measured if they are installed (extra ``bench``, and laplace-torch). Prints one Markdown table. For
M-steps see benchmarks/m_step.py:

    OMP_NUM_THREADS=1 python benchmarks/speed.py [--rounds 5] [--rows 100000] [--large]
        [--sections members rows hydra predict draws memory size others] [--quick]
"""

from __future__ import annotations

import argparse
import functools
import gc
import multiprocessing
import pickle
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from alternatives import ALTERNATIVES, HIDDEN, LEVEL, N_TREES
from measuring import processor_seconds
from sklearn.datasets import make_friedman1
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from sklearn_dlf import DLFRegressor
from sklearn_dlf._network.base import PREDICT_ROWS
from sklearn_dlf.baselines import BatchEnsembleRegressor, HydraRegressor
from sklearn_dlf.ensembles import DeepEnsembleRegressor, member_predictions

N_FEATURES, Q, N_MEMBERS = 10, 10, 50
NUMBERS_OF_DRAWS = (10, 100, 1000)
MB, GIB = 1e6, 2**30


class Sizes(NamedTuple):
    """Sizes of a run; all are choices."""

    rows: int = 100_000  # rows to predict
    fit_rows: tuple = (2_000, 10_000)
    memory_rows: int = 200_000
    n_iter: int = 10  # iterations of EM; with so few, EM never converges before the last
    teacher_iter: int = 5
    n_calls: int = 200  # predictions of one row


QUICK = Sizes(2_000, (200, 400), 20_000, 2, 1, 5)


def make_data(n_rows):
    """Return rows and noisy values of Friedman's first function."""
    return make_friedman1(n_rows, N_FEATURES, noise=1.0, random_state=0)


def make_members(n_rows, n_members):
    """Return rows, values, and members (n_rows, n_members), smooth functions in float32."""
    X, y = make_data(n_rows)
    rng = np.random.default_rng(0)
    features = np.tanh(X.astype(np.float32) @ rng.standard_normal((N_FEATURES, 20), np.float32))
    members = features @ rng.standard_normal((20, n_members), np.float32)
    members += y.astype(np.float32)[:, None]
    return X, y, members


def make_student(sizes, student_class=DLFRegressor, **options):
    """Return an untrained student whose fit has ``sizes.n_iter`` iterations."""
    if student_class is DLFRegressor:
        options = {"q": Q, "tol": 0.0, **options}
    return student_class(max_iter=sizes.n_iter, random_state=0, **options)


def time_in_turn(cases, n_rounds):
    """Return processor seconds (n_rounds,) of every case; a first round warms up."""
    rounds = [
        {name: processor_seconds(function) for name, function in cases.items()}
        for _ in range(n_rounds + 1)
    ]
    return {name: np.array([times[name] for times in rounds[1:]]) for name in cases}


def describe(ratios):
    """Return median and range as text."""
    return f"{np.median(ratios):.3g} ({ratios.min():.3g}-{ratios.max():.3g})"


def measure_members(sizes, args):
    """Compare fits to many members with fits to few."""
    X, _, members = make_members(sizes.fit_rows[-1], 500)
    cases = {
        n: functools.partial(make_student(sizes, q=9).fit, X, predictions=members[:, :n].copy())
        for n in (10, 500)
    }
    times = time_in_turn(cases, args.rounds)
    yield f"fit: 500 members / 10, {len(X)} rows", "<= 1.2", describe(times[500] / times[10])


def measure_rows(sizes, args):
    """Compare fits to twice and four times the rows, with the same epochs and batches."""
    X, _, members = make_members(4 * sizes.fit_rows[-1], N_MEMBERS)
    student = make_student(sizes, n_epochs=2, batch_size=128)
    cases = {
        times: functools.partial(student.fit, X[:n], predictions=members[:n])
        for times, n in ((times, times * len(X) // 4) for times in (1, 2, 4))
    }
    times = time_in_turn(cases, args.rounds)
    for growth in (2, 4):
        what = f"fit: {growth} x {len(X) // 4} rows / once, same epochs"
        yield what, f"~ {growth}", describe(times[growth] / times[1])


def measure_hydra(sizes, args):
    """Compare the fit with Hydra's, with the same steps and body."""
    for n_rows in sizes.fit_rows:
        X, _, members = make_members(n_rows, N_MEMBERS)
        for hidden in ((50,), HIDDEN):
            cases = {
                student_class: functools.partial(
                    make_student(sizes, student_class, hidden_layer_sizes=hidden).fit,
                    X,
                    predictions=members,
                )
                for student_class in (DLFRegressor, HydraRegressor)
            }
            times = time_in_turn(cases, args.rounds)
            what = f"fit: student / Hydra, {N_MEMBERS} members, {n_rows} rows, hidden {hidden}"
            yield what, "<= 1", describe(times[DLFRegressor] / times[HydraRegressor])


def forward_pass(student, X, n_rows=None):
    """Evaluate all heads of a student's network at standardised rows, at once or in blocks."""
    network = student.student_
    with torch.inference_mode():
        for block in X.split(n_rows or len(X)):
            network.heads(network.body(block))


def standardised(student, X):
    """Return rows as the student's network takes them."""
    return torch.from_numpy(student.scaler_.transform(X).astype(np.float32))


@functools.cache
def make_teachers(sizes):
    """Fit a forest and a deep ensemble."""
    data = make_data(sizes.fit_rows[0])
    forest = RandomForestRegressor(N_TREES, random_state=0).fit(*data)
    networks = DeepEnsembleRegressor(N_MEMBERS, max_iter=sizes.teacher_iter, random_state=0)
    return {f"{N_TREES}-tree forest": forest, f"{N_MEMBERS} networks": networks.fit(*data)}


@functools.cache
def make_fitted(sizes, student_class=DLFRegressor):
    """Fit a student of the networks with one iteration."""
    teacher = make_teachers(sizes)[f"{N_MEMBERS} networks"]
    student = make_student(sizes._replace(n_iter=1), student_class)
    return student.fit(*make_data(sizes.fit_rows[0]), ensemble=teacher)


def measure_predict(sizes, args):
    """Compare predictions with forward passes and with teachers, and those of one row."""
    student, teachers = make_fitted(sizes), make_teachers(sizes)
    X, y = make_data(sizes.rows)
    rows = standardised(student, X)
    cases = {
        "predict": lambda: student.predict(X),
        "predict, std": lambda: student.predict(X, return_std=True),
        "one forward pass": lambda: forward_pass(student, rows),
        f"a forward pass in blocks of {PREDICT_ROWS}": lambda: forward_pass(
            student, rows, PREDICT_ROWS
        ),
    }
    times = time_in_turn(cases, args.rounds)
    predictions, passes = list(cases)[:2], list(cases)[2:]
    for name in predictions:
        for other in passes:
            yield f"{name} / {other}, {len(X)} rows", "<= 1.2", describe(times[name] / times[other])
    for name, teacher in teachers.items():
        cases = {
            "predict": lambda: student.predict(X),
            "predict, std": lambda: student.predict(X, return_std=True),
            "teacher": functools.partial(teacher.predict, X),
            "members": lambda teacher=teacher: member_predictions(teacher, X).std(axis=1),
        }
        times = time_in_turn(cases, min(args.rounds, 3))
        yield (
            f"predict of {name} / of the student, {len(X)} rows",
            ">= 20",
            describe(times["teacher"] / times["predict"]),
        )
        yield (
            f"std of the members of {name} / predict, std, {len(X)} rows",
            ">= 20",
            describe(times["members"] / times["predict, std"]),
        )
    network = MLPRegressor(hidden_layer_sizes=HIDDEN, max_iter=5).fit(X[:1000], y[:1000])
    row = X[:1]
    cases = {
        model: lambda model=model: [model.predict(row) for _ in range(sizes.n_calls)]
        for model in (student, network)
    }
    times = time_in_turn(cases, 3 * args.rounds)
    what = f"predict / MLPRegressor {HIDDEN}, one row"
    yield what, "<= 1.2", describe(times[student] / times[network])


def count_forward(student, call):
    """Return the number of rows at which a call evaluates a student's network in float64."""
    counts = []
    count = student.student_.frozen(exact=True).register_forward_hook(
        lambda module, inputs, output: counts.append(len(inputs[0]))
    )
    call()
    count.remove()
    return sum(counts)


def measure_draws(sizes, args):
    """Measure draws of members: rows evaluated, time in forward passes, and memory."""
    student = make_fitted(sizes)
    X, _ = make_data(sizes.rows)
    rows = standardised(student, X)
    random_state = np.random.RandomState(0)
    for n_draws in NUMBERS_OF_DRAWS:
        # With the most draws, a tenth of the rows is timed; the time per row is the same.
        few = len(X) if n_draws < NUMBERS_OF_DRAWS[-1] else len(X) // 10
        shape = few, n_draws
        draw = functools.partial(student.sample_predictions, X[:few], n_draws, random_state=0)
        evaluated = count_forward(student, draw) / few
        yield f"rows evaluated by the network / rows, {n_draws} draws", "1", f"{evaluated:.3g}"
        cases = {
            "draws": draw,
            "pass": lambda few=few: forward_pass(student, rows[:few], PREDICT_ROWS),
            "normals": lambda shape=shape: random_state.standard_normal(shape),
        }
        times = time_in_turn(cases, args.rounds)
        what = f"sample_predictions / one forward pass, {n_draws} draws, {few} rows"
        yield what, "", describe(times["draws"] / times["pass"])
        what = f"the same / the same number of normal draws of numpy, {n_draws} draws"
        yield what, "", describe(times["draws"] / times["normals"])
        rise = in_fresh_process(rise_of_draws, student, sizes.rows, n_draws)
        result = 8 * sizes.rows * n_draws
        yield (
            f"sample_predictions: memory beyond the {result / MB:.0f} MB of the result, "
            f"{n_draws} draws, {sizes.rows} rows",
            "bounded",
            f"{(rise - result) / MB:.0f} MB",
        )


def in_fresh_process(function, *args):
    """Return the result of a function that is called in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, args)


def resident(which):
    """Return bytes that the process holds now ("RSS"), or its peak ("HWM")."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"Vm{which}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no line Vm{which}: memory is measured on Linux only")


def memory_rise(call):
    """Return the bytes by which the process's peak during a call exceeds what it held before."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = resident("RSS")
    call()
    return resident("HWM") - before


def rise_of_draws(student, n_rows, n_draws):
    """Return the memory that draws take; called in a fresh process."""
    X, _ = make_data(n_rows)
    student.sample_predictions(X[:1000], 2)  # makes all that is made once
    return memory_rise(lambda: student.sample_predictions(X, n_draws, random_state=0))


def rise_of_fit(sizes, n_rows):
    """Return bytes that a fit takes beside its data, bytes of X and members, and the peak."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    X, y, members = make_members(n_rows, N_MEMBERS)
    student = make_student(sizes._replace(n_iter=2), n_epochs=1)
    student.fit(X[:500], y[:500], predictions=members[:500])  # makes all that is made once
    rise = memory_rise(lambda: student.fit(X, y, predictions=members))
    return rise, X.nbytes, members.nbytes, resident("HWM")


def measure_memory(sizes, args):
    """Measure the memory of a fit to given predictions."""
    for n_rows in [sizes.memory_rows] + [1_000_000] * args.large:
        rise, rows, members, peak = in_fresh_process(rise_of_fit, sizes, n_rows)
        what = f"fit, {n_rows} rows x {N_MEMBERS} members"
        ratio = (rise - rows) / members
        yield f"{what}: (memory - X) / float32 members given", "<= 2.5", f"{ratio:.3g}"
        wanted = "<= 8 GiB" if n_rows == 1_000_000 else ""
        yield f"{what}: whole process", wanted, f"{peak / GIB:.2f} GiB"


def kib(model):
    """Return the size of a model's pickle as text."""
    try:
        return f"{len(pickle.dumps(model)) / 1024:.0f} KiB"
    except (AttributeError, TypeError, pickle.PicklingError):
        return "cannot be pickled"


def measure_size(sizes, args):
    """Measure the pickles of a student and of its teachers."""
    student = make_fitted(sizes)
    student.predict(
        make_data(100)[0]
    )  # so that a copy made at first use would count if it were pickled
    yield f"pickle: student {HIDDEN}, q = {Q}", "< 96 KiB", kib(student)
    for name, teacher in make_teachers(sizes).items():
        yield f"pickle: {name}, {sizes.fit_rows[0]} rows", "", kib(teacher)


def measure_others(sizes, args):
    """Compare mean and interval of the student, of baselines, and of other methods."""
    X, _ = make_data(sizes.rows)
    models, predict = {}, {}
    for student_class in (DLFRegressor, HydraRegressor, BatchEnsembleRegressor):
        name = student_class.__name__
        models[name] = student = make_fitted(sizes, student_class)
        predict[name] = lambda rows, student=student: (
            student.predict(rows),
            student.predict_interval(rows, LEVEL),
        )
    for package, make in ALTERNATIVES.items():
        name = make.__doc__.rstrip(".")
        try:
            models[name], predict[name] = make(*make_data(sizes.fit_rows[0]))
        except (ImportError, RuntimeError):  # a package may not work with this torch
            yield name, "", f"{package} is not installed"
    cases = {name: functools.partial(predict[name], X) for name in predict}
    times = time_in_turn(cases, min(args.rounds, 3))
    ours = times[DLFRegressor.__name__]
    for name, model in models.items():
        what = f"mean and {LEVEL:.0%} interval, {len(X)} rows: {name} / student"
        seconds = np.median(times[name])
        yield what, "", f"{describe(times[name] / ours)}; {seconds:.2f} s; {kib(model)}"


SECTIONS = {
    "members": measure_members,
    "rows": measure_rows,
    "hydra": measure_hydra,
    "predict": measure_predict,
    "draws": measure_draws,
    "memory": measure_memory,
    "size": measure_size,
    "others": measure_others,
}


def main():
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=Sizes().rows, help="number of rows to predict")
    parser.add_argument("--sections", nargs="+", default=list(SECTIONS), choices=list(SECTIONS))
    parser.add_argument("--large", action="store_true", help="measure a fit to 1,000,000 rows too")
    parser.add_argument(
        "--quick", action="store_true", help="check with tiny sizes that everything runs"
    )
    args = parser.parse_args()
    sizes = QUICK if args.quick else Sizes(rows=args.rows)
    warnings.simplefilter("ignore", ConvergenceWarning)
    print("| line | wanted | measured |\n| --- | --- | --- |", flush=True)
    for section in args.sections:
        for line in SECTIONS[section](sizes, args):
            print("| " + " | ".join(line) + " |", flush=True)


if __name__ == "__main__":
    main()
