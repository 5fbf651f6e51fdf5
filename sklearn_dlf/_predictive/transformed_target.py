"""Students of teachers that transform y: from the transformed space to units of y and back.

The members of a `TransformedTargetRegressor` predict a transformed target, such as the logarithm of
a price. Their student is Gaussian in that space, and is transformed back when it predicts. Its
moments in units of y are integrals over the Gaussian of a row, evaluated by quadrature.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import Bunch

from .._utils.blocks import NODES_AT_ONCE, row_blocks
from .output_transformers import OutputTransformers
from .two_piece import from_normal

# Nodes of the quadrature, in standard deviations. The trapezoidal rule converges exponentially fast
# for smooth transformations, and its error is small at kinks, where Gauss-Hermite's is not.
Z_NODES = np.linspace(-10.0, 10.0, 201)
Z_WEIGHTS = np.exp(-0.5 * Z_NODES**2) / np.exp(-0.5 * Z_NODES**2).sum()

# Terms of the Hermite series of a covariance. Under the exponential of a Gaussian with a standard
# deviation of 1, 2 and 3 they leave out less than 1e-19, 1e-8 and 5e-4 of it.
N_HERMITE = 20

# Transformed values are bounded where the way back to y turns round, ends, or leaves this range,
# but in any case at this many widths of the values at the rows of `fit` beyond them.
MAX_VALUE, MAX_WIDTHS = 1e38, 64.0

# They are bounded, too, where the way back runs off to infinity, as that from a reciprocal does
# next to zero: where its slope would grow by more than this power of e within one width of the
# values. An exponential grows by less if values of y are within a factor of 1e13 of each other.
MAX_GROWTH = 30.0

# Points of one search for a bound, and rounds of it; each divides its error by about the points.
N_POINTS, N_ROUNDS = 64, 3

# Deviations from a line, and steps in the wrong direction, up to this share are rounding.
ROUNDING = 1e-9


class TargetTransformer:
    """Fitted transformers of y.

    Parameters
    ----------
    transformers : fitted transformers
        In the order in which they are applied to y.
    """

    def __init__(self, *transformers: Any):
        self.transformers = transformers

    def transform(self, y: np.ndarray) -> np.ndarray:
        """Return y (n, n_outputs) in the transformed space.

        Values out of the domain are NaN or infinite, or raise ValueError, as in Box-Cox.
        """
        with np.errstate(all="ignore"):
            for transformer in self.transformers:
                y = np.asarray(transformer.transform(y))
        return y

    def invert(self, values: np.ndarray) -> np.ndarray:
        """Return transformed values (n,) or (n, n_outputs, ...) in units of y."""
        values = np.asarray(values, dtype=np.float64)
        outputs_last = np.moveaxis(
            values.reshape(len(values), -1) if values.ndim == 1 else values, 1, -1
        )
        columns = outputs_last.reshape(-1, outputs_last.shape[-1])  # transformers take matrices
        for transformer in reversed(self.transformers):
            columns = np.asarray(transformer.inverse_transform(columns))
        return np.moveaxis(columns.reshape(*outputs_last.shape[:-1], -1), -1, 1)

    def same_as(self, other: TargetTransformer) -> bool:
        """Return whether another one does the same."""
        return _is_same(self.transformers, other.transformers)


def _is_same(a: Any, b: Any) -> bool:
    """Return whether two objects are equal in all that they hold; functions, in their code."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, FunctionType):
        cells = [tuple(cell.cell_contents for cell in each.__closure__ or ()) for each in (a, b)]
        return (
            a.__code__ == b.__code__
            and _is_same(a.__defaults__, b.__defaults__)
            and _is_same(*cells)
        )
    if isinstance(a, partial):
        return _is_same((a.func, a.args, a.keywords), (b.func, b.args, b.keywords))
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_is_same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_is_same, a, b))
    if hasattr(a, "get_params") or isinstance(a, OutputTransformers):
        return _is_same(vars(a), vars(b))
    return bool(a == b)


class TransformedTarget:
    """A transformation of y that the members of a student share, each output on its own.

    The way back is monotone. A Gaussian has values beyond the range of many transformations, such
    as negative square roots. They are replaced by the nearest value of the range, so that draws,
    moments and quantiles belong to one distribution.

    Parameters
    ----------
    transformer : TargetTransformer
        The transformation.
    y : array of shape (n, n_outputs) or None
        Transformed values at the rows of `fit`.
    members : array of shape (n_some, n_outputs, n_members)
        Outputs of the members in the transformed space.

    Attributes
    ----------
    lower, upper : arrays of shape (n_outputs,)
        Range of the transformed space in which it can be inverted.
    support : tuple of arrays of shape (n_outputs,)
        Smallest and largest value of y. One is zero if y and the members are all of one sign, and
        the way back of the output is not linear.
    is_linear : bool
        Whether the way back is linear; then nothing is bounded.

    Raises
    ------
    ValueError
        If the way back mixes outputs or is not monotone.
    """

    def __init__(self, transformer: TargetTransformer, y: np.ndarray | None, members: np.ndarray):
        self.transformer = transformer
        flat = np.moveaxis(members, 1, -1).reshape(-1, members.shape[1])
        known = flat if y is None else np.concatenate([y, flat])
        width = np.ptp(known, axis=0)
        self.width = np.where(width > 0, width, 1.0)
        # Values of y are in the range of the transformation. Members may be outside of it: without
        # y, their quartiles are taken for inside.
        core = (
            np.quantile(flat, [0.25, 0.75], axis=0) if y is None else np.stack([y.min(0), y.max(0)])
        )
        core[1] = np.maximum(core[1], core[0] + 1e-3 * self.width)
        self.lower, self.upper = np.full((2, core.shape[1]), [[-np.inf]] * 2)
        self.upper = -self.lower
        self.support = self.lower, self.upper
        self.sign = self._check_way_back(core)
        are_linear = self._set_line(core)
        self.is_linear = bool(are_linear.all())
        if not self.is_linear:
            self.lower, self.upper = self._reach(core[0], -1), self._reach(core[1], 1)
            in_units = self.invert(known)
            rounding = ROUNDING * np.ptp(in_units, axis=0)
            self.support = (
                np.where((in_units >= -rounding).all(axis=0) & ~are_linear, 0.0, -np.inf),
                np.where((in_units <= rounding).all(axis=0) & ~are_linear, 0.0, np.inf),
            )

    @property
    def slope(self) -> np.ndarray:
        """Slope of the way back (n_outputs,), where it is linear."""
        return self._slope

    def transform(self, y: np.ndarray) -> np.ndarray:
        """Return y (n, n_outputs) in the transformed space; raise if it is not finite there."""
        return check_transformed(self.transformer.transform(y), y)

    def transform_members(self, outputs: np.ndarray) -> np.ndarray:
        """Return outputs (n, n_outputs, n_members) in units of y in the transformed space."""
        columns = np.moveaxis(outputs, 1, -1)
        values = self.transform(columns.reshape(-1, columns.shape[-1]))
        return np.moveaxis(values.reshape(columns.shape), -1, 1)

    def invert(self, values: np.ndarray) -> np.ndarray:
        """Return transformed values (n, n_outputs, ...) in units of y."""
        if self.is_linear:
            return self.transformer.invert(values)
        shape = (-1, *(1,) * (values.ndim - 2))
        bounds = (bound.reshape(shape) for bound in (self.lower, self.upper))
        support = (bound.reshape(shape) for bound in self.support)
        return np.clip(self.transformer.invert(np.clip(values, *bounds)), *support)

    def moments(self, mean: np.ndarray, variance: np.ndarray, skewness: ArrayLike = 1.0) -> Bunch:
        """Mean and variance in units of y, of Gaussians with these moments (n, n_outputs).

        With a skewness (n_outputs,), they are two-piece normal, and ``mean`` is the centre.
        """
        if self.is_linear and np.all(skewness == 1):
            return Bunch(mean=self.invert(mean), variance=self._slope**2 * variance)
        moments = Bunch(mean=np.empty_like(mean), variance=np.empty_like(mean))
        row_nodes = mean.shape[1] * len(Z_NODES)
        for rows in row_blocks(len(mean), max(1, NODES_AT_ONCE // row_nodes)):
            values = self._at_nodes(mean[rows], variance[rows], skewness)
            moments.mean[rows] = values @ Z_WEIGHTS
            deviations = values - moments.mean[rows][..., None]
            moments.variance[rows] = deviations**2 @ Z_WEIGHTS
        return moments

    def covariance(self, mean: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean, and covariance over rows (n, n, n_outputs), in units of y, of a Gaussian.

        The covariance of functions of two Gaussians with correlation ``r`` is the sum over ``k`` of
        ``a_k b_k r^k``, where ``a_k`` and ``b_k`` are the functions' coefficients in normalised
        Hermite polynomials (Mehler). The diagonal is the variance, without truncation.
        """
        diagonal = np.arange(len(mean))
        variance = covariance[diagonal, diagonal]
        moments = self.moments(mean, variance)
        if self.is_linear:
            return moments.mean, self._slope**2 * covariance
        std = np.sqrt(variance)
        product = std[:, None] * std
        correlation = np.divide(covariance, product, out=np.zeros_like(product), where=product > 0)
        values = self._at_nodes(mean, variance)
        result, power = np.zeros_like(correlation), np.ones_like(correlation)
        before, polynomial = np.zeros_like(Z_NODES), np.ones_like(Z_NODES)
        for k in range(1, N_HERMITE + 1):
            # recurrence of Hermite polynomials with unit norm under the standard normal
            following = (Z_NODES * polynomial - np.sqrt(k - 1) * before) / np.sqrt(k)
            before, polynomial = polynomial, following
            coefficients = values @ (Z_WEIGHTS * polynomial)
            power *= correlation
            result += coefficients[:, None] * coefficients * power
        result[diagonal, diagonal] = moments.variance
        return moments.mean, result

    def inner_levels(self, levels: np.ndarray) -> np.ndarray:
        """Levels (n_levels,) at which `quantiles` needs quantiles in the transformed space."""
        return levels if (self.sign > 0).all() else np.concatenate([levels, 1 - levels])

    def quantiles(self, inner: np.ndarray) -> np.ndarray:
        """Return quantiles in units of y, from those (n, n_outputs, n) at `inner_levels`."""
        values = self.invert(inner)
        if (self.sign > 0).all():
            return values
        at_level, at_opposite = np.split(values, 2, axis=-1)
        return np.where(self.sign[:, None] > 0, at_level, at_opposite)

    def log_slope(self, values: np.ndarray) -> np.ndarray:
        """Logarithm of the slope of the way back, at transformed values (n, n_outputs)."""
        step = 1e-6 * self.width  # cancellation costs about ten digits less of sixteen
        ends = (self.transformer.invert(values + side * step) for side in (1, -1))
        slope = np.abs(np.subtract(*ends)) / (2 * step)
        return np.log(np.maximum(slope, np.finfo(np.float64).tiny))

    def covering(self, y: np.ndarray) -> TransformedTarget:
        """Return this transformation with a support that holds y (n, n_outputs)."""
        copied = object.__new__(TransformedTarget)
        copied.__dict__.update(self.__dict__)
        low, high = self.support
        copied.support = (
            np.where((y < low).any(axis=0), -np.inf, low),
            np.where((y > high).any(axis=0), np.inf, high),
        )
        return copied

    def _at_nodes(
        self, mean: np.ndarray, variance: np.ndarray, skewness: ArrayLike = 1.0
    ) -> np.ndarray:
        """Values in units of y at the nodes of the quadrature, (n, n_outputs, n_nodes)."""
        nodes = Z_NODES
        if np.any(skewness != 1):
            skewness = np.broadcast_to(skewness, mean.shape[1])[:, None]
            nodes = from_normal(Z_NODES, skewness)
        return self.invert(mean[..., None] + np.sqrt(variance)[..., None] * nodes)

    def _check_way_back(self, core: np.ndarray) -> np.ndarray:
        """Return the direction of each output; raise if outputs are mixed or not monotone."""
        values = quietly(self.transformer.invert, np.linspace(core[0], core[1], N_POINTS))
        steps = np.diff(values, axis=0)
        sign = np.sign(values[-1] - values[0]) if values.shape[1] == core.shape[1] else np.zeros(1)
        if not np.isfinite(values).all() or not sign.all():
            raise ValueError("The way back to y has another number of outputs, or is not finite.")
        if np.any(sign * steps < -ROUNDING * np.ptp(values, axis=0)):
            raise ValueError("The way back to y is not monotone.")
        corners = np.tile(core[0], (len(sign), 1))
        corners[np.diag_indices(len(sign))] = core[1]
        change = np.abs(quietly(self.transformer.invert, corners) - values[0])
        if np.any(change > ROUNDING * np.ptp(values, axis=0) + np.diag(np.full(len(sign), np.inf))):
            raise ValueError("The way back to y mixes outputs.")
        return sign

    def _set_line(self, core: np.ndarray) -> np.ndarray:
        """Return which outputs have a linear way back, within a width around those of `fit`."""
        points = np.linspace(core[0] - self.width, core[1] + self.width, N_POINTS)
        values = quietly(self.transformer.invert, points)
        self._slope = (values[-1] - values[0]) / (points[-1] - points[0])
        error = np.abs(values[0] + self._slope * (points - points[0]) - values)
        return np.all(error <= ROUNDING * np.ptp(values, axis=0), axis=0)

    def _reach(self, start: np.ndarray, side: int) -> np.ndarray:
        """Return how far the way back stays monotone and finite, from ``start`` (n_outputs,)."""
        widths = np.concatenate([[0.0], np.geomspace(1e-3, MAX_WIDTHS, N_POINTS)])
        points = start + side * self.width * widths[:, None]
        columns = np.arange(len(start))
        for _ in range(N_ROUNDS):
            good = self._is_good(points, side)
            n_good = np.where(good.all(axis=0), len(good), np.argmin(good, axis=0))
            # The turn may lie before the last good point: the value there is nearer than it was.
            low = points[np.maximum(n_good - 1, 0), columns]
            high = points[np.minimum(n_good + 1, len(good)), columns]
            found = points[n_good, columns]
            points = np.linspace(np.where(good.all(axis=0), found, low), high, N_POINTS)
        return found

    def _is_good(self, points: np.ndarray, side: int) -> np.ndarray:
        """Whether the way back can take the steps between points (n_points, n_outputs)."""
        values = quietly(self.transformer.invert, points)
        with np.errstate(all="ignore"):
            steps = np.diff(points, axis=0) * side
            changes = np.diff(values, axis=0) * side * self.sign
            good = changes >= -ROUNDING * np.abs(values[1:])
            good &= np.abs(values[1:]) <= MAX_VALUE
            growth = np.diff(np.log(changes / steps), axis=0)
            limit = MAX_GROWTH * 0.5 * (steps[1:] + steps[:-1]) / self.width
            good[1:] &= ~(growth > limit)  # NaN where the way back is constant, which is good
        return good


def quietly(function: Callable[[np.ndarray], np.ndarray], values: np.ndarray) -> np.ndarray:
    """Call a function at values that may be out of its range, without warnings."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(values)


def check_transformed(values: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return transformed values of y, or raise ValueError if some are not finite."""
    bad = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if bad.any():
        raise ValueError(
            f"The teacher's transformation of y is not finite at {np.count_nonzero(bad)} of "
            f"{len(bad)} rows, such as y = {np.ravel(y[np.argmax(bad)])[0]:g}; expected finite "
            "values. Use a transformation that is defined for them: np.log1p and np.expm1, or "
            "np.sqrt and np.square, for values that may be zero; PowerTransformer for both signs. "
            "If the student is inside a TransformedTargetRegressor, give the teacher's regressor."
        )
    return values
