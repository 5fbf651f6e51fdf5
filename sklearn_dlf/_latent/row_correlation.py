"""Correlation of the member noise between rows: random functions of the row.

Members are functions. What the factors do not carry is mostly a deviation of one member in one
region: it is similar at rows that are near each other, and independent between rows that are far
apart. The noise of a member, divided by its standard deviation at each row, is a Gaussian process
of the standardised rows with a Matern correlation of smoothness 3/2 [Rasmussen2006], Eq. (30).
Draws of it are sums of random cosines [Rahimi2007], Eq. (31). With a share of one they are
functions: rows may come in any order and in any number of blocks. A further share may be common to
all rows, however far apart. What both leave is drawn row by row.

References
----------
.. [Rasmussen2006] Rasmussen, Williams. "Gaussian Processes for Machine Learning". MIT Press, 2006.
.. [Rahimi2007] Rahimi, Recht. "Random features for large-scale kernel machines". NeurIPS 2007.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial.distance import cdist

from .._utils.blocks import row_blocks
from .._utils.threads import one_blas_thread, one_thread

# Members that share their frequencies, and the number of frequencies. Given these, a draw is
# Gaussian with variance one at every row; its correlation is right on average over groups.
GROUP_SIZE, N_FREQUENCIES = 16, 256

# Rows whose waves are computed at a time: 2 MB.
WAVE_ROWS = 2**9

# Smoothness of the correlation. Its frequencies have a multivariate t distribution with twice as
# many degrees of freedom.
SMOOTHNESS = 1.5

# Length scales that are tried where draws vary too much together: down to this share of that found.
SHORTEST, N_SCALES = 0.05, 40


class RowCorrelation(NamedTuple):
    """Correlation of one member's noise at two rows, Eq. (30).

    Attributes
    ----------
    share : float
        Correlation at rows that almost coincide. The rest of the noise is independent from row to
        row.
    length_scale : float
        Distance of standardised rows by which the correlation has fallen to about a half.
    common : float
        Correlation at rows that are far apart. It adds to the share at near rows.
    """

    share: float = 0.0
    length_scale: float = 1.0
    common: float = 0.0

    def between(self, X: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Correlation (n, n_others) of the noise at different rows.

        Without any, rows may be of any kind, such as images: their distances are not taken.
        """
        if self.share == 0:
            return np.full((len(X), len(others)), self.common)
        return self.common + self.share * matern(cdist(X, others) / self.length_scale)

    def among(self, X: np.ndarray) -> np.ndarray:
        """Correlation (n, n) of the noise at rows of X, with ones on the diagonal."""
        correlation = self.between(X, X)
        np.fill_diagonal(correlation, 1.0)
        return correlation

    @property
    def is_independent(self) -> bool:
        """Whether the noise of different rows is independent."""
        return self.share == 0 and self.common == 0

    def with_mean_variance(
        self, wanted: float, std: np.ndarray, X: np.ndarray, are_functions: bool = False
    ) -> RowCorrelation:
        """Return the correlation under which the mean over rows has a variance, or nearly so.

        Where it is too large, the share is reduced, or the length scale, so that draws stay
        functions; where it is too small, all rows get something in common.

        Parameters
        ----------
        wanted : float
            Variance of the mean over rows, summed over outputs.
        std : array of shape (n, n_outputs)
            Standard deviation of the noise.
        X : array of shape (n, n_features)
            Standardised rows.
        are_functions : bool, default=False
            Whether the share stays as it is.
        """
        sums = std.sum(axis=0)
        alone = np.square(std).sum()
        pairs = np.square(sums).sum() - alone  # of different rows, if they were the same

        def sum_near(length_scale):
            near = self._replace(common=0.0, length_scale=length_scale).between(X, X)
            np.fill_diagonal(near, 0.0)
            return np.einsum("ic,ij,jc->", std, near, std, optimize=True)

        of_near = sum_near(self.length_scale)
        rest = wanted * len(std) ** 2 - alone
        if of_near > rest and are_functions:
            scales = self.length_scale * np.geomspace(SHORTEST, 1, N_SCALES)
            place = max(bisect_right(scales, rest, key=sum_near) - 1, 0)
            return self._replace(length_scale=float(scales[place]), common=0.0)
        if of_near > rest:
            factor = max(rest, 0.0) / of_near if of_near > 0 else 0.0
            return self._replace(share=float(self.share * factor), common=0.0)
        if pairs <= 0:
            return self
        return self._replace(common=float(min((rest - of_near) / pairs, 1 - self.share)))


def matern(distance: np.ndarray) -> np.ndarray:
    """Matern correlation of smoothness 3/2, of distances in units of the length scale."""
    scaled = np.sqrt(3.0) * distance
    return (1 + scaled) * np.exp(-scaled)


class RandomFunctions:
    """Independent draws of the noise of members, in units of its standard deviation. Eq. (31).

    Parameters
    ----------
    correlation : RowCorrelation
        Correlation over rows.
    n_features, n_outputs, n_members : int
        Columns of the rows, outputs, members.
    random_state : RandomState instance
        Source of the functions. The part that is independent from row to row is drawn from it when
        rows are given.
    """

    def __init__(
        self,
        correlation: RowCorrelation,
        n_features: int,
        n_outputs: int,
        n_members: int,
        random_state: np.random.RandomState,
    ):
        self.share, self.common = correlation.share, correlation.common
        self.shape = n_outputs, n_members
        self.random_state = random_state
        self._offsets = np.zeros(1)
        if self.common > 0:
            self._offsets = np.sqrt(self.common) * random_state.standard_normal(self.shape)
        self._groups = []
        degrees = 2 * SMOOTHNESS
        for start in range(0, n_members if self.share > 0 else 0, GROUP_SIZE):
            n_group = min(GROUP_SIZE, n_members - start)
            frequencies = random_state.standard_normal((n_features, N_FREQUENCIES))
            stretch = np.sqrt(random_state.chisquare(degrees, N_FREQUENCIES) / degrees)
            amplitudes = random_state.standard_normal((2 * N_FREQUENCIES, n_outputs * n_group))
            amplitudes *= np.sqrt(self.share / N_FREQUENCIES)
            self._groups.append(
                (frequencies / (stretch * correlation.length_scale), amplitudes, n_group)
            )

    def evaluate(self, X: np.ndarray) -> np.ndarray:
        """Values (n, n_outputs, n_members) at rows."""
        values = np.zeros((len(X), *self.shape))
        if self._groups:
            with one_blas_thread, one_thread():
                self._add_smooth_part(X, values)
        rest = 1 - self.share - self.common
        if rest > 0:
            values += np.sqrt(rest) * self.random_state.standard_normal(values.shape)
        return values + self._offsets

    def _add_smooth_part(self, X: np.ndarray, values: np.ndarray) -> None:
        """Add the functions of the row to values (n, n_outputs, n_members)."""
        # Cosines of torch take less time than numpy's, and so do arrays that are written again.
        waves = np.empty((min(len(X), WAVE_ROWS), 2 * N_FREQUENCIES))
        cosines, sines = torch.from_numpy(waves).split(N_FREQUENCIES, dim=1)
        for rows in row_blocks(len(X), WAVE_ROWS):
            n, start = rows.stop - rows.start, 0
            for frequencies, amplitudes, n_group in self._groups:
                phases = torch.from_numpy(X[rows] @ frequencies)
                torch.cos(phases, out=cosines[:n])
                torch.sin(phases, out=sines[:n])
                members = slice(start, start + n_group)
                values[rows, :, members] += (waves[:n] @ amplitudes).reshape(n, -1, n_group)
                start += n_group
