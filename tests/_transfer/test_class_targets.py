import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import entropy

from sklearn_dlf._transfer.class_targets import ClassTargets
from sklearn_dlf._transfer.design_points import Points


@pytest.mark.parametrize("n_block", [7, 20, 33, 60])
def test_probabilities_are_averaged_and_entropies_kept_at_calibration_rows(n_block):
    members = np.random.RandomState(0).dirichlet([2, 2, 2], size=(60, 10)).swapaxes(1, 2)
    targets = ClassTargets(Points(np.empty((60, 1)), 33, 33), "probabilities", 1e-6)
    latent = [
        targets.add(slice(start, min(start + n_block, 60)), members[start : start + n_block])
        for start in range(0, 60, n_block)
    ]
    logs = np.log(members)
    assert_allclose(np.concatenate(latent), logs - logs.mean(axis=1, keepdims=True))
    assert_allclose(targets.probabilities, members.mean(axis=-1), rtol=1e-6)
    assert_allclose(targets.entropy, entropy(members[33:], axis=1).mean(axis=-1))
