"""Sentences of four tasks, and the language models that students are distilled from."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from text_adapters import FOLDER, N_MEMBERS, Adapters

from sklearn_dlf.ensembles import DeepEnsembleClassifier, FittedEnsemble
from sklearn_dlf.text import PretrainedBody, SentenceTokenizer

# Tasks whose teachers are trained here, and the part of each that has labels for testing.
TRAINED = {"rte": "dev", "mrpc": "test", "wic": "test"}
TASKS = ("sst2", *TRAINED)

# Rows that teachers are trained on, and as many others; rows for testing; tokens of a row.
N_ROWS, N_TEST, MAX_LENGTH = 400, 500, 64


class Task(NamedTuple):
    """A fitted teacher and ids of tokens; its rows ``X``, others without labels, and test rows."""

    teacher: Any
    X: np.ndarray
    y: np.ndarray
    unseen: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def load_task(name, data_dir):
    """Return a task. The teacher of SST-2 is in the folder, and the others are trained."""
    if name == "sst2":
        return _load_sst2(data_dir / "text_teachers.npz")
    with np.load(data_dir / f"{name}.npz") as file:
        rows, labels = _columns(file, "train"), file["y_train"].astype(int)
        X_test, y_test = _columns(file, TRAINED[name]), file[f"y_{TRAINED[name]}"].astype(int)
    chosen = np.random.RandomState(0).permutation(len(rows))[: 2 * N_ROWS]
    tokenizer = SentenceTokenizer(FOLDER, max_length=MAX_LENGTH).fit(rows)
    X = tokenizer.transform(rows[chosen])
    y = labels[chosen[:N_ROWS]]
    teacher = DeepEnsembleClassifier(
        N_MEMBERS,
        body=PretrainedBody(FOLDER, rank=8, targets=("query", "value", "intermediate.dense")),
        preprocessor=None,
        batch_size=32,
        lr=0.002,
        max_iter=3,
        early_stopping=False,
        random_state=0,
    ).fit(X[:N_ROWS], y)
    X_test = tokenizer.transform(X_test[:N_TEST])
    return Task(teacher, X[:N_ROWS], y, X[N_ROWS:], X_test, y_test[:N_TEST])


def _load_sst2(path):
    """Return SST-2 with the teacher of a file."""
    with np.load(path) as file:
        arrays = [file[name].astype(np.int64) for name in ("X", "y", "U", "Xt", "yt")]
    teacher = FittedEnsemble(Adapters(path), outputs="logits", n_members=N_MEMBERS, classes=[0, 1])
    return Task(teacher, *arrays)


def _columns(file, part):
    """Return the strings of a part of a file, (n, n_columns)."""
    names = sorted(name for name in file.files if name.endswith(f"_{part}") and name[0] == "t")
    columns = [file[name].tobytes().decode().split("\n") for name in names]
    return np.column_stack([column[: len(file[f"y_{part}"])] for column in columns]).astype(object)
