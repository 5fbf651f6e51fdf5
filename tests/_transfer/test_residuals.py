import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_dlf._transfer.residuals import MemberResiduals


def test_residuals_are_those_of_rows_that_a_member_did_not_see():
    y = np.zeros((4, 1))
    outputs = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [4.0, 4.0]])[:, None, :]
    unseen = np.array([[True, False], [True, False], [False, False], [False, False]])
    residuals = MemberResiduals(y, None, unseen)
    for rows in (slice(0, 1), slice(1, 4)):
        assert_array_equal(residuals.add(rows, outputs[rows]), outputs[rows])
    # The second member saw all rows, so that all have to serve.
    assert_allclose(residuals.variances(), [[(1 + 4) / 2], [(1 + 4 + 9 + 16) / 4]])
    assert_allclose(residuals.mean[:, 0], [1, 2, 3, 4])


def test_residuals_are_weighted():
    residuals = MemberResiduals(np.zeros((2, 1)), np.array([3.0, 1.0]), None)
    residuals.add(slice(0, 2), np.array([[[1.0, 1.0]], [[2.0, 3.0]]]))
    assert_allclose(residuals.variances(), [[(3 + 4) / 4], [(3 + 9) / 4]])


def test_spread_is_not_counted_twice_on_unseen_rows():
    # Truth and members are draws of one distribution, of variance 1; y has noise of variance 0.5.
    rng = np.random.RandomState(0)
    truth, outputs = rng.standard_normal((20_000, 1)), rng.standard_normal((20_000, 1, 30))
    y = truth + np.sqrt(0.5) * rng.standard_normal((20_000, 1))
    residuals = MemberResiduals(y, None, np.ones((20_000, 30), dtype=bool))
    for rows in (slice(0, 7000), slice(7000, 20_000)):
        residuals.add(rows, outputs[rows])
    noise = residuals.variances()
    assert noise.shape == (30, 1)
    assert_allclose(noise.mean(), 0.5, rtol=0.1)
    error_of_mean = np.mean((y - outputs.mean(axis=-1)) ** 2)
    spread = outputs.var(axis=-1, ddof=1).mean()
    assert_allclose(noise.mean() + spread * (1 + 1 / 30), error_of_mean, rtol=0.01)


def test_noise_stays_positive_if_spread_explains_all_residuals():
    rng = np.random.RandomState(0)
    outputs = rng.standard_normal((500, 1, 10))
    residuals = MemberResiduals(outputs.mean(axis=-1), None, np.ones((500, 10), dtype=bool))
    residuals.add(slice(0, 500), outputs)
    raw = (outputs - outputs.mean(axis=-1, keepdims=True)).var(axis=0).T
    assert_allclose(residuals.variances(), 0.05 * raw, rtol=0.01)
