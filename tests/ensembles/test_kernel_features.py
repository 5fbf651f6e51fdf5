"""Random features of a kernel: the mean of their products is the kernel."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.gaussian_process.kernels import (
    RBF,
    CompoundKernel,
    ConstantKernel,
    DotProduct,
    ExpSineSquared,
    Matern,
    PairwiseKernel,
    RationalQuadratic,
    WhiteKernel,
)

from sklearn_dlf.ensembles._kernel_features import (
    UnknownSpectrumError,
    draw_features,
    sum_of_products,
)

X = np.random.default_rng(0).normal(size=(12, 2))

KERNELS = [
    RBF(0.7),
    RBF([0.5, 3.0]),
    Matern(0.8, nu=0.5),
    Matern([1.0, 0.3], nu=1.5),
    Matern(1.0, nu=2.2),
    Matern(1.0, nu=np.inf),
    RationalQuadratic(1.2, alpha=0.4),
    ConstantKernel(2.0) * RBF(1.0) + 0.5,
    DotProduct(0.5) + RBF(1.0) ** 2,
    DotProduct(1.0) ** 3,
    RBF(2.0) * Matern(1.0) * (RationalQuadratic(0.5) + DotProduct(2.0)),
]


def feature_kernel(kernel, rows, n_features):
    """Return the mean of products of features."""
    rng, total = np.random.RandomState(0), 0
    for term in sum_of_products(kernel, rows.shape[1]):
        features = draw_features(term, rows.shape[1], n_features, rng)(rows)
        total = total + features @ features.T
    return total


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_products_of_features_have_the_kernel_as_mean(kernel):
    expected = kernel(X)
    unit = np.sqrt(np.outer(expected.diagonal(), expected.diagonal()))
    # Five standard errors of 20,000 pairs of features, of which sums of signs are the noisiest.
    error = (feature_kernel(kernel, X, 40_000) - expected) / unit
    assert_allclose(error, 0, atol=5 * 2 / np.sqrt(20_000))


@pytest.mark.parametrize(
    "kernel", [ExpSineSquared(0.5, 2.0), ExpSineSquared(1.5, 0.7) * RBF(2.0)], ids=str
)
def test_periodic_kernels_of_one_column_have_features(kernel):
    rows = X[:, :1]
    assert_allclose(feature_kernel(kernel, rows, 40_000), kernel(rows), atol=0.05)


def test_white_noise_is_no_part_of_the_function():
    kernel = RBF(1.0) * (0.5 + WhiteKernel(3.0)) + WhiteKernel(2.0)
    [term] = sum_of_products(kernel, 2)
    assert term.variance == 0.5


def test_features_of_few_dot_products_are_exact():
    kernel = ConstantKernel(3.0) * DotProduct(0.5) ** 2
    assert_allclose(feature_kernel(kernel, X, 1000), kernel(X), rtol=1e-12)


class OtherKernel(RBF):
    """A kernel of its own, which is no RBF kernel any more."""


@pytest.mark.parametrize(
    "kernel",
    [
        PairwiseKernel(metric="rbf"),
        CompoundKernel([RBF(1.0), RBF(2.0)]),
        OtherKernel(1.0),
        RBF(1.0) ** 0.5,
        ExpSineSquared(1.0, 1.0),  # of two columns
        (RBF(1.0) + 1.0) ** 6,
    ],
    ids=str,
)
def test_kernels_without_known_features_are_refused(kernel):
    with pytest.raises(UnknownSpectrumError):
        sum_of_products(kernel, 2)


def test_high_frequencies_are_drawn_more_often_than_they_weigh():
    rng = np.random.RandomState(0)
    [term] = sum_of_products(RBF(1.0), 1)
    waves = draw_features(term, 1, 2000, rng)
    # frequencies from the phases at two near rows, and weights from the sums of squares
    first, second = waves(np.array([[0.0], [1e-4]]))
    weights = first[:1000] ** 2
    frequencies = np.abs(second[1000:] / np.sqrt(weights)) * 1e4
    assert np.mean(frequencies > 3) > 0.1
    assert weights[frequencies > 3].sum() < 0.02
    assert_allclose(weights.sum(), 1.0, rtol=1e-12)
