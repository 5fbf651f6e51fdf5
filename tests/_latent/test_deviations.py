"""Deviations of members and their covariance, against the dense reference."""

from types import SimpleNamespace

import naive
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from sklearn_dlf import DLFRegressor
from sklearn_dlf._latent.deviations import draw_deviations
from sklearn_dlf._latent.process import Process
from sklearn_dlf._latent.row_correlation import RowCorrelation
from sklearn_dlf.datasets import make_dlf_ensemble

N_ROWS = 7


@pytest.fixture(scope="module", params=["full", "separable"])
def fitted(request):
    """A student with two outputs, rows, and its dense loadings (n_rows * n_outputs, any number)."""
    data = make_dlf_ensemble(60, n_outputs=2, n_members=12, random_state=0)
    params = {"hidden_layer_sizes": (8,), "n_epochs": 2, "tol": 1.0, "random_state": 0}
    student = DLFRegressor(q=3, loadings=request.param, **params)
    student.fit(data.X, predictions=data.predictions)
    # The members' noise is independent. Here it gets a correlation of about -0.5.
    student.student_.noise_head.bias.add_(torch.tensor([1.0, -1.0]))
    # So that rows have nothing but factors in common, as in the dense model.
    student.student_.set_process(Process(np.ones(3), RowCorrelation(), 0.0))
    parameters = student.latent_parameters(data.X[:N_ROWS])
    if request.param == "full":
        loadings = parameters.loadings.reshape(-1, 3)
    else:
        loadings = naive.separable_loadings(parameters.mixing, parameters.loadings)
    return student, data.X[:N_ROWS], parameters, loadings


def unit_draws(n_latent, n_noise):
    """Stand for a random state that returns unit vectors: one draw for each normal variable.

    Draws are linear in the normal variables. The deviations times their transpose are therefore the
    covariance.
    """
    identity = np.eye(n_latent + n_noise)
    parts = iter([identity[:n_latent], identity[n_latent:]])
    return SimpleNamespace(standard_normal=lambda shape: next(parts).reshape(shape).copy())


def dense_covariance(parameters, loadings):
    """Covariance of one member at all entries, whose noise is correlated over outputs."""
    correlation = parameters.noise_correlation
    assert (correlation[:, 0, 1] < -0.2).all()
    return naive.covariance(loadings, np.square(parameters.member_std).ravel(), correlation)


def test_draws_have_exactly_the_covariance_of_the_dense_model(fitted):
    student, X, parameters, loadings = fitted
    n_latent, n_noise = loadings.shape[1], N_ROWS * 3  # the outputs' own noise, and one factor's
    draws = student._members.draw(
        student._standardised_rows(X), n_latent + n_noise, unit_draws(n_latent, n_noise)
    )
    deviations = (draws - parameters.mean[..., None]).reshape(len(loadings), -1)
    expected = dense_covariance(parameters, loadings)
    assert_allclose(deviations @ deviations.T, expected, rtol=1e-6, atol=1e-6 * expected.max())


def test_deviations_of_unit_latent_variables_are_the_dense_loadings(fitted):
    _, _, parameters, loadings = fitted
    mixing = parameters.get("mixing")
    q = parameters.loadings.shape[-1]
    latent = np.eye(loadings.shape[1])
    if mixing is None:
        deviations = draw_deviations(parameters.loadings, None, latent)
    else:
        deviations = draw_deviations(parameters.loadings[:, None], mixing, latent.reshape(2, q, -1))
    assert_allclose(deviations.reshape(loadings.shape), loadings, rtol=1e-12)


def test_squared_std_and_covariance_are_those_of_the_dense_model(fitted):
    student, X, parameters, loadings = fitted
    dense = dense_covariance(parameters, loadings)
    blocks = np.einsum("ncnd->ncd", dense.reshape(N_ROWS, 2, N_ROWS, 2))
    assert_allclose(parameters.member_cov, blocks, rtol=1e-6, atol=1e-9)
    dense = dense.reshape(N_ROWS, 2, N_ROWS, 2)
    _, cov = student.predict(X, return_cov=True)
    assert_allclose(cov, np.diagonal(dense, axis1=1, axis2=3), rtol=1e-6, atol=1e-9)
    _, std = student.predict(X, return_std=True)
    assert_allclose(std**2, np.einsum("ncnc->nc", dense), rtol=1e-6)
