"""Students on disk: by pickle, joblib and skops, with nothing but what they predict from."""

import copy
import io
import pickle

import joblib
import numpy as np
import pytest
import torch
from every_student import EVERY_KIND, make_student
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from torch import nn

from sklearn_dlf import DLFRegressor
from sklearn_dlf._export.modules import is_plain
from sklearn_dlf._export.records import Packer, Unpacker
from sklearn_dlf.ensembles import FittedEnsemble

# Students that are trained briefly may have noise of y without a variance.
pytestmark = pytest.mark.filterwarnings("ignore:y has no variance")


def outputs(student, X):
    """Return all that a student predicts at some rows."""
    found = [student.predict(X), student.sample_predictions(X, 3, random_state=0)]
    if hasattr(student, "predict_proba"):
        found.append(student.predict_proba(X))
    elif student.target_noise_ is not None:
        found += [*student.predict_uncertainty(X).values(), student.sample_y(X, 2, random_state=0)]
    if hasattr(student, "conformal_scores_"):
        found.append(student.predict_interval(X, 0.7))
    return found


def assert_same(one, other, X):
    """Assert that two students predict the same, bit for bit."""
    for expected, found in zip(outputs(one, X), outputs(other, X), strict=True):
        assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_pickles_joblib_files_and_copies_predict_the_same(kind):
    student, X = make_student(kind)
    assert_same(student, pickle.loads(pickle.dumps(student)), X)
    assert_same(student, copy.deepcopy(student), X)
    file = io.BytesIO()
    joblib.dump(student, file, compress=3)
    file.seek(0)
    assert_same(student, joblib.load(file), X)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_skops_files_predict_the_same_and_hold_no_type_but_the_student(kind):
    skops = pytest.importorskip("skops.io")
    student, X = make_student(kind)
    data = skops.dumps(student)
    unknown = skops.get_untrusted_types(data=data)
    own = f"{type(student).__module__}.{type(student).__name__}"
    assert unknown == sorted({own, *(["every_student.make_body"] if kind == "own_body" else [])})
    assert_same(student, skops.loads(data, trusted=unknown), X)


def test_pickles_hold_no_tensor_of_torch():
    data = pickle.dumps(make_student("separable")[0])
    assert b"torch._utils" not in data
    assert b"_rebuild" not in data


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_pickles_do_not_grow_with_rows_or_members():
    sizes = []
    for n_rows, n_members in ((50, 4), (500, 40)):
        rng = np.random.RandomState(0)
        X, predictions = rng.standard_normal((n_rows, 2)), rng.standard_normal((n_rows, n_members))
        student = DLFRegressor(
            q=2, max_iter=1, n_epochs=1, hidden_layer_sizes=(4,), augment=None, random_state=0
        )
        student.fit(X, predictions.mean(axis=1), predictions=predictions, unseen=True)
        sizes.append(len(pickle.dumps(student)))
    assert abs(sizes[1] - sizes[0]) < 1_000  # of 160,000 more bytes of predictions


def test_what_was_one_object_is_one_object_again():
    student = pickle.loads(pickle.dumps(make_student("frame")[0]))
    assert student._reader.scaler is student.scaler_
    assert student._reader.preprocessor is student.preprocessor_


def test_a_loaded_student_is_trained_on_no_further_and_in_float32():
    network = pickle.loads(pickle.dumps(make_student("mlp")[0])).student_
    assert not network.training
    assert not any(each.requires_grad for each in network.parameters())
    assert {each.dtype for each in network.parameters()} == {torch.float32}


class Tied(nn.Module):
    """Two layers with the same weights."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.second = nn.Linear(2, 2)
        self.second.weight = self.first.weight


def test_modules_that_arrays_do_not_describe_stay_as_they_are():
    hooked = nn.Linear(2, 2)
    hooked.register_forward_hook(lambda *_: None)
    shared = nn.ReLU()
    for module in (Tied(), hooked, nn.Sequential(shared, shared), nn.Linear(2, 2).bfloat16()):
        assert not is_plain(module)
        assert Packer().pack(module) is module


def test_trained_parameters_and_buffers_of_a_module_come_back():
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).requires_grad_(False)
    module[0].bias.requires_grad_(True)
    again = Unpacker().unpack(Packer().pack(module))
    assert repr(again) == repr(module)
    assert again[0].bias.requires_grad
    assert not again[0].weight.requires_grad
    for name, tensor in module.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)


@pytest.mark.parametrize(
    "name", ["os:system", "sklearn_dlf._network.bodies:torch", "builtins:dict"]
)
def test_a_record_names_classes_of_this_package_only(name):
    record = {"sklearn_dlf_record": "object", "class": name, "state": {}}
    with pytest.raises(ValueError, match="which this version of sklearn_dlf does not have"):
        Unpacker().unpack(record)


@pytest.mark.parametrize("given", [{"with_mean": False}, {"with_std": False}, {}])
def test_scalers_keep_what_they_leave_out(given):
    """Alone, and in a pipeline that takes y, or rows, to where the student learns."""
    rng = np.random.RandomState(0)
    X = 3 + 2 * rng.standard_normal((60, 2))
    scaler = StandardScaler(**given).fit(X)
    again = Unpacker().unpack(Packer().pack(scaler))
    assert_array_equal(again.transform(X), scaler.transform(X))
    logarithm = FunctionTransformer(np.log, np.exp)
    values = np.exp(X[:, :1] + 0.1 * rng.standard_normal((60, 5)))
    transformer = make_pipeline(logarithm, StandardScaler(**given)).fit(values[:, :1])
    members = [lambda rows, k=k: np.exp(rows[:, 0] + 0.1 * k) for k in range(5)]
    ensemble = FittedEnsemble(members, outputs="values", transformer=transformer)
    preprocessor = make_pipeline(StandardScaler(**given), MinMaxScaler())
    brief = {"q": 1, "n_epochs": 1, "tol": 10.0, "augment": None, "random_state": 0}
    student = DLFRegressor(preprocessor=preprocessor, **brief).fit(X, ensemble=ensemble)
    assert_array_equal(pickle.loads(pickle.dumps(student)).predict(X), student.predict(X))
