"""Students do not depend on threads, on torch's own generator, or on settings of the caller's."""

import contextlib
import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf.baselines import (
    BatchEnsembleRegressor,
    DirichletClassifier,
    HydraClassifier,
    HydraRegressor,
    SmallEnsembleRegressor,
)
from sklearn_dlf.ensembles import DeepEnsembleClassifier, DeepEnsembleRegressor

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

N_MEMBERS, N_FITS, N_THREADS = 5, 8, 4

RNG = np.random.RandomState(0)
X = RNG.randn(48, 3)
VALUES = X[:, :1] + X[:, 1:2] * RNG.randn(N_MEMBERS)
TWO_VALUES = np.stack([VALUES, VALUES**2], axis=1)
LOGITS = X[:, :, None] * (1 + 0.3 * RNG.randn(3, N_MEMBERS))
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
LABELS = PROBABILITIES.mean(axis=2).argmax(axis=1)

SMALL = {
    "hidden_layer_sizes": 6,
    "n_epochs": 1,
    "augment": None,
    "out_of_bag": None,
    "random_state": 0,
}

# Students and what they learn from.
STUDENTS = {
    "regressor": (DLFRegressor(**SMALL, q=2, max_iter=2), VALUES),
    "two outputs": (DLFRegressor(**SMALL, q=2, max_iter=2, body="piecewise_linear"), TWO_VALUES),
    "separable": (DLFRegressor(**SMALL, q=2, max_iter=2, loadings="separable"), TWO_VALUES),
    "penalised start": (DLFRegressor(**SMALL, q=2, max_iter=2, init="mmd"), VALUES),
    "mini-batch EM": (DLFRegressor(**SMALL, q=2, max_iter=2, em="minibatch"), VALUES),
    "classifier": (DLFClassifier(**SMALL, q=2, max_iter=1), PROBABILITIES),
    "Hydra": (HydraRegressor(**SMALL, max_iter=1), VALUES),
    "Hydra of classes": (HydraClassifier(**SMALL, max_iter=1), PROBABILITIES),
    "BatchEnsemble": (BatchEnsembleRegressor(**SMALL, max_iter=1), VALUES),
    "small ensemble": (SmallEnsembleRegressor(**SMALL, max_iter=1), VALUES),
    "Dirichlet": (DirichletClassifier(**SMALL, max_iter=1), PROBABILITIES),
}


def fit(name, **parameters):
    """Return a new student of a name, fitted."""
    student, predictions = STUDENTS[name]
    student = type(student)(**{**student.get_params(), **parameters})
    y = LABELS if predictions is PROBABILITIES else predictions.mean(axis=-1)
    return student.fit(X, y, predictions=predictions, unseen=np.ones((len(X), N_MEMBERS), bool))


def digest(student):
    """Return all bits of a student's network."""
    arrays = (tensor.numpy().tobytes() for tensor in student.student_.state_dict().values())
    return hashlib.sha256(b"".join(arrays)).hexdigest()


def predictions_of(model):
    """Return predictions of a model at few and at many rows, as arrays."""
    many = np.resize(X, (1100, X.shape[1]))
    arrays = [model.predict(X), model.predict(many)]
    if hasattr(model, "predict_proba"):
        arrays.append(model.predict_proba(many))
    else:
        arrays += [*model.predict(many, return_std=True)]
    if isinstance(model, DLFClassifier):
        arrays += [model.predict_log_proba(many), *model.predict_uncertainty(X).values()]
    sampled = getattr(model, "sample_predictions", None)
    arrays.append(sampled(X, 3, random_state=0) if sampled else model.member_predictions(X))
    return [np.asarray(array) for array in arrays]


@contextlib.contextmanager
def default_dtype():
    """Make float64 the default dtype."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def default_device():
    """Make a device without memory the default of this thread."""
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


SETTINGS = {
    "default dtype": default_dtype,
    "default device": default_device,
    "no gradients": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu"),
}


@pytest.fixture(scope="module")
def fitted():
    """Students of all kinds, fitted without any setting."""
    return {name: fit(name) for name in STUDENTS}


@pytest.fixture(scope="module")
def ensembles():
    """Deep ensembles, fitted without any setting."""
    return {
        DeepEnsembleRegressor: fit_ensemble(DeepEnsembleRegressor),
        DeepEnsembleClassifier: fit_ensemble(DeepEnsembleClassifier),
    }


def fit_ensemble(ensemble_class):
    """Return a fitted deep ensemble."""
    y = LABELS if ensemble_class is DeepEnsembleClassifier else VALUES[:, 0]
    return ensemble_class(3, hidden_layer_sizes=5, max_iter=2, random_state=0).fit(X, y)


@pytest.mark.parametrize("name", STUDENTS)
def test_fit_and_predictions_leave_the_state_of_torch(name):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    predictions_of(fit(name))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["regressor", "classifier", "Hydra", "penalised start"])
def test_one_seed_gives_one_student_in_threads_too(name, fitted):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with ThreadPoolExecutor(N_THREADS) as pool:
        digests = set(pool.map(lambda _: digest(fit(name)), range(N_FITS)))
    assert digests == {digest(fitted[name])}
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_one_seed_gives_one_body_of_the_users_own_in_threads_too(dropout):
    def make(n_features):
        return nn.Sequential(nn.Linear(n_features, 4), nn.Tanh(), nn.Dropout(dropout))

    with ThreadPoolExecutor(N_THREADS) as pool:
        students = pool.map(lambda _: fit("Hydra", body=make), range(N_FITS))
        digests = {digest(student) for student in students}
    assert digests == {digest(fit("Hydra", body=make))}


def test_bodies_without_draws_train_at_the_same_time():
    meeting = threading.Barrier(2, timeout=20)

    class Meeting(nn.Linear):
        def forward(self, X):
            # Two threads meet in a step of training. If one had to wait for the other's end, the
            # barrier would time out.
            if self.training and torch.is_grad_enabled() and len(X) > 2 and not self.has_met:
                meeting.wait()
                self.has_met = True
            return super().forward(X)

    def make(n_features):
        layer = Meeting(n_features, 4)
        layer.has_met = False
        return layer

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: digest(fit("Hydra", body=make)), range(2))
    assert one == other


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", STUDENTS)
def test_fits_do_not_depend_on_settings(name, setting, fitted):
    with SETTINGS[setting]():
        student = fit(name)
    assert digest(student) == digest(fitted[name])


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", STUDENTS)
def test_predictions_do_not_depend_on_settings(name, setting, fitted):
    student = fitted[name]
    expected = predictions_of(student)
    student.student_.__dict__.pop("_frozen")  # so that the copy is made under the setting
    with SETTINGS[setting]():
        inside = predictions_of(student)
    for some in (inside, predictions_of(student)):
        for array, other in zip(some, expected, strict=True):
            np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("ensemble_class", [DeepEnsembleRegressor, DeepEnsembleClassifier])
def test_deep_ensembles_do_not_depend_on_settings(ensemble_class, setting, ensembles):
    expected = ensembles[ensemble_class]
    with SETTINGS[setting]():
        ensemble = fit_ensemble(ensemble_class)
        inside = predictions_of(ensemble)
    for weights, other in zip(ensemble.coefs_, expected.coefs_, strict=True):
        np.testing.assert_array_equal(weights, other)
    for array, other in zip(inside, predictions_of(expected), strict=True):
        np.testing.assert_array_equal(array, other)
