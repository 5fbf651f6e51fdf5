import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_friedman1
from sklearn.ensemble import (
    BaggingRegressor,
    ExtraTreesRegressor,
    RandomForestRegressor,
    VotingRegressor,
)
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_dlf import DLFRegressor
from sklearn_dlf.datasets import make_dlf_ensemble
from sklearn_dlf.ensembles import (
    DeepEnsembleRegressor,
    FittedEnsemble,
    member_predictions,
    unseen_rows,
)
from sklearn_dlf.metrics import interval_coverage, member_fidelity

# For claims that do not depend on how well the student is fitted.
QUICK = {"q": 2, "hidden_layer_sizes": (10,), "n_epochs": 2, "tol": 1.0, "random_state": 0}
# For claims about the fit.
SMALL = {"hidden_layer_sizes": (30,), "n_epochs": 3, "tol": 0.05, "random_state": 0}


def quick_fit(known, **params):
    return DLFRegressor(**{**QUICK, **params}).fit(known.X, known.y, predictions=known.predictions)


@pytest.mark.parametrize(
    "ensemble",
    [
        BaggingRegressor(n_estimators=8, max_features=0.7, random_state=0),
        RandomForestRegressor(8, random_state=0),
        ExtraTreesRegressor(8, bootstrap=True, random_state=0),
        VotingRegressor([("ridge", Ridge()), ("knn", KNeighborsRegressor())], weights=[2, 1]),
    ],
)
def test_student_predicts_as_its_ensemble_does(ensemble, friedman):
    X, y = friedman
    ensemble = clone(ensemble).fit(X, y)
    student = DLFRegressor(q=1, **SMALL).fit(X, y, ensemble=ensemble)
    assert r2_score(ensemble.predict(X), student.predict(X)) > 0.95
    assert student.n_members_ == member_predictions(ensemble, X).shape[1]


def test_list_of_models_array_and_list_of_predictions_are_the_same_teacher(friedman):
    X, y = friedman
    models = [Ridge().fit(X, y), LinearRegression().fit(X[:100], y[:100]), Ridge(9.0).fit(X, y)]
    predictions = [model.predict(X) for model in models]
    by_models = DLFRegressor(**QUICK, augment=None).fit(X, y, ensemble=models)
    by_list = DLFRegressor(**QUICK).fit(X, y, predictions=predictions)
    by_array = DLFRegressor(**QUICK).fit(X, y, predictions=np.column_stack(predictions))
    assert_array_equal(by_models.predict(X), by_array.predict(X))
    assert_array_equal(by_list.predict(X), by_array.predict(X))


def test_an_unfitted_ensemble_is_cloned_and_fitted(friedman):
    X, y = friedman
    prototype = RandomForestRegressor(7)
    student = DLFRegressor(prototype, **QUICK, augment=None).fit(X, y)
    assert student.n_members_ == 7
    assert not hasattr(prototype, "estimators_")
    again = DLFRegressor(prototype, **QUICK, augment=None).fit(X, y)
    assert_array_equal(student.predict(X), again.predict(X))


def test_without_a_teacher_a_deep_ensemble_is_trained(friedman):
    X, y = friedman
    student = DLFRegressor(**SMALL, augment=None).fit(X, y)
    assert student.n_members_ == DeepEnsembleRegressor().n_estimators
    assert r2_score(y, student.predict(X)) > 0.8


def test_spread_of_a_forest_is_kept(student, forest, friedman):
    X, _ = friedman
    fresh = make_friedman1(400, random_state=9)[0]
    own, unseen = (
        (member_predictions(forest, rows).std(axis=1, ddof=1), student.predict(rows, True)[1])
        for rows in (X, fresh)
    )
    assert np.corrcoef(own)[0, 1] > 0.7
    assert 0.85 < unseen[1].mean() / unseen[0].mean() < 1.15


def test_squared_std_is_the_diagonal_of_the_covariance(student, friedman):
    X = friedman[0][:20]
    mean, std = student.predict(X, return_std=True)
    mean_again, cov = student.predict(X, return_cov=True)
    assert_array_equal(mean, mean_again)
    assert_allclose(np.diag(cov), std**2, rtol=1e-12)
    assert np.linalg.eigvalsh(cov).min() > 0


def test_draws_have_the_mean_and_covariance_that_are_predicted(student, friedman):
    X = friedman[0][:6]
    mean, cov = student.predict(X, return_cov=True)
    draws = student.sample_predictions(X, 40_000, random_state=0)
    # Moments of 40,000 draws have a standard error of about 1 / 200 of their scale.
    scale = np.sqrt(np.diag(cov))
    assert_allclose((draws.mean(axis=1) - mean) / scale, 0, atol=0.025)
    assert_allclose(np.cov(draws) / np.outer(scale, scale), cov / np.outer(scale, scale), atol=0.04)


# Beyond 256 rows predictions are float32, and beyond 8192 draws are made block by block.
@pytest.mark.parametrize("n_rows", [200, 300, 8500])
@pytest.mark.parametrize("method", ["sample_predictions", "sample_y"])
def test_the_same_seed_draws_the_same_members_whatever_the_rows(method, n_rows, student, friedman):
    X = np.resize(friedman[0], (n_rows, 10))
    draw = getattr(student, method)
    assert_allclose(draw(X[:5], 9, 3), draw(X, 9, 3)[:5], rtol=1e-12)
    assert not np.allclose(draw(X[:5], 9, 3), draw(X[:5], 9, 4))


def test_intervals_of_a_forest_cover_fresh_rows_at_least_at_their_level(student):
    X, y = make_friedman1(2000, noise=1.0, random_state=1)
    for level in (0.5, 0.9):
        assert interval_coverage(y, student.predict_interval(X, level)) > level


def test_quantiles_are_those_of_draws_of_y(student, friedman):
    X = friedman[0][:4]
    levels = [0.1, 0.5, 0.8]
    draws = student.sample_y(X, 50_000, random_state=0)
    spread = draws.std(axis=1, keepdims=True)
    difference = student.predict_quantiles(X, levels) - np.quantile(draws, levels, axis=1).T
    assert_allclose(difference / spread, 0, atol=0.03)


def test_shapes_with_two_outputs(two_outputs):
    data = two_outputs
    student = quick_fit(data)
    X = data.X[:7]
    mean, std = student.predict(X, return_std=True)
    _, cov = student.predict(X, return_cov=True)
    assert mean.shape == std.shape == (7, 2)
    assert cov.shape == (7, 7, 2)
    assert_allclose(np.diagonal(cov).T, std**2, rtol=1e-12)
    assert student.sample_predictions(X, 3).shape == student.sample_y(X, 3).shape == (7, 2, 3)
    assert student.predict_interval(X).shape == (7, 2, 2)
    assert student.predict_quantiles(X, [0.1, 0.5, 0.9]).shape == (7, 2, 3)
    parameters = student.latent_parameters(X)
    assert parameters.mean.shape == parameters.member_std.shape == (7, 2)
    assert parameters.loadings.shape == (7, 2, 2)


def test_shapes_with_one_output(student, friedman):
    X = friedman[0][:7]
    assert student.predict(X).shape == (7,)
    assert student.predict(X, return_cov=True)[1].shape == (7, 7)
    assert student.sample_predictions(X).shape == (7, 1)
    assert student.predict_interval(X).shape == (7, 2)
    assert student.latent_parameters(X).loadings.shape == (7, 1, 4)


@pytest.mark.parametrize(
    ("scale", "shift"), [(1e3, 5e6), (1.0, 1e7), (1e-2, -1e9), (1e-30, 0.0), (1e36, 0.0)]
)
def test_predictions_scale_and_shift_with_y(scale, shift, known):
    student = quick_fit(known)
    scaled = DLFRegressor(**QUICK).fit(
        known.X, scale * known.y + shift, predictions=scale * known.predictions + shift
    )
    mean, std = student.predict(known.X, return_std=True)
    scaled_mean, scaled_std = scaled.predict(known.X, return_std=True)
    # Training is float32, and amplifies differences in the last digits.
    assert_allclose((scaled_mean - shift) / scale, mean, atol=0.02 * mean.std())
    assert_allclose(scaled_std / scale, std, rtol=0.05)


def test_same_seed_same_student_and_global_generators_untouched(known):
    torch_state = torch.get_rng_state()
    np.random.seed(5)  # noqa: NPY002 (the global generator is what the claim is about)
    expected = np.random.uniform()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    first, second = quick_fit(known), quick_fit(known)
    assert_array_equal(first.predict(known.X), second.predict(known.X))
    assert_array_equal(torch.get_rng_state(), torch_state)
    assert np.random.uniform() == expected  # noqa: NPY002
    assert not np.array_equal(
        quick_fit(known, random_state=1).predict(known.X), first.predict(known.X)
    )


def test_pickle_is_small_and_holds_neither_data_nor_teacher(known, friedman, forest):
    X, y = friedman
    student = DLFRegressor(n_epochs=2, tol=1.0, random_state=0).fit(X, y, ensemble=forest)
    student.predict(X[:2])
    stored = pickle.dumps(student)
    assert len(stored) < 112 * 1024  # a body that encodes ten columns, and what `update` needs
    assert_array_equal(pickle.loads(stored).predict(X), student.predict(X))


@pytest.mark.parametrize("member_noise", ["constant", None])
def test_member_noise_can_be_constant_or_zero(member_noise, known):
    noise = quick_fit(known, member_noise=member_noise).latent_parameters(known.X).member_std
    assert np.ptp(noise) <= 1e-6 * noise.max()
    assert (noise.max() > 0) == (member_noise == "constant")


def test_member_noise_follows_the_input(known):
    noise = quick_fit(known).latent_parameters(known.X).member_std
    assert np.ptp(noise) > 0.01 * noise.mean()


def test_few_and_many_rows_agree(student, friedman):
    X = np.tile(friedman[0], (3, 1))
    many, few = student.predict(X), student.predict(X[:50])
    assert_allclose(many[:50], few, rtol=1e-5)


def test_column_names_of_frames_are_kept_and_checked(diabetes_frame):
    X, y = diabetes_frame
    forest = RandomForestRegressor(5, random_state=0).fit(X, y)
    student = DLFRegressor(**QUICK, augment=None).fit(X, y, ensemble=forest)
    assert_array_equal(student.feature_names_in_, X.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        student.predict(X[X.columns[::-1]])


def test_pipeline_with_a_teacher_on_raw_rows(friedman, forest):
    X, y = friedman
    pipeline = make_pipeline(StandardScaler(), DLFRegressor(q=4, **SMALL))
    pipeline.fit(X, y, dlfregressor__ensemble=forest, dlfregressor__X_ensemble=X)
    assert r2_score(forest.predict(X), pipeline.predict(X)) > 0.95


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_grid_over_q_with_a_fitted_teacher(friedman, forest):
    X, y = friedman
    student = DLFRegressor(FittedEnsemble(forest), **{**QUICK, "max_iter": 2}, augment=None)
    search = GridSearchCV(student, {"q": [1, 3]}, cv=2).fit(X, y)
    assert search.best_estimator_.n_members_ == 20


def test_own_body_optimizer_and_callbacks_are_used(known):
    from skorch.callbacks import EpochScoring

    class Seen(EpochScoring):
        epochs = 0

        def on_epoch_end(self, net, **kwargs):
            Seen.epochs += 1

    def body(n_features):
        return torch.nn.Sequential(torch.nn.Linear(n_features, 5), torch.nn.Tanh())

    student = quick_fit(
        known,
        body=body,
        optimizer=torch.optim.RMSprop,
        weight_decay=1e-3,
        callbacks=[("seen", Seen("train_loss"))],
    )
    assert student.student_.heads.in_features == 5
    assert Seen.epochs == 2 * student.n_iter_


def test_verbose_prints_every_iteration_and_the_default_prints_nothing(known, capsys):
    quick_fit(known)
    assert capsys.readouterr().out == ""
    student = quick_fit(known, verbose=1)
    *lines, last = capsys.readouterr().out.splitlines()
    assert "trained; noise, calibration and memory for updates follow" in last
    assert len(lines) == student.n_iter_
    assert lines[0].startswith("EM iteration 1: log-likelihood")


def test_as_many_factors_as_members_can_have_do_not_spoil_the_mean_and_the_noise():
    data = make_dlf_ensemble(300, n_members=6, q=5, member_noise=0.05, random_state=0)
    predictions = 0.1 * data.predictions + 10 * np.sin(data.X.sum(axis=1))[:, None]
    student = DLFRegressor(q=5, hidden_layer_sizes=(20,), random_state=0)
    student.fit(data.X, predictions=predictions)
    fidelity = member_fidelity(predictions, *student.predict(data.X, return_std=True))
    assert fidelity.mean_error < 0.07
    assert 0.9 < fidelity.std_ratio < 1.15
    assert fidelity.std_correlation > 0.75


@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_the_automatic_loadings_weight_follows_the_likelihood_within_its_bounds(friedman, shift):
    X, y = friedman
    rng = np.random.RandomState(0)
    y = y + shift * X[:, 0]
    predictions = y[:, None] + rng.standard_normal((len(X), 8))
    short = {"q": 2, "hidden_layer_sizes": (8,), "n_epochs": 1, "tol": 10.0, "random_state": 0}
    student = DLFRegressor(**short).fit(X, y, predictions=predictions)
    share = (student.output_spread_[0] / student.output_scale_[0]) ** 2
    weight = min(max(3 * share, 0.003), 0.03)
    assert weight == (0.003 if shift else 0.03)
    explicit = DLFRegressor(**short, loadings_weight=weight).fit(X, y, predictions=predictions)
    assert_array_equal(student.predict(X), explicit.predict(X))


def test_out_of_bag_rows_give_the_noise_of_y(friedman):
    X, y = friedman
    forest = RandomForestRegressor(50, min_samples_leaf=5, random_state=0).fit(X, y)
    student = DLFRegressor(**QUICK, target_noise="constant").fit(X, y, ensemble=forest)
    seen = DLFRegressor(**QUICK, target_noise="constant").fit(
        X, y, predictions=member_predictions(forest, X)
    )
    outputs, unseen = member_predictions(forest, X), unseen_rows(forest, len(X))
    out_of_bag = np.average(outputs, axis=1, weights=unseen)
    squared = np.mean((y - out_of_bag) ** 2)
    # Most of the squared error out of bag is noise around the members, and a part their spread.
    uncertainty = student.predict_uncertainty(X)
    assert_allclose(uncertainty.total.mean(), squared, rtol=0.25)
    assert seen.predict_uncertainty(X).aleatoric.mean() < 0.6 * squared


def test_a_refit_without_y_removes_the_noise_of_y(known):
    student = quick_fit(known)
    student.fit(known.X, predictions=known.predictions)
    assert student.target_noise_ is None
    assert student.ensemble_score_ is None


def test_order_of_members_does_not_matter(known):
    order = np.random.RandomState(0).permutation(known.predictions.shape[1])
    results = [
        DLFRegressor(q=3, **SMALL)
        .fit(known.X, predictions=predictions)
        .predict(known.X, return_std=True)
        for predictions in (known.predictions, known.predictions[:, order])
    ]
    # Sums over members are rounded differently, and training amplifies the difference.
    for ordered, first in zip(results[1], results[0], strict=True):
        assert np.corrcoef(ordered, first)[0, 1] > 0.995
        assert_allclose(ordered.mean(), first.mean(), atol=0.02 * first.std())


def scale_parameters(network, other):
    for parameter in network.parameters():
        parameter.mul_(0.5)


def load_another_state(network, other):
    network.load_state_dict(other.state_dict())


def replace_a_parameter(network, other):
    network.heads.bias = torch.nn.Parameter(network.heads.bias + 1.0)


def set_the_noise(network, other):
    network.set_noise(0.01)


# Few rows are evaluated in float64 and many in float32, by two copies of the network.
@pytest.mark.parametrize("n_rows", [1, 300])
@pytest.mark.parametrize(
    "change", [scale_parameters, load_another_state, replace_a_parameter, set_the_noise]
)
def test_a_change_of_the_fitted_network_is_seen_by_the_next_prediction(change, n_rows, known):
    X = np.resize(known.X, (n_rows, known.X.shape[1]))
    student, other = quick_fit(known), quick_fit(known, random_state=1)
    before = np.array(student.predict(X, return_std=True))
    with torch.no_grad():
        change(student.student_, other.student_)
    after = np.array(student.predict(X, return_std=True))
    assert not np.allclose(after, before, rtol=0.01)
    # A pickle holds the network only, and no copies of it that predict.
    restored = pickle.loads(pickle.dumps(student))
    assert_array_equal(after, restored.predict(X, return_std=True))


def test_one_hidden_layer_may_be_given_as_an_integer(known):
    by_int, by_tuple = (quick_fit(known, hidden_layer_sizes=sizes) for sizes in (10, (10,)))
    assert_array_equal(by_int.predict(known.X), by_tuple.predict(known.X))


def test_a_body_that_a_callable_returns_again_is_left_as_it_was(known):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh())
    before = [parameter.detach().clone() for parameter in net.parameters()]
    student = DLFRegressor(q=2, body=lambda n_features: net, n_epochs=1, tol=10.0, random_state=0)
    first, second = (
        student.fit(known.X, predictions=known.predictions).predict(known.X) for _ in range(2)
    )
    assert_array_equal(first, second)
    for parameter, value in zip(net.parameters(), before, strict=True):
        assert_array_equal(parameter.detach(), value)
        assert parameter.requires_grad
