"""Probabilities of classes and the latent outputs that stand for them.

Two classes have one latent output, the log-odds of the second. ``K > 2`` classes have ``K``, their
logits centred over classes.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import log_softmax, xlogy

from .._utils.threads import one_thread
from .._utils.torch_settings import plain_torch


def latent_from_probabilities(probabilities: np.ndarray, floor: float) -> np.ndarray:
    """Log-odds (n, 1, M) or centred logits (n, K, M) of probabilities (n, K, M).

    Probabilities below `floor` are lifted to it.
    """
    return latent_from_logits(np.log(np.maximum(probabilities, floor)))


def latent_from_logits(logits: np.ndarray) -> np.ndarray:
    """Log-odds (n, 1, M) of two logits, or K centred logits, from (n, K, M)."""
    if logits.shape[1] == 2:
        return logits[:, 1:] - logits[:, :1]
    return logits - logits.mean(axis=1, keepdims=True)


def logits_from_latent(latent: np.ndarray) -> np.ndarray:
    """Logits (n, K, S) of latent outputs (n, 1, S) or (n, K, S); the first of two is zero."""
    if latent.shape[1] > 1:
        return latent
    return np.concatenate([np.zeros_like(latent), latent], axis=1)


def probabilities_from_latent(latent: np.ndarray) -> np.ndarray:
    """Probabilities (n, K, S) of latent outputs (n, 1, S) or (n, K, S), by torch, which is fast."""
    logits = np.require(logits_from_latent(latent), requirements=["C", "W"])
    with plain_torch(), one_thread():
        return torch.from_numpy(logits).softmax(dim=1).numpy()


def log_probabilities_from_latent(latent: np.ndarray) -> np.ndarray:
    """Logarithms of the probabilities (n, K, S) of latent outputs (n, 1, S) or (n, K, S)."""
    return log_softmax(logits_from_latent(latent), axis=1)


def entropies(probabilities: np.ndarray) -> np.ndarray:
    """Entropy in nats (n, ...) of probabilities (n, K, ...)."""
    return -xlogy(probabilities, probabilities).sum(axis=1)
