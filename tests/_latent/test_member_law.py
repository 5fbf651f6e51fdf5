"""The law of members at a row: sinh-arcsinh normals of mean zero and variance one."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.stats import norm

from sklearn_dlf._latent.member_law import MemberLaw, log_density

LAWS = [(0.0, 1.0), (0.0, 1.7), (0.8, 1.3), (-0.5, 0.6)]


def law_of(*laws):
    return MemberLaw(*np.array(laws, dtype=float).T)


@pytest.mark.parametrize(("skewness", "tail"), LAWS)
def test_the_density_has_mean_zero_and_variance_one(skewness, tail):
    def moment(power):
        def integrand(value):
            return value**power * np.exp(log_density(np.array([value]), skewness, tail)[0])

        return quad(integrand, -40, 40, points=[-1, 0, 1], limit=400)[0]

    assert_allclose([moment(0), moment(1), moment(2)], [1, 0, 1], atol=2e-6)


def test_without_skewness_and_with_a_tail_of_one_it_is_the_normal():
    values = np.linspace(-4, 4, 9)
    assert_allclose(log_density(values, 0.0, 1.0), norm.logpdf(values), atol=1e-9)
    assert_allclose(law_of((0, 1)).from_normal(values[None, None])[0, 0], values, atol=1e-9)


def test_values_come_back_and_keep_their_order():
    normal = np.linspace(-6, 6, 50) + np.zeros((3, len(LAWS), 1))
    law = law_of(*LAWS)
    values = law.from_normal(normal)
    assert np.all(np.diff(values, axis=-1) > 0)
    back, log_slope = law.to_normal(values)
    assert_allclose(back, normal, atol=1e-9)
    step = 1e-6
    slope = (law.from_normal(normal + step) - law.from_normal(normal - step)) / (2 * step)
    assert_allclose(log_slope, -np.log(slope), atol=1e-6)


def test_a_positive_skewness_has_the_longer_upper_side():
    upper, lower = law_of((0.6, 1.0)).from_normal(np.array([[[2.0, -2.0]]]))[0, 0]
    assert upper > -lower
