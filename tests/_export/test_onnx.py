"""Students as ONNX files, run by onnxruntime: they predict what the student predicts."""

import copy
import json

import numpy as np
import pandas as pd
import pytest
from every_student import (
    BRIEF,
    FACTOR_CLASSIFIERS,
    FACTOR_REGRESSORS,
    make_frame,
    make_rows,
    make_student,
)
from numpy.testing import assert_allclose

from sklearn_dlf import DLFRegressor

pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

RTOL = 1e-5
LEVELS = (0.1, 0.5, 0.8)
REFUSED = "quantiles"  # the kind whose transformation of y no file holds
REGRESSORS = [kind for kind in FACTOR_REGRESSORS if kind != REFUSED]

# Students that are trained briefly may have noise of y without a variance.
pytestmark = pytest.mark.filterwarnings("ignore:y has no variance")


def open_file(student, path, **options):
    """Write a student, and return what runs the file."""
    student.to_onnx(path, **options)
    return runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def as_inputs(session, X):
    """Return rows as a file takes them."""
    if [each.name for each in session.get_inputs()] == ["X"]:
        return {"X": np.asarray(X, dtype=np.float64)}
    kinds = json.loads(session.get_modelmeta().custom_metadata_map["inputs"])
    inputs = {}
    for (name, kind), column in zip(kinds.items(), X.columns, strict=True):
        values = X[column]
        if kind == "category":
            inputs[name] = values.astype(object).where(values.notna(), "").to_numpy(dtype=object)
        elif kind == "date":
            inputs[name] = ((values - pd.Timestamp(0)) / pd.Timedelta(days=1)).to_numpy()
        else:
            inputs[name] = values.to_numpy(dtype=np.float64)
    return inputs


def run(session, X):
    """Return the outputs by name."""
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(None, as_inputs(session, X)), strict=True))


def columns(values):
    """Return what a student predicts, with an axis of outputs."""
    return values[:, None] if values.ndim == 1 else values


def new_rows(X):
    """Return rows that are not those of fit, some of them far from these."""
    return X if isinstance(X, pd.DataFrame) else 1.7 * X[::-1] + 0.1


@pytest.mark.parametrize("kind", REGRESSORS)
def test_values_are_those_of_the_student(kind, tmp_path):
    student, X = make_student(kind)
    X = new_rows(X)
    found = run(open_file(student, tmp_path / "student.onnx", quantiles=LEVELS), X)
    mean, std = (columns(each) for each in student.predict(X, return_std=True))
    assert_allclose(found["mean"], mean, rtol=RTOL)
    assert_allclose(found["std"], std, rtol=RTOL)
    has_noise, is_conformal = (
        student.target_noise_ is not None,
        hasattr(student, "conformal_scores_"),
    )
    assert ("quantiles" in found) == (has_noise or is_conformal)
    if "quantiles" in found:
        expected = student.predict_quantiles(X, LEVELS).reshape(len(X), -1, len(LEVELS))
        assert_allclose(found["quantiles"], expected, rtol=RTOL)
    transformation = student.target_transformation_
    is_linear = transformation is None or transformation.is_linear
    assert ("aleatoric" in found) == (has_noise and is_linear)
    if "aleatoric" in found:
        parts = student.predict_uncertainty(X)
        assert_allclose(found["aleatoric"], columns(parts.aleatoric), rtol=RTOL)
        assert_allclose(found["epistemic"], columns(parts.epistemic), rtol=RTOL)


@pytest.mark.parametrize("shape", [np.inf, 3.0])
def test_skewed_noise_is_that_of_the_student(shape, tmp_path):
    student, X = copy.deepcopy(make_student("several"))
    X = new_rows(X)
    noise = student.target_noise_.with_skewness([1.6, 0.8, 1.0])
    noise.shape = np.array([shape, 2.5, 2.5])
    noise.bias = noise.scale**0.5 * [0.5, 0.0, -0.5]
    student.target_noise_ = noise
    found = run(open_file(student, tmp_path / "student.onnx", quantiles=LEVELS), X)
    assert_allclose(found["quantiles"], student.predict_quantiles(X, LEVELS), rtol=RTOL, atol=1e-9)
    parts = student.predict_uncertainty(X)
    assert_allclose(found["aleatoric"], parts.aleatoric, rtol=RTOL)
    student.conformalize(X, student.predict(X) + 0.1)
    found = run(open_file(student, tmp_path / "conformal.onnx", quantiles=LEVELS), X)
    assert_allclose(found["quantiles"], student.predict_quantiles(X, LEVELS), rtol=RTOL)


@pytest.mark.parametrize("kind", FACTOR_CLASSIFIERS)
def test_probabilities_are_those_of_the_student(kind, tmp_path):
    student, X = make_student(kind)
    X = new_rows(X)
    session = open_file(student, tmp_path / "student.onnx")
    found = run(session, X)
    assert_allclose(found["probabilities"], student.predict_proba(X), rtol=RTOL)
    classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    assert classes == student.classes_.tolist()
    assert ("epistemic" in found) == (kind == "binary")
    if kind == "binary":
        parts = student.predict_uncertainty(X)
        assert_allclose(found["aleatoric"], parts.aleatoric, rtol=RTOL)
        assert_allclose(found["epistemic"], parts.epistemic, rtol=RTOL, atol=1e-12)


@pytest.mark.parametrize("kind", [*REGRESSORS, *FACTOR_CLASSIFIERS])
def test_draws_have_the_members_covariance_at_and_between_rows(kind, tmp_path):
    student, X = make_student(kind)
    found = run(open_file(student, tmp_path / "student.onnx"), X)
    parameters = student.latent_parameters(X)
    assert_allclose(found["latent_mean"], parameters.mean, rtol=RTOL)
    loadings, own = found["loadings"], found["own_noise"]
    shared = found.get("shared_noise", np.zeros((*own.shape, 0)))
    within = loadings @ loadings.swapaxes(1, 2) + shared @ shared.swapaxes(1, 2)
    outputs = np.arange(own.shape[1])
    within[:, outputs, outputs] += own**2
    scale = np.abs(parameters.member_cov).max()
    assert_allclose(within, parameters.member_cov, rtol=RTOL, atol=RTOL * scale)
    between = np.einsum("icq,jdq->ijcd", loadings[:5], loadings[:5])
    if "mixing" in parameters:
        common = np.einsum("iq,jq->ij", parameters.loadings[:5], parameters.loadings[:5])
        expected = common[..., None, None] * (parameters.mixing @ parameters.mixing.T)
    else:
        expected = np.einsum("icq,jdq->ijcd", parameters.loadings[:5], parameters.loadings[:5])
    assert_allclose(between, expected, rtol=RTOL, atol=RTOL * scale)


def test_unknown_rare_and_missing_values_are_read_as_the_student_reads_them(tmp_path):
    student, _ = make_student("frame")
    frame = make_frame()[:6].reset_index(drop=True)
    frame["town"] = frame["town"].astype(object)
    frame.loc[0, ["kind", "town"]] = "never seen"
    frame.loc[1, "kind"] = None
    frame.loc[2, "rooms"] = np.nan
    frame.loc[3, "day"] = pd.NaT
    frame["sold"] = frame["sold"].astype(float)
    found = run(open_file(student, tmp_path / "student.onnx", outputs=["mean"]), frame)
    with pytest.warns(UserWarning, match="no gap in fit"):
        expected = student.predict(frame)
    assert_allclose(found["mean"][:, 0], expected, rtol=RTOL)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_column_may_have_the_name_of_an_output(tmp_path):
    X = make_rows()
    frame = pd.DataFrame({"mean": X[:, 0], "X": np.where(X[:, 1] > 0, "u", "v")})
    student = DLFRegressor(**BRIEF)
    student.fit(frame, predictions=X[:, :1] * np.arange(1, 5) + X[:, 1:2])
    found = run(open_file(student, tmp_path / "student.onnx"), frame)
    assert_allclose(found["mean"][:, 0], student.predict(frame), rtol=RTOL)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [*REGRESSORS, *FACTOR_CLASSIFIERS])
def test_a_row_of_numbers_that_is_not_finite_spoils_its_own_outputs_only(kind, value, tmp_path):
    student, X = make_student(kind)
    if student.preprocessor_ is not None:
        pytest.skip("reads gaps")
    session = open_file(student, tmp_path / "student.onnx")
    X = np.array(X[:5])
    expected = run(session, X)
    X[2, 1] = value
    for name, found in run(session, X).items():
        assert np.isnan(found[2]).all(), name
        assert_allclose(np.delete(found, 2, 0), np.delete(expected[name], 2, 0), err_msg=name)


def test_one_output_and_one_level_need_no_list(tmp_path):
    student, X = make_student("several")
    session = open_file(student, tmp_path / "one.onnx", outputs="quantiles", quantiles=0.5)
    found = run(session, X)
    assert_allclose(found["quantiles"], student.predict_quantiles(X, 0.5), rtol=RTOL)


def test_a_file_holds_the_outputs_that_are_asked_for_and_no_more(tmp_path):
    student = make_student("several")[0]
    session = open_file(student, tmp_path / "one.onnx", outputs=["std"])
    assert [each.name for each in session.get_outputs()] == ["std"]
    student.to_onnx(tmp_path / "all.onnx")
    sizes = [(tmp_path / name).stat().st_size for name in ("one.onnx", "all.onnx")]
    assert sizes[0] < sizes[1] / 2


def test_preprocessed_numbers_take_the_place_of_columns(tmp_path):
    student, X = make_student("frame")
    numbers = student.preprocessor_.transform(X)
    session = open_file(student, tmp_path / "student.onnx", outputs="mean", preprocessed=True)
    [mean] = session.run(None, {"X": numbers})
    assert_allclose(mean[:, 0], student.predict(X), rtol=RTOL)


def test_what_a_file_cannot_hold_is_refused_with_the_way_out(tmp_path):
    path = tmp_path / "student.onnx"
    with pytest.raises(ValueError, match=r"torch\.onnx\.export\(student\.student_"):
        make_student("own_body")[0].to_onnx(path)
    student, X = make_student(REFUSED)
    with pytest.raises(ValueError, match=r"QuantileTransformer.*outputs='draws'"):
        student.to_onnx(path)
    found = run(open_file(student, path, outputs=["latent_mean"]), X)
    assert_allclose(found["latent_mean"], student.latent_parameters(X).mean, rtol=RTOL)
    with pytest.raises(ValueError, match="'epistemic' is not available: with 4 classes"):
        make_student("multiclass")[0].to_onnx(path, outputs=["epistemic"])
    with pytest.raises(ValueError, match="'quantiles' is not available: fit was called without y"):
        make_student("without_y")[0].to_onnx(path, outputs=["quantiles"])
    with pytest.raises(ValueError, match=r"outputs must be some of mean, .*; got \['label'\]"):
        student.to_onnx(path, outputs=["label"])
    with pytest.raises(TypeError, match="path must be a string or a path; got 3"):
        student.to_onnx(3)
