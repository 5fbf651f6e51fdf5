"""Laplace's approximation of a normal prior times the likelihood of classes at some rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import dgeqrf
from scipy.special import log_softmax

from .._network.heads import Heads, Units
from .._predictive.averaged_probabilities import average_log_probabilities
from .._predictive.two_classes import log_average_of_odds
from .._utils.cholesky import lower_factor, solve_lower
from .posterior import square_root

# Newton's method stops after a step that promised less than this, in nats: the error left is about
# its square. Each step is halved until the posterior density rises: a full one may overshoot far.
TOLERANCE, MAX_STEPS, MAX_HALVINGS = 1e-12, 50, 40

# The same for rows that are forgotten again: they are only known by the approximation anyway.
STREAM_TOLERANCE = 1e-4

# Squared latent outputs below which two of them have no ratio.
NEAR_ZERO = 1e-2

# Logarithm of a variance that is next to nothing beside that of latent outputs.
LOG_NOTHING = -60.0

# Rounds in which the share of several classes and their probabilities are found.
N_FLATTENED = 3

# Share of the promised rise that a step has to bring.
LEAST_RISE = 1e-4


class LabelledRows(NamedTuple):
    """Rows of classes, for c latent outputs.

    Attributes
    ----------
    features : array of shape (n, p)
        Features of the body.
    latent : array of shape (n, c)
        Latent outputs of the mean as it was fitted.
    labels : array of shape (n, max(c, 2))
        One in the column of the class, times the weight of the row, and zero elsewhere.
    """

    features: np.ndarray
    latent: np.ndarray
    labels: np.ndarray

    def part(self, rows: slice) -> LabelledRows:
        """Return some of the rows."""
        return LabelledRows(*(each[rows] for each in self))

    def join(self, other: LabelledRows) -> LabelledRows:
        """Return these rows and others."""
        return LabelledRows(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))


class Mode(NamedTuple):
    """The mode of a posterior, and the normal approximation there.

    Attributes
    ----------
    change : array of shape (n, c)
        Change of the latent outputs by the rows, from those of the prior's mean.
    slopes : array of shape (n, c)
        Derivative of the log-likelihood by the latent outputs.
    curvature : array of shape (n, c, c)
        Minus its second derivative.
    log_evidence : float
        Logarithm of the approximate probability of the labels under the prior, in nats.
    """

    change: np.ndarray
    slopes: np.ndarray
    curvature: np.ndarray
    log_evidence: float


def find_mode(
    factor: np.ndarray,
    design: np.ndarray,
    latent: np.ndarray,
    labels: np.ndarray,
    tolerance: float = TOLERANCE,
) -> Mode:
    """Return the `Mode` under a normal prior.

    Parameters
    ----------
    factor : array of shape (k, k)
        Lower Cholesky factor of the prior's precision.
    design : array of shape (n, c, k)
        How latent outputs depend on the coordinates.
    latent : array of shape (n, c)
        Latent outputs at the prior's mean.
    labels : array of shape (n, max(c, 2))
        As of `LabelledRows`.
    tolerance : float
        Newton's method stops after a step that promised less, in nats.
    """
    flat = design.reshape(-1, design.shape[-1])
    whitened = solve_lower(factor, flat.T)
    if whitened.shape[1] < whitened.shape[0]:  # only directions that the rows see can change
        whitened = np.triu(dgeqrf(whitened)[0][: whitened.shape[1]])
    whitened = np.ascontiguousarray(whitened.T)
    point, value = np.zeros(whitened.shape[1]), _log_likelihood(latent, labels)
    change = np.zeros(latent.shape)
    for _ in range(MAX_STEPS):
        slopes, curvature = derivatives(latent + change, labels)
        root = lower_factor(_precision(whitened, curvature))
        half = solve_lower(root, slopes.ravel() @ whitened - point)
        promised = half @ half
        step = solve_lower(root, half, transposed=True)
        direction = (whitened @ step).reshape(latent.shape)
        size, tried_value = 1.0, -np.inf
        for _ in range(MAX_HALVINGS):
            tried, tried_change = point + size * step, change + size * direction
            tried_value = _log_likelihood(latent + tried_change, labels) - 0.5 * tried @ tried
            if tried_value >= value + LEAST_RISE * size * promised or promised < tolerance:
                break
            size /= 2
        point, change, value = tried, tried_change, tried_value
        if promised < tolerance:
            break
    slopes, curvature = derivatives(latent + change, labels)
    root = lower_factor(_precision(whitened, curvature))
    return Mode(change, slopes, curvature, float(value - np.log(np.diag(root)).sum()))


def derivatives(latent: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and minus second derivatives of the log-likelihood by latent outputs (n, c)."""
    weights = labels.sum(axis=1)
    if latent.shape[1] == 1:
        probability = _softmax(latent)[:, 1]
        slopes = labels[:, 1] - weights * probability
        return slopes[:, None], (weights * probability * (1 - probability))[:, None, None]
    probabilities = _softmax(latent)
    slopes = labels - weights[:, None] * probabilities
    curvature = -weights[:, None, None] * probabilities[:, :, None] * probabilities[:, None]
    classes = np.arange(latent.shape[1])
    curvature[:, classes, classes] += weights[:, None] * probabilities
    return slopes, curvature


def _softmax(latent):
    return np.exp(_log_probabilities(latent))


def _log_probabilities(latent):
    """Log-probabilities (n, max(c, 2)) of latent outputs (n, c)."""
    if latent.shape[1] == 1:
        return -np.logaddexp(0.0, np.concatenate([latent, -latent], axis=1))
    return log_softmax(latent, axis=1)


def _log_likelihood(latent, labels):
    return float(np.sum(labels * _log_probabilities(latent)))


def _precision(whitened: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """Return ``I + A' W A`` for a design A (n c, k) and curvatures W (n, c, c)."""
    n, c, _ = curvature.shape
    weighted = (curvature @ whitened.reshape(n, c, -1)).reshape(n * c, -1)
    precision = whitened.T @ weighted
    precision.flat[:: len(precision) + 1] += 1
    return precision


def flattening(latent: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Share (n,) of latent outputs (n, c) whose softmax is about that averaged over their noise.

    The noise has covariances (n, c, c). It is that of members at a row, of which other rows tell
    nothing: labels there are those of averaged probabilities, which it makes flatter. The average
    of a sigmoid over a normal distribution is about the sigmoid of a share of its mean [1]_. Of
    several classes, pairs count by the product of their probabilities.

    References
    ----------
    .. [1] MacKay. "The evidence framework applied to classification networks". Neural Computation
       4(5), 1992.
    """
    if latent.shape[1] == 1:
        return _share_of(covariance[:, 0, 0])
    own = np.diagonal(covariance, axis1=1, axis2=2)
    of_pairs = own[:, :, None] + own[:, None] - 2 * covariance
    share = _share_of(of_pairs.mean(axis=(1, 2)))
    classes = np.arange(latent.shape[1])
    for _ in range(N_FLATTENED):
        probabilities = _softmax(share[:, None] * latent)
        weights = probabilities[:, :, None] * probabilities[:, None]
        weights[:, classes, classes] = 0.0
        weights += np.finfo(np.float64).tiny
        share = _share_of((weights * of_pairs).sum(axis=(1, 2)) / weights.sum(axis=(1, 2)))
    return share


def average_latent(latent: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return latent outputs (n, c) whose softmax is that of others, averaged over their noise.

    The noise has covariances (n, c, c). `flattening` is how they change, approximately. Fixed draws
    of several classes are those of the largest output, of the next, and so on, so that the order of
    the classes does not count, up to ties.
    """
    n_outputs = latent.shape[1]
    if n_outputs == 1:
        logarithms = log_average_of_odds(latent, np.sqrt(covariance[:, 0]))
        return logarithms[:, 1:] - logarithms[:, :1]
    order = np.argsort(-latent, axis=1, kind="stable")
    sorted_latent = np.take_along_axis(latent, order, axis=1)
    covariance = np.take_along_axis(covariance, order[:, :, None], axis=1)
    covariance = np.take_along_axis(covariance, order[:, None], axis=2)
    unit, nothing = np.ones(n_outputs), np.full(latent.shape, LOG_NOTHING)
    heads = Heads(sorted_latent, nothing, square_root(covariance), None)
    logarithms = average_log_probabilities(heads, Units(np.zeros(n_outputs), unit, unit))
    average = np.empty_like(latent)
    np.put_along_axis(average, order, logarithms, axis=1)
    return average - average.mean(axis=1, keepdims=True)


def share_between(latent: np.ndarray, flat: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return the share (n, 1) of latent outputs (n, c) that is nearest to averaged ones.

    A change that takes the outputs to zero then takes the averaged ones to about zero, too. Where
    outputs are next to zero, it is the one that is given.
    """
    if latent.shape[1] > 1:
        latent = latent - latent.mean(axis=1, keepdims=True)
    square = np.square(latent).sum(axis=1, keepdims=True) + NEAR_ZERO
    along = (flat * latent).sum(axis=1, keepdims=True) + NEAR_ZERO * share
    return np.clip(along / square, 0.5 * share, 1.0)


def _share_of(variance: np.ndarray) -> np.ndarray:
    """Share of log-odds whose sigmoid is about that averaged over a variance."""
    return 1 / np.sqrt(1 + np.pi / 8 * variance)
