"""Calls that ``fuzz.py`` draws of scorers, reports and figures of students."""

from __future__ import annotations

from typing import Any

import numpy as np
from fuzz_calls import Call, anything, drawn, finite
from fuzz_ensembles import N_ROWS
from fuzz_students import Students
from fuzz_updates import wrong_labels
from fuzz_values import QUANTILES, SEEDS, UNKNOWN_ROWS, Draw
from sklearn.base import clone
from sklearn.linear_model import Ridge

from sklearn_dlf import metrics, plotting


def scorers(draw: Draw, students: Students) -> Call:
    """Scorers of students."""
    name, student = students.pick(draw, lambda name: name not in ("frame", "frozen"))
    teachers = students.teachers
    is_classifier = hasattr(student, "classes_")
    if draw.is_spoilt():
        kinds = {
            "not fitted": clone(student),
            "None": None,
            "an estimator": Ridge(),
            "text": "student",
        }
        label = draw.pick(kinds)
        student = kinds[label]
        draw.note("estimator", label, "bad")
    kind = draw.rng.randint(4)
    if is_classifier:
        y: Any = np.asarray(students.fitted[name].classes_)[np.arange(N_ROWS) % 2]
    else:
        y = draw.array("y", students.values(name))
    X = draw.array("X", teachers.X, **UNKNOWN_ROWS)
    arguments: dict[str, Any] = {"estimator": student, "X": X, "y": y}
    if kind < 2:
        arguments["sample_weight"] = draw.weights(N_ROWS)
    if kind == 2:
        members = draw.array("predictions", teachers.members, nothing="edge")
        arguments = {"estimator": student, "X": X, "predictions": members}
        draw.spoilt.pop("y", None)
        scorer: Any = metrics.member_log_likelihood_scorer
    elif kind == 3:
        ensemble = teachers.pick(draw, modules="edge")
        arguments = {"estimator": student, "X": X, "ensemble": ensemble}
        draw.spoilt.pop("y", None)
        scorer = score_of_members
    else:
        scorer = metrics.neg_crps_scorer if kind == 1 else metrics.neg_nll_scorer
    if name == "pipeline":
        draw.relax("X")  # its scaler reads dates
    # Which scores a student has is tested elsewhere.
    draw.note("estimator", *draw.spoilt.get("estimator", (name, "edge")))
    return Call(scorer, arguments, lambda result: finite(float(result)))


def score_of_members(estimator: Any, X: Any, ensemble: Any) -> float:
    """Return the score of a student by a scorer of an ensemble."""
    return metrics.make_member_log_likelihood_scorer(ensemble)(estimator, X)


def report(draw: Draw, students: Students) -> Call:
    """A report on a student, as text and figure, or a figure of its uncertainty."""
    if draw.rng.uniform() < 0.3:
        return figure(draw, students)
    regressors = "plain", "without y", "conformal", "updated", "adapted", "hydra", "pipeline"
    classifiers = "classes", "labels", "binary", "Dirichlet of classes"
    name, student = students.pick(draw, {*regressors, *classifiers}.__contains__)
    teachers = students.teachers
    X = draw.array("X", teachers.X, one_row="bad", a_row_too_many="bad")
    if name == "pipeline":
        draw.relax("X")  # its scaler reads dates
    arguments: dict[str, Any] = {"student": student, "X": X}
    if name in classifiers:
        n_classes = len(student.classes_)
        labels = student.classes_[np.arange(N_ROWS) % n_classes]
        arguments["y"] = draw.one_of("y", labels, wrong_labels(labels))
        if arguments["y"] is None:
            draw.relax("y")
        members = draw.probabilities(N_ROWS, n_classes, 5)
    else:
        arguments["y"] = draw.array("y", students.values(name), nothing="variant", one_row="bad")
        members = teachers.members
    arguments["ensemble"] = None
    if draw.rng.uniform() < 0.6:
        arguments["predictions"] = draw.array("predictions", members, nothing="bad", list="edge")
    else:
        arguments["ensemble"] = teachers.pick(draw, modules="edge")
        # A teacher may be of another kind or of other classes than the student.
        draw.note("ensemble", *draw.spoilt.get("ensemble", ("any", "edge")))
    levels = {k: [v for v in vs if np.ndim(v) == 1] for k, vs in QUANTILES.items()}
    arguments["levels"] = draw.one_of("levels", (0.5, 0.9), levels)
    arguments["random_state"] = draw.one_of("random_state", 0, SEEDS)
    has_figure = draw.rng.uniform() < 0.1

    def make(**arguments: Any) -> Any:
        found = metrics.FidelityReport.from_estimator(**arguments)
        if has_figure:
            from matplotlib import pyplot

            pyplot.close(found.plot())
        return len(str(found)), len(repr(found)), len(found._repr_html_())

    return Call(make, arguments, anything, allows_nan=True)


def figure(draw: Draw, students: Students) -> Call:
    """A figure of the uncertainty of a student, or of an ensemble."""
    teachers = students.teachers
    name, student = students.pick(draw, lambda name: name != "frame")
    levels = {"a_row_too_many": "variant", **UNKNOWN_ROWS}
    X = draw.array("X", teachers.X, **levels)
    arguments = {"estimator": student, "X": X}
    if draw.rng.uniform() < 0.5:
        function = plotting.SpreadDisplay.from_estimator
        arguments["ensemble"] = teachers.pick(draw)
    else:
        function = plotting.UncertaintyDisplay.from_estimator
        arguments["X_outside"] = draw.array("X_outside", 2 * teachers.X[:9], **levels)
        if draw.rng.uniform() < 0.3:
            arguments["estimator"] = teachers.pick(draw, "estimator")
            draw.relax("X", "X_outside")  # an ensemble reads dates and infinite numbers
    if name == "pipeline":
        draw.relax("X", "X_outside")  # its scaler reads dates
    # Which students have an uncertainty is tested elsewhere: those of several outputs have none.
    draw.note("estimator", *draw.spoilt.get("estimator", (name, "edge")))
    return Call(function, arguments, drawn)
