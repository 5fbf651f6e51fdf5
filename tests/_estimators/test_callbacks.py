"""scikit-learn's callbacks are told of the tasks of a fit, and may end them."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import EpochTimer

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf._fitting.em import N_POLISH_ROUNDS
from sklearn_dlf._fitting.refinement import LAW_SHARE, N_ROUNDS
from sklearn_dlf.ensembles import FittedEnsemble

pytest.importorskip("sklearn.callback")

QUICK = {"hidden_layer_sizes": 4, "n_epochs": 1, "tol": 10.0, "q": 1, "random_state": 0}


class Recorder:
    """Keeps the names of tasks, and ends a part after some of its tasks."""

    def __init__(self, ends_after=None):
        self.ends_after = ends_after or {}
        self.begun, self.ended, self.n_set_up, self.n_torn_down = [], [], 0, 0

    def setup(self, estimator, context):
        self.n_set_up += 1

    def teardown(self, estimator, context):
        self.n_torn_down += 1

    def on_fit_task_begin(self, estimator, context, *, X=None):
        self.begun.append(self.name(context))

    def on_fit_task_end(self, estimator, context):
        self.ended.append(self.name(context))
        return self.ended.count(self.ended[-1]) == self.ends_after.get(self.ended[-1])

    @staticmethod
    def name(context):
        parent = context.parent
        is_task = parent is not None and parent.parent is not None
        return f"{parent.task_name} {context.task_name}" if is_task else context.task_name


@pytest.fixture(scope="module")
def data():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((200, 2))
    return X, X[:, :1] + 0.3 * X @ rng.standard_normal((2, 5))


def probabilities(members):
    odds = 1 / (1 + np.exp(-members[:, None]))
    return np.concatenate([1 - odds, odds], axis=1)


def test_every_task_begins_and_ends_once(data):
    X, members = data
    recorder = Recorder()
    student = DLFRegressor(**QUICK).set_callbacks(recorder).fit(X, predictions=members)
    assert sorted(recorder.begun) == sorted(recorder.ended)
    assert recorder.begun[:4] == ["fit", "teacher", "EM", "EM iteration"]
    assert recorder.ended[-1] == "fit"
    n_polished = recorder.ended.count("L-BFGS iteration")
    assert n_polished == N_POLISH_ROUNDS
    assert recorder.ended.count("EM iteration") == student.n_iter_ - n_polished
    assert recorder.n_set_up == recorder.n_torn_down == 1


def test_callbacks_do_not_change_the_student(data):
    X, members = data
    student = DLFRegressor(**QUICK).fit(X, predictions=members)
    watched = DLFRegressor(**QUICK).set_callbacks(Recorder()).fit(X, predictions=members)
    assert_array_equal(student.predict(X), watched.predict(X))


def test_a_callback_ends_em(data):
    X, members = data
    recorder = Recorder({"EM iteration": 2})
    student = DLFRegressor(**QUICK).set_callbacks(recorder).fit(X, predictions=members)
    assert recorder.ended.count("EM iteration") == 2
    assert not student.converged_
    assert np.isfinite(student.predict(X)).all()


@pytest.mark.parametrize("latent", ["gaussian", "smoothed"])
def test_a_callback_ends_the_refinement(data, latent):
    X, members = data
    counts = []
    for ends_after in ({}, {"refinement round": 3}):
        recorder = Recorder(ends_after)
        student = DLFClassifier(latent=latent, **QUICK).set_callbacks(recorder)
        student.fit(X, predictions=probabilities(members))
        counts.append(recorder.ended.count("refinement round"))
        assert np.isfinite(student.predict_proba(X)).all()
    more = 0 if latent == "gaussian" else round(LAW_SHARE * N_ROUNDS[1])
    assert N_ROUNDS[0] <= counts[0] <= N_ROUNDS[1] + more
    assert counts[1] == 3


def test_callbacks_are_torn_down_after_an_error(data):
    X, members = data
    recorder = Recorder()
    student = DLFRegressor(**QUICK).set_callbacks(recorder)
    with pytest.raises(ValueError, match="must be finite"):
        student.fit(X, predictions=members * np.inf)
    assert recorder.n_torn_down == 1
    assert recorder.ended == []


def test_callbacks_survive_clones_and_pickles(data):
    X, members = data
    student = DLFRegressor(**QUICK).set_callbacks(Recorder()).fit(X, predictions=members)
    copies = clone(student), pickle.loads(pickle.dumps(student))
    assert_array_equal(copies[1].predict(X), student.predict(X))
    for each in copies:
        [recorder] = each._skl_callbacks
        assert isinstance(recorder, Recorder)


def test_searches_tell_the_callbacks_of_their_candidates(data):
    X, _ = data
    ensemble = FittedEnsemble([lambda X: X[:, 0], lambda X: X.sum(axis=1)], outputs="values")
    recorder = Recorder()
    student = DLFRegressor(ensemble, augment=None, **QUICK).set_callbacks(recorder)
    search = GridSearchCV(student, {"lr": [0.01, 0.02]}, cv=2, scoring=lambda *_: 0.0, refit=False)
    search.fit(X)
    assert recorder.ended.count("fit EM") == 4


@pytest.mark.parametrize("callbacks", [print, [print], [("name", print)], [("name",)]])
def test_what_is_no_callback_of_skorch_is_refused(callbacks, data):
    student = DLFRegressor(**QUICK).set_params(callbacks=callbacks)
    with pytest.raises(ValueError, match="must be a list of callbacks of skorch"):
        student.fit(data[0], predictions=data[1])


@pytest.mark.parametrize("callback", [EpochTimer, EpochTimer(), ("timer", EpochTimer())])
def test_callbacks_of_skorch_are_objects_classes_or_pairs(callback, data):
    student = DLFRegressor(**QUICK).set_params(callbacks=[callback])
    assert np.isfinite(student.fit(data[0], predictions=data[1]).predict(data[0])).all()
