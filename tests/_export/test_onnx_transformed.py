"""Every way back of a transformed y that a file of ONNX holds."""

import numpy as np
import pytest
from every_student import BRIEF
from numpy.testing import assert_allclose
from scipy import special
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)

from sklearn_dlf import DLFRegressor
from sklearn_dlf._export.onnx_transformed import FUNCTIONS

pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# Functions and the way back of each, for values between 0 and 1.
WAYS_BACK = {
    np.exp: np.log,
    np.log: np.exp,
    np.sqrt: np.square,
    np.reciprocal: np.reciprocal,
    np.negative: np.negative,
    np.tanh: np.arctanh,
    special.expit: special.logit,
    np.expm1: np.log1p,
    np.log1p: np.expm1,
    np.square: np.sqrt,
    np.exp2: np.log2,
    np.log2: np.exp2,
    np.log10: special.exp10,
    special.exp10: np.log10,
}
LOG = FunctionTransformer(np.log, np.exp)
TRANSFORMERS = {
    "Box-Cox": PowerTransformer("box-cox"),
    "Box-Cox, not standardised": PowerTransformer("box-cox", standardize=False),
    "Yeo-Johnson": PowerTransformer(),
    "largest value, then the logarithm": make_pipeline(MaxAbsScaler(), LOG),
    "range, then a power": make_pipeline(MinMaxScaler((1, 2)), PowerTransformer()),
    "logarithm, then quartiles": make_pipeline(LOG, RobustScaler()),
    "logarithm, then centred": make_pipeline(LOG, RobustScaler(with_scaling=False)),
    "logarithm, then scaled": make_pipeline(LOG, StandardScaler(with_mean=False)),
    "nothing, then the logarithm": make_pipeline("passthrough", FunctionTransformer(), LOG),
}


def make_student(transformer):
    """Return a student of ridge regressions of transformed values, its rows and new ones."""
    rng = np.random.RandomState(0)
    X = rng.standard_normal((80, 3))
    y = special.expit(0.7 * X[:, 0] - 0.3 * X[:, 1] + 0.2 * rng.standard_normal(80))
    models = []
    for _ in range(6):
        rows = rng.randint(80, size=80)
        model = TransformedTargetRegressor(Ridge(), transformer=transformer).fit(X, y)
        model.regressor_.fit(X[rows], model.transformer_.transform(y[rows, None])[:, 0])
        models.append(model)
    return DLFRegressor(**BRIEF).fit(X, y, ensemble=models), 1.3 * X[::-1]


def check_file(student, X, path):
    """Fail if mean, spread or quantiles of a file are not those of the student."""
    student.to_onnx(path, outputs=["mean", "std", "quantiles"], quantiles=(0.1, 0.5, 0.9))
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    mean, std, quantiles = session.run(["mean", "std", "quantiles"], {"X": X})
    expected_mean, expected_std = student.predict(X, return_std=True)
    assert_allclose(mean[:, 0], expected_mean, rtol=1e-5)
    assert_allclose(std[:, 0], expected_std, rtol=1e-5)
    assert_allclose(quantiles[:, 0], student.predict_quantiles(X, (0.1, 0.5, 0.9)), rtol=1e-5)


def test_all_functions_are_tested():
    assert set(WAYS_BACK) == set(FUNCTIONS)


@pytest.mark.parametrize("way_back", WAYS_BACK, ids=lambda function: function.__name__)
def test_functions(way_back, tmp_path):
    transformer = FunctionTransformer(WAYS_BACK[way_back], way_back)
    student, X = make_student(transformer)
    assert student.target_transformation_ is not None
    check_file(student, X, tmp_path / "student.onnx")


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers(name, tmp_path):
    student, X = make_student(TRANSFORMERS[name])
    assert student.target_transformation_ is not None
    check_file(student, X, tmp_path / "student.onnx")


@pytest.mark.parametrize(
    ("function", "way_back", "what"),
    [(np.cbrt, lambda y: y**3, "<lambda>"), (np.arcsinh, np.sinh, "sinh")],
)
def test_other_functions_are_refused_by_name(function, way_back, what, tmp_path):
    student, _ = make_student(FunctionTransformer(function, way_back))
    with pytest.raises(ValueError, match=f"inverse_func={what}.*outputs='draws'"):
        student.to_onnx(tmp_path / "student.onnx")
