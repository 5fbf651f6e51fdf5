"""Students inside pipelines, searches, cross-validation and other estimators of scikit-learn.

Most tests compare with a student that is fitted by hand to the rows that it should have seen.
"""

import warnings
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import randint
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import make_friedman1
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import sklearn_dlf._transfer.cache
from sklearn_dlf import DLFClassifier, DLFRegressor, predict_interval, sample_predictions
from sklearn_dlf.ensembles import FittedEnsemble, member_predictions

# Few steps of training are enough, since no claim depends on how well a student is fitted.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

QUICK = {
    "q": 2,
    "body": "mlp",  # tests make fewer rows for bodies that encode, and other processes do not
    "hidden_layer_sizes": (8,),
    "max_iter": 2,
    "n_epochs": 2,
    "lr": 0.05,
    "optimizer": "adamw",  # training by "adam" would end by L-BFGS, which takes longer
    "out_of_bag": None,  # not known for given predictions, with which fits are compared
    "random_state": 0,
}

FOLDS = KFold(2)

NAMES = ["a", "b", "c", "d", "e"]

# Training is float32, and sums may be taken in another order: over the columns of a frame, and in
# another process.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


class Task(NamedTuple):
    """Rows, y, and teachers of one kind: unfitted, fitted, and their predictions."""

    student_type: Any
    X: np.ndarray
    y: np.ndarray
    prototype: Any
    teacher: Any
    predictions: np.ndarray

    def student(self, ensemble=None, **parameters):
        """Make a student whose fit is short."""
        quick = {**QUICK, "refine": False} if self.student_type is DLFClassifier else QUICK
        return self.student_type(ensemble, **{**quick, **parameters})

    @property
    def step(self):
        """Name of the student in a pipeline made by `make_pipeline`."""
        return self.student_type.__name__.lower()

    @property
    def method(self):
        """Name of the method whose results are compared."""
        return "predict_proba" if self.student_type is DLFClassifier else "predict"

    def predict(self, model, X=None):
        """Predict by a student, or by an estimator around one."""
        return getattr(model, self.method)(self.X if X is None else X)


def make_task(kind):
    X, y = make_friedman1(90, 5, noise=1.0, random_state=0)
    if kind == "classifier":
        y = np.array(["low", "mid", "high"])[np.digitize(y, np.quantile(y, [1 / 3, 2 / 3]))]
        types = DLFClassifier, RandomForestClassifier
    else:
        types = DLFRegressor, RandomForestRegressor
    prototype = types[1](6, min_samples_leaf=3)
    teacher = clone(prototype).set_params(random_state=0).fit(X, y)
    return Task(types[0], X, y, prototype, teacher, member_predictions(teacher, X))


TASKS = {kind: make_task(kind) for kind in ("regressor", "classifier")}


@pytest.fixture(params=TASKS)
def task(request):
    return TASKS[request.param]


@pytest.fixture
def regression():
    return TASKS["regressor"]


@pytest.fixture
def classification():
    return TASKS["classifier"]


def two_teachers(task):
    """Return the teacher of the task, and another one."""
    other = BaggingClassifier if task.student_type is DLFClassifier else BaggingRegressor
    other = other(n_estimators=4, random_state=1).fit(task.X, task.y)
    return FittedEnsemble(task.teacher), FittedEnsemble(other)


def counting(prototype, monkeypatch):
    """Count the fits and evaluations of all clones of an ensemble from now on."""
    counts = {"fit": 0, "evaluate": 0}
    fit, evaluate = type(prototype).fit, sklearn_dlf._transfer.cache.evaluate_members

    def counted_fit(self, *args, **kwargs):
        counts["fit"] += 1
        return fit(self, *args, **kwargs)

    def counted_evaluation(members, X):
        counts["evaluate"] += 1
        return evaluate(members, X)

    monkeypatch.setattr(type(prototype), "fit", counted_fit)
    monkeypatch.setattr(sklearn_dlf._transfer.cache, "evaluate_members", counted_evaluation)
    return counts


# Pipelines


def test_last_in_a_pipeline_with_a_teacher_of_raw_rows(task):
    X, y, step = task.X, task.y, task.step
    pipeline = make_pipeline(MinMaxScaler(), task.student())
    pipeline.fit(X, y, **{f"{step}__ensemble": task.teacher, f"{step}__X_ensemble": X})
    by_hand = task.student().fit(MinMaxScaler().fit_transform(X), y, predictions=task.predictions)
    assert_array_equal(
        task.predict(pipeline), task.predict(by_hand, MinMaxScaler().fit_transform(X))
    )


def test_last_in_a_pipeline_with_a_teacher_of_transformed_rows(task):
    rows = MinMaxScaler().fit_transform(task.X)
    teacher = clone(task.teacher).fit(rows, task.y)
    pipeline = make_pipeline(MinMaxScaler(), task.student(FittedEnsemble(teacher)))
    pipeline.fit(task.X, task.y)
    by_hand = task.student().fit(rows, task.y, ensemble=teacher)
    assert_array_equal(task.predict(pipeline), task.predict(by_hand, rows))


def test_a_pipeline_routes_the_metadata_that_its_student_requests(task):
    X, y = task.X, task.y
    with config_context(enable_metadata_routing=True):
        student = task.student().set_fit_request(ensemble=True, X_ensemble=True)
        routed = make_pipeline(MinMaxScaler(), student)
        routed.fit(X, y, ensemble=FittedEnsemble(task.teacher), X_ensemble=X)
    rows = MinMaxScaler().fit_transform(X)
    by_hand = task.student().fit(rows, y, predictions=task.predictions)
    assert_array_equal(task.predict(routed), task.predict(by_hand, rows))


def test_a_pipeline_transforms_unlabeled_rows_on_request(task):
    X, unlabeled = task.X, task.X[::-1] + 1.0
    scaler = MinMaxScaler().fit(X)
    teacher = clone(task.teacher).fit(scaler.transform(X), task.y)
    student = task.student(FittedEnsemble(teacher))
    with config_context(enable_metadata_routing=True):
        pipeline = Pipeline(
            [("scale", MinMaxScaler()), ("student", student.set_fit_request(X_unlabeled=True))],
            transform_input=["X_unlabeled"],
        )
        pipeline.fit(X, task.y, X_unlabeled=unlabeled)
    by_hand, without, untransformed = (
        clone(student).fit(scaler.transform(X), task.y, X_unlabeled=rows)
        for rows in (scaler.transform(unlabeled), None, unlabeled)
    )
    rows = scaler.transform(X)
    assert_array_equal(task.predict(pipeline), task.predict(by_hand, rows))
    assert not np.allclose(task.predict(pipeline), task.predict(without, rows))
    assert not np.allclose(task.predict(pipeline), task.predict(untransformed, rows))


def test_the_rows_of_the_teacher_follow_the_folds(task):
    X, y, step = task.X, task.y, task.step
    # "auto" may choose another body for an ensemble than for its predictions.
    student = task.student(FittedEnsemble(task.teacher), body="mlp")
    pipeline = make_pipeline(MinMaxScaler(), student)
    scores = cross_val_score(pipeline, X, y, cv=FOLDS, params={f"{step}__X_ensemble": X})
    with config_context(enable_metadata_routing=True):
        pipeline[-1].set_fit_request(X_ensemble=True)
        routed = cross_val_score(pipeline, X, y, cv=FOLDS, params={"X_ensemble": X})
    assert_array_equal(scores, routed)
    train, test = next(FOLDS.split(X))
    scaler = MinMaxScaler().fit(X[train])
    by_hand = task.student(body="mlp").fit(
        scaler.transform(X[train]), y[train], predictions=task.predictions[train]
    )
    assert scores[0] == by_hand.score(scaler.transform(X[test]), y[test])


# Searches, in three ways

WAYS = {
    "FittedEnsemble in the constructor": lambda task: (
        task.student(FittedEnsemble(task.teacher)),
        {},
    ),
    "predictions sliced with the rows": lambda task: (
        task.student(),
        {"predictions": task.predictions},
    ),
    "unfitted, refitted in each fold": lambda task: (task.student(task.prototype), {}),
}

SEARCHES = {
    "grid": lambda student: GridSearchCV(
        student, {"q": [1, 2]}, cv=FOLDS, n_jobs=2, error_score="raise"
    ),
    "randomized": lambda student: RandomizedSearchCV(
        student,
        {"q": randint(1, 4), "member_noise": ["input", "constant"]},
        n_iter=2,
        cv=FOLDS,
        n_jobs=2,
        random_state=0,
        error_score="raise",
    ),
}


@pytest.mark.parametrize("routing", [False, True], ids=["unrouted", "routed"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("search", SEARCHES)
def test_a_search_in_two_processes_fits_what_is_fitted_by_hand(task, search, way, routing):
    X, y = task.X, task.y
    student, metadata = WAYS[way](task)
    with config_context(enable_metadata_routing=routing):
        if routing:
            metadata["sample_weight"] = np.linspace(0.5, 2.0, len(X))
            student.set_fit_request(**dict.fromkeys(metadata, True))
            student.set_score_request(sample_weight=True)
        search = SEARCHES[search](student).fit(X, y, **metadata)
    train, test = next(FOLDS.split(X))
    for i, parameters in enumerate(search.cv_results_["params"]):
        by_hand = clone(student).set_params(**parameters)
        by_hand.fit(X[train], y[train], **{name: rows[train] for name, rows in metadata.items()})
        weights = {"sample_weight": metadata["sample_weight"][test]} if routing else {}
        expected = by_hand.score(X[test], y[test], **weights)
        assert_allclose(search.cv_results_["split0_test_score"][i], expected, **CLOSE)
    refitted = clone(student).set_params(**search.best_params_).fit(X, y, **metadata)
    assert_array_equal(task.predict(search), task.predict(refitted))


def test_parameters_of_an_unfitted_teacher_are_searched(task):
    student = task.student(task.prototype)
    grid = {"ensemble__n_estimators": [3, 5]}
    search = GridSearchCV(student, grid, cv=FOLDS, error_score="raise").fit(task.X, task.y)
    assert search.best_estimator_.n_members_ == search.best_params_["ensemble__n_estimators"]
    assert np.ptp(search.cv_results_["mean_test_score"]) > 0
    assert student.ensemble.n_estimators == 6


def test_teachers_are_compared_by_a_search(task):
    teachers = two_teachers(task)
    search = GridSearchCV(task.student(), {"ensemble": teachers}, cv=FOLDS, error_score="raise")
    search.fit(task.X, task.y)
    assert search.best_params_["ensemble"] in teachers  # the same objects, not clones
    assert search.best_estimator_.n_members_ == search.best_params_["ensemble"].n_members


def test_draws_and_intervals_pass_through_a_search_over_a_pipeline(regression):
    X, y = regression.X, regression.y
    pipeline = make_pipeline(MinMaxScaler(), regression.student())
    search = GridSearchCV(pipeline, {"dlfregressor__q": [1, 2]}, cv=FOLDS)
    search.fit(X, y, dlfregressor__predictions=regression.predictions)
    rows, student = search.best_estimator_[:-1].transform(X), search.best_estimator_[-1]
    assert_array_equal(predict_interval(search, X), student.predict_interval(rows))
    assert_array_equal(
        sample_predictions(search, X, 3, random_state=0),
        student.sample_predictions(rows, 3, random_state=0),
    )


# Teachers that searches cannot pass on


def test_a_list_of_models_that_a_search_may_have_cut_gives_a_warning(task):
    X, y = task.X, task.y
    trees = list(task.teacher.estimators_) * 15  # as many as rows
    if task.student_type is DLFClassifier:  # trees of a forest are fitted to codes
        y = np.unique(y, return_inverse=True)[1]
    search = GridSearchCV(task.student(), {"q": [1]}, cv=FOLDS, refit=False, error_score="raise")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with pytest.raises(UserWarning, match=r"list of 45 models, and X has as many.* FittedEns"):
            search.fit(X, y, ensemble=trees)
    whole = GridSearchCV(task.student(), {"q": [1]}, cv=FOLDS).fit(
        X, y, ensemble=FittedEnsemble(trees)
    )
    assert whole.best_estimator_.n_members_ == 90


def test_a_bare_ensemble_is_refused_by_scikit_learn_and_a_wrapped_one_passes(task):
    search = GridSearchCV(task.student(), {"q": [1]}, cv=FOLDS, error_score="raise")
    with pytest.raises(TypeError, match=r"Expected sequence or array-like, got .*RandomForest"):
        search.fit(task.X, task.y, ensemble=task.teacher)
    search.fit(task.X, task.y, ensemble=FittedEnsemble(task.teacher))
    by_hand = task.student(q=1).fit(task.X, task.y, ensemble=task.teacher)
    assert_array_equal(task.predict(search), task.predict(by_hand))


def test_a_list_of_models_that_a_search_clones_is_refused(task):
    student = task.student(list(task.teacher.estimators_))
    search = GridSearchCV(student, {"q": [1]}, cv=FOLDS, error_score="raise")
    with pytest.raises(NotFittedError, match="wrap the list in FittedEnsemble"):
        search.fit(task.X, task.y)


def test_a_list_of_predictions_is_refused_in_a_search(task):
    members = list(np.moveaxis(task.predictions, -1, 0))
    search = GridSearchCV(task.student(), {"q": [1]}, cv=FOLDS, error_score="raise")
    with pytest.raises(ValueError, match="but not lists: pass an array, members last"):
        search.fit(task.X, task.y, predictions=members)


# Memory


@pytest.mark.parametrize("container", ["numpy", "pandas", "polars"])
def test_with_memory_a_teacher_is_fitted_and_evaluated_once_a_fold(
    task, container, tmp_path, monkeypatch
):
    X, y = contain(container, task.X, task.y)
    # The choice of a body would evaluate the teacher once more.
    student = task.student(task.prototype, body="mlp", memory=str(tmp_path))
    pipeline = make_pipeline(StandardScaler(), student)
    grid = {f"{task.step}__q": [1, 2, 3]}
    search = GridSearchCV(pipeline, grid, cv=FOLDS, refit=False, error_score="raise")
    counts = counting(task.prototype, monkeypatch)
    search.fit(X, y, **{f"{task.step}__X_ensemble": X})
    assert counts == {"fit": 2, "evaluate": 2}


def test_processes_share_a_memory(task, tmp_path):
    student = task.student(task.prototype, body="mlp", memory=str(tmp_path))
    first = GridSearchCV(student, {"q": [1]}, cv=FOLDS, refit=False, error_score="raise")
    first.fit(task.X, task.y)
    kept = sorted(tmp_path.rglob("output.pkl"))
    assert len(kept) == 6  # a fit, its facts and its predictions in each fold
    second = GridSearchCV(student, {"q": [1, 2]}, cv=FOLDS, n_jobs=2, refit=False)
    second.fit(task.X, task.y)
    assert sorted(tmp_path.rglob("output.pkl")) == kept
    assert_allclose(
        second.cv_results_["mean_test_score"][0], first.cv_results_["mean_test_score"][0], **CLOSE
    )


# Cross-validation and other estimators around students


def test_predictions_of_held_out_rows_are_those_of_each_fold(task):
    X, y = task.X, task.y
    params = {"predictions": task.predictions}
    predictions = cross_val_predict(
        task.student(), X, y, cv=FOLDS, n_jobs=2, params=params, method=task.method
    )
    for train, test in FOLDS.split(X):
        by_hand = task.student().fit(X[train], y[train], predictions=task.predictions[train])
        assert_allclose(predictions[test], task.predict(by_hand, X[test]), **CLOSE)


def test_scores_do_not_depend_on_the_backend_of_joblib(task):
    student = task.student(FittedEnsemble(task.teacher))
    serial = cross_val_score(student, task.X, task.y, cv=3, error_score="raise")
    with joblib.parallel_config("loky", n_jobs=2):
        parallel = cross_val_score(student, task.X, task.y, cv=3, error_score="raise")
    assert_allclose(parallel, serial, **CLOSE)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_voting_averages_its_students(task, n_jobs):
    X, y = task.X, task.y
    if task.student_type is DLFClassifier:
        y = np.unique(y, return_inverse=True)[1]  # voting fits its estimators to codes
        task = task._replace(y=y, teacher=clone(task.teacher).fit(X, y))
        voting_type, options = VotingClassifier, {"voting": "soft"}
    else:
        voting_type, options = VotingRegressor, {}
    teachers = dict(zip(("forest", "bagging"), two_teachers(task), strict=True))
    students = [(name, task.student(teacher)) for name, teacher in teachers.items()]
    voting = voting_type(students, n_jobs=n_jobs, **options).set_params(bagging__q=1).fit(X, y)
    by_hand = [
        task.student(teachers["forest"]).fit(X, y),
        task.student(teachers["bagging"], q=1).fit(X, y),
    ]
    mean = np.mean([task.predict(student) for student in by_hand], axis=0)
    assert_allclose(task.predict(voting), mean, **CLOSE)
    assert voting.get_params()["forest__ensemble"] is teachers["forest"]


def test_voting_with_unfitted_teachers_takes_labels_of_any_kind(classification):
    X, y = classification.X, classification.y
    students = [
        (name, classification.student(clone(classification.prototype), random_state=seed))
        for seed, name in enumerate("ab")
    ]
    voting = VotingClassifier(students, voting="soft").fit(X, y)
    labels, codes = np.unique(y, return_inverse=True)
    by_hand = [clone(student).fit(X, codes).predict_proba(X) for _, student in students]
    assert_array_equal(voting.predict(X), labels[np.mean(by_hand, axis=0).argmax(axis=1)])


def test_voting_takes_a_teacher_that_was_fitted_on_names(classification):
    X, y = classification.X, classification.y
    student = classification.student(FittedEnsemble(classification.teacher))
    voting = VotingClassifier([("a", student)]).fit(X, y)
    assert_array_equal(voting.predict(X), clone(student).fit(X, y).predict(X))


def test_a_student_learns_a_transformed_target(regression):
    X, y = regression.X, regression.y
    student = regression.student(regression.prototype)
    model = TransformedTargetRegressor(student, func=np.log1p, inverse_func=np.expm1).fit(X, y)
    by_hand = clone(student).fit(X, np.log1p(y))
    assert_array_equal(model.predict(X), np.expm1(by_hand.predict(X)))


def test_a_teacher_of_the_untransformed_target_gives_a_warning(regression):
    student = regression.student(FittedEnsemble(regression.teacher))
    model = TransformedTargetRegressor(student, transformer=StandardScaler())
    with pytest.warns(UserWarning, match="TransformedTargetRegressor, give a teacher of the tr"):
        model.fit(regression.X, regression.y)


@pytest.mark.parametrize("way", WAYS)
def test_a_student_is_calibrated_fold_by_fold(classification, way):
    X, y = classification.X, classification.y
    student, metadata = WAYS[way](classification)
    calibrated = CalibratedClassifierCV(student, cv=FOLDS, n_jobs=2).fit(X, y, **metadata)
    inside = [each.estimator for each in calibrated.calibrated_classifiers_]
    for (train, _), found in zip(FOLDS.split(X), inside, strict=True):
        rows = {name: values[train] for name, values in metadata.items()}
        by_hand = clone(student).fit(X[train], y[train], **rows)
        assert_allclose(found.predict_proba(X), by_hand.predict_proba(X), **CLOSE)
    assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1)


def test_a_clone_is_unfitted_and_learns_the_same(task):
    student = task.student(FittedEnsemble(task.teacher)).fit(task.X, task.y)
    again = clone(student)
    assert again.ensemble is student.ensemble
    assert again.get_params() == student.get_params()
    with pytest.raises(NotFittedError):
        again.predict(task.X)
    assert_array_equal(task.predict(again.fit(task.X, task.y)), task.predict(student))


def test_a_pipeline_loaded_from_a_file_predicts_the_same(task, tmp_path):
    pipeline = make_pipeline(MinMaxScaler(), task.student())
    pipeline.fit(task.X, task.y, **{f"{task.step}__predictions": task.predictions})
    joblib.dump(pipeline, tmp_path / "student.joblib", compress=3)
    again = joblib.load(tmp_path / "student.joblib")
    assert_array_equal(task.predict(again), task.predict(pipeline))
    assert_array_equal(
        sample_predictions(again, task.X, 3, random_state=0),
        sample_predictions(pipeline, task.X, 3, random_state=0),
    )


# Frames


def contain(container, X, y=None):
    """Rows and values as arrays, or as a frame with names and a series."""
    if container == "numpy":
        rows, values = X, y
    elif container == "pandas":
        # An index of its own: rows are found by position.
        rows = pd.DataFrame(X, columns=NAMES, index=np.arange(len(X))[::-1])
        values = None if y is None else pd.Series(y, index=rows.index)
    else:
        polars = pytest.importorskip("polars")
        rows, values = polars.DataFrame(X, schema=NAMES), None if y is None else polars.Series(y)
    return rows if y is None else (rows, values)


FRAMES = ["pandas", "polars"]


@pytest.mark.parametrize("container", FRAMES)
def test_a_fit_to_frames_equals_a_fit_to_arrays(task, container):
    X, y = contain(container, task.X, task.y)
    teacher = clone(task.teacher).fit(X, y)
    student = task.student().fit(X, y, ensemble=teacher)
    by_hand = task.student().fit(task.X, task.y, ensemble=task.teacher)
    assert_array_equal(student.feature_names_in_, NAMES)
    # Frames are standardised alike but for rounding, which a fit of many steps magnifies.
    assert_allclose(task.predict(student, X), task.predict(by_hand), rtol=5e-3, atol=1e-4)


@pytest.mark.parametrize("container", FRAMES)
def test_frames_are_split_with_the_folds(task, container):
    X, y = contain(container, task.X, task.y)
    weights = contain(container, task.X, np.linspace(1, 2, len(task.X)))[1]
    pipeline = make_pipeline(MinMaxScaler(), task.student(FittedEnsemble(task.teacher)))
    scores = [
        cross_val_score(
            pipeline,
            rows,
            values,
            cv=FOLDS,
            params={f"{task.step}__X_ensemble": rows, f"{task.step}__sample_weight": row_weights},
            error_score="raise",
        )
        for rows, values, row_weights in [(X, y, weights), (task.X, task.y, np.asarray(weights))]
    ]
    assert_allclose(*scores, **CLOSE)


@pytest.mark.parametrize("container", FRAMES)
def test_predictions_in_a_frame_are_split_with_the_folds(regression, container):
    X, y, predictions = regression.X, regression.y, regression.predictions
    frame = contain(container, predictions[:, :5])
    scores = [
        cross_val_score(regression.student(), X, y, cv=FOLDS, params={"predictions": members})
        for members in (frame, predictions[:, :5])
    ]
    assert_array_equal(*scores)


@pytest.mark.parametrize("container", FRAMES)
@pytest.mark.parametrize(
    ("names", "message"),
    [(NAMES[::-1], "must be in the same order"), (NAMES[:3], "yet now missing:\n- d\n- e")],
)
def test_other_columns_are_an_error(task, container, names, message):
    X, y = contain(container, task.X, task.y)
    student = task.student().fit(X, y, predictions=task.predictions)
    with pytest.raises(ValueError, match=message):
        student.predict(X[names])


def test_another_number_of_columns_is_an_error_behind_a_pipeline(task):
    pipeline = make_pipeline("passthrough", task.student())
    pipeline.fit(task.X, task.y, **{f"{task.step}__predictions": task.predictions})
    with pytest.raises(ValueError, match=r"X has 3 features, but DLF.* is expecting 5"):
        pipeline.predict(task.X[:, :3])


@pytest.mark.parametrize("container", FRAMES)
def test_set_output_passes_column_names_to_the_student(task, container):
    X, y = contain("pandas", task.X, task.y)
    teacher = FittedEnsemble(clone(task.teacher).fit(X, y))
    metadata = {f"{task.step}__X_ensemble": X}
    pipeline = make_pipeline(MinMaxScaler(), task.student(teacher))
    plain = clone(pipeline).fit(X, y, **metadata)
    contain(container, task.X)  # skips where the library is missing
    named = pipeline.set_output(transform=container).fit(X, y, **metadata)
    assert_array_equal(named[-1].feature_names_in_, NAMES)
    assert not hasattr(plain[-1], "feature_names_in_")
    assert_allclose(task.predict(named, X), task.predict(plain, X), **CLOSE)
