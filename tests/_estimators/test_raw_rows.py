"""Students of raw rows through `fit`."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from raw_rows import TokenBody, conv_body, images, members_of, sentences, softmax
from torch import nn

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf.baselines import BatchEnsembleClassifier, HydraClassifier
from sklearn_dlf.ensembles import FittedEnsemble
from sklearn_dlf.metrics import make_member_log_likelihood_scorer

ROWS = {"images": (images()[0], conv_body), "sentences": (sentences(), TokenBody)}
QUICK = {"max_iter": 4, "n_epochs": 5, "lr": 0.03, "random_state": 0, "augment": None}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("student", [DLFClassifier, HydraClassifier, BatchEnsembleClassifier])
def test_classifiers_of_raw_rows_are_fitted(student, kind):
    X, make_body = ROWS[kind]
    P = softmax(2 * members_of(X))
    fitted = student(body=make_body, preprocessor=None, **QUICK).fit(X, predictions=P)
    proba = fitted.predict_proba(X)
    assert np.abs(proba - P.mean(axis=-1)).mean() < np.abs(P - P.mean(axis=0)).mean()
    assert_allclose(fitted.predict_proba(X[:3]), proba[:3], rtol=1e-3, atol=1e-5)
    assert fitted.sample_predictions(X, 4, random_state=0).shape == (80, 3, 4)


def test_regressors_of_images_are_fitted():
    X = images()[0]
    P = members_of(X, 1)[:, 0]
    fitted = DLFRegressor(q=2, body=conv_body, preprocessor=None, **QUICK)
    fitted.fit(X, P.mean(axis=1), predictions=P)
    assert fitted.predict_interval(X).shape == (80, 2)
    assert fitted.sample_y(X, 4, random_state=0).shape == (80, 4)
    assert fitted.latent_parameters(X).standardised_rows.shape == (80, 8)


def untrained_networks(X, n_outputs):
    """Fitted ensemble of networks that have learnt nothing."""
    modules = []
    for seed in range(6):
        torch.manual_seed(seed)
        modules.append(nn.Sequential(conv_body(X.shape[1:]), nn.LazyLinear(n_outputs)).eval())
        modules[-1](torch.from_numpy(X[:2]).float())
    return FittedEnsemble(modules, outputs="logits" if n_outputs > 1 else "values")


def test_a_bad_teacher_of_images_is_not_compared_with_a_linear_model_of_pixels():
    X, y = images(300)
    fitted = DLFClassifier(q=2, body=conv_body, **QUICK)
    fitted.fit(X, y, ensemble=untrained_networks(X, 10))
    assert fitted.ensemble_score_ < 0.3


def test_members_of_images_have_a_likelihood():
    X = images()[0]
    ensemble = untrained_networks(X, 1)
    fitted = DLFRegressor(q=2, body=conv_body, **QUICK).fit(X, ensemble=ensemble)
    assert np.isfinite(make_member_log_likelihood_scorer(ensemble)(fitted, X))
