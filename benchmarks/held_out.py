"""Members that a student has not learnt from: how it says that they vary together over rows.

They are fitted by the recipe of the student's ensemble, to the same rows with other seeds. A part
of them scores the student's factors. Others, twice as many, give a reference: their sample
correlation, of which the best multiple is taken off the diagonal. A last part chooses this
multiple.
"""

from __future__ import annotations

import numpy as np
from fidelity_data import fit_ensemble, predict_others
from sklearn.utils import Bunch

from sklearn_dlf import DLFRegressor
from sklearn_dlf.datasets import make_dlf_ensemble
from sklearn_dlf.ensembles import member_predictions
from sklearn_dlf.metrics import member_fidelity

DLF, REFERENCE, SAMPLE = "DLF", "reference", "own members"

# Test rows at most: covariances are of all their pairs. Training rows of drawn models. Seeds of
# other members are those of the ensemble plus this. All are choices.
MAX_ROWS, N_DRAWN, OTHER_SEED = 300, 1_000, 1_000

# Multiples of correlations off the diagonal among which the reference has the best.
MULTIPLES = np.linspace(0, 0.99, 100)

# Members drawn from known models (`make_dlf_ensemble`): few factors that explain nearly all of the
# variance, or a fifth of it. Their kind of ensemble is called "model".
DRAWN = {"strong factors": 0.1, "weak factors": 1.0}


def measure_held_out(record, data, n_held_out, memory):
    """Yield scores of a student, of the reference and of the ensemble's own covariance."""
    split, kind = record["split"], record["teacher"]
    ensemble = memory.cache(fit_ensemble)(kind, data.X, data.y, split)
    student = DLFRegressor(random_state=split).fit(data.X, data.y, ensemble=ensemble)
    rows = data.X_test[:MAX_ROWS]
    own = member_predictions(ensemble, rows)
    n_reference, n_choice = 2 * n_held_out, n_held_out // 2
    n_others = n_held_out + n_reference + n_choice
    predict = memory.cache(predict_others)
    others = predict(kind, data.X, data.y, OTHER_SEED + split, n_others, rows)
    held_out, reference, choice = np.split(others, [n_held_out, n_held_out + n_reference], axis=1)
    yield {**record, "model": DLF, **score_factors(*process_at(student, rows), own, held_out)}
    yield {**record, "model": REFERENCE, **score_reference(reference, choice, held_out)}
    covariance = np.cov(own)
    yield {**record, "model": SAMPLE, **score_covariance(covariance, held_out)}


def measure_drawn(record, n_held_out):
    """Yield scores of a student of members that are drawn from a known model, and of the model."""
    data = make_dlf_ensemble(
        n_samples=N_DRAWN + MAX_ROWS,
        n_members=50 + n_held_out,
        member_noise=DRAWN[record["set"]],
        random_state=record["split"],
    )
    own, held_out = np.split(data.predictions, [50], axis=1)
    student = DLFRegressor(random_state=record["split"])
    student.fit(data.X[:N_DRAWN], predictions=own[:N_DRAWN])
    test = slice(N_DRAWN, None)
    truth = Bunch(
        mean=data.mean[test],
        loadings=data.loadings[test],
        member_std=np.full_like(data.mean[test], data.member_noise),
    )
    known = truth, truth.loadings[:, 0] @ truth.loadings[:, 0].T
    for model, process in ((DLF, process_at(student, data.X[test])), (REFERENCE, known)):
        yield {**record, "model": model, **score_factors(*process, own[test], held_out[test])}
    yield {**record, "model": SAMPLE, **score_covariance(np.cov(own[test]), held_out[test])}


def process_at(student, rows):
    """Return a student's latent parameters at rows, and its covariance over them."""
    return student.latent_parameters(rows), student.predict(rows, return_cov=True)[1]


def score_factors(latent, cov, members, held_out):
    """Return scores of a process with parameters ``latent`` and covariance at test rows."""
    loadings = latent.loadings[:, 0]
    variance = (loadings**2).sum(axis=1) + latent.member_std[:, 0] ** 2
    fidelity = member_fidelity(
        members,
        latent.mean[:, 0],
        np.sqrt(variance),
        latent_parameters=latent,
        held_out_members=held_out,
    )
    return {
        "joint_gain": fidelity.joint_gain,
        "factor_variance_ratio": fidelity.factor_variance_ratio,
        **score_covariance(cov, held_out),
    }


def score_covariance(covariance, held_out):
    """Compare a covariance off the diagonal with that of the held-out members.

    ``best_multiple`` is the least-squares multiple of it. ``cov_error`` is its relative error, with
    one for no covariance at all: a ratio of Frobenius norms, estimated without the sampling error
    of the held-out members by two halves of them.
    """
    off = ~np.eye(len(covariance), dtype=bool)
    left, right = (np.cov(half)[off] for half in np.array_split(held_out, 2, axis=1))
    own = covariance[off]
    squares = np.mean((own - left) * (own - right)) / np.mean(left * right)
    return {
        "best_multiple": float(np.cov(held_out)[off] @ own / (own @ own)),
        "cov_error": float(np.sqrt(max(squares, 0.0))),
    }


def score_reference(reference, choice, held_out):
    """Return the joint gain of the shrunk correlation of other members, and its multiple."""
    mean, std = reference.mean(axis=1), reference.std(axis=1, ddof=1)
    values, vectors = np.linalg.eigh(np.corrcoef(reference))

    def gains(members):
        """Joint less independent log-likelihood in nats per entry, for each of `MULTIPLES`."""
        standard = (members - mean[:, None]) / std[:, None]
        squares = ((vectors.T @ standard) ** 2).mean(axis=1)
        variances = 1 + MULTIPLES[:, None] * (values - 1)
        return 0.5 * np.mean(squares - squares / variances - np.log(variances), axis=1)

    best = int(np.argmax(gains(choice)))
    return {"joint_gain": float(gains(held_out)[best]), "multiple": float(MULTIPLES[best])}
