"""Which fits warn that the teacher gets wrong rows, and which healthy ones do so falsely.

``python benchmarks/wrong_rows.py [--only wrong|columns|healthy|order]`` takes a few minutes.
No student is trained: the checks are run through the functions that `fit` calls before it trains.
"""

import argparse
import warnings
from collections import defaultdict
from itertools import product
from operator import attrgetter

import numpy as np
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
    make_blobs,
    make_classification,
    make_friedman1,
    make_friedman2,
)
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler
from wrong_rows_teachers import (
    classifiers,
    frauds,
    healthy_data,
    healthy_teachers,
    houses,
    recording_teachers,
    regressors,
)

from sklearn_dlf._rows.reader import RowReader
from sklearn_dlf._rows.table import Table
from sklearn_dlf._transfer.query import FitRows, query_teacher
from sklearn_dlf._transfer.tasks import ClassificationTask, RegressionTask
from sklearn_dlf.ensembles import (
    FittedEnsemble,
    member_predictions,
)

SCALERS = StandardScaler, MinMaxScaler, RobustScaler

# Factors of one column in another unit.
UNITS = 1000, 12, 1 / 12, 1 / 1000


def warnings_of(ensemble, X, y, predictions=None, sample_weight=None):
    """Return the messages of a fit's checks; X are the rows that the teacher gets."""
    kind = "classifier" if is_labels(ensemble, y) else "regressor"
    task = RegressionTask(needs_calibration=False, cv=None)
    if kind == "classifier":
        task = ClassificationTask("probabilities", None, 1e-3, needs_calibration=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        y = None if y is None else task.check_y(y)
        table = Table(np.asarray(X, dtype=np.float64))
        transfer_set = query_teacher(
            task,
            FitRows(table, RowReader(), y, sample_weight, None, X, attrgetter("rows")),
            ensemble=None if predictions is not None else ensemble,
            predictions=predictions,
            augment=None,
            is_encoded=False,
            n_parameters=0,
            out_of_bag="widen",
            is_seeded=True,
            random_state=np.random.RandomState(0),
        )
        task.score_teacher(transfer_set)
    texts = [str(warning.message) for warning in caught]
    ours = (
        "rows that the ensemble gets",
        "rows of fit seem not",
        "The ensemble predicts",
        "The ensemble seems",
        "predictions do not follow",
        "y has one and the same",
        "has the same value",
        "another order in the ensemble's",
    )
    return [text for text in texts if any(part in text for part in ours)]


def is_labels(ensemble, y):
    """Return whether an ensemble is one of classifiers."""
    if isinstance(ensemble, FittedEnsemble):
        return ensemble.kind == "classifier"
    model = ensemble[0] if isinstance(ensemble, list) else ensemble
    return hasattr(model, "classes_")


def fit(teacher, X, y, **params):
    """Fit a teacher, or each model of a list."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if isinstance(teacher, list):
            return [model.fit(X, y, **params) for model in teacher]
        return teacher.fit(X, y, **params)


MAIN = {"breast cancer": load_breast_cancer, "wine": load_wine, "digits": load_digits}
CLASSES = {
    **MAIN,
    "iris": load_iris,
    "make_classification": lambda **_: make_classification(400, 10, random_state=0),
    "a rare class": lambda **_: frauds(),
    "make_blobs": lambda **_: make_blobs(400, random_state=0),
}
VALUES = {
    "diabetes": load_diabetes,
    "houses": lambda **_: houses(),
    "friedman1": lambda **_: make_friedman1(400, noise=1.0, random_state=0),
    "friedman2": lambda **_: make_friedman2(400, noise=10.0, random_state=0),
}


def wrong_fits():
    """Yield fits whose teacher gets scaled rows: names, the score there and its own, arguments."""
    for data, make_teachers in ((CLASSES, classifiers), (VALUES, regressors)):
        for name, load in data.items():
            X, y = load(return_X_y=True)
            for teacher_name, teacher in make_teachers():
                if "boosting" in teacher_name and name == "digits":
                    continue  # slow
                teacher = fit(teacher, X, y)
                own = score(teacher, X, y)
                for scaler in SCALERS:
                    rows = scaler().fit_transform(X)
                    yield (
                        (name, teacher_name, scaler.__name__),
                        (score(teacher, rows, y), own),
                        (teacher, rows, y),
                    )


def score(teacher, X, y):
    """Return the mean accuracy of classes, or R^2, of a teacher's mean."""
    mean = member_predictions(teacher, X).mean(axis=-1)
    if mean.ndim == 2:
        return balanced_accuracy_score(y, np.unique(y)[mean.argmax(axis=1)])
    return 1 - np.mean((y - mean) ** 2) / np.var(y)


def healthy_fits(n_seeds):
    """Yield fits in which the teacher gets rows like its own: names and arguments."""
    for seed in range(n_seeds):
        for name, X, y in healthy_data(seed):
            is_class = y.dtype.kind == "i"
            half = 2 * len(X) // 5  # another number of rows than are held out
            scaled = StandardScaler().fit_transform(X)
            for teacher_name, teacher in healthy_teachers(is_class, seed):
                own = fit(teacher, X, y)
                yield (name, teacher_name, "own rows"), (own, X, y)
                yield (name, teacher_name, "no y"), (own, X, None)
                teacher = fit(teacher, X[:half], y[:half])
                held_out = X[half:], y[half:]
                yield (name, teacher_name, "held out"), (teacher, *held_out)
                given = member_predictions(teacher, held_out[0])
                yield (name, teacher_name, "predictions"), (teacher, *held_out, given)
                few = X[half : half + 30], y[half : half + 30]
                yield (name, teacher_name, "30 held out"), (teacher, *few)
                yield (name, teacher_name, "scaled"), (fit(teacher, scaled, y), scaled, y)
                teacher = fit(teacher, scaled[:half], y[:half])
                rows = StandardScaler().fit_transform(X[half:])
                yield (name, teacher_name, "scaled, held out"), (teacher, rows, y[half:])


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2, help="seeds of the healthy data")
    parser.add_argument("--only", choices=["wrong", "columns", "healthy", "order"])
    options = parser.parse_args()
    if options.only in (None, "wrong"):
        print_wrong()
    if options.only in (None, "columns"):
        print_columns(options.seeds)
    if options.only in (None, "healthy"):
        print_healthy(options.seeds)
    if options.only in (None, "order"):
        print_orders(options.seeds)


def print_wrong():
    """Print which fits with scaled rows warn, with y and without."""
    print("Teachers fitted on rows as they are get scaled rows")
    print(f"{'data':20}{'teacher':20}{'scaler':16}{'own':>6}{'scaled':>9}  with y  without")
    counts = defaultdict(list)
    for (name, teacher_name, scaler), (at_rows, own), (teacher, X, y) in wrong_fits():
        with_y = bool(warnings_of(teacher, X, y))
        without = bool(warnings_of(teacher, X, None))
        harm = "lost 0.1 or more" if own - at_rows >= 0.1 else "lost less"
        keys = [("all", harm), (teacher_name, harm)]
        if name in MAIN and scaler != "RobustScaler" and teacher_name in (
            "forest", "bagged logistic", "bagged MLP", "deep ensemble"
        ):  # fmt: skip
            keys.append(("breast cancer, wine, digits", ""))
        for key in keys:
            counts[key].append((with_y, without))
        print(
            f"{name:20}{teacher_name:20}{scaler:16}{own:6.2f}{at_rows:9.2f}"
            f"{'warns' if with_y else '-':>8}{'warns' if without else '-':>9}"
        )
    print("\nWarnings, by what the teacher's score lost")
    for (name, harm), pairs in sorted(counts.items()):
        with_y, without = np.sum(pairs, axis=0)
        print(f"{name:30}{harm:18}{len(pairs):4} fits, {with_y:4} warn with y, {without:4} without")


def some_columns(n_columns):
    """Return at most eight columns at equal distances."""
    return np.unique(np.linspace(0, n_columns - 1, 8).astype(int))


def print_columns(n_seeds):
    """Print which fits warn whose teacher gets new rows with one column in another unit.

    Only columns count whose other unit takes away 0.1 or more of the teacher's score.
    """
    counts = defaultdict(list)
    for data, make_teachers in ((CLASSES, classifiers), (VALUES, regressors)):
        for name, load in data.items():
            X, y = load(return_X_y=True)
            for seed in range(n_seeds):
                own, new = np.array_split(np.random.RandomState(seed).permutation(len(X)), 2)
                for teacher_name, teacher in make_teachers(seed):
                    if "boosting" in teacher_name and name == "digits":
                        continue  # slow
                    teacher = fit(teacher, X[own], y[own])
                    at_rows = score(teacher, X[new], y[new])
                    for column, factor in product(some_columns(X.shape[1]), UNITS):
                        rows = np.array(X[new], dtype=np.float64)
                        rows[:, column] *= factor
                        try:
                            lost = at_rows - score(teacher, rows, y[new])
                        except ValueError:  # probabilities that do not sum to one
                            continue
                        if lost < 0.1:
                            continue
                        with_y = bool(warnings_of(teacher, rows, y[new]))
                        counts[teacher_name].append(
                            (with_y, bool(warnings_of(teacher, rows, None)))
                        )
    print("\nOne column in another unit, which takes away 0.1 or more of the teacher's score")
    counts["all"] = [each for found in counts.values() for each in found]
    for name, pairs in counts.items():
        with_y, without = np.sum(pairs, axis=0)
        print(f"{name:30}{len(pairs):4} fits, {with_y:4} warn with y, {without:4} without")


def print_healthy(n_seeds):
    """Print false alarms of healthy fits."""
    counts = defaultdict(list)
    for (name, teacher_name, rows), arguments in healthy_fits(n_seeds):
        texts = warnings_of(*arguments)
        for text in texts:
            print("false alarm:", name, "|", teacher_name, "|", rows, "|", text[:160])
        counts[rows].append(bool(texts))
        counts["all"].append(bool(texts))
    print("\nHealthy fits: false alarms of fits")
    for rows, alarms in counts.items():
        print(f"{rows:20}{sum(alarms):4} of {len(alarms)}")


def print_orders(n_seeds):
    """Print which fits warn at own rows, at own rows in another order, and at as many others."""
    counts = defaultdict(lambda: defaultdict(list))
    for seed in range(n_seeds):
        for _, X, y in healthy_data(seed):
            half = len(X) // 2
            own = X[:half], y[:half]
            order = np.random.RandomState(seed).permutation(half)
            rows = {
                "own rows": own,
                "another order": (X[:half][order], y[:half][order]),
                "other rows": (X[half : 2 * half], y[half : 2 * half]),
            }
            for name, teacher in recording_teachers(y.dtype.kind == "i", seed):
                teacher = fit(teacher, *own)
                for how, given in rows.items():
                    texts = warnings_of(teacher, *given)
                    counts[name][how].append(any("rows of fit seem not" in t for t in texts))
    print("\nWarnings that rows are not the ensemble's own, in their order")
    for name, by_rows in counts.items():
        shares = (f"{how} {sum(w):3} of {len(w)}" for how, w in by_rows.items())
        print(f"{name:26}" + "   ".join(shares))


if __name__ == "__main__":
    main()
