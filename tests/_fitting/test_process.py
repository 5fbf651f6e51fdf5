"""Rows that tell how members vary together, and what all rows of a member have in common."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from sklearn_dlf import DLFRegressor
from sklearn_dlf._fitting.process import N_NEIGHBORS, N_ROWS, _choose_rows
from sklearn_dlf.ensembles import FittedEnsemble, parameter_draws

OPTIONS = {"q": 3, "hidden_layer_sizes": (20,), "tol": 0.1, "random_state": 0}


def spread_of_mean(student, X):
    return student.sample_predictions(X, 2_000, random_state=0).mean(axis=0).std()


def test_sums_of_a_linear_posterior_are_as_uncertain_as_its_draws():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((400, 3))
    coefficients = np.array([[2.0], [1.0], [0.0]]) + rng.standard_normal((3, 300))
    student = DLFRegressor(**OPTIONS).fit(X, predictions=X @ coefficients)
    new = rng.standard_normal((300, 3))
    exact = np.sqrt(np.square(new.mean(axis=0)).sum())
    assert spread_of_mean(student, new) == pytest.approx(exact, rel=0.2)


def smooth_posterior(n_columns, n_draws):
    """Rows, draws of a posterior of waves, and its covariance at rows."""
    rng = np.random.RandomState(0)
    waves = rng.standard_normal((n_columns, 40))

    def basis(X):
        return np.cos(X @ waves + np.arange(40)) / np.sqrt(40)

    weights = rng.standard_normal((n_draws, 40))
    draws = parameter_draws(lambda weight, X: basis(X) @ weight, weights)
    return rng.uniform(-1, 1, (200, n_columns)), draws, lambda X: basis(X) @ basis(X).T


@pytest.mark.parametrize("q", [4, 30])
def test_draws_from_a_posterior_are_as_uncertain_of_a_mean_over_rows(q):
    """Draws have seen no rows, so that a spread of means that is too large is mended."""
    X, draws, covariance = smooth_posterior(2, 300)
    student = DLFRegressor(draws, **{**OPTIONS, "q": q}).fit(X)
    new = np.random.RandomState(1).uniform(-1, 1, (300, 2))
    exact = np.sqrt(covariance(new).mean())
    assert spread_of_mean(student, new) == pytest.approx(exact, rel=0.2)


@pytest.mark.parametrize("n_draws", [100, 1_000])
def test_draws_from_a_posterior_are_functions_of_the_row(n_draws):
    """Slopes over a tiny step are those over a small one, and of the posterior's size."""
    X, draws, covariance = smooth_posterior(4, n_draws)
    student = DLFRegressor(draws, **{**OPTIONS, "q": 3}).fit(X)
    assert student.row_correlation_.share == 1
    new, spreads = 0.8 * X[:50], []
    for step in (1e-3, 1e-1):
        ends = np.concatenate([new, new + step * np.eye(4)[0]])
        first, second = np.split(student.sample_predictions(ends, 200, random_state=0), 2)
        spreads.append(((second - first) / step).std(axis=1).mean())
    near = covariance(ends)
    exact = (np.diag(near)[:50] + np.diag(near)[50:] - 2 * np.diag(near[:50, 50:])) / step**2
    assert spreads[0] == pytest.approx(spreads[1], rel=0.3)
    assert 0.5 < spreads[1] / np.sqrt(exact).mean() < 2


def test_a_default_of_too_few_factors_for_a_posterior_is_told():
    X, draws, _ = smooth_posterior(6, 100)
    brief = {"hidden_layer_sizes": (8,), "n_epochs": 1, "tol": 10.0, "augment": None}
    with pytest.warns(UserWarning, match=r"q=10 factors hold \d+% of the variance"):
        DLFRegressor(draws, **brief).fit(X)
    for q in (9, 40, "auto"):  # the user's own choice, such as in a search
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            DLFRegressor(draws, q=q, **brief).fit(X)


def test_are_draws_makes_functions_draws_from_a_posterior():
    rng = np.random.RandomState(0)
    X, slopes = rng.standard_normal((100, 20)), rng.standard_normal((2, 20, 50))

    def draw(rows):
        return np.einsum("ij,kjm->ikm", rows * [[1.0, 0.0] * 10], slopes)

    brief = {"hidden_layer_sizes": (8,), "n_epochs": 1, "tol": 10.0, "augment": None}
    options = {"outputs": "values", "n_members": 50}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DLFRegressor(**brief).fit(X, ensemble=FittedEnsemble(draw, **options))
    with pytest.warns(UserWarning, match=r"q=10 factors hold \d+% .*draws of the posterior"):
        DLFRegressor(**brief).fit(X, ensemble=FittedEnsemble(draw, **options, are_draws=True))


@pytest.mark.parametrize("size", [0.0, 0.12])
def test_a_little_that_all_rows_have_in_common_is_found(size):
    rng = np.random.RandomState(1)
    X = rng.standard_normal((600, 2))
    offsets = rng.standard_normal(20)
    offsets = size * (offsets - offsets.mean()) / offsets.std()
    predictions = np.sin(X[:, :1]) + rng.standard_normal((600, 20)) + offsets
    student = DLFRegressor(**OPTIONS, augment=None).fit(X, predictions=predictions)
    own = predictions.mean(axis=0).std(ddof=1)
    assert spread_of_mean(student, X) == pytest.approx(own, rel=0.4)
    assert (student.row_correlation_.common > 0.003) == (size > 0)


def choose_rows(X, n_own):
    contrasts = SimpleNamespace(variance=np.ones((len(X), 1)), weights=np.ones(len(X)))
    return _choose_rows(X, contrasts, np.array([True]), np.random.RandomState(0), n_own)


def typical_distance(X):
    distances, _ = NearestNeighbors(n_neighbors=1).fit(X).kneighbors()
    return np.median(distances)


def test_members_are_compared_at_made_rows_that_are_as_near_as_data():
    X = np.random.RandomState(0).random_sample((20_000, 2))
    n_own = 300
    rows = choose_rows(X, n_own)
    assert rows.min() >= n_own
    assert N_ROWS - N_NEIGHBORS < len(rows) <= N_ROWS
    nearest = NearestNeighbors(n_neighbors=2).fit(X[rows]).kneighbors(X[rows])[0][:, 1]
    # The nearest pairs are as near as those of data. Of all made rows, they would be eight times
    # nearer.
    nearest_pairs = np.median(np.sort(nearest)[: 2 * N_NEIGHBORS])
    assert nearest_pairs > 0.5 * typical_distance(X[:n_own])


@pytest.mark.parametrize("n_made", [0, 50])
def test_without_made_rows_members_are_compared_at_those_of_fit(n_made):
    X = np.random.RandomState(0).random_sample((300 + n_made, 2))
    rows = choose_rows(X, 300)
    assert N_ROWS - N_NEIGHBORS < len(rows) <= N_ROWS
    assert rows.min() < 10
