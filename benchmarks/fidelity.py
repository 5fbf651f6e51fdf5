"""How true a student is to its teachers, on real data.

Fifty networks of two hidden layers of 100 are the teachers; the student has one hidden layer of 50
and 10 factors, and learns at the teachers' own training rows. Prints one line a set, means over the
splits, on test rows:

    python benchmarks/fidelity.py --data-dir DIR [--sets energy boston] [--splits 3]

``diabetes`` comes with scikit-learn; the other sets are files in DIR (see benchmarks/datasets.py).
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from datasets import load_split

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import DeepEnsembleRegressor, member_predictions
from sklearn_dlf.metrics import (
    crps_ensemble,
    gaussian_mixture_nll,
    interval_coverage,
    member_fidelity,
)

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
    """Train teachers and student on one split; a dict of `COLUMNS`."""
    began = time.perf_counter()
    teachers = DeepEnsembleRegressor(n_estimators=n_members, random_state=seed)
    teachers.fit(data.X, data.y)
    trained = time.perf_counter()
    student = DLFRegressor(random_state=seed, **student_params)
    student.fit(data.X, data.y, ensemble=teachers)
    distilled = time.perf_counter()

    members = member_predictions(teachers, data.X_test)
    mean, std = student.predict(data.X_test, return_std=True)
    fidelity = member_fidelity(members, mean, std)
    # One variance a member for the teachers; the same inverse gamma's quantiles for the student.
    noise = teachers.member_noise_variance_.reshape(1, -1)
    teacher_nll = gaussian_mixture_nll(data.y_test, members, noise + np.zeros_like(members))
    total = std[:, None] ** 2 + student.target_noise_.nodes()
    student_nll = gaussian_mixture_nll(data.y_test, mean[:, None] + np.zeros_like(total), total)
    rng = np.random.RandomState(seed)
    pick = rng.randint(n_members, size=1000)
    teacher_y = members[:, pick] + rng.standard_normal((len(mean), 1000)) * np.sqrt(noise[:, pick])
    # Without factors the likelihood is that of unit noise, since spread is the unit.
    without = -0.5 * (np.log(2 * np.pi) + 1)
    gain = student.log_likelihoods_[-1] - without
    return {
        "mean_error": fidelity.mean_error,
        "std_ratio": fidelity.std_ratio,
        "std_corr": fidelity.std_correlation,
        "teacher_nll": teacher_nll,
        "student_nll": student_nll,
        "nll_gap": student_nll - teacher_nll,
        "teacher_crps": crps_ensemble(data.y_test, teacher_y),
        "student_crps": crps_ensemble(data.y_test, student.sample_y(data.X_test, 1000, seed)),
        "coverage_95": interval_coverage(
            data.y_test, student.predict_interval(data.X_test, confidence_level=0.95)
        ),
        "share_of_bound": gain / (student.log_likelihood_bound_ - without),
        "n_iter": student.n_iter_,
        "teacher_s": trained - began,
        "student_s": distilled - trained,
    }


def main():
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data-dir", help="folder of the sets beside diabetes")
    parser.add_argument("--sets", nargs="+", default=["diabetes", "energy", "boston"])
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--members", type=int, default=50)
    args = parser.parse_args()
    student_params = {"q": 10, "hidden_layer_sizes": (50,)}
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
