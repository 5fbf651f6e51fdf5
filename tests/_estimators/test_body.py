"""The parameter `body` of students: plain layers, or layers behind an encoding of columns."""

import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_friedman1
from sklearn.ensemble import BaggingRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils._param_validation import InvalidParameterError

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf._network.bodies import MLP, EncodedMLP
from sklearn_dlf._transfer import row_judge
from sklearn_dlf.baselines import BatchEnsembleRegressor, HydraClassifier, HydraRegressor
from sklearn_dlf.ensembles import member_predictions

QUICK = {"max_iter": 1, "n_epochs": 1, "hidden_layer_sizes": (8,), "random_state": 0}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def rows():
    return make_friedman1(120, n_features=6, noise=1.0, random_state=0)


@pytest.fixture(scope="module")
def ridges(rows):
    return BaggingRegressor(Ridge(), 8, random_state=0).fit(*rows)


@pytest.fixture(scope="module")
def trees(rows):
    return RandomForestRegressor(12, random_state=0).fit(*rows)


def quick_fit(rows, student=DLFRegressor, X=None, **arguments):
    """Fit for one epoch, without y: its noise does not matter here."""
    names = [name for name in ("body", "augment", "activation") if name in arguments]
    parameters = {name: arguments.pop(name) for name in names}
    return student(**QUICK, **parameters).fit(rows[0] if X is None else X, **arguments)


@pytest.mark.parametrize("student", [DLFRegressor, HydraRegressor])
def test_trees_get_an_encoding_and_smooth_members_do_not(rows, trees, ridges, student):
    of_trees = quick_fit(rows, student, ensemble=trees)
    assert of_trees.body_ == "piecewise_linear"
    assert isinstance(of_trees.student_.body, EncodedMLP)
    plain = quick_fit(rows, student, ensemble=ridges)
    assert plain.body_ == "mlp"
    assert isinstance(plain.student_.body, MLP)


def test_students_of_smooth_members_are_those_of_a_plain_body(rows, ridges):
    X = rows[0]
    chosen, plain, none = (
        quick_fit(rows, ensemble=ridges, body=body).predict(X) for body in ("auto", "mlp", None)
    )
    assert_array_equal(chosen, plain)
    assert_array_equal(none, plain)


@pytest.mark.parametrize("student", [partial(DLFClassifier, refine=False), HydraClassifier])
def test_classifiers_choose_too(rows, student):
    X, y = rows
    labels = np.digitize(y, np.quantile(y, [0.3, 0.6]))
    classifiers = RandomForestClassifier(10, random_state=0).fit(X, labels)
    fitted = quick_fit(rows, student, ensemble=classifiers)
    assert fitted.body_ == "piecewise_linear"
    assert_allclose(fitted.predict_proba(X).sum(axis=1), 1, rtol=1e-5)


def test_a_body_is_chosen_by_hand(rows, trees, ridges):
    assert quick_fit(rows, ensemble=trees, body="mlp").body_ == "mlp"
    encoded = quick_fit(rows, ensemble=ridges, body="piecewise_linear")
    assert isinstance(encoded.student_.body, EncodedMLP)
    own = quick_fit(rows, ensemble=trees, body=lambda d: torch.nn.Linear(d, 3))
    assert own.body_ == "custom"


def test_an_unknown_body_is_refused(rows, trees):
    with pytest.raises(InvalidParameterError, match="'body' parameter of DLFRegressor"):
        quick_fit(rows, ensemble=trees, body="periodic")


@pytest.mark.parametrize("argument", ["predictions", "X_ensemble"])
def test_trees_are_recognised_where_rows_are_not_made(rows, trees, argument):
    X, _ = rows
    if argument == "predictions":
        student = quick_fit(rows, predictions=member_predictions(trees, X))
    else:
        scaled = (X - 1) * 3
        student = quick_fit(rows, X=scaled, ensemble=trees, X_ensemble=X)
    assert student.body_ == "piecewise_linear"


def test_more_rows_are_made_for_trees(rows, trees):
    seen = []

    def augment(X, n_rows, random_state):
        seen.append(n_rows)
        return X[random_state.randint(len(X), size=n_rows)]

    for body in ("auto", "mlp"):
        quick_fit(rows, ensemble=trees, body=body, augment=augment)
    # Rows are also made for trial, 400 at a time.
    assert [n_rows for n_rows in seen if n_rows != 400] == [40 * 120, 4 * 120]


def test_at_the_rows_of_fit_alone_layers_are_plain_unless_an_encoding_is_chosen(rows, trees):
    assert quick_fit(rows, ensemble=trees, augment=None).body_ == "mlp"
    chosen = quick_fit(rows, ensemble=trees, augment=None, body="piecewise_linear")
    assert chosen.body_ == "piecewise_linear"


def test_layers_are_plain_where_no_made_rows_are_like_the_data(rows, trees, monkeypatch):
    monkeypatch.setattr(row_judge, "MAX_DISTANCE", 0.0)
    student = quick_fit(rows, ensemble=trees)
    assert student.augment_ is None
    assert student.body_ == "mlp"


def test_activation_follows_the_body_unless_it_is_given(rows, trees):
    def activation(**parameters):
        layers = quick_fit(rows, ensemble=trees, **parameters).student_.body
        return type(getattr(layers, "layers", layers)[1]).__name__

    assert activation() == "SiLU"
    assert activation(body="mlp") == "Swish"
    assert activation(activation="tanh") == "Tanh"


@pytest.mark.filterwarnings("ignore:X has numbers far outside")
@pytest.mark.parametrize("student", [DLFRegressor, BatchEnsembleRegressor, HydraRegressor])
def test_far_rows_are_predicted_as_the_nearest_edge_of_the_data(rows, trees, student):
    X, _ = rows
    fitted = quick_fit(rows, student, ensemble=trees)
    edge = np.clip(X[:5] + 1e9, X.min(axis=0), X.max(axis=0))
    far, near = (np.stack(fitted.predict(Z, return_std=True)) for Z in (X[:5] + 1e9, edge))
    assert np.isfinite(far).all()
    assert_allclose(far, near, rtol=1e-4)


def test_pickles_and_clones_keep_the_encoding(rows, trees):
    X, _ = rows
    student = quick_fit(rows, ensemble=trees)
    assert_array_equal(pickle.loads(pickle.dumps(student)).predict(X), student.predict(X))
    again = clone(student).fit(X, ensemble=trees)
    assert_array_equal(again.predict(X), student.predict(X))


def test_rows_of_one_value_in_a_column_are_no_obstacle(rows):
    X, y = rows
    X = np.column_stack([X[:, :3], np.ones(len(X)), X[:, 3] > 0.5])
    student = quick_fit(rows, X=X, ensemble=RandomForestRegressor(10, random_state=0).fit(X, y))
    assert np.isfinite(student.predict(X, return_std=True)).all()


def test_an_encoding_brings_the_student_nearer_to_its_trees(rows, trees):
    X, _ = rows
    new = np.random.RandomState(1).rand(500, 6)
    errors = []
    for body in ("auto", "mlp"):
        student = DLFRegressor(q=2, body=body, max_iter=8, random_state=0)
        predicted = student.fit(X, ensemble=trees).predict(new)
        errors.append(np.std(predicted - trees.predict(new)))
    assert errors[0] < 0.9 * errors[1]


def test_the_body_does_not_depend_on_the_type_of_equal_numbers():
    rng = np.random.RandomState(0)
    frame = pd.DataFrame(rng.randint(0, 20, (120, 4)), columns=list("abcd"))
    y = frame.a + frame.b**2 / 10
    bodies = set()
    for dtype in ("int64", "Int64", "Float64", "uint8"):
        X = frame.astype(dtype)
        forest = RandomForestRegressor(10, random_state=0).fit(X, y)
        bodies.add(quick_fit((X, y), ensemble=forest).body_)
    assert bodies == {"piecewise_linear"}


def test_members_are_not_asked_outside_of_the_range_of_the_data(rows):
    X, y = rows
    logarithm = FunctionTransformer(lambda values: np.log(X.max() + 1e-9 - values))
    members = make_pipeline(logarithm, RandomForestRegressor(5, random_state=0)).fit(X, y)
    assert quick_fit(rows, ensemble=members).body_ == "piecewise_linear"


@pytest.mark.parametrize("student", [DLFRegressor, HydraRegressor, BatchEnsembleRegressor])
@pytest.mark.parametrize("body_lr", [-0.1, "auto", None])
def test_a_body_lr_that_is_no_share_is_refused(rows, ridges, student, body_lr):
    with pytest.raises(InvalidParameterError, match="'body_lr' parameter"):
        student(body_lr=body_lr).fit(*rows, ensemble=ridges)


def test_a_body_lr_of_one_changes_nothing_and_of_zero_leaves_the_body(rows, ridges):
    base = torch.nn.Linear(6, 4)
    fits = [
        quick_fit(rows, partial(DLFRegressor, body_lr=lr), ensemble=ridges, body=lambda d: base)
        for lr in (1, 1.0, 0)
    ]
    plain = quick_fit(rows, ensemble=ridges, body=lambda d: base)
    for fitted in fits[:2]:
        assert_array_equal(fitted.predict(rows[0]), plain.predict(rows[0]))
    assert (plain.student_.body.weight != base.weight).any()
    assert_array_equal(fits[2].student_.body.weight, base.weight.detach())
    assert (fits[2].student_.heads.weight != plain.student_.heads.weight).any()


def test_layers_of_the_package_take_a_body_lr_too(rows, ridges):
    slow = quick_fit(rows, partial(DLFRegressor, body_lr=1e-9), ensemble=ridges)
    still = quick_fit(rows, partial(DLFRegressor, body_lr=0), ensemble=ridges)
    trained = quick_fit(rows, ensemble=ridges)
    weights = [fitted.student_.body[0].weight for fitted in (slow, still, trained)]
    assert_allclose(weights[0], weights[1], atol=1e-6)
    assert (weights[2] - weights[1]).abs().max() > 1e-3


def test_lazy_layers_learn_their_sizes(rows, ridges):
    fitted = quick_fit(rows, ensemble=ridges, body=lambda d: torch.nn.LazyLinear(3))
    assert fitted.student_.body.in_features == 6
