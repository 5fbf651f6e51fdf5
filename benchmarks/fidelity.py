"""Measure how faithful a student is to its teachers on real data.

The teachers are fifty networks of two hidden layers of 100. The student has one hidden layer of 50
and 10 factors, and learns at the teachers' training rows alone. Prints one line for each data set,
with means over the splits of scores on test rows:

    python benchmarks/fidelity.py --data-dir DIR [--sets energy boston] [--splits 10]

``diabetes`` comes with scikit-learn; the other data sets are files in DIR (see
benchmarks/datasets.py).
"""

from __future__ import annotations

import argparse

import numpy as np
from datasets import load_split
from measuring import measure_student, measure_teachers, share_of_bound, time_fit

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import DeepEnsembleRegressor, member_predictions

COLUMNS = [
    "mean_error",
    "std_ratio",
    "std_corr",
    "teacher_nll",
    "student_nll",
    "nll_gap",
    "teacher_crps",
    "student_crps",
    "coverage_95",
    "share_of_bound",
    "n_iter",
    "teacher_s",
    "student_s",
]


def measure(data, seed, n_members, student_params):
    """Train teachers and student on one split; return a dict with the scores of `COLUMNS`."""
    teachers = DeepEnsembleRegressor(n_estimators=n_members, random_state=seed)
    teacher_seconds = time_fit(teachers, data.X, data.y)
    student = DLFRegressor(random_state=seed, **student_params)
    student_seconds = time_fit(student, data.X, data.y, ensemble=teachers)

    members = member_predictions(teachers, data.X_test)
    of_teachers = measure_teachers(teachers, data, members, seed)
    of_student = measure_student(student, data.X_test, data.y_test, members, seed)
    return {
        **of_student,
        "teacher_nll": of_teachers["nll"],
        "student_nll": of_student["nll"],
        "nll_gap": of_student["nll"] - of_teachers["nll"],
        "teacher_crps": of_teachers["crps"],
        "student_crps": of_student["crps"],
        "share_of_bound": share_of_bound(student),
        "n_iter": student.n_iter_,
        "teacher_s": teacher_seconds,
        "student_s": student_seconds,
    }


def main():
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data-dir", help="folder of the data sets other than diabetes")
    parser.add_argument("--sets", nargs="+", default=["diabetes", "energy", "boston"])
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--members", type=int, default=50)
    args = parser.parse_args()
    student_params = {"q": 10, "hidden_layer_sizes": (50,), "augment": None}
    print(" ".join(f"{name:>14}" for name in ["set", *COLUMNS]))
    for name in args.sets:
        rows = [
            measure(load_split(name, split, args.data_dir), split, args.members, student_params)
            for split in range(args.splits)
        ]
        means = [np.mean([row[column] for row in rows]) for column in COLUMNS]
        print(f"{name:>14} " + " ".join(f"{value:14.3f}" for value in means), flush=True)


if __name__ == "__main__":
    main()
