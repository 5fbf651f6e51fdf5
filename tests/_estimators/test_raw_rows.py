"""Students of raw rows through `fit`."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from raw_rows import TokenBody, conv_body, images, members_of, sentences, softmax

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf.baselines import BatchEnsembleClassifier, HydraClassifier

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
