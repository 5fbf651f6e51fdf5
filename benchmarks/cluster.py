"""Speed-up of a fit whose teacher is slow, on two workers of a local cluster of dask.

Each call of a member sleeps, like a request over a network, and uses no processor: so the ratio is
that of the cluster, not of this machine's cores. The student is fitted to the same ensemble without
a cluster and with it. Needs the extra ``cluster``::

    OMP_NUM_THREADS=1 python benchmarks/cluster.py [--workers 2] [--members 20] [--seconds 0.3]

Prints wall seconds of the evaluation of the members and of the whole fit, their ratios, and whether
both students predict the same.
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings

import joblib
import numpy as np
from dask.distributed import Client, LocalCluster

from sklearn_dlf import DLFRegressor
from sklearn_dlf._transfer import cache
from sklearn_dlf._utils.blocks import row_blocks
from sklearn_dlf.ensembles import FittedEnsemble

N_FEATURES = 5

# Design points: those of ten jobs.
N_ROWS = 10 * cache.JOB_ROWS

# Short training: the cluster does not help it.
BRIEF = {"augment": None, "hidden_layer_sizes": 16, "q": 2, "n_epochs": 1, "tol": 1.0}


class SlowMember:
    """A linear function that sleeps before it returns."""

    def __init__(self, coefficients, seconds):
        self.coefficients = coefficients
        self.seconds = seconds

    def __call__(self, X):
        """Return values (n,) at rows, after a sleep."""
        time.sleep(self.seconds)
        return X @ self.coefficients


def main():
    """Fit with and without the cluster, and print the times."""
    warnings.simplefilter("ignore")
    arguments = parse_arguments()
    rng = np.random.RandomState(0)
    X = rng.standard_normal((N_ROWS, N_FEATURES))
    members = [
        SlowMember(rng.standard_normal(N_FEATURES), arguments.seconds)
        for _ in range(arguments.members)
    ]
    # With one process and no cluster, a call has all rows; here it has as many as with a cluster.
    with joblib.parallel_config(backend="threading", n_jobs=1):
        alone = fit(X, members)
    options = {"n_workers": arguments.workers, "threads_per_worker": 1, "dashboard_address": None}
    options["silence_logs"] = logging.CRITICAL
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        client.wait_for_workers(arguments.workers)
        with joblib.parallel_config(backend="dask"):
            together = fit(X, members)
    print("| wall seconds | alone | on workers | ratio |\n| --- | --- | --- | --- |")
    for name, place in (("evaluation of members", 0), ("whole fit", 1)):
        one, other = alone[place], together[place]
        print(f"| {name} | {one:.1f} | {other:.1f} | {one / other:.2f} |")
    difference = np.abs(alone[2] - together[2]).max()
    print(f"\nlargest difference of predictions: {difference:.2g}")


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=0.3, help="of a call of a member")
    return parser.parse_args()


def fit(X, members):
    """Return wall seconds of the evaluation and of the whole fit, and predictions."""
    seconds, evaluate = [], cache._evaluate

    def timed(load, key, rows, transformed=False, options=cache.ONE_JOB):
        began = time.perf_counter()
        n_jobs = joblib.effective_n_jobs(options.n_jobs)
        if n_jobs == 1:  # in blocks too, so that members are called as often
            blocks = [rows[block] for block in row_blocks(len(rows), cache.JOB_ROWS)]
            found = np.concatenate([evaluate(load, key, block, transformed) for block in blocks])
        else:
            found = evaluate(load, key, rows, transformed, options)
        seconds.append(time.perf_counter() - began)
        return found

    cache._evaluate = timed
    ensemble = FittedEnsemble(members, outputs="values")
    began = time.perf_counter()
    try:
        student = DLFRegressor(random_state=0, **BRIEF).fit(X, ensemble=ensemble)
    finally:
        cache._evaluate = evaluate
    return sum(seconds), time.perf_counter() - began, student.predict(X)


if __name__ == "__main__":
    main()
