import os
import subprocess
import sys
import weakref
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.ensemble import BaggingRegressor, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.model_selection import GridSearchCV, KFold

import sklearn_dlf
import sklearn_dlf._transfer.cache
from sklearn_dlf import DLFRegressor
from sklearn_dlf._transfer.cache import TeacherCache
from sklearn_dlf.ensembles import DeepEnsembleRegressor, FittedEnsemble

# A body that is chosen by hand, so that the teacher is evaluated at the design points only.
QUICK = {"hidden_layer_sizes": (8,), "n_epochs": 1, "tol": 10.0, "body": "mlp"}


class Counts(dict):
    """Counts that are no part of what identifies the class that holds them."""

    def __reduce__(self):
        return Counts, ()


class CountedForest(RandomForestRegressor):
    """A forest that counts its fits and evaluations, over all of its clones."""

    counts = Counts(fit=0, evaluate=0)

    def fit(self, X, y, sample_weight=None):
        self.counts["fit"] += 1
        return super().fit(X, y, sample_weight)


@pytest.fixture
def counts(monkeypatch):
    """Fits and evaluations so far; without those at rows that are judged."""
    monkeypatch.setattr("sklearn_dlf._transfer.row_choice.MIN_ROWS", np.inf)
    member_predictions = sklearn_dlf._transfer.cache.evaluate_members

    def counted_predictions(ensemble, X):
        CountedForest.counts["evaluate"] += 1
        return member_predictions(ensemble, X)

    monkeypatch.setattr(sklearn_dlf._transfer.cache, "evaluate_members", counted_predictions)
    monkeypatch.setattr(CountedForest, "counts", Counts(fit=0, evaluate=0))
    return CountedForest.counts


def students(memory, ensemble=None, **params):
    """Students of the same teacher that differ in q."""
    ensemble = CountedForest(6, max_depth=4) if ensemble is None else ensemble
    params = {"random_state": 0, **QUICK, **params}
    return [DLFRegressor(ensemble, q=q, memory=memory, **params) for q in (1, 2, 3)]


def same_teacher(first, second):
    """Return whether two students had the same teacher."""
    return first.output_spread_ == second.output_spread_


def test_students_of_one_teacher_fit_and_evaluate_it_once(friedman, tmp_path, counts):
    for student in students(str(tmp_path)):
        student.fit(*friedman)
    assert counts == {"fit": 1, "evaluate": 1}


def test_the_choice_of_a_body_evaluates_the_teacher_once_more(friedman, tmp_path, counts):
    networks = DeepEnsembleRegressor(3, max_iter=2, random_state=0).fit(*friedman)
    for student in students(str(tmp_path), FittedEnsemble(networks)):
        student.set_params(body="auto", q=1).fit(*friedman)
    assert counts["evaluate"] == 2


def test_predictions_at_judged_rows_are_kept_too(friedman, tmp_path, counts, monkeypatch):
    monkeypatch.setattr("sklearn_dlf._transfer.row_choice.MIN_ROWS", 50)
    for student in students(str(tmp_path)):
        student.fit(*friedman)
    assert counts == {"fit": 1, "evaluate": 3}  # at rows of fit, judged rows and design points


def test_without_memory_each_student_fits_and_evaluates_it(friedman, counts):
    for student in students(None):
        student.fit(*friedman)
    assert counts == {"fit": 3, "evaluate": 3}


def test_a_grid_fits_the_teacher_once_a_fold_and_once_to_refit(friedman, tmp_path, counts):
    student = students(joblib.Memory(tmp_path, verbose=0))[0]
    grid = GridSearchCV(student, {"q": [1, 2, 3]}, cv=KFold(2)).fit(*friedman)
    assert counts == {"fit": 3, "evaluate": 3}
    assert grid.best_estimator_.memory.location == tmp_path


def test_memory_changes_no_result(friedman, tmp_path):
    X, y = friedman
    ensemble = RandomForestRegressor(6, max_depth=4)
    plain, first, second = (
        DLFRegressor(ensemble, q=2, memory=memory, random_state=0, **QUICK).fit(X, y)
        for memory in (None, str(tmp_path), str(tmp_path))
    )
    for student in (first, second):
        assert_array_equal(plain.predict(X), student.predict(X))
        assert_array_equal(plain.target_noise_.scale, student.target_noise_.scale)


@pytest.mark.parametrize("changed", ["rows", "y", "weights", "seed", "parameter"])
def test_another_teacher_is_not_taken_for_the_same(friedman, tmp_path, counts, changed):
    X, y = friedman
    student = students(str(tmp_path))[0].fit(X, y)
    other = students(str(tmp_path))[0]
    weights = None
    if changed == "rows":
        X = X[::-1]
    elif changed == "y":
        y = y + 0.1
    elif changed == "weights":
        weights = np.linspace(1, 2, len(X))
    elif changed == "seed":
        other.set_params(random_state=1)
    else:
        other.set_params(ensemble__max_depth=5)
    other.fit(X, y, sample_weight=weights)
    assert counts == {"fit": 2, "evaluate": 2}
    assert not same_teacher(student, other)


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)])
def test_a_teacher_without_seed_is_fitted_anew(friedman, tmp_path, counts, random_state):
    fitted = [
        student.fit(*friedman) for student in students(str(tmp_path), random_state=random_state)
    ]
    assert counts["fit"] == 3
    assert not same_teacher(fitted[0], fitted[1])
    assert not list(tmp_path.rglob("output.pkl"))


def test_a_seed_of_the_teacher_is_enough(friedman, tmp_path, counts):
    ensemble = CountedForest(6, max_depth=4, random_state=0)
    for student in students(str(tmp_path), ensemble, random_state=None, augment=None):
        student.fit(*friedman)
    # At the midpoints between rows, and at all rows together.
    assert counts == {"fit": 1, "evaluate": 2}
    for student in students(str(tmp_path), ensemble, random_state=None):
        student.fit(*friedman)  # rows are made anew each time
    assert counts == {"fit": 1, "evaluate": 5}


def test_a_fitted_teacher_is_evaluated_once_and_identified_by_content(friedman, tmp_path, counts):
    X, y = friedman
    forest = CountedForest(6, max_depth=4, random_state=0).fit(X, y)
    for student in students(str(tmp_path), FittedEnsemble(forest)):
        student.fit(X, y)
    assert counts == {"fit": 1, "evaluate": 1}
    other = CountedForest(6, max_depth=4, random_state=1).fit(X, y)
    students(str(tmp_path), FittedEnsemble(other))[0].fit(X, y)
    assert counts["evaluate"] == 2


def test_fitted_networks_are_identified_too(friedman, tmp_path, counts):
    X, y = friedman
    networks = FittedEnsemble(DeepEnsembleRegressor(3, max_iter=2, random_state=0).fit(X, y))
    for student in students(str(tmp_path), networks):
        student.set_params(q=1).fit(X, y)
    assert counts["evaluate"] == 1


def fit_students_of_a_process(friedman, tmp_path, random_state):
    X, y = friedman
    process = GaussianProcessRegressor(RBF(3.0), alpha=1.0, optimizer=None).fit(X, y)
    ensemble = FittedEnsemble(process, n_members=5, random_state=random_state)
    for student in students(str(tmp_path), ensemble):
        student.fit(X, y)


def test_draws_that_are_made_anew_in_each_call_are_not_kept(friedman, tmp_path, counts):
    fit_students_of_a_process(friedman, tmp_path, None)
    assert not list(tmp_path.rglob("output.pkl"))


def test_draws_that_are_functions_are_kept(friedman, tmp_path, counts):
    fit_students_of_a_process(friedman, tmp_path, 0)
    assert counts["evaluate"] == 1


def test_a_teacher_that_cannot_be_pickled_is_evaluated_each_time(friedman, tmp_path):
    X, _ = friedman
    ensemble = FittedEnsemble(lambda X: X[:, :5] * 2, outputs="values", n_members=5)
    student = students(str(tmp_path), ensemble)[0]
    with pytest.warns(UserWarning, match="memory keeps nothing of FittedEnsemble"):
        student.fit(X, 2 * X[:, :5].mean(axis=1))
    assert student.n_members_ == 5


def test_functions_that_a_notebook_may_redefine_are_not_kept(friedman, tmp_path, monkeypatch):
    X, _ = friedman
    for factor in (1, 2):

        def scaled(X, factor=factor):
            return factor * X[:, :5]

        scaled.__module__, scaled.__qualname__ = "__main__", "scaled"
        monkeypatch.setattr(sys.modules["__main__"], "scaled", scaled, raising=False)
        ensemble = FittedEnsemble(scaled, outputs="values", n_members=5)
        student = students(str(tmp_path), ensemble, augment=None)[0]
        with pytest.warns(UserWarning, match="scaled of __main__ is identified by name only"):
            student.fit(X, factor * X[:, :5].mean(axis=1))
        assert_allclose(student.output_center_, factor * X[:, :5].mean())


def test_classes_that_a_notebook_may_redefine_are_not_kept(friedman, tmp_path, monkeypatch):
    X, y = friedman
    forest_class = type("Mine", (CountedForest,), {"__module__": "__main__"})
    monkeypatch.setattr(sys.modules["__main__"], "Mine", forest_class, raising=False)
    with pytest.warns(UserWarning, match="Mine of __main__ is identified by name only"):
        students(str(tmp_path), forest_class(6, random_state=0))[0].fit(X, y)
    assert not list(tmp_path.rglob("output.pkl"))


SCRIPT = """
import sys
import networks
import numpy as np
import torch
from sklearn_dlf._transfer.cache import TeacherCache
from sklearn_dlf.ensembles import FittedEnsemble

torch.manual_seed(0)
modules = [networks.Network() for _ in range(2)]
X = np.ones((4, 3), dtype=np.float32)
_, evaluate = TeacherCache(folder).look_up(FittedEnsemble(modules, outputs="values"), len(X))
evaluate(X)
print(networks.calls)
"""

NETWORKS = """
from torch import nn

calls = 0


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
        self.kinds = {"a", "b", "c", "d"}

    def forward(self, X):
        count_call()
        return FACTOR * self.layers(X)


def count_call():
    globals()["calls"] += 1


FACTOR = 2
"""


def test_modules_are_known_by_weights_and_code_in_another_process_too(
    tmp_path, monkeypatch, capsys
):
    # joblib writes the code of a function to the first folder of a process only.
    monkeypatch.setattr(joblib.memory, "_FUNCTION_HASHES", weakref.WeakKeyDictionary())
    script = f"folder = {str(tmp_path / 'kept')!r}\n{SCRIPT}"
    monkeypatch.syspath_prepend(tmp_path)
    for networks in (NETWORKS.replace("FACTOR = 2", "FACTOR = 3"), NETWORKS):
        (tmp_path / "networks.py").write_text(networks)
        sys.modules.pop("networks", None)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        exec(script, {})
    assert capsys.readouterr().out.split() == ["2", "2"]  # both members are evaluated
    path = os.pathsep.join([str(Path(sklearn_dlf.__file__).parents[1]), *sys.path])
    variables = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-c", script]
    again = subprocess.run(command, env=variables, check=True, capture_output=True, text=True)
    assert again.stdout.strip() == "0"  # none of them is


def test_an_invalid_memory_is_refused(friedman):
    with pytest.raises(ValueError, match="'memory' parameter"):
        DLFRegressor(memory=3).fit(*friedman)


@pytest.mark.parametrize("ensemble", [RandomForestRegressor, BaggingRegressor])
def test_jobs_ask_the_members_at_blocks_of_rows(friedman, monkeypatch, ensemble):
    X, y = friedman
    ensemble = ensemble(n_estimators=6, random_state=0).fit(X, y)
    monkeypatch.setattr(sklearn_dlf._transfer.cache, "JOB_ROWS", 40)
    _, evaluate = TeacherCache(None).look_up(ensemble, len(X))
    expected, asked = evaluate(X), []
    evaluate_block = sklearn_dlf._transfer.cache._evaluate_block

    def noted(ensemble, X, transformed):
        asked.append(len(X))
        return evaluate_block(ensemble, X, transformed)

    monkeypatch.setattr(sklearn_dlf._transfer.cache, "_evaluate_block", noted)
    with joblib.parallel_config(backend="threading"):
        _, evaluate = TeacherCache(None, n_jobs=2).look_up(ensemble, len(X))
        assert_array_equal(evaluate(X), expected)
    assert sum(asked) == len(X)
    assert max(asked) == 40


def test_jobs_change_no_student(friedman, monkeypatch):
    X, y = friedman
    monkeypatch.setattr(sklearn_dlf._transfer.cache, "JOB_ROWS", 100)
    forest = RandomForestRegressor(6, max_depth=4, random_state=0).fit(X, y)
    plain, jobs = (
        DLFRegressor(forest, q=2, n_jobs=n_jobs, random_state=0, **QUICK) for n_jobs in (None, 2)
    )
    expected = plain.fit(X, y).predict(X)
    with joblib.parallel_config(backend="threading"):
        assert_array_equal(jobs.fit(X, y).predict(X), expected)


def test_what_another_program_wrote_is_computed_anew(friedman, tmp_path, counts):
    first = students(str(tmp_path))[0].fit(*friedman)
    for entry in tmp_path.rglob("output.pkl"):
        joblib.dump("not ours", entry)
    with pytest.warns(UserWarning, match="object of type str where .* computed anew"):
        again = students(str(tmp_path))[0].fit(*friedman)
    assert_array_equal(first.predict(friedman[0]), again.predict(friedman[0]))
    assert counts == {"fit": 2, "evaluate": 2}


# Fits a student with a memory, as soon as the other process is ready too, and prints a prediction.
ONE_OF_TWO = """
import sys, time, warnings
from pathlib import Path
import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn_dlf import DLFRegressor

folder, name = Path(sys.argv[1]), sys.argv[2]
rng = np.random.RandomState(0)
X = rng.standard_normal((60, 3))
forest = RandomForestRegressor(5, random_state=0)
student = DLFRegressor(forest, q=2, hidden_layer_sizes=(8,), n_epochs=1, tol=10.0, body="mlp",
                       augment=None, memory=str(folder / "memory"), random_state=0)
(folder / name).touch()
while not ((folder / "first").exists() and (folder / "second").exists()):
    time.sleep(0.001)
print(student.fit(X, X[:, 0]).predict(X[:3]).tolist())
"""


def test_two_processes_may_share_a_memory_at_once(tmp_path):
    root = str(Path(sklearn_dlf.__file__).parents[1])
    command = [sys.executable, "-W", "error", "-W", "ignore::UserWarning", "-c", ONE_OF_TWO]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    variables = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([*command, str(tmp_path), name], env=variables, **pipes)
        for name in ("first", "second")
    ]
    printed = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], printed
    assert printed[0] == printed[1]
    third = subprocess.run(
        [*command, str(tmp_path), "third"], env=variables, check=True, timeout=120, **pipes
    )
    assert third.stdout == printed[0][0]
