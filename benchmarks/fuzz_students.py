"""Calls of fitted students that ``fuzz.py`` draws: predictions, also through wrappers."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
from fuzz_calls import Call, finite, n_rows_of, numbers_of
from fuzz_ensembles import Teachers
from fuzz_values import (
    COUNTS,
    FRAMES,
    LEVELS,
    QUANTILES,
    SEEDS,
    SWITCHES,
    UNKNOWN_ROWS,
    Draw,
)
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklearn_dlf
from sklearn_dlf import DLFClassifier, DLFRegressor, baselines

# Values of `n_samples`.
MANY = {**COUNTS, "variant": [np.int64(3), 1, 300], "edge": [np.uint8(2)]}
MANY["bad"] = [*COUNTS["bad"], 3.0, "3"]

TINY = {
    "max_iter": 2,
    "n_epochs": 2,
    "hidden_layer_sizes": (6,),
    "augment": None,
    "random_state": 0,
}


class Students:
    """Fitted students of every kind, and rows as each takes them."""

    def __init__(self, teachers: Teachers):
        X, y, members = teachers.X, teachers.y, teachers.members
        logits = np.stack([members, 0 * members, -members], axis=1)
        several = np.stack([members, 2 - members], axis=1)
        self.teachers, self.frame = teachers, as_frame(X)
        self.rows: dict[str, Any] = {}
        self.fitted: dict[str, Any] = {}
        factors = {"q": 2, **TINY}
        regressor, classifier = DLFRegressor(**factors), DLFClassifier(**factors)
        with_y, both = {"y": y, "predictions": members}, np.c_[y, 2 - y]
        self._add("plain", regressor, X, **with_y, unseen=True)
        self._add("without y", regressor, X, predictions=members)
        self._add("outputs", regressor, X, y=both, predictions=several, unseen=True)
        separable = clone(regressor).set_params(loadings="separable")
        self._add("separable", separable, X, y=both, predictions=several)
        self._add("groups", clone(regressor).set_params(latent="smoothed"), X, **with_y)
        self._add("conformal", regressor, X, **with_y)
        self.fitted["conformal"].conformalize(X, y)
        self._add("updated", regressor, X, **with_y)
        self.fitted["updated"].update(X[:5], y[:5] + 1)
        self._keep("adapted", self.fitted["plain"].adapt(X, 20 - 3 * y), X)
        self._add("frame", regressor, self.frame, **with_y)
        logs = [
            TransformedTargetRegressor(Ridge(a), func=np.log, inverse_func=np.exp) for a in (1, 9)
        ]
        logs = [model.fit(X, np.exp(y)) for model in logs]
        self._add("transformed", regressor, X, y=np.exp(y), ensemble=logs)
        self._add("classes", classifier, X, ensemble=teachers.classifiers["forest"])
        self._add(
            "labels", classifier, X, y=teachers.labels, ensemble=teachers.classifiers["logistic"]
        )
        renamed = self.fitted["labels"].adapt(X, names_of(teachers.labels), labels="mapped")
        self._keep("renamed", renamed, X)
        self._add("binary", classifier, X, predictions=logits[:, :2], outputs="logits")
        self._add("hydra", baselines.HydraRegressor(**TINY), X, **with_y)
        self._add("batch", baselines.BatchEnsembleRegressor(**TINY), X, **with_y)
        self._add("small", baselines.SmallEnsembleRegressor(**TINY), X, **with_y)
        for name in ("Hydra", "BatchEnsemble", "SmallEnsemble", "Dirichlet"):
            student = getattr(baselines, f"{name}Classifier")(**TINY)
            self._add(f"{name} of classes", student, X, predictions=logits, outputs="logits")
        steps = clone(regressor)
        pipeline = make_pipeline(StandardScaler(), steps)
        self._keep("pipeline", pipeline.fit(X, y, dlfregressor__predictions=members), X)
        self._keep("frozen", FrozenEstimator(self.fitted["plain"]), X)
        inner = DLFRegressor(Ridge(), cv=None, **factors).set_params(ensemble=None)
        target = TransformedTargetRegressor(inner, func=np.log, inverse_func=np.exp)
        self._keep("target", target.fit(X, np.exp(y), predictions=members), X)
        self.bytes = {name: pickle.dumps(each) for name, each in self.fitted.items()}

    def _add(self, name: str, student: Any, X: Any, **arguments: Any) -> None:
        self._keep(name, clone(student).fit(X, **arguments), X)

    def _keep(self, name: str, student: Any, X: Any) -> None:
        self.fitted[name], self.rows[name] = student, X

    def pick(self, draw: Draw, only: Any = None) -> tuple[str, Any]:
        """Return the name of a student, and a copy of it that calls may change."""
        name = draw.pick(name for name in self.fitted if only is None or only(name))
        return name, pickle.loads(self.bytes[name])

    def values(self, name: str) -> np.ndarray:
        """Return y as the student of a name takes it."""
        if name in ("target", "transformed"):
            return np.exp(self.teachers.y)
        if name in ("outputs", "separable"):
            return np.c_[self.teachers.y, 2 - self.teachers.y]
        return 20 - 3 * self.teachers.y if name == "adapted" else self.teachers.y


def names_of(labels: np.ndarray) -> np.ndarray:
    """Return other names of the classes "a" to "c", in another order."""
    return np.array(["three", "two", "one"])[np.unique(labels, return_inverse=True)[1]]


def as_frame(X: np.ndarray) -> pd.DataFrame:
    """Return rows as a frame with a category, a gap and dates."""
    frame = pd.DataFrame({"size": X[:, 0], "kind": np.where(X[:, 1] > 0, "old", "new")})
    frame["day"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(len(X)), unit="D")
    frame.loc[1, "size"] = np.nan
    return frame


def rows_for(draw: Draw, X: Any, n: int, **levels: str) -> Any:
    """Return some rows as a student takes them, or spoilt ones."""
    if not isinstance(X, pd.DataFrame):
        return draw.array("X", X[:n], **{"a_row_too_many": "variant", **UNKNOWN_ROWS, **levels})
    frame = X.iloc[:n]
    if draw.is_spoilt():
        label = draw.pick(FRAMES)
        level, spoil = FRAMES[label]
        draw.note("X", label, levels.get(label.replace(" ", "_"), level))
        frame = spoil(frame)
    return frame


def prediction(draw: Draw, students: Students) -> Call:
    """A method of a fitted student that predicts."""
    wrapped = "pipeline", "frozen", "target"
    name, student = students.pick(draw, lambda name: name not in wrapped)
    methods = [
        method
        for method in dir(student)
        if method.startswith(("predict", "sample_", "latent_parameters", "member_predictions"))
    ]
    method = draw.pick(methods)
    n = draw.rng.randint(1, 8)
    X = rows_for(draw, students.rows[name], n)
    arguments: dict[str, Any] = {"X": X}
    if method == "predict" and isinstance(student, DLFRegressor):
        which = draw.pick(["return_std", "return_cov", "neither"])
        if which != "neither":
            arguments[which] = draw.one_of(which, True, SWITCHES)
    arguments |= arguments_of(draw, method)
    function = getattr(student, method)
    if name == "conformal" and method in ("predict_interval", "predict_quantiles"):
        draw.note("conformalize", "few rows", "edge")
    if name == "without y" and method in (
        "sample_y",
        "predict_interval",
        "predict_quantiles",
        "predict_uncertainty",
    ):
        draw.note("y", "not given to fit", "bad")
    if name == "renamed" and method == "latent_parameters":
        draw.note("student", name, "bad")
    return Call(function, arguments, with_rows(X))


def arguments_of(draw: Draw, method: str) -> dict[str, Any]:
    """Return the arguments that a method, or the function of its name, takes beside rows."""
    if method.startswith("sample_"):
        return {
            "n_samples": draw.one_of("n_samples", 3, MANY),
            "random_state": draw.one_of("random_state", 0, SEEDS),
        }
    if method == "predict_interval":
        return {"confidence_level": draw.one_of("confidence_level", 0.9, LEVELS)}
    if method == "predict_quantiles":
        return {"quantiles": draw.one_of("quantiles", (0.1, 0.9), QUANTILES)}
    return {}


def with_rows(X: Any):
    """Return a check of predictions at some rows.

    All numbers have to be finite. An array of one axis has as many entries as there are rows, or
    one; the lengths of others are not checked.
    """

    def check(result: Any) -> str | None:
        for array in numbers_of(result):
            if array.ndim == 1 and len(array) not in (n_rows_of(X), 1):
                return f"{len(array)} rows for {n_rows_of(X)}"
        return finite(result)

    return check


def through_wrappers(draw: Draw, students: Students) -> Call:
    """A function that finds the student inside other estimators."""
    name, student = students.pick(draw)
    others = {
        "not fitted": (DLFRegressor(), "bad"),
        "an estimator": (Ridge(), "bad"),
        "a fitted forest": (students.teachers.regressors["forest"], "bad"),
        "a class": (DLFRegressor, "bad"),
        "None": (None, "bad"),
        "text": ("student", "bad"),
        "a list": ([student], "bad"),
        "a pipeline not fitted": (make_pipeline(StandardScaler(), DLFRegressor()), "bad"),
    }
    if draw.is_spoilt():
        label = draw.pick(others)
        student, level = others[label]
        draw.note("estimator", label, level)
    function = draw.pick(
        [
            sklearn_dlf.sample_predictions,
            sklearn_dlf.sample_y,
            sklearn_dlf.predict_interval,
            sklearn_dlf.predict_quantiles,
            sklearn_dlf.predict_uncertainty,
        ]
    )
    X = rows_for(draw, students.rows[name], draw.rng.randint(1, 8))
    arguments = {"estimator": student, "X": X, **arguments_of(draw, function.__name__)}
    if name == "pipeline":
        draw.relax("X")  # its scaler reads dates
    # Which functions a student has is tested elsewhere: those of classes lack some.
    draw.note("estimator", *draw.spoilt.get("estimator", (name, "edge")))
    return Call(function, arguments, with_rows(X))
