"""Rows, y and predictions as collections of dask, and jobs on a local cluster."""

import copy

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.ensemble import RandomForestRegressor

import sklearn_dlf._transfer.cache
from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf._estimators import row_parts

pytest.importorskip("distributed")
import dask.array as da
import dask.dataframe as dd
import pandas as pd
from dask.distributed import Client, LocalCluster

pytestmark = pytest.mark.filterwarnings("default")  # those of dask are not ours

QUICK = {"hidden_layer_sizes": (8,), "n_epochs": 1, "tol": 10.0, "augment": None, "q": 2}


@pytest.fixture(scope="module")
def data():
    rng = np.random.RandomState(0)
    X = pd.DataFrame(rng.standard_normal((600, 3)), columns=list("abc"))
    predictions = X.to_numpy() @ rng.standard_normal((3, 6))
    return X, predictions.mean(axis=1) + rng.standard_normal(600), predictions


@pytest.fixture(scope="module")
def regressor(data):
    X, y, predictions = data
    student = DLFRegressor(target_noise="constant", random_state=0, **QUICK)
    return student.fit(X, y, predictions=predictions, unseen=True)


@pytest.fixture(scope="module")
def classifier(data):
    X, _, predictions = data
    odds = 1 / (1 + np.exp(-predictions[:, None]))
    student = DLFClassifier(refine=False, random_state=0, **QUICK)
    return student.fit(X, predictions=np.concatenate([1 - odds, odds], axis=1))


@pytest.fixture(scope="module")
def cluster():
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": False}
    with LocalCluster(dashboard_address=None, **options) as cluster, Client(cluster) as client:
        yield client


def test_collections_are_fitted_as_what_they_hold(data, regressor):
    X, y, predictions = data
    student = DLFRegressor(target_noise="constant", random_state=0, **QUICK).fit(
        dd.from_pandas(X, npartitions=3),
        da.from_array(y, chunks=200),
        predictions=da.from_array(predictions, chunks=(200, 6)),
        unseen=True,
    )
    assert_array_equal(student.predict_interval(X), regressor.predict_interval(X))


def test_a_frame_is_predicted_partition_by_partition(data, regressor):
    X = data[0]
    frame = dd.from_pandas(X, npartitions=4)
    predicted = regressor.predict(frame[frame.a < 0], return_std=True)
    expected = regressor.predict(X[X.a < 0], return_std=True)
    for part, whole in zip(predicted, expected, strict=True):
        assert_allclose(part, whole, rtol=1e-4, atol=1e-5)


def test_partitions_without_rows_are_left_out(data, regressor):
    X = data[0].sort_values("a")
    frame = dd.from_pandas(X.reset_index(drop=True), npartitions=4)
    predicted = regressor.predict(frame[frame.a < 0])
    assert_allclose(predicted, regressor.predict(X[X.a < 0]), rtol=1e-4, atol=1e-5)


def test_an_array_is_computed_a_part_at_a_time(data, regressor, monkeypatch):
    X = data[0].to_numpy()
    computed = []
    student = copy.copy(regressor)
    del student.feature_names_in_

    def note_rows(block):
        computed.append(len(block))
        return block

    expected = student.predict(X)
    rows = da.from_array(X, chunks=(100, 3)).map_blocks(note_rows, meta=X[:0])
    monkeypatch.setattr(row_parts, "part_size", lambda row_numbers: 100)
    assert_allclose(student.predict(rows), expected, rtol=1e-4, atol=1e-5)
    assert computed == [100] * 6


@pytest.mark.parametrize("method", ["predict", "predict_interval"])
def test_methods_are_mapped_over_the_partitions_on_a_cluster(data, regressor, cluster, method):
    X = data[0]
    predict = getattr(regressor, method)
    meta = predict(X.head(1))[:0]
    mapped = dd.from_pandas(X, npartitions=2).map_partitions(predict, meta=meta)
    assert_allclose(mapped.compute(), predict(X), rtol=1e-4, atol=1e-5)


def test_probabilities_are_mapped_over_the_partitions_on_a_cluster(data, classifier, cluster):
    X = data[0]
    rows = dd.from_pandas(X, npartitions=2)
    mapped = rows.map_partitions(classifier.predict_proba, meta=np.empty((0, 2)))
    assert_allclose(mapped.compute(), classifier.predict_proba(X), rtol=1e-4, atol=1e-5)


def test_a_teacher_is_fitted_and_asked_on_a_cluster_with_the_same_answers(
    data, cluster, monkeypatch
):
    X, y, _ = data
    monkeypatch.setattr(sklearn_dlf._transfer.cache, "JOB_ROWS", 150)
    forest = RandomForestRegressor(6, max_depth=4, random_state=0)
    expected = DLFRegressor(forest, random_state=0, **QUICK).fit(X, y).predict(X)
    with joblib.parallel_config(backend="dask"):
        student = DLFRegressor(forest, random_state=0, **QUICK).fit(X, y)
    assert_array_equal(student.predict(X), expected)


def test_a_student_has_one_token_until_it_changes(data, regressor):
    token = regressor.__dask_tokenize__()
    assert token == regressor.__dask_tokenize__()
    X, y, predictions = data
    other = DLFRegressor(target_noise="constant", random_state=1, **QUICK)
    other.fit(X, y, predictions=predictions, unseen=True)
    assert other.__dask_tokenize__() != token


def test_columns_in_another_order_are_refused_by_all_methods(data, regressor):
    X, y, _ = data
    turned = dd.from_pandas(X, npartitions=2)[["c", "b", "a"]]
    student = copy.deepcopy(regressor)
    for call in (
        lambda: student.predict(turned, return_cov=True),
        lambda: student.latent_parameters(turned),
        lambda: student.update(turned, y),
    ):
        with pytest.raises(ValueError, match="same order"):
            call()
