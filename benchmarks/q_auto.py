"""Test the number of factors that ``q="auto"`` finds.

First, on ensembles that are drawn from known models with 3, 6 and 12 factors. Prints the number
found for each of ten seeds, and the ratio of the weakest factor's eigenvalue to the smallest one
that any method based on eigenvalues can tell from noise (``noise variance x sqrt(n_entries /
n_members)`` [1]_; median over the seeds).

Second, with a folder of data sets, on 50 networks of two hidden layers of 100. Prints the NLL of y
on test rows of students with fixed numbers of factors and of a student with the number found, as
means over splits; and the difference of the latter to the best fixed number, with its standard
error:

    python benchmarks/q_auto.py [--data-dir DIR --sets energy boston --splits 5]

``--data-dir`` as in benchmarks/datasets.py.

.. [1] Baik, Ben Arous, Peche. "Phase transition of the largest eigenvalue for nonnull complex
   sample covariance matrices". Annals of Probability 33, 2005.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from datasets import load_split
from sklearn.exceptions import ConvergenceWarning

from sklearn_dlf import DLFRegressor
from sklearn_dlf._latent.number_of_factors import factor_scores
from sklearn_dlf.datasets import make_dlf_ensemble
from sklearn_dlf.ensembles import DeepEnsembleRegressor, FittedEnsemble
from sklearn_dlf.metrics import neg_nll_scorer

FIXED = (2, 5, 10, 20)

SETS = ["boston", "concrete", "energy", "kin8nm", "power", "wine"]


def recover(n_features, q, n_seeds=10):
    """Return the numbers of factors found for models with ``q``, and how visible the weakest is."""
    found, visible = [], []
    for seed in range(n_seeds):
        data = make_dlf_ensemble(n_features=n_features, n_members=50, q=q, random_state=seed)
        residuals = data.predictions - data.predictions.mean(axis=1, keepdims=True)
        found.append(int(np.argmax(factor_scores(residuals))))
        weakest = np.linalg.svd(data.loadings[:, 0], compute_uv=False)[-1] ** 2
        visible.append(weakest / (data.member_noise**2 * np.sqrt(len(data.X) / 50)))
    return found, np.median(visible)


def measure(data, seed, hidden_layer_sizes):
    """Return the test NLL of y for each of `FIXED` and for "auto", and the number found."""
    teachers = DeepEnsembleRegressor(n_estimators=50, random_state=seed).fit(data.X, data.y)
    ensemble = FittedEnsemble(teachers)
    nll = []
    for q in (*FIXED, "auto"):
        student = DLFRegressor(
            ensemble, q=q, hidden_layer_sizes=hidden_layer_sizes, random_state=seed
        )
        student.fit(data.X, data.y)
        nll.append(-neg_nll_scorer(student, data.X_test, data.y_test))
    return np.array(nll), student.q_


def main():
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data-dir", help="folder of the data sets; without it, known models only")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--hidden", type=int, nargs="+", default=[100, 100])
    args = parser.parse_args()
    for n_features in (3, 5, 10):
        for q in (3, 6, 12):
            found, visible = recover(n_features, q)
            hits = np.count_nonzero(np.abs(np.array(found) - q) <= 1)
            print(
                f"{n_features:2d} columns, {q:2d} factors: {hits:2d} of 10 within 1; {found}; "
                f"weakest {visible:.1f} times the threshold"
            )
    if args.data_dir is None:
        return
    warnings.simplefilter("ignore", ConvergenceWarning)
    columns = [*(f"q={q}" for q in FIXED), "auto", "auto-best", "error"]
    print(" ".join(f"{name:>10}" for name in ["set", *columns]), "  q found")
    for name in args.sets:
        rows = [
            measure(load_split(name, split, args.data_dir), split, tuple(args.hidden))
            for split in range(args.splits)
        ]
        each = np.array([row[0] for row in rows])
        nll = each.mean(axis=0)
        best = nll[:-1].argmin()
        error = (each[:, -1] - each[:, best]).std(ddof=1) / np.sqrt(len(each))
        values = [*nll, nll[-1] - nll[best], error]
        print(f"{name:>10}", " ".join(f"{value:10.3f}" for value in values), end=" ")
        print("  ", [row[1] for row in rows], flush=True)


if __name__ == "__main__":
    main()
