"""Data and teachers of ``wrong_rows.py``: some that a user may have, and healthy ones."""

import numpy as np
from sklearn.datasets import (
    make_classification,
    make_friedman1,
    make_regression,
)
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_dlf.ensembles import (
    DeepEnsembleClassifier,
    DeepEnsembleRegressor,
)


def classifiers(seed=0):
    """Yield names and unfitted ensembles of classifiers."""
    yield "forest", RandomForestClassifier(20, random_state=seed)
    yield "bagged logistic", BaggingClassifier(LogisticRegression(max_iter=300), 5, random_state=0)
    mlp = MLPClassifier((30,), solver="lbfgs", max_iter=300, random_state=0)
    yield "bagged MLP", BaggingClassifier(mlp, 3, random_state=seed)
    yield "deep ensemble", DeepEnsembleClassifier(4, max_iter=20, random_state=seed)
    yield (
        "boosting",
        [
            GradientBoostingClassifier(n_estimators=10, subsample=0.5, random_state=i)
            for i in range(3)
        ],
    )
    yield (
        "histogram boosting",
        [HistGradientBoostingClassifier(max_iter=10, max_features=0.5, random_state=i)
         for i in range(3)],
    )  # fmt: skip
    yield "extra trees", ExtraTreesClassifier(20, max_depth=4, random_state=seed)
    yield "bagged neighbours", BaggingClassifier(KNeighborsClassifier(), 5, random_state=seed)
    yield "bagged naive Bayes", BaggingClassifier(GaussianNB(), 5, random_state=seed)


def regressors(seed=0):
    """Yield names and unfitted ensembles of regressors."""
    yield "forest", RandomForestRegressor(20, random_state=seed)
    yield "bagged ridge", BaggingRegressor(Ridge(), 5, random_state=seed)
    mlp = MLPRegressor(hidden_layer_sizes=(30,), solver="lbfgs", max_iter=300, random_state=0)
    yield "bagged MLP", BaggingRegressor(mlp, 3, random_state=seed)
    yield "deep ensemble", DeepEnsembleRegressor(4, max_iter=20, random_state=seed)
    yield (
        "boosting",
        [GradientBoostingRegressor(n_estimators=10, subsample=0.5, random_state=i) for i in (1, 2)],
    )
    yield (
        "histogram boosting",
        [HistGradientBoostingRegressor(max_iter=10, max_features=0.5, random_state=i)
         for i in (1, 2)],
    )  # fmt: skip
    yield "extra trees", ExtraTreesRegressor(20, max_depth=4, random_state=seed)
    yield "bagged neighbours", BaggingRegressor(KNeighborsRegressor(), 5, random_state=seed)


def houses(n_samples=400, seed=0):
    """Rows with units, as those of houses in California: dollars, years, persons, degrees."""
    rng = np.random.RandomState(seed)
    X = np.column_stack(
        [
            rng.lognormal(1.2, 0.5, n_samples),
            rng.uniform(1, 52, n_samples),
            rng.lognormal(1.6, 0.3, n_samples),
            rng.lognormal(7, 0.8, n_samples),
            rng.uniform(32.5, 42, n_samples),
            rng.uniform(-124.5, -114.5, n_samples),
        ]
    )
    noise = 0.3 * rng.standard_normal(n_samples)
    return X, 0.5 * X[:, 0] + 0.01 * X[:, 1] - 0.1 * np.abs(X[:, 4] - 37) + noise


def frauds(n_samples=2_000, seed=0):
    """Rows of two classes, one of which is rare, with columns in units of their own."""
    options = {"n_informative": 6, "n_redundant": 2, "weights": [0.95], "flip_y": 0.01}
    X, y = make_classification(n_samples, 12, random_state=seed, **options)
    rng = np.random.RandomState(seed)
    return X * 10 ** rng.uniform(-0.7, 0.7, 12) + rng.standard_normal(12), y


def healthy_data(seed):
    """Yield names, whether they are classes, rows and y."""
    yield (
        "classes, noisy",
        *make_classification(300, 8, n_informative=2, flip_y=0.8, random_state=seed),
    )
    yield (
        "classes, imbalanced",
        *make_classification(400, 8, weights=[0.93], flip_y=0.05, random_state=seed),
    )
    yield "classes, few rows", *make_classification(60, 6, random_state=seed)
    yield (
        "three classes",
        *make_classification(300, 8, n_informative=4, n_classes=3, random_state=seed),
    )
    rng = np.random.RandomState(seed)
    yield "classes, pure noise", rng.standard_normal((200, 5)), rng.randint(2, size=200)
    yield "values", *make_regression(300, 8, noise=30.0, random_state=seed)
    yield (
        "values, noisy",
        rng.standard_normal((200, 5)),
        rng.standard_normal(200) + 0.2 * rng.rand(200),
    )
    yield "values, few rows", *make_friedman1(60, noise=3.0, random_state=seed)
    yield "values, with units", *houses(300, seed)
    yield "values, heavy tails", rng.standard_t(1.5, (300, 5)), rng.standard_t(2, 300)


def healthy_teachers(is_class, seed):
    """Yield names and unfitted teachers, weak and overfitted ones among them."""
    if is_class:
        yield from classifiers(seed)
        stump = ExtraTreesClassifier(10, max_depth=1, random_state=seed)
        yield "stumps", stump
        balanced = {"class_weight": "balanced", "random_state": seed}
        yield "balanced forest", RandomForestClassifier(20, min_samples_leaf=5, **balanced)
        yield "balanced logistic", BaggingClassifier(LogisticRegression(**balanced), 5)
        nearest = KNeighborsClassifier(1)
        yield "bagged 1-NN", BaggingClassifier(nearest, 5, random_state=seed)
        few = {"max_samples": 0.3, "random_state": seed}
        yield "logistic, few rows", BaggingClassifier(LogisticRegression(), 5, **few)
        yield "weak logistic", [LogisticRegression(C=c) for c in (1e-3, 1e-2)]
        mlp = MLPClassifier((20,), max_iter=20, random_state=seed)
        yield "MLP, few epochs", BaggingClassifier(mlp, 3, random_state=seed)
    else:
        yield from regressors(seed)
        yield "stumps", ExtraTreesRegressor(10, max_depth=1, random_state=seed)
        yield "bagged 1-NN", BaggingRegressor(KNeighborsRegressor(1), 5, random_state=seed)
        yield "ridge, few rows", BaggingRegressor(Ridge(), 5, max_samples=0.3, random_state=seed)
        yield "weak ridge", [Ridge(alpha=a) for a in (1e3, 1e4)]
        scaled = make_pipeline(
            StandardScaler(), MLPRegressor(hidden_layer_sizes=(20,), max_iter=500)
        )
        yield "scaled MLP", BaggingRegressor(scaled, 3, random_state=seed)


def recording_teachers(is_class, seed):
    """Yield names and unfitted teachers that record which rows their members did not see."""
    base = {"random_state": seed}
    forest = RandomForestClassifier if is_class else RandomForestRegressor
    yield "forest", forest(20, **base)
    yield "forest, 5 rows a leaf", forest(20, min_samples_leaf=5, **base)
    yield "forest, depth 2", forest(20, max_depth=2, **base)
    bagging = BaggingClassifier if is_class else BaggingRegressor
    nearest = KNeighborsClassifier if is_class else KNeighborsRegressor
    yield "30 bagged 1-NN", bagging(nearest(1), 30, **base)
    yield "30 bagged 5-NN", bagging(nearest(), 30, **base)
    yield "30 bagged linear models", bagging(LogisticRegression() if is_class else Ridge(), 30)
    deep = DeepEnsembleClassifier if is_class else DeepEnsembleRegressor
    yield "deep ensemble", deep(10, max_iter=30, **base)
