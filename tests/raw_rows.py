"""Small images and sentences, ensembles of them, and students that learn them without `fit`."""

from types import SimpleNamespace

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from sklearn_dlf._transfer.class_targets import ClassTargets
from sklearn_dlf._transfer.contrasts import make_contrasts
from sklearn_dlf._transfer.design_points import Points
from sklearn_dlf._transfer.residuals import MemberResiduals

N_TOKENS, LENGTH = 12, 6


def images(n_rows=80):
    """Digits as bytes of shape (n_rows, 1, 8, 8), and their labels."""
    X, y = load_digits(return_X_y=True)
    return X[:n_rows].astype(np.uint8).reshape(-1, 1, 8, 8), y[:n_rows]


def sentences(n_rows=80):
    """Ids of tokens (n_rows, LENGTH), the last of which are padding."""
    rng = np.random.RandomState(0)
    X = rng.randint(1, N_TOKENS, (n_rows, LENGTH))
    X[np.arange(LENGTH) >= rng.randint(2, LENGTH + 1, (n_rows, 1))] = 0
    return X


def conv_body(shape):
    """A small convolutional body with a normalisation over batches."""
    n_channels = shape[0]
    return nn.Sequential(
        nn.Conv2d(n_channels, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.LazyLinear(8),
        nn.Tanh(),
    )


class TokenBody(nn.Module):
    """The mean embedding of all tokens but padding. It raises without any, and for floats."""

    def __init__(self, length):
        super().__init__()
        assert length == LENGTH
        self.embedding = nn.Embedding(N_TOKENS, 8, padding_idx=0)

    def forward(self, X):
        counts = (X != 0).sum(dim=1, keepdim=True)
        assert counts.min() > 0
        return torch.tanh(self.embedding(X).sum(dim=1) / counts)


def contrasts_of(X):
    """Two numbers of each row that a small body learns, about standardised: (n_rows, 2)."""
    usual = _contrasts_of(sentences() if X.ndim == 2 else images()[0] / (1 if X.max() > 1 else 16))
    return (_contrasts_of(X) - usual.mean(axis=0)) / usual.std(axis=0)


def _contrasts_of(X):
    if X.ndim == 2:  # the mean over tokens of two scores of each
        scores = np.random.RandomState(3).standard_normal((N_TOKENS, 2))
        scores[0] = 0
        return scores[X].sum(axis=1) / (X != 0).sum(axis=1, keepdims=True)
    top, left = X[..., :4, :], X[..., :4]  # how much brighter one half of the image is
    found = [half.mean(axis=(1, 2, 3)) - X.mean(axis=(1, 2, 3)) for half in (top, left)]
    return np.stack(found, axis=1)


def members_of(X, n_outputs=3, n_members=6):
    """Outputs (n_rows, n_outputs, n_members) of random smooth functions of raw rows."""
    rng = np.random.RandomState(0)
    common = rng.standard_normal((2, n_outputs))
    own = 0.5 * rng.standard_normal((n_members, 2, n_outputs))
    return np.stack([np.sin(contrasts_of(X) @ (common + part)) for part in own], axis=-1)


def softmax(logits):
    """Probabilities of logits, over the second axis."""
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def transfer_set(X, outputs, targets=None, variances=None):
    """Give what a student learns from, all rows design points."""
    contrasts = make_contrasts(outputs)
    return SimpleNamespace(
        X=X,
        design=X,
        contrasts=contrasts,
        targets=targets,
        variances=variances,
        is_transformed=False,
        transformation=None,
        reader=SimpleNamespace(is_raw=True),
        n_own=len(X),
        are_draws=False,
        is_encoded=False,
    )


def of_classes(X, logits):
    """Give what a classifier learns from."""
    targets = ClassTargets(Points(X, len(X), len(X)), "probabilities", 1e-6)
    latent = targets.add(slice(0, len(X)), softmax(logits))
    return transfer_set(X, latent, targets)


def of_values(X, outputs, y):
    """Give what a regressor learns from, whose members saw a half of the rows each."""
    unseen = np.random.RandomState(1).rand(len(X), outputs.shape[-1]) < 0.5
    targets = MemberResiduals(Points(X, len(X), len(X)), y, unseen=unseen)
    targets.add(slice(0, len(X)), outputs)
    return transfer_set(X, outputs, targets)


def learn(student, transfer):
    """Train a student's network on raw rows; return its members."""
    student.body_ = "custom"
    network = student._learn(transfer, np.random.RandomState(0)).eval().requires_grad_(False)
    student.output_center_, student.output_scale_, student.output_spread_ = transfer.contrasts.units
    _, student.n_outputs_, student.n_members_ = transfer.contrasts.shape
    return student._make_members(network)
