"""Students of teachers that transform y answer in units of y."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    BaggingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PowerTransformer, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from sklearn_dlf import DLFRegressor, predict_interval
from sklearn_dlf._transfer.cache import TeacherCache
from sklearn_dlf._transfer.tasks import RegressionTask
from sklearn_dlf._transfer.teachers import EnsembleTeacher
from sklearn_dlf.baselines import BatchEnsembleRegressor, HydraRegressor
from sklearn_dlf.ensembles import FittedEnsemble, describe_ensemble, member_predictions
from sklearn_dlf.metrics import (
    make_member_log_likelihood_scorer,
    member_log_likelihood_scorer,
    neg_crps_scorer,
    neg_nll_scorer,
)

# "adamw" does not end by L-BFGS.
QUICK = {
    "hidden_layer_sizes": (20,),
    "n_epochs": 1,
    "tol": 1.0,
    "optimizer": "adamw",
    "random_state": 0,
}
BETTER = {"hidden_layer_sizes": (50,), "tol": 0.03, "random_state": 0}
LOG = {"func": np.log, "inverse_func": np.exp}
LOG1P = {"func": np.log1p, "inverse_func": np.expm1}


def make_prices(n, seed):
    """Rows, and log-normal prices around 60,000."""
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, 4))
    noise = 0.3 * rng.standard_normal(n)
    return X, np.exp(11 + 0.8 * X[:, 0] + 0.3 * np.sin(2 * X[:, 1]) + noise)


def make_forest():
    return RandomForestRegressor(30, min_samples_leaf=3, random_state=0)


def log_tree(X, y, seed, **way):
    tree = DecisionTreeRegressor(max_depth=6, max_features=1, random_state=seed)
    return TransformedTargetRegressor(tree, **(way or LOG)).fit(X, y)


@pytest.fixture(scope="module")
def prices():
    return make_prices(300, 0)


@pytest.fixture(scope="module")
def fresh():
    return make_prices(400, 1)


@pytest.fixture(scope="module")
def teacher(prices):
    return TransformedTargetRegressor(make_forest(), **LOG).fit(*prices)


@pytest.fixture(scope="module")
def student(prices, teacher):
    X, y = prices
    return DLFRegressor(q=4, **BETTER).fit(X, y, ensemble=teacher)


@pytest.fixture(scope="module")
def inner(prices, teacher):
    """A student of the forest of logarithms."""
    X, y = prices
    return DLFRegressor(q=4, **BETTER).fit(X, np.log(y), ensemble=teacher.regressor_)


def test_intervals_of_prices_are_positive_and_cover(student, fresh):
    X, y = fresh
    ends = student.predict_interval(X, 0.9)
    assert ends.min() > 0
    covered = np.mean((ends[:, 0] < y) & (y < ends[:, 1]))
    assert abs(covered - 0.9) < 0.05  # three standard errors of 400 rows


def test_the_student_is_that_of_the_logarithms(student, inner, fresh):
    X, _ = fresh
    assert_array_equal(student.latent_parameters(X).mean, inner.latent_parameters(X).mean)
    assert_allclose(student.predict_quantiles(X), np.exp(inner.predict_quantiles(X)), rtol=1e-12)
    draws = inner.sample_y(X, 3, random_state=0)
    assert_allclose(student.sample_y(X, 3, random_state=0), np.exp(draws), rtol=1e-12)
    assert student.ensemble_score_ == inner.ensemble_score_


def test_mean_and_spread_are_near_those_of_the_members(student, teacher, fresh):
    members = member_predictions(teacher, fresh[0])
    mean, std = student.predict(fresh[0], return_std=True)
    assert np.corrcoef(np.log(mean), np.log(members.mean(axis=1)))[0, 1] > 0.95
    assert abs(np.median(mean / members.mean(axis=1)) - 1) < 0.05
    assert abs(np.median(std / members.std(axis=1)) - 1) < 0.2


def test_moments_in_units_of_y_are_those_of_draws(student, fresh):
    X = fresh[0][:100]
    draws = student.sample_predictions(X, 20_000, random_state=0)
    mean, std = student.predict(X, return_std=True)
    assert_allclose(mean, draws.mean(axis=1), rtol=0.02)
    assert_allclose(std, draws.std(axis=1), rtol=0.06)
    assert_array_equal(student.predict(X), mean)
    _, cov = student.predict(X, return_cov=True)
    assert_allclose(np.sqrt(np.diag(cov)), std, rtol=1e-12)
    assert_allclose(cov, np.cov(draws), atol=0.05 * cov.max())


def test_quantiles_are_those_of_draws(student, fresh):
    X = fresh[0][:50]
    draws = student.sample_y(X, 20_000, random_state=0)
    levels = [0.05, 0.5, 0.95]
    expected = np.quantile(draws, levels, axis=1).T
    assert_allclose(student.predict_quantiles(X, levels), expected, rtol=0.05)


def test_pickles_and_clones_work(prices, teacher):
    X, y = prices
    student = DLFRegressor(FittedEnsemble(teacher), q=2, **QUICK).fit(X, y)
    loaded = pickle.loads(pickle.dumps(student))
    assert_array_equal(loaded.predict_interval(X), student.predict_interval(X))
    again = clone(student).fit(X, y)
    assert_array_equal(again.predict(X), student.predict(X))


def test_conformal_intervals_cover_in_units_of_y(student, fresh):
    X, y = fresh
    conformal = pickle.loads(pickle.dumps(student)).conformalize(X[:200], y[:200])
    ends = conformal.predict_interval(X[200:], 0.9)
    assert ends.min() > 0
    covered = np.mean((ends[:, 0] <= y[200:]) & (y[200:] <= ends[:, 1]))
    assert covered > 0.9 - 3 * np.sqrt(0.9 * 0.1 * (1 / 200 + 1 / 200))


def wrappers():
    scaled = make_pipeline(StandardScaler(), make_forest())
    logs = TransformedTargetRegressor(scaled, **LOG)
    trees = TransformedTargetRegressor(DecisionTreeRegressor(min_samples_leaf=3), **LOG)
    voters = [(str(i), TransformedTargetRegressor(Ridge(10.0**i), **LOG)) for i in range(3)]
    return {
        "pipeline": make_pipeline(StandardScaler(), logs),
        "search": GridSearchCV(logs, {"regressor__randomforestregressor__max_depth": [4]}, cv=2),
        "nested": TransformedTargetRegressor(
            TransformedTargetRegressor(make_forest(), transformer=StandardScaler()), **LOG
        ),
        "bagging": BaggingRegressor(trees, 10, random_state=0),
        "voting": VotingRegressor(voters),
        "process": TransformedTargetRegressor(GaussianProcessRegressor(alpha=0.1), **LOG),
    }


@pytest.mark.parametrize("way", wrappers())
def test_transformed_targets_are_found_through_other_estimators(prices, fresh, way):
    X, y = prices[0][:100], prices[1][:100]
    teacher = wrappers()[way].fit(X, y)
    for each in (FrozenEstimator(teacher), FittedEnsemble(teacher)):
        student = DLFRegressor(q=2, **QUICK).fit(X, y, ensemble=each)
        assert student.target_transformation_ is not None
        assert student.predict_interval(fresh[0]).min() > 0
        inner = describe_ensemble(each).inner
        logs = np.stack(list(inner.members.predict(X[:9])), axis=-1)
        logs = inner.transformer.invert(logs.reshape(9, 1, -1))[:, 0]
        assert_allclose(logs, member_predictions(each, X[:9]), rtol=1e-9)


@pytest.mark.parametrize("wrap", [list, tuple, FittedEnsemble])
def test_lists_with_one_transformation_are_distilled_in_its_space(prices, wrap):
    X, y = prices
    frozen = [FrozenEstimator(log_tree(X, y, seed)) for seed in range(4)]
    models = wrap([*frozen, make_pipeline(StandardScaler(), log_tree(X, y, 4)).fit(X, y)])
    student = DLFRegressor(q=2, **QUICK).fit(X, y, ensemble=models)
    assert_allclose(student.output_center_, np.log(y).mean(), rtol=0.02)
    assert student.predict_interval(X).min() > 0


def test_lists_of_the_same_fitted_transformer_are_distilled_in_its_space(prices):
    X, y = prices
    power = {"transformer": PowerTransformer()}
    models = [log_tree(X, y, seed, **power) for seed in range(3)]
    student = DLFRegressor(q=2, **QUICK).fit(X, y, ensemble=models)
    assert abs(student.output_center_[0]) < 0.2


@pytest.mark.parametrize("other", [{"transformer": StandardScaler()}, LOG1P])
def test_lists_with_several_transformations_are_distilled_in_units_of_y(prices, other):
    X, y = prices
    models = [log_tree(X, y, 0), log_tree(X, y, 1), log_tree(X, y, 2, **other)]
    with pytest.warns(UserWarning, match="reach below zero"):
        student = DLFRegressor(q=2, **QUICK).fit(X, y, ensemble=models)
    assert student.target_transformation_ is None
    assert student.output_center_[0] > 1e4


def test_a_transformation_that_mixes_outputs_is_distilled_in_units_of_y(two_outputs):
    X, y = two_outputs.X, two_outputs.y
    teacher = TransformedTargetRegressor(make_forest(), transformer=PCA(2)).fit(X, y)
    student = DLFRegressor(q=2, **QUICK).fit(X, y, ensemble=teacher)
    assert student.target_transformation_ is None


def test_each_output_is_transformed_back(prices):
    X, y = prices
    several = np.column_stack([y, y[::-1] / 1e3])
    teacher = TransformedTargetRegressor(make_forest(), **LOG).fit(X, several)
    student = DLFRegressor(q=2, **QUICK).fit(X, several, ensemble=teacher)
    ends = student.predict_interval(X)
    assert ends.shape == (300, 2, 2)
    assert ends.min() > 0
    draws = student.sample_predictions(X[:20], 5000, random_state=0)
    mean, cov = student.predict(X[:20], return_cov=True)
    assert_allclose(mean, draws.mean(axis=-1), rtol=0.05)
    assert cov.shape == (20, 20, 2)


def test_linear_transformations_do_not_change_the_student(prices):
    X, y = prices
    teacher = TransformedTargetRegressor(make_forest(), transformer=StandardScaler()).fit(X, y)
    student = DLFRegressor(q=2, **QUICK).fit(X, y, ensemble=teacher)
    scaler = teacher.transformer_
    scaled = scaler.transform(y[:, None])[:, 0]
    inner = DLFRegressor(q=2, **QUICK).fit(X, scaled, ensemble=teacher.regressor_)
    mean, std = inner.predict(X, return_std=True)
    found_mean, found_std = student.predict(X, return_std=True)
    assert_allclose(found_mean, scaler.mean_ + scaler.scale_ * mean, rtol=1e-10)
    assert_allclose(found_std, scaler.scale_ * std, rtol=1e-10)


def test_decreasing_transformations_keep_the_order_of_quantiles(prices, fresh):
    X, y = prices
    turned = FunctionTransformer(lambda y: -np.log(y), lambda u: np.exp(-u))
    teacher = TransformedTargetRegressor(make_forest(), transformer=turned).fit(X, y)
    student = DLFRegressor(q=2, **QUICK).fit(X, y, ensemble=teacher)
    quantiles = student.predict_quantiles(fresh[0], [0.05, 0.5, 0.95])
    assert np.all(np.diff(quantiles) > 0)
    share = (fresh[1][:, None] < quantiles).mean(axis=0)
    assert_allclose(share, [0.05, 0.5, 0.95], atol=0.15)  # trained briefly
    student.conformalize(*fresh)
    share = (fresh[1][:, None] < student.predict_quantiles(fresh[0], [0.05, 0.95])).mean(axis=0)
    assert_allclose(share, [0.05, 0.95], atol=0.01)


@pytest.mark.parametrize("baseline", [HydraRegressor, BatchEnsembleRegressor])
def test_baselines_average_their_members_in_units_of_y(prices, teacher, baseline):
    X, y = prices
    student = baseline(hidden_layer_sizes=(20,), max_iter=2, random_state=0)
    student.fit(X, y, ensemble=teacher)
    members = student.member_predictions(X)
    mean, std = student.predict(X, return_std=True)
    assert_allclose(mean, members.mean(axis=1))
    assert_allclose(std, members.std(axis=1))
    assert members.min() > 0
    assert student.predict_interval(X).min() > 0
    assert set(student.sample_predictions(X[:1], 50, random_state=0)[0]) <= set(
        student.member_predictions(X[:1])[0]
    )


def test_an_infinite_density_at_zero_is_told():
    rng = np.random.RandomState(0)
    X = rng.uniform(-1, 2, size=(60, 2))
    y = rng.poisson(np.exp(X[:, 0])).astype(float)
    factors = np.exp(0.1 * rng.standard_normal(5))
    roots = FunctionTransformer(np.sqrt, np.square)
    ensemble = FittedEnsemble(
        lambda X: np.exp(X[:, :1]) * factors, outputs="values", n_members=5, transformer=roots
    )
    student = DLFRegressor(augment=None, **QUICK).fit(X, y, ensemble=ensemble, unseen=True)
    n_zeros = np.count_nonzero(y == 0)
    with pytest.warns(UserWarning, match=f"infinitely steep at {n_zeros} of 60 values"):
        neg_nll_scorer(student, X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(neg_nll_scorer(student, X[y > 0], y[y > 0]))


def test_the_density_of_y_is_that_of_its_logarithm_over_y(student, inner, fresh):
    X, y = fresh
    expected = neg_nll_scorer(inner, X, np.log(y)) - np.log(y).mean()
    assert_allclose(neg_nll_scorer(student, X, y), expected, rtol=1e-7)
    assert -neg_crps_scorer(student, X, y) < 0.5 * np.std(y)


def test_members_are_scored_in_the_transformed_space(student, inner, prices, teacher):
    X, y = prices
    expected = make_member_log_likelihood_scorer(teacher.regressor_)(inner, X)
    assert_allclose(make_member_log_likelihood_scorer(teacher)(student, X), expected, rtol=1e-9)
    models = [DecisionTreeRegressor(max_depth=4, random_state=i).fit(X, y) for i in range(2)]
    assert np.isfinite(make_member_log_likelihood_scorer(models)(student, X))


def test_memory_keeps_both_spaces_apart(prices, tmp_path):
    X, y = prices
    teacher = TransformedTargetRegressor(make_forest(), **LOG).fit(X, y)
    kept = [DLFRegressor(q=2, memory=str(tmp_path), **QUICK) for _ in range(2)]
    first, second = (each.fit(X, y, ensemble=teacher) for each in kept)
    inside = clone(kept[0]).fit(X, np.log(y), ensemble=teacher)
    assert_array_equal(first.predict(X), second.predict(X))
    assert_allclose(inside.predict(X), first.latent_parameters(X).mean[:, 0], rtol=1e-6)


@pytest.mark.parametrize("is_fitted", [True, False])
def test_values_without_a_logarithm_are_refused_with_the_way_out(prices, is_fitted):
    X, y = prices
    teacher = TransformedTargetRegressor(make_forest(), **LOG)
    if is_fitted:
        teacher.fit(X, y)
    y = np.where(y < np.median(y), 0, y)
    with pytest.raises(ValueError, match=r"not finite at 150 of 300 rows.*np\.log1p"):
        DLFRegressor(q=2, **QUICK).fit(X, y, ensemble=teacher)


def test_without_y_members_are_transformed_back(prices, teacher):
    X, y = prices
    student = DLFRegressor(q=2, **QUICK).fit(X, ensemble=teacher)
    assert student.target_noise_ is None
    assert student.sample_predictions(X, 50, random_state=0).min() > 0
    assert abs(np.median(student.predict(X) / y) - 1) < 0.3


WAYS = {
    "log": LOG,
    "log1p": LOG1P,
    "sqrt": {"func": np.sqrt, "inverse_func": np.square},
    "scaler": {"transformer": StandardScaler()},
    "power": {"transformer": PowerTransformer()},
    "box-cox": {"transformer": PowerTransformer("box-cox")},
}
TARGETS = {
    "prices": lambda y, rng: y,
    "near one": lambda y, rng: (y / 6e4) ** 0.3,
    "small rates": lambda y, rng: 0.02 * (y / 6e4) ** 0.5,
    "counts": lambda y, rng: rng.poisson(2 * (y / 6e4) ** 0.7) + 1.0,
    "hardly predictable": lambda y, rng: 100 + 30 * rng.standard_normal(len(y)) + np.log(y),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("target", TARGETS)
def test_y_that_is_transformed_already_is_recognised(prices, target, way):
    X, y = prices
    y = TARGETS[target](y, np.random.RandomState(0))
    teacher = TransformedTargetRegressor(make_forest(), **WAYS[way]).fit(X, y)
    task = RegressionTask(False, None)
    for values, inside in ((y, False), (teacher.transformer_.transform(y[:, None])[:, 0], True)):
        facts, predict = TeacherCache(None).look_up(teacher, len(X))
        found = EnsembleTeacher(facts, predict, X, "regressor")
        transformation, values = task.enter_space(found, values)
        assert found.is_transformed
        assert (transformation is None) == inside
        assert_allclose(np.ravel(values), teacher.transformer_.transform(y[:, None])[:, 0])


@pytest.mark.parametrize("way", ["fit", "constructor"])
def test_a_student_of_logarithms_inside_a_transformed_target_answers_once(prices, teacher, way):
    X, y = prices
    student, given = DLFRegressor(q=2, **QUICK), {"ensemble": teacher}
    if way == "constructor":
        student.set_params(ensemble=FittedEnsemble(teacher))
        given = {}
    model = TransformedTargetRegressor(student, **LOG).fit(X, y, **given)
    by_hand = clone(student).fit(X, np.log(y), ensemble=teacher.regressor_)
    assert_array_equal(model.predict(X), np.exp(by_hand.predict(X)))
    ends = predict_interval(model, X)
    assert_allclose(ends, np.exp(by_hand.predict_interval(X)), rtol=1e-12)
    assert model.regressor_.target_transformation_ is None


def test_a_student_inside_is_scored_with_its_teacher_in_the_same_space(prices, teacher):
    X, y = prices
    student = DLFRegressor(FittedEnsemble(teacher), q=2, **QUICK).fit(X, np.log(y))
    expected = make_member_log_likelihood_scorer(teacher.regressor_)(student, X)
    assert member_log_likelihood_scorer(student, X) == expected


def test_an_unfitted_teacher_inside_is_fitted_to_what_it_is_given(prices):
    X, y = prices
    teacher = TransformedTargetRegressor(make_forest(), **LOG)
    model = TransformedTargetRegressor(DLFRegressor(teacher, q=2, **QUICK), **LOG).fit(X, y)
    assert np.isfinite(model.predict(X)).all()
    assert model.score(X, y) > 0.5


def test_a_teacher_of_prices_inside_the_logarithm_warns_with_the_way_out(prices):
    X, y = prices
    forest = make_forest().fit(X, y)
    model = TransformedTargetRegressor(DLFRegressor(FittedEnsemble(forest), **QUICK), **LOG)
    with pytest.warns(UserWarning, match="worse than a constant .* with the same transformation"):
        model.fit(X, y)


def test_a_teacher_on_another_scale_warns_even_if_a_constant_is_worse(prices):
    X, y = prices
    small = 0.02 * (y / 6e4) ** 0.3
    forest = make_forest().fit(X, small)
    student = DLFRegressor(FittedEnsemble(forest), **QUICK)
    model = TransformedTargetRegressor(student, transformer=StandardScaler())
    with pytest.warns(UserWarning, match="on another scale .*TransformedTargetRegressor"):
        model.fit(X, small)


def test_members_of_y_are_learnt_in_a_space_that_is_given():
    X, y = make_prices(150, 0)
    trees = [log_tree(X, y, seed) for seed in range(6)]
    functions = [lambda X, tree=tree: tree.predict(X) for tree in trees]  # in units of y
    logs = FunctionTransformer(np.log, np.exp)
    wrapped = FittedEnsemble(functions, outputs="values", transformer=logs)
    own = DLFRegressor(q=2, **QUICK).fit(X, y, ensemble=trees)
    given = DLFRegressor(q=2, **QUICK).fit(X, y, ensemble=wrapped)
    plain = DLFRegressor(q=2, **QUICK).fit(X, y, ensemble=functions)
    assert_allclose(wrapped.member_predictions(X), member_predictions(trees, X))
    assert_allclose(given.predict(X), own.predict(X), rtol=1e-4)
    assert_allclose(given.predict_interval(X), own.predict_interval(X), rtol=1e-4)
    assert (given.predict_interval(X, 0.999) > 0).all()
    assert (plain.predict_interval(X, 0.999) < 0).any()
    assert_array_equal(pickle.loads(pickle.dumps(given)).predict(X), given.predict(X))


def test_draws_are_learnt_in_a_space_that_is_given():
    X, y = make_prices(60, 0)
    process = GaussianProcessRegressor(random_state=0, alpha=0.1).fit(X, y / y.mean())
    softplus = FunctionTransformer(
        lambda y: np.log(np.expm1(np.maximum(y, 1e-3))), lambda z: np.log1p(np.exp(z))
    )
    ensemble = FittedEnsemble(process, n_members=20, transformer=softplus)
    student = DLFRegressor(q=2, **QUICK).fit(X, y / y.mean(), ensemble=ensemble)
    assert student.target_transformation_ is not None
    assert (student.sample_predictions(X, 50, random_state=0) > 0).all()


@pytest.mark.parametrize(
    ("models", "options", "error", "message"),
    [
        ("values", {"transformer": np.log}, TypeError, "must have transform and inverse_transform"),
        ("logs", {"transformer": PowerTransformer()}, ValueError, "models with one of their own"),
        ("labels", {"transformer": PowerTransformer()}, ValueError, "the members are classifiers"),
    ],
)
def test_transformers_that_do_not_fit_the_members_are_refused(models, options, error, message):
    X, y = make_prices(50, 0)
    members = {
        "values": [Ridge().fit(X, y), Ridge(10.0).fit(X, y)],
        "logs": [log_tree(X, y, seed) for seed in range(2)],
        "labels": [RandomForestClassifier(3, random_state=i).fit(X, y > y.mean()) for i in (0, 1)],
    }
    with pytest.raises(error, match=message):
        FittedEnsemble(members[models], **options)


@pytest.mark.parametrize(("shape", "is_finite"), [(1.5, False), (2.6, False), (6.0, True)])
def test_heavy_tails_of_logarithms_have_no_variance(student, fresh, shape, is_finite):
    other, noise = copy.copy(student), copy.copy(student.target_noise_)
    noise.shape, noise.scale = np.array([shape]), np.array([0.15 * shape])
    noise.variance_functions = [None]
    other.target_noise_ = noise
    X = fresh[0][:50]
    if is_finite:
        std = other.predict_uncertainty(X).std
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            drawn = other.sample_y(X, 20_000, random_state=0).std(axis=1)
        assert_allclose(np.median(std / drawn), 1.0, atol=0.02)
        return
    with pytest.warns(UserWarning, match="no variance at 50 of 50 rows"):
        parts = other.predict_uncertainty(X)
    assert np.isinf(parts.total).all()
    assert np.isfinite(parts.epistemic).all()
    with pytest.warns(UserWarning, match="no variance at all rows .* sums of these draws"):
        draws = other.sample_y(X, 20_000, random_state=0)
    neg_crps_scorer(other, X[:5], np.ones(5))  # a score needs no variance
    assert_allclose(
        np.median(draws, axis=1), np.ravel(other.predict_quantiles(X, [0.5])), rtol=0.05
    )


@pytest.mark.parametrize("functions", [(np.log1p, np.expm1), (np.sqrt, np.square)])
def test_counts_that_are_mostly_zero_are_in_their_own_units(functions):
    """The logarithm of a mean count is not the mean of their logarithms."""
    rng = np.random.RandomState(0)
    X = rng.uniform(-1, 1, size=(1000, 2))
    y = rng.poisson(0.12 * np.exp(X[:, 0])).astype(float)

    def members(rows):
        return 0.12 * np.exp(rows[:, :1] + 0.2 * np.arange(-2, 3))

    ensemble = FittedEnsemble(
        members, outputs="values", n_members=5, transformer=FunctionTransformer(*functions)
    )
    facts, predict = TeacherCache(None).look_up(ensemble, len(X))
    found = EnsembleTeacher(facts, predict, X, "regressor")
    transformation, values = RegressionTask(False, None).enter_space(found, y)
    assert transformation is not None
    assert_allclose(np.ravel(values), functions[0](y))


@pytest.mark.parametrize("outlier", [0.0, 8.0, 14.0])
def test_one_prediction_far_from_all_others_does_not_tell_the_space(outlier):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((300, 2))
    y = rng.poisson(np.exp(-1.6 + 0.4 * X[:, 0]))
    X[0, 0] = outlier
    members = [
        lambda X, shift=shift: np.exp(-1.6 + shift + 0.4 * X[:, 0])
        for shift in rng.normal(0, 0.05, 10)
    ]
    logs = FunctionTransformer(np.log1p, np.expm1)
    ensemble = FittedEnsemble(members, transformer=logs, outputs="values")
    facts, predict = TeacherCache(None).look_up(ensemble, len(X))
    found = EnsembleTeacher(facts, predict, X, "regressor")
    transformation, values = RegressionTask(False, None).enter_space(found, y.astype(float))
    assert transformation is not None
    assert_allclose(np.ravel(values), np.log1p(y))


def test_of_many_outputs_all_rows_tell_the_space():
    X = np.random.RandomState(0).standard_normal((100, 2))
    means = np.exp(np.random.RandomState(1).standard_normal((100, 150)))

    def members(rows):
        return means[: len(rows), :, None] * [0.9, 1.0, 1.1]

    logs = FunctionTransformer(np.log, np.exp)
    ensemble = FittedEnsemble(members, outputs="values", n_members=3, transformer=logs)
    facts, predict = TeacherCache(None).look_up(ensemble, len(X))
    found = EnsembleTeacher(facts, predict, X, "regressor")
    transformation, values = RegressionTask(False, None).enter_space(found, means)
    assert transformation is not None
    assert_allclose(values, np.log(means))


def test_a_transformer_that_cannot_be_used_is_named():
    X = np.random.RandomState(0).uniform(-1, 1, (200, 2))
    y = 0.5 + 0.4 * X[:, 0]
    waves = FunctionTransformer(lambda y: np.cos(9 * y), lambda values: np.sin(9 * values))
    ensemble = FittedEnsemble([Ridge(alpha).fit(X, y) for alpha in (0.1, 10.0)], transformer=waves)
    facts, predict = TeacherCache(None).look_up(ensemble, len(X))
    found = EnsembleTeacher(facts, predict, X, "regressor")
    with pytest.warns(UserWarning, match=r"transformer of the ensemble is not used.*not monotone"):
        assert RegressionTask(False, None).enter_space(found, y)[0] is None


def test_a_transformation_that_does_not_suit_y_is_told_apart_from_other_units():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((400, 3))
    y = np.where(rng.uniform(size=400) < 0.2, np.exp(5 + 0.5 * X[:, 0]), 0.0)
    mean = 0.2 * np.exp(5 + 0.5 * X[:, 0])
    members = [lambda rows, m=m: 0.2 * np.exp(5 + (0.5 + 0.02 * m) * rows[:, 0]) for m in range(6)]
    assert np.corrcoef(mean, y)[0, 1] > 0.2
    transformer = FunctionTransformer(np.log1p, np.expm1)
    ensemble = FittedEnsemble(members, outputs="values", transformer=transformer)
    with pytest.warns(UserWarning, match="the transformation does not suit this y") as caught:
        DLFRegressor(**QUICK).fit(X, y, ensemble=ensemble, unseen=True)
    assert not any("in other units" in str(each.message) for each in caught)
