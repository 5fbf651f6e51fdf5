import pickle

import numpy as np
import pytest
import torch
from expected_failures import expected_failures
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import digamma
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_dlf.baselines import (
    BatchEnsembleClassifier,
    BatchEnsembleRegressor,
    DirichletClassifier,
    HydraClassifier,
    HydraRegressor,
    SmallEnsembleClassifier,
    SmallEnsembleRegressor,
)
from sklearn_dlf.baselines._dirichlet import ReverseDivergence, proxy_targets
from sklearn_dlf.baselines._networks import BatchEnsembleNetwork, SmallEnsembleNetwork
from sklearn_dlf.ensembles import member_predictions

REGRESSORS = [HydraRegressor, BatchEnsembleRegressor, SmallEnsembleRegressor]
OF_MEMBERS = [HydraClassifier, BatchEnsembleClassifier, SmallEnsembleClassifier]
CLASSIFIERS = [*OF_MEMBERS, DirichletClassifier]
SMALL = {"hidden_layer_sizes": (20,), "random_state": 0}
# For claims that do not depend on how well the student is fitted.
QUICK = {"hidden_layer_sizes": (8,), "n_epochs": 2, "max_iter": 2, "random_state": 0}


@pytest.fixture(scope="module", params=REGRESSORS)
def regressor(request, friedman, forest):
    """Return a student of `forest` that is fitted well."""
    X, y = friedman
    return request.param(**SMALL, max_iter=6).fit(X, y, ensemble=forest)


def quick_fit(student, known, **params):
    return student(**{**QUICK, **params}).fit(known.X, known.y, predictions=known.predictions)


# All trees agree on the few and similar rows of some checks.
@pytest.mark.filterwarnings("ignore:All members agree:UserWarning")
@parametrize_with_checks(
    [
        student(
            forest(5, random_state=0),
            hidden_layer_sizes=(10,),
            augment=None,
            n_epochs=4,
            max_iter=4,
        )
        for forest, students in (
            (RandomForestRegressor, REGRESSORS),
            (RandomForestClassifier, CLASSIFIERS),
        )
        for student in students
    ],
    expected_failed_checks=expected_failures,
)
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


def test_each_member_of_a_regressor_is_nearest_to_the_member_that_it_learnt(
    regressor, forest, friedman
):
    X, _ = friedman
    members = member_predictions(forest, X)
    student = regressor.member_predictions(X)
    distance = np.sqrt(np.square(student[:, :, None] - members[:, None, :]).mean(axis=0))
    assert_array_equal(distance.argmin(axis=0), np.arange(members.shape[1]))


def test_moments_are_those_of_the_members(regressor, friedman):
    X = friedman[0][:20]
    members = regressor.member_predictions(X)
    mean, std = regressor.predict(X, return_std=True)
    assert_allclose(mean, members.mean(axis=1), rtol=1e-12)
    assert_allclose(std, members.std(axis=1), rtol=1e-12)


def test_draws_are_members_picked_with_replacement(regressor, friedman):
    X = friedman[0][:20]
    draws = regressor.sample_predictions(X, 50, random_state=0)
    members = regressor.member_predictions(X)
    picked = np.abs(draws[:, :, None] - members[:, None, :]).max(axis=0).argmin(axis=1)
    assert_allclose(draws, members[:, picked], rtol=1e-12)
    assert len(set(picked)) < 50


# Beyond 256 rows predictions are float32, and beyond 8192 draws are made block by block.
@pytest.mark.parametrize("n_rows", [200, 300, 8500])
@pytest.mark.parametrize("method", ["sample_predictions", "sample_y"])
def test_the_same_seed_draws_the_same_members_whatever_the_rows(
    method, n_rows, regressor, friedman
):
    X = np.resize(friedman[0], (n_rows, 10))
    draw = getattr(regressor, method)
    assert_allclose(draw(X[:5], 9, 3), draw(X, 9, 3)[:5], rtol=1e-12)
    assert not np.allclose(draw(X[:5], 9, 3), draw(X[:5], 9, 4))


def test_draws_of_y_have_the_spread_of_members_and_noise(regressor, friedman):
    X = friedman[0][:4]
    draws = regressor.sample_y(X, 40_000, random_state=0)
    mean = regressor.predict(X)
    expected = regressor.predict_uncertainty(X).std
    # Moments of 40,000 draws have a standard error of 1 / 200 of the scale.
    assert_allclose((draws.mean(axis=1) - mean) / expected, 0, atol=0.02)
    assert_allclose(draws.std(axis=1), expected, rtol=0.03)
    assert_allclose(regressor.predict_quantiles(X, [0.5])[:, 0], mean, rtol=1e-9)


@pytest.mark.parametrize("student", REGRESSORS)
def test_shapes_with_two_outputs_and_a_fit_without_y(student, two_outputs):
    fitted = student(**QUICK).fit(two_outputs.X, predictions=two_outputs.predictions)
    X = two_outputs.X[:6]
    mean, std = fitted.predict(X, return_std=True)
    assert mean.shape == std.shape == (6, 2)
    assert fitted.sample_predictions(X, 5).shape == (6, 2, 5)
    assert fitted.member_predictions(X).shape == (6, 2, 30)
    with pytest.raises(NotFittedError, match="without y"):
        fitted.predict_interval(X)


@pytest.mark.parametrize("student", REGRESSORS)
def test_same_seed_same_student_and_pickles_predict_the_same(student, known):
    first, second = quick_fit(student, known), quick_fit(student, known)
    assert_array_equal(first.predict(known.X), second.predict(known.X))
    restored = pickle.loads(pickle.dumps(first))
    assert_array_equal(first.predict(known.X), restored.predict(known.X))
    other = quick_fit(student, known, random_state=1)
    assert not np.allclose(first.predict(known.X), other.predict(known.X))


@pytest.mark.parametrize("student", REGRESSORS)
def test_rows_of_weight_zero_do_not_matter(student, known):
    weights = np.r_[np.ones(100), np.zeros(50)]
    changed = known.predictions.copy()
    changed[100:] += 1.0
    fits = [
        student(**QUICK).fit(known.X, predictions=predictions, sample_weight=weights)
        for predictions in (known.predictions, changed)
    ]
    # The mean and the scale of the ensemble's outputs are rounded differently.
    assert_allclose(fits[0].predict(known.X), fits[1].predict(known.X), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("student", REGRESSORS)
def test_one_hidden_layer_may_be_given_as_an_integer(student, known):
    by_int, by_tuple = (quick_fit(student, known, hidden_layer_sizes=n) for n in (8, (8,)))
    assert_array_equal(by_int.predict(known.X), by_tuple.predict(known.X))


def test_one_hidden_layer_of_a_dirichlet_student_may_be_given_as_an_integer(iris, trees):
    by_int, by_tuple = (
        DirichletClassifier(**{**QUICK, "hidden_layer_sizes": n}).fit(iris[0], ensemble=trees)
        for n in (8, (8,))
    )
    assert_array_equal(by_int.predict_proba(iris[0]), by_tuple.predict_proba(iris[0]))


@pytest.mark.parametrize("student", [*REGRESSORS, *CLASSIFIERS])
def test_none_turns_made_rows_and_out_of_bag_rows_off(student, known):
    fitted = student(**QUICK, augment=None, out_of_bag=None)
    if student in REGRESSORS:
        fitted.fit(known.X, predictions=known.predictions)
    else:
        proba = 1 / (1 + np.exp(-known.predictions))
        fitted.fit(known.X, predictions=np.stack([1 - proba, proba], axis=1))
    assert np.isfinite(fitted.predict(known.X)).all()


@pytest.mark.parametrize("parameter", ["augment", "out_of_bag"])
@pytest.mark.parametrize("student", [*REGRESSORS, *CLASSIFIERS])
def test_the_string_none_is_refused(student, parameter, known):
    with pytest.raises(InvalidParameterError, match=f"The '{parameter}' parameter of"):
        student(**QUICK, **{parameter: "none"}).fit(known.X, predictions=known.predictions)


def test_learning_rate_falls_to_a_fiftieth(known):
    history = quick_fit(HydraRegressor, known, max_iter=5).history_
    assert len(history) == 5
    assert history[0]["lr"] == 0.01
    assert history[-1]["lr"] == pytest.approx(0.0002)
    assert history[-1]["loss"] < history[0]["loss"]


def test_hydra_takes_a_custom_body(known):
    def make_body(n_features):
        return torch.nn.Sequential(torch.nn.Linear(n_features, 3), torch.nn.Tanh())

    fitted = quick_fit(HydraRegressor, known, body=make_body)
    assert fitted.student_.heads.in_features == 3


def test_each_small_network_has_parameters_of_its_own():
    torch.manual_seed(0)
    network = SmallEnsembleNetwork([3, 5, 2], "relu", 4)
    X = torch.randn(6, 3)
    before = network(X)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter[1] += 1.0
    changed = (network(X) != before).any(dim=0).any(dim=0)
    assert changed.tolist() == [False, True, False, False]


def test_a_masked_layer_multiplies_by_a_masked_matrix():
    torch.manual_seed(0)
    network = BatchEnsembleNetwork([3, 2], "relu", 4)
    X = torch.randn(6, 3)
    layer = network.layers[0]
    for member in range(4):
        mask = torch.outer(layer.input_mask[member, 0], layer.output_mask[member, 0])
        expected = X @ (layer.weight * mask) + layer.bias[member, 0]
        torch.testing.assert_close(network(X)[..., member], expected)


def test_averaged_masks_of_a_linear_layer_give_the_mean_of_its_members():
    torch.manual_seed(0)
    network = BatchEnsembleNetwork([3, 2], "relu", 4)
    X = torch.randn(6, 3)
    mean = network(X).mean(dim=-1)
    averaged = network.average_members()(X)
    assert averaged.shape == (6, 2, 1)
    torch.testing.assert_close(averaged[..., 0], mean)


def test_averaged_masks_have_no_spread(known):
    fitted = quick_fit(BatchEnsembleRegressor, known, average_masks=True)
    _, std = fitted.predict(known.X, return_std=True)
    assert_array_equal(std, 0.0)
    assert fitted.n_members_ == 30
    assert fitted.sample_predictions(known.X[:3], 4).shape == (3, 4)


@pytest.fixture(scope="module")
def iris():
    X, codes = load_iris(return_X_y=True)
    return X, np.array(["setosa", "versicolor", "virginica"])[codes]


@pytest.fixture(scope="module")
def trees(iris):
    return RandomForestClassifier(10, min_samples_leaf=5, random_state=0).fit(*iris)


@pytest.fixture(scope="module", params=CLASSIFIERS)
def classifier(request, iris, trees):
    """Return a student of `trees` that is fitted well."""
    X, y = iris
    return request.param(**SMALL, max_iter=8, augment=None).fit(X, y, ensemble=trees)


def test_probabilities_are_those_of_the_ensemble(classifier, trees, iris):
    X, y = iris
    assert_array_equal(classifier.classes_, trees.classes_)
    assert np.abs(classifier.predict_proba(X) - trees.predict_proba(X)).mean() < 0.05
    assert classifier.score(X, y) > 0.9


def mean_of_draws(classifier, X):
    """Return the mean of the distribution that members are drawn from.

    It differs from `predict_proba` for the Dirichlet student, whose parameters have ones added.
    """
    if isinstance(classifier, DirichletClassifier):
        concentration = classifier._members.concentration(classifier._standardised_rows(X))
        return concentration / concentration.sum(axis=1, keepdims=True)
    return classifier.predict_proba(X)


def test_total_uncertainty_is_aleatoric_and_epistemic(classifier, iris):
    X, _ = iris
    proba = mean_of_draws(classifier, X)
    uncertainty = classifier.predict_uncertainty(X)
    assert_allclose(uncertainty.total, -(proba * np.log(proba)).sum(axis=1), rtol=1e-6, atol=1e-9)
    assert_allclose(uncertainty.total, uncertainty.aleatoric + uncertainty.epistemic, atol=1e-9)
    assert uncertainty.epistemic.min() >= 0
    assert uncertainty.epistemic.max() > 0.01


def test_draws_average_to_their_mean(classifier, iris):
    X = iris[0][::15]
    draws = classifier.sample_predictions(X, 20_000, random_state=0)
    assert_allclose(draws.sum(axis=1), 1.0, rtol=1e-9)
    assert_allclose(draws.mean(axis=2), mean_of_draws(classifier, X), atol=0.02)
    entropy = -(draws * np.log(np.maximum(draws, 1e-300))).sum(axis=1).mean(axis=1)
    assert_allclose(entropy, classifier.predict_uncertainty(X).aleatoric, atol=0.02)


@pytest.mark.parametrize("n_rows", [150, 300, 8500])
def test_draws_at_the_first_rows_do_not_depend_on_later_rows(n_rows, classifier, iris):
    X = np.resize(iris[0], (n_rows, 4))
    draw = classifier.sample_predictions
    # Exponentials amplify the rounding of large logits.
    assert_allclose(draw(X[:5], 9, 3), draw(X, 9, 3)[:5], rtol=1e-11)


@pytest.mark.filterwarnings("ignore:X has numbers far outside")
@pytest.mark.parametrize("distance", [1e3, 1e6, 1e12])
def test_log_probabilities_are_right_nearby_and_finite_far_away(distance, classifier, iris):
    X = np.concatenate([distance * iris[0], -distance * iris[0], iris[0]])
    log_proba = classifier.predict_log_proba(X)  # warnings are errors
    assert np.isfinite(log_proba).all()
    assert log_proba.max() <= 0.0
    assert_array_equal(log_proba.argmax(axis=1), classifier.predict_proba(X).argmax(axis=1))
    assert_allclose(np.exp(log_proba).sum(axis=1), 1.0, rtol=1e-6)
    proba = classifier.predict_proba(iris[0])
    assert_allclose(classifier.predict_log_proba(iris[0]), np.log(proba), rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:X has numbers far outside")
@pytest.mark.parametrize("student", CLASSIFIERS)
def test_log_probabilities_of_two_classes_far_away_are_finite(student, iris):
    X, y = iris[0][50:], iris[1][50:]
    fitted = student(RandomForestClassifier(5, random_state=0), **QUICK).fit(X, y)
    proba = fitted.predict_proba(X)
    assert_allclose(fitted.predict_log_proba(X), np.log(proba), rtol=1e-5, atol=1e-6)
    log_proba = fitted.predict_log_proba(np.concatenate([1e6 * X, -1e6 * X]))
    assert np.isfinite(log_proba).all()


@pytest.mark.filterwarnings("ignore:X has numbers far outside")
def test_probabilities_far_away_are_finite(classifier, iris):
    X = iris[0] * 1e4
    uncertainty = classifier.predict_uncertainty(X)
    assert np.isfinite(uncertainty.total).all()
    assert np.isfinite(uncertainty.aleatoric).all()
    assert_allclose(classifier.sample_predictions(X, 3, 0).sum(axis=1), 1.0, rtol=1e-9)


@pytest.mark.parametrize("student", OF_MEMBERS)
def test_each_member_of_a_classifier_is_nearest_to_the_member_that_it_learnt(student, iris, trees):
    X, y = iris
    fitted = student(**SMALL, max_iter=12).fit(X, y, ensemble=trees)
    own = fitted.member_predictions(X)
    members = member_predictions(trees, X)
    distance = np.square(own[..., None, :] - members[..., None]).mean(axis=(0, 1))
    assert (distance.argmin(axis=1) == np.arange(10)).mean() >= 0.8
    assert_allclose(own.mean(axis=-1), fitted.predict_proba(X), rtol=1e-6)


@pytest.mark.parametrize("student", CLASSIFIERS)
def test_two_classes_have_two_columns(student, iris):
    X, y = iris[0][50:], iris[1][50:]
    fitted = student(RandomForestClassifier(5, random_state=0), **QUICK).fit(X, y)
    assert fitted.predict_proba(X).shape == (100, 2)
    assert fitted.sample_predictions(X, 3, 0).shape == (100, 2, 3)
    assert set(fitted.predict(X)) <= {"versicolor", "virginica"}


def test_proxy_of_dirichlet_draws_has_their_mean_and_precision():
    rng = np.random.RandomState(0)
    concentration = np.array([20.0, 30.0, 50.0])
    draws = rng.dirichlet(concentration, size=20_000).T[None]
    mean, inverse_precision = proxy_targets(draws)
    assert_allclose(mean[0], concentration / 100, atol=0.002)
    # Stirling's approximation is good to a few per cent at parameters of this size.
    assert_allclose(1 / inverse_precision, 100, rtol=0.05)


def test_the_loss_of_a_dirichlet_student_is_a_reverse_divergence():
    mean, precision = torch.tensor([[0.2, 0.3, 0.5]], dtype=torch.float64), 12.0
    targets = mean, torch.tensor([1 / precision]), torch.ones(1)
    target = torch.distributions.Dirichlet(1 + (precision + 3) * mean)
    outputs = torch.tensor([[[0.3], [1.0], [-0.5]], [[2.0], [0.0], [3.0]]], dtype=torch.float64)
    students = [torch.distributions.Dirichlet(1 + own[:, 0].exp()) for own in outputs]
    divergences = [torch.distributions.kl_divergence(student, target) for student in students]
    losses = [ReverseDivergence()(own[None], targets) for own in outputs]
    expected = (divergences[1] - divergences[0]) / (precision + 3)
    assert_allclose(losses[1] - losses[0], expected[0], rtol=1e-6)

    least = torch.log((precision + 3) * mean)[..., None].requires_grad_()
    (gradient,) = torch.autograd.grad(ReverseDivergence()(least, targets), least)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-7, rtol=0)


def test_probabilities_and_entropy_of_a_dirichlet_student(iris, trees):
    X, y = iris
    fitted = DirichletClassifier(**QUICK).fit(X, y, ensemble=trees)
    proba, uncertainty = fitted.predict_proba(X[:1]), fitted.predict_uncertainty(X[:1])
    with torch.no_grad():
        rows = torch.as_tensor(fitted.scaler_.transform(X[:1]))
        excess = fitted.student_.frozen(exact=True)(rows)[0, :, 0].exp().numpy()
    # Ones are added to the parameters for the uncertainty, but not for the probabilities.
    assert_allclose(proba[0], excess / excess.sum(), rtol=1e-6)
    alpha = 1 + excess
    mean = alpha / alpha.sum()
    assert_allclose(uncertainty.total[0], -(mean * np.log(mean)).sum(), rtol=1e-6)
    expected = digamma(alpha.sum() + 1) - (mean * digamma(alpha + 1)).sum()
    assert_allclose(uncertainty.aleatoric[0], expected, rtol=1e-6)
