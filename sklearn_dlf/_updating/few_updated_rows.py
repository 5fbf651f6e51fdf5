"""Moments and probabilities of updated members at few rows, in few operations.

As `_predictive.few_rows`, of which this is the case of a posterior: its coefficients stay arrays of
numpy, since a stream predicts few rows under each of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._network.heads import Units
from .._predictive.few_rows import FewRows
from .coordinates import all_features
from .posterior import Posterior


class FewUpdatedRows(FewRows):
    """Evaluates a frozen network of full loadings under a posterior.

    Parameters
    ----------
    network : StudentNetwork
        Frozen network of the fitted student, in float64.
    units : Units
        Units of its heads.
    posterior : Posterior
        Change of its heads.
    center : array of shape (c,)
        Center of the updated members.
    unit : array of shape (c,)
        Unit of the local part's standard deviation, in that of the updated members.
    """

    def __init__(
        self, network: Any, units: Units, posterior: Posterior, center: np.ndarray, unit: np.ndarray
    ):
        super().__init__(network, units)
        self._posterior, self._center, self._unit = posterior, center, unit
        n_outputs, p, r = posterior.loadings.shape
        self._loadings = posterior.loadings.transpose(1, 0, 2).reshape(p, n_outputs * r)

    def moments(self, X):
        features, columns = self.features_and_columns(X)
        features = all_features(self._network, features, X, self._posterior.columns)
        variance = np.square(self._unit) * self.local_variance(columns)
        common = (features @ self._loadings).reshape(*variance.shape, -1)
        variance += np.einsum("ncr,ncr->nc", common, common)
        mean = self._center + features @ self._posterior.mean.T
        if self._posterior.units is None:
            mean += self.units.scale * columns[..., 0]
        return mean, variance

    def probabilities(self, X):
        return self._probabilities_of_two(X) if self._shape[0] == 1 else None
