"""Compare the time of default fits with another commit's, and the fidelity of both.

Each cell is a kind of ensemble, a data set and a seed. The ensemble is fitted once. Its student is
fitted by the code here and by the code of ``--against COMMIT``, one after the other, each in a
process of its own. Times are processor seconds on one thread: of the whole fit, and of the fit
without the evaluation of the ensemble, which no student can save. Scores are those at test rows.
Students of classifiers are compared with Hydra of this commit too::

    python benchmarks/faster_fits.py --against COMMIT --data-dir DIR
        [--regressors networks:friedman1:0 ...] [--classifiers networks:cancer:0 ...]

Prints a Markdown table of regressors and one of classifiers; the two values of a cell are those of
the other commit and of this one. Sets are those of ``fidelity_data.py``; of classes, ``cancer`` and
those of ``datasets.load_classes``.
"""

from __future__ import annotations

import argparse
import json
import pickle
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from earlier_commit import ROOT, checked_out, run_with

REGRESSORS = [
    *(f"networks:{name}:0" for name in ("friedman1", "energy", "concrete")),
    *(f"{kind}:concrete:0" for kind in ("forest", "boosted")),
]
CLASSIFIERS = ["networks:cancer:0", "networks:digits:0"]

# Largest number of training rows, and draws of members for the mutual information; both choices.
MAX_ROWS, N_DRAWS = 1_500, 200

SCORES = {
    "regressor": ("mean error", "std ratio", "std corr.", "member NLL gap", "NLL of y"),
    "classifier": ("KL of averages", "NLL of y", "MI ratio", "MI rank corr."),
}


def main():
    """Fit in both trees and print the tables."""
    arguments = parse_arguments()
    if arguments.one is not None:
        print(json.dumps(fit_one(*arguments.one, arguments)))
        return
    with checked_out(arguments.against) as (earlier, folder):
        for task in ("regressor", "classifier"):
            compare(task, [earlier, ROOT], folder, arguments)


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", default="HEAD", help="commit to compare with")
    parser.add_argument("--data-dir", default=".", help="folder of the data sets")
    parser.add_argument("--regressors", nargs="*", default=REGRESSORS, metavar="CELL")
    parser.add_argument("--classifiers", nargs="*", default=CLASSIFIERS, metavar="CELL")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    return parser.parse_args()


def compare(task, trees, folder, arguments):
    """Print the table of one task, a line a cell."""
    cells = getattr(arguments, f"{task}s")
    hydra = ["fit / Hydra"] if task == "classifier" else []
    titles = ["ensemble:set:seed", "fit, s", "ratio", "without ensemble, s", "ratio", *hydra]
    titles += SCORES[task]
    if cells:
        print("| " + " | ".join(titles) + " |\n|" + " --- |" * len(titles), flush=True)
    ratios = []
    for cell in cells:
        before, after = (run_in(tree, task, cell, "DLF", folder, arguments) for tree in trees)
        line = [cell]
        ratios.append([after[name] / before[name] for name in ("fit", "own")])
        for name, ratio in zip(("fit", "own"), ratios[-1], strict=True):
            line += [f"{before[name]:.1f}, {after[name]:.1f}", f"{ratio:.2f}"]
        if hydra:
            other = run_in(trees[1], task, cell, "Hydra", folder, arguments)
            line.append(", ".join(f"{each['fit'] / other['fit']:.2f}" for each in (before, after)))
        pairs = zip(before["scores"], after["scores"], strict=True)
        line += [f"{old:.4f}, {new:.4f}" for old, new in pairs]
        print("| " + " | ".join(line) + " |", flush=True)
    if cells:
        fit, own = np.median(ratios, axis=0)
        print(f"\nMedian ratio: {fit:.2f}; without the ensemble {own:.2f}\n", flush=True)


def run_in(tree, task, cell, model, folder, arguments):
    """Fit one student with the package of a tree; return times and scores."""
    command = [sys.executable, __file__, "--one", task, cell, model, str(folder)]
    command += ["--data-dir", arguments.data_dir]
    done = run_with(tree, command, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def fit_one(task, cell, model, folder, arguments):
    """Fit the ensemble of a cell, or load it; fit a student; return times and scores."""
    warnings.simplefilter("ignore")
    kind, name, seed = cell.split(":")
    data = load_data(task, name, int(seed), arguments.data_dir)
    path = Path(folder) / f"{task}_{cell.replace(':', '_')}.pkl"
    if not path.exists():
        path.write_bytes(pickle.dumps(fit_teacher(task, kind, data, int(seed))))
    ensemble = pickle.loads(path.read_bytes())
    student = make_student(task, model, int(seed))
    evaluated = watch_evaluations()
    began = time.process_time()
    student.fit(data.X, data.y, ensemble=ensemble)
    seconds = time.process_time() - began
    score = score_regressor if task == "regressor" else score_classifier
    scores = [] if model == "Hydra" else score(student, ensemble, data)
    return {"fit": seconds, "own": seconds - sum(evaluated), "scores": list(map(float, scores))}


def load_data(task, name, seed, data_dir):
    """Return a split, cut to random training rows."""
    from datasets import Split, load_classes
    from fidelity_data import MAX_TEST, load
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    if task == "regressor":
        return load(name, seed, data_dir, MAX_ROWS)
    if name == "cancer":
        X, y = load_breast_cancer(return_X_y=True)
        X, X_test, y, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=seed)
        return Split(X, y, X_test, y_test)
    split = load_classes(name, seed, data_dir)
    X, y, X_test, y_test = split
    return Split(X[:MAX_ROWS], y[:MAX_ROWS], X_test[:MAX_TEST], y_test[:MAX_TEST])


def fit_teacher(task, kind, data, seed):
    """Fit an ensemble of a kind."""
    from fidelity_data import fit_ensemble
    from sklearn.ensemble import RandomForestClassifier

    from sklearn_dlf.ensembles import DeepEnsembleClassifier

    if task == "regressor":
        return fit_ensemble(kind, data.X, data.y, seed)
    makers = {
        "networks": lambda: DeepEnsembleClassifier(10, random_state=seed),
        "forest": lambda: RandomForestClassifier(100, random_state=seed),
    }
    return makers[kind]().fit(data.X, data.y)


def make_student(task, model, seed):
    """Return an untrained student with its defaults."""
    import sklearn_dlf
    from sklearn_dlf import baselines

    ending = task.capitalize()
    if model == "Hydra":
        return getattr(baselines, f"Hydra{ending}")(random_state=seed)
    return getattr(sklearn_dlf, f"DLF{ending}")(random_state=seed)


def watch_evaluations():
    """Return a list to which the processor seconds of each evaluation of members are appended."""
    from sklearn_dlf._transfer import cache

    seconds, evaluate = [], cache.evaluate_members

    def timed(*args, **kwargs):
        began = time.process_time()
        predictions = evaluate(*args, **kwargs)
        seconds.append(time.process_time() - began)
        return predictions

    cache.evaluate_members = timed
    return seconds


def score_regressor(student, ensemble, data):
    """Return the scores of `SCORES`."""
    from measuring import student_nll
    from member_scores import compare_moments

    from sklearn_dlf.ensembles import member_predictions

    members = member_predictions(ensemble, data.X_test)
    found = compare_moments(members, *student.predict(data.X_test, return_std=True))
    names = "mean_error", "std_ratio", "std_corr", "member_nll_gap"
    return [*(found[name] for name in names), student_nll(student, data.X_test, data.y_test)]


def score_classifier(student, ensemble, data):
    """Return the scores of `SCORES`."""
    from scipy.special import rel_entr
    from scipy.stats import spearmanr
    from sklearn.metrics import log_loss

    from sklearn_dlf.ensembles import member_predictions
    from sklearn_dlf.metrics import mutual_information

    members = member_predictions(ensemble, data.X_test)
    own = student.predict_proba(data.X_test)
    theirs = mutual_information(members)
    found = mutual_information(student.sample_predictions(data.X_test, N_DRAWS, random_state=0))
    return [
        rel_entr(members.mean(axis=-1), np.maximum(own, 1e-9)).sum(axis=1).mean(),
        log_loss(data.y_test, own, labels=student.classes_),
        found.mean() / theirs.mean(),
        spearmanr(found, theirs).statistic,
    ]


if __name__ == "__main__":
    main()
