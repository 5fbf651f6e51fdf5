"""Between probabilities of classes and the latent outputs of the student.

Two classes have one latent output, the log-odds of the second; ``K > 2`` classes have ``K``, their
logits centred over classes. Probabilities are averaged over fixed draws of members.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from scipy.linalg import cholesky, solve_triangular
from scipy.special import softmax, xlogy
from scipy.stats import norm, qmc
from sklearn.utils import gen_batches

from ._objectives import class_logits
from ._out_of_bag import unseen_mean
from ._spread import count_dimensions, factor_variance, factors_within_rows
from .ensembles._predictions import SUM_TOLERANCE

# Draws that probabilities are averaged over. Half are the others' mirror images.
N_DRAWS = 100

# Logits that are held at a time while probabilities are averaged: two megabytes of float32 are near
# the processor.
BLOCK_SIZE = 2**19

BITS_PER_NAT = 1 / np.log(2)

# Powers of e up to this are far from the ends of float32, and so are sums of many of them.
MAX_REACH = 75.0


def latent_from_probabilities(probabilities, floor):
    """Log-odds (n, 1, M) or centred logits (n, K, M) of probabilities (n, K, M) above a floor."""
    return latent_from_logits(np.log(np.maximum(probabilities, floor)))


def latent_from_logits(logits):
    """Log-odds (n, 1, M) of two logits, or K centred ones, from (n, K, M)."""
    if logits.shape[1] == 2:
        return logits[:, 1:] - logits[:, :1]
    return logits - logits.mean(axis=1, keepdims=True)


def probabilities_from_latent(latent):
    """Probabilities (n, K, S) of latent outputs (n, 1, S) or (n, K, S)."""
    if latent.shape[1] == 1:
        latent = np.concatenate([np.zeros_like(latent), latent], axis=1)
    return softmax(latent, axis=1)


def check_probabilities(probabilities):
    """Raise where values (n, K, M) do not lie in [0, 1] or do not sum to one over classes."""
    sums = probabilities.sum(axis=1)
    low, high = probabilities.min(), probabilities.max()
    if low < -SUM_TOLERANCE or np.abs(sums - 1).max() > SUM_TOLERANCE:
        raise ValueError(
            "predictions must be probabilities of shape (n_samples, n_classes, n_members) that sum "
            f"to one over the classes; got values from {low:.3g} to {high:.3g} with sums from "
            f"{sums.min():.3g} to {sums.max():.3g}. If these are logits, say so with "
            "outputs='logits'."
        )


@cache
def normal_draws(n_dimensions, n_draws=N_DRAWS):
    """Fixed draws (n_dimensions, n_draws) of the standard normal.

    A Sobol sequence and its mirror image, so that the mean is zero; in one dimension the midpoints
    of equally likely intervals. Their second moments are made those of the standard normal, all of
    them where there are enough draws and the variances otherwise.
    """
    half = n_draws // 2
    if n_dimensions == 1:
        points = (np.arange(half)[:, None] + half + 0.5) / n_draws
    else:
        # A seed's name has changed in scipy; positions in the middle of strata need none.
        log_strata = int(np.ceil(np.log2(half)))
        points = qmc.Sobol(n_dimensions, scramble=False).random_base2(log_strata)[:half]
        points += 0.5 / 2**log_strata
    draws = norm.ppf(points).T
    if n_dimensions < half:
        draws = solve_triangular(cholesky(draws @ draws.T / half, lower=True), draws, lower=True)
    else:
        draws /= np.sqrt(np.mean(draws**2, axis=1, keepdims=True))
    return np.concatenate([draws, -draws], axis=1)


def average_probabilities(
    mean, loadings, variance, with_entropy=False, mixing=None, n_draws=N_DRAWS
):
    """Average over `normal_draws` of the members' probabilities, and of their entropies.

    Parameters
    ----------
    mean, variance : array of shape (n, c)
        Of the latent outputs; the variance beside the factors.
    loadings : array of shape (n, c, q)
        Of the factors.
    with_entropy : bool
        Whether the entropies are wanted.
    mixing : array of shape (c, c) or None
        Of the outputs, for loadings (n, 1, q) that they share.
    n_draws : int
        Even number of draws.

    Returns
    -------
    tuple of array of shape (n, K) and array of shape (n,), or None
        Probabilities, and entropies in nats; float64, computed in the precision of ``mean``.
    """
    n_samples, n_outputs = mean.shape
    if n_outputs == 1:  # one dimension is all there is
        variance = variance + factor_variance(loadings)
        loadings = loadings[..., :0]
    n_factors = count_dimensions(loadings, mixing)
    n_pairs = n_draws // 2
    draws = normal_draws(n_factors + n_outputs, n_draws)[:, :n_pairs]  # the others mirror them
    longest = np.linalg.norm(draws, axis=0).max()
    mean, loadings, variance = (torch.from_numpy(a) for a in (mean, loadings, variance))
    draws = torch.tensor(draws, dtype=mean.dtype)
    mixing = None if mixing is None else torch.from_numpy(mixing).to(mean.dtype)
    std = variance.sqrt()
    # Nats, at most, between the logits of the mean, and from there to any draw's.
    reach = (variance + factor_variance(loadings, mixing)).amax(dim=1).sqrt() * longest
    reach += mean.amax(dim=1) - mean.amin(dim=1)
    by_pairs = n_outputs > 1 and not with_entropy
    probabilities = torch.empty((n_samples, max(n_outputs, 2)), dtype=mean.dtype)
    entropy = np.empty(n_samples) if with_entropy else None
    n_rows = min(n_samples, max(1, BLOCK_SIZE // (n_outputs * n_draws)))
    buffers = torch.empty((2, n_rows, n_outputs, n_pairs), dtype=mean.dtype)
    for rows in gen_batches(n_samples, n_rows):
        factors = factors_within_rows(loadings[rows], mixing)
        space = buffers[:, : len(factors)]
        if by_pairs and reach[rows].max() < MAX_REACH:
            _sum_pairs(mean[rows], factors, std[rows], draws, space, out=probabilities[rows])
            continue
        deviations = _draw(factors, std[rows], draws, out=space[0])
        latent = mean[rows, :, None] + torch.cat([deviations, -deviations], dim=-1)
        members = class_logits(latent).softmax(dim=1)
        torch.mean(members, dim=-1, out=probabilities[rows])
        if entropy is not None:
            entropy[rows] = -torch.xlogy(members, members).sum(dim=1).mean(dim=-1).numpy()
    averaged = probabilities.numpy().astype(np.float64)
    averaged /= averaged.sum(axis=1, keepdims=True)
    return averaged, entropy


def _draw(factors, std, draws, out):
    """Put ``factors @ z + std * e`` (m, c, S) of draws of z and e, (d + c, S), into ``out``."""
    n_factors = factors.shape[-1]
    torch.mul(std[..., None], draws[n_factors:], out=out)
    if n_factors:
        out.flatten(0, 1).addmm_(factors.flatten(0, 1), draws[:n_factors])
    return out


def _sum_pairs(mean, factors, std, draws, space, out):
    """Sum over members and their mirror images of their probabilities, in few passes over memory.

    Exponentials are what softmax takes its time for. The mirror image of a member needs none:
    ``exp(m - d) = exp(2 m) / exp(m + d)``; and those of two take half the time of those of e.
    Logits are centred by their mean's, not each draw's largest is taken off, so that they must be
    within `MAX_REACH`; the mean is one more factor, of which all draws are one.

    Parameters
    ----------
    mean, std : tensor of shape (m, K)
        Of logits; the standard deviation beside the factors.
    factors : tensor of shape (m, K, d)
        Of logits.
    draws : tensor of shape (d + K, S)
        Of one member of each pair.
    space : tensor of shape (2, m, K, S)
        Space to work in.
    out : tensor of shape (m, K)
        The result.
    """
    middle = (mean.amax(dim=1, keepdim=True) + mean.amin(dim=1, keepdim=True)) / 2
    mean = ((mean - middle) * BITS_PER_NAT)[..., None]
    factors = torch.cat([mean, factors * BITS_PER_NAT], dim=-1)
    draws = torch.cat([torch.ones_like(draws[:1]), draws])
    one, other = _draw(factors, std * BITS_PER_NAT, draws, out=space[0]).exp2_(), space[1]
    torch.div(torch.exp2(2 * mean), one, out=other)
    one.mul_(one.sum(dim=1, keepdim=True).reciprocal_())
    one.addcmul_(other, other.sum(dim=1, keepdim=True).reciprocal_())
    torch.sum(one, dim=-1, out=out)


def entropies(probabilities):
    """Entropy of each row of probabilities (n, K), in nats, (n,)."""
    return -xlogy(probabilities, probabilities).sum(axis=1)


class LogitsWatcher:
    """Turns members' outputs into latent ones while they pass by, and keeps their averages.

    Rows of the calibration do not pass.

    Parameters
    ----------
    n_samples : int
        Rows of all blocks.
    outputs : {"probabilities", "logits"}
        What passes by, (n_block, n_classes, n_members).
    floor : float
        Smallest probability that is told from zero.
    classes : array-like of shape (n_classes,) or None
        Labels in the order of the columns, if known.
    y : array of shape (n_samples,) or None
        Labels of the rows.
    weights : array of shape (n_samples,) or None
        Of the rows.
    unseen : bool array of shape (n_first, n_members) or None
        Rows that each member did not see: the average is over these members.
    n_calibration : int
        Rows of the calibration, the last of all.

    Attributes
    ----------
    classes : array of shape (n_classes,)
        Labels in the order of the columns, once a block has passed.
    probabilities : float32 array of shape (n_samples, n_classes)
        Average over the members.
    entropy : array of shape (n_calibration,)
        Average over the members, in nats, at rows of the calibration.
    """

    def __init__(
        self,
        n_samples,
        outputs,
        floor,
        classes=None,
        y=None,
        weights=None,
        unseen=None,
        n_calibration=0,
    ):
        self.n_samples = n_samples
        self.n_design = n_samples - n_calibration
        self.outputs = outputs
        self.floor = floor
        self.classes = classes
        self.y = y
        self.weights = weights
        self.unseen = np.empty((0, 0), dtype=bool) if unseen is None else unseen
        self.probabilities = np.empty((n_samples, 0), dtype=np.float32)
        self.entropy = np.empty(n_calibration)

    def watch(self, blocks):
        """Yield latent outputs (n_block, 1 or n_classes, n_members) of every block."""
        start = 0
        for block in blocks:
            if block.shape[1] < 2:
                raise ValueError(
                    "predictions of classifiers must have shape (n_samples, n_classes, n_members) "
                    "with at least 2 classes, or be a list with an array (n_samples, n_classes) a "
                    f"member; got {block.shape[1]} class. Two classes have two columns."
                )
            if self.outputs == "logits":
                latent = latent_from_logits(block)
                block = softmax(block, axis=1)
            else:
                check_probabilities(block)
                latent = latent_from_probabilities(block, self.floor)
            if start == 0:
                self.classes = _name_classes(block.shape[1], self.classes, self.y)
                self.probabilities = np.empty((self.n_samples, block.shape[1]), dtype=np.float32)
            rows = slice(start, start + len(block))
            self.probabilities[rows] = self._average(block, self.unseen[rows])
            n_left = max(self.n_design - start, 0)
            if n_left < len(block):
                kept = slice(max(start - self.n_design, 0), rows.stop - self.n_design)
                self.entropy[kept] = entropies(block[n_left:]).mean(axis=-1)
            start = rows.stop
            if n_left:
                yield latent[:n_left]

    def _average(self, block, unseen):
        """Average over members, over those that did not see a row where that is known."""
        average = block.mean(axis=-1)
        if len(unseen):
            average[: len(unseen)] = unseen_mean(block[: len(unseen)], unseen)
        return average


def _name_classes(n_classes, classes, y):
    """Labels of the columns: those known, or the sorted ones in y, or numbers."""
    labels = None if y is None else np.unique(y)
    if classes is None:
        classes = np.arange(n_classes) if labels is None else labels
        source = "y has"
    else:
        classes = np.asarray(classes)
        source = "classes has"
    if classes.shape != (n_classes,) or len(np.unique(classes)) < n_classes:
        raise ValueError(
            f"The members' probabilities have {n_classes} columns, and expected is one different "
            f"label for each; {source} {classes.tolist()}. Give the labels in the order of the "
            "columns by classes."
        )
    if labels is not None and not np.isin(labels, classes).all():
        unknown = labels[~np.isin(labels, classes)]
        raise ValueError(
            f"y has labels that the ensemble does not know: {unknown.tolist()}; its classes are "
            f"{classes.tolist()}. Voting, stacking and others teach their estimators codes 0, 1, "
            "... in place of labels: give them an ensemble that was fitted on codes, or an "
            "unfitted one."
        )
    return classes
