"""Small students of every kind, and rows for them. They are trained briefly."""

import warnings
from functools import cache

import numpy as np
import pandas as pd
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import Ridge
from sklearn.preprocessing import PowerTransformer, QuantileTransformer
from torch import nn

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf.baselines import BatchEnsembleRegressor, DirichletClassifier, HydraRegressor
from sklearn_dlf.ensembles import FittedEnsemble

N_ROWS, N_MEMBERS = 80, 8

BRIEF = {
    "q": 2,
    "max_iter": 2,
    "n_epochs": 2,
    "hidden_layer_sizes": (8, 6),
    "augment": None,
    "random_state": 0,
}

# A baseline has no factors.
MEMBERS = {key: value for key, value in BRIEF.items() if key != "q"}


def make_rows():
    """Return rows (N_ROWS, 3)."""
    return np.random.RandomState(0).standard_normal((N_ROWS, 3))


def make_values(X, n_outputs=1):
    """Return members' predictions (n, n_outputs, N_MEMBERS) and y (n, n_outputs)."""
    rng = np.random.RandomState(1)
    mean = np.sin(X @ rng.standard_normal((3, n_outputs)))
    slopes = 0.3 * rng.standard_normal((3, n_outputs, N_MEMBERS))
    members = 5 + mean[..., None] + np.einsum("nd,dcm->ncm", X, slopes)
    noise = (0.1 + np.abs(X[:, :1])) * rng.standard_t(3, (len(X), n_outputs))
    return members, 5 + mean + 0.5 * noise


def make_frame():
    """Return rows as a frame with gaps, categories, rare ones among them, booleans and dates."""
    X = make_rows()
    frame = pd.DataFrame({"size": X[:, 0], "kind": np.where(X[:, 1] > 0, "old", "new")})
    frame["rooms"] = np.floor(2 * X[:, 2])
    frame["town"] = pd.Categorical(np.array([*"abc"])[np.arange(N_ROWS) % 3])
    frame["sold"] = X[:, 1] > 0.5
    frame["day"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(9 * np.arange(N_ROWS), unit="D")
    frame.loc[[1, 5], "size"] = np.nan
    frame.loc[[2, 7], "kind"] = None
    frame.loc[3, "kind"] = "odd"
    frame.loc[4, "kind"] = "odder"
    frame.loc[6, "day"] = pd.NaT
    return frame


def make_member(slope):
    """Return a model that predicts a mean and a variance of y, as (n, 2)."""
    return lambda X: np.column_stack([slope * X[:, 0], np.exp(X[:, 1])])


def make_body(n_features):
    """A body of the user's own."""
    return nn.Sequential(nn.Linear(n_features, 5), nn.LayerNorm(5), nn.ReLU())


class Transformed:
    """Fitted regressors of a transformed y, as members of a teacher."""

    def __init__(self, X, y, **how):
        rng = np.random.RandomState(2)
        self.members = []
        for _ in range(N_MEMBERS):
            rows = rng.randint(len(X), size=len(X))
            model = TransformedTargetRegressor(Ridge(), **how)
            if "transformer" in how:  # one transformation for all members
                model = TransformedTargetRegressor(Ridge(), **how).fit(X, y)
                model.regressor_.coef_ += 0.1 * rng.standard_normal(model.regressor_.coef_.shape)
                self.members.append(model)
            else:
                self.members.append(model.fit(X[rows], y[rows]))


TRANSFORMATIONS = {
    "logarithm": {"func": np.log, "inverse_func": np.exp},
    "log1p": {"func": np.log1p, "inverse_func": np.expm1},
    "root": {"func": np.sqrt, "inverse_func": np.square},
    "reciprocal": {"func": np.reciprocal, "inverse_func": np.reciprocal},
    "yeo_johnson": {"transformer": PowerTransformer()},
    "box_cox": {"transformer": PowerTransformer("box-cox")},
    "quantiles": {"transformer": QuantileTransformer(n_quantiles=20, output_distribution="normal")},
}

REGRESSORS = {
    "mlp": {"body": "mlp"},
    "piecewise_linear": {"body": "piecewise_linear"},
    "relu": {"body": "mlp", "activation": "relu"},
    "gelu": {"body": "mlp", "activation": "gelu"},
    "tanh": {"body": "mlp", "activation": "tanh"},
    "silu": {"body": "mlp", "activation": "silu"},
    "constant_noise": {"member_noise": "constant", "target_noise": "constant"},
    "no_member_noise": {"member_noise": None},
    "published": {"em": "minibatch"},
}


@cache
def make_student(kind):
    """Return a fitted student of a kind, and rows for it."""
    with warnings.catch_warnings():  # they are trained briefly, at rows that members have seen
        warnings.simplefilter("ignore")
        return _make_student(kind)


def _make_student(kind):
    X = make_rows()
    members, y = make_values(X)
    if kind == "own_body":
        student = DLFRegressor(**BRIEF, body=make_body)
        return student.fit(X, y[:, 0], predictions=members), X
    if kind == "variances_of_members":
        models = [make_member(slope) for slope in np.linspace(1, 2, N_MEMBERS)]
        teacher = FittedEnsemble(models, outputs="mean_variance")
        return DLFRegressor(**BRIEF).fit(X, ensemble=teacher), X
    if kind in REGRESSORS:
        return DLFRegressor(**BRIEF, **REGRESSORS[kind]).fit(X, y[:, 0], predictions=members), X
    if kind == "without_y":
        return DLFRegressor(**BRIEF).fit(X, predictions=members), X
    if kind == "noise_of_rows":
        student = DLFRegressor(**BRIEF, target_noise="input")
        return student.fit(X, y[:, 0], predictions=members, unseen=True), X
    if kind == "conformal":
        student = DLFRegressor(**BRIEF).fit(X[:40], y[:40, 0], predictions=members[:40])
        return student.conformalize(X[40:], y[40:, 0]), X
    if kind == "conformal_without_y":
        student = DLFRegressor(**BRIEF).fit(X[:40], predictions=members[:40])
        return student.conformalize(X[40:], y[40:, 0]), X
    if kind in ("several", "separable"):
        members, y = make_values(X, 3)
        loadings = "separable" if kind == "separable" else "full"
        student = DLFRegressor(**BRIEF, loadings=loadings)
        return student.fit(X, y, predictions=members, unseen=True), X
    if kind in ("frame", "frame_of_numbers"):
        frame = make_frame()
        if kind == "frame_of_numbers":
            frame = frame[["size", "rooms", "sold"]]
        return DLFRegressor(**BRIEF).fit(frame, y[:, 0], predictions=members), frame
    if kind in TRANSFORMATIONS:
        teacher = Transformed(X, np.maximum(y[:, 0], 1.0), **TRANSFORMATIONS[kind]).members
        student = DLFRegressor(**BRIEF).fit(X, np.maximum(y[:, 0], 1.0), ensemble=teacher)
        return student, X
    if kind in ("binary", "multiclass", "separable_classes"):
        n_classes = 2 if kind == "binary" else 4
        logits = make_values(X, n_classes)[0]
        loadings = "separable" if kind == "separable_classes" else "full"
        student = DLFClassifier(**BRIEF, loadings=loadings)
        return student.fit(X, predictions=logits, outputs="logits"), X
    baselines = {"batch_ensemble": BatchEnsembleRegressor, "hydra": HydraRegressor}
    if kind in baselines:
        return baselines[kind](**MEMBERS).fit(X, y[:, 0], predictions=members), X
    assert kind == "dirichlet", kind
    logits = make_values(X, 3)[0]
    return DirichletClassifier(**MEMBERS).fit(X, predictions=logits, outputs="logits"), X


FACTOR_REGRESSORS = [
    *REGRESSORS,
    "without_y",
    "noise_of_rows",
    "variances_of_members",
    "conformal",
    "conformal_without_y",
    "several",
    "separable",
    "frame",
    "frame_of_numbers",
    *TRANSFORMATIONS,
]
FACTOR_CLASSIFIERS = ["binary", "multiclass", "separable_classes"]
OWN_BODIES = ["own_body"]
BASELINES = ["batch_ensemble", "hydra", "dirichlet"]
EVERY_KIND = [*FACTOR_REGRESSORS, *FACTOR_CLASSIFIERS, *OWN_BODIES, *BASELINES]
