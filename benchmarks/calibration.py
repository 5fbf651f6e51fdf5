"""Compare students of classifiers with and without the calibration that ends their fit.

The teachers are ten networks of two hidden layers of 100, with a student that has one hidden layer
of 50; and a forest of 100 trees, with a student of the default size. Each student is scored before
and after calibration. Prints a Markdown table of means over splits:

    python benchmarks/calibration.py --data-dir DIR [--sets digits letter] [--splits 2]

``digits`` comes with scikit-learn; the other data sets are files in DIR (see
benchmarks/datasets.py).
"""

from __future__ import annotations

import argparse
import copy
from unittest import mock

import numpy as np
from classification import SETS, STUDENT, score
from datasets import load_classes
from sklearn.ensemble import RandomForestClassifier
from tables import format_rows

from sklearn_dlf import DLFClassifier
from sklearn_dlf._estimators import latent_factor
from sklearn_dlf._fitting.calibration import calibrate
from sklearn_dlf.ensembles import DeepEnsembleClassifier, member_predictions
from sklearn_dlf.metrics import mutual_information

N_MEMBERS, N_TREES = 10, 100
TEACHERS = {
    "networks": (lambda seed: DeepEnsembleClassifier(N_MEMBERS, random_state=seed), STUDENT),
    "forest": (lambda seed: RandomForestClassifier(N_TREES, random_state=seed), {}),
}
COLUMNS = {"nll": "NLL", "ece": "ECE", "ratio": "MI ratio", "ood_auroc": "OOD AUROC"}


def fit_both(student, X, y, teachers):
    """Fit a student; return it as it was before calibration, and calibrated."""
    before = []

    def keep_and_calibrate(network, ensemble, units, law):
        before.append(copy.deepcopy(network).eval().requires_grad_(False))
        calibrate(network, ensemble, units, law)

    with mock.patch.object(latent_factor, "calibrate", keep_and_calibrate):
        student.fit(X, y, ensemble=teachers)
    plain = copy.deepcopy(student)
    plain.student_ = before[0]
    return {"student, not calibrated": plain, "student": student}


def measure(data, seed, make_teachers, options):
    """Return scores of the teachers and of both students on one split."""
    outside = np.random.default_rng(seed).permuted(data.X_test, axis=0)
    teachers = make_teachers(seed).fit(data.X, data.y)
    members = member_predictions(teachers, data.X_test)
    inner, outer = (mutual_information(m) for m in (members, member_predictions(teachers, outside)))
    probabilities = np.maximum(members.mean(axis=-1), 1e-6)  # all trees may predict zero
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    results = {"teacher": score(probabilities, data.y_test, teachers.classes_, inner, outer)}
    student = DLFClassifier(q=N_MEMBERS - 1, random_state=seed, **options)
    for name, fitted in fit_both(student, data.X, data.y, teachers).items():
        own, own_outer = (fitted.predict_uncertainty(X).epistemic for X in (data.X_test, outside))
        averaged = fitted.predict_proba(data.X_test)
        results[name] = score(averaged, data.y_test, fitted.classes_, own, own_outer)
        results[name]["ratio"] = own.mean() / inner.mean()
    return results


def main():
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data-dir", help="folder of the data sets other than digits")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--splits", type=int, default=2)
    parser.add_argument("--teachers", nargs="+", default=list(TEACHERS), choices=list(TEACHERS))
    args = parser.parse_args()
    rows = [["", *COLUMNS.values()]]
    for kind in args.teachers:
        for name in args.sets:
            splits = [
                measure(load_classes(name, split, args.data_dir), split, *TEACHERS[kind])
                for split in range(args.splits)
            ]
            for model in splits[0]:
                means = [
                    f"{np.mean([split[model][key] for split in splits]):.4f}"
                    if key in splits[0][model]
                    else ""
                    for key in COLUMNS
                ]
                rows.append([f"{kind}, {name}: {model}", *means])
            print(format_rows(rows[:1] + rows[-len(splits[0]) :]), flush=True)
    print(f"\n{format_rows(rows)}")


if __name__ == "__main__":
    main()
