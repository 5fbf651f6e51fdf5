import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.feature_extraction import DictVectorizer

from sklearn_dlf import DLFRegressor

QUICK = {
    "q": 1,
    "hidden_layer_sizes": (4,),
    "n_epochs": 1,
    "tol": 10.0,
    "augment": None,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def student():
    X = np.random.RandomState(0).standard_normal((60, 3))
    return DLFRegressor(**QUICK).fit(X, predictions=X @ np.random.RandomState(1).rand(3, 4))


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ([[0.0, np.nan, 0.0]], "NaN"),
        ([[0.0, np.inf, 0.0]], "infinity"),
        (np.empty((0, 3)), "0 sample"),
        ([[0.0, 1.0]], "expecting 3 features"),
    ],
)
def test_rows_of_floats_that_are_not_valid_are_refused(student, rows, match):
    with pytest.raises(ValueError, match=match):
        student.predict(np.asarray(rows))


STRINGS = [["1.5", "2", "0"]]


@pytest.mark.parametrize("rows", [STRINGS, np.array(STRINGS), np.array(STRINGS, dtype="S")])
def test_strings_that_spell_numbers_are_refused(student, rows):
    with pytest.raises(ValueError, match="must be numbers, as in fit; got strings"):
        student.predict(rows)


FRAME = pd.DataFrame({"a": np.arange(60.0), "b": np.arange(60.0)[::-1], "c": ["u", "v"] * 30})

ROWS = {
    "series": (lambda frame: frame.iloc[0], r"got a Series of 3 value\(s\).*X.iloc\[\[0\]\]"),
    "polars": (lambda frame: pl.DataFrame(frame)["a"], r"got a Series of 60 value\(s\)"),
    "dict": (lambda frame: dict(frame.iloc[0]), r"got a dict.*pandas.DataFrame\(\[record\]\)"),
    "records": (
        lambda frame: frame.head(2).to_dict("records"),
        r"got a list of 2 dict\(s\).*pandas.DataFrame\(records\)",
    ),
    "tuple": (lambda frame: tuple(frame.iloc[0]), "Expected 2D array, got 1D array"),
}


@pytest.mark.parametrize(("make", "match"), ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("is_encoded", [False, True])
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_a_row_that_is_no_table_is_refused_with_the_remedy(make, match, is_encoded):
    frame = FRAME if is_encoded else FRAME.assign(c=1.0)
    P = FRAME[["a", "b", "a"]].to_numpy()
    student = DLFRegressor(**QUICK).fit(frame, predictions=P)
    calls = [student.predict, student.sample_predictions, student.latent_parameters]
    calls += [lambda X: student.update(X, [1.0]), lambda X: student.adapt(X, [1.0])]
    calls += [lambda X: DLFRegressor(**QUICK).fit(X, predictions=P)]
    calls = calls[:3] if "Expected" in match else calls
    for call in calls:
        with pytest.raises(ValueError, match=match):
            call(make(frame))


@pytest.mark.parametrize("others", [{}, {"b": list("uv") * 30}], ids=["dates", "dates and text"])
def test_dates_in_an_array_of_objects_are_named(others):
    days = pd.date_range("2020-01-01", periods=60)
    frame = pd.DataFrame({"a": np.arange(60.0), "day": days, **others})
    student, members = DLFRegressor(**QUICK), np.arange(60.0)[:, None] + np.arange(3.0)
    rows = np.column_stack([frame[name].astype(object) for name in frame])
    with pytest.raises(TypeError, match=r"durations in column\(s\) \[1\]. Give a frame"):
        student.fit(rows, predictions=members)
    typed = pd.DataFrame(rows).infer_objects()
    assert student.fit(typed, predictions=members).predict(typed).shape == (60,)


@pytest.mark.parametrize("gap", [pd.NaT, np.datetime64("NaT")])
def test_a_gap_among_dates_is_a_gap_in_an_array_of_objects(gap):
    rows = np.array([*zip(np.arange(60.0), "uv" * 30, strict=True)], dtype=object)
    student = DLFRegressor(**QUICK).fit(rows, predictions=np.arange(60.0)[:, None] + np.arange(3.0))
    rows[0, 1] = gap
    with pytest.warns(UserWarning, match="missing values"):
        assert np.isfinite(student.predict(rows)).all()


def test_records_are_for_a_transformer_that_reads_them():
    records = FRAME.to_dict("records")
    student = DLFRegressor(preprocessor=DictVectorizer(sparse=False), **QUICK)
    student = student.fit(records, predictions=FRAME[["a", "b", "a"]].to_numpy())
    assert student.predict(records[:2]).shape == (2,)


def test_finite_numbers_whose_sum_is_infinite_are_validated(student):
    with pytest.raises(ValueError, match="standard deviations"):
        student.predict(np.full((1, 3), 1e308))
