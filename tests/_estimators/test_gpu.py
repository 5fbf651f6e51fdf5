"""Students on a GPU. They are skipped without one; benchmarks/gpu.py checks far more."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf._utils.seeding import seeded

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

QUICK = {"hidden_layer_sizes": 8, "max_iter": 2, "n_epochs": 2, "random_state": 0, "device": "cuda"}
RNG = np.random.RandomState(0)
X = RNG.standard_normal((300, 3))
MEMBERS = X[:, :1] + 0.3 * np.tanh(X @ RNG.standard_normal((3, 7)))


def test_a_regressor_answers_as_its_pickle_does_on_the_cpu():
    student = DLFRegressor(q=2, **QUICK).fit(X, predictions=MEMBERS)
    restored = pickle.loads(pickle.dumps(student))
    assert (student.student_.device.type, restored.student_.device.type) == ("cuda", "cpu")
    # Few rows in float64, and many in float32.
    for rows, rtol in ((X[:50], 1e-9), (X, 1e-4)):
        answers = (each.predict(rows, return_std=True) for each in (student, restored))
        assert_allclose(*answers, rtol=rtol, atol=rtol)


def test_a_classifier_answers_as_its_pickle_does_on_the_cpu():
    first = 1 / (1 + np.exp(-MEMBERS))
    student = DLFClassifier(q=2, **QUICK).fit(X, predictions=np.stack([first, 1 - first], axis=1))
    restored = pickle.loads(pickle.dumps(student))
    answers = (each.predict_proba(X[:50]) for each in (student, restored))
    assert_allclose(*answers, rtol=1e-9)


def test_a_body_of_ones_own_may_be_on_the_gpu_already():
    student = DLFRegressor(body=lambda n: nn.Linear(n, 4).to("cuda"), q=2, **QUICK)
    assert student.fit(X, predictions=MEMBERS).student_.device.type == "cuda"


def test_seeded_draws_leave_the_generator_of_the_gpu_as_it_was():
    before = torch.cuda.get_rng_state()
    draws = []
    for _ in range(2):
        with seeded(3, "cuda:0"):
            draws.append(torch.randn(5, device="cuda:0"))
    assert torch.equal(*draws)
    assert torch.equal(torch.cuda.get_rng_state(), before)
