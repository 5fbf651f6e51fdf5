"""Each warning points at the line of the user, not at a line of this package or scikit-learn."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf.baselines import HydraRegressor
from sklearn_dlf.ensembles import FittedEnsemble

QUICK = {"q": 2, "hidden_layer_sizes": (8,), "n_epochs": 1, "tol": 10.0, "random_state": 0}

X = np.random.RandomState(0).standard_normal((30, 3))
Y = X[:, 0]
P = Y[:, None] + 0.5 * np.random.RandomState(1).standard_normal((30, 6))
LABELS = np.random.RandomState(2).randint(3, size=30)
PROBA = np.eye(3)[LABELS][..., None] + np.random.RandomState(3).dirichlet(
    np.ones(3), size=(30, 4)
).transpose(0, 2, 1)
PROBA /= PROBA.sum(axis=1, keepdims=True)


def unpicklable_ensemble():
    return FittedEnsemble(lambda X: X[:, :1] * np.ones(3) + X, outputs="values", n_members=3)


CASES = {
    "EM has not converged": (
        DLFRegressor(**{**QUICK, "max_iter": 1, "tol": 0.0}),
        lambda: {"y": Y, "unseen": True, "predictions": P},
        ConvergenceWarning,
        "EM was still gaining after max_iter=1",
    ),
    "q is too large": (
        DLFRegressor(**{**QUICK, "q": 8}),
        lambda: {"y": Y, "unseen": True, "predictions": P},
        UserWarning,
        "q=8 factors are more than",
    ),
    "members agree": (
        DLFRegressor(**QUICK),
        lambda: {"y": Y, "unseen": True, "predictions": np.repeat(Y[:, None], 4, axis=1)},
        UserWarning,
        "All members agree",
    ),
    "members hardly differ": (
        DLFRegressor(**QUICK),
        lambda: {"y": Y, "unseen": True, "predictions": Y[:, None] + 1e-5 * P},
        UserWarning,
        "The members hardly differ",
    ),
    "members of a baseline agree": (
        HydraRegressor(hidden_layer_sizes=8, max_iter=1, n_epochs=1, random_state=0),
        lambda: {"y": Y, "unseen": True, "predictions": np.repeat(Y[:, None], 4, axis=1)},
        UserWarning,
        "All members agree",
    ),
    "unlabeled rows are on another scale": (
        DLFRegressor(**QUICK),
        lambda: {
            "y": Y,
            "unseen": True,
            "ensemble": [Ridge(alpha).fit(X, Y) for alpha in (1, 9, 99)],
            "X_unlabeled": 1000 * X,
        },
        UserWarning,
        "X_unlabeled seems to be far from X",
    ),
    "the ensemble is worse than a constant": (
        DLFRegressor(**QUICK),
        lambda: {"y": Y, "unseen": True, "predictions": P + 100},
        UserWarning,
        "worse than a constant",
    ),
    "the ensemble is worse than the most frequent label": (
        DLFClassifier(**QUICK, refine=False),
        lambda: {"y": LABELS, "predictions": PROBA[:, [1, 2, 0]]},
        UserWarning,
        "worse than its most frequent label",
    ),
    "a list is as long as the data": (
        DLFRegressor(**QUICK, augment=None),
        lambda: {
            "y": Y,
            "unseen": True,
            "ensemble": [Ridge(alpha).fit(X, Y) for alpha in np.geomspace(1, 99, 30)],
        },
        UserWarning,
        "list of 30 models",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_warnings_of_a_fit_point_at_the_line_that_calls_it(case):
    student, arguments, category, message = CASES[case]
    with pytest.warns(category, match=message) as record:
        student.fit(X, **arguments())
    assert [warning.filename for warning in record] == [__file__]


def test_a_memory_that_keeps_nothing_points_at_the_line_that_calls_fit(tmp_path):
    student = DLFRegressor(**QUICK, augment=None, memory=str(tmp_path))
    with pytest.warns(UserWarning, match="memory keeps nothing of FittedEnsemble") as record:
        student.fit(X, ensemble=unpicklable_ensemble())
    assert [warning.filename for warning in record] == [__file__]


def test_a_warning_inside_a_pipeline_and_a_search_points_at_the_line_that_calls_the_search():
    student = DLFRegressor(**{**QUICK, "max_iter": 1, "tol": 0.0})
    search = GridSearchCV(make_pipeline(StandardScaler(), student), {"dlfregressor__q": [1]}, cv=2)
    with pytest.warns(ConvergenceWarning, match="EM was still gaining") as record:
        search.fit(X, Y, dlfregressor__predictions=P, dlfregressor__unseen=np.full(30, True))
    assert [warning.filename for warning in record] == [__file__] * 3  # two folds and the refit


def test_a_warning_inside_a_pipeline_points_at_the_line_that_calls_the_pipeline():
    pipeline = make_pipeline(StandardScaler(), DLFRegressor(**{**QUICK, "q": 8}))
    with pytest.warns(UserWarning, match="q=8 factors are more than") as record:
        pipeline.fit(X, Y, dlfregressor__predictions=P, dlfregressor__unseen=np.full(30, True))
    assert [warning.filename for warning in record] == [__file__]
