import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_diabetes

from sklearn_dlf.ensembles import DeepEnsembleRegressor
from sklearn_dlf.ensembles._deep.left_out import LeftOutLosses


@pytest.fixture
def losses():
    """Losses (n_epochs, n_members, n_held_out)."""
    return np.random.RandomState(0).uniform(1, 2, size=(6, 3, 5))


def test_optimism_is_that_of_epochs_chosen_without_the_row(losses):
    weights = np.random.RandomState(1).uniform(0.5, 2, size=(3, 5))
    weights[0, 4] = 0.0  # padding
    left_out = LeftOutLosses(weights)
    for epoch in losses:
        left_out.update(np.arange(3), epoch)
    lowest, expected = np.empty(3), np.empty(3)
    for member in range(3):
        own, weight = losses[:, member], weights[member]
        lowest[member] = (own @ weight).min() / weight.sum()
        others = [own[:, np.arange(5) != i] @ weight[np.arange(5) != i] for i in range(5)]
        chosen = [own[other.argmin(), i] for i, other in enumerate(others)]
        expected[member] = chosen @ weight / weight.sum()
    assert_allclose(left_out.optimism(lowest), expected.mean() / lowest.mean())
    assert expected.mean() > lowest.mean()


def test_members_that_have_stopped_keep_their_losses(losses):
    weights = np.ones((3, 5))
    left_out, alone = LeftOutLosses(weights), LeftOutLosses(weights[:1])
    left_out.update(np.arange(3), losses[0])
    alone.update(np.array([0]), losses[0, :1])
    left_out.update(np.array([1, 2]), losses[1, 1:] / 9)
    lowest = np.array([losses[0, 0].mean(), 1e-9, 1e-9])
    assert left_out.optimism(lowest) > 1
    assert_allclose(left_out._losses[0], alone._losses[0])


def test_one_held_out_row_tells_nothing():
    left_out = LeftOutLosses(np.ones((2, 1)))
    left_out.update(np.arange(2), np.array([[5.0], [6.0]]))
    left_out.update(np.arange(2), np.array([[1.0], [2.0]]))
    assert left_out.optimism(np.array([1.0, 2.0])) == 1.0


def test_only_early_stopping_is_optimistic():
    X, y = load_diabetes(return_X_y=True)
    stopped = DeepEnsembleRegressor(5, random_state=0).fit(X[:200], y[:200])
    whole = DeepEnsembleRegressor(5, early_stopping=False, max_iter=2, random_state=0)
    assert 1.02 < stopped.optimism_ < 1.3
    assert whole.fit(X[:200], y[:200]).optimism_ == 1.0
