"""Students of members that are not Gaussian."""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.utils import resample

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf.ensembles import member_predictions
from sklearn_dlf.metrics import (
    member_log_likelihood_scorer,
    mutual_information,
    neg_nll_scorer,
)

rng = np.random.RandomState(0)
X = rng.uniform(-1, 1, size=(150, 2))
N_MEMBERS = 40
QUICK = {"q": 3, "hidden_layer_sizes": (20,), "n_epochs": 2, "tol": 0.1, "random_state": 0}


def members(distance, n_outputs=1):
    """Members (n, n_outputs, N_MEMBERS) in two groups, at a distance in units of their spread."""
    sides = np.repeat([-0.5, 0.5], N_MEMBERS // 2)
    random = np.random.RandomState(1).standard_normal((n_outputs, 3, N_MEMBERS))
    columns = np.column_stack([np.ones(len(X)), X])
    signs = np.array([1.0, -1.0, 0.5])[:n_outputs, None]
    return np.einsum("nj,kjm->nkm", columns, random) + distance * signs * sides


def gaussian(student):
    """Return a copy of a fitted student whose law is Gaussian."""
    student = copy.copy(student)
    student.latent_law_ = None
    return student


@pytest.fixture(scope="module")
def y():
    predictions = members(8)[:, 0]
    noise = 0.5 * np.random.RandomState(2).standard_normal(len(X))
    return predictions[np.arange(len(X)), np.arange(len(X)) % N_MEMBERS] + noise


@pytest.fixture(scope="module")
def student(y):
    return DLFRegressor(**QUICK).fit(X, y, predictions=members(8)[:, 0], unseen=True)


@pytest.fixture(scope="module")
def classifier():
    logits = members(4, n_outputs=3)
    return DLFClassifier(latent="smoothed", **QUICK).fit(X, predictions=logits, outputs="logits")


def test_groups_are_found_and_one_group_is_gaussian(student):
    assert student.latent_gain_ > 20
    assert student.latent_normality_ < 0.01
    assert student.latent_law_.centers.shape == (N_MEMBERS, 3)
    single = DLFRegressor(**QUICK).fit(X, predictions=members(0)[:, 0])
    assert single.latent_gain_ < 5
    assert single.latent_law_ is None


def test_draws_stay_in_their_groups(student):
    def share_between(student):
        draws = student.sample_predictions(X[:20], 2000, random_state=0)
        return np.mean(np.abs(draws - student.predict(X[:20])[:, None]) < 1)

    assert share_between(student) < 0.02
    assert share_between(gaussian(student)) > 0.1


def test_draws_have_the_mean_and_the_covariance_that_are_predicted(student):
    draws = student.sample_predictions(X[:20], 20_000, random_state=0)
    mean, covariance = student.predict(X[:20], return_cov=True)
    largest = covariance.max()
    assert_allclose(draws.mean(axis=1), mean, atol=5 * np.sqrt(largest / 20_000))
    assert_allclose(np.cov(draws), covariance, atol=5 * largest * np.sqrt(2 / 20_000))
    assert_array_equal(gaussian(student).predict(X), student.predict(X))


def test_first_rows_do_not_depend_on_later_ones(student):
    few = student.sample_predictions(X[:3], 7, random_state=0)
    assert_allclose(student.sample_predictions(X, 7, random_state=0)[:3], few, rtol=1e-10)


def test_quantiles_are_those_of_draws_of_y(student):
    levels = [0.05, 0.3, 0.7, 0.95]
    draws = student.sample_y(X[:30], 20_000, random_state=0)
    reached = np.mean(
        draws[:, None] < student.predict_quantiles(X[:30], levels)[..., None], axis=-1
    )
    assert_allclose(reached, np.tile(levels, (30, 1)), atol=0.02)


def test_densities_of_y_are_those_of_draws(student):
    row = X[:1]
    grid = np.linspace(-15, 15, 3001)
    density = np.exp(student._log_density(np.repeat(row, len(grid), axis=0), grid))[:, 0]
    assert_allclose(density.sum() * 0.01, 1, atol=1e-3)
    draws = student.sample_y(row, 20_000, random_state=0)[0]
    for level in (0.1, 0.4, 0.8):
        below = density[grid < np.quantile(draws, level)].sum() * 0.01
        assert abs(below - level) < 0.02


def test_scores_prefer_the_smoothed_law_to_the_gaussian(student, y):
    predictions = student.sample_predictions(X, 200, random_state=3)
    other = gaussian(student)
    assert neg_nll_scorer(student, X, y) > neg_nll_scorer(other, X, y) + 0.1
    score = member_log_likelihood_scorer
    own, others = (score(each, X, predictions=predictions) for each in (student, other))
    assert (own - others) * len(X) > 0.5  # nats for each member


def test_conformal_intervals_of_groups_cover(student):
    each = np.arange(len(X))
    held_out = student.sample_y(X, len(X), random_state=5)[each, each]  # a member for each row
    conformal = copy.copy(student).conformalize(X, held_out)
    ends = conformal.predict_interval(X, 0.8)
    fresh = student.sample_y(X, 50, random_state=6)
    assert np.mean((ends[:, :1] < fresh) & (fresh < ends[:, 1:])) > 0.7


def test_a_gaussian_student_of_groups_warns():
    with pytest.warns(UserWarning, match="members are not Gaussian.* nats.* Use latent='auto'"):
        student = DLFRegressor(latent="gaussian", **QUICK).fit(X, predictions=members(8)[:, 0])
    assert student.latent_law_ is None


def test_the_smoothed_law_can_be_asked_for_where_it_gains_nothing():
    student = DLFRegressor(latent="smoothed", **QUICK).fit(X, predictions=members(0)[:, 0])
    assert student.latent_law_ is not None
    assert student.latent_gain_ < 5


def test_other_starts_have_their_factors_turned():
    options = {**QUICK, "member_noise": "constant", "init": "random"}
    student = DLFRegressor(**options).fit(X, predictions=members(8)[:, 0])
    loadings = student.latent_parameters(X).loadings[:, 0]
    variances = np.diag(loadings.T @ loadings)
    assert_allclose(loadings.T @ loadings, np.diag(variances), atol=1e-3 * variances.max())
    assert np.all(np.diff(variances) < 0)


def test_pickles_keep_the_law(student):
    loaded = pickle.loads(pickle.dumps(student))
    assert_array_equal(loaded.predict_interval(X), student.predict_interval(X))
    assert not hasattr(clone(student), "latent_law_")


def test_the_first_update_says_that_groups_are_lost(student, y):
    updated = copy.deepcopy(student)
    with pytest.warns(UserWarning, match="An update makes them Gaussian"):
        updated.update(X[:5], y[:5])
    updated.update(X[5:10], y[5:10])  # a second update does not warn


def test_separable_factors_and_transformed_targets_are_gaussian():
    outputs = members(8, n_outputs=2)
    student = DLFRegressor(loadings="separable", **QUICK).fit(X, predictions=outputs)
    assert student.latent_law_ is None
    assert student.latent_gain_ is None
    with pytest.raises(ValueError, match=r"'separable' with 2 outputs .* latent='smoothed'"):
        DLFRegressor(loadings="separable", latent="smoothed", **QUICK).fit(X, predictions=outputs)
    logs = {"func": np.log, "inverse_func": np.exp}
    lines = [
        TransformedTargetRegressor(LinearRegression(), **logs).fit(X[i::3], np.exp(rng.rand(50)))
        for i in range(3)
    ]
    with pytest.raises(ValueError, match="latent='smoothed' was given, and the teacher trans"):
        DLFRegressor(latent="smoothed", **{**QUICK, "q": 2}).fit(X, ensemble=lines)


def test_several_outputs_have_quantiles_of_their_own():
    outputs = members(8, n_outputs=2)
    y = outputs.mean(axis=-1) + np.random.RandomState(0).standard_normal((150, 2))
    student = DLFRegressor(**QUICK).fit(X, y, predictions=outputs, unseen=True)
    assert student.latent_law_ is not None
    draws = student.sample_y(X[:10], 8000, random_state=0)
    quantiles = student.predict_quantiles(X[:10], [0.25, 0.75])
    reached = np.mean(draws[:, :, None] < quantiles[..., None], axis=-1)
    assert_allclose(reached, np.broadcast_to([0.25, 0.75], (10, 2, 2)), atol=0.03)


def test_probabilities_are_means_of_drawn_members(classifier):
    drawn = classifier.sample_predictions(X, 8000, random_state=0)
    assert_allclose(classifier.predict_proba(X), drawn.mean(axis=-1), atol=0.03)
    logarithms = classifier.predict_log_proba(X)
    assert_allclose(np.exp(logarithms), classifier.predict_proba(X), rtol=1e-6)
    entropy = -(drawn * np.log(drawn)).sum(axis=1).mean(axis=-1)
    assert_allclose(classifier.predict_uncertainty(X).aleatoric, entropy, atol=0.03)
    one = np.concatenate([classifier.predict_proba(X[i : i + 1]) for i in range(3)])
    assert_allclose(classifier.predict_proba(X)[:3], one, atol=1e-5)


def test_two_classes_have_means_of_drawn_members():
    log_odds = members(6)
    logits = np.concatenate([np.zeros_like(log_odds), log_odds], axis=1)
    classifier = DLFClassifier(latent="smoothed", **QUICK)
    classifier.fit(X, predictions=logits, outputs="logits")
    drawn = classifier.sample_predictions(X, 8000, random_state=0)
    assert_allclose(classifier.predict_proba(X), drawn.mean(axis=-1), atol=0.03)


@pytest.mark.filterwarnings("ignore::sklearn_dlf.exceptions.SeenRowsWarning")
@pytest.mark.parametrize("unseen", [True, None])
def test_noise_is_around_gaussian_members_where_y_follows_no_group(unseen):
    predictions = members(8)[:, 0]
    noise = 0.1 * np.random.RandomState(2).standard_normal(len(X))
    y = predictions.mean(axis=1) + noise
    student = DLFRegressor(**QUICK).fit(X, y, predictions=predictions, unseen=unseen)
    assert student.latent_law_ is not None
    assert not student.target_noise_.takes_law
    interval = student.predict_interval(X)
    assert_array_equal(gaussian(student).predict_interval(X), interval)


def test_noise_is_around_groups_where_y_follows_one(student):
    assert student.target_noise_.takes_law


def test_a_refinement_does_not_spoil_classifiers_of_groups():
    logits = members(8, n_outputs=3)
    mean = softmax(logits, axis=1).mean(axis=-1)
    options = {**QUICK, "n_epochs": 10}
    model = DLFClassifier(**options).fit(X, predictions=logits, outputs="logits")
    assert model.latent_law_ is not None
    assert np.abs(model.predict_proba(X) - mean).mean() < 0.02
    information = model.predict_uncertainty(X).epistemic
    expected = mutual_information(softmax(logits, axis=1))
    assert_allclose(information.mean(), expected.mean(), rtol=0.1)


def test_classifiers_of_several_kinds_keep_their_averages_and_information():
    X, y = make_classification(800, 8, n_informative=5, weights=[0.92], random_state=0)
    kinds = (
        lambda seed: LogisticRegression(),
        lambda seed: RandomForestClassifier(5, min_samples_leaf=3, random_state=seed),
    )
    teacher = [
        kinds[seed % 2](seed).fit(*resample(X[:400], y[:400], random_state=seed))
        for seed in range(30)
    ]
    student = DLFClassifier(q=5, hidden_layer_sizes=(20,), tol=0.1, random_state=0)
    student.fit(X[:400], y[:400], ensemble=teacher)
    assert student.latent_law_ is not None
    wanted = member_predictions(teacher, X[400:])
    found = student.predict_proba(X[400:])
    # The means over 400 rows of so small a student are uncertain by some per cent.
    assert_allclose(found[:, 1].mean(), wanted[:, 1].mean(), rtol=0.15)
    information = student.predict_uncertainty(X[400:]).epistemic.mean()
    assert_allclose(information, mutual_information(wanted).mean(), rtol=0.3)


def test_trees_with_pure_leaves_are_no_groups():
    X, y = load_breast_cancer(return_X_y=True)
    forest = RandomForestClassifier(
        100, min_samples_leaf=3, class_weight="balanced", random_state=0
    ).fit(X[:284], y[:284])
    student = DLFClassifier(random_state=0).fit(X[:284], y[:284], ensemble=forest)
    assert student.latent_gain_ < 20
    assert student.latent_law_ is None
    wanted = forest.predict_proba(X[284:]).mean(axis=0)
    assert_allclose(student.predict_proba(X[284:]).mean(axis=0), wanted, rtol=0.05)
