"""Time and memory of fits and predictions by the number of rows, from arrays on disk.

Rows and the members' predictions are made in blocks and stored as `numpy.memmap` in a temporary
folder, which takes 288 bytes a row. Each size is fitted and predicted in a process of its own::

    python benchmarks/large.py
    python benchmarks/large.py --subsample 200000
    python benchmarks/large.py --rows 10000 1000000 10000000 --folder /big/disk

The script prints a Markdown table. Seconds are processor and wall time; memory is the largest that
the operating system counts as resident, less the pages of files; Linux only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np

N_FEATURES, N_MEMBERS = 20, 50

# Rows that are made at a time.
BLOCK_ROWS = 2**17

# Seconds between two looks at the memory.
INTERVAL = 0.02


def main():
    """Measure all sizes and print the table."""
    arguments = parse_arguments()
    if arguments.measure:
        n_rows, n_most = arguments.rows[0], arguments.subsample
        print(json.dumps(measure(Path(arguments.measure), n_rows, n_most)))
        return
    print(f"{N_FEATURES} columns, {N_MEMBERS} members; seconds of processor (wall), MiB\n")
    print("| rows | fit | memory | predict | memory | predict_interval | memory |")
    print("| --- |" + " --- |" * 6)
    for n_rows in arguments.rows:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            make_files(Path(folder), n_rows)
            command = [sys.executable, __file__, "--measure", folder, "--rows", str(n_rows)]
            if arguments.subsample is not None:
                command += ["--subsample", str(arguments.subsample)]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        cells = [f"{cpu:.1f} ({wall:.1f}) | {memory:.0f}" for cpu, wall, memory in found]
        print(f"| {n_rows:,} | " + " | ".join(cells) + " |", flush=True)


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    counts = [10_000, 100_000, 1_000_000, 10_000_000]
    parser.add_argument("--rows", type=int, nargs="+", default=counts)
    what = "most rows of a fit; by default the student's own number, and 0 for all"
    parser.add_argument("--subsample", type=int, help=what)
    parser.add_argument("--folder", help="where temporary files are made")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    return parser.parse_args()


def open_files(folder, n_rows, mode):
    """Return rows, y and predictions as arrays on disk."""
    shapes = {"X": (n_rows, N_FEATURES), "y": (n_rows,), "predictions": (n_rows, N_MEMBERS)}
    for name, shape in shapes.items():
        dtype = np.float64 if name == "y" else np.float32
        yield np.memmap(folder / name, dtype=dtype, mode=mode, shape=shape)


def make_files(folder, n_rows):
    """Make rows, and members that differ where the first two columns are large."""
    rng = np.random.RandomState(0)
    weights = member_weights(rng)
    X, y, predictions = open_files(folder, n_rows, "w+")
    for start in range(0, n_rows, BLOCK_ROWS):
        block = slice(start, min(start + BLOCK_ROWS, n_rows))
        rows = rng.standard_normal((block.stop - start, N_FEATURES))
        X[block] = rows
        mean, predictions[block] = make_block(rows, weights)
        y[block] = mean + 0.5 * rng.standard_normal(len(rows))


def member_weights(rng):
    """Return the weights (n_features, n_members) of the members' own parts."""
    return rng.standard_normal((N_FEATURES, N_MEMBERS)) / np.sqrt(N_FEATURES)


def make_block(rows, weights):
    """Return the true mean (n,) and the members (n, n_members) at rows."""
    mean = np.sin(rows[:, 0]) + rows[:, 1] * rows[:, 2]
    return mean, mean[:, None] + 0.3 * np.tanh(rows[:, :1]) * (rows @ weights)


def measure(folder, n_rows, subsample):
    """Return processor seconds, wall seconds and MiB of a fit and of predictions."""
    from sklearn_dlf import DLFRegressor

    warnings.simplefilter("ignore")
    X, y, predictions = open_files(folder, n_rows, "r")
    student = DLFRegressor(random_state=0)
    if subsample is not None:
        student.set_params(subsample=subsample or None)
    return [
        watch(lambda: student.fit(X, y, predictions=predictions, unseen=True)),
        watch(lambda: student.predict(X)),
        watch(lambda: student.predict_interval(X)),
    ]


def watch(call):
    """Return processor seconds, wall seconds and the largest memory in MiB of a call."""
    peak, is_done = [resident()], threading.Event()

    def look():
        while not is_done.wait(INTERVAL):
            peak.append(resident())

    watcher = threading.Thread(target=look)
    watcher.start()
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    is_done.set()
    watcher.join()
    return cpu, wall, max(peak)


def resident():
    """Return resident memory of this process in MiB, without pages of files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 2**10


if __name__ == "__main__":
    main()
