"""Count how often one ``fit`` changes between the files of the estimators.

``python benchmarks/trace_fit.py`` traces one `DLFRegressor.fit` and one `DLFClassifier.fit`. Every
call of a function that is written in `sklearn_dlf/_estimators/` counts as a call; the first call,
and every call whose predecessor was in another file, count as changes of file. ``--calls`` prints
them. ``--files NAME ...`` names the files to follow, where a commit keeps its estimators elsewhere.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from itertools import pairwise
from pathlib import Path

from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

import sklearn_dlf
from sklearn_dlf import DLFClassifier, DLFRegressor

PACKAGE = Path(sklearn_dlf.__file__).parent


def main():
    """Trace both estimators."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", action="store_true", help="print every call")
    parser.add_argument("--files", nargs="*", help="files below sklearn_dlf/ to follow")
    arguments = parser.parse_args()
    files = arguments.files or [
        str(path.relative_to(PACKAGE)) for path in (PACKAGE / "_estimators").glob("*.py")
    ]
    warnings.simplefilter("ignore")
    cases = [
        (DLFRegressor(RandomForestRegressor(10), max_iter=1, n_epochs=1), load_diabetes),
        (DLFClassifier(RandomForestClassifier(10), max_iter=1, n_epochs=1), load_iris),
    ]
    for estimator, load in cases:
        calls = trace(lambda: estimator.fit(*load(return_X_y=True)), files)  # noqa: B023
        changes = 1 + sum(one[0] != other[0] for one, other in pairwise(calls))
        print(f"{type(estimator).__name__}.fit: {len(calls)} calls, {changes} changes of file")
        if arguments.calls:
            for file, function in calls:
                print(f"    {file}: {function}")


def trace(run, files):
    """Pairs of file and function for every call that ``run()`` makes of functions in ``files``."""
    paths = {str(PACKAGE / file): file for file in files}
    calls = []

    def profile(frame, event, _):
        code = frame.f_code
        if event == "call" and code.co_filename in paths and not code.co_name.startswith("<"):
            calls.append((paths[code.co_filename], code.co_name))

    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(None)
    return calls


if __name__ == "__main__":
    main()
