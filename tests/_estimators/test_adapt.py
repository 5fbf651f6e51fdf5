"""`adapt`: what it takes, what the new student is, and what it says of what it does not take."""

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from quick_students import QUICK, make_classifier
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import NotFittedError

from sklearn_dlf import DLFClassifier, DLFRegressor

pytestmark = pytest.mark.filterwarnings("ignore:Labels are likelier with a head")


@pytest.fixture(scope="module")
def classifier(friedman):
    return make_classifier(*friedman)


def test_the_new_student_is_of_the_same_class_and_parameters(student, friedman):
    X, y = friedman
    adapted = student.adapt(X[:30], y[:30])
    assert type(adapted) is DLFRegressor
    assert adapted is not student
    assert adapted.get_params() == student.get_params()
    assert not hasattr(clone(adapted), "student_")


@pytest.mark.parametrize("estimator", [DLFRegressor, DLFClassifier])
def test_an_unfitted_student_is_refused(estimator, friedman):
    with pytest.raises(NotFittedError):
        estimator().adapt(*friedman)


def test_a_student_without_noise_of_y_is_refused(friedman, forest):
    X, y = friedman
    model = DLFRegressor(**QUICK).fit(X, ensemble=forest)
    with pytest.raises(NotFittedError, match=r"adapt needs the noise of y.*fit was called without"):
        model.adapt(X, y)


def test_adapted_students_are_neither_adapted_nor_updated(student, friedman):
    X, y = friedman
    adapted = student.adapt(X[:30], y[:30])
    with pytest.raises(ValueError, match="adapted already"):
        adapted.adapt(X, y)
    with pytest.raises(ValueError, match="was adapted to another meaning"):
        adapted.update(X, y)
    before = adapted.predict(X)
    assert_array_equal(adapted.reset_update().predict(X), before)


def test_a_new_fit_forgets_the_adaptation(friedman, forest):
    X, y = friedman
    model = DLFRegressor(**QUICK).fit(X, y, ensemble=forest)
    before = model.predict(X)
    refitted = model.adapt(X, -y).fit(X, y, ensemble=forest)
    assert_array_equal(refitted.predict(X), before)
    assert not hasattr(refitted, "adaptation_")


@pytest.mark.parametrize("task", ["values", "classes"])
def test_updates_are_left_out_with_a_warning(task, student, classifier, friedman):
    model, X, y = (student, *friedman) if task == "values" else classifier
    before = model.adapt(X[:30], y[:30])
    model = copy.deepcopy(model).update(X[30:60], y[30:60])
    with pytest.warns(UserWarning, match="learnt by update is left out: adapt starts"):
        adapted = model.adapt(X[:30], y[:30])
    assert_array_equal(adapted.predict(X), before.predict(X))


@pytest.mark.parametrize("labels", ["both", None])
def test_bad_options_are_refused(student, friedman, labels):
    with pytest.raises(ValueError, match="labels must be 'auto', 'kept' or 'mapped'"):
        student.adapt(*friedman, labels=labels)


def test_too_few_rows_for_other_units_are_told(student, friedman):
    X, y = friedman
    with pytest.warns(UserWarning, match=r"3 different rows are too few.*labels='mapped'"):
        few = student.adapt(X[:3], 1000 * y[:3] + 5e4)
    assert few.adaptation_.labels == "kept"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        student.adapt(X[:3], y[:3])
        mapped = student.adapt(X[:3], 1000 * y[:3] + 5e4, labels="mapped")
        more = student.adapt(X[:30], 1000 * y[:30] + 5e4)
    assert mapped.adaptation_.labels == more.adaptation_.labels == "mapped"


@pytest.mark.parametrize("weight", [0.0, 1e-310])
def test_rows_that_do_not_count_are_refused(student, friedman, weight):
    X, y = friedman
    with pytest.raises(ValueError, match="at least one row of positive weight; got 3 rows"):
        student.adapt(X[:3], y[:3], sample_weight=np.full(3, weight))
    with pytest.raises(ValueError, match="at least one row of positive weight; got 0 rows"):
        student.adapt(X[:0], y[:0])


def test_shapes_that_do_not_match_are_refused(student, friedman):
    X, y = friedman
    with pytest.raises(ValueError, match="each of the 5 rows of X; got 4"):
        student.adapt(X[:5], y[:4])
    with pytest.raises(ValueError, match="y contains"):
        student.adapt(X[:3], [1.0, np.nan, 2.0])


def test_columns_of_other_names_are_refused(friedman, forest):
    X, y = friedman
    names = [f"x{i}" for i in range(X.shape[1])]
    frame = pd.DataFrame(X, columns=names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = DLFRegressor(**QUICK).fit(frame, y, ensemble=forest)
    adapted = model.adapt(frame[:20], pd.Series(y[:20]))
    assert_array_equal(adapted.feature_names_in_, names)
    with pytest.raises(ValueError, match="feature names"):
        model.adapt(frame[names[::-1]][:20], y[:20])
    with pytest.raises(ValueError, match="feature names"):
        adapted.predict(frame[names[::-1]])


def test_labels_may_be_of_any_kind(classifier):
    model, X, labels = classifier
    kinds = {
        "numbers": np.where(labels == "high", 7, 3),
        "floats": np.where(labels == "high", 2.0, 1.0),
        "booleans": labels == "high",
        "objects": labels.astype(object),
        "series": pd.Series(labels, dtype="string"),
        "other strings": np.where(labels == "high", "a longer name", "b"),
    }
    for y in kinds.values():
        adapted = model.adapt(X[:80], y[:80])
        assert_array_equal(adapted.classes_, np.unique(y))
        assert adapted.score(X[80:], y[80:]) > 0.6


def test_missing_labels_are_refused(classifier):
    model, X, _ = classifier
    with pytest.raises(ValueError, match="missing labels"):
        model.adapt(X[:3], np.array(["high", None, "low"], dtype=object))


def test_values_are_no_labels(classifier):
    model, X, _ = classifier
    with pytest.raises(ValueError, match="continuous"):
        model.adapt(X[:5], np.linspace(0, 1, 5))


def test_labels_outside_of_classes_are_refused(classifier):
    model, X, labels = classifier
    with pytest.raises(ValueError, match=r"none of classes=\['a' 'b'\]: \['high', 'low'\]"):
        model.adapt(X[:50], labels[:50], classes=["b", "a"])


def test_a_single_class_that_is_not_known_is_refused(classifier):
    model, X, _ = classifier
    with pytest.raises(ValueError, match="one label, 'new', which is no class of the student"):
        model.adapt(X[:5], np.full(5, "new"))


def test_kept_classes_need_their_names(classifier):
    model, X, labels = classifier
    with pytest.raises(ValueError, match="which lack some of them"):
        model.adapt(X[:5], np.full(5, "high"), labels="kept", classes=["high", "other"])
    with pytest.raises(ValueError, match="numbers or strings"):
        model.adapt(X[:5], np.arange(5) % 2, labels="kept")
    assert labels[0] in model.classes_


def test_transformed_values_are_adapted_in_their_own_space(friedman):
    X, y = friedman
    y = np.exp(0.2 * (y - y.mean()))
    forest = RandomForestRegressor(20, min_samples_leaf=3, random_state=0)
    ensemble = TransformedTargetRegressor(forest, func=np.log, inverse_func=np.exp)
    ensemble.fit(X[:150], y[:150])
    model = DLFRegressor(**QUICK).fit(X[:150], y[:150], ensemble=ensemble)
    adapted = model.adapt(X[150:], 1000 / y[150:])
    assert adapted.adaptation_.labels == "mapped"
    assert (adapted.predict_interval(X) > 0).all()
    median = adapted.predict_quantiles(X[150:], [0.5])[:, 0]
    assert_allclose(np.log(median).mean(), np.log(1000 / y[150:]).mean(), atol=0.2)
    with pytest.raises(ValueError, match="transformation of y is not finite"):
        model.adapt(X[150:], -y[150:])


def test_a_file_of_onnx_is_refused(student, friedman, tmp_path):
    pytest.importorskip("onnx")
    X, y = friedman
    with pytest.raises(ValueError, match="adapted to another meaning"):
        student.adapt(X[:30], y[:30]).to_onnx(tmp_path / "student.onnx")


def test_a_file_of_arrays_keeps_the_adaptation(classifier, tmp_path):
    pytest.importorskip("safetensors")
    from sklearn_dlf import load_student, save_student

    model, X, labels = classifier
    adapted = model.adapt(X[:80], np.where(labels == "high", 1, 0)[:80])
    save_student(adapted, tmp_path / "student.safetensors")
    loaded = load_student(tmp_path / "student.safetensors")
    assert_array_equal(loaded.predict_proba(X), adapted.predict_proba(X))
    assert_array_equal(loaded.classes_, adapted.classes_)


def test_parts_of_rows_are_predicted_like_all(classifier, monkeypatch):
    model, X, labels = classifier
    adapted = model.adapt(X[:80], labels[:80], labels="mapped")
    found = adapted.predict_proba(X), adapted.sample_predictions(X, 5, random_state=0)
    monkeypatch.setattr("sklearn_dlf._estimators.row_parts.PART_BYTES", 2**14)
    assert_allclose(adapted.predict_proba(X), found[0], rtol=0, atol=1e-12)
    assert_allclose(adapted.sample_predictions(X, 5, random_state=0), found[1], atol=1e-12)
