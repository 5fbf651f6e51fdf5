"""Students of random members, which are linear, and new rows for them."""

import numpy as np
from scipy.special import softmax

from sklearn_dlf import DLFClassifier, DLFRegressor

N_FIT, N_MEMBERS = 200, 40

# New rows with labels, and with values.
N_LABELLED, N_NEW = 120, 50


def make_rows(rng, n, has_group):
    """Return rows of three columns; the last is an indicator of a group, a tenth of the rows."""
    X = rng.standard_normal((n, 3))
    if has_group:
        X[:, 2] = X[:, 2] > 1.28
    return X


def make_classifier(n_classes, has_group=False, **parameters):
    """Return a student of random linear classifiers, and new rows with labels of one of them."""
    rng = np.random.RandomState(0)
    X = make_rows(rng, N_FIT + N_LABELLED, has_group)
    slopes = rng.standard_normal((3, n_classes, N_MEMBERS + 1))
    logits = np.einsum("nk,kcm->ncm", X, 0.7 * slopes + slopes[..., :1])
    probabilities = softmax(logits, axis=1)
    drawn = rng.uniform(size=(len(X), 1))
    y = (drawn > probabilities[..., 0].cumsum(axis=1)).sum(axis=1).clip(max=n_classes - 1)
    labels = np.array(["a", "b", "c"])[y]
    student = DLFClassifier(q=4, tol=2.0, n_epochs=10, refine=False, random_state=0, **parameters)
    student.fit(X[:N_FIT], labels[:N_FIT], predictions=probabilities[:N_FIT, :, 1:])
    return student, X[N_FIT:], labels[N_FIT:]


def make_regressor(n_outputs, has_group=False, **parameters):
    """Return a student of random linear functions around a curve, and new rows with values."""
    rng = np.random.RandomState(0)
    X = make_rows(rng, N_FIT + N_NEW, has_group)
    slopes = 0.4 * rng.standard_normal((2, n_outputs, N_MEMBERS + 1))
    members = np.einsum("nk,kcm->ncm", X[:, 1:], slopes) + np.sin(X[:, :1, None])
    y = members[..., 0] + 0.3 * rng.standard_normal(members.shape[:2])
    student = DLFRegressor(
        q=4, tol=2.0, n_epochs=10, target_noise="constant", random_state=0, **parameters
    )
    student.fit(X[:N_FIT], y[:N_FIT], predictions=members[:N_FIT, :, 1:], unseen=True)
    return student, X[N_FIT:], y[N_FIT:] if n_outputs > 1 else y[N_FIT:, 0]


def answers(student, X):
    """All that a student of regressors predicts in closed form."""
    found = (
        *student.predict(X, return_std=True),
        student.predict(X, return_cov=True)[1],
        student.predict_interval(X),
        student.predict_uncertainty(X).total,
        student.latent_parameters(X).member_cov,
    )
    return np.concatenate([np.ravel(part) for part in found])
