"""Made rows with values between those of the data, for students of trees.

`augment="auto"` makes half of the rows by "local" for members that are step functions. Swapped
columns alone have values of the data, and thresholds lie between these. Prints two Markdown tables
at test rows:

    regression    error of the mean, std correlation over its ceiling, ratio of the std (see
                  `member_scores.compare_moments`), and NLL of y; forests and bagged boosting
    classes       for 1,000 rows with a rare class: relative difference of its mean probability,
                  divergence of averages from the teacher's in nats, ratio and rank correlation of
                  the mutual information; lists of boosted models and a forest

    python benchmarks/step_rows.py --data-dir DIR [--class-dir DIR] [--splits 2] [--max-rows 1000]
        [--class-sets letter waveform]
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from datasets import load_split
from fidelity_data import bagged_boosting
from member_scores import compare_moments
from rare_classes import make_ensembles
from scipy.special import rel_entr
from scipy.stats import spearmanr
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf.ensembles import member_predictions
from sklearn_dlf.metrics import mutual_information, neg_nll_scorer

UCI = ["boston", "concrete", "energy", "kin8nm", "power", "wine"]
N_OWN = 1000


def regression_scores(student, X, y, members):
    """Return the columns of the first table."""
    scores = compare_moments(members, *student.predict(X, return_std=True))
    own = [scores[key] for key in ("mean_error", "std_corr_share", "std_ratio")]
    return [*own, -neg_nll_scorer(student, X, y)]


def class_scores(student, X, members):
    """Return the columns of the second table."""
    wanted, found = members.mean(axis=-1), student.predict_proba(X)
    information = mutual_information(members)
    own = student.predict_uncertainty(X).epistemic
    return [
        found[:, 1].mean() / wanted[:, 1].mean() - 1,
        rel_entr(wanted, np.maximum(found, 1e-12)).sum(axis=1).mean(),
        own.mean() / information.mean(),
        spearmanr(own, information)[0],
    ]


def run_regression(name, options):
    """Yield lines of the first table."""
    scores = {}
    for split in range(options.splits):
        data = load_split(name, split, options.data_dir)
        rows = np.random.RandomState(split).permutation(len(data[0]))[: options.max_rows]
        X, y, X_new, y_new = data[0][rows], data[1][rows], *data[2:]
        forest = RandomForestRegressor(100, random_state=split)
        for kind, teacher in [("forest", forest), ("boosting", bagged_boosting(20, split))]:
            teacher.fit(X, y)
            members = member_predictions(teacher, X_new)
            members = members.reshape(len(X_new), -1)
            for augment in ("neighbors", "auto"):
                student = DLFRegressor(augment=augment, random_state=split)
                student.fit(X, y, ensemble=teacher)
                line = regression_scores(student, X_new, y_new, members)
                scores.setdefault((kind, augment), []).append(line)
    for (kind, augment), lines in scores.items():
        cells = [f"{value:.3f}" for value in np.mean(lines, axis=0)]
        yield f"| {name}, {kind} | {augment} | " + " | ".join(cells) + " |"


def class_sets(class_dir, names):
    """Yield names, rows and zeros and ones."""
    for seed in range(3):
        options = {"n_informative": 6, "weights": [0.96], "random_state": seed}
        yield f"made {seed}", *make_classification(21_000, 12, **options)
    for name in [] if class_dir is None else names:
        data = np.load(f"{class_dir}/{name}.npz", allow_pickle=True)
        X, y = data["X"].astype(float), data["y"]
        rare = np.flatnonzero(y == np.unique(y)[-1])
        others = np.flatnonzero(y != np.unique(y)[-1])
        rows = np.concatenate([rare[: len(others) // 20], others])
        rows = np.random.RandomState(0).permutation(rows)
        yield name, X[rows], np.isin(rows, rare).astype(int)


def run_classes(name, X, y):
    """Yield lines of the second table."""
    teachers = [pair for pair in make_ensembles(0) if pair[0] in ("histogram boosting", "LightGBM")]
    for kind, teacher in [*teachers, ("forest", RandomForestClassifier(100, random_state=0))]:
        own, new = slice(N_OWN), slice(N_OWN, None)
        if isinstance(teacher, list):
            teacher = [model.fit(X[own], y[own]) for model in teacher]
        else:
            teacher.fit(X[own], y[own])
        members = member_predictions(teacher, X[new])
        for augment in ("far_neighbors", "auto"):
            student = DLFClassifier(augment=augment, random_state=0)
            student.fit(X[own], y[own], ensemble=teacher)
            difference, *rest = class_scores(student, X[new], members)
            cells = [f"{difference:.1%}", f"{rest[0]:.4f}", *(f"{each:.2f}" for each in rest[1:])]
            yield f"| {name}, {kind} | {augment} | " + " | ".join(cells) + " |"


def main():
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="folder of the sets of regression; none without it")
    parser.add_argument("--class-dir", help="folder of the sets of classes; made ones without it")
    parser.add_argument("--splits", type=int, default=2)
    parser.add_argument("--max-rows", type=int, default=1000)
    parser.add_argument("--sets", nargs="+", default=UCI)
    parser.add_argument("--class-sets", nargs="+", default=["letter", "waveform"])
    parser.add_argument("--no-classes", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.data_dir is not None:
        print("| set, teacher | augment | error of mean | std correlation | std ratio | NLL |")
        print("| --- | --- | --- | --- | --- | --- |")
        for name in options.sets:
            print("\n".join(run_regression(name, options)), flush=True)
    if not options.no_classes:
        print("\n| set, teacher | augment | rare class | divergence | MI ratio | MI ranks |")
        print("| --- | --- | --- | --- | --- | --- |")
        for name, X, y in class_sets(options.class_dir, options.class_sets):
            print("\n".join(run_classes(name, X, y)), flush=True)


if __name__ == "__main__":
    main()
