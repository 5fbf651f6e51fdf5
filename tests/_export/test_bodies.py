"""Bodies of the user's own in files of arrays, without the tensors that their callable returns."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from grammar import LENGTH, AdaptedTransformer, SmallTransformer, make_sentences, members_of
from numpy.testing import assert_allclose, assert_array_equal
from raw_rows import conv_body, images
from raw_rows import members_of as members_of_images
from torch import nn

from sklearn_dlf import DLFClassifier, DLFRegressor, load_student, save_student
from sklearn_dlf.augmentation import FlipCrop
from sklearn_dlf.baselines import HydraClassifier, SmallEnsembleClassifier
from sklearn_dlf.ensembles import FittedEnsemble
from sklearn_dlf.text import SentenceTokenizer

safetensors = pytest.importorskip("safetensors.numpy")

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

BRIEF = {"max_iter": 2, "n_epochs": 1, "n_augmented": 20, "random_state": 0}


def adapted_student():
    X, _ = make_sentences(60)
    ids = SentenceTokenizer(max_length=LENGTH).fit_transform(X)
    student = DLFClassifier(q=1, body=AdaptedTransformer, preprocessor=None, refine=2, **BRIEF)
    return student.fit(ids, predictions=members_of(X), outputs="logits"), ids


def of_images(student):
    X = images(60)[0]
    logits = members_of_images(X)
    if isinstance(student, DLFRegressor):
        return student.fit(X, predictions=logits[:, 0]), X
    ensemble = FittedEnsemble(members_of_images, outputs="logits", n_members=6)
    return student.fit(X, ensemble=ensemble), X


def body_of(activation, width, shape):
    """A body whose tensors do not tell its activation."""
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), width), activation())


def predict(student, X):
    return student.predict(X) if isinstance(student, DLFRegressor) else student.predict_proba(X)


@pytest.mark.parametrize(
    "student",
    [
        DLFClassifier(refine=1),
        DLFRegressor(),
        HydraClassifier(augment=FlipCrop()),
    ],
)
def test_students_of_images_come_back_with_the_callable(student, tmp_path):
    student, X = of_images(student.set_params(body=conv_body, **BRIEF))
    save_student(student, tmp_path / "student.safetensors")
    assert student.body is conv_body  # it is as it was
    again = load_student(tmp_path / "student.safetensors", body=conv_body)
    assert_allclose(predict(again, X), predict(student, X), rtol=1e-4, atol=1e-5)  # float32
    assert again.get_params() == student.get_params()


def test_tensors_of_the_base_are_not_written(tmp_path):
    student, ids = adapted_student()
    path = tmp_path / "student.safetensors"
    save_student(student, path)
    n_base = sum(each.nbytes for each in map(np.asarray, student.student_.body.base.parameters()))
    assert path.stat().st_size < n_base / 4
    arrays = [each for each in safetensors.load_file(path).values() if each.size == 2 * 16]
    assert len(arrays) == 3  # both matrices of the adapter, and the features of two rows
    again = load_student(path, body=AdaptedTransformer)
    assert_array_equal(again.predict_proba(ids), student.predict_proba(ids))


def test_a_student_comes_back_in_a_fresh_process(tmp_path):
    student, ids = adapted_student()
    save_student(student, tmp_path / "student.safetensors")
    np.save(tmp_path / "ids.npy", ids)
    script = (
        "import numpy as np; from grammar import AdaptedTransformer; "
        "from sklearn_dlf import load_student; import sys; folder = sys.argv[1]; "
        "student = load_student(folder + '/student.safetensors', body=AdaptedTransformer); "
        "np.save(folder + '/p.npy', student.predict_proba(np.load(folder + '/ids.npy')))"
    )
    paths = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}; {script}"]
    subprocess.run([*command, str(tmp_path)], check=True)
    assert_array_equal(np.load(tmp_path / "p.npy"), student.predict_proba(ids))


def test_a_body_of_ones_own_needs_its_callable(tmp_path):
    student, _ = adapted_student()
    save_student(student, tmp_path / "student.safetensors")
    with pytest.raises(ValueError, match="made by 'AdaptedTransformer': load_student"):
        load_student(tmp_path / "student.safetensors")


@pytest.mark.parametrize("body", [partial(AdaptedTransformer, base_seed=1), SmallTransformer])
def test_another_base_is_refused(body, tmp_path):
    student, _ = adapted_student()
    save_student(student, tmp_path / "student.safetensors")
    with pytest.raises(ValueError, match="is not the one that the student was trained on"):
        load_student(tmp_path / "student.safetensors", body=body)


@pytest.mark.parametrize(
    "body", [partial(body_of, nn.ReLU, 8), partial(body_of, nn.Tanh, 9)], ids=["other", "wider"]
)
def test_a_body_with_other_features_is_refused(body, tmp_path):
    made = partial(body_of, nn.Tanh, 8)
    student, _ = of_images(DLFClassifier(refine=1, body=made, **BRIEF))
    save_student(student, tmp_path / "student.safetensors")
    with pytest.raises(ValueError, match="is not the one that the student was trained on"):
        load_student(tmp_path / "student.safetensors", body=body)


def test_several_bodies_are_refused(tmp_path):
    student, _ = of_images(SmallEnsembleClassifier(body=conv_body, **BRIEF))
    with pytest.raises(ValueError, match="holds one body"):
        save_student(student, tmp_path / "student.safetensors")


def test_a_callable_is_not_given_for_a_body_of_this_package(tmp_path):
    X = np.linspace(-1, 1, 20)[:, None]
    predictions = X + np.array([-0.1, 0.0, 0.1])
    student = DLFRegressor(q=1, tol=1.0, random_state=0).fit(X, predictions=predictions)
    save_student(student, tmp_path / "student.safetensors")
    with pytest.raises(ValueError, match="leave out `body`"):
        load_student(tmp_path / "student.safetensors", body=conv_body)
