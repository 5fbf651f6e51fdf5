"""The members of a student after new labelled rows: draws of the posterior.

They have the interface of a fitted student's members, so that all that a student predicts is the
posterior's. Only the part that is common to all rows has changed: the local part is the fit's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .._latent.member_process import MemberProcess
from .._network.heads import Heads, Units
from .._predictive.few_rows import FewRows
from .._predictive.law_probabilities import JITTER
from .._predictive.members import LatentFactorMembers, NoiseMoments, join_local
from .._predictive.target_noise import TargetNoise
from .coordinates import features_of
from .few_updated_rows import FewUpdatedRows
from .memory import value_covariance
from .posterior import Posterior


class UpdatedMembers(LatentFactorMembers):
    """Members whose mean and common factors are a posterior's.

    Parameters
    ----------
    network : StudentNetwork
        Trained network.
    units : Units
        Units of its outputs.
    posterior : Posterior
        Change of its heads; loadings are those of the members.
    share : array of shape (c,), default=None
        Share of the local part's variance that counts; None for all of it.
    """

    def __init__(
        self,
        network: Any,
        units: Units,
        posterior: Posterior,
        share: np.ndarray | None = None,
    ):
        # Where all members agreed, the unit of their spread is zero, but the posterior's is not.
        spread = np.where(units.spread > 0, units.spread, units.scale)
        own = posterior.units or Units(units.center, units.scale, spread)
        ratio = units.spread / own.spread
        if posterior.slope is not None:
            ratio = ratio * posterior.slope
        if share is not None:
            ratio = ratio * np.sqrt(share)
        super().__init__(UpdatedNetwork(network, own, ratio, posterior), own)
        self._fitted = LatentFactorMembers(network, units)
        self._posterior, self._share = posterior, share
        self._local_unit = own.spread * ratio
        self._of_few_rows: FewUpdatedRows | None = None

    def counting_for(self, noise: TargetNoise) -> tuple[UpdatedMembers, TargetNoise]:
        """Return the part of the members that counts for y, and the noise around it.

        Of the members' spread a share counts, but all of what the mean misses.
        """
        share, posterior = noise.spread_share, self._posterior
        if np.all(share == 1):
            return self, noise
        counted = posterior.counted
        if counted is None:
            counted = np.sqrt(share)[:, None, None] * posterior.loadings
        of_y = posterior._replace(loadings=counted)
        members = UpdatedMembers(self._fitted.network, self._fitted.units, of_y, share)
        members.is_exact = self.is_exact
        return members, noise.with_spread_share(1.0)

    def noise_moments(
        self, noise: TargetNoise, X: np.ndarray, moments: Any, exact: bool = False
    ) -> NoiseMoments:
        """What the noise of y depends on: the members as they were fitted, and its multiple."""
        self._fitted.is_exact = self.is_exact
        fitted = self._fitted.moments(X, exact)
        slope = self._posterior.slope
        if slope is None and np.all(self._posterior.noise_multiple == 1):
            return NoiseMoments(fitted.mean, fitted.variance)
        process = self._fitted.process(X, exact)
        multiple = self._multiples(noise, X, process)
        # The local part is noise too, for new rows. Members have some of it themselves.
        further = np.maximum(multiple - (1 if slope is None else slope**2), 0.0)
        further = further if self._share is None else self._share * further
        added = further * process.local_variance
        return NoiseMoments(fitted.mean, fitted.variance, multiple, added, further)

    def _multiples(self, noise: TargetNoise, X: np.ndarray, process: MemberProcess) -> np.ndarray:
        """Return the multiples of the noise (n, c) at rows where fitted members have a process."""
        features = features_of(self._fitted.network, X, self._posterior.columns)
        if self._posterior.typical_relative is None:
            return self._posterior.multiples(features)
        own = noise if self._share is None else noise.with_spread_share(self._share)
        covariance = value_covariance(self._fitted, own, X, process)
        return self._posterior.multiples(features, np.diagonal(covariance, axis1=1, axis2=2))

    def _make_few_rows(self) -> FewRows | None:
        network = self._fitted.network.frozen(True)
        if self._of_few_rows is None and network.is_double and network.mixing is None:
            self._of_few_rows = FewUpdatedRows(
                network, self._fitted.units, self._posterior, self.units.center, self._local_unit
            )
        return self._of_few_rows

    def process(self, X: np.ndarray, exact: bool = False) -> MemberProcess:
        heads, common = self.network_for(X, exact).evaluate_parts(X)
        at = heads.in_units(self.units)
        shares = None if at.noise_shares is None else at.noise_shares.astype(np.float64)
        together, own_std = join_local(np.sqrt(at.member_variance), shares, [at.loadings])
        loadings = self.units.spread[:, None] * common.astype(np.float64)
        return MemberProcess(at.mean, loadings, None, together, own_std)


class UpdatedNetwork:
    """A student's network whose heads a posterior has changed, without a copy of its body.

    Parameters
    ----------
    network : StudentNetwork
        Trained network.
    units : Units
        Units of the heads of this network.
    ratio : array of shape (c,)
        Unit of the trained network's spread, in that of this network, times the sign and size of
        the multiple that is taken of it.
    posterior : Posterior
        Change of the heads.
    """

    def __init__(self, network: Any, units: Units, ratio: np.ndarray, posterior: Posterior):
        self._network = network
        self._arguments = units, ratio, posterior
        self.takes_points = network.takes_points
        self.row_correlation = network.row_correlation
        self.latent_shape = posterior.loadings.shape[2:]
        self.q = network.q + posterior.loadings.shape[2]  # common and local factors

    def frozen(self, exact: bool = False) -> FrozenUpdate:
        """Return what predicts, in float64 if ``exact`` and if the trained network can."""
        return FrozenUpdate(self._network.frozen(exact), *self._arguments)


class FrozenUpdate:
    """Heads of an updated network at rows; parameters as of `UpdatedNetwork`, but frozen."""

    def __init__(self, network: Any, units: Units, ratio: np.ndarray, posterior: Posterior):
        self.network = network
        like = network.input_like()
        n_outputs = len(units.scale)

        def tensor(values):
            return torch.as_tensor(np.ascontiguousarray(values)).to(like)

        scale = getattr(network.body, "scale", 1.0)
        columns = posterior.columns
        n_body = posterior.mean.shape[1] - len(columns) - 1  # the last is the bias
        divisor = np.r_[np.full(n_body, scale), np.ones(len(columns) + 1)]
        self._columns = torch.as_tensor(columns, device=like.device) if len(columns) else None
        mean = tensor((posterior.mean / units.scale[:, None] / divisor).T)
        self._mean = mean[:-1], mean[-1]
        common = posterior.loadings / units.spread[:, None, None] / divisor[:, None]
        common = tensor(common.transpose(1, 0, 2).reshape(len(divisor), -1))
        self._common = common[:-1], common[-1]
        self._shape = n_outputs, posterior.loadings.shape[2]
        self._is_added = posterior.units is None
        self._ratio = tensor(ratio)
        with np.errstate(divide="ignore"):
            self._log_ratio = tensor(2 * np.log(np.abs(ratio)))
        self._sign = tensor(np.where(ratio < 0, -1.0, 1.0))
        shares = network.factor_shares.to(like)
        self._rest = (1 - shares).clamp_min(0.0).sqrt()
        self._has_rest = bool((shares < 1).any())

    def evaluate_parts(self, X: np.ndarray) -> tuple[Heads, np.ndarray]:
        """Heads whose loadings are those of the local part, and common loadings (n, c, r)."""
        mean, log_noise, common, rest, *shares = self.network.in_blocks(X, self._parts)
        return Heads(mean, log_noise, rest, None, *shares), common

    def evaluate(self, X: np.ndarray) -> Heads:
        """Heads that describe the members at each row on its own, with few factors."""
        mean, log_noise, loadings, *shares = self.network.in_blocks(X, self._marginal)
        return Heads(mean, log_noise, loadings, None, *shares)

    def evaluate_moments(self, X: np.ndarray) -> list[np.ndarray]:
        """Mean and variance of the members, arrays (n, c)."""

        def moments(rows):
            mean, log_noise, common, rest, *_ = self._parts(rows)
            factors = sum(part.double().square().sum(dim=-1) for part in (common, rest))
            return mean, log_noise.double().exp() + factors

        return self.network.in_blocks(X, moments)

    def evaluate_mean(self, X: np.ndarray) -> np.ndarray:
        """Mean of the members, an array (n, c)."""

        def mean(rows):
            features = self.network.body(rows)
            own = torch.addmm(self._mean[1], self._all(features, rows), self._mean[0])
            if self._is_added:
                own += torch.nn.functional.linear(features, *self.network.mean_head())
            return (own,)

        return self.network.in_blocks(X, mean)[0]

    def evaluate_points(self, X: np.ndarray) -> np.ndarray:
        """Rows as points; see `Network.evaluate_points`."""
        return self.network.evaluate_points(X)

    def _all(self, features, rows):
        """Features of the body, and columns of the rows behind them."""
        if self._columns is None:
            return features
        return torch.cat([features, rows[:, self._columns].to(features)], dim=1)

    def _marginal(self, rows):
        """Heads of a block, whose loadings are a root of the covariance of all factors."""
        mean, log_noise, common, rest, *shares = self._parts(rows)
        loadings = torch.cat([common, rest], dim=-1)
        n_outputs = mean.shape[1]
        if loadings.shape[-1] > n_outputs:
            loadings = _square_root(loadings)
        return mean, log_noise, loadings, *shares

    def _parts(self, rows):
        """Mean, log noise, common loadings, local loadings, and shares of the noise if any."""
        features = self.network.body(rows)
        heads = self.network.heads_of(features)
        further = self._all(features, rows)
        mean = torch.addmm(self._mean[1], further, self._mean[0])
        if self._is_added:
            mean += heads.mean
        common = torch.addmm(self._common[1], further, self._common[0])
        common = common.unflatten(-1, self._shape)
        growth = self.network.growth(features)
        if growth is not None:
            common = common * growth.sqrt()[..., None]
        log_noise = heads.log_noise + self._log_ratio
        rest = mean.new_empty((*mean.shape, 0))
        if self._has_rest:
            rest = heads.loadings * self._rest
            if heads.mixing is not None:  # the same covariance by c factors in place of c q
                rest = rest.norm(dim=-1, keepdim=True) * heads.mixing
            rest = rest * self._ratio[:, None]
        if heads.noise_shares is None:
            return mean, log_noise, common, rest
        return mean, log_noise, common, rest, heads.noise_shares * self._sign[:, None]


def _square_root(loadings: torch.Tensor) -> torch.Tensor:
    """Return loadings (n, c, c) with the same covariance over outputs as others (n, c, r)."""
    if loadings.shape[1] == 1:
        return loadings.norm(dim=-1, keepdim=True)
    wide = loadings.double()
    covariance = wide @ wide.mT
    size = covariance.diagonal(dim1=-2, dim2=-1).mean(dim=-1) + np.finfo(np.float64).tiny
    jitter = JITTER * size[:, None, None] * torch.eye(wide.shape[1]).to(wide)
    return torch.linalg.cholesky(covariance + jitter).to(loadings)
