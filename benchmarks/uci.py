"""Students of deep ensembles on six UCI sets: the latent factor model against the baselines.

Fifty networks of two hidden layers of 100 are the teachers; every student has one hidden layer of
50, learns at the teachers' own training rows, and takes as many optimiser steps as the latent
factor model did. Prints a Markdown table a set (means over splits and their standard errors) and
the paired differences to the latent factor model:

    python benchmarks/uci.py --data-dir DIR [--sets energy boston] [--splits 10]

Every result is appended to benchmarks/results/uci.jsonl, and what is there is not run again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from datasets import load_split
from measuring import measure_student, measure_teachers, share_of_bound, time_fit

from sklearn_dlf import DLFRegressor
from sklearn_dlf.baselines import BatchEnsembleRegressor, HydraRegressor, SmallEnsembleRegressor
from sklearn_dlf.ensembles import DeepEnsembleRegressor, FittedEnsemble, member_predictions

SETS = ["boston", "concrete", "energy", "wine", "power", "kin8nm"]
TEACHERS, DLF = "teachers", "DLF"
BASELINES = {
    "Hydra": HydraRegressor,
    "BatchEnsemble": BatchEnsembleRegressor,
    "small ensemble": SmallEnsembleRegressor,
}
STUDENT = {"hidden_layer_sizes": (50,), "augment": None}
# What a table shows, and of which differences are paired.
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


def measure_split(name, split, data, n_members):
    """Train teachers and all students on one split; yield a record each."""
    teachers = DeepEnsembleRegressor(n_members, random_state=split)
    seconds = time_fit(teachers, data.X, data.y)
    members = member_predictions(teachers, data.X_test)
    record = {"set": name, "split": split, "n_members": n_members}
    scores = measure_teachers(teachers, data, members, split)
    yield {**record, "model": TEACHERS, "fit_s": seconds, **scores}

    ensemble = FittedEnsemble(teachers)
    dlf = DLFRegressor(ensemble, q=10, random_state=split, **STUDENT)
    seconds = time_fit(dlf, data.X, data.y)
    students = {
        model: student(ensemble, max_iter=dlf.n_iter_, random_state=split, **STUDENT)
        for model, student in BASELINES.items()
    }
    for model, student in {DLF: dlf, **students}.items():
        if student is not dlf:
            seconds = time_fit(student, data.X, data.y)
        scores = measure_student(student, data.X_test, data.y_test, members, split)
        if student is dlf:
            scores["share_of_bound"] = share_of_bound(dlf)
        yield {**record, "model": model, "n_iter": dlf.n_iter_, "fit_s": seconds, **scores}


def format_table(records):
    """Markdown table of one set: mean and standard error over splits."""
    header = ["", *COLUMNS.values()]
    lines = [header, ["---"] * len(header)]
    for model in [TEACHERS, DLF, *BASELINES]:
        own = [record for record in records if record["model"] == model]
        cells = [format_mean([r[key] for r in own if key in r]) for key in COLUMNS]
        lines.append([model, *cells])
    return format_rows(lines)


def format_differences(records, reference, models, columns, digits=3):
    """Markdown table of one set: a model's scores less those of the reference, paired by split.

    ``columns`` gives the name of each score that is shown.
    """
    header = [f"less {reference}", *columns.values()]
    lines = [header, ["---"] * len(header)]
    scores = {(record["model"], record["split"]): record for record in records}
    splits = sorted({record["split"] for record in records})
    for model in models:
        cells = [
            format_mean([scores[model, s][key] - scores[reference, s][key] for s in splits], digits)
            for key in columns
        ]
        lines.append([model, *cells])
    return format_rows(lines)


def format_mean(values, digits=3):
    """Mean and standard error; nothing where nothing was measured."""
    if not values:
        return ""
    mean = np.mean(values)
    text = f"{mean:,.0f}" if abs(mean) >= 1000 else f"{mean:.{digits}f}"
    if len(values) > 1 and np.ptp(values) > 0:
        text += f" ± {np.std(values, ddof=1) / np.sqrt(len(values)):.{digits}f}"
    return text


def format_rows(lines):
    """Lines of a Markdown table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def load_records(path):
    """Records of earlier runs."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def main():
    """Parse the command line, measure what is missing, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data-dir", required=True, help="folder of the sets")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--members", type=int, default=50)
    default = Path(__file__).parent / "results" / "uci.jsonl"
    parser.add_argument("--results", type=Path, default=default, help="file of records")
    args = parser.parse_args()
    args.results.parent.mkdir(parents=True, exist_ok=True)
    wanted = [(name, split) for name in args.sets for split in range(args.splits)]
    n_models = 2 + len(BASELINES)

    def of_split(name, split):
        key = (name, split, args.members)
        found = load_records(args.results)
        return [r for r in found if (r["set"], r["split"], r["n_members"]) == key]

    for done, (name, split) in enumerate(wanted, start=1):
        if len(of_split(name, split)) == n_models:
            continue
        began = time.perf_counter()
        records = list(
            measure_split(name, split, load_split(name, split, args.data_dir), args.members)
        )
        # A split is written whole, so that an interrupted one is run again.
        with args.results.open("a") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
        seconds = time.perf_counter() - began
        print(f"{name} split {split}: {seconds:.0f} s ({done} of {len(wanted)})", flush=True)
    for name in args.sets:
        records = [record for split in range(args.splits) for record in of_split(name, split)]
        print(f"\n### {name}, {args.splits} splits\n\n{format_table(records)}")
        print(f"\n{format_differences(records, DLF, BASELINES, PAIRED)}")


if __name__ == "__main__":
    main()
