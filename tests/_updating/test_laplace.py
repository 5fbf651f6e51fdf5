"""Labels are those of probabilities averaged over the noise of a row."""

import numpy as np
import pytest
from scipy.special import expit, softmax

from sklearn_dlf._updating.laplace import flattening

RNG = np.random.RandomState(0)


@pytest.mark.parametrize("variance", [0.0, 1.0, 9.0, 50.0])
def test_a_share_of_the_log_odds_has_the_averaged_probability(variance):
    latent = np.linspace(-6, 6, 13)[:, None]
    share = flattening(latent, np.full((13, 1, 1), variance))
    draws = latent + np.sqrt(variance) * RNG.standard_normal((1, 20_000))
    wanted = expit(draws).mean(axis=1)
    np.testing.assert_allclose(expit(share * latent[:, 0]), wanted, atol=0.025)


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_a_share_of_several_logits_has_about_the_averaged_probabilities(scale):
    n_classes = 4
    latent = 3 * RNG.standard_normal((30, n_classes))
    latent -= latent.mean(axis=1, keepdims=True)
    root = scale * RNG.standard_normal((30, n_classes, n_classes))
    root -= root.mean(axis=1, keepdims=True)
    noise = root @ RNG.standard_normal((n_classes, 20_000))
    wanted = softmax(latent[:, :, None] + noise, axis=1).mean(axis=-1)
    share = flattening(latent, root @ root.swapaxes(1, 2))[:, None]
    error = np.abs(softmax(share * latent, axis=1) - wanted).mean()
    assert error < 0.06
    assert error <= np.abs(softmax(latent, axis=1) - wanted).mean()
