"""Labels with another meaning, and blocks of a stream: `adapt`, and what one would do without it.

Part of ``shift.py``, which prints the tables.
"""

import time

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, log_loss
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from sklearn_dlf import DLFClassifier
from sklearn_dlf._updating.folds import make_folds, splits
from sklearn_dlf._updating.offset_head import fit_head
from sklearn_dlf.baselines import HydraClassifier
from sklearn_dlf.ensembles import DeepEnsembleClassifier, member_predictions

# Digits: members of the teacher, rows that it learns, rows that may get new labels, and how many
# of these are given. The other rows are scored.
N_MEMBERS, N_FIT, N_POOL, N_FLIPPED = 10, 898, 500, [20, 50, 100, 500]

# Blocks of the later rows of the stream, and random rows of a block.
N_BLOCKS, N_BLOCK_ROWS = 8, [20, 200, 1_000]

# New rows to which another teacher is fitted, alone.
N_TAUGHT = {"digits": 100, "blocks": 200}

# Standard deviations of the coefficients of a head, one of which is chosen on held-out rows.
STDS = np.geomspace(0.01, 10, 7)


def fit_digits(X, y, seed):
    """Return a teacher of some digits, and a student, a Hydra student and a plain network."""
    ensemble = DeepEnsembleClassifier(N_MEMBERS, random_state=seed).fit(X, y)
    student = DLFClassifier(random_state=seed).fit(X, y, ensemble=ensemble)
    hydra = HydraClassifier(random_state=seed).fit(X, y, ensemble=ensemble)
    return ensemble, student, hydra, fit_network(X, y, seed)


def fit_network(X, y, seed):
    """Return a plain network, and the scaler of its rows."""
    scaler = StandardScaler().fit(X)
    network = MLPClassifier((100, 100), early_stopping=True, random_state=seed)
    return scaler, network.fit(scaler.transform(X), y)


def features_of_student(student, X):
    """Return the features of the body of a student or a Hydra student, with a one."""
    rows, network = student._standardised_rows(X), student.student_
    features = network.in_blocks(rows, lambda each: (network.body(each),))[0]
    return np.column_stack([features.astype(np.float64), np.ones(len(X))])


def features_of_network(plain, X):
    """Return the last hidden layer of a plain network, with a one."""
    scaler, network = plain
    hidden = scaler.transform(X)
    for weights, bias in zip(network.coefs_[:-1], network.intercepts_[:-1], strict=True):
        hidden = np.maximum(hidden @ weights + bias, 0)
    return np.column_stack([hidden, np.ones(len(X))])


def head_probabilities(features, rows, y, at, n_classes):
    """Return the probabilities at some rows of a logistic head that is fitted to others alone.

    Its penalty is chosen by five folds.
    """
    features = features / np.sqrt(np.square(features[rows]).sum(axis=1).mean())
    labels, nothing = np.eye(n_classes)[y], np.zeros((len(rows), n_classes))
    losses = np.zeros(len(STDS))
    for learnt, held_out in splits(make_folds(y.tolist())):
        for i, std in enumerate(STDS):
            head = fit_head(features[rows[learnt]], nothing[learnt], labels[learnt], std)
            logarithms = log_softmax(features[rows[held_out]] @ head, axis=1)
            losses[i] -= np.sum(labels[held_out] * logarithms)
    head = fit_head(features[rows], nothing, labels, STDS[losses.argmin()])
    return softmax(features[at] @ head, axis=1)


def reweighted_probabilities(members, rows, y, at):
    """Return the mean of members (n, K, M) at rows, weighted by their likelihood at others."""
    likelihood = np.log(np.maximum(members[rows, y], 1e-6)).sum(axis=0)
    return members[at] @ softmax(likelihood)


def score(probabilities, y):
    """Return accuracy and NLL of probabilities (n, K)."""
    labels = np.arange(probabilities.shape[1])
    return {
        "accuracy": accuracy_score(y, probabilities.argmax(axis=1)),
        "nll": log_loss(y, np.clip(probabilities, 1e-15, 1), labels=labels),
    }


def measure_models(fitted, X, y, rows, at, n_classes, taught):
    """Yield the name and scores of each model after some new rows, at others."""
    ensemble, student, hydra, plain = fitted
    yield "student alone", score(student.predict_proba(X[at]), y[at])
    for labels in ("auto", "kept", "mapped"):
        began = time.process_time()
        adapted = student.adapt(X[rows], y[rows], labels=labels, classes=np.arange(n_classes))
        seconds = time.process_time() - began
        name = "adapt" if labels == "auto" else f"adapt, labels={labels!r}"
        found = score(adapted.predict_proba(X[at]), y[at])
        is_mapped = adapted.adaptation_.labels == "mapped"
        yield name, {**found, "seconds": seconds, "mapped": is_mapped}
    student.update(X[rows], y[rows])
    yield "update", score(student.predict_proba(X[at]), y[at])
    student.reset_update()
    heads = {
        "head of the student": features_of_student(student, X),
        "head of Hydra": features_of_student(hydra, X),
        "head of a plain network": features_of_network(plain, X),
    }
    for name, features in heads.items():
        yield name, score(head_probabilities(features, rows, y[rows], at, n_classes), y[at])
    members = member_predictions(ensemble, X)
    yield "members re-weighted", score(reweighted_probabilities(members, rows, y[rows], at), y[at])
    if taught:
        new = DeepEnsembleClassifier(len(members[0, 0]), random_state=0).fit(X[rows], y[rows])
        probabilities = np.zeros((len(at), n_classes))
        probabilities[:, new.classes_] = new.predict_proba(X[at])
        yield "teacher of the new rows alone", score(probabilities, y[at])


def measure_flipped(seed, fit=fit_digits):
    """Yield scores for digits whose labels are flipped: y is 9 - y now."""
    X, y = load_digits(return_X_y=True)
    order = np.random.RandomState(seed).permutation(len(X))
    fitted = fit(X[order[:N_FIT]], y[order[:N_FIT]], seed)
    pool, at = np.split(order[N_FIT:], [N_POOL])
    known = {
        f"{name}, renamed by hand": score(model.predict_proba(X[at]), y[at])
        for name, model in zip(("teacher", "student"), fitted, strict=False)
    }
    for n_rows in N_FLIPPED:
        for model, found in known.items():
            yield {"seed": seed, "n": n_rows, "model": model, **found}
        taught = n_rows == N_TAUGHT["digits"]
        for model, found in measure_models(fitted, X, 9 - y, pool[:n_rows], at, 10, taught):
            yield {"seed": seed, "n": n_rows, "model": model, **found}


def measure_blocks(X, y, fitted, first, seed):
    """Yield scores for random rows of each block of the rows from ``first`` on."""
    for number, block in enumerate(np.array_split(np.arange(first, len(X)), N_BLOCKS)):
        order = np.random.RandomState(seed).permutation(len(block))
        for n_rows in N_BLOCK_ROWS:
            rows, at = order[:n_rows], order[n_rows:]
            taught = n_rows == N_TAUGHT["blocks"]
            for model, found in measure_models(fitted, X[block], y[block], rows, at, 2, taught):
                yield {"seed": seed, "n": n_rows, "block": number, "model": model, **found}
