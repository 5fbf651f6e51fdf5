"""Sparse rows reach teachers that take them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    BaggingRegressor,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from sklearn_dlf import DLFRegressor
from sklearn_dlf._transfer import teachers
from sklearn_dlf.ensembles import DeepEnsembleRegressor, member_predictions

rng = np.random.default_rng(0)
X = rng.poisson(0.5, size=(60, 6)).astype(float)
Y = X[:, 0] + X[:, 1] + 0.1 * rng.normal(size=60)
SPARSE = sparse.csr_array(X)

TEACHERS = {
    "list": [Ridge(alpha).fit(SPARSE, Y) for alpha in (1, 9)],
    "classifiers": [LogisticRegression(C=c).fit(SPARSE, Y > 1) for c in (1, 9)],
    "forest": RandomForestRegressor(4, random_state=0).fit(SPARSE, Y),
    "forest of classifiers": RandomForestClassifier(4, random_state=0).fit(SPARSE, Y > 1),
    "bagging": BaggingRegressor(Ridge(), 4, max_features=0.5, random_state=0).fit(SPARSE, Y),
    "voting": VotingRegressor([("a", Ridge()), ("b", Ridge(9))]).fit(SPARSE, Y),
    "calibrated": CalibratedClassifierCV(LogisticRegression(), cv=2).fit(SPARSE, Y > 1),
    "pipeline": make_pipeline(MaxAbsScaler(), BaggingRegressor(Ridge(), 3)).fit(SPARSE, Y),
}

FORMATS = ["csr_array", "csc_array", "coo_array", "csr_matrix", "csc_matrix", "coo_matrix"]


@pytest.mark.parametrize("teacher", TEACHERS.values(), ids=TEACHERS.keys())
@pytest.mark.parametrize("form", FORMATS)
def test_members_are_evaluated_at_sparse_rows(teacher, form):
    rows = getattr(sparse, form)(X)
    assert_allclose(member_predictions(teacher, rows), member_predictions(teacher, X))


@pytest.mark.parametrize("form", FORMATS)
def test_models_of_boosting_get_sparse_rows_as_they_are(form):
    lightgbm, catboost = pytest.importorskip("lightgbm"), pytest.importorskip("catboost")
    rows, matrix = getattr(sparse, form)(X), sparse.csr_matrix(X)
    options = {"verbose": 0, "thread_count": 1, "allow_writing_files": False}
    models = [
        lightgbm.LGBMRegressor(n_estimators=2, verbose=-1, n_jobs=1).fit(matrix, Y),
        catboost.CatBoostRegressor(iterations=2, **options).fit(matrix, Y),
    ]
    expected = np.column_stack([model.predict(matrix) for model in models])
    assert_allclose(member_predictions(models, rows), expected)


def test_teachers_that_take_no_sparse_rows_say_so():
    teacher = [HistGradientBoostingRegressor(max_iter=n).fit(X, Y) for n in (1, 2)]
    with pytest.raises(TypeError, match="Sparse data was passed"):
        member_predictions(teacher, SPARSE)


def test_a_deep_ensemble_of_dense_rows_takes_sparse_ones():
    teacher = DeepEnsembleRegressor(2, hidden_layer_sizes=3, max_iter=1, random_state=0).fit(X, Y)
    assert_allclose(member_predictions(teacher, SPARSE), member_predictions(teacher, X))


def test_sparse_rows_of_another_number_of_columns_raise():
    with pytest.raises(ValueError, match=r"X has shape \(60, 5\), but Ridge was fitted with 6"):
        member_predictions(TEACHERS["list"], SPARSE[:, :5])


@pytest.mark.parametrize("form", FORMATS)
def test_students_learn_from_teachers_of_sparse_rows_in_blocks(form, monkeypatch):
    monkeypatch.setattr(teachers, "BLOCK_ROWS", 25)
    quick = {"q": 1, "hidden_layer_sizes": 10, "n_epochs": 1, "tol": 10.0, "random_state": 0}
    rows = getattr(sparse, form)(X)
    student = DLFRegressor(TEACHERS["list"], **quick).fit(X, X_ensemble=rows)
    expected = DLFRegressor(TEACHERS["list"], **quick).fit(X, X_ensemble=X)
    assert_allclose(student.predict(X), expected.predict(X), rtol=1e-5)
