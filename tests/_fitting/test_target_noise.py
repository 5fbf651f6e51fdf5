from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_dlf._fitting import target_noise
from sklearn_dlf._fitting.target_noise import residual_rows
from sklearn_dlf._predictive.members import Moments
from sklearn_dlf._transfer.residuals import MemberResiduals

N_OWN, N_CALIBRATION, N_MEMBERS = 400, 300, 60


def rng():
    return np.random.RandomState(0)


class Members:
    """Members of a student, with a variance at rows of `fit` and another at new rows."""

    network = SimpleNamespace(takes_points=True)

    def __init__(self, own, new):
        self.own, self.new = own, new

    def moments(self, X):
        variance = np.where(X < N_OWN, self.own, self.new)
        return Moments(np.zeros_like(variance), variance)

    def points(self, X):
        return X


def make_residuals(n_calibration, variance=4.0):
    """Residuals of members with a variance, each of which has seen most rows of `fit`.

    One calibration row in ten is unlike data: members differ a hundred times as much there.
    """
    state = rng()
    n_points = N_OWN + n_calibration
    outputs = np.sqrt(variance) * state.standard_normal((n_points, 1, N_MEMBERS))
    outputs[N_OWN::10] *= 10
    unseen = state.random_sample((n_points, N_MEMBERS)) < 0.4
    points = SimpleNamespace(n_points=n_points, n_design=N_OWN)
    residuals = MemberResiduals(points, state.standard_normal((N_OWN, 1)), unseen=unseen)
    residuals.add(slice(0, n_points), outputs)
    contrasts = SimpleNamespace(mean=np.zeros((N_OWN, 1)), shape=(N_OWN, 1, N_MEMBERS))
    transfer_set = SimpleNamespace(X=np.arange(n_points)[:, None] * 1.0, contrasts=contrasts)
    return transfer_set, residuals


def test_the_spread_is_that_of_the_student_at_new_rows():
    # A student of trees learns that its members agree where they have seen the row.
    transfer_set, residuals = make_residuals(N_CALIBRATION)
    rows = residual_rows(Members(own=2.0, new=5.0), transfer_set, residuals, rng())
    assert rows.spread.mean() == pytest.approx(5.0, rel=0.05)


def test_without_calibration_rows_the_spread_is_that_at_the_rows_of_fit():
    transfer_set, residuals = make_residuals(0)
    rows = residual_rows(Members(own=2.0, new=5.0), transfer_set, residuals, rng())
    assert rows.spread.mean() == pytest.approx(2.0, rel=0.05)


def test_a_student_whose_members_agree_has_no_spread():
    transfer_set, residuals = make_residuals(N_CALIBRATION)
    assert_allclose(residual_rows(Members(2.0, 0.0), transfer_set, residuals, rng()).spread, 0.0)


def test_of_very_many_rows_some_are_chosen(monkeypatch):
    transfer_set, residuals = make_residuals(N_CALIBRATION)
    all_rows = residual_rows(Members(2.0, 5.0), transfer_set, residuals, rng())
    monkeypatch.setattr(target_noise, "MAX_ROWS", 100)
    some = residual_rows(Members(2.0, 5.0), transfer_set, residuals, rng())
    assert len(some.squares) == len(some.X) == len(some.spread) == 100
    assert np.isin(some.X, all_rows.X).all()
    assert np.ptp(some.X) > 0.9 * np.ptp(all_rows.X)  # not the first ones
    assert some.weights.mean() == pytest.approx(1.0)
