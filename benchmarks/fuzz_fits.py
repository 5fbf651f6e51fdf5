"""Fits of students that ``fuzz.py`` draws."""

from __future__ import annotations

from typing import Any

import numpy as np
from fuzz_calls import Call, finite
from fuzz_ensembles import N_ROWS, Teachers
from fuzz_students import TINY
from fuzz_values import READ, SEEDS, UNKNOWN_ROWS, Draw, none_inside
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from torch import nn

from sklearn_dlf import DLFClassifier, DLFRegressor, baselines

STUDENTS = [
    DLFRegressor,
    DLFClassifier,
    DLFRegressor,
    DLFClassifier,
    *(getattr(baselines, name) for name in baselines.__all__),
]

# Values of the parameters by level. Combinations may be refused, so that no value is a variant.
PARAMETERS = {
    "q": {"edge": ["auto", 1, 50, np.int64(3)], "bad": [0, -1, 2.5, "many", None, True, [2]]},
    "loadings": {"edge": ["separable"], "bad": ["diagonal", None, 3]},
    "latent": {"edge": ["smoothed", "gaussian"], "bad": ["normal", None]},
    "augment": {"edge": ["auto", "mixup", "local", "far_neighbors"], "bad": ["none", 3, True]},
    "n_augmented": {"edge": [0, 5, np.int64(3)], "bad": [-1, 2.5, "many", None]},
    "subsample": {"edge": [2, 10, None], "bad": [1, 0, 2.5, "few"]},
    "out_of_bag": {"edge": ["match", None], "bad": ["none", True]},
    "target_noise": {"edge": ["input", "constant"], "bad": ["none", None, 0.1]},
    "cv": {"edge": [2, 3], "bad": [1, 0, "five", 2.5, -1]},
    "hidden_layer_sizes": {
        "edge": [3, (), (4, 4), np.array([5])],
        "bad": [0, (4, 0), "4", None, (4.0,)],
    },
    "activation": {"edge": ["relu", "tanh", "gelu"], "bad": ["sigmoid", None, 3, nn.ReLU()]},
    "body": {
        "edge": ["mlp", "piecewise_linear", lambda n: nn.Linear(n, 3)],
        "bad": [
            "linear",
            nn.Linear(3, 3),
            3,
            lambda n: None,
            lambda n: nn.Linear(n + 1, 3),
        ],
    },
    "member_noise": {"edge": ["constant", None], "bad": ["none", 0.1]},
    "init": {"edge": ["random", "mmd"], "bad": ["pca", None]},
    "em": {"edge": ["minibatch"], "bad": ["full", None]},
    "max_iter": {"edge": [1, np.int64(2)], "bad": [0, -1, 2.0, None, True]},
    "tol": {"edge": [0, 1e300], "bad": [-1.0, np.nan, "small", None]},
    "n_epochs": {"edge": [1], "bad": [0, 1.5, "many", None]},
    "probability_floor": {"edge": [1e-300, 0.4], "bad": [0, 0.5, -1, np.nan, "a"]},
    "refine": {"edge": [False, 2], "bad": ["no", None, 0, -1, 1.5]},
    "early_stopping": {"edge": [1, 2], "bad": [0, -1, 1.5, "yes"]},
    "average_masks": {"edge": [True], "bad": ["yes", None, 2]},
    "loadings_weight": {"edge": [1e-300, 1e30], "bad": [0, -1.0, np.nan, np.inf, "a"]},
    "mmd_weight": {"edge": [0, 1e30], "bad": [-1.0, np.nan, "a"]},
    "batch_size": {"edge": [1, 7, 10**9], "bad": [0, -1, 2.5, "large", True]},
    "lr": {"edge": [1e30, 1e-300], "bad": [0, -1.0, np.nan, np.inf, "a", None]},
    "body_lr": {"edge": [0, 1e30], "bad": [-1.0, np.nan, "a"]},
    "optimizer": {"edge": ["sgd", "adamw"], "bad": ["lbfgs", None, 3]},
    "weight_decay": {"edge": [1e30, 0], "bad": [-1.0, np.nan, "a"]},
    "device": {"bad": ["cuda", "cuda:7", "mps", "meta", "abacus", 0, None]},
    "callbacks": {"edge": [[]], "bad": ["early", 3, {}]},
    "memory": {"bad": [3, True, {}]},
    "n_jobs": {"edge": [1, 2, None], "bad": [1.5, "two", 0]},
    "preprocessor": {"edge": [None], "bad": ["none", 3, "scale"]},
    "random_state": SEEDS,
    "verbose": {"edge": [0, False], "bad": [-1, "loud", None]},
}


def fit(draw: Draw, teachers: Teachers) -> Call:
    """Fit a student, and predict."""
    cls = draw.pick(STUDENTS)
    own = cls().get_params()
    is_regressor = cls.__name__.endswith("Regressor")
    parameters = {key: value for key, value in TINY.items() if key in own}
    parameters.update({"q": 2} if "q" in own else {})
    for _ in range(1 + draw.rng.randint(2)):
        name = draw.pick(name for name in PARAMETERS if name in own)
        parameters[name] = draw.one_of(name, parameters.get(name, own[name]), PARAMETERS[name])
    rows = draw.array("X", teachers.X, **READ, one_row="bad")
    if is_regressor:
        levels = {**UNKNOWN_ROWS, "nothing": "edge", "all_NaN": "bad", "one_row": "bad"}
        y = draw.array("y", teachers.y, **levels) if draw.rng.uniform() < 0.7 else None
    else:
        labels = teachers.labels
        others = {
            "edge": [none_inside(labels), labels.tolist(), (labels == "a").astype(int)],
            "bad": [
                np.full(N_ROWS, "new"),
                labels[:-1],
                np.c_[labels, labels],
                3,
                "text",
                object(),
                np.full(N_ROWS, np.inf),
                np.full(N_ROWS, np.nan),
                teachers.y,
            ],
        }
        y = draw.one_of("y", labels, others) if draw.rng.uniform() < 0.7 else None
    arguments = {"X": rows, "y": y, **teacher_of(draw, teachers, is_regressor, y)}
    if "ensemble" in arguments and draw.rng.uniform() < 0.2:
        wrong = {"one_row": "bad", "nothing": "variant", "a_type": "variant"}
        other = draw.array("X_ensemble", teachers.X, **READ, **wrong)
        # A type would be a function of rows.
        arguments["X_ensemble"] = np.asarray if isinstance(other, type) else other
        draw.note("X_ensemble", "given", "edge")
    if draw.rng.uniform() < 0.3:
        arguments["sample_weight"] = draw.weights(N_ROWS)
    if draw.rng.uniform() < 0.2:
        unseen = {
            "edge": [
                True,
                np.ones(N_ROWS, bool),
                np.arange(N_ROWS) > 3,
                np.zeros(N_ROWS, bool),
                False,
                [True] * N_ROWS,
            ],
            "bad": [
                np.ones(N_ROWS + 1, bool),
                "all",
                3,
                np.ones(N_ROWS),
                np.ones((N_ROWS, 1), bool),
                object(),
            ],
        }
        arguments["unseen"] = draw.one_of("unseen", None, unseen)
    if draw.rng.uniform() < 0.2:
        arguments["X_unlabeled"] = draw.array(
            "X_unlabeled",
            teachers.X + 0.1,
            **READ,
            nothing="variant",
            one_row="variant",
            a_row_too_many="variant",
        )
        draw.note("X_unlabeled", "with this teacher", "edge")
    return Call(
        lambda **given: predict_after_fit(cls, parameters, teachers.X, given), arguments, finite
    )


def teacher_of(draw: Draw, teachers: Teachers, is_regressor: bool, y: Any) -> dict[str, Any]:
    """Return a teacher as arguments of fit."""
    kind = draw.rng.randint(5)
    if kind < 2:
        if is_regressor:
            members = draw.array(
                "predictions", teachers.members, one_row="bad", nothing="edge", list="edge"
            )
            return {"predictions": members}
        members = draw.probabilities(N_ROWS, 3, 5)
        if draw.rng.uniform() < 0.3:
            return {
                "predictions": draw.array(
                    "predictions", 3 * np.log(members), list="edge", nothing="edge"
                ),
                "outputs": "logits",
                "classes": np.array(["a", "b", "c"]),
            }
        classes = {
            "edge": [["c", "b", "a"]],
            "bad": [["a", "b"], ["a", "a", "b"], 3, "abc", [["a"]], object(), [1, "a", None]],
        }
        return {
            "predictions": draw.array(
                "predictions", members, one_row="bad", nothing="edge", list="edge"
            ),
            "classes": draw.one_of("classes", ["a", "b", "c"], classes),
            "outputs": draw.one_of(
                "outputs", "probabilities", {"bad": ["values", None, 3, ["logits"]]}
            ),
        }
    if kind == 2:
        forest = (RandomForestRegressor if is_regressor else RandomForestClassifier)(
            3, random_state=0
        )
        if y is None:
            draw.note("y", "missing", "bad")
        return {"ensemble": forest}
    if draw.is_spoilt():
        label = draw.pick(name for name in teachers.refused if name not in ("not fitted", "None"))
        draw.note("ensemble", label, "edge" if label == "modules" else "bad")
        return {"ensemble": teachers.refused[label]}
    table = teachers.regressors if is_regressor else teachers.classifiers
    label = draw.pick(table)
    if label == "binary" and y is not None:
        draw.note("y", "three classes of two", "edge")
    return {"ensemble": table[label]}


def predict_after_fit(cls: type, parameters: dict, X: np.ndarray, arguments: dict) -> Any:
    """Fit a student and return what it predicts."""
    student = cls(**parameters).fit(**arguments)
    rows = X[:5] if np.shape(arguments["X"])[1:] == X.shape[1:] else arguments["X"]
    found = [np.asarray(student.predict(rows)), student.sample_predictions(rows, 2, random_state=0)]
    if hasattr(student, "predict_proba"):
        parts = student.predict_uncertainty(rows)
        found += [student.predict_proba(rows), *parts.values()]
    else:
        found += list(student.predict(rows, return_std=True))
        if student.target_noise_ is not None:
            found += [student.predict_interval(rows), student.sample_y(rows, 2, random_state=0)]
    return tuple(found)
