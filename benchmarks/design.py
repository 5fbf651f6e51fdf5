"""Compare design points: the rows that the ensemble was fitted to, and further rows.

Forests and networks are distilled at the rows of their own fit ("rows"), at these and rows made
from them ("neighbors", "mixup"), and at these and fresh rows without y ("fresh rows"). Fresh rows
show the best that made rows could achieve. At the rows of the ensemble's fit, the spread is left
("as is"), widened to that of the members that did not see a row (the default), or the outputs are
matched to those of these members ("members").

Prints scores on test rows: the error of the mean, relative to the standard deviation over rows of
the teacher's mean; ratio and correlation of the spreads; RMSE of teacher and student; the share of
y in the 90 % interval; and the processor time of the fit:

    python benchmarks/design.py [--seeds 3] [--data-dir DIR --sets concrete energy]
        [--made 40 150]

With ``--made``, forests are distilled with "neighbors" alone, at that many made rows for each row.
``friedman1`` is generated (500 rows) and ``diabetes`` comes with scikit-learn; other data sets are
files in DIR (see benchmarks/datasets.py).
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from datasets import Split, load_split
from measuring import time_fit
from sklearn.datasets import make_friedman1
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.metrics import root_mean_squared_error

from sklearn_dlf import DLFRegressor
from sklearn_dlf._transfer import design_points
from sklearn_dlf.ensembles import DeepEnsembleRegressor, member_predictions, unseen_rows
from sklearn_dlf.metrics import interval_coverage, member_fidelity

TEACHERS = {
    "forest": RandomForestRegressor,
    "extra trees": ExtraTreesRegressor,
    "networks": DeepEnsembleRegressor,
}
AS_IS, FRESH = ", as is", "fresh rows"
# Designs with "as is" or "members" are skipped for ensembles that do not record unseen rows, where
# `out_of_bag` has no effect.
DESIGNS = {
    f"rows{AS_IS}": {"augment": None, "out_of_bag": None},
    "rows": {"augment": None},
    "rows, members": {"augment": None, "out_of_bag": "match"},
    f"neighbors{AS_IS}": {"augment": "neighbors", "out_of_bag": None},
    "neighbors": {"augment": "neighbors"},
    "mixup": {"augment": "mixup"},
    FRESH: {"augment": None},
}
COLUMNS = ["mean_error", "std_ratio", "std_corr", "rmse_teacher", "rmse", "coverage_90", "fit_s"]


def load(name, seed, data_dir):
    """Return one split, and fresh rows without y, or None if there are none."""
    if name != "friedman1":
        return load_split(name, seed, data_dir), None
    X, y = make_friedman1(4500, noise=1.0, random_state=seed)
    return Split(X[:500], y[:500], X[500:2500], y[500:2500]), X[2500:]


def measure(teacher, data, fresh, design, seed):
    """Return scores of a student that learns at one design, or at a number of made rows."""
    if design in DESIGNS:
        parameters = DESIGNS[design]
    else:
        parameters, design_points.N_MADE_ENCODED = DESIGNS["neighbors"], design
    student = DLFRegressor(random_state=seed, **parameters)
    fit = {"ensemble": teacher, "X_unlabeled": fresh if design == FRESH else None}
    seconds = time_fit(student, data.X, data.y, **fit)
    members = member_predictions(teacher, data.X_test)
    mean, std = student.predict(data.X_test, return_std=True)
    fidelity = member_fidelity(members, mean, std)
    interval = student.predict_interval(data.X_test, 0.9)
    return [
        fidelity.mean_error,
        fidelity.std_ratio,
        fidelity.std_correlation,
        root_mean_squared_error(data.y_test, members.mean(axis=1)),
        root_mean_squared_error(data.y_test, mean),
        interval_coverage(data.y_test, interval),
        seconds,
    ]


def main():
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--data-dir", help="folder of the data sets other than friedman1 and diabetes"
    )
    parser.add_argument("--sets", nargs="+", default=["friedman1", "diabetes"])
    parser.add_argument("--teachers", nargs="+", default=list(TEACHERS), choices=list(TEACHERS))
    parser.add_argument("--designs", nargs="+", default=list(DESIGNS), choices=list(DESIGNS))
    parser.add_argument("--made", nargs="+", type=int, help="made rows for each row, of forests")
    parser.add_argument("--members", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    if args.made:
        args.teachers, args.designs = ["forest"], args.made
    warnings.simplefilter("ignore", UserWarning)  # of members that agree, which is measured here
    warnings.simplefilter("ignore", RuntimeWarning)
    print("| set | teacher | design points | " + " | ".join(COLUMNS) + " |")
    print("|" + " --- |" * (3 + len(COLUMNS)))
    for name in args.sets:
        for kind in args.teachers:
            results: dict = {}
            for seed in range(args.seeds):
                data, fresh = load(name, seed, args.data_dir)
                teacher = TEACHERS[kind](args.members, random_state=seed).fit(data.X, data.y)
                known = unseen_rows(teacher, len(data.X)) is not None
                for design in args.designs:
                    needs_unseen = str(design).endswith((AS_IS, "members"))
                    if (needs_unseen and not known) or (design == FRESH and fresh is None):
                        continue
                    scores = measure(teacher, data, fresh, design, seed)
                    results.setdefault(design, []).append(scores)
            for design, scores in results.items():
                cells = [f"{value:.3f}" for value in np.mean(scores, axis=0)]
                print("| " + " | ".join([name, kind, str(design), *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
