"""Students of lists of classifiers of several kinds, whose members fall into groups.

Prints a Markdown table: the gain of a smoothed law in nats; the mean probability of the rarest
class and the mean mutual information, both relative to the teacher's; the divergence of averages
from the teacher's in nats; and the mean energy distance of 400 draws from the members'
probabilities of this class. Lines have `latent="auto"` or
`latent="gaussian"`. All is measured at the half of the rows that no model has seen:

    python benchmarks/mixed_kinds.py [--sets fraud cancer digits]
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from scipy.special import rel_entr
from scipy.stats import energy_distance
from sklearn.datasets import load_breast_cancer, load_digits, make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import resample

from sklearn_dlf import DLFClassifier
from sklearn_dlf.ensembles import member_predictions
from sklearn_dlf.metrics import mutual_information

N_DRAWS = 400

SETS = {
    "fraud": lambda: make_classification(1500, 12, n_informative=6, weights=[0.96], random_state=0),
    "cancer": lambda: load_breast_cancer(return_X_y=True),
    "digits": lambda: load_digits(return_X_y=True),
}


def logistic():
    """Return a logistic regression of standardised columns."""
    return make_pipeline(StandardScaler(), LogisticRegression())


def half(which):
    """Return a logistic regression of every second column."""
    return make_pipeline(FunctionTransformer(lambda X: X[:, which::2]), logistic())


def make_lists():
    """Yield names and lists of unfitted models."""
    forests = [RandomForestClassifier(20, random_state=i) for i in range(20)]
    boosted = [HistGradientBoostingClassifier(max_iter=30) for _ in range(10)]
    yield "one half of the columns or the other", [half(i % 2) for i in range(40)]
    yield "forests and logistic regressions", forests + [logistic() for _ in range(20)]
    yield "these and boosted models", forests[:10] + [logistic() for _ in range(10)] + boosted


def fit_teacher(models, X, y):
    """Fit each model of a list to a bootstrap sample."""
    return [
        model.fit(*resample(X, y, random_state=i, stratify=y)) for i, model in enumerate(models)
    ]


def measure(student, X, members):
    """Return the columns of the table for a fitted student."""
    wanted, found = members.mean(axis=-1), student.predict_proba(X)
    rarest = int(np.argmin(wanted.mean(axis=0)))
    draws = student.sample_predictions(X, N_DRAWS, random_state=0)
    # In probabilities: members have no spread where all are sure, which could be a unit.
    pairs = zip(members[:, rarest], draws[:, rarest], strict=True)
    distances = [energy_distance(*pair) for pair in pairs]
    return [
        found[:, rarest].mean() / wanted[:, rarest].mean(),
        student.predict_uncertainty(X).epistemic.mean() / mutual_information(members).mean(),
        rel_entr(wanted, np.maximum(found, 1e-12)).sum(axis=1).mean(),
        np.mean(distances),
    ]


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    options = parser.parse_args()
    print("| set, teacher | latent | gain | rare class | information | divergence | energy |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in options.sets:
        X, y = SETS[name]()
        X, X_new, y, _ = train_test_split(X, y, test_size=0.5, random_state=0, stratify=y)
        for teacher_name, models in make_lists():
            teacher = fit_teacher(models, X, y)
            members = member_predictions(teacher, X_new)
            for latent in ("auto", "gaussian"):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    student = DLFClassifier(latent=latent, random_state=0).fit(
                        X, y, ensemble=teacher
                    )
                rare, information, divergence, energy = measure(student, X_new, members)
                print(
                    f"| {name}, {teacher_name} | {latent} | {student.latent_gain_:.0f} | "
                    f"{rare:.3f} | {information:.2f} | {divergence:.4f} | "
                    f"{energy:.3f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
