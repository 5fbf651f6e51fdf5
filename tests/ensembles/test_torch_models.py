"""Torch modules, skorch nets, callables and draws of a posterior as members."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, softmax
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import (
    FittedEnsemble,
    describe_ensemble,
    is_fitted_ensemble,
    member_predictions,
    unseen_rows,
)

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 3))
y = X[:, 0] + 0.1 * rng.normal(size=40)
frame = pd.DataFrame(X, columns=["x", "y", "z"])
read_only = X.copy()
read_only.setflags(write=False)


def make_modules(n_outputs, *layers, n_members=3):
    torch.manual_seed(0)
    return [nn.Sequential(nn.Linear(3, n_outputs), *layers) for _ in range(n_members)]


def ask(module, rows=X):
    with torch.no_grad():
        return module.eval()(torch.tensor(rows, dtype=torch.float32)).numpy()


# Torch modules


@pytest.mark.parametrize("rows", [read_only, X, frame, np.asfortranarray(X), X.astype(np.float32)])
def test_modules_return_values(rows):
    modules = make_modules(1)
    predictions = FittedEnsemble(modules, outputs="values").member_predictions(rows)
    assert_allclose(predictions, np.hstack([ask(m) for m in modules]), rtol=1e-6)


def test_modules_of_several_outputs_keep_members_last():
    predictions = FittedEnsemble(make_modules(2), outputs="values").member_predictions(X)
    assert predictions.shape == (40, 2, 3)


def test_logits_and_probabilities_are_told_apart():
    modules = make_modules(4)
    by_logits = FittedEnsemble(modules, outputs="logits").member_predictions(X)
    assert_allclose(by_logits[..., 1], softmax(ask(modules[1]), axis=1), rtol=1e-5)
    ended = [nn.Sequential(module, nn.Softmax(dim=1)) for module in modules]
    by_probabilities = FittedEnsemble(ended, outputs="probabilities").member_predictions(X)
    assert_allclose(by_probabilities, by_logits, rtol=1e-5)
    with pytest.raises(ValueError, match="If these are logits, say so with outputs='logits'"):
        FittedEnsemble(modules, outputs="probabilities").member_predictions(X)


def test_one_column_belongs_to_the_second_class():
    modules = make_modules(1)
    predictions = FittedEnsemble(modules, outputs="logits").member_predictions(X)
    assert_allclose(predictions[:, 1, 2], expit(ask(modules[2])[:, 0]), rtol=1e-5)
    ended = [nn.Sequential(module, nn.Sigmoid(), nn.Flatten(0)) for module in modules]
    by_probabilities = FittedEnsemble(ended, outputs="probabilities").member_predictions(X)
    assert_allclose(by_probabilities, predictions, rtol=1e-5)


def test_log_probabilities_are_logits():
    modules = make_modules(3)
    ended = [nn.Sequential(module, nn.LogSoftmax(dim=1)) for module in modules]
    assert_allclose(
        FittedEnsemble(ended, outputs="logits").member_predictions(X),
        FittedEnsemble(modules, outputs="logits").member_predictions(X),
        rtol=1e-5,
    )


def test_modules_are_asked_in_evaluation_mode_and_put_back():
    modules = make_modules(1, nn.Dropout(0.5), nn.BatchNorm1d(1))
    frozen, statistics = modules[0][2].eval(), modules[1][2].running_mean.clone()
    ensemble = FittedEnsemble(modules, outputs="values")
    first, second = ensemble.member_predictions(X), ensemble.member_predictions(X)
    assert_array_equal(first, second)  # no dropout
    assert modules[0].training
    assert modules[0][1].training
    assert not frozen.training
    assert_array_equal(modules[1][2].running_mean, statistics)


def test_modules_are_put_back_after_an_error():
    modules = make_modules(1)
    with pytest.raises(RuntimeError):
        FittedEnsemble(modules, outputs="values").member_predictions(X[:, :2])
    assert modules[0].training


def test_modules_leave_no_gradients():
    modules = make_modules(1)
    FittedEnsemble(modules, outputs="values").member_predictions(X)
    assert modules[0][0].weight.grad is None
    assert modules[0][0].weight.requires_grad


def test_modules_keep_their_precision_and_device():
    class Watching(nn.Linear):
        def forward(self, rows):
            assert (rows.dtype, rows.device) == (self.weight.dtype, self.weight.device)
            return super().forward(rows)

    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        modules = [Watching(3, 1, dtype=dtype) for _ in range(2)]
        FittedEnsemble(modules, outputs="values").member_predictions(X)
        assert modules[0].weight.dtype == dtype


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_modules_on_a_gpu_stay_there():
    modules = make_modules(1)
    on_cpu = FittedEnsemble(modules, outputs="values").member_predictions(X)
    for module in modules:
        module.to("cuda")
    on_gpu = FittedEnsemble(modules, outputs="values").member_predictions(X)
    assert modules[0][0].weight.is_cuda
    assert_allclose(on_gpu, on_cpu, rtol=1e-3, atol=1e-4)


def test_many_rows_pass_in_batches():
    modules, rows = make_modules(1), np.tile(X, (500, 1))
    predictions = FittedEnsemble(modules, outputs="values").member_predictions(rows)
    assert_allclose(predictions[:, 0], ask(modules[0], rows)[:, 0], rtol=1e-5, atol=1e-6)


def test_ensembles_of_modules_pickle():
    ensemble = FittedEnsemble(make_modules(3), outputs="logits", classes=["a", "b", "c"])
    copy = pickle.loads(pickle.dumps(ensemble))
    assert_array_equal(copy.member_predictions(X), ensemble.member_predictions(X))
    assert_array_equal(copy.classes_, ["a", "b", "c"])


def test_classes_of_modules_are_known_only_where_said():
    ensemble = FittedEnsemble(make_modules(3), outputs="logits")
    assert ensemble.kind == "classifier"
    with pytest.raises(AttributeError, match=r"FittedEnsemble\(..., classes=...\) says the labels"):
        _ = ensemble.classes_
    with pytest.raises(ValueError, match=r"3 columns of probabilities.* 2 are known"):
        FittedEnsemble(make_modules(3), outputs="logits", classes=[0, 1]).member_predictions(X)


@pytest.mark.parametrize("models", [make_modules(1), make_modules(1)[0]])
def test_modules_must_be_a_list_that_says_its_outputs(models):
    with pytest.raises(TypeError, match=r"FittedEnsemble\(.*outputs=\.\.\."):
        member_predictions(models, X)


def test_a_module_that_returns_a_tuple_is_named():
    class Two(nn.Linear):
        def forward(self, rows):
            return super().forward(rows), rows

    with pytest.raises(TypeError, match="Two returned a tuple, expected one tensor"):
        FittedEnsemble([Two(3, 1), Two(3, 1)], outputs="values").member_predictions(X)


# Skorch nets


def train(net_class, n_outputs, targets, **options):
    options = {"max_epochs": 2, "train_split": None, "verbose": 0, **options}
    nets = [
        net_class(nn.Linear, module__in_features=3, module__out_features=n_outputs, **options)
        for _ in range(2)
    ]
    return [net.fit(X.astype(np.float32), targets) for net in nets]


@pytest.mark.parametrize("rows", [X, frame])
def test_skorch_regressors_get_float32_arrays(rows):
    nets = train(NeuralNetRegressor, 1, y[:, np.newaxis].astype(np.float32))
    expected = np.hstack([net.predict(X.astype(np.float32)) for net in nets])
    assert_allclose(member_predictions(nets, rows), expected)


def test_skorch_classifiers_return_probabilities():
    labels = np.array(["a", "b", "c"])[rng.integers(3, size=40)]
    codes = np.unique(labels, return_inverse=True)[1]
    nets = train(NeuralNetClassifier, 3, codes, criterion=nn.CrossEntropyLoss)
    predictions = member_predictions(nets, X)
    assert_allclose(predictions[..., 1], softmax(ask(nets[1].module_), axis=1), rtol=1e-5)
    assert_array_equal(describe_ensemble(nets).classes, [0, 1, 2])


def test_skorch_binary_classifiers_return_two_columns():
    nets = train(NeuralNetBinaryClassifier, 1, (y > 0).astype(np.float32))
    predictions = member_predictions(nets, X)
    assert_allclose(predictions[:, 1, 0], expit(ask(nets[0].module_)[:, 0]), rtol=1e-5)


@pytest.mark.parametrize("steps", [[StandardScaler()], []])
def test_skorch_nets_in_pipelines_get_float32_too(steps):
    fitted = [step.fit(X) for step in steps]
    rows = fitted[0].transform(X) if fitted else X
    labels = np.array([0, 1, 2])[rng.integers(3, size=40)]
    for nets in (
        train(NeuralNetRegressor, 1, y[:, np.newaxis].astype(np.float32)),
        train(NeuralNetClassifier, 3, labels, criterion=nn.CrossEntropyLoss),
    ):
        pipelines = [make_pipeline(*fitted, net) for net in nets]
        assert_allclose(member_predictions(pipelines, X), member_predictions(nets, rows))


def test_skorch_nets_of_no_kind_say_their_outputs():
    nets = train(NeuralNet, 1, y[:, np.newaxis].astype(np.float32), criterion=nn.MSELoss)
    with pytest.raises(TypeError, match="does not say whether it returns values or probab"):
        member_predictions(nets, X)
    predictions = FittedEnsemble(nets, outputs="values").member_predictions(X)
    assert_allclose(predictions[:, 0], ask(nets[0].module_)[:, 0], rtol=1e-5)
    predictions = FittedEnsemble(nets, outputs="logits").member_predictions(X)
    assert_allclose(predictions[:, 1, 0], expit(ask(nets[0].module_)[:, 0]), rtol=1e-5)


def test_a_skorch_net_that_was_not_fitted_is_named():
    nets = [NeuralNetRegressor(nn.Linear) for _ in range(2)]
    with pytest.raises(ValueError, match=r"Model 0 \(NeuralNetRegressor\) is not fitted"):
        member_predictions(nets, X)


# Callables


def test_callables_return_one_member_each():
    ensemble = FittedEnsemble([lambda X: X[:, 0], lambda X: X[:, 1]], outputs="values")
    assert_array_equal(ensemble.member_predictions(X), X[:, :2])
    assert repr(ensemble) == "FittedEnsemble([2 x <lambda>], kind='regressor', n_members=2)"


def test_a_callable_returns_all_members_last():
    ensemble = FittedEnsemble(lambda X: X, outputs="values", n_members=3)
    assert_array_equal(ensemble.member_predictions(X), X)
    several = FittedEnsemble(lambda X: np.stack([X, -X], 1), outputs="values", n_members=3)
    assert_array_equal(several.member_predictions(X)[:, 1], -X)
    binary = FittedEnsemble(lambda X: X, outputs="logits", n_members=3)
    assert_allclose(binary.member_predictions(X)[:, 1], expit(X), rtol=1e-6)


def test_a_callable_with_members_first_is_named():
    ensemble = FittedEnsemble(lambda X: X.T, outputs="values", n_members=3)
    with pytest.raises(ValueError, match=r"shape \(3, 40\), expected members last"):
        ensemble.member_predictions(X)


@pytest.mark.parametrize("options", [{}, {"outputs": "values"}, {"n_members": 3}])
def test_a_callable_says_its_outputs_and_members(options):
    with pytest.raises(ValueError, match=r"expected outputs, one of .* and n_members"):
        FittedEnsemble(lambda X: X, **options)


def test_callables_mix_with_models_of_their_kind():
    ridge = Ridge().fit(X, y)
    ensemble = FittedEnsemble([ridge, lambda X: X[:, 0]], outputs="values")
    assert_allclose(ensemble.member_predictions(X), np.c_[ridge.predict(X), X[:, 0]])
    classifier = LogisticRegression().fit(X, np.where(y > 0, "yes", "no"))
    ensemble = FittedEnsemble([classifier, lambda X: expit(X[:, 0])], outputs="probabilities")
    assert_array_equal(ensemble.classes_, ["no", "yes"])


# Draws of a posterior


def fitted_process(kernel, **options):
    return GaussianProcessRegressor(kernel, optimizer=None, **options).fit(X, y)


def test_a_gaussian_process_is_drawn_in_one_call_over_all_rows():
    process = fitted_process(RBF(2.0), alpha=0.1)
    ensemble = FittedEnsemble(process, n_members=7, random_state=3)
    assert_allclose(ensemble.member_predictions(frame), process.sample_y(X, 7, random_state=3))
    # A draw is one function: two rows with the same columns have the same value in it.
    twins = ensemble.member_predictions(np.repeat(X[:1], 2, axis=0) + 1)
    assert_allclose(twins[0], twins[1], atol=1e-5)


def test_a_gaussian_process_has_fifty_members_and_the_same_in_each_call():
    process = fitted_process(RBF(2.0), alpha=0.1)
    assert member_predictions(process, X).shape == (40, 50)
    assert_array_equal(member_predictions(process, X), member_predictions(process, X))
    assert unseen_rows(process, 40) is None


@pytest.mark.parametrize(
    "kernel",
    [
        RBF(2.0) + WhiteKernel(0.3),
        ConstantKernel(2.0) * (WhiteKernel(0.15) + RBF(2.0)),
    ],
)
def test_draws_of_a_gaussian_process_leave_the_noise_out(kernel):
    process = fitted_process(kernel, normalize_y=True)
    predictions = FittedEnsemble(process, n_members=4000).member_predictions(X)
    mean, covariance = process.predict(X, return_cov=True)
    covariance -= 0.3 * y.var() * np.eye(len(X))
    # Four standard errors of 4000 draws.
    atol = 4 * np.sqrt(2 / 4000) * covariance.diagonal().max()
    assert_allclose(np.cov(predictions), covariance, atol=atol)
    assert_allclose(predictions.mean(axis=1), mean, atol=0.06 * np.sqrt(covariance.max()))
    assert process.kernel_ == kernel


def test_a_gaussian_process_of_several_targets_keeps_draws_last():
    process = GaussianProcessRegressor(RBF(2.0), alpha=0.1, optimizer=None).fit(X, np.c_[y, -y])
    assert FittedEnsemble(process, n_members=4).member_predictions(X).shape == (40, 2, 4)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda process: process,
        lambda process: make_pipeline(StandardScaler(), process),
        lambda process: make_pipeline(make_pipeline(process)),
        FrozenEstimator,
        TransformedTargetRegressor,
    ],
)
def test_a_gaussian_process_that_predicts_its_prior_is_not_fitted(wrap):
    unfitted = wrap(GaussianProcessRegressor(optimizer=None))
    assert not is_fitted_ensemble(unfitted)
    assert is_fitted_ensemble(wrap(fitted_process(RBF())).fit(X, y))
    with pytest.raises(NotFittedError, match="is not fitted"):
        describe_ensemble(unfitted)
    with pytest.raises(NotFittedError, match=r"Model 0 .* is not fitted"):
        describe_ensemble([unfitted, unfitted])


def test_an_unfitted_gaussian_process_is_fitted_in_each_fold():
    process = make_pipeline(StandardScaler(), GaussianProcessRegressor(alpha=0.1, optimizer=None))
    student = DLFRegressor(process, hidden_layer_sizes=(4,), n_epochs=1, tol=10.0, random_state=0)
    grid = GridSearchCV(student, {"q": [1, 2]}, cv=2, error_score="raise").fit(X, y)
    assert grid.best_estimator_.n_members_ == 50


def test_draws_pass_through_a_pipeline():
    pipeline = make_pipeline(
        StandardScaler(), GaussianProcessRegressor(RBF(2.0), alpha=0.1, optimizer=None)
    ).fit(X, y)
    ensemble = FittedEnsemble(pipeline, n_members=6, random_state=1)
    expected = pipeline[-1].sample_y(pipeline[0].transform(X), 6, random_state=1)
    assert_allclose(ensemble.member_predictions(X), expected)


class BayesianLine:
    """A posterior of another library: draws of y around draws of the function."""

    def sample_y(self, X, n_samples=1, random_state=None):
        slopes = np.random.default_rng(random_state).normal(size=n_samples)
        return X[:, :1] * slopes


class Student(BayesianLine):
    def sample_predictions(self, X, n_samples=1, random_state=None):
        return np.zeros((len(X), n_samples)) + np.arange(n_samples)


class WrongWayRound:
    def sample_y(self, X, n_samples=1, random_state=None):
        return np.zeros((n_samples, len(X)))


def test_whatever_draws_is_a_posterior():
    ensemble = FittedEnsemble(BayesianLine(), n_members=5)
    assert_allclose(ensemble.member_predictions(X), BayesianLine().sample_y(X, 5, 0))


def test_draws_of_functions_are_preferred_to_draws_of_y():
    assert_array_equal(member_predictions(Student(), X)[0], np.arange(50))


def test_draws_that_are_not_last_are_named():
    with pytest.raises(ValueError, match=r"shape \(50, 40\), expected the 50 draws along the last"):
        member_predictions(WrongWayRound(), X)


def test_a_process_that_cannot_be_drawn_is_unknown():
    process = GaussianProcessClassifier(optimizer=None).fit(X, y > 0)
    with pytest.raises(TypeError, match="GaussianProcessClassifier is not an ensemble known"):
        member_predictions(process, X)
