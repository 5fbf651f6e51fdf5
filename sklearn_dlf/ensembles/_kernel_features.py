"""Random features of a kernel: functions whose weighted sums are draws of a Gaussian process.

A kernel of scikit-learn is written as a sum of products. The factors of a product are stationary
kernels, each the mean of ``cos(w (x - x'))`` over frequencies ``w`` of a known distribution
[Rahimi2007], and kernels of dot products, which have finitely many features.

References
----------
.. [Rahimi2007] Rahimi, Recht. "Random features for large-scale kernel machines". NeurIPS 2007.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ive, logsumexp, softmax
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    Exponentiation,
    ExpSineSquared,
    Matern,
    Product,
    RationalQuadratic,
    Sum,
    WhiteKernel,
)

#: Most products in the sum that a kernel is written as. A choice: each has features of its own.
_MAX_TERMS = 16

#: Multiples of its base frequency that a periodic kernel may have. Their share of the variance
#: falls faster than exponentially beyond ``1 / length_scale``.
_N_HARMONICS = 1000

#: Frequencies are drawn from a mixture: this many standard deviations beyond those of the kernel's
#: own distribution, by these shares. A choice, see `_draw_frequencies`.
_WIDER, _WIDER_SHARES = (0.0, 2.0, 4.0), (0.5, 0.25, 0.25)

#: Takes rows (n, n_features) and returns features (n, n_features of the kernel).
Features = Callable[[np.ndarray], np.ndarray]


class UnknownSpectrumError(Exception):
    """A kernel whose features are not known."""


class Term(NamedTuple):
    """One product of the sum that a kernel is.

    Attributes
    ----------
    variance : float
        Product of its constants.
    stationary : tuple of kernels
        Factors that depend on ``x - x'`` only, one at ``x = x'``.
    offsets : tuple of float
        ``sigma_0`` of each factor ``sigma_0^2 + x x'``.
    """

    variance: float
    stationary: tuple[Any, ...] = ()
    offsets: tuple[float, ...] = ()

    def times(self, other: Term) -> Term:
        """Return the product of two."""
        return Term(
            self.variance * other.variance,
            self.stationary + other.stationary,
            self.offsets + other.offsets,
        )


def sum_of_products(kernel: Any, n_features: int) -> list[Term]:
    """Return a kernel of rows (n, n_features) without its white noise, as a sum of products.

    Raises
    ------
    UnknownSpectrumError
        If the features of a part are not known. Subclasses of scikit-learn's kernels may be other
        kernels, and count as unknown.
    """
    kind = type(kernel)
    if kind is WhiteKernel:
        return []
    if kind is ConstantKernel:
        return [Term(float(kernel.constant_value))]
    if kind is DotProduct:
        return [Term(1.0, offsets=(float(kernel.sigma_0),))]
    # Of rows with several columns, the kernel of their Euclidean distance may be none.
    is_periodic = kind is ExpSineSquared and n_features == 1
    if kind in _SPREADS or (is_periodic and kernel.length_scale > 10 / _N_HARMONICS):
        return [Term(1.0, (kernel,))]
    if kind is Sum:
        terms = sum_of_products(kernel.k1, n_features) + sum_of_products(kernel.k2, n_features)
    elif kind is Product:
        factors = [sum_of_products(part, n_features) for part in (kernel.k1, kernel.k2)]
        terms = [first.times(second) for first, second in product(*factors)]
    elif kind is Exponentiation and float(kernel.exponent).is_integer() and kernel.exponent > 0:
        base = sum_of_products(kernel.kernel, n_features)
        terms = base
        for _ in range(int(kernel.exponent) - 1):
            terms = [first.times(second) for first, second in product(terms, base)]
            _check_number(terms)
    else:
        raise UnknownSpectrumError(str(kernel))
    _check_number(terms)
    return terms


def _check_number(terms: list[Term]) -> None:
    """Raise if a kernel is the sum of too many products."""
    if len(terms) > _MAX_TERMS:
        raise UnknownSpectrumError(f"{len(terms)} products")


def draw_features(
    term: Term, n_columns: int, n_most: int, random_state: np.random.RandomState
) -> Features:
    """Draw features of a term, of which the mean of ``f(x) f(x')`` is the kernel.

    There are up to ``n_most``. They are exact if the term is a product of few dot products.
    """
    if term.stationary:
        n_pairs = n_most // 2
        frequencies, weights = _draw_frequencies(term.stationary, n_columns, n_pairs, random_state)
        linear = _signed_sums(term.offsets, n_columns, n_pairs, random_state)
        roots = np.sqrt(term.variance * weights)

        def waves(X):
            phases = X @ frequencies
            amplitudes = roots * linear(X)
            return np.hstack([amplitudes * np.cos(phases), amplitudes * np.sin(phases)])

        return waves
    if (n_columns + 1) ** len(term.offsets) <= n_most:
        return lambda X: np.sqrt(term.variance) * _monomials(X, term.offsets)
    linear = _signed_sums(term.offsets, n_columns, n_most, random_state)
    return lambda X: np.sqrt(term.variance / n_most) * linear(X)


def _monomials(X: np.ndarray, offsets: tuple[float, ...]) -> np.ndarray:
    """Return the features of a product of dot products, (n, (n_columns + 1) ** len(offsets))."""
    features = np.ones((len(X), 1))
    for offset in offsets:
        factor = np.column_stack([X, np.full(len(X), offset)])
        features = (features[:, :, None] * factor[:, None]).reshape(len(X), -1)
    return features


def _signed_sums(
    offsets: tuple[float, ...], n_columns: int, n_sums: int, random_state: np.random.RandomState
) -> Features:
    """Return products of sums of columns with random signs, whose covariance is the kernel."""
    signs = [random_state.choice([-1.0, 1.0], size=(n_columns + 1, n_sums)) for _ in offsets]

    def products(X):
        features = np.ones((len(X), n_sums))
        for offset, sign in zip(offsets, signs, strict=True):
            features *= X @ sign[:-1] + offset * sign[-1]
        return features

    return products


def _draw_frequencies(
    kernels: tuple[Any, ...], n_columns: int, n: int, random_state: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Draw frequencies (n_columns, n) of a product of stationary kernels, with weights (n,).

    Weights sum to one. High frequencies are drawn too often, and weigh less. A process without
    noise has learnt all low ones from its rows: what it does not know is in the high ones.
    """
    n_normal = n_columns * sum(type(kernel) is not ExpSineSquared for kernel in kernels)
    scales, shares = np.ones(1), np.ones(1)
    if n_normal:
        scales, shares = 1 + np.array(_WIDER) / np.sqrt(n_normal), np.array(_WIDER_SHARES)
    widths = random_state.choice(scales, size=n, p=shares)
    total, squares = np.zeros((n_columns, n)), np.zeros(n)
    for kernel in kernels:
        if type(kernel) is ExpSineSquared:
            total += _harmonics(kernel, n, random_state)
            continue
        normal = widths * random_state.standard_normal((n_columns, n))
        squares += np.square(normal).sum(axis=0)
        total += _SPREADS[type(kernel)](kernel, n, random_state) * (
            normal / np.broadcast_to(kernel.length_scale, n_columns)[:, None]
        )
    # Standard normal numbers have the density of those that were drawn, times these weights.
    excess = 1 - scales[:, None] ** -2
    log_ratios = 0.5 * squares * excess - n_normal * np.log(scales[:, None])
    return total, softmax(-logsumexp(log_ratios, b=shares[:, None], axis=0))


def _harmonics(kernel: Any, n: int, random_state: np.random.RandomState) -> np.ndarray:
    """Draw frequencies of a periodic kernel of one column: multiples of one, a Fourier series."""
    # exp(-2 sin(t / 2)^2 / l^2) = exp((cos t - 1) / l^2), a sum of Bessel functions times cosines
    share = ive(np.arange(_N_HARMONICS), 1 / kernel.length_scale**2)
    share[1:] *= 2
    multiples = random_state.choice(_N_HARMONICS, size=(1, n), p=share / share.sum())
    return 2 * np.pi / kernel.periodicity * multiples


def _matern_spreads(kernel: Any, n: int, random_state: np.random.RandomState) -> Any:
    """Draw what makes normal frequencies those of Student's t with ``2 nu`` degrees of freedom."""
    if np.isinf(kernel.nu):
        return 1.0
    return 1 / np.sqrt(random_state.gamma(kernel.nu, 1 / kernel.nu, size=n))


def _quadratic_spreads(kernel: Any, n: int, random_state: np.random.RandomState) -> Any:
    """Draw the inverse length scales of the RBF kernels of which this one is a mixture."""
    return np.sqrt(random_state.gamma(kernel.alpha, 1 / kernel.alpha, size=n))


#: Spreads of the frequencies of a kernel, relative to those of an RBF kernel.
_SPREADS: dict[type, Callable[..., Any]] = {
    RBF: lambda kernel, n, random_state: 1.0,
    Matern: _matern_spreads,
    RationalQuadratic: _quadratic_spreads,
}
