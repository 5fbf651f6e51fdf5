"""The version in a file: kept files are read, others are refused with what to do."""

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from every_student import make_frame, make_rows, make_student
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import InconsistentVersionWarning

import sklearn_dlf
from sklearn_dlf import DLFRegressor

KEPT = Path(__file__).parent / "kept"


@pytest.mark.skipif(
    not hasattr(np, "_core"), reason="numpy before 1.26 cannot read arrays that numpy 2 has pickled"
)
@pytest.mark.parametrize("path", sorted(KEPT.glob("*.pickle")), ids=lambda path: path.stem)
def test_kept_files_are_read_and_predict_as_then(path):
    _, number, kind = path.stem.split("_", 2)
    with warnings.catch_warnings():  # of the encoder of frames, which is one of scikit-learn
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        student = pickle.loads(path.read_bytes())
    X = (make_frame() if kind == "frame" else make_rows())[:10]
    predict = student.predict_interval if "classes" not in kind else student.predict_proba
    expected = np.load(KEPT / f"format_{number}.npz")[kind]
    assert_allclose(predict(X), expected, rtol=1e-6)


def test_kept_files_are_small():
    sizes = [path.stat().st_size for path in KEPT.iterdir()]
    assert len(sizes) >= 4
    assert max(sizes) < 10_000


def change(**new):
    """Return a student whose state has other values."""
    student = make_student("mlp")[0]
    state = {**student.__getstate__(), **new}
    return DLFRegressor.__new__(DLFRegressor), {k: v for k, v in state.items() if v is not None}


def test_a_file_of_a_later_format_is_refused_with_the_version_that_reads_it():
    student, state = change(_sklearn_dlf_format=99, _sklearn_dlf_version="7.0")
    with pytest.raises(ValueError, match=r"DLFRegressor has format 99 .* by sklearn_dlf 7\.0; ex"):
        student.__setstate__(state)


@pytest.mark.parametrize("wrong", [None, 0, "1"])
def test_a_file_without_a_format_that_is_known_is_refused(wrong):
    student, state = change(_sklearn_dlf_format=wrong)
    with pytest.raises(ValueError, match="or fit the student again with this version"):
        student.__setstate__(state)


def test_states_hold_the_version_and_loaded_students_do_not():
    state = make_student("mlp")[0].__getstate__()
    assert state["_sklearn_dlf_version"] == sklearn_dlf.__version__
    student = pickle.loads(pickle.dumps(make_student("mlp")[0]))
    assert not any("_sklearn_dlf" in key for key in vars(student))


def test_unfitted_students_are_pickled_with_their_parameters():
    student = DLFRegressor(q=3, hidden_layer_sizes=(7,), callbacks=[])
    again = pickle.loads(pickle.dumps(student))
    assert again.get_params() == student.get_params()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_loaded_student_is_cloned_and_fitted_again():
    student, X = make_student("mlp")
    again = clone(pickle.loads(pickle.dumps(student)))
    predictions = X[:, :1] + np.arange(4)
    fits = [each.fit(X, predictions=predictions).predict(X) for each in (clone(student), again)]
    assert_array_equal(*fits)
