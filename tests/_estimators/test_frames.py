"""Students of ensembles that know frames, missing values, sparse rows and rows without y."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    BaggingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf._estimators import row_parts
from sklearn_dlf.baselines import HydraRegressor
from sklearn_dlf.ensembles import DeepEnsembleRegressor, FittedEnsemble, member_predictions

QUICK = {"q": 1, "hidden_layer_sizes": (8,), "n_epochs": 1, "tol": 10.0, "random_state": 0}

N = 90


def make_frame(n_rows=N, seed=0):
    """A frame with a column of each kind, and missing values in most of them."""
    rng = np.random.RandomState(seed)
    frame = pd.DataFrame(
        {
            "size": rng.randint(1, 100, n_rows).astype(np.uint8),
            "income": rng.lognormal(size=n_rows).astype(np.float32),
            "count": pd.array(rng.randint(5, size=n_rows), dtype="Int64"),
            "sex": rng.choice(["Male", "Female"], n_rows),
            "city": pd.Categorical(rng.choice(list("abc"), n_rows)),
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.randint(900, size=n_rows), "D"),
            "new": rng.uniform(size=n_rows) < 0.5,
        }
    )
    for name in ("income", "count", "sex", "city", "day"):
        frame.loc[rng.uniform(size=n_rows) < 0.1, name] = None
    return frame


FRAME = make_frame()
Y = FRAME["size"].to_numpy() / 30 + (FRAME["sex"] == "Male").to_numpy() + (FRAME["city"] == "a")
Y = Y.to_numpy(dtype=float)


def encoder():
    return make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["sex", "city"]),
        (SimpleImputer(), ["size", "income"]),
    )


@pytest.fixture(scope="module", name="teacher")
def fitted_teacher():
    return make_pipeline(encoder(), RandomForestRegressor(5, random_state=0)).fit(FRAME, Y)


class Recorder:
    """Members that keep the rows at which they were evaluated."""

    def __init__(self):
        self.rows = []

    def __call__(self, X):
        self.rows.append(X)
        size = np.asarray(X.iloc[:, 0] if hasattr(X, "iloc") else X[:, 0], dtype=float).ravel()
        return np.column_stack([size, 2 * size, size**2])

    def ensemble(self):
        return FittedEnsemble(self, outputs="values", n_members=3)


def test_a_student_of_a_pipeline_takes_its_frame(teacher):
    student = DLFRegressor(**QUICK).fit(FRAME, Y, ensemble=teacher)
    assert student.augment_ == "neighbors+local"
    assert student.predict(make_frame(20, seed=1)).shape == (20,)
    assert student.predict_interval(FRAME).shape == (N, 2)
    assert list(student.feature_names_in_) == list(FRAME.columns)
    assert student.n_features_in_ == 7


def test_made_rows_have_the_types_categories_and_values_of_the_data():
    recorder = Recorder()
    DLFRegressor(**QUICK).fit(FRAME, ensemble=recorder.ensemble())
    rows = max(recorder.rows, key=len)
    assert len(rows) >= 5 * N
    assert rows.dtypes.tolist() == FRAME.dtypes.tolist()
    for name in FRAME:
        assert set(rows[name].dropna()) <= set(FRAME[name].dropna())
        assert rows[name].isna().any() == FRAME[name].isna().any()


def test_the_container_of_equal_values_does_not_matter():
    plain = FRAME.drop(columns=["day"])
    objects = plain.astype(object).where(plain.notna(), None)
    containers = {
        "nullable": plain.convert_dtypes(),
        "strings as categories": plain.astype({"sex": "category"}),
        "polars": pl.DataFrame(objects.to_dict("list")),
        "objects": objects.to_numpy(),
    }
    P = np.column_stack([Y, Y + 1, 1.5 * Y])
    student = DLFRegressor(**QUICK).fit(plain, predictions=P)
    for name, other in containers.items():
        if name != "objects":  # it has no names
            assert_allclose(student.predict(other), student.predict(plain), err_msg=name)
        again = clone(student).fit(other, predictions=P)
        assert_allclose(again.predict(other), student.predict(plain), err_msg=name)


def test_unknown_categories_and_new_gaps_are_read(teacher):
    student = DLFRegressor(**QUICK).fit(FRAME, Y, ensemble=teacher)
    rows = FRAME.head(3).assign(sex="unknown", size=pd.array([1, None, 3], dtype="Int64"))
    with pytest.warns(UserWarning, match="fit") as warned:
        assert np.isfinite(student.predict(rows)).all()
    gap, category = sorted((str(each.message) for each in warned), reverse=True)
    assert "no gap in fit, so that nothing was learnt of gaps there. They" in gap
    assert f"'size' as {FRAME['size'].median():.6g}, the median of fit. " in gap
    assert "'sex' in 3 of 3 rows, such as 'unknown'" in category
    assert all(each.filename == __file__ for each in warned)


def test_a_call_warns_once_of_all_its_parts(teacher, monkeypatch):
    student = DLFRegressor(**QUICK).fit(FRAME, Y, ensemble=teacher)
    monkeypatch.setattr(row_parts, "part_size", lambda row_numbers: 8)
    rows = FRAME.assign(sex=np.where(np.arange(N) < 40, FRAME["sex"], "M"))
    with pytest.warns(UserWarning, match="fit") as warned:
        student.predict_interval(rows.assign(size=np.where(np.arange(N) % 40, 1.0, np.nan)))
    assert len(warned) == 2
    assert f"'sex' in {N - 40} of {N} rows" in str(warned[1].message)
    student.predict(rows.head(75))  # unknown in fewer than half of the rows


TABLES = {
    "arrow": lambda frame: pytest.importorskip("pyarrow").table(frame),
    "arrow batch": lambda frame: pytest.importorskip("pyarrow").RecordBatch.from_pandas(frame),
    "lazy": pl.LazyFrame,
}


@pytest.mark.parametrize("columns", [["size", "income"], ["income", "sex"]])
@pytest.mark.parametrize("make", TABLES.values(), ids=TABLES)
def test_names_and_types_of_tables_and_lazy_frames_are_read(make, columns):
    frame = FRAME[columns].copy()
    frame["income"] = frame["income"].fillna(1.0) if "size" in columns else frame["income"]
    P = Y[:, None] + [0.0, 0.1, 0.2]
    student = DLFRegressor(**QUICK).fit(frame, Y, predictions=P, unseen=True)
    table, swapped = make(frame), make(frame[columns[::-1]])
    calls = [student.predict, student.predict_interval, student.latent_parameters]
    calls += [lambda X: student.conformalize(X, Y), lambda X: student.update(X, Y)]
    calls += [lambda X: student.adapt(X, Y)]
    for call in calls:
        with pytest.raises(ValueError, match="feature names"):
            call(swapped)
    assert_array_equal(student.predict(table), student.predict(frame))
    for again in (student, HydraRegressor(hidden_layer_sizes=(8,), max_iter=1, random_state=0)):
        expected = clone(again).fit(frame, Y, predictions=P, unseen=True)
        again = clone(again).fit(table, Y, predictions=P, unseen=True)
        assert again.feature_names_in_.tolist() == columns
        assert_allclose(again.predict(table), expected.predict(frame))


def test_a_teacher_gets_the_frame_of_a_table(teacher):
    table = pytest.importorskip("pyarrow").table(FRAME)
    students = [
        DLFRegressor(**QUICK).fit(X, Y, ensemble=teacher, X_unlabeled=X) for X in (table, FRAME)
    ]
    assert_allclose(*(student.predict(FRAME) for student in students))
    assert_array_equal(member_predictions(teacher, table), member_predictions(teacher, FRAME))


def test_text_is_refused_by_name(teacher):
    frame = FRAME.assign(note=[f"note number {i}" for i in range(N)])
    with pytest.raises(ValueError, match="Column 'note' seems to be text"):
        DLFRegressor(**QUICK).fit(frame, Y, ensemble=teacher)


def test_missing_values_of_arrays_are_read():
    X = np.random.RandomState(0).standard_normal((N, 3))
    y = X[:, 0].copy()
    X[::7, 1] = np.nan
    teacher = BaggingRegressor(HistGradientBoostingRegressor(max_iter=5), 3, random_state=0)
    student = DLFRegressor(**QUICK).fit(X, y, ensemble=teacher.fit(X, y))
    assert np.isfinite(student.predict(X)).all()
    with pytest.raises(ValueError, match="rows of fit had no missing values"):
        DLFRegressor(**QUICK).fit(np.nan_to_num(X), y, ensemble=teacher).predict(X)


def test_infinite_numbers_are_refused_by_name():
    frame = FRAME.assign(income=np.inf)
    with pytest.raises(ValueError, match="infinity in column 'income'"):
        DLFRegressor(**QUICK).fit(frame, predictions=np.column_stack([Y, Y + 1]))


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.dok_array, sparse.coo_array])
def test_sparse_rows_of_a_text_pipeline(make):
    rng = np.random.RandomState(0)
    X = make(rng.poisson(0.3, size=(N, 150)).astype(float))
    labels = np.asarray(X.sum(axis=1)).ravel() > 45
    teacher = [LogisticRegression(C=c).fit(X, labels) for c in (0.1, 1.0, 10.0)]
    student = DLFClassifier(**QUICK).fit(X, labels, ensemble=teacher)
    assert student.predict_proba(X).shape == (N, 2)
    narrow = DLFClassifier(**QUICK).fit(
        X.tocsr()[:, :9], predictions=[model.predict_proba(X) for model in teacher]
    )
    dense = clone(narrow).fit(
        X.toarray()[:, :9], predictions=[model.predict_proba(X) for model in teacher]
    )
    assert_allclose(narrow.predict_proba(X.tocsr()[:, :9]), dense.predict_proba(X.toarray()[:, :9]))


def test_a_transformer_of_the_user_reads_rows(teacher):
    student = DLFRegressor(preprocessor=encoder(), **QUICK).fit(FRAME, Y, ensemble=teacher)
    assert_array_equal(student.preprocessor_.transform(FRAME), encoder().fit_transform(FRAME))
    fitted = encoder().fit(make_frame(30, seed=3))
    student = DLFRegressor(preprocessor=fitted, **QUICK).fit(FRAME, Y, ensemble=teacher)
    assert student.preprocessor_ is fitted


def test_rows_reach_the_body_as_they_are_without_a_preprocessor():
    X = np.random.RandomState(0).standard_normal((N, 3)) * 100
    P = np.column_stack([X[:, 0], X[:, 1]])
    student = DLFRegressor(preprocessor=None, **QUICK).fit(X, predictions=P)
    assert student.scaler_ is None
    assert student.latent_parameters(X[:2]).standardised_rows.tolist() == X[:2].tolist()


def test_rows_of_more_dimensions_need_a_body():
    images = np.zeros((N, 4, 4), dtype=np.uint8)
    with pytest.raises(ValueError, match=r"Rows of shape \(4, 4\) .* need a body of your own"):
        DLFRegressor(**QUICK).fit(images, predictions=np.column_stack([Y, Y + 1]))


class TestMissingTargets:
    """Rows whose y is NaN are design points without y."""

    gaps = np.arange(N) % 3 == 0

    def y(self):
        return np.where(self.gaps, np.nan, Y)

    def test_the_ensemble_is_fitted_to_rows_with_y(self):
        X = FRAME[["size", "income"]].fillna(0)
        unfitted = RandomForestRegressor(5, random_state=0)
        student = DLFRegressor(unfitted, **QUICK).fit(X, self.y())
        by_hand = clone(unfitted).fit(X[~self.gaps], Y[~self.gaps])
        expected = r2_score(Y[~self.gaps], member_predictions(by_hand, X[~self.gaps]).mean(axis=-1))
        assert_allclose(student.ensemble_score_, expected)

    def test_a_record_of_rows_with_y_is_used(self, recwarn):
        X = FRAME[["size", "income"]].fillna(0).to_numpy()
        forest = RandomForestRegressor(40, random_state=0).fit(X[~self.gaps], Y[~self.gaps])
        student = DLFRegressor(**QUICK).fit(X, self.y(), ensemble=forest)
        assert student.predict_interval(X).shape == (N, 2)
        assert not [w for w in recwarn if "may have been fitted to" in str(w.message)]

    def test_given_predictions_and_unseen_rows_follow_their_rows(self):
        X = FRAME[["size", "income"]].fillna(0).to_numpy()
        P = Y[:, None] + np.array([-1.0, 0.0, 1.0])
        student = DLFRegressor(**QUICK).fit(X, self.y(), predictions=P, unseen=~self.gaps)
        assert_allclose(student.ensemble_score_, 1.0)

    def test_another_number_of_values_is_refused(self):
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            DLFRegressor(**QUICK).fit(np.eye(N)[:60], self.y(), predictions=np.eye(N)[:60])

    def test_labels_may_be_missing(self):
        X = FRAME[["size", "income"]].fillna(0)
        labels = np.array(["low", None, "high"], dtype=object)[np.digitize(Y, [1, 2])]
        known = labels != None  # noqa: E711
        forest = RandomForestClassifier(5, random_state=0).fit(X[known], labels[known].astype(str))
        student = DLFClassifier(**QUICK).fit(X, labels, ensemble=forest)
        assert student.classes_.tolist() == ["high", "low"]

    def test_nullable_values_of_pandas(self):
        X = FRAME[["size", "income"]].fillna(0)
        y = pd.Series(self.y()).round().astype("Int64")
        P = Y[:, None] + np.array([-1.0, 0.0, 1.0])
        assert DLFRegressor(**QUICK).fit(X, y, predictions=P).predict_interval(X).shape == (N, 2)


class TestWayBack:
    """A function as X_ensemble gives the rows that the ensemble takes."""

    def test_rows_are_made_behind_a_scaler(self):
        rng = np.random.RandomState(0)
        X = rng.uniform(50, 90, size=(N, 3))
        scaler = MinMaxScaler().fit(X)
        recorder = Recorder()
        student = DLFRegressor(**QUICK).fit(
            scaler.transform(X),
            ensemble=recorder.ensemble(),
            X_ensemble=scaler.inverse_transform,
            X_unlabeled=scaler.transform(X[:5] + 1),
        )
        assert student.augment_ == "neighbors"
        rows = max(recorder.rows, key=len)
        assert rows.min() > 49
        assert_allclose(rows[:N], X)
        assert_allclose(rows[N : N + 5], X[:5] + 1)

    def test_without_it_rows_cannot_be_made(self):
        X = np.random.RandomState(0).uniform(size=(N, 3))
        with pytest.raises(ValueError, match="a function as X_ensemble"):
            DLFRegressor(augment="neighbors", **QUICK).fit(
                X, ensemble=Recorder().ensemble(), X_ensemble=X
            )


def test_unlabeled_frames_are_joined_by_name_and_category(teacher):
    further = make_frame(12, seed=5)[list(FRAME.columns)[::-1]]
    with pytest.raises(ValueError, match="feature names"):
        DLFRegressor(**QUICK).fit(FRAME, Y, ensemble=teacher, X_unlabeled=further)
    recorder = Recorder()
    further = make_frame(12, seed=5)
    further["city"] = pd.Categorical(["z"] * 12)
    with pytest.warns(UserWarning, match="'city' in 12 of 12 rows, such as 'z'"):
        DLFRegressor(**QUICK).fit(FRAME, ensemble=recorder.ensemble(), X_unlabeled=further)
    assert "z" in set(max(recorder.rows, key=len)["city"])


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_unlabeled_rows_may_be_in_another_container_than_rows(make):
    X = np.random.RandomState(0).standard_normal((N, 3)).astype(np.float32)
    frame = make(X, ["a", "b", "c"]) if make is pl.DataFrame else make(X, columns=["a", "b", "c"])
    for rows, further in ((X, frame), (frame, X[:9])):
        recorder = Recorder()
        fit = {"ensemble": recorder.ensemble(), "X_unlabeled": further}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="X does.* feature names")
            DLFRegressor(**QUICK).fit(rows, **fit)
        assert type(max(recorder.rows, key=len)) is type(rows)


def test_students_of_frames_are_searched_cloned_pickled_and_cross_validated(teacher):
    student = DLFRegressor(FittedEnsemble(teacher), **QUICK)
    search = GridSearchCV(student, {"q": [1, 2]}, cv=2).fit(FRAME, Y)
    loaded = pickle.loads(pickle.dumps(search.best_estimator_))
    assert_array_equal(loaded.predict(FRAME), search.predict(FRAME))
    assert cross_val_predict(student, FRAME, Y, cv=2).shape == (N,)


def test_baselines_and_the_default_teacher_read_frames():
    hydra = HydraRegressor(hidden_layer_sizes=(8,), max_iter=2, n_epochs=1, random_state=0)
    P = np.column_stack([Y, Y + 1])
    assert hydra.fit(FRAME, predictions=P).predict(FRAME).shape == (N,)
    deep = DeepEnsembleRegressor(2, hidden_layer_sizes=(4,), max_iter=2, random_state=0)
    assert deep.fit(FRAME, Y).predict(FRAME).shape == (N,)
    assert DLFRegressor(deep, **QUICK).fit(FRAME, Y).predict(FRAME).shape == (N,)


def test_a_boosted_classifier_that_knows_categories():
    labels = np.where(np.median(Y) < Y, "yes", "no")
    teacher = [
        HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5).fit(
            FRAME[["size", "city"]][i:60:2], labels[i:60:2]
        )
        for i in range(3)
    ]
    student = DLFClassifier(**QUICK).fit(FRAME[["size", "city"]], labels, ensemble=teacher)
    assert student.augment_ is not None
    assert student.classes_.tolist() == ["no", "yes"]


def equal_rows(tmp_path):
    """The same small integers in containers of every kind."""
    X = np.random.RandomState(0).randint(100, size=(N, 3))
    dtypes = ["f2", "f4", "f8", ">f4", "<i2", ">i8", "i1", "u1", "u4", "g", "O"]
    rows = {dtype: X.astype(dtype) for dtype in dtypes}
    rows["fortran"] = np.asfortranarray(X.astype(float))
    rows["strided"] = np.repeat(X.astype(float), 2, axis=1)[:, ::2]
    X.astype(np.float32).tofile(tmp_path / "rows")
    rows["memmap"] = np.memmap(tmp_path / "rows", np.float32, "r", shape=X.shape)
    rows["list"] = X.tolist()
    rows["sparse"] = sparse.csc_array(X.astype(float))
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    rows["pandas"], rows["nullable"] = frame, frame.convert_dtypes()
    rows["mixed"] = frame.astype({"a": "Int8", "b": "float32", "c": "object"})
    rows["polars"] = pl.DataFrame(X, ["a", "b", "c"])
    return X.astype(float), rows


def test_equal_numbers_give_equal_answers_in_every_container(tmp_path):
    X, containers = equal_rows(tmp_path)
    P = np.column_stack([X[:, 0], X[:, 1], X.sum(axis=1)])
    student = DLFRegressor(**QUICK).fit(X, predictions=P)
    for name, rows in containers.items():
        again = clone(student).fit(rows, predictions=P)
        assert_allclose(again.predict(rows), student.predict(X), rtol=1e-6, err_msg=name)


def test_equal_numbers_give_equal_answers_to_an_ensemble_in_every_container(tmp_path):
    X, containers = equal_rows(tmp_path)

    def sums(rows):
        rows = rows.toarray() if sparse.issparse(rows) else np.asarray(rows, dtype=float)
        return np.column_stack([rows[:, 0], rows[:, 1], rows.sum(axis=1)])

    ensemble = FittedEnsemble(sums, outputs="values", n_members=3)
    student = DLFRegressor(**QUICK, body="mlp").fit(X, ensemble=ensemble)
    assert student.augment_ == "neighbors"
    for name, rows in containers.items():
        again = clone(student).fit(rows, ensemble=ensemble)
        assert_allclose(again.predict(rows), student.predict(X), rtol=1e-6, err_msg=name)


def test_a_single_nullable_column_of_integers():
    X = pd.DataFrame({"a": pd.array(np.arange(N), dtype="Int64")})
    recorder = Recorder()
    student = DLFRegressor(**QUICK).fit(X, ensemble=recorder.ensemble())
    assert student.predict(X).shape == (N,)
    assert max(recorder.rows, key=len).dtypes.tolist() == X.dtypes.tolist()


def test_numbers_far_outside_of_fit_are_told():
    P = Y[:, None] + [0.0, 0.1, 0.2]
    frame = FRAME[["size", "sex"]]
    student = DLFRegressor(**QUICK).fit(frame, predictions=P)
    with pytest.warns(UserWarning, match=f"far outside of those of fit: 'size' in {N} of {N} rows"):
        student.predict(frame.assign(size=100.0 * frame["size"] + 1000))
    one_far = frame["size"].astype(float).where(np.arange(N) > 0, 1e6)
    student.predict(frame.assign(size=one_far))  # one row of many

    array = DLFRegressor(**QUICK).fit(frame[["size"]].to_numpy(float), predictions=P)
    with pytest.warns(
        UserWarning, match="far outside of those of fit: column 0 in 1 of 1 rows, 1e"
    ):
        array.predict([[1e6]])
    array.predict(2.0 * frame[["size"]].to_numpy(float))


def test_a_column_without_any_value_is_told():
    P = Y[:, None] + [0.0, 0.1, 0.2]
    student = DLFRegressor(**QUICK).fit(FRAME[["income", "sex"]], predictions=P)
    assert FRAME["income"].isna().any()
    with pytest.warns(UserWarning, match="no value at all in columns that had some in fit: 'inco"):
        student.predict(FRAME[["income", "sex"]].assign(income=np.nan))
    student.predict(FRAME[["income", "sex"]].assign(income=np.nan).head(5))


def test_sparse_columns_of_pandas_are_read_as_dense_ones(teacher):
    X = np.random.RandomState(0).uniform(size=(N, 3)).round(1)
    dense = pd.DataFrame(X, columns=["a", "b", "c"])
    P = Y[:, None] + [0.0, 0.1, 0.2]
    frames = {
        "all": dense.astype(pd.SparseDtype("float", 0.0)),
        "some": pd.concat(
            [dense[["a"]], dense.iloc[:, 1:].astype(pd.SparseDtype("float", 0.0))], axis=1
        ),
    }
    expected = DLFRegressor(**QUICK).fit(dense, predictions=P)
    for name, frame in frames.items():
        student = DLFRegressor(**QUICK).fit(frame, predictions=P)
        assert_allclose(student.predict(frame), expected.predict(dense), err_msg=name)
        assert_allclose(expected.predict(frame), expected.predict(dense), err_msg=name)
