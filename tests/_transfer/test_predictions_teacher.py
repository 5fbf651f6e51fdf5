"""Predictions of members in containers of any kind."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf._transfer.predictions_teacher import PredictionsTeacher

P = np.random.default_rng(0).integers(100, size=(30, 4)) / 4.0  # exact in half precision
NULLABLE = pd.DataFrame(P).convert_dtypes()

CONTAINERS = {
    "nullable frame": NULLABLE,
    "frame of many types": pd.DataFrame(P).astype({0: object, 1: "Float32", 2: np.float16}),
    "nullable series of members": [NULLABLE[member] for member in range(4)],
    "polars frame": pl.DataFrame(P),
    "polars series of members": [pl.Series(member) for member in P.T],
    "objects": P.astype(object),
    "long double": P.astype(np.longdouble),
    "big-endian": P.astype(">f8"),
    "half": P.astype(np.float16),
    "lists": [member.tolist() for member in P.T],
}


def outputs(predictions):
    blocks = PredictionsTeacher(predictions, 30).evaluate()
    return np.concatenate([block for _, block in blocks])[:, 0]


@pytest.mark.parametrize("predictions", CONTAINERS.values(), ids=CONTAINERS.keys())
def test_predictions_keep_their_values(predictions):
    assert_array_equal(outputs(predictions), P)


def with_missing(frame, value):
    frame = frame.copy()
    frame.iloc[3, 1] = value
    return frame


MISSING = {
    "nullable": with_missing(NULLABLE, pd.NA),
    "objects": with_missing(pd.DataFrame(P).astype(object), None).to_numpy(),
    "polars": pl.DataFrame(with_missing(pd.DataFrame(P), np.nan).to_numpy()),
    "polars nulls": pl.DataFrame(P).with_columns(
        pl.when(pl.col("column_1") == P[3, 1])
        .then(None)
        .otherwise(pl.col("column_1"))
        .alias("column_1")
    ),
    "masked": np.ma.masked_equal(P, P[3, 1]),
    "a list": [with_missing(NULLABLE, pd.NA)[member] for member in range(4)],
}


@pytest.mark.parametrize("predictions", MISSING.values(), ids=MISSING.keys())
def test_missing_predictions_raise(predictions):
    with pytest.raises(ValueError, match=r"predictions must be finite; \d of 120 values are miss"):
        PredictionsTeacher(predictions, 30)


def test_predictions_that_are_no_numbers_are_named():
    frame = pd.DataFrame(P, columns=["a", "b", "c", "d"]).assign(b="text")
    with pytest.raises(TypeError, match=r"predictions must be numbers; 1 of 4 columns .*: 'b'\."):
        PredictionsTeacher(frame, 30)
    with pytest.raises(TypeError, match="predictions of member 1 must be numbers"):
        PredictionsTeacher([frame["a"], frame["b"]], 30)


def test_large_predictions_are_not_copied():
    for values in (P, P.astype(np.float16), P.astype(">f4")):
        assert PredictionsTeacher(values, 30).predictions is values


@pytest.mark.parametrize("dtype", [np.longdouble, object])
def test_predictions_beyond_float64_raise(dtype):
    values = P.astype(np.longdouble)
    values[0, 0] = np.longdouble("1e4000")
    with pytest.raises((ValueError, TypeError), match="predictions must be"):
        PredictionsTeacher(values.astype(dtype), 30)


QUICK = {"q": 2, "hidden_layer_sizes": 10, "n_epochs": 1, "tol": 10.0, "random_state": 0}


@pytest.mark.parametrize("container", ["nullable frame", "polars frame", "objects"])
def test_students_of_any_container_are_the_same(container):
    X = P + np.arange(4)
    student = DLFRegressor(**QUICK).fit(X, predictions=CONTAINERS[container])
    expected = DLFRegressor(**QUICK).fit(X, predictions=P)
    assert_array_equal(student.predict(X), expected.predict(X))


def test_classifiers_take_frames_of_members():
    shares = P / P.sum(axis=1, keepdims=True)
    members = [shares[:, [0, 1, 2, 3]], shares[:, [1, 0, 2, 3]], shares[:, [0, 1, 3, 2]]]
    student = DLFClassifier(**QUICK).fit(P, predictions=[pl.DataFrame(m) for m in members])
    expected = DLFClassifier(**QUICK).fit(P, predictions=members)
    assert_array_equal(student.predict_proba(P), expected.predict_proba(P))


def test_outputs_that_seem_to_be_members_are_told():
    predictions = np.random.RandomState(0).standard_normal((30, 20, 2))
    with pytest.warns(UserWarning, match=r"20 outputs of 2 members.*np.swapaxes"):
        PredictionsTeacher(predictions, 30).warn_of_swapped_axes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PredictionsTeacher(predictions[..., :1].repeat(5, axis=2), 30).warn_of_swapped_axes()
        PredictionsTeacher(predictions[:, :3], 30).warn_of_swapped_axes()
