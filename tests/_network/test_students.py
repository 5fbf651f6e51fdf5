import copy
import pickle
from functools import cache

import naive
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf._network.bodies import make_mlp
from sklearn_dlf._network.students import SeparableStudentNetwork, StudentNetwork
from sklearn_dlf.datasets import make_dlf_ensemble

QUICK = {"q": 2, "hidden_layer_sizes": (8,), "n_epochs": 2, "tol": 1.0, "random_state": 0}

CASES = {
    "regressor": (DLFRegressor, {}, 1),
    "outputs": (DLFRegressor, {}, 2),
    "separable": (DLFRegressor, {"loadings": "separable"}, 2),
    "classifier": (DLFClassifier, {"outputs": "logits"}, 3),
}


@cache
def fit(case, **params):
    """A student and its design points; the members' spread grows along the first column."""
    estimator, options, n_outputs = CASES[case]
    fit_options = {key: options[key] for key in options if key == "outputs"}
    params = {**{key: options[key] for key in options if key != "outputs"}, **params}
    data = make_dlf_ensemble(80, n_outputs=n_outputs, n_members=12, random_state=0)
    noise = np.random.RandomState(1).standard_normal(data.predictions.shape)
    growth = np.exp(data.X[:, 0]).reshape(-1, *[1] * (noise.ndim - 1))
    predictions = data.predictions + growth * noise
    student = estimator(**QUICK, **params).fit(data.X, predictions=predictions, **fit_options)
    return student, data.X


def without_limit(student):
    """Copy of a student whose member noise may grow as it likes."""
    student = copy.deepcopy(student)
    student.student_.limit_noise(np.full(student.n_outputs_, np.inf))
    return student


def far_rows(X):
    """Rows in all directions, a thousand standard deviations away."""
    directions = np.random.RandomState(2).standard_normal((100, X.shape[1]))
    return X.mean(axis=0) + 1e3 * X.std(axis=0) * directions


@pytest.mark.filterwarnings("ignore:X has numbers far outside")
@pytest.mark.parametrize("case", CASES)
def test_member_noise_far_away_is_no_larger_than_at_the_design_points(case):
    student, X = fit(case)
    naive.make_common(student)  # `member_std` is that of the noise alone then
    at_design = student.latent_parameters(X).member_std
    far = far_rows(X)
    assert np.all(student.latent_parameters(far).member_std <= at_design.max(axis=0) * (1 + 1e-6))
    # Without the limit it would be, and not by little.
    with np.errstate(over="ignore"):
        free = without_limit(student).latent_parameters(far).member_std
    assert free.max() > 1e6 * at_design.max()


@pytest.mark.parametrize("case", CASES)
def test_design_points_do_not_notice_the_limit(case):
    student, X = fit(case)
    free = without_limit(student).latent_parameters(X).member_std
    # The limit was found in float32.
    assert_allclose(student.latent_parameters(X).member_std, free, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:X has numbers far outside")
def test_predictions_far_away_are_finite():
    student, X = fit("regressor")
    far = far_rows(X)
    mean, std = student.predict(far, return_std=True)
    assert np.isfinite(mean).all()
    # Mean and loadings are piecewise linear: a thousand times as far, about as many times the std.
    assert np.all(std < 1e5 * student.predict(X, return_std=True)[1].max())
    assert np.isfinite(student.sample_predictions(far, 5, random_state=0)).all()
    classifier, X = fit("classifier")
    assert np.isfinite(classifier.predict_uncertainty(far_rows(X)).epistemic).all()


@pytest.mark.filterwarnings("ignore:X has numbers far outside")
@pytest.mark.parametrize("case", ["regressor", "separable"])
def test_limit_outlives_pickling_and_holds_in_both_precisions(case):
    student, X = fit(case)
    far = far_rows(X)
    restored = pickle.loads(pickle.dumps(student))
    few = restored.latent_parameters(far).member_std
    assert_array_equal(few, student.latent_parameters(far).member_std)
    many = restored.latent_parameters(np.tile(far, (4, 1))).member_std  # float32
    assert_allclose(many, np.tile(few, (4, 1)), rtol=1e-4)
    assert restored.student_.frozen(exact=True).max_log_noise.dtype == torch.float64
    assert copy.deepcopy(restored.student_).to("meta").max_log_noise.is_meta


def test_rows_without_weight_do_not_raise_the_limit(known):
    X, n_rows = known.X, len(known.X)
    weights = np.ones(n_rows)
    weights[::3] = 0
    student = DLFRegressor(**QUICK).fit(X, predictions=known.predictions, sample_weight=weights)
    student_at = student.student_.frozen(exact=True)
    rows = torch.from_numpy((X - student.scaler_.mean_) / student.scaler_.scale_)
    reached = student_at.train()(rows).log_noise.numpy()
    assert_allclose(student_at.max_log_noise, reached[weights > 0].max(axis=0), rtol=1e-5)


@pytest.mark.filterwarnings("ignore:X has numbers far outside")
@pytest.mark.parametrize("member_noise", ["constant", None])
def test_member_noise_that_is_the_same_everywhere_has_no_limit(member_noise):
    student, X = fit("regressor", member_noise=member_noise)
    assert student.student_.max_log_noise.isinf().all()
    naive.make_common(student)
    std = student.latent_parameters(np.concatenate([X, far_rows(X)])).member_std
    assert_array_equal(std, np.full_like(std, std[0, 0]))


@pytest.mark.parametrize("student_class", [StudentNetwork, SeparableStudentNetwork])
def test_noise_is_clipped_outside_training_alone(student_class):
    torch.manual_seed(0)
    student = student_class(make_mlp(2, (5,), "relu"), 2, 3, 2)
    rows = torch.randn(50, 2)
    student.limit_noise([-0.1, 0.0, 0.1])
    free, clipped = student.train()(rows), student.eval()(rows)
    expected = free.log_noise.clamp(max=torch.tensor([-0.1, 0.0, 0.1]))
    assert (free.log_noise > expected).any()
    assert_array_equal(clipped.log_noise.detach(), expected.detach())
    for free_head, head in ((free.mean, clipped.mean), (free.loadings, clipped.loadings)):
        assert_array_equal(free_head.detach(), head.detach())


@pytest.mark.parametrize("student_class", [StudentNetwork, SeparableStudentNetwork])
def test_transformed_loadings_are_multiplied_and_all_else_is_left(student_class):
    torch.manual_seed(0)
    student = student_class(make_mlp(4, (6,), "tanh"), 4, 3, 2).double()
    rows = np.random.RandomState(0).standard_normal((9, 4))
    transform = np.random.RandomState(1).standard_normal((2, 2))
    before = student.evaluate(rows)
    student.transform_loadings(transform)
    after = student.evaluate(rows)
    assert_allclose(after.loadings, before.loadings @ transform, rtol=1e-12, atol=1e-14)
    assert_array_equal(after.mean, before.mean)
    assert_array_equal(after.log_noise, before.log_noise)
    assert (after.mixing is None) == (before.mixing is None)
    if after.mixing is not None:
        assert_array_equal(after.mixing, before.mixing)
