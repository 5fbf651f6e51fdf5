"""Parts of `gpu.py`: brief fits of every kind of model, compared with their pickles on the CPU."""

from __future__ import annotations

import functools

import numpy as np
from gpu_checks import FEW, N_FEATURES, check_pickle, make_rows
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from torch import nn

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf.baselines import (
    BatchEnsembleClassifier,
    BatchEnsembleRegressor,
    DirichletClassifier,
    HydraClassifier,
    HydraRegressor,
    SmallEnsembleClassifier,
    SmallEnsembleRegressor,
)
from sklearn_dlf.ensembles import DeepEnsembleRegressor, FittedEnsemble

# Of fits whose quality does not matter.
BRIEF = {"max_iter": 2, "n_epochs": 2, "batch_size": 256, "random_state": 0}


def normalised_body(n_features):
    """Return a body of one's own, with normalisation over a batch and dropout."""
    return nn.Sequential(nn.Linear(n_features, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1))


def body_on(device):
    """Return a function that makes a body on a device already."""
    return lambda n_features: normalised_body(n_features).to(device)


def list_kinds(device, n_rows, n_members):
    """Return functions that fit each other kind of student on a device, by name."""
    X, y, labels = make_rows(n_rows, 0)
    outputs = np.stack([y, X[:, 0] * y], axis=1)
    options = {**BRIEF, "device": device}
    forest = RandomForestRegressor(n_members, random_state=0, max_depth=6).fit(X, y)
    several = RandomForestRegressor(n_members, random_state=0, max_depth=6).fit(X, outputs)
    trees = RandomForestClassifier(n_members, random_state=0, max_depth=6).fit(X, labels)
    two = RandomForestClassifier(n_members, random_state=0, max_depth=6).fit(X, labels > 0)

    def student(student_class, teacher, target, **own):
        return lambda: student_class(**options, **own).fit(X, target, ensemble=teacher)

    modules = [nn.Linear(N_FEATURES, 1).to(device) for _ in range(4)]
    kinds = {
        "forest, encoded": student(DLFRegressor, forest, y),
        "forest, encoded by hand": student(DLFRegressor, forest, y, body="piecewise_linear"),
        "two outputs": student(DLFRegressor, several, outputs),
        "two outputs, separable": student(DLFRegressor, several, outputs, loadings="separable"),
        "published EM": student(DLFRegressor, forest, y, em="minibatch", body="mlp"),
        "published start": student(DLFRegressor, forest, y, init="mmd", q=2, body="mlp"),
        "random start": student(DLFRegressor, forest, y, init="random", body="mlp"),
        "constant noise": student(DLFRegressor, forest, y, member_noise="constant"),
        "no member noise": student(DLFRegressor, forest, y, member_noise=None),
        "weights decay": student(DLFRegressor, forest, y, weight_decay=1e-3, optimizer="adamw"),
        "sgd": student(DLFRegressor, forest, y, optimizer="sgd", lr=1e-3, body="mlp"),
        "end by L-BFGS": student(DLFRegressor, forest, y, hidden_layer_sizes=4, body="mlp"),
        "own body": student(lambda **o: DLFRegressor(body=normalised_body, **o), forest, y),
        "body on the device": student(
            lambda **o: DLFRegressor(body=body_on(device), **o), forest, y
        ),
        "modules on the device": student(
            DLFRegressor, FittedEnsemble(modules, outputs="values"), y
        ),
        "own teacher on the device": student(
            DLFRegressor, DeepEnsembleRegressor(4, max_iter=2, device=device, random_state=0), y
        ),
        "three classes": student(DLFClassifier, trees, labels),
        "three classes, separable": student(
            DLFClassifier, trees, labels, loadings="separable", augment=None
        ),
        "two classes": student(DLFClassifier, two, labels > 0, augment=None),
        "bootstrapped deep ensemble": lambda: DeepEnsembleRegressor(
            4, max_iter=2, bootstrap=True, device=device, random_state=0
        ).fit(X, outputs),
    }
    for student_class in (HydraRegressor, BatchEnsembleRegressor, SmallEnsembleRegressor):
        kinds[f"{student_class.__name__} of a forest"] = student(student_class, forest, y)
    for student_class in (
        HydraClassifier,
        BatchEnsembleClassifier,
        SmallEnsembleClassifier,
        DirichletClassifier,
    ):
        kinds[f"{student_class.__name__} of a forest"] = student(student_class, trees, labels)
    return kinds


def run_kinds(args, sizes, checks, times):
    """Fit each other kind of model on the device, briefly, and compare it with its pickle."""
    X = make_rows(3 * FEW, 1)[0]
    kinds = list_kinds(args.device, sizes.kinds_rows, 8)
    for name, fit in kinds.items():
        checks.run(name, lambda fit=fit: check_kind(fit(), X))


def run_raw(args, sizes, checks, times):
    """Fit students of images and of ids of tokens on the device, and compare them likewise."""
    rng = np.random.RandomState(0)
    images = rng.randint(0, 256, (3 * FEW, 1, 8, 8), dtype=np.uint8)
    tokens = rng.randint(0, 20, (3 * FEW, 6))
    bright = images.mean(axis=(1, 2, 3)) / 255
    seen = (tokens == 1).mean(axis=1)
    options = {**BRIEF, "device": args.device, "preprocessor": None}
    for name, X, value, body in (
        ("images", images, bright, image_body),
        ("ids of tokens", tokens, seen, token_body),
    ):
        members = np.stack([np.sin(k * value) for k in range(1, 7)], axis=-1)
        first = 1 / (1 + np.exp(-members))
        classes = np.stack([first, 1 - first], axis=1)

        def regress(X=X, members=members, body=body):
            student = DLFRegressor(body=body, **options)
            return student.fit(X, members.mean(axis=1), predictions=members, unseen=True)

        def classify(X=X, classes=classes, body=body, student=DLFClassifier):
            return student(body=body, **options).fit(X, predictions=classes)

        checks.run(f"values of {name}", lambda fit=regress, X=X: check_kind(fit(), X))
        checks.run(f"classes of {name}", lambda fit=classify, X=X: check_kind(fit(), X))
        batch = functools.partial(classify, student=BatchEnsembleClassifier)
        checks.run(f"BatchEnsemble of {name}", lambda fit=batch, X=X: check_kind(fit(), X))


def image_body(shape):
    """Return a small convolutional body."""
    return nn.Sequential(
        nn.Conv2d(shape[0], 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(8)
    )


class MeanEmbedding(nn.Module):
    """The mean of the embeddings of the tokens of a row."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 8)

    def forward(self, X):
        """Return features (n, 8) of ids (n, length)."""
        return self.embedding(X).mean(dim=1)


def token_body(length):
    """Return a body of ids of tokens."""
    return MeanEmbedding()


def check_kind(model, X):
    """Compare a model on the device with its pickle on the CPU."""
    if getattr(model, "body", None) is not None and callable(model.body):
        model.set_params(body=None)  # functions made by functions cannot be pickled
    if getattr(model, "ensemble", None) is not None:
        model.set_params(ensemble=None)
    return check_pickle(model, X)
