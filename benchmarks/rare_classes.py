"""Mean probabilities of a rare class, of students and their ensembles at new rows.

``python benchmarks/rare_classes.py [--seeds 5] [--rows 1500] [--weights 0.96 0.85]`` fits students
of four kinds of ensembles to imbalanced data, and compares the mean probability of the rare class
at 20,000 new rows. A line a fit gives the relative difference and its standard error over these
rows, before and after the shift of classes. The standard error at ``--rows`` new rows is larger by
the root of the ratio: the last column. A fit takes half a minute to two minutes.
"""

import argparse
from unittest import mock

import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    BaggingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression

from sklearn_dlf import DLFClassifier
from sklearn_dlf._fitting import calibration
from sklearn_dlf.ensembles import member_predictions

N_NEW = 20_000


def make_ensembles(seed):
    """Yield names and unfitted ensembles; lists have members that fit their rows closely."""
    balanced = {"class_weight": "balanced", "min_samples_leaf": 3}
    yield "balanced forest", RandomForestClassifier(100, **balanced, random_state=seed)
    yield "bagged logistic", BaggingClassifier(LogisticRegression(), 20, random_state=seed)
    boosted = {"max_features": 0.5}
    yield (
        "histogram boosting",
        [HistGradientBoostingClassifier(**boosted, random_state=i) for i in range(5)],
    )
    try:
        from lightgbm import LGBMClassifier
    except ImportError:
        print("LightGBM is not installed; its list is left out")
        return
    options = {"subsample": 0.8, "subsample_freq": 1, "verbose": -1, "n_jobs": 1}
    yield "LightGBM", [LGBMClassifier(**options, random_state=i) for i in range(10)]


def difference(probabilities, wanted):
    """Return the relative difference of mean probabilities (n,) and its standard error."""
    errors = probabilities - wanted
    return np.array([errors.mean(), errors.std() / np.sqrt(len(errors))]) / wanted.mean()


def main():
    """Print a line for each fit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--weights", type=float, nargs="+", default=[0.96, 0.85])
    options = parser.parse_args()
    print(
        f"{'ensemble':20}{'share':>6}{'seed':>5}{'mean':>8}{'no shift':>10}{'shift':>8}{'error':>7}"
        f"{f'at {options.rows}':>10}"
    )
    for weight in options.weights:
        for seed in range(options.seeds):
            X, y = make_classification(
                options.rows + N_NEW, 12, n_informative=6, weights=[weight], random_state=seed
            )
            own, new = slice(options.rows), slice(options.rows, None)
            for name, ensemble in make_ensembles(seed):
                if isinstance(ensemble, list):
                    ensemble = [model.fit(X[own], y[own]) for model in ensemble]
                else:
                    ensemble.fit(X[own], y[own])
                wanted = member_predictions(ensemble, X[new]).mean(axis=-1)[:, 1]
                before, (after, error) = compare(ensemble, X[own], y[own], X[new], wanted)
                larger = error * np.sqrt(N_NEW / options.rows)
                print(
                    f"{name:20}{1 - weight:6.0%}{seed:5}{wanted.mean():8.4f}{before:10.1%}"
                    f"{after:8.1%}{error:7.1%}{larger:10.1%}",
                    flush=True,
                )


def compare(ensemble, X, y, X_new, wanted):
    """Return the difference without a shift, and that of the student with its standard error."""
    shifts = []
    find_shift = calibration.find_shift

    def keep(*args):
        shifts.append(find_shift(*args))
        return shifts[-1]

    student = DLFClassifier(random_state=0)
    with mock.patch.object(calibration, "find_shift", keep):
        student.fit(X, y, ensemble=ensemble)
    after = difference(student.predict_proba(X_new)[:, 1], wanted)
    student.student_.shift_mean(-shifts[0] / student.output_scale_)
    return difference(student.predict_proba(X_new)[:, 1], wanted)[0], after


if __name__ == "__main__":
    main()
