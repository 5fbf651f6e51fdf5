"""Vary one thing at a time that the fit of a latent factor model to networks depends on.

    q          number of factors
    start      start and EM algorithm; all seeds use the same split and teachers, so that only the
               student's seed changes
    design     rows that the student learns at; the teachers are trained on half of the training
               rows
    members    number of members; with less than twenty, the number of factors is half of it. All
               students are compared with the largest ensemble
    width      hidden layers of the student
    activation activation of the student's hidden layers
    noise      model of the members' spread that the factors do not explain
    diversity  what the members differ in
    clusters   members in two groups, of which one is displaced; the distance is in units of the
               members' root mean square spread. The record of unseen rows is withheld, because
               residuals at these rows would contain the displacement

Unless a study varies them, the teachers are fifty networks of two hidden layers of 100, and the
student has one hidden layer of 50 and ten factors and learns at the teachers' training rows.

"Of a normal" is the energy distance between the members and a normal distribution of their mean and
variance; it is drawn as grey circles. "Members' spread" is their root mean square standard
deviation divided by the standard deviation of y.

Prints a Markdown table for each study and data set, with means and standard deviations over seeds
(of splits, teachers and students); with more than two data sets, also a table of their mean. Saves
a figure for each study:

    python benchmarks/ablations.py [--data-dir DIR --sets boston energy] [--studies q] [--seeds 3]

Without a folder the data set is ``friedman1``, which is generated. Results are appended to
benchmarks/results/ablations.jsonl. Runs whose results are there already are not repeated.
``--quick`` checks in a minute that everything runs, with few members and short training. Its
results mean nothing and are kept in files of their own.
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
from studies import FULL, QUICK, STUDIES, Setup
from tables import append_records, format_rows, records_of
from uci import SETS, STUDENT

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import member_predictions
from sklearn_dlf.exceptions import TrainingDivergedError

# Parameters of the students. No rows are made, except in the study of design points.
ROWS_AS_GIVEN = {**STUDENT, "augment": None}

# Scores in the tables, scores in the figures, and the values that a perfect student would have.
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
# Name of the mean over data sets, which is shown if there are more than two.
MEAN = "mean of sets"


def measure(variant, setup, seed):
    """Return scores of a variant; none if its training has diverged."""
    data = variant.data or setup.data
    parameters = {**ROWS_AS_GIVEN, **setup.scale.student, **variant.student, "random_state": seed}
    student = DLFRegressor(**parameters)
    try:
        fit = {"ensemble": variant.teachers, **variant.fit}
        seconds = time_fit(student, data.X, data.y, **fit)
    except TrainingDivergedError:
        return {}
    population = variant.population or variant.teachers
    members = member_predictions(population, data.X_test)
    scores = measure_student(student, data.X_test, data.y_test, members, seed)
    # The teachers' noise of y is that at the rows of their own fit, which may not be the student's.
    trained = setup.halves()[0].data if variant.data is not None else setup.data
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
    """Return one split of a data set, or one draw of friedman1."""
    if name != "friedman1":
        return load_split(name, split, data_dir)
    X, y = make_friedman1(1500, noise=1.0, random_state=split)
    return Split(X[:500], y[:500], X[500:], y[500:])


def group_values(records, key):
    """Return the finite values of a score for each variant, in the order of the study."""
    values: dict = {}
    for record in records:
        own = values.setdefault(record["variant"], [])
        if np.isfinite(record.get(key, np.nan)):
            own.append(record[key])
    return values


def format_study(label, records):
    """Return a Markdown table of a study on one data set: means and deviations over seeds."""
    values = {key: group_values(records, key) for key in COLUMNS}
    lines = [[label.replace("\n", " "), *COLUMNS.values()]]
    for variant in values["nll_gap"]:
        lines.append([variant, *(format_spread(values[key][variant]) for key in COLUMNS)])
    return format_rows(lines)


def format_spread(values):
    """Return mean and standard deviation as text."""
    if not values:
        return "diverged"
    text = f"{np.mean(values):.3f}"
    return text if len(values) == 1 else f"{text} ± {np.std(values, ddof=1):.3f}"


def average_sets(records_by_set):
    """Return records of means over data sets, one per variant and seed; nan if one diverged."""
    found: dict = {}
    for records in records_by_set.values():
        for record in records:
            found.setdefault((record["variant"], record["seed"]), []).append(record)
    return [
        {"variant": variant, **{key: np.mean([r.get(key, np.nan) for r in own]) for key in COLUMNS}}
        for (variant, _), own in found.items()
    ]


def draw(study, records_by_set, path):
    """Save the figure of a study: one panel for each score, one colour for each data set.

    Bars are one standard deviation. If there is a mean over data sets, it is drawn in black and the
    data sets have no bars.
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
    """Return means and standard deviations of a score by variant; nan if all seeds diverged."""
    values = group_values(records, key).values()
    mean = [np.mean(own) if own else np.nan for own in values]
    return mean, [np.std(own, ddof=1) if len(own) > 1 else 0.0 for own in values]


def main():
    """Parse the command line, measure what is missing, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data-dir", help="folder of the data sets; without it, friedman1")
    parser.add_argument("--studies", nargs="+", default=list(STUDIES), choices=list(STUDIES))
    parser.add_argument("--sets", nargs="+", choices=[*SETS, "diabetes", "friedman1"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--quick", action="store_true", help="check in a minute that everything runs"
    )
    parser.add_argument("--results", type=Path, help="file of the results")
    args = parser.parse_args()
    stem = "ablations_quick" if args.quick else "ablations"
    path = args.results or Path(__file__).parent / "results" / f"{stem}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    sets = args.sets or (["boston", "energy"] if args.data_dir else ["friedman1"])
    warnings.simplefilter("ignore", UserWarning)  # of members that agree, of too many factors
    warnings.simplefilter("ignore", ConvergenceWarning)

    @cache
    def setup_of(name, split):
        data = load(name, split, args.data_dir)
        return Setup(data, split, QUICK if args.quick else FULL)

    for key in args.studies:
        study, records_by_set = STUDIES[key], {}
        for name in sets:
            found = []
            for seed in range(args.seeds):
                run = {"study": key, "set": name, "seed": seed}
                own = records_of(path, **run)
                if not own:
                    began = time.perf_counter()
                    setup = setup_of(name, 0 if study.on_one_split else seed)
                    own = [
                        {**run, "variant": variant.name, **measure(variant, setup, seed)}
                        for variant in study.vary(setup)
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
