"""Each output of y has a transformer of its own: values, files, and what is refused."""

import pickle

import numpy as np
import pytest
from every_student import BRIEF
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, logit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PowerTransformer, StandardScaler

from sklearn_dlf import DLFRegressor, load_student, save_student
from sklearn_dlf._predictive.output_transformers import OutputTransformers
from sklearn_dlf._predictive.transformed_target import TargetTransformer
from sklearn_dlf.ensembles import FittedEnsemble

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

LOG = FunctionTransformer(np.log, np.exp)
LOGIT = FunctionTransformer(logit, expit)
RNG = np.random.RandomState(0)
X = RNG.uniform(-1, 1, (120, 4))
WEIGHTS = 0.1 * RNG.standard_normal((10, 4, 3))


def member(weights, rows):
    """A positive output, a share, and one that is positive at all rows of `fit`."""
    signal = rows[:, :3] + rows @ weights
    return np.column_stack([np.exp(signal[:, 0]), expit(signal[:, 1]), signal[:, 2] + 4])


MEMBERS = [lambda rows, weights=weights: member(weights, rows) for weights in WEIGHTS]
Y = np.mean([each(X) for each in MEMBERS], axis=0) * np.exp(0.05 * RNG.standard_normal((120, 3)))
Y[:, 1] = np.minimum(Y[:, 1], 0.99)


@pytest.fixture(scope="module")
def student():
    ensemble = FittedEnsemble(MEMBERS, outputs="values", transformer=[LOG, LOGIT, None])
    return DLFRegressor(**BRIEF).fit(X, Y, ensemble=ensemble, unseen=True)


def test_columns_go_through_their_own_transformers_and_back():
    fitted = make_pipeline(LOG, StandardScaler()).fit(Y[:, :1])
    both = OutputTransformers([fitted, LOGIT, None])
    values = both.transform(Y)
    assert_allclose(values[:, 0], fitted.transform(Y[:, :1])[:, 0])
    assert_allclose(values[:, 1], logit(Y[:, 1]))
    assert_array_equal(values[:, 2], Y[:, 2])
    assert_allclose(both.inverse_transform(values), Y)


def test_transformers_are_the_same_if_each_of_them_is():
    first, second, third = (
        TargetTransformer(OutputTransformers(each)) for each in ([LOG, None], [LOG, None], [None])
    )
    assert first.same_as(second)
    assert not first.same_as(third)


def test_only_outputs_that_are_transformed_keep_their_sign(student):
    low, high = student.target_transformation_.support
    assert_array_equal(low, [0, 0, -np.inf])
    assert_array_equal(high, np.full(3, np.inf))
    elsewhere = X - [0, 0, 30, 0]
    with pytest.warns(UserWarning, match="far outside of those of fit"):
        interval = student.predict_interval(elsewhere)
    assert (interval[:, :2] >= 0).all()
    assert (interval[:, 2] < 0).any()


def test_a_file_of_onnx_has_each_way_back(student, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    ensemble = FittedEnsemble(
        MEMBERS,
        outputs="values",
        transformer=[make_pipeline(LOG, StandardScaler()).fit(Y[:, :1]), LOGIT, None],
    )
    power = PowerTransformer("box-cox").fit(Y[:, :1])
    powers = FittedEnsemble(MEMBERS, outputs="values", transformer=[power, None, LOG])
    others = (
        DLFRegressor(**BRIEF).fit(X, Y, ensemble=each, unseen=True) for each in (ensemble, powers)
    )
    for each in (student, *others):
        each.to_onnx(tmp_path / "student.onnx", outputs=["mean", "std", "quantiles"])
        session = runtime.InferenceSession(str(tmp_path / "student.onnx"))
        mean, std, quantiles = session.run(["mean", "std", "quantiles"], {"X": X})
        for found, expected in zip((mean, std), each.predict(X, return_std=True), strict=True):
            assert_allclose(found, expected, rtol=1e-5)
        assert_allclose(quantiles, each.predict_quantiles(X), rtol=1e-5)


def test_draws_are_all_that_members_are_drawn_from(student, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    for outputs, further in ((["draws"], []), (["std", "draws", "loadings"], ["std"])):
        student.to_onnx(tmp_path / "student.onnx", outputs=outputs)
        session = runtime.InferenceSession(str(tmp_path / "student.onnx"))
        names = {each.name for each in session.get_outputs()}
        assert names == {"latent_mean", "loadings", "shared_noise", "own_noise", *further}


def test_files_and_pickles_keep_them(student, tmp_path):
    save_student(student, tmp_path / "student.safetensors")
    for again in (
        load_student(tmp_path / "student.safetensors"),
        pickle.loads(pickle.dumps(student)),
    ):
        assert_array_equal(again.predict(X), student.predict(X))
        assert_array_equal(again.predict_interval(X), student.predict_interval(X))


def test_another_number_of_outputs_is_refused():
    ensemble = FittedEnsemble(MEMBERS, outputs="values", transformer=[LOG, None])
    with pytest.raises(ValueError, match=r"has 2 transformers, one for each output, and 3 output"):
        DLFRegressor(**BRIEF).fit(X, Y, ensemble=ensemble)


def test_what_cannot_transform_is_refused():
    with pytest.raises(TypeError, match=r"transformer must have transform and inverse.*got 'log'"):
        FittedEnsemble(MEMBERS, outputs="values", transformer=[LOG, "log", None])
