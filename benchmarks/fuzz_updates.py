"""Calls that ``fuzz.py`` draws of updates, of students for another meaning of y, of guarantees."""

from __future__ import annotations

from typing import Any

import numpy as np
from fuzz_calls import Call, finite
from fuzz_students import Students, names_of, rows_for
from fuzz_values import Draw, none_inside

import sklearn_dlf
from sklearn_dlf import DLFRegressor

# Students that take new labelled rows, and those of them that were adapted already.
ADAPTED = {"adapted", "renamed"}
HAS_FACTORS = {
    "plain",
    "without y",
    "outputs",
    "separable",
    "groups",
    "conformal",
    "updated",
    "frame",
    "transformed",
    "classes",
    "labels",
    "binary",
    *ADAPTED,
}


def wrong_labels(labels: np.ndarray) -> dict[str, list]:
    """Return a table of spoilt labels."""
    return {
        "variant": [labels.tolist()],
        "bad": [
            None,
            3,
            labels[:-1],
            np.full(len(labels), np.nan),
            none_inside(labels),
            np.c_[labels, labels],
            [["a"], ["a", "b"]],
            object(),
        ],
    }


def held_out(draw: Draw, students: Students) -> Call:
    """Updates of a student, and guarantees by held-out rows."""
    name, student = students.pick(draw, HAS_FACTORS.__contains__)
    n = draw.rng.randint(1, 12)
    X = rows_for(draw, students.rows[name], n, a_row_too_many="bad", one_row="edge")
    is_regressor = isinstance(student, DLFRegressor)
    if is_regressor:
        y = draw.array("y", students.values(name)[:n], one_row="edge", no_rows="bad")
    else:
        labels = np.asarray(student.classes_)[np.arange(n) % len(student.classes_)]
        others = wrong_labels(labels)
        others["bad"] += [np.full(n, "no class"), np.full(n, 99)]
        y = draw.one_of("y", labels, others)
    arguments = {"X": X, "y": y}
    if is_regressor and draw.rng.uniform() < 0.4:
        function, method = student.conformalize, "median"
    else:
        function, method = student.update, "predict"
        arguments["sample_weight"] = draw.weights(n)
        if draw.spoilt.get("sample_weight", ("",))[0] == "zeros":
            draw.relax("sample_weight")  # such rows change nothing
        arguments["discrepancy"] = draw.one_of(
            "discrepancy", "auto", {"variant": [None], "bad": ["none", 3, True, np.nan]}
        )
        forgetting = {
            "variant": [0, 1, 0.9],
            "edge": [1e-300],
            "bad": [-1, 2, np.nan, "a", True, [0.5]],
        }
        arguments["forgetting"] = draw.one_of("forgetting", None, forgetting)
        if name in ADAPTED:
            draw.note("student", name, "bad")
    if name == "without y":
        draw.note("y", "not given to fit", "edge" if function == student.conformalize else "bad")
    if name == "transformed" and draw.level != "bad":
        draw.note("y", "transformed", "edge")  # negative values have no logarithm
    base = students.rows[name][:7]

    def predict() -> Any:
        # Few held-out rows have no other quantile, and a student without y has none before.
        has_median = method == "median" and (
            name != "without y" or hasattr(student, "conformal_scores_")
        )
        return student.predict_quantiles(base, [0.5]) if has_median else student.predict(base)

    def call(**arguments: Any) -> Any:
        function(**arguments)
        return predict()

    call.__name__ = f"{type(student).__name__}.{function.__name__} of {name}"
    return Call(call, arguments, finite, unchanged=predict)


def adapted(draw: Draw, students: Students) -> Call:
    """Students for another meaning of y; the student itself stays as it is."""
    name, student = students.pick(draw, HAS_FACTORS.__contains__)
    n = draw.rng.randint(1, 12)
    X = rows_for(draw, students.rows[name], n, a_row_too_many="bad", one_row="edge")
    labels = {"variant": ["auto"], "edge": ["kept", "mapped"], "bad": ["new", None, 3, ["kept"]]}
    arguments = {"X": X, "sample_weight": draw.weights(n)}
    arguments["labels"] = draw.one_of("labels", "auto", labels)
    if isinstance(student, DLFRegressor):
        values = 20 - 3 * students.values(name)[:n]
        values = np.abs(values) if name == "transformed" else values
        arguments["y"] = draw.array("y", values, one_row="edge", no_rows="bad")
        if name == "without y":
            draw.note("y", "not given to fit", "bad")
        if name == "transformed" and draw.level != "bad":
            draw.note("y", "transformed", "edge")  # negative values have no logarithm
    else:
        own = np.asarray(student.classes_)[np.arange(n) % len(student.classes_)]
        if draw.rng.uniform() < 0.5:
            own = names_of(own)
            draw.note("y", "other labels", "edge" if n == 1 else "variant")
        arguments["y"] = draw.one_of("y", own, wrong_labels(own))
        names = ["a", "b", "c", "one", "two", "three"]
        classes = {"edge": [names, [0, 1]], "bad": [3, "text", object(), [], [["a", "b"]], ["z"]]}
        arguments["classes"] = draw.one_of("classes", None, classes)
    if name in ADAPTED:
        draw.note("student", name, "bad")
    base = students.rows[name][:7]

    def predict() -> Any:
        return student.predict(base)

    def call(**arguments: Any) -> Any:
        before = predict()
        other = student.adapt(**arguments)
        if not np.array_equal(predict(), before):
            raise RuntimeError("adapt has changed the student")
        draws = other.sample_predictions(base, 2, random_state=0)
        if hasattr(other, "predict_proba"):
            return other.predict_proba(base), draws, *other.predict_uncertainty(base).values()
        return other.predict(base), draws, other.predict_interval(base)

    call.__name__ = f"{type(student).__name__}.adapt of {name}"
    return Call(call, arguments, finite, unchanged=predict)


def conformalized(draw: Draw, students: Students) -> Call:
    """Guarantees of students inside other estimators."""
    names = {"pipeline", "frozen", "target", "plain", "adapted", "hydra", "small", "batch"}
    name, student = students.pick(draw, {*names, "labels"}.__contains__)
    n = draw.rng.randint(1, 12)
    X = rows_for(draw, students.rows[name], n, a_row_too_many="bad", one_row="edge")
    y = draw.array("y", students.values(name)[:n], one_row="edge", no_rows="bad")
    if name == "pipeline":
        draw.relax("X")  # its scaler reads dates
    if name == "target" and draw.level != "bad":
        draw.note("y", "transformed", "edge")  # negative values have no logarithm
    if name == "labels":
        draw.note("estimator", "of classes", "bad")
    base = students.rows[name][:7]

    def predict() -> Any:
        return student.predict(base)

    def call(estimator: Any, X: Any, y: Any) -> Any:
        found = sklearn_dlf.conformalize(estimator, X, y)
        if found is not estimator:
            raise RuntimeError("conformalize returns another estimator")
        return predict(), sklearn_dlf.predict_quantiles(found, base, [0.5])

    def check(result: Any) -> str | None:
        # Strings of numbers are numbers; the exponential of more than this is infinite.
        if name == "target" and np.abs(np.asarray(y, dtype=float)).max() > 1e300:
            result = np.minimum(result[1], np.finfo(np.float64).max)
        return finite(result)

    call.__name__ = f"conformalize of {name}"
    return Call(call, {"estimator": student, "X": X, "y": y}, check, unchanged=predict)
