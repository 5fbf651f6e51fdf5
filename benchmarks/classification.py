"""Students of deep ensembles of classifiers: the latent factor model against the baselines.

Ten networks of two hidden layers of 100 are the teachers; every student has one hidden layer of 50,
learns at the same rows (the teachers' own and those made of them, as by default), and takes as many
optimiser steps as the latent factor model did. Epistemic uncertainty is the mutual information of
class and member; rows out of distribution are the test rows with the values of every column
permuted. Prints a Markdown table a set, means over splits and their standard errors, a baseline
less the latent factor model, and a table a score over all sets:

    python benchmarks/classification.py --data-dir DIR [--sets digits letter] [--splits 5]
        [--figure PATH]

With ``--loadings full separable`` both models of the covariance are fitted, and compared.

``digits`` comes with scikit-learn; the other sets are files in DIR (see benchmarks/datasets.py).
Every result is appended to benchmarks/results/classification.jsonl, and what is there is not run
again.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from datasets import load_classes
from measuring import count_parameters, time_fit
from scipy.stats import spearmanr
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

from sklearn_dlf import DLFClassifier
from sklearn_dlf._fitting.em import N_REFINE_ROUNDS
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
STUDENT = {"hidden_layer_sizes": (50,)}
# Of small differences of probabilities.
DIGITS = 4
# What a table shows, and of which differences are paired.
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
# What a figure shows, and where a student like its teachers would be.
PANELS = {
    "nll": "NLL less the\nteachers', nats",
    "mi_ratio": "mutual information,\nstudent's over teachers'",
    "mi_rank_corr": "its rank correlation\nover rows",
    "ood_auroc": "OOD AUROC less\nthe teachers'",
}
IDEAL = {"nll": 0.0, "mi_ratio": 1.0, "ood_auroc": 0.0}


def score(probabilities, y, classes, inside, outside):
    """Scores of averaged probabilities, and of how epistemic uncertainty tells rows apart."""
    said = classes[probabilities.argmax(axis=1)]
    is_outside = np.repeat([0, 1], [len(inside), len(outside)])
    return {
        "accuracy": accuracy_score(y, said),
        "nll": log_loss(y, probabilities, labels=classes),
        "brier": float(np.mean(np.sum((probabilities - (y[:, None] == classes)) ** 2, axis=1))),
        "ece": expected_calibration_error(y, probabilities, classes=classes),
        "ood_auroc": roc_auc_score(is_outside, np.concatenate([inside, outside])),
    }


def name_models(loadings):
    """Names of what one split measures: teachers, students, one a model of the covariance."""
    return [TEACHERS, *(f"DLF {model}" for model in loadings), *BASELINES]


def measure(data, seed, n_members, loadings):
    """Train teachers and students on one split; a dict of scores for each."""
    outside = np.random.default_rng(seed).permuted(data.X_test, axis=0)
    teachers = DeepEnsembleClassifier(n_members, random_state=seed)
    seconds = time_fit(teachers, data.X, data.y)
    members = member_predictions(teachers, data.X_test)
    epistemic = mutual_information(members)
    outer = mutual_information(member_predictions(teachers, outside))
    scores = score(members.mean(axis=-1), data.y_test, teachers.classes_, epistemic, outer)
    results = {TEACHERS: {**scores, "fit_s": seconds}}

    ensemble = FittedEnsemble(teachers)
    options = {"random_state": seed, **STUDENT}
    students = {
        f"DLF {model}": DLFClassifier(ensemble, q=n_members - 1, loadings=model, **options)
        for model in loadings
    }
    for name, student in students.items():
        results[name] = {"fit_s": time_fit(student, data.X, data.y)}
    n_rounds = students[f"DLF {loadings[0]}"].n_iter_ + N_REFINE_ROUNDS
    for name, baseline in BASELINES.items():
        students[name] = baseline(ensemble, max_iter=n_rounds, **options)
        results[name] = {"fit_s": time_fit(students[name], data.X, data.y)}
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
    """Tables over sets, a score each."""
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


def main():
    """Parse the command line, measure what is missing, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data-dir", help="folder of the sets beside digits")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--loadings", nargs="+", default=["full"], choices=["full", "separable"])
    default = Path(__file__).parent / "results" / "classification.jsonl"
    parser.add_argument("--results", type=Path, default=default, help="file of records")
    parser.add_argument("--figure", type=Path, help="where to save a figure of all sets")
    args = parser.parse_args()
    args.results.parent.mkdir(parents=True, exist_ok=True)
    models, by_set = name_models(args.loadings), {}

    def of_split(name, split):
        key = (name, split, args.members, args.loadings)
        found = load_records(args.results)
        return [r for r in found if (r["set"], r["split"], r["n_members"], r["loadings"]) == key]

    for name in args.sets:
        for split in range(args.splits):
            if len(of_split(name, split)) == len(models):
                continue
            began = time.perf_counter()
            data = load_classes(name, split, args.data_dir)
            record = {"set": name, "split": split, "n_members": args.members}
            record["loadings"] = args.loadings
            results = measure(data, split, args.members, args.loadings)
            records = [{**record, "model": model, **results[model]} for model in results]
            append_records(args.results, records)
            print(f"{name} split {split}: {time.perf_counter() - began:.0f} s", flush=True)
        records = [record for split in range(args.splits) for record in of_split(name, split)]
        by_set[name] = records
        table = format_table(records, models, COLUMNS, DIGITS)
        print(f"\n### {name}, {args.splits} splits\n\n{table}\n")
        print(format_differences(records, models[1], BASELINES, PAIRED, DIGITS), flush=True)
    print_summary(by_set, models)
    if args.figure:
        from figures import draw_comparison  # as matplotlib is for this alone

        draw_comparison(args.figure, by_set, models[1:], PANELS, {"nll", "ood_auroc"}, IDEAL)


if __name__ == "__main__":
    main()
