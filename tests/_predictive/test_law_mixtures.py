"""The distribution of y around members whose law is not Gaussian."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm

from sklearn_dlf._predictive.law_mixtures import mixture_log_density, mixture_quantiles
from sklearn_dlf._predictive.scale_mixture import node_weights

rng = np.random.RandomState(0)
N_NODES = len(node_weights())
OFFSETS = np.concatenate([rng.normal(-5, 0.3, (4, 10)), rng.normal(5, 0.3, (4, 10))], axis=1)
CONSTANT = np.full((4, N_NODES), 0.5)
# standard deviations that are smooth in the score of the noise, as those of inverse gamma variables
SPREAD = np.tile(np.exp(np.linspace(-0.8, 0.8, N_NODES)), (4, 1))


@pytest.mark.parametrize("std", [CONSTANT, SPREAD])
def test_quantiles_are_those_of_the_mixture(std):
    levels = [0.001, 0.05, 0.3, 0.5, 0.7, 0.999]
    quantiles = mixture_quantiles(OFFSETS, std, levels)
    scaled = (quantiles[:, :, None, None] - OFFSETS[:, None, :, None]) / std[:, None, None]
    reached = (norm.cdf(scaled) @ node_weights()).mean(axis=-1)
    assert_allclose(reached, np.tile(levels, (4, 1)), atol=1e-6)


@pytest.mark.parametrize("std", [CONSTANT, SPREAD])
def test_densities_are_those_of_the_mixture(std):
    values = np.array([-5.0, 0.0, 4.0, 9.0])
    scaled = (values[:, None] - OFFSETS)[..., None] / std[:, None]
    densities = ((norm.pdf(scaled) / std[:, None]) @ node_weights()).mean(axis=-1)
    assert_allclose(mixture_log_density(values, OFFSETS, std), np.log(densities), rtol=1e-6)


def test_members_without_offsets_are_gaussian():
    quantiles = mixture_quantiles(np.zeros((4, 3)), CONSTANT, [0.05, 0.95])
    assert_allclose(quantiles, 0.5 * np.tile(norm.ppf([0.05, 0.95]), (4, 1)), rtol=1e-6)
