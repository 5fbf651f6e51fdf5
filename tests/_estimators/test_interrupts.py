"""A fit or an update that is interrupted, by Ctrl-C or a stop button, leaves everything sound."""

import copy

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import NotFittedError

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import DeepEnsembleRegressor

# Training is brief.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

QUICK = {"q": 2, "hidden_layer_sizes": (8,), "n_epochs": 2, "max_iter": 3, "tol": 10.0}

rng = np.random.RandomState(0)
X = rng.standard_normal((60, 3))
y = np.sin(X[:, 0]) + 0.1 * rng.standard_normal(60)

# Where a fit is interrupted.
STEPS = {
    "fit of the teacher": "sklearn_dlf._transfer.cache.fit_ensemble",
    "evaluation of the teacher": "sklearn_dlf._transfer.cache.evaluate_members",
    "training": "sklearn_dlf._fitting.trainer.Trainer.train",
    "process": "sklearn_dlf._estimators.latent_factor.learn_process",
    "noise of y": "sklearn_dlf._estimators.regressor_mixin.learn_noise_of_y",
    "memory of the rows": "sklearn_dlf._estimators.update_mixin.learn_memory",
}


def interrupt(*arguments, **options):
    raise KeyboardInterrupt


def torch_state():
    """What a fit changes while it runs."""
    return torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_an_interrupted_fit_leaves_an_unfitted_student_and_a_sound_memory(
    step, tmp_path, monkeypatch
):
    forest = RandomForestRegressor(4, random_state=0)
    student = DLFRegressor(forest, memory=str(tmp_path), random_state=0, **QUICK)
    expected = clone(student).set_params(memory=None).fit(X, y).predict(X)
    parameters, before = repr(student.get_params()), torch_state()
    with monkeypatch.context() as patch:
        patch.setattr(step, interrupt)
        with pytest.raises(KeyboardInterrupt):
            student.fit(X, y)
    with pytest.raises(NotFittedError):
        student.predict(X)
    assert (repr(student.get_params()), torch_state()) == (parameters, before)
    assert_array_equal(student.fit(X, y).predict(X), expected)
    assert_array_equal(clone(student).fit(X, y).predict(X), expected)  # from what is kept


def test_an_interrupted_update_changes_nothing(monkeypatch):
    members = y[:, None] + 0.2 * rng.standard_normal((60, 6))
    student = DLFRegressor(random_state=0, **QUICK).fit(X, y, predictions=members)
    student.update(X[:5], y[:5] + 1)
    before = student.predict_interval(X)
    with monkeypatch.context() as patch:
        patch.setattr("sklearn_dlf._updating.value_update.ValueUpdate.add", interrupt)
        with pytest.raises(KeyboardInterrupt):
            student.update(X[5:], y[5:] + 1)
    assert_array_equal(student.predict_interval(X), before)


def test_an_interrupted_deep_ensemble_can_be_fitted_again(monkeypatch):
    ensemble = DeepEnsembleRegressor(2, hidden_layer_sizes=4, max_iter=3, random_state=0)
    expected = copy.deepcopy(ensemble).fit(X, y).predict(X)
    before = torch_state()
    with monkeypatch.context() as patch:
        patch.setattr("sklearn_dlf.ensembles._deep.base.train", interrupt)
        with pytest.raises(KeyboardInterrupt):
            ensemble.fit(X, y)
    assert torch_state() == before
    assert_array_equal(ensemble.fit(X, y).predict(X), expected)
