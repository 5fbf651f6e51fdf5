"""Students as plain arrays in files of safetensors."""

import json
import pickle

import joblib
import numpy as np
import pytest
from every_student import BRIEF, EVERY_KIND, make_student
from numpy.testing import assert_allclose
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

from sklearn_dlf import DLFRegressor, load_student, save_student
from sklearn_dlf._export.records import FUNCTION, RECORD_KEY, Unpacker
from sklearn_dlf.ensembles import FittedEnsemble

safetensors = pytest.importorskip("safetensors.numpy")


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_arrays_come_back_as_the_student_that_was_written(kind, tmp_path):
    student, X = make_student(kind)
    save_student(student, tmp_path / "student.safetensors")
    body = student.body if callable(student.body) else None
    again = load_student(tmp_path / "student.safetensors", body=body)
    assert type(again) is type(student)
    assert again.get_params() == student.get_params()
    draws = [each.sample_predictions(X, 4, random_state=0) for each in (again, student)]
    assert_allclose(*draws, rtol=1e-12)
    if hasattr(student, "classes_"):
        assert again.classes_.dtype == student.classes_.dtype
        assert_allclose(again.predict_proba(X), student.predict_proba(X), rtol=1e-12)
    elif student.target_noise_ is not None:
        expected = student.predict_interval(X, 0.7)
        assert_allclose(again.predict_interval(X, 0.7), expected, rtol=1e-12)


def own_logarithm(y):
    return np.log(y)


def own_exponential(y):
    return np.exp(y)


def test_a_function_that_no_name_tells_is_refused(tmp_path):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((60, 2))
    members = [lambda rows, k=k: np.exp(rows[:, 0] + 0.1 * k) for k in range(4)]
    transformer = FunctionTransformer(own_logarithm, own_exponential)
    ensemble = FittedEnsemble(members, outputs="values", transformer=transformer)
    student = DLFRegressor(**{**BRIEF, "max_iter": 100, "tol": 10.0}).fit(X, ensemble=ensemble)
    where = "in 'target_transformation_' of the student"
    with pytest.raises(ValueError, match=f"cannot hold FunctionTransformer, {where}.*or skops"):
        save_student(student, tmp_path / "student.safetensors")


def test_a_preprocessor_of_which_a_file_holds_what_was_fitted_can_be_left_out(tmp_path):
    X = np.random.RandomState(0).standard_normal((60, 2))
    preprocessor = make_pipeline(StandardScaler(with_mean=False), MinMaxScaler())
    student = DLFRegressor(**{**BRIEF, "max_iter": 100, "tol": 10.0}, preprocessor=preprocessor)
    student.fit(X, predictions=X @ np.ones((2, 5)) * np.arange(5))
    path = tmp_path / "student.safetensors"
    with pytest.raises(ValueError, match=r"set_params\(preprocessor=None\)"):
        save_student(student, path)
    save_student(student.set_params(preprocessor=None), path)
    assert_allclose(load_student(path).predict(X), student.predict(X), rtol=1e-12)


def test_a_preprocessor_is_no_parameter_that_can_be_left_out(tmp_path):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((60, 2))
    preprocessor = make_column_transformer((StandardScaler(), [0]))
    student = DLFRegressor(**{**BRIEF, "max_iter": 100, "tol": 10.0}, preprocessor=preprocessor)
    student.fit(X, predictions=X @ rng.standard_normal((2, 5)))
    with pytest.raises(ValueError, match=r"cannot hold ColumnTransformer.* joblib or skops\.$"):
        save_student(student, tmp_path / "student.safetensors")


@pytest.mark.parametrize("name", ["load", "sum", "os.system", "", None])
def test_a_file_names_functions_by_elements_only(name):
    with pytest.raises(ValueError, match="names a function"):
        Unpacker().unpack({RECORD_KEY: FUNCTION, "name": name})


def test_an_ensemble_among_the_parameters_is_refused_and_can_be_left_out(tmp_path):
    student, X = make_student("mlp")
    state = {**student.__getstate__(), "ensemble": [len, len]}
    with_teacher = DLFRegressor.__new__(DLFRegressor)
    with_teacher.__setstate__(state)
    with pytest.raises(ValueError, match=r"set_params\(ensemble=None\)"):
        save_student(with_teacher, tmp_path / "student.safetensors")
    save_student(with_teacher.set_params(ensemble=None), tmp_path / "student.safetensors")
    again = load_student(tmp_path / "student.safetensors")
    assert_allclose(again.predict(X), student.predict(X), rtol=1e-12)


def test_labels_of_strings_come_back(tmp_path):
    student, X = make_student("multiclass")
    state = {**student.__getstate__(), "classes_": np.array(["a", "bb", "ccc", "d"])}
    named = type(student).__new__(type(student))
    named.__setstate__(state)
    save_student(named, tmp_path / "student.safetensors")
    assert set(load_student(tmp_path / "student.safetensors").predict(X)) <= set(named.classes_)


def test_what_is_no_fitted_student_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is not fitted"):
        save_student(DLFRegressor(), tmp_path / "student.safetensors")
    with pytest.raises(TypeError, match="got Pipeline"):
        save_student(make_pipeline(make_student("mlp")[0]), tmp_path / "student.safetensors")


def write(path, **changes):
    """Write a student whose description has other entries."""
    save_student(make_student("mlp")[0], path)
    import safetensors as package

    with package.safe_open(path, framework="numpy") as file:
        text = json.loads(file.metadata()["sklearn_dlf"])
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    text["state"].update(changes.pop("state", {}))
    metadata = {"sklearn_dlf": json.dumps({**text, **changes})}
    safetensors.save_file(arrays, path, metadata=metadata)


def test_files_of_arrays_alone_of_other_classes_or_formats_are_refused(tmp_path):
    path = tmp_path / "student.safetensors"
    safetensors.save_file({"a": np.zeros(2)}, path)
    with pytest.raises(ValueError, match="holds arrays, and no student"):
        load_student(path)
    write(path, **{"class": "subprocess:Popen"})
    with pytest.raises(ValueError, match="which this version of sklearn_dlf does not have"):
        load_student(path)
    write(path, **{"class": "sklearn_dlf._network.bodies:MLP"})
    with pytest.raises(ValueError, match="holds a MLP; expected a student"):
        load_student(path)
    write(path, state={"_sklearn_dlf_format": 99})
    with pytest.raises(ValueError, match="has format 99"):
        load_student(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"a student", bytes(64), (2**40).to_bytes(8, "little") + b"{}"],
    ids=["empty", "text", "zeros", "header"],
)
def test_a_file_of_something_else_is_refused(content, tmp_path):
    path = tmp_path / "student.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is no file of safetensors, or it is damaged"):
        load_student(path)


def test_paths_to_no_file_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        load_student(tmp_path / "absent.safetensors")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        load_student(tmp_path)
    with pytest.raises(TypeError, match="path must be a string or a path"):
        load_student(None)


def test_a_student_is_saved_at_a_path():
    student = DLFRegressor(q=1, tol=1.0).fit(np.eye(5), predictions=np.eye(5))
    with pytest.raises(TypeError, match="path must be a string or a path; got None"):
        save_student(student, None)


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    path = tmp_path / "absent" / "student.safetensors"
    with pytest.raises(FileNotFoundError, match=r"absent.student\.safetensors"):
        save_student(make_student("without_y")[0], path)


@pytest.mark.parametrize("dump", [pickle.dump, joblib.dump])
def test_a_pickle_is_named_as_one(dump, tmp_path):
    path = tmp_path / "student.pickle"
    with open(path, "wb") as file:
        dump(make_student("without_y")[0], file)
    with pytest.raises(ValueError, match=r"looks like a pickle: read it by pickle\.load"):
        load_student(path)


def test_a_file_of_skops_is_named_as_one(tmp_path):
    path = tmp_path / "student.skops"
    pytest.importorskip("skops.io").dump({"a": 1}, path)
    with pytest.raises(ValueError, match=r"looks like a file of skops"):
        load_student(path)


@pytest.mark.parametrize("changes", [{"state": {"scaler_": {"array": "none"}}}])
def test_a_damaged_record_is_refused(changes, tmp_path):
    path = tmp_path / "student.safetensors"
    write(path, **changes)
    with pytest.raises(ValueError, match="has a damaged record of a student"):
        load_student(path)
