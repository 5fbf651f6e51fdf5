"""Compare the latent factor model with the baselines as students of deep ensembles of classifiers.

The teachers are ten networks of two hidden layers of 100. Every student has one hidden layer of 50.
It learns at the teachers' training rows and at the rows that are made by default. The baselines
take as many optimiser steps as the latent factor model did. "network" is what takes ten lines: one
network of averaged probabilities and log mutual information, with two hidden layers of 100.
Epistemic uncertainty is the mutual information of class and member. Rows out of distribution are
the test rows with the values of every column permuted.

Prints a Markdown table for each data set (means over splits and their standard errors), the scores
of the baselines less those of the latent factor model, and a table for each score over all data
sets:

    python benchmarks/classification.py --data-dir DIR [--sets digits letter] [--splits 5]
        [--figure PATH]

With ``--teacher forest`` the teachers are forests of 100 trees, and the students have the default
hidden layers and number of factors. With ``--loadings full separable`` both models of the
covariance are fitted and compared.

``digits`` comes with scikit-learn; the other data sets are files in DIR (see
benchmarks/datasets.py). Results are appended to benchmarks/results/classification.jsonl. Splits
whose results are there already are not run again.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from datasets import load_classes
from measuring import count_parameters, time_fit
from scipy.stats import spearmanr
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from tables import (
    append_records,
    differences,
    format_differences,
    format_mean,
    format_sets,
    format_table,
    load_records,
    values_of,
)
from ten_lines import MomentsNetworkClassifier

from sklearn_dlf import DLFClassifier
from sklearn_dlf._fitting.refinement import N_ROUNDS
from sklearn_dlf.baselines import (
    BatchEnsembleClassifier,
    DirichletClassifier,
    HydraClassifier,
    SmallEnsembleClassifier,
)
from sklearn_dlf.ensembles import DeepEnsembleClassifier, FittedEnsemble, member_predictions
from sklearn_dlf.metrics import expected_calibration_error, mutual_information

SETS = ["digits", "letter", "pendigits", "waveform", "magic"]
TEACHERS = "teachers"
BASELINES = {
    "Hydra": HydraClassifier,
    "BatchEnsemble": BatchEnsembleClassifier,
    "small ensemble": SmallEnsembleClassifier,
    "Dirichlet": DirichletClassifier,
}
# One network of averages, which takes ten lines; it has sizes and epochs of its own.
NETWORK = "network"
ALTERNATIVES = [*BASELINES, NETWORK]
STUDENT = {"hidden_layer_sizes": (50,)}
# For each kind of ensemble: its class, its number of members, and options of the students.
KINDS = {
    "networks": (DeepEnsembleClassifier, 10, STUDENT),
    "forest": (RandomForestClassifier, 100, {}),
}
# Least probability of forests, of which all trees may predict zero.
FLOOR = 1e-6
# A rank correlation is as high as Hydra's if it is less than this below; a choice.
TOLERANCE = 0.002
# Decimals in tables; differences of probabilities are small.
DIGITS = 4
# Scores in the tables, and scores whose differences are paired by split.
COLUMNS = {
    "accuracy": "accuracy",
    "nll": "NLL",
    "brier": "Brier",
    "ece": "ECE",
    "mi_ratio": "MI ratio",
    "mi_rank_corr": "MI rank corr.",
    "ood_auroc": "OOD AUROC",
    "parameters": "parameters",
    "fit_s": "fit, s",
}
PAIRED = {key: COLUMNS[key] for key in ("nll", "brier", "ece", "mi_rank_corr", "ood_auroc")}
# Scores in the figure, and the values that a perfect student would have.
PANELS = {
    "nll": "NLL less the\nteachers', nats",
    "mi_ratio": "mutual information,\nstudent's over teachers'",
    "mi_rank_corr": "its rank correlation\nover rows",
    "ood_auroc": "OOD AUROC less\nthe teachers'",
}
IDEAL = {"nll": 0.0, "mi_ratio": 1.0, "ood_auroc": 0.0}


def score(probabilities, y, classes, inside, outside):
    """Return scores of averaged probabilities and of epistemic uncertainty.

    ``inside`` and ``outside`` (n,) are the epistemic uncertainty at test rows and at rows out of
    distribution.
    """
    predicted = classes[probabilities.argmax(axis=1)]
    is_outside = np.repeat([0, 1], [len(inside), len(outside)])
    return {
        "accuracy": accuracy_score(y, predicted),
        "nll": log_loss(y, probabilities, labels=classes),
        "brier": float(np.mean(np.sum((probabilities - (y[:, None] == classes)) ** 2, axis=1))),
        "ece": expected_calibration_error(y, probabilities, classes=classes),
        "ood_auroc": roc_auc_score(is_outside, np.concatenate([inside, outside])),
    }


def name_models(loadings):
    """Return the names of teachers and students; there is one DLF student for each loadings."""
    return [TEACHERS, *(f"DLF {model}" for model in loadings), *ALTERNATIVES]


def measure(data, seed, n_members, loadings, kind="networks"):
    """Train teachers and students on one split; return a dict of scores for each."""
    outside = np.random.default_rng(seed).permuted(data.X_test, axis=0)
    make, _, sizes = KINDS[kind]
    teachers = make(n_members, random_state=seed)
    seconds = time_fit(teachers, data.X, data.y)
    members = member_predictions(teachers, data.X_test)
    epistemic = mutual_information(members)
    outer = mutual_information(member_predictions(teachers, outside))
    averaged = members.mean(axis=-1)
    if kind == "forest":
        averaged = np.maximum(averaged, FLOOR)
        averaged /= averaged.sum(axis=1, keepdims=True)
    scores = score(averaged, data.y_test, teachers.classes_, epistemic, outer)
    results = {TEACHERS: {**scores, "fit_s": seconds}}

    ensemble = FittedEnsemble(teachers)
    options = {"random_state": seed, **sizes}
    q = n_members - 1 if kind == "networks" else DLFClassifier().q
    students = {
        f"DLF {model}": DLFClassifier(ensemble, q=q, loadings=model, **options)
        for model in loadings
    }
    for name, student in students.items():
        results[name] = {"fit_s": time_fit(student, data.X, data.y)}
    n_rounds = students[f"DLF {loadings[0]}"].n_iter_ + N_ROUNDS[1]  # the most
    for name, baseline in BASELINES.items():
        students[name] = baseline(ensemble, max_iter=n_rounds, **options)
        results[name] = {"fit_s": time_fit(students[name], data.X, data.y)}
    students[NETWORK] = MomentsNetworkClassifier(ensemble, random_state=seed)
    results[NETWORK] = {"fit_s": time_fit(students[NETWORK], data.X, data.y)}
    for name, student in students.items():
        own = student.predict_uncertainty(data.X_test).epistemic
        own_outer = student.predict_uncertainty(outside).epistemic
        probabilities = student.predict_proba(data.X_test)
        results[name] |= {
            **score(probabilities, data.y_test, student.classes_, own, own_outer),
            "mi_ratio": own.mean() / epistemic.mean(),
            "mi_rank_corr": spearmanr(own, epistemic).statistic,
            "n_iter": student.n_iter_,
            "parameters": count_parameters(student),
        }
    return results


def print_summary(by_set, models):
    """Print a table over all data sets for each score."""
    students = models[1:]

    def mean_of(key):
        return lambda records, model: format_mean(values_of(records, model, key), DIGITS)

    def less_teachers(records, model):
        return format_mean(differences(records, model, TEACHERS, "ood_auroc"), DIGITS)

    for title, shown, cell in (
        ("NLL, nats", models, mean_of("nll")),
        ("Brier score", models, mean_of("brier")),
        ("ECE", models, mean_of("ece")),
        ("Accuracy", models, mean_of("accuracy")),
        ("Mutual information over the teachers'", students, mean_of("mi_ratio")),
        ("Rank correlation of mutual information", students, mean_of("mi_rank_corr")),
        ("AUROC less the teachers', paired by split", students, less_teachers),
    ):
        print(f"\n### {title}\n\n{format_sets(by_set, shown, cell)}")
    for key, tolerance in (("mi_rank_corr", TOLERANCE), ("ood_auroc", 0.0)):
        least = [np.mean(differences(own, models[1], "Hydra", key)) for own in by_set.values()]
        n_passed = sum(difference >= -tolerance for difference in least)
        title = f"{COLUMNS[key]} of {models[1]} at most {tolerance} below Hydra's"
        print(f"\n{title}: {n_passed} of {len(least)} sets")


def main():
    """Parse the command line, measure what is missing, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data-dir", help="folder of the data sets other than digits")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--teacher", default="networks", choices=list(KINDS))
    parser.add_argument("--members", type=int, help="10 networks or 100 trees by default")
    parser.add_argument("--loadings", nargs="+", default=["full"], choices=["full", "separable"])
    default = Path(__file__).parent / "results" / "classification.jsonl"
    parser.add_argument("--results", type=Path, default=default, help="file of the results")
    parser.add_argument("--figure", type=Path, help="where to save a figure of all data sets")
    args = parser.parse_args()
    args.results.parent.mkdir(parents=True, exist_ok=True)
    models, by_set = name_models(args.loadings), {}
    n_members = args.members or KINDS[args.teacher][1]

    def of_split(name, split):
        key = {"set": name, "split": split, "n_members": n_members, "loadings": args.loadings}
        key["teacher"] = args.teacher
        found = load_records(args.results)
        return [r for r in found if key.items() <= {"teacher": "networks", **r}.items()]

    for name in args.sets:
        for split in range(args.splits):
            if len(of_split(name, split)) == len(models):
                continue
            began = time.perf_counter()
            data = load_classes(name, split, args.data_dir)
            record = {"set": name, "split": split, "n_members": n_members}
            record |= {"loadings": args.loadings, "teacher": args.teacher}
            results = measure(data, split, n_members, args.loadings, args.teacher)
            records = [{**record, "model": model, **results[model]} for model in results]
            append_records(args.results, records)
            print(f"{name} split {split}: {time.perf_counter() - began:.0f} s", flush=True)
        records = [record for split in range(args.splits) for record in of_split(name, split)]
        by_set[name] = records
        table = format_table(records, models, COLUMNS, DIGITS)
        print(f"\n### {name}, {args.splits} splits\n\n{table}\n")
        print(format_differences(records, models[1], ALTERNATIVES, PAIRED, DIGITS), flush=True)
    print_summary(by_set, models)
    if args.figure:
        from figures import draw_comparison  # here, since only the figure needs matplotlib

        draw_comparison(args.figure, by_set, models[1:], PANELS, {"nll", "ood_auroc"}, IDEAL)


if __name__ == "__main__":
    main()
