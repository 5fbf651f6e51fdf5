import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris, make_classification
from sklearn.ensemble import BaggingClassifier
from sklearn.tree import DecisionTreeClassifier

from sklearn_dlf import DLFClassifier
from sklearn_dlf._contrasts import Contrasts
from sklearn_dlf._epistemic import match_information
from sklearn_dlf._student import SeparableStudent, Student, make_mlp
from sklearn_dlf.ensembles import member_predictions
from sklearn_dlf.metrics import mutual_information

SHORT = {"q": 3, "augment": None, "max_iter": 3, "out_of_bag": None, "random_state": 0}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def make_task(n_classes):
    if n_classes == 3:
        return load_iris(return_X_y=True)
    return make_classification(200, 5, flip_y=0.2, random_state=0)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("loadings", ["full", "separable"])
def test_members_tell_as_much_of_classes_as_the_ensembles(n_classes, loadings):
    X, y = make_task(n_classes)
    trees = DecisionTreeClassifier(min_samples_leaf=5)
    trees = BaggingClassifier(trees, 20, max_samples=0.3, random_state=0).fit(X, y)
    student = DLFClassifier(**SHORT, loadings=loadings).fit(X, y, ensemble=trees)
    wanted = mutual_information(member_predictions(trees, X)).mean()
    assert_allclose(student.predict_uncertainty(X).epistemic.mean(), wanted, rtol=0.01)


@pytest.mark.parametrize("is_widened", [False, True])
@pytest.mark.parametrize("noise", [0.4, 3.0])
def test_what_was_widened_is_not_widened_again(noise, is_widened):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((200, 4)).astype(np.float32)
    contrasts = Contrasts([rng.standard_normal((200, 3, 10))], len(X))  # of variance one
    student = Student(make_mlp(4, (5,), "relu"), 4, 3, 2)
    student.set_noise(noise)
    student.transform_loadings(np.zeros((2, 2)))
    match_information(student, X, contrasts, is_widened, rng)
    wanted = noise if noise < 1 and is_widened else 1.0
    assert_allclose(np.exp(student.evaluate(X).log_noise), wanted, rtol=0.2)


def test_made_rows_do_not_count():
    X, y = make_task(3)
    trees = DecisionTreeClassifier(min_samples_leaf=5)
    trees = BaggingClassifier(trees, 20, max_samples=0.3, random_state=0).fit(X, y)
    student = DLFClassifier(**{**SHORT, "augment": "reach"}).fit(X, y, ensemble=trees)
    wanted = mutual_information(member_predictions(trees, X)).mean()
    assert_allclose(student.predict_uncertainty(X).epistemic.mean(), wanted, rtol=0.01)


def test_rows_without_weight_do_not_count():
    X, _ = load_iris(return_X_y=True)
    predictions = np.random.RandomState(0).dirichlet([2, 2, 2], size=(150, 10)).swapaxes(1, 2)
    predictions[75:] = predictions[75:, :, :1]  # all agree
    weights = np.repeat([1.0, 0.0], 75)
    student = DLFClassifier(**SHORT).fit(X, predictions=predictions, sample_weight=weights)
    wanted = mutual_information(predictions[:75]).mean()
    assert_allclose(student.predict_uncertainty(X[:75]).epistemic.mean(), wanted, rtol=0.01)


@pytest.mark.parametrize("student_class", [Student, SeparableStudent])
def test_spread_is_scaled_at_all_inputs(student_class):
    student = student_class(make_mlp(4, (5,), "relu"), 4, 3, 2)
    student.limit_noise(np.array([0.0, 0.1, 0.2]))
    X = np.random.RandomState(0).standard_normal((9, 4)).astype(np.float32)
    before = student.evaluate(X)
    student.scale_spread(1.7)
    after = student.evaluate(X)
    assert_array_equal(after.mean, before.mean)
    assert_allclose(after.loadings, 1.7 * before.loadings, rtol=1e-5, atol=1e-6)
    assert_allclose(np.exp(after.log_noise), 1.7**2 * np.exp(before.log_noise), rtol=1e-5)
