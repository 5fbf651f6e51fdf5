"""Tests of the process that a student's members are draws of."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from sklearn_dlf._latent import member_process as module
from sklearn_dlf._latent.member_process import MemberFunctions
from sklearn_dlf._latent.row_correlation import RowCorrelation
from sklearn_dlf._network.heads import Heads, Units
from sklearn_dlf._predictive.members import split_process

N_ROWS, Q = 7, 4
X = np.random.RandomState(1).standard_normal((N_ROWS, 2))
CORRELATION = RowCorrelation(0.8, 1.5)


def make_process(n_outputs, separable, shares=(1.0, 0.7, 0.2, 0.0)):
    rng = np.random.RandomState(0)
    heads = Heads(
        mean=rng.standard_normal((N_ROWS, n_outputs)),
        log_noise=rng.standard_normal((N_ROWS, n_outputs)),
        loadings=rng.standard_normal((N_ROWS, 1 if separable else n_outputs, Q)),
        mixing=rng.standard_normal((n_outputs, n_outputs)) if separable else None,
        noise_shares=rng.uniform(0, 0.5, (N_ROWS, n_outputs, 2)) if n_outputs > 1 else None,
    )
    units = Units(np.zeros(n_outputs), np.ones(n_outputs), np.linspace(1, 2, n_outputs))
    return heads, units, split_process(heads, units, np.array(shares))


CASES = [(1, False), (3, False), (3, True)]


@pytest.mark.parametrize(("n_outputs", "separable"), CASES)
def test_variance_at_a_row_is_that_of_the_heads(n_outputs, separable):
    heads, units, process = make_process(n_outputs, separable)
    whole = split_process(heads, units, np.ones(Q))
    assert_allclose(process.output_covariance, whole.output_covariance, rtol=1e-12)


@pytest.mark.parametrize(("n_outputs", "separable"), CASES)
def test_draws_have_the_covariances(n_outputs, separable):
    _, _, process = make_process(n_outputs, separable)
    latent_shape = (n_outputs, Q) if separable else (Q,)
    rng = np.random.RandomState(0)
    functions = MemberFunctions(latent_shape, CORRELATION, 8_000, rng)
    draws = functions.evaluate(process, X)
    std = np.sqrt(np.einsum("ncc->nc", process.output_covariance))
    between_rows = process.row_covariance(CORRELATION, X)
    for output in range(n_outputs):
        found, unit = np.cov(draws[:, output]), std[:, output]
        wanted = between_rows[..., output]
        assert_allclose(found / unit / unit[:, None], wanted / unit / unit[:, None], atol=0.07)
    for row in range(N_ROWS):
        unit = std[row]
        found, wanted = np.cov(draws[row]), process.output_covariance[row]
        assert_allclose(found / unit / unit[:, None], wanted / unit / unit[:, None], atol=0.07)


def test_covariance_of_a_row_with_itself_is_its_variance():
    _, _, process = make_process(3, False)
    covariance = process.row_covariance(CORRELATION, X)
    variance = np.einsum("ncc->nc", process.output_covariance)
    assert_allclose(np.einsum("nnc->nc", covariance), variance, rtol=1e-12)


def test_common_part_alone_belongs_to_all_rows():
    _, _, process = make_process(1, False)
    covariance = process.row_covariance(RowCorrelation(0.0), X)[..., 0]
    off = ~np.eye(N_ROWS, dtype=bool)
    loadings = process.loadings[:, 0]
    assert_allclose(covariance[off], (loadings @ loadings.T)[off], rtol=1e-12)


def test_likelihood_is_the_dense_density_of_one_block():
    _, _, process = make_process(1, False)
    members = process.mean[..., None] + np.random.RandomState(3).standard_normal((N_ROWS, 1, 5))
    covariance = process.row_covariance(CORRELATION, X)[..., 0]
    density = multivariate_normal(process.mean[:, 0], covariance)
    wanted = density.logpdf(members[:, 0].T).mean() / N_ROWS
    assert_allclose(process.log_likelihood(members, CORRELATION, X), wanted, rtol=1e-5)


def test_likelihood_of_several_outputs_has_their_covariance_at_a_row():
    _, _, process = make_process(3, False)
    members = process.mean[..., None] + np.random.RandomState(3).standard_normal((N_ROWS, 3, 5))
    one = process._replace(**{k: v[:1] for k, v in process._asdict().items() if v is not None})
    density = multivariate_normal(one.mean[0], one.output_covariance[0])
    wanted = density.logpdf(members[0].T).mean() / 3
    assert_allclose(one.log_likelihood(members[:1], CORRELATION, X[:1]), wanted, rtol=1e-5)


def test_blocks_are_independent_without_correlation(monkeypatch):
    _, _, process = make_process(3, False)
    members = process.mean[..., None] + np.random.RandomState(3).standard_normal((N_ROWS, 3, 5))
    whole = process.log_likelihood(members, RowCorrelation(), X)
    monkeypatch.setattr(module, "BLOCK_ENTRIES", 6)
    assert_allclose(process.log_likelihood(members, RowCorrelation(), X), whole, rtol=1e-10)


def test_likelihood_is_finite_at_rows_that_recur():
    _, _, process = make_process(1, False)
    members = process.mean[..., None] + np.random.RandomState(3).standard_normal((N_ROWS, 1, 5))
    twice = process._replace(
        **{k: np.repeat(v, 2, axis=0) for k, v in process._asdict().items() if v is not None}
    )
    smooth = RowCorrelation(1.0, 1.5)
    likelihood = twice.log_likelihood(members.repeat(2, axis=0), smooth, X.repeat(2, axis=0))
    assert np.isfinite(likelihood)
