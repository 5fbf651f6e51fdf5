"""Time of fits and predictions with torch's default number of threads, against one thread.

Both are measured in turns, in processes of their own, which differ in the number of threads that
the environment sets. ``--busy`` starts one process beside them that keeps a processor busy all the
time. Wall time is what a user waits, processor time what all threads take together; the smallest of
the repetitions counts::

    python benchmarks/threads.py
    python benchmarks/threads.py --busy

The script prints a Markdown table: seconds at the default, and as multiples of those of one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings

import numpy as np

# Variables that set the number of threads of torch and of numpy.
VARIABLES = "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"

N_ROWS, N_FEATURES, N_MEMBERS, N_PREDICTED = 2000, 20, 50, 99_000


def main():
    """Measure in turns and print the table."""
    arguments = parse_arguments()
    if arguments.measure:
        print(json.dumps(measure()))
        return
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if arguments.busy else None
    try:
        runs = [(run(None), run(1)) for _ in range(arguments.repeats)]
    finally:
        if busy is not None:
            busy.kill()
            busy.wait()
    report(runs)


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--busy", action="store_true", help="measure beside a busy process")
    parser.add_argument("--repeats", type=int, default=3, help="repetitions of all measurements")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def run(n_threads):
    """Measure in a new process with a number of threads, or the default of None."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    if n_threads is not None:
        environment.update(dict.fromkeys(VARIABLES, str(n_threads)))
    command = [sys.executable, __file__, "--measure"]
    result = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    return json.loads(result.stdout)


def measure():
    """Return seconds of wall and processor time of each task."""
    from sklearn_dlf import DLFClassifier, DLFRegressor
    from sklearn_dlf.ensembles import DeepEnsembleRegressor

    warnings.simplefilter("ignore")
    X, y, members = make_values()
    rows, probabilities = make_probabilities()
    many = np.random.RandomState(1).randn(N_PREDICTED, N_FEATURES)
    regressor = DLFRegressor(augment=None, out_of_bag=None, random_state=0)
    classifier = DLFClassifier(augment=None, out_of_bag=None, random_state=0)
    ensemble = DeepEnsembleRegressor(max_iter=10, random_state=0)
    regressor.fit(X[:100], y[:100], predictions=members[:100])  # imports and first calls
    times = {
        "fit of DLFRegressor": timed(lambda: regressor.fit(X, y, predictions=members)),
        "fit of DLFClassifier": timed(lambda: classifier.fit(rows, predictions=probabilities)),
        "fit of DeepEnsembleRegressor": timed(lambda: ensemble.fit(X, y)),
    }
    for name, predict in {
        "predict": regressor.predict,
        "predict, with std": lambda X: regressor.predict(X, return_std=True),
        "predict_proba": lambda X: classifier.predict_proba(X[:, :4]),
        "member_predictions of the deep ensemble": lambda X: ensemble.member_predictions(X[:9000]),
    }.items():
        times[f"{name}, many rows"] = timed(lambda predict=predict: predict(many), 5)
    times["predict, 200 times 8 rows"] = timed(lambda: call(regressor.predict, many[:8], 200), 3)
    times["predict, 200 times one row"] = timed(lambda: call(regressor.predict, many[:1], 200), 3)
    return times


def make_values():
    """Make rows, values of y, and members that disagree."""
    rng = np.random.RandomState(0)
    X = rng.randn(N_ROWS, N_FEATURES)
    y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2]
    members = y[:, None] + 0.3 * X[:, :3] @ rng.randn(3, N_MEMBERS)
    return X, y + 0.1 * rng.randn(N_ROWS), members


def make_probabilities():
    """Make 120 rows and members' probabilities of three classes."""
    rng = np.random.RandomState(0)
    X = rng.randn(120, 4)
    logits = X[:, :3, None] * (1 + 0.3 * rng.randn(3, N_MEMBERS))
    powers = np.exp(logits)
    return X, powers / powers.sum(axis=1, keepdims=True)


def call(predict, X, n_calls):
    """Predict many times."""
    for _ in range(n_calls):
        predict(X)


def timed(compute, n_times=1):
    """Return the smallest wall and processor time of some calls."""
    seconds = []
    for _ in range(n_times):
        wall, processor = time.perf_counter(), time.process_time()
        compute()
        seconds.append((time.perf_counter() - wall, time.process_time() - processor))
    return [min(each) for each in zip(*seconds, strict=True)]


def report(runs):
    """Print the table."""
    print("| task | wall, s | of one thread | processor, s | of one thread |")
    print("|---|---|---|---|---|")
    for task in runs[0][0]:
        (wall, processor), (one_wall, one_processor) = (
            np.min([pair[side][task] for pair in runs], axis=0) for side in (0, 1)
        )
        print(
            f"| {task} | {wall:.3g} | {wall / one_wall:.2f} | {processor:.3g} | "
            f"{processor / one_processor:.2f} |"
        )


if __name__ == "__main__":
    main()
