"""Compare how faithful students are to ensembles, beside what takes ten lines.

The ensembles are 50 networks, a forest of 100 trees and 20 boosted models of bootstrap samples. The
students are the default `DLFRegressor`, the same without made rows or with plain layers, Hydra, two
boosted models of the members' mean and log standard deviation ("boosting"), and one network of both
("network").
Those with made rows have the same design points. There are three parts, all at test rows:

    moments    mean, spread and distribution of the members. The std correlation stands beside its
               ceiling, the root of the correlation that the spreads of two ensembles of this size
               have. The member NLL is less that of the members' own mean and variance at each row,
               the lowest that a normal can have
    held-out   how the student's factors describe members that it has not learnt from (see
               benchmarks/held_out.py); of networks, forests and known models
    outputs    correlations between several outputs (see benchmarks/several_outputs.py); of networks
               and forests

Prints a Markdown table for each kind of ensemble and score, and below them counts of cells (a data
set and a kind of ensemble) that pass a bar:

    python benchmarks/compare_fidelity.py --data-dir DIR [--parts moments] [--splits 5]
        [--sets energy friedman1] [--teachers forest] [--students DLF Hydra] [--max-rows 2000]

Results are appended to benchmarks/results/compare_fidelity.jsonl; what is there is not run again.
With ``--cache DIR`` fitted ensembles are kept in DIR, since they take most of the time.
``--sets`` are those of the first two parts; the others are generated or come with scikit-learn.
"""

from __future__ import annotations

import argparse
import time
import warnings
from functools import partial
from pathlib import Path

import held_out
import joblib
import several_outputs
from fidelity_data import RECIPES, SETS, fit_ensemble, load
from fidelity_tables import (
    BOOSTING,
    DLF,
    HYDRA,
    NETWORK,
    PLAIN,
    ROWS,
    TEACHERS,
    print_held_out,
    print_moments,
    print_outputs,
)
from measuring import N_DRAWS, measure_teachers, student_nll, time_fit
from member_scores import compare_moments, joint_energy_distance, member_law_gain
from tables import append_records, records_of
from ten_lines import MomentsNetworkRegressor, TwoBoostedRegressor

from sklearn_dlf import DLFRegressor
from sklearn_dlf.baselines import HydraRegressor
from sklearn_dlf.ensembles import member_predictions

STUDENTS = {
    DLF: DLFRegressor,
    ROWS: partial(DLFRegressor, augment=None),
    PLAIN: partial(DLFRegressor, body="mlp"),
    HYDRA: HydraRegressor,
    BOOSTING: TwoBoostedRegressor,
    NETWORK: MomentsNetworkRegressor,
}
# Kind of ensemble of members that are drawn from known models.
MODEL = "model"


def measure_moments(record, data, wanted, memory):
    """Fit an ensemble and the wanted students on one split; yield a record for each."""
    split = record["split"]
    ensemble = memory.cache(fit_ensemble)(record["teacher"], data.X, data.y, split)
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
            "member_law_gain": member_law_gain(student, members, mean, std),
            "joint_energy": joint_energy_distance(members, draws),
            "nll": student_nll(student, data.X_test, data.y_test),
            "fit_s": seconds,
        }


class Moments:
    """Mean, spread and distribution of the members."""

    show = staticmethod(print_moments)

    def __init__(self, args):
        self.args = args
        self.memory = joblib.Memory(args.cache, verbose=0)
        self.models = [TEACHERS, *args.students]
        self.cells = [(kind, name) for kind in args.teachers for name in args.sets]

    def options(self, kind):
        """Return what records depend on beside cell and split."""
        return {"max_rows": self.args.max_rows}

    def measure(self, record, wanted):
        """Yield a record for each of the wanted models."""
        name, split, max_rows = (record[key] for key in ("set", "split", "max_rows"))
        data = load(name, split, self.args.data_dir, max_rows)
        yield from measure_moments(record, data, wanted, self.memory)


class HeldOut(Moments):
    """Members from which the student has not learnt."""

    show = staticmethod(print_held_out)

    def __init__(self, args):
        super().__init__(args)
        self.models = [held_out.DLF, held_out.REFERENCE, held_out.SAMPLE]
        kinds = [kind for kind in args.teachers if kind in several_outputs.RECIPES]
        self.cells = [(kind, name) for kind in kinds for name in args.sets]
        self.cells += [(MODEL, name) for name in held_out.DRAWN]

    def options(self, kind):
        """Return what records depend on beside cell and split."""
        n_held_out = {"n_held_out": self.args.held_out}
        return n_held_out if kind == MODEL else {**super().options(kind), **n_held_out}

    def measure(self, record, wanted):
        """Yield a record for each of the models; all of them belong together."""
        n_held_out = record["n_held_out"]
        if record["teacher"] == MODEL:
            records = held_out.measure_drawn(record, n_held_out)
        else:
            data = load(record["set"], record["split"], self.args.data_dir, record["max_rows"])
            records = held_out.measure_held_out(record, data, n_held_out, self.memory)
        yield from [each for each in records if each["model"] in wanted]


class Outputs(Moments):
    """Correlations between several outputs."""

    show = staticmethod(print_outputs)

    def __init__(self, args):
        super().__init__(args)
        self.models = [model for model in args.students if model in several_outputs.STUDENTS]
        kinds = [kind for kind in args.teachers if kind in several_outputs.RECIPES]
        self.cells = [(kind, name) for kind in kinds for name in several_outputs.SETS]

    def options(self, kind):
        """Return nothing: all rows are used."""
        return {}

    def measure(self, record, wanted):
        """Yield a record for each of the wanted models."""
        yield from several_outputs.measure_outputs(record, wanted, self.memory)


PARTS = {"moments": Moments, "held-out": HeldOut, "outputs": Outputs}


def run_cell(part, part_name, kind, name, args):
    """Measure what is missing in one cell; return its records, of the models that are shown."""
    found = []
    for split in range(args.splits):
        key = {"part": part_name, "set": name, "teacher": kind, "split": split}
        key |= part.options(kind)
        done = {record["model"] for record in records_of(args.results, **key)}
        missing = [model for model in part.models if model not in done]
        if missing:
            began = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of fits that are measured here
                for record in part.measure(key, missing):
                    append_records(args.results, [record])
            seconds = time.perf_counter() - began
            print(f"{part_name}: {name}, {kind}, split {split}: {seconds:.0f} s", flush=True)
        found += [r for r in records_of(args.results, **key) if r["model"] in part.models]
    return found


def main():
    """Parse the command line, measure what is missing, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data-dir", help="folder of the data sets that are not generated")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--teachers", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument(
        "--students", nargs="+", default=list(STUDENTS), choices=list(STUDENTS), help="and DLF"
    )
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--max-rows", type=int, default=2000, help="training rows at most")
    parser.add_argument(
        "--held-out", type=int, default=200, help="held-out members; the reference has two times it"
    )
    default = Path(__file__).parent / "results" / "compare_fidelity.jsonl"
    parser.add_argument("--results", type=Path, default=default, help="file of the results")
    parser.add_argument(
        "--cache", type=Path, help="folder that keeps ensembles, for other students or versions"
    )
    args = parser.parse_args()
    args.results.parent.mkdir(parents=True, exist_ok=True)
    args.students = [model for model in STUDENTS if model in {DLF, *args.students}]
    for name in args.parts:
        part = PARTS[name](args)
        cells = {cell: run_cell(part, name, *cell, args) for cell in part.cells}
        print(f"\n## {name}, {args.splits} splits")
        part.show(cells, part.models if name == "outputs" else args.students)


if __name__ == "__main__":
    main()
