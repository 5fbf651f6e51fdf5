import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_digits, load_iris, make_friedman1
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingRegressor,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import Lasso, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, QuantileTransformer, StandardScaler
from sklearn.svm import SVR

from sklearn_dlf._rows.table import Table
from sklearn_dlf._transfer.cache import TeacherCache
from sklearn_dlf._transfer.step_functions import has_steps
from sklearn_dlf._transfer.teachers import PredictionsTeacher, find_teacher
from sklearn_dlf.ensembles import FittedEnsemble, member_predictions

X, y = make_friedman1(300, noise=1.0, random_state=0)
LABELS = np.digitize(y, np.quantile(y, [0.5]))


def forest(**parameters):
    return RandomForestRegressor(10, random_state=0, **parameters)


def boosted(seed):
    return GradientBoostingRegressor(n_estimators=100, subsample=0.5, random_state=seed).fit(X, y)


def is_stepped(ensemble, rows=X, kind="regressor"):
    teacher = find_teacher(
        ensemble,
        None,
        rows,
        None,
        None,
        kind=kind,
        make_default=None,
        cache=TeacherCache(None),
        is_seeded=True,
        random_state=np.random.RandomState(0),
    )
    numbers = rows.toarray() if sparse.issparse(rows) else np.asarray(rows, dtype=np.float64)
    return has_steps(teacher, Table(numbers))


def is_stepped_by_predictions(predictions, rows=X):
    return has_steps(PredictionsTeacher(predictions, len(rows)), Table(rows))


STEPPED = {
    "forest": lambda: forest().fit(X, y),
    "extra trees": lambda: ExtraTreesRegressor(10, random_state=0).fit(X, y),
    "bagged boosting": lambda: BaggingRegressor(
        HistGradientBoostingRegressor(max_iter=30), 4, random_state=0
    ).fit(X, y),
    "list of boosted models": lambda: [boosted(seed) for seed in range(3)],
    "pipeline": lambda: make_pipeline(StandardScaler(), forest()).fit(X, y),
    "quantiles": lambda: make_pipeline(QuantileTransformer(n_quantiles=50), forest()).fit(X, y),
    "transformed target": lambda: TransformedTargetRegressor(
        forest(), func=np.log1p, inverse_func=np.expm1
    ).fit(X, y - y.min()),
    "functions": lambda: FittedEnsemble(
        [lambda rows, j=j: np.floor(5 * rows[:, j]) for j in range(5)], outputs="values"
    ),
}

SMOOTH = {
    "linear": lambda: BaggingRegressor(Ridge(), 5, random_state=0).fit(X, y),
    "few columns": lambda: BaggingRegressor(Lasso(0.5), 5, random_state=0).fit(X, y),
    "kernel": lambda: BaggingRegressor(SVR(), 5, random_state=0).fit(X, y),
    "half of them trees": lambda: VotingRegressor([("a", forest()), ("b", Ridge())]).fit(X, y),
    "process": lambda: GaussianProcessRegressor(optimizer=None).fit(X, y),
    "float32 far from zero": lambda: FittedEnsemble(
        [lambda rows, j=j: 2000 + rows[:, j].astype(np.float32) for j in range(5)], outputs="values"
    ),
    "constants": lambda: FittedEnsemble(
        [lambda rows, j=j: np.full(len(rows), 1.0 + j) for j in range(5)], outputs="values"
    ),
}


@pytest.mark.parametrize("make", STEPPED.values(), ids=STEPPED)
def test_trees_are_step_functions_whatever_is_around_them(make):
    assert is_stepped(make())


@pytest.mark.parametrize("make", SMOOTH.values(), ids=SMOOTH)
def test_other_members_are_not(make):
    assert not is_stepped(make())


@pytest.mark.parametrize(
    ("model", "stepped"),
    [
        (RandomForestClassifier(10, random_state=0), True),
        (RandomForestClassifier(10, min_samples_leaf=5, random_state=0), True),
        (BaggingClassifier(LogisticRegression(C=1e4), 5, random_state=0), False),
    ],
)
def test_classifiers_are_judged_by_their_probabilities(model, stepped):
    assert is_stepped(model.fit(X, LABELS), kind="classifier") is stepped


def test_probabilities_that_are_rounded_to_zero_and_one_are_no_steps():
    rows, labels = load_iris(return_X_y=True)
    models = BaggingClassifier(LogisticRegression(C=1e6, max_iter=5000), 5, random_state=0)
    assert not is_stepped(models.fit(rows, labels), rows, kind="classifier")


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("shift", [0.0, 1e3])
def test_units_of_the_columns_do_not_matter(scale, shift):
    rows = scale * (X + shift)
    assert is_stepped(forest().fit(rows, y), rows)
    assert not is_stepped(
        make_pipeline(StandardScaler(), BaggingRegressor(Ridge())).fit(rows, y), rows
    )


def test_columns_of_integers_may_be_all_that_there_is():
    rows, labels = load_digits(return_X_y=True)
    trees = RandomForestClassifier(5, random_state=0).fit(rows, labels)
    assert is_stepped(trees, rows, kind="classifier")


def test_codes_are_not_moved():
    rows = np.column_stack([X[:, :4], np.arange(300) % 3])
    seen = []

    def member(rows, factor):
        seen.append(rows[:, 4])
        return factor * np.floor(4 * rows).sum(axis=1)

    ensemble = FittedEnsemble([lambda r, f=f: member(r, f) for f in (1, 2)], outputs="values")
    assert is_stepped(ensemble, rows)
    assert set(np.unique(np.concatenate(seen))) == {0, 1, 2}


def test_an_ensemble_that_refuses_moved_rows_is_not_judged():
    rows = np.random.RandomState(0).randint(0, 4, (300, 3))
    encoded = make_pipeline(OneHotEncoder(), BaggingRegressor(Ridge(), 3)).fit(rows, y)
    assert not is_stepped(encoded, rows)


def test_frames_are_asked_as_frames():
    frame = pd.DataFrame(X).add_prefix("column")
    assert is_stepped(forest().fit(frame, y), frame)


def test_given_predictions_of_trees_recur_and_others_do_not():
    assert is_stepped_by_predictions(member_predictions(forest().fit(X, y), X))
    ridges = BaggingRegressor(Ridge(), 5, random_state=0).fit(X, y)
    assert not is_stepped_by_predictions(member_predictions(ridges, X))


def test_rows_that_recur_say_nothing_of_given_predictions():
    rows = np.concatenate([X, X])
    ridges = BaggingRegressor(Ridge(), 5, random_state=0).fit(X, y)
    assert not is_stepped_by_predictions(member_predictions(ridges, rows), rows)


def test_clipped_predictions_are_no_trees():
    ridges = BaggingRegressor(Ridge(), 5, random_state=0).fit(X, y)
    clipped = np.clip(member_predictions(ridges, X), *np.quantile(y, [0.3, 0.7]))
    assert not is_stepped_by_predictions(clipped)


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csr_array, sparse.csc_array])
def test_sparse_rows_are_stepped_on_too(make):
    rows = make(X)
    assert is_stepped(forest().fit(rows, y), rows)
    assert not is_stepped(BaggingRegressor(Ridge(), 5, random_state=0).fit(rows, y), rows)
