"""What the fit of a latent factor model to networks depends on, one thing at a time.

    q          number of factors
    start      start x EM; one split and one teacher, so that seeds are those of the student alone
    design     rows that the student learns at, by teachers of half of the training rows
    members    number of members, and half as many factors where that is less than ten; all are
               measured against the largest ensemble
    width      hidden layers of the student
    activation of the student's hidden layers
    noise      what is left of the members' spread beside the factors
    diversity  what the members differ by
    clusters   members of two groups, one displaced: how far, in units of their rms spread (what the
               members did not see is not told, as residuals there hold the displacement)

"Of a normal" is the energy distance that normals of the members' own means and stds have to them,
in figures grey circles. "Members' spread" is their rms std over that of y.

Else fifty networks of two hidden layers of 100 are the teachers, and the student has one hidden
layer of 50, ten factors, and learns at the teachers' own rows. Prints a Markdown table a study and
set, means over seeds (of splits, teachers and students) and their standard deviations, also of the
mean over more than two sets, and saves a figure a study:

    python benchmarks/ablations.py [--data-dir DIR --sets boston energy] [--studies q] [--seeds 3]

Without a folder the set is ``friedman1``, which is made. Results are appended to
benchmarks/results/ablations.jsonl, and what is there is not run again. ``--quick`` shows that all
runs, with few members and short training; its results are no results, and have files of their own.
"""

from __future__ import annotations

import argparse
import time
import warnings
from functools import cache
from pathlib import Path

import numpy as np
from datasets import Split, load_split
from figures import Panels
from measuring import N_DRAWS, mean_energy_distance, measure_student, measure_teachers, time_fit
from sklearn.datasets import make_friedman1
from sklearn.exceptions import ConvergenceWarning
from studies import FULL, QUICK, STUDIES, Task
from tables import append_records, format_rows, load_records
from uci import SETS, STUDENT

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import member_predictions
from sklearn_dlf.exceptions import TrainingDivergedError

# Students learn at the rows they are given; one study is about others.
ROWS_AS_GIVEN = {**STUDENT, "augment": None}

# What is shown: in tables, in figures, and where a student like its teachers would be.
COLUMNS = {
    "nll_gap": "NLL less teachers', nats",
    "mean_error": "error of mean",
    "std_ratio": "std ratio",
    "std_corr": "std corr.",
    "energy": "energy dist.",
    "energy_normal": "of a normal",
    "spread": "members' spread",
    "fit_s": "fit, s",
}
PANELS = {
    "nll_gap": "NLL of y less\nthe teachers', nats",
    "mean_error": "error of the mean,\nstds over rows",
    "std_ratio": "std, student's\nover members'",
    "std_corr": "correlation of\nstds over rows",
    "energy": "energy distance,\nmembers' stds",
}
IDEAL = {"nll_gap": 0.0, "std_ratio": 1.0}
# Name of the mean over sets, which is shown of more than two.
MEAN = "mean of sets"


def measure(variant, task, seed):
    """Scores of a variant; none where its training left the finite numbers."""
    data = variant.data or task.data
    parameters = {**ROWS_AS_GIVEN, **task.scale.student, **variant.student, "random_state": seed}
    student = DLFRegressor(**parameters)
    try:
        fit = {"ensemble": variant.teachers, **variant.fit}
        seconds = time_fit(student, data.X, data.y, **fit)
    except TrainingDivergedError:
        return {}
    population = variant.population or variant.teachers
    members = member_predictions(population, data.X_test)
    scores = measure_student(student, data.X_test, data.y_test, members, seed)
    # Of the rows that teachers were fitted to, in whatever rows the student learnt at.
    trained = task.halves()[0].data if variant.data is not None else task.data
    teachers = measure_teachers(population, trained, members, seed)
    mean, std = members.mean(axis=1), members.std(axis=1, ddof=1)
    normal = np.random.RandomState(seed).standard_normal((len(mean), N_DRAWS))
    normal = mean[:, None] + std[:, None] * normal
    return {
        **scores,
        "nll_gap": scores["nll"] - teachers["nll"],
        "nll_teachers": teachers["nll"],
        "energy_normal": mean_energy_distance(members, normal),
        "spread": float(np.sqrt(np.mean(std**2)) / data.y_test.std()),
        "fit_s": seconds,
    }


def load(name, split, data_dir):
    """One split of a set, or one draw of friedman1."""
    if name != "friedman1":
        return load_split(name, split, data_dir)
    X, y = make_friedman1(1500, noise=1.0, random_state=split)
    return Split(X[:500], y[:500], X[500:], y[500:])


def group_values(records, key):
    """Values of a score by variant, in the order of the study; empty where none was finite."""
    values: dict = {}
    for record in records:
        own = values.setdefault(record["variant"], [])
        if np.isfinite(record.get(key, np.nan)):
            own.append(record[key])
    return values


def format_study(label, records):
    """Markdown table of a study on one set: mean and standard deviation over seeds."""
    values = {key: group_values(records, key) for key in COLUMNS}
    lines = [[label.replace("\n", " "), *COLUMNS.values()]]
    for variant in values["nll_gap"]:
        lines.append([variant, *(format_spread(values[key][variant]) for key in COLUMNS)])
    return format_rows(lines)


def format_spread(values):
    """Mean and standard deviation."""
    if not values:
        return "diverged"
    text = f"{np.mean(values):.3f}"
    return text if len(values) == 1 else f"{text} ± {np.std(values, ddof=1):.3f}"


def average_sets(records_by_set):
    """Records of the mean over sets, a variant and seed each; nan where it diverged on one."""
    found: dict = {}
    for records in records_by_set.values():
        for record in records:
            found.setdefault((record["variant"], record["seed"]), []).append(record)
    return [
        {"variant": variant, **{key: np.mean([r.get(key, np.nan) for r in own]) for key in COLUMNS}}
        for (variant, _), own in found.items()
    ]


def draw(study, records_by_set, path):
    """Figure of a study: a panel a score, a colour a set, bars of one standard deviation.

    With a mean over sets, that is black, and the sets have no bars.
    """
    places = list(group_values(next(iter(records_by_set.values())), "nll_gap"))
    has_mean = MEAN in records_by_set
    n_beside = 1 if has_mean else len(records_by_set)
    layout = {"label": study.label, "is_number": study.is_number, "ideal": IDEAL}
    panels = Panels(PANELS, places, n_beside, **layout)
    for number, (name, records) in enumerate(records_by_set.items()):
        style = {"label": name}
        if name == MEAN:
            style |= {"color": "black", "linewidth": 1.5, "zorder": 3}
        elif has_mean:
            style |= {"alpha": 0.5}
        for key in PANELS:
            mean, std = summarise(records, key)
            panels.plot(key, number, mean, None if has_mean and name != MEAN else std, **style)
        if name == MEAN or not has_mean:
            label = None if number and not has_mean else COLUMNS["energy_normal"]
            panels.circle("energy", number, summarise(records, "energy_normal")[0], label)
    panels.save(path)


def summarise(records, key):
    """Means and standard deviations of a score, a variant each; nan where all diverged."""
    values = group_values(records, key).values()
    mean = [np.mean(own) if own else np.nan for own in values]
    return mean, [np.std(own, ddof=1) if len(own) > 1 else 0.0 for own in values]


def main():
    """Parse the command line, measure what is missing, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data-dir", help="folder of the sets; without it friedman1 alone")
    parser.add_argument("--studies", nargs="+", default=list(STUDIES), choices=list(STUDIES))
    parser.add_argument("--sets", nargs="+", choices=[*SETS, "diabetes", "friedman1"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="see that all runs, in a minute")
    parser.add_argument("--results", type=Path, help="file of records")
    args = parser.parse_args()
    stem = "ablations_quick" if args.quick else "ablations"
    path = args.results or Path(__file__).parent / "results" / f"{stem}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    sets = args.sets or (["boston", "energy"] if args.data_dir else ["friedman1"])
    warnings.simplefilter("ignore", UserWarning)  # fewer members than factors, members that agree
    warnings.simplefilter("ignore", ConvergenceWarning)

    @cache
    def task_of(name, split):
        data = load(name, split, args.data_dir)
        return Task(data, split, QUICK if args.quick else FULL)

    for key in args.studies:
        study, records_by_set = STUDIES[key], {}
        for name in sets:
            found = []
            for seed in range(args.seeds):
                run = {"study": key, "set": name, "seed": seed}
                own = [r for r in load_records(path) if run.items() <= r.items()]
                if not own:
                    began = time.perf_counter()
                    task = task_of(name, 0 if study.on_one_split else seed)
                    own = [
                        {**run, "variant": variant.name, **measure(variant, task, seed)}
                        for variant in study.vary(task)
                    ]
                    append_records(path, own)
                    seconds = time.perf_counter() - began
                    print(f"{key}, {name}, seed {seed}: {seconds:.0f} s", flush=True)
                found += own
            records_by_set[name] = found
        if len(sets) > 2:
            records_by_set[MEAN] = average_sets(records_by_set)
        for name, records in records_by_set.items():
            table = format_study(study.label, records)
            print(f"\n### {key}: {name}, {args.seeds} seeds\n\n{table}", flush=True)
        draw(study, records_by_set, path.with_name(f"{path.stem}_{key}.png"))


if __name__ == "__main__":
    main()
