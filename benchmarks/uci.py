"""Compare the latent factor model with the baselines on six UCI data sets.

The teachers are fifty networks of two hidden layers of 100. Every student has one hidden layer of
50. It learns at the teachers' training rows and at the rows that are made by default; with
``--augment none`` it learns at the training rows alone. The baselines take at least as many
optimiser steps as the latent factor model did. "boosting" and "network" are what takes ten lines:
two boosted models of the members' mean and log standard deviation, and one network of both with two
hidden layers of 100.

Prints a Markdown table for each data set (means over splits and their standard errors), the paired
differences to the latent factor model, and the tables over all data sets of docs/comparison.md:

    python benchmarks/uci.py --data-dir DIR [--sets energy boston] [--splits 10] [--augment none]
        [--figure PATH]

Results are appended to benchmarks/results/uci.jsonl. Splits whose results are there already are
not run again.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from datasets import load_split
from measuring import measure_student, measure_teachers, share_of_bound, time_fit
from tables import (
    append_records,
    differences,
    format_differences,
    format_mean,
    format_rows,
    format_sets,
    format_table,
    records_of,
    values_of,
)
from ten_lines import MomentsNetworkRegressor, TwoBoostedRegressor

from sklearn_dlf import DLFRegressor
from sklearn_dlf.baselines import BatchEnsembleRegressor, HydraRegressor, SmallEnsembleRegressor
from sklearn_dlf.ensembles import DeepEnsembleRegressor, FittedEnsemble, member_predictions

SETS = ["boston", "concrete", "energy", "wine", "kin8nm", "power"]
TEACHERS, DLF = "teachers", "DLF"
BASELINES = {
    "Hydra": HydraRegressor,
    "BatchEnsemble": BatchEnsembleRegressor,
    "small ensemble": SmallEnsembleRegressor,
}
TEN_LINES = {"boosting": TwoBoostedRegressor, "network": MomentsNetworkRegressor}
ALTERNATIVES = [*BASELINES, *TEN_LINES]
STUDENT = {"hidden_layer_sizes": (50,)}
AUGMENTATIONS = {"auto": "auto", "none": None}
# Scores in the tables, and scores whose differences are paired by split.
COLUMNS = {
    "rmse": "RMSE",
    "nll": "NLL",
    "crps": "CRPS",
    "coverage_95": "95 % coverage",
    "mean_error": "error of mean",
    "std_ratio": "std ratio",
    "std_corr": "std corr.",
    "cov_error": "cov. error",
    "energy": "energy dist.",
    "share_of_bound": "share of bound",
    "parameters": "parameters",
    "fit_s": "fit, s",
}
PAIRED = {key: COLUMNS[key] for key in ("rmse", "nll", "crps", "std_corr", "cov_error", "energy")}
# Scores in the figure, and the values that a perfect student would have.
PANELS = {
    "nll": "NLL of y less\nthe teachers', nats",
    "mean_error": "error of the mean,\nstds over rows",
    "std_ratio": "std, student's\nover members'",
    "std_corr": "correlation of\nstds over rows",
}
IDEAL = {"nll": 0.0, "std_ratio": 1.0}


def measure_split(record, data):
    """Train teachers and students on one split; yield ``record`` with the scores of each."""
    split = record["split"]
    teachers = DeepEnsembleRegressor(record["n_members"], random_state=split)
    seconds = time_fit(teachers, data.X, data.y)
    members = member_predictions(teachers, data.X_test)
    scores = measure_teachers(teachers, data, members, split)
    yield {**record, "model": TEACHERS, "fit_s": seconds, **scores}

    ensemble = FittedEnsemble(teachers)
    options = {"augment": AUGMENTATIONS[record["augment"]], "random_state": split, **STUDENT}
    dlf = DLFRegressor(ensemble, q=10, tol=record["tol"], **options)
    seconds = time_fit(dlf, data.X, data.y)
    students = {
        model: student(ensemble, max_iter=dlf.n_iter_, **options)
        for model, student in BASELINES.items()
    }
    for model, student in TEN_LINES.items():
        students[model] = student(ensemble, augment=options["augment"], random_state=split)
    for model, student in {DLF: dlf, **students}.items():
        if student is not dlf:
            seconds = time_fit(student, data.X, data.y)
        scores = measure_student(student, data.X_test, data.y_test, members, split)
        if student is dlf:
            scores["share_of_bound"] = share_of_bound(dlf)
        yield {**record, "model": model, "n_iter": dlf.n_iter_, "fit_s": seconds, **scores}


def print_summary(by_set):
    """Print the tables over all data sets, as docs/comparison.md shows them."""
    students, sets = [DLF, *ALTERNATIVES], by_set.values()

    def mean_of(key):
        return lambda records, model: f"{np.mean(values_of(records, model, key)):.3f}"

    def less(reference):
        return lambda records, model: format_mean(differences(records, model, reference, "nll"))

    def spread(records, model):
        return ", ".join(mean_of(key)(records, model) for key in ("std_ratio", "std_corr"))

    def sizes(records, model):
        seconds = np.mean(values_of(records, model, "fit_s"))
        return f"{format_mean(values_of(records, model, 'parameters'))}, {seconds:.1f}"

    def gap(model, key):
        scores = [(values_of(own, model, key), values_of(own, TEACHERS, "nll")) for own in sets]
        return np.mean([np.mean(own) - np.mean(teachers) for own, teachers in scores])

    for title, models, cell in (
        ("NLL of y, nats", [TEACHERS, *students], mean_of("nll")),
        (f"NLL of y less {DLF}'s, paired by split", ALTERNATIVES, less(DLF)),
        ("NLL of y less the teachers', paired by split", students, less(TEACHERS)),
        ("CRPS of y", [TEACHERS, *students], mean_of("crps")),
        ("Spread of members, std ratio and correlation", students, spread),
        ("Parameters, and processor seconds of the fit", students, sizes),
    ):
        print(f"\n### {title}\n\n{format_sets(by_set, models, cell)}")
    rows = [["", *students]]
    for title, key in (("as fitted", "nll"), ("noise of y as the teachers'", "nll_without_misfit")):
        rows.append([title, *(f"{gap(model, key):.3f}" for model in students)])
    print(f"\n### NLL of y less the teachers', mean over sets\n\n{format_rows(rows)}")


def main():
    """Parse the command line, measure what is missing, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data-dir", required=True, help="folder of the data sets")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--members", type=int, default=50)
    parser.add_argument(
        "--augment", default="auto", choices=AUGMENTATIONS, help="how further rows are made"
    )
    parser.add_argument("--tol", type=float, default=DLFRegressor().tol, help="tolerance of EM")
    default = Path(__file__).parent / "results" / "uci.jsonl"
    parser.add_argument("--results", type=Path, default=default, help="file of the results")
    parser.add_argument("--figure", type=Path, help="where to save a figure of all data sets")
    args = parser.parse_args()
    args.results.parent.mkdir(parents=True, exist_ok=True)
    wanted = [(name, split) for name in args.sets for split in range(args.splits)]
    n_models = 2 + len(ALTERNATIVES)

    def record_of(name, split):
        options = {"n_members": args.members, "augment": args.augment, "tol": args.tol}
        return {"set": name, "split": split, **options}

    def of_split(name, split):
        return records_of(args.results, **record_of(name, split))

    for done, (name, split) in enumerate(wanted, start=1):
        if len(of_split(name, split)) == n_models:
            continue
        began = time.perf_counter()
        data = load_split(name, split, args.data_dir)
        records = list(measure_split(record_of(name, split), data))
        append_records(args.results, records)
        seconds = time.perf_counter() - began
        print(f"{name} split {split}: {seconds:.0f} s ({done} of {len(wanted)})", flush=True)
    by_set = {
        name: [record for split in range(args.splits) for record in of_split(name, split)]
        for name in args.sets
    }
    for name, records in by_set.items():
        table = format_table(records, [TEACHERS, DLF, *ALTERNATIVES], COLUMNS)
        print(f"\n### {name}, {args.splits} splits\n\n{table}")
        print(f"\n{format_differences(records, DLF, ALTERNATIVES, PAIRED)}")
    print_summary(by_set)
    if args.figure:
        from figures import draw_comparison  # here, since only the figure needs matplotlib

        draw_comparison(args.figure, by_set, [DLF, *ALTERNATIVES], PANELS, {"nll"}, IDEAL)


if __name__ == "__main__":
    main()
