"""How several outputs of one member belong together: correlations over members at each row.

The outputs are targets of regressors, or logits of classes (logarithms of probabilities, less their
mean over classes).
"""

from __future__ import annotations

import numpy as np
from datasets import Split
from fidelity_data import MAX_TEST, N_MADE, make_split
from measuring import N_DRAWS, time_fit
from member_scores import reliability
from sklearn.datasets import load_digits, load_linnerud, make_friedman1
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.model_selection import train_test_split

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf.baselines import HydraClassifier, HydraRegressor
from sklearn_dlf.ensembles import (
    DeepEnsembleClassifier,
    DeepEnsembleRegressor,
    member_predictions,
)

# Least probability whose logarithm is taken, as in students; test rows at most (a choice).
FLOOR, MAX_ROWS = 1e-6, 300

RECIPES = {
    "networks": (DeepEnsembleRegressor, DeepEnsembleClassifier, 50),
    "forest": (RandomForestRegressor, RandomForestClassifier, 100),
}
STUDENTS = {"DLF": (DLFRegressor, DLFClassifier), "Hydra": (HydraRegressor, HydraClassifier)}


def five_targets(seed):
    """Return a split with five mixtures of two Friedman functions, of different columns."""
    rng = np.random.RandomState(seed)
    X, first = make_friedman1(N_MADE + MAX_TEST, random_state=rng)
    other = np.column_stack([X[:, 5:], X[:, :5]])
    second = (
        10 * np.sin(np.pi * other[:, 0] * other[:, 1])
        + 20 * (other[:, 2] - 0.5) ** 2
        + 10 * other[:, 3]
        + 5 * other[:, 4]
    )
    y = np.column_stack([first, second]) @ rng.standard_normal((2, 5))
    return make_split(X, y + rng.standard_normal(y.shape))


def of_arrays(load, is_stratified=False):
    """Return a function that splits data of scikit-learn, a fifth for testing."""

    def split(seed):
        X, y = load(return_X_y=True)
        stratify = y if is_stratified else None
        X, X_test, y, y_test = train_test_split(
            X, y, test_size=0.2, stratify=stratify, random_state=seed
        )
        return Split(X, y, X_test, y_test)

    return split


# Each takes a seed and returns a split.
SETS = {
    "linnerud": of_arrays(load_linnerud),
    "five targets": five_targets,
    "digits": of_arrays(load_digits, is_stratified=True),
}
OF_CLASSES = {"digits"}


def fit_ensemble(kind, of_classes, X, y, seed):
    """Return a fitted ensemble of a kind."""
    *makers, n_members = RECIPES[kind]
    return makers[of_classes](n_members, random_state=seed).fit(X, y)


def measure_outputs(record, wanted, memory):
    """Fit an ensemble and the wanted students on one split; yield a record for each."""
    split, of_classes = record["split"], record["set"] in OF_CLASSES
    data = SETS[record["set"]](split)
    fit = memory.cache(fit_ensemble)
    ensemble = fit(record["teacher"], of_classes, data.X, data.y, split)
    rows = data.X_test[:MAX_ROWS]
    members = to_outputs(member_predictions(ensemble, rows), of_classes)
    for model in wanted:
        student = STUDENTS[model][of_classes](random_state=split)
        seconds = time_fit(student, data.X, data.y, ensemble=ensemble)
        draws = to_outputs(student.sample_predictions(rows, N_DRAWS, random_state=0), of_classes)
        yield {**record, "model": model, **compare_outputs(members, draws), "fit_s": seconds}


def to_outputs(members, of_classes):
    """Return the members' outputs (n, n_outputs, n_members): targets or centred logits."""
    if not of_classes:
        return members
    logits = np.log(np.maximum(members, FLOOR))
    return logits - logits.mean(axis=1, keepdims=True)


def correlations(members):
    """Return the correlations over members of each two outputs at each row, (n, n_pairs).

    They are NaN where all members agree on one of the outputs.
    """
    pairs = np.triu_indices(members.shape[1], k=1)
    deviations = members - members.mean(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        deviations /= np.linalg.norm(deviations, axis=-1, keepdims=True)
    return (deviations @ deviations.swapaxes(1, 2))[:, pairs[0], pairs[1]]


def compare_outputs(members, draws):
    """Compare correlations between outputs, over rows and pairs of outputs."""
    truth, own = correlations(members), correlations(draws)
    known = np.isfinite(truth) & np.isfinite(own)
    (variance, covariance), _ = np.cov(truth[known], own[known])
    ratio = np.mean(draws.var(axis=-1), axis=0) / np.mean(members.var(axis=-1), axis=0)
    return {
        "slope": float(covariance / variance),
        "corr": float(np.corrcoef(truth[known], own[known])[0, 1]),
        "reliability": reliability(members, correlations),
        "std_ratio": float(np.sqrt(ratio.mean())),
    }
