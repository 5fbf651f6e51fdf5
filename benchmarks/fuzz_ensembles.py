"""Fitted ensembles, and calls of the functions of ensembles that ``fuzz.py`` draws."""

from __future__ import annotations

from typing import Any

import numpy as np
from fuzz_calls import Call, anything, finite, n_rows_of
from fuzz_values import BAD, COUNTS, READ, SEEDS, UNKNOWN_ROWS, Draw
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingRegressor,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import BayesianRidge, LogisticRegression, Ridge
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from torch import nn

from sklearn_dlf import ensembles

N_ROWS, N_COLUMNS, N_MEMBERS = 24, 3, 6


class Teachers:
    """Fitted ensembles, and what is none, at the same rows."""

    def __init__(self) -> None:
        rng = np.random.RandomState(0)
        self.X = X = rng.standard_normal((N_ROWS, N_COLUMNS))
        self.y = y = X[:, 0] + 0.3 * rng.standard_normal(N_ROWS)
        self.labels = labels = np.array(["a", "b", "c"])[np.digitize(y, [-0.5, 0.5])]
        self.members = X[:, :1] + 0.3 * rng.standard_normal((N_ROWS, N_MEMBERS))
        ridges = [Ridge(alpha).fit(X, y) for alpha in (0.1, 1.0, 30.0)]
        deep = {"n_estimators": 3, "hidden_layer_sizes": 4, "max_iter": 2, "random_state": 0}
        self.regressors = {
            "forest": RandomForestRegressor(5, random_state=0).fit(X, y),
            "ridges": ridges,
            "voting": VotingRegressor([("a", Ridge()), ("b", DecisionTreeRegressor())]).fit(X, y),
            "deep": ensembles.DeepEnsembleRegressor(**deep).fit(X, y),
            "process": GaussianProcessRegressor(random_state=0).fit(X, y),
            "bayesian": BayesianRidge().fit(X, y),
            "wrapped": ensembles.FittedEnsemble(ridges),
        }
        self.classifiers = {
            "forest": RandomForestClassifier(5, random_state=0).fit(X, labels),
            "bagging": BaggingClassifier(DecisionTreeClassifier(), 4).fit(X, labels),
            "binary": ExtraTreesClassifier(4, random_state=0).fit(X, y > 0),
            "logistic": [LogisticRegression(C=c).fit(X, labels) for c in (0.1, 1.0)],
            "deep": ensembles.DeepEnsembleClassifier(**deep).fit(X, labels),
        }
        self.refused = {
            "boosting": GradientBoostingRegressor(n_estimators=2).fit(X, y),
            "one model": Ridge().fit(X, y),
            "a list of one": ridges[:1],
            "an empty list": [],
            "not fitted": RandomForestRegressor(3),
            "a model not fitted": [*ridges, Ridge()],
            "mixed": [ridges[0], LogisticRegression().fit(X, labels)],
            "a class": RandomForestRegressor,
            "a dict": {"a": ridges[0], "b": ridges[1]},
            "text": "forest",
            "None": None,
            "a number": 3.0,
            "an array": X,
            "modules": [nn.Linear(3, 1), nn.Linear(3, 1)],
            "functions": [len, len],
        }

    def pick(self, draw: Draw, name: str = "ensemble", **levels: str) -> Any:
        """Return a fitted ensemble, or what is none. `levels` are those of this call alone."""
        if draw.is_spoilt():
            label = draw.pick(self.refused)
            draw.note(name, label, levels.get(label, "bad"))
            return self.refused[label]
        table = draw.pick([self.regressors, self.classifiers])
        return table[draw.pick(table)]


DTYPES = {
    "variant": [np.float32, "float64"],
    "edge": [np.float16, np.longdouble, None, float],
    "bad": [int, "int32", bool, str, object, complex, "no type", 3, "O"],
}


def members(draw: Draw, teachers: Teachers) -> Call:
    """Evaluation and description of ensembles."""
    ensemble = teachers.pick(draw)
    kind = draw.rng.randint(6)
    if kind == 0:
        return Call(ensembles.describe_ensemble, {"ensemble": ensemble}, anything)
    if kind == 1:
        functions = ensembles.ensemble_kind, ensembles.is_fitted_ensemble
        draw.relax()  # a kind may be known before the fit
        return Call(draw.pick(functions), {"ensemble": ensemble}, anything)
    if kind == 2:
        counts = {**COUNTS, "edge": [3.0, "3", np.uint8(2)]}
        n = draw.one_of("n_samples", N_ROWS, counts)
        return Call(ensembles.unseen_rows, {"ensemble": ensemble, "n_samples": n}, anything)
    X = draw.array(
        "X",
        teachers.X[: draw.rng.randint(1, 6)],
        **UNKNOWN_ROWS,
        a_row_too_many="variant",
        no_rows="edge",
        dates="edge",
        infinity="edge",
        minus_infinity="edge",
    )
    arguments = {"ensemble": ensemble, "X": X, "dtype": draw.one_of("dtype", np.float64, DTYPES)}

    def check(result: Any) -> str | None:
        if n_rows_of(X) != len(result):
            return f"{len(result)} rows for {n_rows_of(X)}"
        return finite(result)

    return Call(ensembles.member_predictions, arguments, check)


def wrapped_models(draw: Draw, teachers: Teachers) -> Call:
    """FittedEnsemble of models, callables and modules."""
    X = teachers.X
    plain = draw.pick(
        [
            (teachers.regressors["ridges"], None, None, None),
            (teachers.classifiers["logistic"], None, None, None),
            (lambda X: np.asarray(X)[:, :2], "values", None, 2),
            ([nn.Linear(3, 3), nn.Linear(3, 3)], "logits", ["a", "b", "c"], None),
            (teachers.regressors["process"], None, None, 3),
        ]
    )
    models, outputs, classes, n_members = plain
    if draw.is_spoilt():
        label = draw.pick(teachers.refused)
        models = teachers.refused[label]
        draw.note("models", label, "edge")
    arguments = {
        "models": models,
        "outputs": draw.one_of("outputs", outputs, {"bad": ["value", 3, ["values"], True]}),
        "classes": draw.one_of(
            "classes", classes, {"edge": [[0, 1], "ab", 3, [["a"]], ["a", "a"]]}
        ),
        "n_members": draw.one_of("n_members", n_members, {**COUNTS, "variant": [], "edge": [1, 2]}),
        "random_state": draw.one_of("random_state", 0, SEEDS),
    }
    # A parameter that has no effect on some models may be invalid there.
    draw.relax()

    def make(**options: Any) -> Any:
        return ensembles.FittedEnsemble(**options).member_predictions(X)

    return Call(make, arguments, finite)


def described_members(draw: Draw) -> Call:
    """Members of a type of one's own."""
    kinds = {"variant": ["regressor"], "bad": ["regresor", None, 3, "", ["regressor"]]}
    n_members = {**COUNTS, "variant": [np.int64(3)], "edge": [1], "bad": [*COUNTS["bad"], 3.0, "3"]}
    predict = {"bad": [None, "predict", 3, [1.0, 2.0]]}
    arguments = {
        "kind": draw.one_of("kind", "regressor", kinds),
        "n_members": draw.one_of("n_members", 2, n_members),
        "predict": draw.one_of("predict", lambda X: (X[:, 0], X[:, 1]), predict),
        "classes": draw.one_of("classes", None, {"edge": [[0, 1], "ab", 3]}),
        "optimism": draw.one_of(
            "optimism", 1.0, {"variant": [1.2], "bad": [-1.0, 0.0, np.nan, "1"]}
        ),
    }
    return Call(ensembles.Members, arguments, anything)


def registered(draw: Draw) -> Call:
    """Types of one's own, and their members."""

    class Own:
        """An ensemble of a type of one's own."""

    kinds = {"edge": ["no.Module"], "bad": [None, 3, Own(), [Own]]}
    extractors = {"edge": [lambda own: None, lambda own: 3], "bad": [None, "members", 3]}
    arguments = {
        "ensemble_type": draw.one_of("ensemble_type", Own, kinds),
        "extractor": draw.one_of(
            "extractor",
            lambda own: ensembles.Members("regressor", 2, lambda X: (X[:, 0], X[:, 1])),
            extractors,
        ),
    }

    def call(**arguments: Any) -> Any:
        ensembles.register_ensemble(**arguments)
        return ensembles.member_predictions(Own(), draw.normal(4, 3))

    return Call(call, arguments, finite)


# Levels of a wrong array where it may be accepted.
LENIENT = {label.replace(" ", "_"): "edge" for label in BAD}


def drawn_parameters(draw: Draw) -> Call:
    """Draws of a model's parameters."""
    models = {"variant": [nn.Linear(3, 1)], "bad": [None, "model", nn.Linear, 3]}
    model = draw.one_of(
        "model", lambda draw, X: np.asarray(X)[:, 0] * np.asarray(draw).size, models
    )
    size = 4 if isinstance(model, nn.Module) else 3
    base = draw.normal(4, size)
    # A function takes any draws that it understands.
    anything_goes = {} if isinstance(model, nn.Module) else LENIENT
    draws = draw.array(
        "draws", base, **{"one_row": "bad", "a_row_too_many": "variant"} | anything_goes
    )
    outputs = {"bad": ["value", 3, None]}
    arguments = {
        "model": model,
        "draws": draws,
        "outputs": draw.one_of("outputs", "values", outputs),
        "classes": draw.one_of("classes", None, {"edge": [[0, 1], "ab", 3]}),
    }
    X = draw.normal(4, 3)

    def make(**options: Any) -> Any:
        return ensembles.parameter_draws(**options).member_predictions(X)

    return Call(make, arguments, finite)


def deep_ensemble(draw: Draw, teachers: Teachers) -> Call:
    """Fits of deep ensembles, and their predictions."""
    is_regressor = draw.rng.uniform() < 0.5
    cls = ensembles.DeepEnsembleRegressor if is_regressor else ensembles.DeepEnsembleClassifier
    X = draw.array("X", teachers.X, **READ, a_row_too_many="bad", one_row="bad")
    y = teachers.y if is_regressor else teachers.labels
    if is_regressor:
        y = draw.array("y", y, one_row="bad", one_axis_more="bad")
    parameters = {
        "n_estimators": draw.one_of(
            "n_estimators", 2, {"variant": [2], "edge": [1], "bad": [0, 1.5, "2", None]}
        ),
        "hidden_layer_sizes": draw.one_of(
            "hidden_layer_sizes", 4, {"variant": [(3, 3), []], "bad": [0, "4", (0,), None]}
        ),
        "max_iter": draw.one_of("max_iter", 2, {"bad": [0, -1, 1.5, None, "2"]}),
        "lr": draw.one_of(
            "lr", 0.01, {"edge": [1e30, 1e-300], "bad": [0, -1.0, np.nan, np.inf, "a"]}
        ),
        "device": draw.one_of("device", "cpu", {"bad": ["cuda", "abacus", 3, None]}),
        "bootstrap": draw.one_of("bootstrap", False, {"variant": [True], "bad": ["yes", 2]}),
        "validation_fraction": draw.one_of(
            "validation_fraction", 0.1, {"edge": [0.99, 1e-9], "bad": [0, 1.0, np.nan, "a"]}
        ),
        "batch_size": draw.one_of(
            "batch_size", "auto", {"variant": [1, 7, 1000], "bad": [0, 2.5, "large"]}
        ),
        "weight_decay": draw.one_of(
            "weight_decay", "auto", {"variant": [0.0], "edge": [1e30], "bad": [-1.0, np.nan, "a"]}
        ),
        "random_state": draw.one_of("random_state", 0, SEEDS),
    }
    weights = draw.weights(N_ROWS)

    def fit(X: Any, y: Any, sample_weight: Any, **parameters: Any) -> Any:
        ensemble = cls(**parameters).fit(X, y, sample_weight)
        predicted = ensemble.predict(teachers.X)
        return ensemble.member_predictions(teachers.X), predicted

    arguments = {"X": X, "y": y, "sample_weight": weights, **parameters}
    return Call(fit, arguments, finite)
