"""Compare how faithful students are to ensembles of three kinds, beside what takes ten lines.

The ensembles are 50 networks, a forest of 100 trees and 20 boosted models of bootstrap samples. The
students are the default `DLFRegressor`, the same without made rows, Hydra, two boosted models of
the members' mean and log standard deviation ("boosting"), and one network of both ("network").
Those with made rows have the same design points. Scores are of the members at test rows. The std
correlation stands beside its ceiling, the root of the correlation that the spreads of two ensembles
of this size have. The member NLL is less that of the members' own mean and variance at each row,
the lowest that a normal can have.

Prints a Markdown table for each kind of ensemble and score, and below them counts of cells (a data
set and a kind of ensemble) that pass a bar:

    python benchmarks/compare_fidelity.py --data-dir DIR [--sets energy friedman1]
        [--teachers forest] [--students DLF Hydra] [--splits 5] [--max-rows 2000]

Results are appended to benchmarks/results/compare_fidelity.jsonl; what is there is not run again.
"""

from __future__ import annotations

import argparse
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from fidelity_data import RECIPES, SETS, fit_ensemble, load
from measuring import N_DRAWS, measure_teachers, student_nll, time_fit
from member_scores import compare_moments, joint_energy_distance
from tables import append_records, format_mean, format_sets, load_records, values_of
from ten_lines import MomentsNetworkRegressor, TwoBoostedRegressor

from sklearn_dlf import DLFRegressor
from sklearn_dlf.baselines import HydraRegressor
from sklearn_dlf.ensembles import member_predictions

TEACHERS, DLF, ROWS, HYDRA = "teachers", "DLF", "DLF, rows", "Hydra"
BOOSTING, NETWORK = "boosting", "network"
STUDENTS = {
    DLF: DLFRegressor,
    ROWS: partial(DLFRegressor, augment=None),
    HYDRA: HydraRegressor,
    BOOSTING: TwoBoostedRegressor,
    NETWORK: MomentsNetworkRegressor,
}
COLUMNS = {
    "mean_error": "Error of the mean",
    "std_ratio": "Std ratio, root mean squares",
    "std_corr": "Std correlation",
    "std_corr_share": "Std correlation over its ceiling",
    "std_rank_corr": "Rank correlation of std",
    "n_exploding": "Rows with more than 5 times the largest spread of the members",
    "member_nll_gap": "Member NLL less that of the members' own moments, nats",
    "joint_energy": "Joint energy distance",
    "nll": "NLL of y, nats",
    "fit_s": "Processor seconds of the fit",
}

# A student with made rows is worse than one without if its NLL is higher by this, in nats.
WORSE = 0.02


def measure_moments(record, data, wanted):
    """Fit an ensemble and the wanted students on one split; yield a record for each."""
    split = record["split"]
    ensemble = fit_ensemble(record["teacher"], data.X, data.y, split)
    members = member_predictions(ensemble, data.X_test)
    for model in wanted:
        if model == TEACHERS:
            yield {**record, "model": model, **measure_teachers(ensemble, data, members, split)}
            continue
        student = STUDENTS[model](random_state=split)
        seconds = time_fit(student, data.X, data.y, ensemble=ensemble)
        mean, std = student.predict(data.X_test, return_std=True)
        draws = student.sample_predictions(data.X_test, N_DRAWS, random_state=split)
        yield {
            **record,
            "model": model,
            **compare_moments(members, mean, std),
            "joint_energy": joint_energy_distance(members, draws),
            "nll": student_nll(student, data.X_test, data.y_test),
            "fit_s": seconds,
        }


def print_moments(cells, students):
    """Print tables of the moments, and counts of cells that pass a bar.

    ``cells`` maps kinds of ensembles and data sets to their records.
    """
    for kind in dict.fromkeys(kind for kind, _ in cells):
        by_set = {name: records for (own, name), records in cells.items() if own == kind}
        for key, title in COLUMNS.items():
            models = [TEACHERS, *students] if key == "nll" else students
            table = format_sets(
                by_set, models, lambda r, model, key=key: format_mean(values_of(r, model, key))
            )
            print(f"\n### {kind}: {title}\n\n{table}")
        ceilings = {
            name: [format_mean(values_of(records, students[0], key)) for key in CEILINGS]
            for name, records in by_set.items()
        }
        print(f"\n{kind}, ceilings of the std correlation and correlation of two ensembles:")
        print("; ".join(f"{name} {' and '.join(both)}" for name, both in ceilings.items()))
    print_bars(cells, students)


CEILINGS = ["std_ceiling", "std_reliability"]


def print_bars(cells, students):
    """Print how many cells pass each bar, by means over splits."""

    def means(key, model):
        return {cell: np.mean(values_of(records, model, key)) for cell, records in cells.items()}

    def count(passes):
        failed = ", ".join(f"{name} ({kind})" for (kind, name), each in passes.items() if not each)
        return f"{sum(passes.values())} of {len(passes)}" + (f"; not {failed}" if failed else "")

    def best(key, others, sign):
        """Return whether DLF has the greatest score times sign, for each cell."""
        own, rest = means(key, DLF), [means(key, model) for model in others if model in students]
        return {cell: all(sign * own[cell] > sign * r[cell] for r in rest) for cell in cells}

    print("\n### Bars\n")
    if ROWS in students:
        for key in ("nll", "member_nll_gap"):
            made, rows = means(key, DLF), means(key, ROWS)
            passes = {cell: made[cell] - rows[cell] <= WORSE for cell in cells}
            print(f"- {key}: with made rows at most {WORSE} higher than without: {count(passes)}")
    share = means("std_corr_share", DLF)
    for kind in dict.fromkeys(kind for kind, _ in cells):
        mean = np.mean([value for (own, _), value in share.items() if own == kind])
        print(f"- std correlation over its ceiling, mean over sets, {kind}: {mean:.3f}")
    both = f"above {BOOSTING} and {NETWORK}"
    print(f"- std correlation {both}: {count(best('std_corr', (BOOSTING, NETWORK), 1))}")
    explodes = {cell: value == 0 for cell, value in means("n_exploding", DLF).items()}
    print(f"- no row with an exploding std: {count(explodes)}")
    others = [model for model in students if model not in (DLF, ROWS)]
    print(f"- joint energy distance lowest: {count(best('joint_energy', others, -1))}")
    print(f"- error of the mean below {BOOSTING}'s: {count(best('mean_error', (BOOSTING,), -1))}")
    if HYDRA in students:
        teachers = means("nll", TEACHERS)
        for title, key, floor in (
            ("NLL of y", "nll", teachers),
            ("member NLL", "member_nll_gap", {}),
        ):
            gaps = {
                model: np.mean(
                    [value - floor.get(cell, 0) for cell, value in means(key, model).items()]
                )
                for model in (DLF, HYDRA)
            }
            print(
                f"- {title} less the teachers', mean over cells: {gaps[DLF]:.4f}, Hydra "
                f"{gaps[HYDRA]:.4f}"
            )
    seconds = {model: np.sum(list(means("fit_s", model).values())) for model in students}
    text = ", ".join(f"{model} {value:.1f}" for model, value in seconds.items())
    print(f"- processor seconds of the fits, sum over cells: {text}")


def main():
    """Parse the command line, measure what is missing, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data-dir", help="folder of the data sets that are not generated")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--teachers", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--students", nargs="+", default=list(STUDENTS), choices=list(STUDENTS))
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--max-rows", type=int, default=2000, help="training rows at most")
    default = Path(__file__).parent / "results" / "compare_fidelity.jsonl"
    parser.add_argument("--results", type=Path, default=default, help="file of the results")
    args = parser.parse_args()
    args.results.parent.mkdir(parents=True, exist_ok=True)
    students = [model for model in STUDENTS if model in args.students]
    if DLF not in students:
        parser.error(f"--students: {DLF} is compared with the others; expected it too.")
    cells = {}
    for kind in args.teachers:
        for name in args.sets:
            cells[kind, name] = run_cell(args, kind, name, students)
    print_moments(cells, students)


def run_cell(args, kind, name, students):
    """Measure what is missing of one data set and one kind of ensemble; return its records."""
    found = []
    for split in range(args.splits):
        record = {"part": "moments", "set": name, "teacher": kind, "split": split}
        record["max_rows"] = args.max_rows

        def known(record=record):
            records = load_records(args.results)
            return [r for r in records if record.items() <= r.items()]

        done = {r["model"] for r in known()}
        missing = [model for model in [TEACHERS, *students] if model not in done]
        if missing:
            began = time.perf_counter()
            data = load(name, split, args.data_dir, args.max_rows)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of fits that are measured here
                for result in measure_moments(record, data, missing):
                    append_records(args.results, [result])
            seconds = time.perf_counter() - began
            print(f"{name}, {kind}, split {split}: {seconds:.0f} s", flush=True)
        found += known()
    return found


if __name__ == "__main__":
    main()
