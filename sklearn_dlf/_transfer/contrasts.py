"""What the fit knows of an ensemble: its mean and the members' contrasts at the design points."""

from __future__ import annotations

import numpy as np

from .._latent.full import contrast_variance

# Spread of so many roundings of the ensemble's mean over rows is taken for none.
N_ROUNDINGS = 8


class Contrasts:
    """Mean and contrasts of the members of an ensemble, in training units.

    Parameters
    ----------
    blocks : iterable of arrays (n_block, n_outputs, n_members)
        Outputs of the members, block of rows after block of rows. Only their contrasts are kept.
    n_samples : int
        Rows of all blocks.
    weights : array of shape (n_samples,) or None
        Of the design points; not negative.

    Attributes
    ----------
    mean : float32 array of shape (n_samples, n_outputs)
        Ensemble mean, standardised over rows.
    center, scale : arrays of shape (n_outputs,)
        Mean and standard deviation over rows of the ensemble's mean, in its own units.
    residuals : float32 array of shape (n_samples * n_outputs, n_members)
        Members around their mean, in units of ``spread``, times the root of the row's weight.
    spread : array of shape (n_outputs,)
        Root mean square over rows of the members' standard deviation, in their own units.
    weights : float32 array of shape (n_samples,)
        Of mean one.
    variance : float32 array of shape (n_samples, n_outputs)
        Members' variance, in units of ``spread ** 2``.
    """

    def __init__(self, blocks, n_samples, weights=None):
        weights = np.ones(n_samples) if weights is None else weights / weights.mean()
        mean, residuals, rounding = _centre(blocks, n_samples)
        self.center = np.average(mean, axis=0, weights=weights)
        self.scale = np.sqrt(np.average((mean - self.center) ** 2, axis=0, weights=weights))
        self.scale[self.scale == 0] = 1.0  # a constant mean, as StandardScaler has it
        self.mean = ((mean - self.center) / self.scale).astype(np.float32)

        n_outputs = mean.shape[1]
        variance = contrast_variance(residuals.reshape(-1, residuals.shape[-1]))
        variance = variance.reshape(n_samples, n_outputs)
        self.spread = np.sqrt(np.average(variance, axis=0, weights=weights))
        size = np.maximum(self.scale, np.abs(self.center))
        agree = self.spread <= N_ROUNDINGS * rounding * size
        self.spread[agree] = 0.0
        unit = np.where(agree, np.inf, self.spread)
        factors = np.sqrt(weights)[:, None] / unit
        residuals *= factors[..., None].astype(np.float32)
        self.residuals = residuals.reshape(n_samples * n_outputs, -1)
        self.variance = (variance / unit**2).astype(np.float32)
        self.weights = weights.astype(np.float32)

    @property
    def shape(self):
        """Design points, outputs, members."""
        return *self.mean.shape, self.residuals.shape[1]

    def unweighted(self, rows):
        """Undo the rows' weights in anything of shape (n, ...).

        Rows without weight stay zero: no loss looks at them.
        """
        return rows / self._root().reshape(-1, *(1,) * (rows.ndim - 1))

    def members(self, rows=slice(None)):
        """Outputs of the members in units of ``scale``, (n, n_outputs, n_members), float32."""
        unit = self.spread / self.scale / self._root(rows)[:, None]
        residuals = self.residuals.reshape(self.shape)[rows] * unit[..., None]
        return self.mean[rows, :, None] + residuals.astype(np.float32)

    def _root(self, rows=slice(None)):
        """Root of the weights; one at rows without weight, which no loss looks at."""
        weights = self.weights[rows]
        return np.sqrt(np.where(weights > 0, weights, 1))


def _centre(blocks, n_samples):
    """Mean over members (n, c) in float64, float32 residuals (n, c, n_members), and rounding.

    Members that predict in float32 are told by their values, all of which are numbers of float32.
    """
    mean = residuals = np.empty(0)
    start, is_single = 0, True
    for block in blocks:
        if start == 0:
            mean = np.empty((n_samples, block.shape[1]))
            residuals = np.empty((n_samples, *block.shape[1:]), dtype=np.float32)
        rows = slice(start, start + len(block))
        mean[rows] = block.mean(axis=-1)
        residuals[rows] = block - mean[rows, :, None]
        start += len(block)
        is_single = is_single and np.array_equal(block, block.astype(np.float32))
    return mean, residuals, np.finfo(np.float32 if is_single else np.float64).eps
