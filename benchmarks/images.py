"""Distil convolutional networks of CIFAR-10: Table 2 of the paper, at a size for one core.

Four small convolutional networks are the teacher. They were trained on the first 10,000 images of a
folder with three files:

    cifar10_jpeg_train.npz, cifar10_jpeg_test.npz   images as JPEG: jpeg, offsets, y
    image_teachers.npz                              weights of the four networks: w0.*, ..., w3.*

Students have one body of about 34,000 parameters, three quarters as wide as the teachers'. They
learn from the 10,000 images and from 10,000 more that are flipped and shifted, at which the teacher
is evaluated, in 12 passes over all of them (``--budget half``, the default); or from 20,000 more,
in 16 passes, which is twice the work. Of DLF's passes a third are iterations of EM. Its learning
rate is the default, and that of the baselines is ``--baseline-lr``.

Prints a Markdown table of scores at the first 2,000 test images: accuracy, NLL and ECE of the
averaged probabilities; the ratio of the mean mutual information (MI) to the teacher's, and the rank
correlation of both over images; and the AUROC by which MI tells test images from three others:
scikit-learn's digits, patches of its two photographs, and test images with permuted pixels. Then
the differences of NLL from DLF's, paired by seed.

    python benchmarks/images.py --data-dir DIR [--budget half] [--seeds 3]
        [--models DLF "DLF, no growth" Hydra BatchEnsemble Dirichlet "small ensemble"]

The spread of "DLF, no growth" is that of the heads also at rows whose features are far from those
of the design points.

Results are appended to benchmarks/results/images.jsonl. Fits whose results are there already are
not run again. A fit of DLF takes about two minutes of one core with half the budget.
"""

from __future__ import annotations

import argparse
import io
import warnings
from contextlib import nullcontext
from itertools import pairwise, product
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from measuring import time_fit
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.datasets import load_digits, load_sample_images
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score
from tables import append_records, format_differences, format_table, records_of, values_of
from torch import nn

from sklearn_dlf import DLFClassifier
from sklearn_dlf._network.students import StudentNetwork
from sklearn_dlf.augmentation import FlipCrop
from sklearn_dlf.baselines import (
    BatchEnsembleClassifier,
    DirichletClassifier,
    HydraClassifier,
    SmallEnsembleClassifier,
)
from sklearn_dlf.ensembles import FittedEnsemble
from sklearn_dlf.metrics import expected_calibration_error, mutual_information

RESULTS = Path(__file__).parent / "results" / "images.jsonl"

N_TRAIN, N_TEST, N_MEMBERS, BATCH = 10_000, 2_000, 4, 128

# The student whose spread does not grow away from the design points.
NO_GROWTH = "DLF, no growth"

# Passes over the design points, and made images among them.
BUDGETS = {"full": (16, 2 * N_TRAIN), "half": (12, N_TRAIN)}

# Widths of the four convolutions of the teachers and of the students.
TEACHER_WIDTHS, STUDENT_WIDTHS = (16, 32, 64, 64), (12, 24, 48, 48)

# Mean and standard deviation of the channels of CIFAR-10.
CENTER, SCALE = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)

# Side of a patch of a photograph, which is reduced by two to the side of an image.
SIDE, PATCH = 32, 64


class Pixels(nn.Module):
    """Standardises the bytes of an image."""

    def __init__(self):
        super().__init__()
        self.register_buffer("center", torch.tensor(CENTER)[:, None, None])
        self.register_buffer("scale", torch.tensor(SCALE)[:, None, None])

    def forward(self, X):
        """Return pixels in units of the standard deviations of the channels."""
        return (X / 255 - self.center) / self.scale


def make_body(shape, widths=STUDENT_WIDTHS):
    """Make a convolutional body, whose features are means over the pixels of its last layer."""
    layers, n_channels = [], shape[0]
    for number, width in enumerate(widths):
        layers += [
            nn.Conv2d(n_channels, width, 3, stride=1 if number else 2, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        if number in (1, 2):
            layers.append(nn.MaxPool2d(2))
        n_channels = width
    return nn.Sequential(Pixels(), nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()))


def load_images(path, n_images):
    """Return the first images of a file (n, 3, 32, 32) as bytes, and their labels."""
    from PIL import Image

    with np.load(path) as file:
        offsets, jpeg, y = file["offsets"], file["jpeg"].tobytes(), file["y"][:n_images]
    images = [
        np.asarray(Image.open(io.BytesIO(jpeg[start:end])).convert("RGB"))
        for start, end in pairwise(offsets[: n_images + 1])
    ]
    return np.ascontiguousarray(np.moveaxis(np.stack(images), -1, 1)), y.astype(int)


def load_teacher(path):
    """Return the four networks with the weights of a file."""
    networks = []
    with np.load(path) as file:
        for number in range(N_MEMBERS):
            features = make_body((3, SIDE, SIDE), TEACHER_WIDTHS)
            network = nn.Sequential(*features, nn.Linear(TEACHER_WIDTHS[-1], 10)).eval()
            prefix = f"w{number}."
            weights = {
                key.removeprefix(prefix): torch.from_numpy(file[key])
                for key in file.files
                if key.startswith(prefix)
            }
            missing = network.load_state_dict(weights, strict=False).missing_keys
            assert missing == ["0.center", "0.scale"], missing
            networks.append(network)
    return FittedEnsemble(networks, outputs="logits", classes=np.arange(10))


def foreign_images(X_test, seed=0):
    """Return images that are none of the data, by name."""
    rng = np.random.RandomState(seed)
    digits = np.repeat(np.repeat(load_digits().images, SIDE // 8, axis=1), SIDE // 8, axis=2)
    digits = np.minimum(16 * digits, 255).astype(np.uint8)
    patches = []
    for image in load_sample_images().images:
        rows, columns = (rng.randint(size - PATCH, size=500) for size in image.shape[:2])
        patches += [
            image[row : row + PATCH, column : column + PATCH]
            for row, column in zip(rows, columns, strict=True)
        ]
    photographs = np.stack(patches).reshape(-1, SIDE, 2, SIDE, 2, 3).mean(axis=(2, 4))
    order = rng.permutation(SIDE**2)
    permuted = X_test.reshape(len(X_test), 3, -1)[..., order].reshape(X_test.shape)
    return {
        "digits": np.repeat(digits[:, None], 3, axis=1),
        "photos": np.moveaxis(photographs, -1, 1).astype(np.uint8),
        "permuted": permuted,
    }


def make_students(budget, seed, baseline_lr):
    """Return the unfitted students by name."""
    n_passes, n_made = BUDGETS[budget]
    common = {
        **{"body": make_body, "augment": FlipCrop(4), "n_augmented": n_made, "n_epochs": 1},
        **{"batch_size": BATCH, "random_state": seed},
    }
    n_em = n_passes // 3
    baselines = {**common, "max_iter": n_passes, "lr": baseline_lr}
    student = DLFClassifier(q=3, max_iter=n_em, refine=n_passes - n_em, **common)
    return {
        "DLF": student,
        NO_GROWTH: clone(student),
        "Hydra": HydraClassifier(**baselines),
        "BatchEnsemble": BatchEnsembleClassifier(**baselines),
        "Dirichlet": DirichletClassifier(**baselines),
        "small ensemble": SmallEnsembleClassifier(**baselines),
    }


def score(probabilities, information, y, foreign, reference=None):
    """Return the scores of probabilities and of mutual information at test and foreign images.

    ``reference`` is the mutual information of the teacher at the test images.
    """
    reference = information if reference is None else reference
    return {
        "accuracy": float((probabilities.argmax(axis=1) == y).mean()),
        "nll": float(-np.log(probabilities[np.arange(len(y)), y]).mean()),
        "ece": float(expected_calibration_error(y, probabilities)),
        "mi_ratio": float(information.mean() / reference.mean()),
        "mi_rank": float(spearmanr(information, reference)[0]),
        **{
            name: float(
                roc_auc_score(
                    np.repeat([0, 1], [len(information), len(other)]),
                    np.concatenate([information, other]),
                )
            )
            for name, other in foreign.items()
        },
    }


def score_teacher(teacher, X, y, foreign):
    """Return the scores of the teacher, and its mutual information at the test images."""
    members = teacher.member_predictions(X)
    information = mutual_information(members)
    others = {
        name: mutual_information(teacher.member_predictions(rows)) for name, rows in foreign.items()
    }
    return score(members.mean(axis=-1), information, y, others), information


def score_student(student, X, y, foreign, reference):
    """Return the scores of a fitted student."""
    others = {name: student.predict_uncertainty(rows).epistemic for name, rows in foreign.items()}
    information = student.predict_uncertainty(X).epistemic
    return score(student.predict_proba(X), information, y, others, reference)


def share_of_factors(student, X):
    """Return the factors' share in the members' variance, a mean over rows and classes."""
    parameters = student.latent_parameters(X)
    of_factors = np.square(parameters.loadings).sum(axis=-1)
    return float((of_factors / (of_factors + parameters.member_std**2)).mean())


COLUMNS = {
    "accuracy": "accuracy",
    "nll": "NLL (nats)",
    "ece": "ECE",
    "mi_ratio": "MI ratio",
    "mi_rank": "MI rank",
    "digits": "AUROC digits",
    "photos": "photos",
    "permuted": "permuted",
    "fit_s": "fit, s",
}


def main():
    """Parse the command line, measure what is not measured yet, print."""
    names = [*make_students("half", 0, 0.01)]
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--budget", default="half", choices=BUDGETS)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--models", nargs="+", default=names[:5], choices=names)
    parser.add_argument("--baseline-lr", type=float, default=0.01)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # lengths are planned
    args.results.parent.mkdir(exist_ok=True)
    X, y = load_images(args.data_dir / "cifar10_jpeg_train.npz", N_TRAIN)
    X_test, y_test = load_images(args.data_dir / "cifar10_jpeg_test.npz", N_TEST)
    teacher = load_teacher(args.data_dir / "image_teachers.npz")
    foreign = foreign_images(X_test)
    scores, reference = score_teacher(teacher, X_test, y_test, foreign)
    for seed, model in product(range(args.seeds), args.models):
        record = {"budget": args.budget, "model": model, "split": seed}
        if records_of(args.results, **record):
            continue
        student = make_students(args.budget, seed, args.baseline_lr)[model]
        stays = patch.object(StudentNetwork, "set_growth") if model == NO_GROWTH else nullcontext()
        with stays:
            seconds = time_fit(student, X, y, ensemble=teacher)
        record["fit_s"] = seconds
        record.update(score_student(student, X_test, y_test, foreign, reference))
        if isinstance(student, DLFClassifier):
            record["factor_share"] = share_of_factors(student, X_test)
        append_records(args.results, [record])
    records = [
        record
        for record in records_of(args.results, budget=args.budget)
        if record["split"] < args.seeds
    ]
    records.append({"model": "teacher", "split": 0, **scores})
    print(format_table(records, ["teacher", *args.models], COLUMNS))
    shares = values_of(records, "DLF", "factor_share")
    if shares:
        print(f"\nshare of the factors in the variance of DLF's members: {np.mean(shares):.2f}")
    others = [model for model in args.models if model not in ("DLF", NO_GROWTH)]
    if "DLF" in args.models and others:
        print("\nless DLF's, mean and standard error over seeds:")
        print(format_differences(records, "DLF", others, {"nll": "NLL (nats)"}))


if __name__ == "__main__":
    main()
