"""Compare fits of this working tree with those of an earlier commit, bit for bit.

A fixed list of models is fitted twice, by the code here and by the code of ``--against COMMIT``,
each in a process of its own. Weights, fitted numbers and predictions are compared as bytes. Run it
before and after a change that is meant to leave fits alone::

    python benchmarks/same_fits.py --against COMMIT

A line a model says whether all is equal or, if not, which arrays differ and by how much. The exit
status is 1 if anything differs. The models are in ``fits_to_compare.py``.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import warnings
from pathlib import Path

import numpy as np
from earlier_commit import ROOT, checked_out, run_with
from fits_to_compare import list_fits


def main():
    """Fit in both trees and compare."""
    arguments = parse_arguments()
    if arguments.save is not None:
        Path(arguments.save).write_bytes(pickle.dumps(fit_all(arguments.only)))
        return 0
    with checked_out(arguments.against) as (earlier, folder):
        before = run_in(earlier, folder / "before.pkl", arguments.only)
        after = run_in(ROOT, folder / "after.pkl", arguments.only)
    return report(before, after)


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", default="HEAD", help="commit to compare with")
    parser.add_argument("--only", help="only models whose name contains this")
    parser.add_argument("--save", help=argparse.SUPPRESS)
    return parser.parse_args()


def run_in(tree, path, only):
    """Fit all models with the package of a tree; what came of it."""
    command = [sys.executable, __file__, "--save", str(path)]
    command += ["--only", only] if only else []
    run_with(tree, command)
    return pickle.loads(path.read_bytes())


def report(before, after):
    """Print a line a model; 1 if anything differs."""
    n_different = 0
    for name, arrays in after.items():
        different = [
            f"{key} (by {distance(before[name].get(key), value):.2g})"
            for key, value in arrays.items()
            if not same(before[name].get(key), value)
        ]
        different += [f"{key} (gone)" for key in before[name] if key not in arrays]
        n_different += bool(different)
        print(f"{name}: {'differs in ' + ', '.join(different) if different else 'equal'}")
    n_arrays = sum(map(len, after.values()))
    print(f"{len(after)} models, {n_arrays} arrays: {n_different} models differ")
    return int(n_different > 0)


def same(before, after):
    """Whether two arrays have the same shape, type and bytes."""
    if before is None or before.shape != after.shape or before.dtype != after.dtype:
        return False
    return before.tobytes() == after.tobytes()


def distance(before, after):
    """Largest difference of two arrays; infinite if they cannot be compared."""
    if before is None or before.shape != after.shape or before.dtype.kind not in "fiub":
        return np.inf
    return np.max(np.abs(after.astype(np.float64) - before), initial=0.0)


def fit_all(only):
    """Fit every model of the list; a dict of arrays for each."""
    warnings.simplefilter("ignore")
    results = {}
    for name, fit in list_fits():
        if only is None or only in name:
            results[name] = fit()
    return results


if __name__ == "__main__":
    sys.exit(main())
