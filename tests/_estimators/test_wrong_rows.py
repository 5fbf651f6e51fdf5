"""Fits whose teacher gets other rows than it takes warn; healthy fits do not."""

import warnings
from functools import cache, partial

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_wine,
    make_classification,
    make_friedman1,
    make_regression,
)
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf._transfer.row_checks import check_values
from sklearn_dlf._transfer.row_records import RowFacts
from sklearn_dlf.ensembles import DeepEnsembleClassifier, FittedEnsemble, member_predictions
from sklearn_dlf.exceptions import SeenRowsWarning

# The students are not trained to the end; the checks come before.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:All members agree"),  # at wrong rows they may
    pytest.mark.filterwarnings("ignore:.*probabilities of 0 and 1"),  # so do nearest neighbours
]

QUICK = {
    "q": 1,
    "hidden_layer_sizes": (4,),
    "n_epochs": 1,
    "max_iter": 2,
    "augment": None,
    "random_state": 0,
}
DATA = {"breast cancer": load_breast_cancer, "wine": load_wine, "digits": load_digits}
TEACHERS = {
    "forest": RandomForestClassifier(10, random_state=0),
    "logistic": BaggingClassifier(LogisticRegression(max_iter=300), 3, random_state=0),
    "networks": DeepEnsembleClassifier(3, hidden_layer_sizes=(20,), max_iter=10, random_state=0),
}


@cache
def fitted(data, teacher):
    """Rows, labels and a teacher that was fitted to them."""
    X, y = DATA[data](return_X_y=True)
    if data == "digits":
        X, y = X[::3], y[::3]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of convergence
        return X, y, clone(TEACHERS[teacher]).fit(X, y)


def classifier():
    return DLFClassifier(**QUICK, refine=False)


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler()], ids=["standard", "range"])
@pytest.mark.parametrize("teacher", TEACHERS)
@pytest.mark.parametrize("data", DATA)
def test_a_teacher_of_unscaled_rows_warns_in_a_pipeline_with_a_scaler(data, teacher, scaler):
    X, y, ensemble = fitted(data, teacher)
    pipeline = make_pipeline(scaler, classifier())
    with pytest.warns(UserWarning, match="X_ensemble") as record:
        pipeline.fit(X, y, dlfclassifier__ensemble=ensemble)
    ours = [warning for warning in record if "X_ensemble" in str(warning.message)]
    assert [warning.filename for warning in ours] == [__file__]


@pytest.mark.parametrize("teacher", TEACHERS)
def test_the_remedy_is_silent(teacher):
    X, y, ensemble = fitted("wine", teacher)
    pipeline = make_pipeline(StandardScaler(), classifier())
    pipeline.fit(X, y, dlfclassifier__ensemble=ensemble, dlfclassifier__X_ensemble=X)


@pytest.mark.parametrize("teacher", ["forest", "networks"])
def test_records_of_the_members_suffice_without_y(teacher):
    X, _, ensemble = fitted("wine", teacher)
    with pytest.warns(UserWarning, match="unlike those of its own fit"):
        classifier().fit(StandardScaler().fit_transform(X), ensemble=ensemble)


REGRESSORS = {
    "forest": RandomForestRegressor(10, random_state=0),
    "ridge": BaggingRegressor(Ridge(), 3, random_state=0),
    "boosting": [
        GradientBoostingRegressor(n_estimators=5, subsample=0.5, random_state=i) for i in range(2)
    ],
    "neighbours": BaggingRegressor(KNeighborsRegressor(), 3, random_state=0),
}


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler()], ids=["standard", "range"])
@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors_of_unscaled_rows_warn(name, scaler):
    X, y = load_diabetes(return_X_y=True)
    ensemble = REGRESSORS[name]
    if isinstance(ensemble, list):
        ensemble = [model.fit(X, y) for model in ensemble]
    else:
        ensemble.fit(X, y)
    with pytest.warns(UserWarning, match="X_ensemble"):
        make_pipeline(scaler, DLFRegressor(**QUICK)).fit(X, y, dlfregressor__ensemble=ensemble)


def noise_rows(n_rows):
    rng = np.random.RandomState(0)
    return rng.standard_normal((n_rows, 4)), rng


HEALTHY = {
    "overfitted to noise": (
        lambda X, rng: rng.randint(2, size=len(X)),
        BaggingClassifier(KNeighborsClassifier(1), 5, random_state=0),
    ),
    "imbalanced with balanced weights": (
        lambda X, rng: (X[:, 0] + rng.standard_normal(len(X)) > 2.5).astype(int),
        RandomForestClassifier(10, min_samples_leaf=5, class_weight="balanced", random_state=0),
    ),
    "balanced weights of linear members": (
        lambda X, rng: (X[:, 0] + rng.standard_normal(len(X)) > 2.5).astype(int),
        BaggingClassifier(LogisticRegression(class_weight="balanced"), 3, random_state=0),
    ),
    "values of pure noise": (
        lambda X, rng: rng.standard_normal(len(X)),
        BaggingRegressor(KNeighborsRegressor(1), 5, random_state=0),
    ),
}


@pytest.mark.filterwarnings("ignore:.*probabilities of 0 and 1 only:UserWarning")
@pytest.mark.parametrize("how", ["own", "held out", "few", "scaled", "predictions"])
@pytest.mark.parametrize("case", HEALTHY)
def test_weak_and_overfitted_teachers_are_silent(case, how):
    make_y, ensemble = HEALTHY[case]
    X, rng = noise_rows(400)
    y = make_y(X, rng)
    if how == "scaled":
        X = StandardScaler().fit_transform(X)
    own = slice(None) if how in ("own", "scaled") else slice(190)  # not as many as the others
    rows = {"few": slice(200, 230), "own": own, "scaled": own}.get(how, slice(200, None))
    ensemble.fit(X[own], y[own])
    student = classifier() if hasattr(ensemble, "classes_") else DLFRegressor(**QUICK)
    if how == "predictions":
        student.fit(X[rows], y[rows], predictions=member_predictions(ensemble, X[rows]))
    else:
        student.fit(X[rows], y[rows], ensemble=ensemble)


def test_a_teacher_slightly_worse_than_a_constant_is_silent():
    X, y = make_regression(61, 20, noise=300.0, random_state=0)  # 31 rows, 30 of another teacher
    ensemble = BaggingRegressor(Ridge(), 5, random_state=0).fit(X[:30], y[:30])
    assert DLFRegressor(**QUICK).fit(X[30:], y[30:], ensemble=ensemble).ensemble_score_ < 0


def test_strongly_regularised_members_of_scaled_rows_are_silent():
    X, y = make_classification(300, 6, random_state=0)
    X = StandardScaler().fit_transform(X)
    ensemble = [LogisticRegression(C=c).fit(X, y) for c in (1e-3, 1e-2)]
    classifier().fit(X, y, ensemble=ensemble)


def test_values_in_other_units_warn():
    X, y = make_regression(100, 4, noise=10.0, random_state=0)
    ensemble = BaggingRegressor(Ridge(), 5, random_state=0).fit(X, 1000 + y)
    with pytest.warns(UserWarning, match="worse than a constant"):
        DLFRegressor(**QUICK).fit(X, y, ensemble=ensemble)


@pytest.mark.filterwarnings("ignore:.*probabilities of 0 and 1 only:UserWarning")
def test_columns_of_classes_in_another_order_warn():
    X, y = load_digits(return_X_y=True)
    forest = RandomForestClassifier(20, random_state=0).fit(X[::3], y[::3])
    names = "zero one two three four five six seven eight nine"
    order = np.argsort(names.split())
    members = member_predictions(forest, X[1::3])[:, order]
    with pytest.warns(UserWarning, match="columns of classes in another order"):
        DLFClassifier(**QUICK).fit(X[1::3], y[1::3], predictions=members)


def test_a_rare_class_that_is_lost_at_scaled_rows_warns():
    """A function has no records, and the probabilities of a rare class say little of accuracy."""
    rng = np.random.RandomState(0)
    X = 60 + 10 * rng.standard_normal((300, 1))
    log_odds = 0.15 * (X[:, 0] - 80)
    y = (rng.uniform(size=300) < 1 / (1 + np.exp(-log_odds))).astype(int)
    members = [lambda rows, k=k: 0.15 * (rows[:, 0] - 80 + k) for k in range(-2, 3)]
    ensemble = FittedEnsemble(members, outputs="logits", classes=[0, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", SeenRowsWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier().fit(X, y, ensemble=ensemble)
    with pytest.warns(UserWarning, match="worse than the frequencies of its labels"):
        classifier().fit(StandardScaler().fit_transform(X), y, ensemble=ensemble)


def predictions_of(ensemble, data):
    X, y = data
    return X[200:], y[200:], member_predictions(ensemble.fit(X[:200], y[:200]), X[200:])


def test_predictions_in_another_order_warn():
    order = np.random.RandomState(0).permutation(200)
    data = make_friedman1(400, noise=1.0, random_state=0)
    X, y, members = predictions_of(RandomForestRegressor(20, random_state=0), data)
    with pytest.warns(UserWarning, match="do not follow y"):
        DLFRegressor(**QUICK).fit(X, y, predictions=members[order])
    data = make_classification(400, 6, flip_y=0.3, random_state=0)
    X, y, members = predictions_of(BaggingClassifier(LogisticRegression(), 5, random_state=0), data)
    with pytest.warns(UserWarning, match="do not follow y"):
        classifier().fit(X, y, predictions=members[order])


def test_y_in_another_order_warns_at_the_rows_of_the_ensemble():
    X, y = make_friedman1(200, noise=1.0, random_state=0)
    linear = BaggingRegressor(Ridge(), 10, random_state=0).fit(X, y)
    with pytest.warns(UserWarning, match=r"do not follow y.*By its record"):
        DLFRegressor(**QUICK).fit(X, np.random.RandomState(0).permutation(y), ensemble=linear)


def test_one_output_that_is_worse_than_a_constant_warns():
    """The other outputs are predicted so well that all together are better than constants."""
    X, y = make_regression(200, 5, n_targets=4, noise=1.0, random_state=0)
    ensemble = BaggingRegressor(Ridge(), 5, random_state=0).fit(X, y)
    y[:, 2] = 4 * y[:, 2].std() - y[:, 2]
    with pytest.warns(UserWarning, match=r"predicts y \(output 2 of 0 to 3\) worse"):
        DLFRegressor(**QUICK).fit(X, y, ensemble=ensemble)


@pytest.mark.parametrize("constant", [3.95, 0.0])
def test_a_constant_output_beside_another_is_silent(constant):
    """The rounding of its mean is nothing that could be predicted."""
    rng = np.random.RandomState(0)
    X = rng.standard_normal((120, 3))
    y = np.column_stack([X[:, 0] + 0.1 * rng.standard_normal(120), np.full(120, constant)])
    make = partial(MLPRegressor, hidden_layer_sizes=(20,), max_iter=300)
    models = [make(random_state=seed).fit(X, y) for seed in range(3)]
    DLFRegressor(**QUICK).fit(X, y, ensemble=models)


def test_rows_without_weight_do_not_count():
    y, mean = np.full((100, 1), 0.1), np.full((100, 1), 0.11)
    y[95:] = 3.0
    weights = np.repeat([1.0, 0.0], [95, 5])
    X = np.random.RandomState(0).standard_normal((100, 2))
    assert check_values(X, y, mean, weights, RowFacts(None, False, None)) is None
