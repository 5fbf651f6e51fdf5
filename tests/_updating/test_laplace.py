"""Labels are those of probabilities averaged over the noise of a row."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit, softmax

from sklearn_dlf._updating.laplace import average_latent, flattening, share_between


@pytest.mark.parametrize("variance", [0.0, 1.0, 9.0, 50.0])
def test_a_share_of_the_log_odds_has_the_averaged_probability(variance):
    rng, latent = np.random.RandomState(0), np.linspace(-6, 6, 13)[:, None]
    share = flattening(latent, np.full((13, 1, 1), variance))
    draws = latent + np.sqrt(variance) * rng.standard_normal((1, 20_000))
    wanted = expit(draws).mean(axis=1)
    np.testing.assert_allclose(expit(share * latent[:, 0]), wanted, atol=0.025)


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_a_share_of_several_logits_has_about_the_averaged_probabilities(scale):
    n_classes, rng = 4, np.random.RandomState(0)
    latent = 3 * rng.standard_normal((200, n_classes))
    latent -= latent.mean(axis=1, keepdims=True)
    root = scale * rng.standard_normal((200, n_classes, n_classes))
    root -= root.mean(axis=1, keepdims=True)
    noise = root @ rng.standard_normal((n_classes, 5_000))
    wanted = softmax(latent[:, :, None] + noise, axis=1).mean(axis=-1)
    share = flattening(latent, root @ root.swapaxes(1, 2))[:, None]
    error = np.abs(softmax(share * latent, axis=1) - wanted).mean()
    assert error < 0.065
    assert error <= np.abs(softmax(latent, axis=1) - wanted).mean()


@pytest.mark.parametrize("n_outputs", [1, 2, 4])
def test_averaged_latent_outputs_have_the_averaged_probabilities(n_outputs):
    rng = np.random.RandomState(0)
    latent = rng.standard_normal((5, n_outputs)) * 2
    roots = rng.standard_normal((5, n_outputs, n_outputs)) * 2
    covariance = roots @ roots.swapaxes(1, 2)
    draws = latent[..., None] + roots @ rng.standard_normal((5, n_outputs, 20_000))
    found = average_latent(latent, covariance)
    if n_outputs == 1:
        assert_allclose(expit(found), expit(draws).mean(axis=-1), atol=0.01)
    else:
        assert_allclose(softmax(found, axis=1), softmax(draws, axis=1).mean(axis=-1), atol=0.04)
        order = np.arange(n_outputs)[::-1]
        permuted = average_latent(latent[:, order], covariance[:, order][:, :, order])
        assert_allclose(permuted, found[:, order], atol=1e-8)
    nothing = average_latent(latent, np.zeros_like(covariance))
    centre = latent.mean(axis=1, keepdims=True) if n_outputs > 1 else 0.0
    assert_allclose(nothing, latent - centre, atol=1e-6)


def test_a_change_that_takes_two_classes_to_zero_takes_the_averaged_ones_there():
    latent = np.array([[-7.0], [-2.0], [0.0], [3.0], [40.0]])
    covariance = np.full((5, 1, 1), 9.0)
    flat, share = average_latent(latent, covariance), flattening(latent, covariance)[:, None]
    between = share_between(latent, flat, share)
    assert_allclose(between * latent, flat, atol=0.01)
    assert_allclose(between[2], share[2])
