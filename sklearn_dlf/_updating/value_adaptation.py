"""Learns what values of y mean now: the student's y in other units, and a head on top of it.

``y = intercept + slope f(x) + d(x)'w + noise`` for a member f, a discrepancy that is linear in the
body's features, and noise of any size that varies over rows as before. How large discrepancy and
noise are is averaged over, by the evidence of the new rows. Whether y has kept its units is decided
by the density of held-out values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._network.heads import Units
from .._predictive.conformal import center_and_unit
from .._predictive.target_distribution import TargetDistribution
from .._predictive.target_noise import TargetNoise
from .._utils.equal_rows import join_equal_rows
from .._utils.standardise import check_std, in_units
from .._utils.warning import warn_user
from .coordinates import (
    Coordinates,
    choose_coordinates,
    features_of,
    read_heads,
    scale_loadings,
)
from .folds import LEAST_GAIN, make_folds, splits
from .memory import Memory, discrepancy_root, value_covariance
from .posterior import Normal, Posterior, average_normals, weights_of
from .updated_members import UpdatedMembers
from .value_update import ValueUpdate
from .values import (
    DISCREPANCIES,
    LinearModel,
    ValueSums,
    average_multiple,
    shrunk_multiple,
    sum_values,
)

# Standard deviation of the intercept at the mean row, and of the slope times the student's mean, in
# units of that of the new y. Those of the discrepancy, `DISCREPANCIES`, have this unit too.
AFFINE = 2.0

# Shares of the variance of the new y that may be noise, on average over rows and outputs.
NOISE_SHARES = tuple(np.geomspace(1e-5, 2.0, 25))

# Power of the share in its prior, below the share that the noise had in `fit`: a few rows that a
# head interpolates do not show that y has no noise.
FALL = 1.0

# The members' spread counts with the slope, and outputs have noise of their own. Both are found in
# so many rounds.
N_ROUNDS = 4

# What is known of the ratios of the outputs' noise from that in `fit`, in rows.
PRIOR_ROWS = 10

# Rows that an intercept, a slope and noise need at least.
LEAST_ROWS = 3

# Level of the intervals of held-out values. Fewer of these than the least share warn, if that is so
# many standard errors below the level, of at least so many rows.
LEVEL, LEAST_COVERAGE, ERRORS, FEWEST_TO_COVER = 0.9, 0.8, 5.0, 30

# Standard deviations of y from which a value is far from its prediction. A choice: of a normal
# distribution one in 16,000 is, and here all values of the few rows are.
FAR = 4.0


class ValueAdaptation(NamedTuple):
    """What a student of regressors has learnt of the new meaning of y.

    Attributes
    ----------
    labels : str
        "kept" if y has kept its units, else "mapped".
    slope, intercept : arrays of shape (c,)
        The new y of the student's y, without the head. One and zero if y has kept its units.
    posterior : Posterior
        The members' posterior.
    loss : float
        Mean negative log-density of held-out values, in nats. NaN if no row was held out.
    coverage : float
        Share of held-out values in their 90 % intervals. NaN if no row was held out.
    """

    labels: str
    slope: np.ndarray
    intercept: np.ndarray
    posterior: Posterior
    loss: float
    coverage: float = np.nan

    def noise_of(self, noise: TargetNoise) -> TargetNoise:
        """Return the noise of the new y, given that of the old one."""
        return noise if self.labels == "kept" else noise.mapped(self.slope < 0)


class ValueAdapter:
    """Rows with new values, and the ways to learn from them.

    Parameters
    ----------
    members : LatentFactorMembers
        Members of the fitted student.
    noise : TargetNoise
        Noise of y around them.
    memory : Memory
        What `fit` has kept, for units of the features.
    X : array of shape (n, *row_shape)
        Standardised rows.
    y : array of shape (n, c)
        Values there.
    weights : array of shape (n,)
        Weights of the rows, positive.
    """

    def __init__(
        self,
        members: Any,
        noise: TargetNoise,
        memory: Memory,
        X: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray,
    ):
        self._members, self._noise, self._memory = members, noise, memory
        first, number = join_equal_rows(np.column_stack([X.reshape(len(X), -1), y]))
        self._X, self._y = X[first], y[first]
        self._weights = np.bincount(number, weights)
        self._folds = make_folds([None] * len(first))

    def adapt(self, labels: str) -> ValueAdaptation:
        """Return what is learnt, with y "kept" or "mapped", or the likelier of both ("auto").

        Warn if intervals for held-out values are far too narrow.
        """
        adaptation = self._choose(labels)
        if self._is_too_narrow(adaptation):
            other = " Or does y have other units now? Say labels='mapped'."
            warn_user(
                f"{adaptation.coverage:.0%} of the new values of y lie in 90 % intervals of a "
                "student that has learnt from others of them: the noise of y is no multiple of "
                "what it was, as where y is mostly zero or has heavy tails. Call conformalize on "
                "the new student with rows that adapt was not given, or fit ensemble and student "
                f"to the new y.{other if adaptation.labels == 'kept' else ''}"
            )
        return adaptation

    def _choose(self, labels: str) -> ValueAdaptation:
        """Do what `adapt` does, without the warning."""
        is_enough = self._is_enough(np.arange(len(self._X)))
        if labels == "mapped" and not is_enough:
            raise ValueError(
                f"labels='mapped' needs at least {LEAST_ROWS} different rows, and values that "
                f"differ, to find a slope; got {len(self._X)} rows. With labels='kept', y has the "
                "units of fit, and one row is enough."
            )
        if labels == "auto" and len(self._X) <= LEAST_ROWS:
            self._warn_of_few_rows()
        if labels == "kept" or not is_enough:
            return self._with_losses(self._keep)[0]
        mapped, mapped_losses = self._with_losses(self._map)
        if labels == "mapped":
            return mapped
        kept, losses = self._with_losses(self._keep)
        # a loss is that of one output
        gain = self._y.shape[1] * np.nansum(self._weights * (losses - mapped_losses))
        # a density that is high at many zeros says little of the other values
        is_worse = self._is_too_narrow(kept) and not self._is_too_narrow(mapped)
        return mapped if gain > LEAST_GAIN or is_worse else kept

    def _is_too_narrow(self, adaptation: ValueAdaptation) -> bool:
        """Return whether held-out values lie outside of their intervals far too often."""
        n_rows = len(self._X)
        least = min(LEAST_COVERAGE, LEVEL - ERRORS * np.sqrt(LEVEL * (1 - LEVEL) / n_rows))
        return n_rows >= FEWEST_TO_COVER and adaptation.coverage < least

    def _with_losses(
        self, learn: Callable[[np.ndarray], ValueAdaptation]
    ) -> tuple[ValueAdaptation, np.ndarray]:
        """Return what all rows tell, and the loss (n,) of each row when it was held out, or NaN."""
        losses, inside = np.full((2, len(self._X)), np.nan)
        for learnt, held_out in splits(self._folds):
            if learn == self._map and not self._is_enough(learnt):
                continue
            adaptation = learn(learnt)
            noise = adaptation.noise_of(self._noise)
            distribution = TargetDistribution(self._members_of(adaptation), noise)
            density = distribution.log_density(self._X[held_out], self._y[held_out])
            losses[held_out] = -density.mean(axis=1)
            ends = distribution.quantiles(self._X[held_out], [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
            values = self._y[held_out]
            inside[held_out] = ((ends[..., 0] <= values) & (values <= ends[..., 1])).mean(axis=1)
        known, loss, coverage = ~np.isnan(losses), np.nan, np.nan
        if known.any():
            weights = self._weights[known]
            loss, coverage = (
                float(np.average(each[known], weights=weights)) for each in (losses, inside)
            )
        adaptation = learn(np.arange(len(self._X)))
        return adaptation._replace(loss=loss, coverage=coverage), losses

    def _warn_of_few_rows(self) -> None:
        """Warn if all values are far from what the student predicts, in units of its std of y.

        So few rows cannot tell whether y has other units.
        """
        center, unit = center_and_unit(self._X, self._members, self._noise)
        distance = (np.abs(self._y - center) / unit).min()
        if distance > FAR:
            warn_user(
                f"All new values of y are more than {distance:.2g} standard deviations from what "
                f"the student predicts, and {len(self._X)} different rows are too few to tell "
                "whether y has other units. y is taken to have kept its units. Pass at least "
                f"{LEAST_ROWS + 1} rows, or, with {LEAST_ROWS}, labels='mapped'."
            )

    def _is_enough(self, rows: np.ndarray) -> bool:
        """Return whether some rows can tell an intercept, a slope, and noise."""
        return len(rows) >= LEAST_ROWS and bool((np.ptp(self._y[rows], axis=0) > 0).all())

    def _members_of(self, adaptation: ValueAdaptation) -> UpdatedMembers:
        return UpdatedMembers(self._members.network, self._members.units, adaptation.posterior)

    def _keep(self, rows: np.ndarray) -> ValueAdaptation:
        """Return what some rows tell if y has kept its units, without memory of `fit`."""
        update = ValueUpdate(self._members, self._noise, self._memory)
        added = self._X[rows], self._y[rows], self._weights[rows]
        update.add(self._members, self._noise, added, discrepancy=True, forgetting=0)
        n_outputs = self._y.shape[1]
        return ValueAdaptation(
            "kept", np.ones(n_outputs), np.zeros(n_outputs), update.posterior, np.nan
        )

    def _map(self, rows: np.ndarray) -> ValueAdaptation:
        """Return what some rows tell if y may have other units."""
        X, y, weights = self._X[rows], self._y[rows], self._weights[rows]
        units, network = self._members.units, self._members.network
        center, unit = _center_and_unit(y, weights)
        covariance = value_covariance(self._members, self._noise, X)
        typical = weights @ np.diagonal(covariance, axis1=1, axis2=2) / weights.sum()
        before = self._shares_of_noise(typical)
        relative = before / before.mean()
        columns = self._memory.columns
        heads = read_heads(network, units, columns)
        features = features_of(network, X, columns)
        root_share = np.sqrt(self._noise.spread_share)
        slope = np.zeros(len(unit))
        for _ in range(N_ROUNDS):
            noise_unit = unit * np.sqrt(relative / typical)
            check_std(noise_unit, "y, in units of the noise of fit,")
            noise = covariance * noise_unit[:, None] * noise_unit
            coordinates = scale_loadings(choose_coordinates(heads), root_share, slope)
            nothing = np.zeros((*heads.mean.shape, 1))
            sums = sum_values(coordinates, features, y - center, noise, weights, nothing)
            normal, share, affine = self._average(coordinates, sums, unit, before.mean())
            slope = affine[:, 1]
            errors = y - center - features @ coordinates.change_of_mean(normal).T
            relative *= _relative_noise(errors, share * noise, weights)
        mean, loadings, counted = coordinates.change(normal)
        posterior = Posterior(
            mean,
            loadings,
            share * noise_unit**2,
            slope=slope,
            units=Units(center, unit, unit),
            counted=counted,
            columns=columns,
        )
        intercept = center + affine[:, 0] - slope * units.center
        return ValueAdaptation("mapped", slope, intercept, posterior, np.nan)

    def _shares_of_noise(self, typical: np.ndarray) -> np.ndarray:
        """Return the share (c,) of noise in the variance of each output of the old y.

        ``typical`` (c,) is the variance of the old y around the student. Other units leave these
        shares as they were, so that outputs keep their ratios.
        """
        return typical / (self._members.units.scale**2 + typical)

    def _average(
        self, coordinates: Coordinates, sums: ValueSums, unit: np.ndarray, before: float
    ) -> tuple[Normal, float, np.ndarray]:
        """Return the average posterior, the share of noise, and intercepts and slopes (c, 2).

        ``unit`` (c,) is the standard deviation of the new y, ``before`` the share of noise in the
        variance of the old y, on average over outputs. So are the shares that are found.
        """
        n_outputs = len(unit)
        scale = self._members.units.scale
        sizes = np.column_stack([unit, unit / np.where(scale > 0, scale, 1.0)])
        affine = AFFINE * sizes[..., None] * coordinates.affine()
        affine = affine.reshape(2 * n_outputs, -1).T
        factors, behind = coordinates.factor_root(), coordinates.factors_behind(2 * n_outputs)
        models = []
        for size in DISCREPANCIES:
            parts = [affine, factors]
            if size > 0:
                parts.append(discrepancy_root(coordinates, self._memory.emptied(), size * unit))
            models.append(LinearModel(np.concatenate(parts, axis=1), sums, NOISE_SHARES, behind))
        log_evidence = np.stack([model.log_evidence() for model in models])
        log_evidence += FALL * np.minimum(np.log(np.array(NOISE_SHARES) / before), 0.0)
        weights = weights_of(log_evidence.ravel()).reshape(log_evidence.shape)
        found = np.zeros((n_outputs, 2))
        normals, masses = [], []
        for one, other in np.argwhere(weights > 0):
            mass, share = weights[one, other], NOISE_SHARES[other]
            variables = models[one].variables(share)[: 2 * n_outputs].reshape(n_outputs, 2)
            found += mass * AFFINE * sizes * variables
            normals.append(models[one].normal(share))
            masses.append(mass)
        share = average_multiple(weights.sum(axis=0), NOISE_SHARES)
        return average_normals(normals, np.array(masses)), share, found


def _relative_noise(errors: np.ndarray, noise: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return how much more noise (c,) each output has than it was thought to, relative to others.

    Errors are (n, c), the noise that was thought (n, c, c), the weights (n,). The mean is one.
    """
    squares = weights @ (errors**2 / np.diagonal(noise, axis1=1, axis2=2))
    multiple = shrunk_multiple(squares, weights.sum(), PRIOR_ROWS)
    return multiple / multiple.mean()


def _center_and_unit(y: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weighted means and standard deviations (c,) of y (n, c), or raise if out of range."""
    scaled, exponents = in_units(y)
    center = weights @ scaled / weights.sum()
    variance = weights @ np.square(scaled - center) / weights.sum()
    unit = np.ldexp(np.sqrt(variance), exponents)
    check_std(unit, "y")
    return np.ldexp(center, exponents), unit
