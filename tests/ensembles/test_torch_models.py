"""Torch modules and skorch nets as members."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import coo_matrix, csr_array
from scipy.special import expit, softmax
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from sklearn_dlf.ensembles import (
    FittedEnsemble,
    describe_ensemble,
    member_predictions,
)

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 3))
y = X[:, 0] + 0.1 * rng.normal(size=40)
frame = pd.DataFrame(X, columns=["x", "y", "z"])
read_only = X.copy()
read_only.setflags(write=False)


def make_modules(n_outputs, *layers, n_members=3):
    torch.manual_seed(0)
    return [nn.Sequential(nn.Linear(3, n_outputs), *layers) for _ in range(n_members)]


def evaluate(module, rows=X):
    with torch.no_grad():
        return module.eval()(torch.tensor(rows, dtype=torch.float32)).numpy()


# Torch modules


@pytest.mark.parametrize("rows", [read_only, X, frame, np.asfortranarray(X), X.astype(np.float32)])
def test_modules_return_values(rows):
    modules = make_modules(1)
    predictions = FittedEnsemble(modules, outputs="values").member_predictions(rows)
    assert_allclose(predictions, np.hstack([evaluate(m) for m in modules]), rtol=1e-6)


NULLABLE = pd.DataFrame(
    {
        "a": pd.array([1, 2, 3, 4] * 10, dtype="Int64"),
        "b": [True, False, True, True] * 10,
        "c": pd.array([0.5, 1.0, 1.5, 2.5] * 10, dtype="Float64"),
    }
)
AS_FLOATS = NULLABLE.astype(float).to_numpy()

CONTAINERS = {
    "mixed and nullable frame": NULLABLE,
    "objects": AS_FLOATS.astype(object),
    "long double": AS_FLOATS.astype(np.longdouble),
    "big-endian": AS_FLOATS.astype(">f8"),
    "half": AS_FLOATS.astype(np.float16),
    "polars": pl.DataFrame({name: list(NULLABLE[name]) for name in NULLABLE}),
    "sparse": csr_array(AS_FLOATS),
    "sparse matrix": coo_matrix(AS_FLOATS),
    "tensor": torch.tensor(AS_FLOATS, requires_grad=True),
    "list": AS_FLOATS.tolist(),
}


@pytest.mark.parametrize("rows", CONTAINERS.values(), ids=CONTAINERS.keys())
def test_modules_and_nets_take_numbers_of_any_container(rows):
    modules = make_modules(1)
    expected = np.hstack([evaluate(module, AS_FLOATS) for module in modules])
    predictions = FittedEnsemble(modules, outputs="values").member_predictions(rows)
    assert_allclose(predictions, expected, rtol=1e-6)
    nets = train(NeuralNetRegressor, 1, y[:, np.newaxis].astype(np.float32))
    expected = np.hstack([evaluate(net.module_, AS_FLOATS) for net in nets])
    assert_allclose(member_predictions(nets, rows), expected, rtol=1e-6)


def test_missing_numbers_reach_modules_as_nan():
    class Filling(nn.Linear):
        def forward(self, rows):
            return super().forward(rows.nan_to_num(7.0))

    modules, rows = [Filling(3, 1), Filling(3, 1)], NULLABLE.copy()
    rows.loc[3, "a"] = pd.NA
    predictions = FittedEnsemble(modules, outputs="values").member_predictions(rows)
    filled = rows.fillna(7).astype(float).to_numpy()
    assert_allclose(predictions[:, 1], evaluate(modules[1], np.float32(filled))[:, 0], rtol=1e-6)


def test_columns_that_are_no_numbers_are_named():
    rows = frame.assign(y="text", z=pd.Timestamp("2020-01-01"))
    with pytest.raises(TypeError, match=r"2 of 3 columns do not: 'y', 'z'"):
        FittedEnsemble(make_modules(1), outputs="values").member_predictions(rows)


class Looking(nn.Module):
    """Sums embeddings of codes; keeps the type of the rows that it got."""

    def __init__(self, layer):
        super().__init__()
        self.layer = nn.Sequential(layer)

    def forward(self, codes):
        embedded = self.layer(codes)
        return embedded if embedded.ndim == 2 else embedded.sum(1)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, ">i2", np.uint16, object])
@pytest.mark.parametrize("layer", [nn.Embedding, nn.EmbeddingBag])
def test_codes_stay_integers_for_modules_with_an_embedding(layer, dtype):
    codes = rng.integers(5, size=(40, 3))
    modules = [Looking(layer(5, 1)) for _ in range(2)]
    expected = [module(torch.tensor(codes)).detach().numpy()[:, 0] for module in modules]
    ensemble = FittedEnsemble(modules, outputs="values")
    assert_allclose(ensemble.member_predictions(codes.astype(dtype)), np.stack(expected, 1))


def test_codes_stay_integers_for_scripted_modules():
    codes = rng.integers(5, size=(40, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        modules = [torch.jit.script(nn.Sequential(nn.EmbeddingBag(5, 1))) for _ in range(2)]
    expected = modules[1](torch.tensor(codes)).detach().numpy()[:, 0]
    predictions = FittedEnsemble(modules, outputs="values").member_predictions(codes)
    assert_allclose(predictions[:, 1], expected)


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.int64, np.uint16])
def test_other_modules_get_integers_as_floats(dtype):
    images = rng.integers(2, size=(40, 1, 4, 4)).astype(dtype)
    modules = [nn.Sequential(nn.Conv2d(1, 1, 4), nn.Flatten()) for _ in range(2)]
    predictions = FittedEnsemble(modules, outputs="values").member_predictions(images)
    assert_allclose(predictions[:, 1], evaluate(modules[1], images)[:, 0], rtol=1e-5)


def test_a_batch_of_images_has_fewer_rows_than_one_of_a_table():
    class Counting(nn.Flatten):
        def forward(self, rows):
            sizes.append(len(rows))
            return super().forward(rows)[:, :2]

    sizes = []
    images = np.zeros((40, 3, 512, 512), dtype=np.uint8)  # 3 MiB each as float32
    FittedEnsemble([Counting(), Counting()], outputs="values").member_predictions(images)
    assert max(sizes) == 10  # 32 MiB
    assert sum(sizes) == 80
    sizes.clear()
    FittedEnsemble([Counting(), Counting()], outputs="values").member_predictions(
        np.zeros((9000, 3))
    )
    assert sizes == [8192, 808] * 2


def test_modules_of_several_outputs_keep_members_last():
    predictions = FittedEnsemble(make_modules(2), outputs="values").member_predictions(X)
    assert predictions.shape == (40, 2, 3)


def test_outputs_distinguish_logits_from_probabilities():
    modules = make_modules(4)
    by_logits = FittedEnsemble(modules, outputs="logits").member_predictions(X)
    assert_allclose(by_logits[..., 1], softmax(evaluate(modules[1]), axis=1), rtol=1e-5)
    ended = [nn.Sequential(module, nn.Softmax(dim=1)) for module in modules]
    by_probabilities = FittedEnsemble(ended, outputs="probabilities").member_predictions(X)
    assert_allclose(by_probabilities, by_logits, rtol=1e-5)
    with pytest.raises(ValueError, match=r"For logits, use .*outputs='logits'"):
        FittedEnsemble(modules, outputs="probabilities").member_predictions(X)
    with pytest.raises(ValueError, match=r"return probabilities: .* Use outputs='probabilities'"):
        FittedEnsemble(ended, outputs="logits").member_predictions(X)


def test_one_column_belongs_to_the_second_class():
    modules = make_modules(1)
    predictions = FittedEnsemble(modules, outputs="logits").member_predictions(X)
    assert_allclose(predictions[:, 1, 2], expit(evaluate(modules[2])[:, 0]), rtol=1e-5)
    ended = [nn.Sequential(module, nn.Sigmoid(), nn.Flatten(0)) for module in modules]
    by_probabilities = FittedEnsemble(ended, outputs="probabilities").member_predictions(X)
    assert_allclose(by_probabilities, predictions, rtol=1e-5)


def test_log_probabilities_are_logits():
    modules = make_modules(3)
    ended = [nn.Sequential(module, nn.LogSoftmax(dim=1)) for module in modules]
    assert_allclose(
        FittedEnsemble(ended, outputs="logits").member_predictions(X),
        FittedEnsemble(modules, outputs="logits").member_predictions(X),
        rtol=1e-5,
    )


def test_modules_are_evaluated_in_evaluation_mode_and_restored():
    modules = make_modules(1, nn.Dropout(0.5), nn.BatchNorm1d(1))
    frozen, statistics = modules[0][2].eval(), modules[1][2].running_mean.clone()
    ensemble = FittedEnsemble(modules, outputs="values")
    first, second = ensemble.member_predictions(X), ensemble.member_predictions(X)
    assert_array_equal(first, second)  # no dropout
    assert modules[0].training
    assert modules[0][1].training
    assert not frozen.training
    assert_array_equal(modules[1][2].running_mean, statistics)


def test_modules_are_restored_after_an_error():
    modules = make_modules(1)
    with pytest.raises(RuntimeError):
        FittedEnsemble(modules, outputs="values").member_predictions(X[:, :2])
    assert modules[0].training


def test_modules_leave_no_gradients():
    modules = make_modules(1)
    FittedEnsemble(modules, outputs="values").member_predictions(X)
    assert modules[0][0].weight.grad is None
    assert modules[0][0].weight.requires_grad


def test_modules_keep_their_precision_and_device():
    class Checking(nn.Linear):
        def forward(self, rows):
            assert (rows.dtype, rows.device) == (self.weight.dtype, self.weight.device)
            return super().forward(rows)

    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        modules = [Checking(3, 1, dtype=dtype) for _ in range(2)]
        FittedEnsemble(modules, outputs="values").member_predictions(X)
        assert modules[0].weight.dtype == dtype


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_modules_on_a_gpu_stay_there():
    modules = make_modules(1)
    on_cpu = FittedEnsemble(modules, outputs="values").member_predictions(X)
    for module in modules:
        module.to("cuda")
    on_gpu = FittedEnsemble(modules, outputs="values").member_predictions(X)
    assert modules[0][0].weight.is_cuda
    assert_allclose(on_gpu, on_cpu, rtol=1e-3, atol=1e-4)


def test_many_rows_are_evaluated_in_batches():
    modules, rows = make_modules(1), np.tile(X, (500, 1))
    predictions = FittedEnsemble(modules, outputs="values").member_predictions(rows)
    assert_allclose(predictions[:, 0], evaluate(modules[0], rows)[:, 0], rtol=1e-5, atol=1e-6)


def test_ensembles_of_modules_pickle():
    ensemble = FittedEnsemble(make_modules(3), outputs="logits", classes=["a", "b", "c"])
    copy = pickle.loads(pickle.dumps(ensemble))
    assert_array_equal(copy.member_predictions(X), ensemble.member_predictions(X))
    assert_array_equal(copy.classes_, ["a", "b", "c"])


def test_classes_of_modules_exist_only_if_given():
    ensemble = FittedEnsemble(make_modules(3), outputs="logits")
    assert ensemble.kind == "classifier"
    with pytest.raises(
        AttributeError, match=r"give the labels with FittedEnsemble\(..., classes=...\)"
    ):
        _ = ensemble.classes_
    with pytest.raises(ValueError, match=r"3 columns of probabilities, expected 2"):
        FittedEnsemble(make_modules(3), outputs="logits", classes=[0, 1]).member_predictions(X)


@pytest.mark.parametrize("models", [make_modules(1), make_modules(1)[0]])
def test_modules_without_outputs_or_a_list_raise(models):
    with pytest.raises(TypeError, match=r"FittedEnsemble\(.*outputs=\.\.\."):
        member_predictions(models, X)


def test_a_module_that_returns_a_tuple_raises():
    class Two(nn.Linear):
        def forward(self, rows):
            return super().forward(rows), rows

    with pytest.raises(TypeError, match="Two returned a tuple, expected one tensor"):
        FittedEnsemble([Two(3, 1), Two(3, 1)], outputs="values").member_predictions(X)


# Skorch nets


def train(net_class, n_outputs, targets, **options):
    options = {"max_epochs": 2, "train_split": None, "verbose": 0, **options}
    nets = [
        net_class(nn.Linear, module__in_features=3, module__out_features=n_outputs, **options)
        for _ in range(2)
    ]
    return [net.fit(X.astype(np.float32), targets) for net in nets]


@pytest.mark.parametrize("rows", [X, frame])
def test_skorch_regressors_receive_float32_arrays(rows):
    nets = train(NeuralNetRegressor, 1, y[:, np.newaxis].astype(np.float32))
    expected = np.hstack([net.predict(X.astype(np.float32)) for net in nets])
    assert_allclose(member_predictions(nets, rows), expected)


def test_skorch_classifiers_return_probabilities():
    labels = np.array(["a", "b", "c"])[rng.integers(3, size=40)]
    codes = np.unique(labels, return_inverse=True)[1]
    nets = train(NeuralNetClassifier, 3, codes, criterion=nn.CrossEntropyLoss)
    predictions = member_predictions(nets, X)
    assert_allclose(predictions[..., 1], softmax(evaluate(nets[1].module_), axis=1), rtol=1e-5)
    assert_array_equal(describe_ensemble(nets).classes, [0, 1, 2])


def test_skorch_binary_classifiers_return_two_columns():
    nets = train(NeuralNetBinaryClassifier, 1, (y > 0).astype(np.float32))
    predictions = member_predictions(nets, X)
    assert_allclose(predictions[:, 1, 0], expit(evaluate(nets[0].module_)[:, 0]), rtol=1e-5)


@pytest.mark.parametrize("steps", [[StandardScaler()], []])
def test_skorch_nets_in_pipelines_receive_float32_too(steps):
    fitted = [step.fit(X) for step in steps]
    rows = fitted[0].transform(X) if fitted else X
    labels = np.array([0, 1, 2])[rng.integers(3, size=40)]
    for nets in (
        train(NeuralNetRegressor, 1, y[:, np.newaxis].astype(np.float32)),
        train(NeuralNetClassifier, 3, labels, criterion=nn.CrossEntropyLoss),
    ):
        pipelines = [make_pipeline(*fitted, net) for net in nets]
        assert_allclose(member_predictions(pipelines, X), member_predictions(nets, rows))


def test_skorch_nets_of_no_kind_need_outputs():
    nets = train(NeuralNet, 1, y[:, np.newaxis].astype(np.float32), criterion=nn.MSELoss)
    with pytest.raises(TypeError, match="is neither a regressor nor a classifier"):
        member_predictions(nets, X)
    predictions = FittedEnsemble(nets, outputs="values").member_predictions(X)
    assert_allclose(predictions[:, 0], evaluate(nets[0].module_)[:, 0], rtol=1e-5)
    predictions = FittedEnsemble(nets, outputs="logits").member_predictions(X)
    assert_allclose(predictions[:, 1, 0], expit(evaluate(nets[0].module_)[:, 0]), rtol=1e-5)


def test_a_skorch_net_that_is_not_fitted_raises():
    nets = [NeuralNetRegressor(nn.Linear) for _ in range(2)]
    with pytest.raises(ValueError, match=r"Model 0 \(NeuralNetRegressor\) is not fitted"):
        member_predictions(nets, X)


def test_a_net_that_was_loaded_and_not_fitted_is_told_how_it_gets_its_classes():
    net = NeuralNetClassifier(torch.nn.Linear(2, 3), criterion=torch.nn.CrossEntropyLoss)
    with pytest.raises(ValueError, match=r"by initialize and load_params.*classes=\[.*module_"):
        FittedEnsemble([net.initialize(), net], classes=range(3))
