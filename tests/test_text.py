"""Sentences as rows: ids of tokens, pipelines and searches, and pre-trained transformers."""

import json
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from grammar import (
    LENGTH,
    SmallTransformer,
    make_sentences,
    members_of,
    save_small_transformer,
)
from numpy.testing import assert_allclose, assert_array_equal
from raw_rows import conv_body, images, softmax
from raw_rows import members_of as members_of_images
from sklearn import config_context
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from torch import nn

from sklearn_dlf import DLFClassifier
from sklearn_dlf.ensembles import FittedEnsemble, member_predictions
from sklearn_dlf.text import PretrainedBody, SentenceTokenizer

BRIEF = {"max_iter": 3, "refine": 2, "lr": 0.02, "random_state": 0}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

TEACHER = FittedEnsemble(members_of, outputs="logits", n_members=5, classes=["bad", "good"])


def test_words_that_fit_has_seen_have_ids_and_others_share_one():
    tokenizer = SentenceTokenizer(max_length=4, min_count=2).fit([["A b, a"], ["b a c"]])
    assert tokenizer.vocabulary_ == {"a": 2, "b": 3}
    assert tokenizer.n_tokens_ == 4
    assert_array_equal(tokenizer.transform(["b z a", "a a a a a a"]), [[3, 1, 2, 0], [2, 2, 2, 2]])
    assert tokenizer.transform(np.array(["b"])).dtype == np.int64


def test_columns_of_a_row_are_joined():
    pd = pytest.importorskip("pandas")
    tokenizer = SentenceTokenizer(max_length=4)
    frame = pd.DataFrame({"first": ["a b", "c"], "second": ["c", "a"]})
    found = tokenizer.fit_transform(frame)
    assert tokenizer.n_features_in_ == 2
    assert_array_equal((found != 0).sum(axis=1), [3, 2])


@pytest.mark.parametrize("X", [[1, 2], np.zeros((2, 2, 2)), [["a"], [None]]])
def test_rows_that_are_no_strings_are_refused(X):
    with pytest.raises(ValueError, match="takes strings"):
        SentenceTokenizer().fit(X)


def test_a_tokenizer_survives_clone_and_pickle():
    tokenizer = SentenceTokenizer(max_length=3).fit(["a b c"])
    assert clone(tokenizer).get_params() == tokenizer.get_params()
    again = pickle.loads(pickle.dumps(tokenizer))
    assert_array_equal(again.transform(["b"]), tokenizer.transform(["b"]))


def test_a_tokenizer_of_a_file_is_read(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    model = tokenizers.models.WordLevel({"[PAD]": 0, "[UNK]": 1, "film": 2}, unk_token="[UNK]")
    own = tokenizers.Tokenizer(model)
    own.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    own.save(str(tmp_path / "tokenizer.json"))
    for path in (tmp_path, tmp_path / "tokenizer.json"):
        tokenizer = SentenceTokenizer(path, max_length=3).fit(["film"])
        assert_array_equal(tokenizer.transform(["a film"]), [[1, 2, 0]])
    with pytest.raises(ValueError, match=r"There is no tokenizer .*missing"):
        SentenceTokenizer(tmp_path / "missing").fit(["film"])
    with pytest.raises(TypeError, match="tokenizer must be a string or a path; got 3"):
        SentenceTokenizer(3).fit(["film"])
    (tmp_path / "tokenizer.json").write_text("a tokenizer")
    with pytest.raises(ValueError, match="file of tokenizer is none"):
        SentenceTokenizer(tmp_path).fit(["film"])


def sentence_student(**params):
    return DLFClassifier(body=SmallTransformer, preprocessor=None, **{**BRIEF, **params})


def test_students_learn_sentences_in_a_pipeline():
    X, _ = make_sentences(300)
    pipeline = make_pipeline(
        SentenceTokenizer(max_length=LENGTH), sentence_student(q=2, max_iter=8, refine=8)
    )
    pipeline.fit(X, dlfclassifier__ensemble=TEACHER, dlfclassifier__X_ensemble=X)
    X_test, moods = make_sentences(200, seed=1)
    wanted = softmax(members_of(X_test)).mean(axis=-1)
    found = pipeline.predict_proba(X_test)
    assert np.abs(found - wanted).mean() < 0.06
    assert (pipeline.predict(X_test) == np.where(moods > 0, "good", "bad")).mean() > 0.95


def test_the_teacher_of_a_preprocessor_gets_the_sentences():
    X, _ = make_sentences(80)
    student = sentence_student(q=1, refine=False).set_params(
        preprocessor=SentenceTokenizer(max_length=LENGTH)
    )
    student.fit(X, ensemble=TEACHER)
    assert student.predict_proba(X).shape == (80, 2)
    again = pickle.loads(pickle.dumps(student))
    assert_allclose(again.predict_proba(X), student.predict_proba(X), rtol=1e-6)


def test_ids_in_frames_give_the_same_student():
    X, _ = make_sentences(80)
    own = sentence_student(q=1, refine=False)
    own.set_params(preprocessor=SentenceTokenizer(max_length=LENGTH))
    pipeline = make_pipeline(SentenceTokenizer(max_length=LENGTH), sentence_student(q=1))
    pipeline.set_params(dlfclassifier__refine=False).set_output(transform="pandas")
    wanted = clone(own).fit(X, ensemble=TEACHER).predict_proba(X)
    with config_context(transform_output="pandas"):
        found = own.fit(X, ensemble=TEACHER).predict_proba(X)
    pipeline.fit(X, dlfclassifier__ensemble=TEACHER, dlfclassifier__X_ensemble=X)
    assert_array_equal(found, wanted)
    assert pipeline[-1].feature_names_in_[0] == "token0"
    assert pipeline.predict_proba(X).shape == (80, 2)


def test_a_search_over_q_on_sentences():
    X, moods = make_sentences(90)
    y = np.where(moods > 0, "good", "bad")
    student = sentence_student(refine=1).set_params(
        ensemble=TEACHER, preprocessor=SentenceTokenizer(max_length=LENGTH)
    )
    search = GridSearchCV(
        Pipeline([("student", student)]),
        {"student__q": [1, 2, 3]},
        cv=2,
        scoring="neg_log_loss",
        error_score="raise",
    ).fit(X, y)
    assert len(set(search.cv_results_["mean_test_score"])) == 3
    assert search.best_estimator_[0].q_ == search.best_params_["student__q"]
    assert search.score(X, y) > -np.log(2)


def test_a_search_over_q_on_images():
    X, _ = images(90)
    ensemble = FittedEnsemble(members_of_images, outputs="logits", n_members=6)
    y = ensemble.member_predictions(X).mean(axis=-1).argmax(axis=1)
    student = DLFClassifier(ensemble, body=conv_body, **BRIEF)
    search = GridSearchCV(
        student, {"q": [1, 3]}, cv=2, scoring="neg_log_loss", error_score="raise"
    ).fit(X, y)
    assert len(set(search.cv_results_["mean_test_score"])) == 2
    assert search.best_estimator_.predict_proba(X).shape == (90, 3)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A folder with a small transformer of random weights, as transformers writes it."""
    for package in ("transformers", "tokenizers"):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("pretrained")
    save_small_transformer(folder)
    return str(folder)


def test_features_of_a_transformer_are_means_over_tokens(pretrained):
    body = PretrainedBody(pretrained, n_layers=2)(LENGTH).eval()
    assert len(body.model.encoder.layer) == 2
    X = torch.tensor([[3, 4, 5, 0, 0, 0, 0, 0], [6, 7, 8, 9, 2, 0, 0, 0]])
    one = body.model(input_ids=X[:1, :3], attention_mask=torch.ones(1, 3)).last_hidden_state
    assert_allclose(body(X)[0].detach(), one[0].mean(dim=0).detach(), rtol=1e-4, atol=1e-5)


def test_adapters_are_trained_and_the_transformer_is_not(pretrained):
    pytest.importorskip("peft")
    body = PretrainedBody(pretrained, rank=2)(LENGTH)
    trained = [name for name, each in body.named_parameters() if each.requires_grad]
    assert len(trained) == 2 * 2 * 3  # both matrices, of query and value, in three layers
    assert all("lora" in name for name in trained)


@pytest.mark.parametrize("n_layers", [0, 4])
def test_a_transformer_has_as_many_layers_as_are_kept(pretrained, n_layers):
    with pytest.raises(ValueError, match=f"n_layers={n_layers} was given; expected 1 to 3"):
        PretrainedBody(pretrained, n_layers=n_layers)(LENGTH)


def test_a_folder_that_is_missing_is_named():
    pytest.importorskip("transformers")
    with pytest.raises(ValueError, match="There is no folder sklearn_dlf/nowhere"):
        PretrainedBody("sklearn_dlf/nowhere")(LENGTH)


def test_a_saved_student_of_adapters_names_its_base_and_is_small(pretrained, tmp_path):
    pytest.importorskip("peft")
    safetensors = pytest.importorskip("safetensors")
    from sklearn_dlf import load_student, save_student

    X, _ = make_sentences(60)
    ids = SentenceTokenizer(max_length=LENGTH).fit_transform(X)
    student = DLFClassifier(q=1, body=PretrainedBody(pretrained, rank=2), preprocessor=None)
    student.set_params(**BRIEF).fit(ids, predictions=members_of(X), outputs="logits")
    path = tmp_path / "student.safetensors"
    save_student(student, path)
    with safetensors.safe_open(path, framework="numpy") as file:
        record = json.loads(file.metadata()["sklearn_dlf"])["body"]
    names = [pair[0] for pair in record["tensors"]["dict"]]
    assert len(names) == 12
    assert all("lora" in name for name in names)
    assert record["made_by"]["fields"]["folder"] == pretrained
    assert_array_equal(load_student(path).predict_proba(ids), student.predict_proba(ids))


def test_columns_of_sentences_are_those_of_fit():
    tokenizer = SentenceTokenizer(max_length=4).fit([["a b", "c"]])
    with pytest.raises(ValueError, match="2 columns of sentences, as in fit; got 1"):
        tokenizer.transform(["a b"])
    with pytest.raises(ValueError, match="max_length"):
        SentenceTokenizer(max_length=0).fit(["a"])


def test_ids_without_a_body_that_reads_them_give_a_warning():
    X, _ = make_sentences(40)
    student = DLFClassifier(
        q=1, preprocessor=SentenceTokenizer(max_length=LENGTH), max_iter=1, n_epochs=1
    )
    with pytest.warns(UserWarning, match="ids are taken for numbers, whose order means nothing"):
        student.fit(X, predictions=members_of(X), outputs="logits")


def test_a_teacher_of_strings_reads_a_column():
    X, moods = make_sentences(80)
    strings, y = np.ravel(X).astype(object), np.asarray(moods) > 0
    models = [
        make_pipeline(CountVectorizer(), LogisticRegression(C=c)).fit(strings, y) for c in (1, 9)
    ]
    wanted = member_predictions(models, list(strings))
    columns = strings[:, None], pd.DataFrame({"text": strings})
    for column in columns:
        assert_array_equal(member_predictions(models, column), wanted)
        assert_array_equal(member_predictions([FrozenEstimator(m) for m in models], column), wanted)
        assert_array_equal(member_predictions(models, column[:1]), wanted[:1])
        student = sentence_student(q=1, refine=False)
        student.set_params(preprocessor=SentenceTokenizer(max_length=LENGTH))
        student.fit(column, y, ensemble=models)
        others = (list(strings), strings, pd.Series(strings))
        for rows in others if isinstance(column, np.ndarray) else ():  # without names
            assert_array_equal(student.predict(rows), student.predict(column))


def test_rows_at_which_the_body_is_not_finite_are_named():
    class Mean(nn.Module):
        def __init__(self, shape):
            super().__init__()
            self.tokens = nn.Embedding(100, 4)

        def forward(self, ids):
            weights = (ids != 0).float()[..., None]
            return (self.tokens(ids) * weights).sum(dim=1) / weights.sum(dim=1)

    X, _ = make_sentences(60)
    tokenizer = SentenceTokenizer(max_length=LENGTH)
    student = sentence_student(q=1, refine=False).set_params(preprocessor=tokenizer, body=Mean)
    student.fit(X, ensemble=TEACHER)
    rows = np.append(X[:3], [[""]], axis=0)
    for predict in (student.predict_proba, student.predict_uncertainty, student.sample_predictions):
        with pytest.raises(ValueError, match=r"returns NaN at 1 of 4 rows.* is row 3\. .*empty"):
            predict(rows)


def test_a_body_that_gives_all_rows_the_same_features_is_fitted():
    ids = np.ones((60, LENGTH), dtype=np.int64)
    probabilities = softmax(np.random.RandomState(0).standard_normal((60, 2, 5)))
    student = sentence_student(q=1, refine=2).fit(ids, predictions=probabilities)
    found = student.predict_proba(ids)
    assert_allclose(found, np.broadcast_to(probabilities.mean(axis=(0, 2)), found.shape), atol=0.05)


def test_images_of_another_scale_are_told():
    X = images(60)[0].astype(np.uint8)
    shares = (X / 255).astype(np.float32)
    student = DLFClassifier(q=1, body=conv_body, max_iter=1, n_epochs=1, refine=False)
    probabilities = softmax(members_of_images(X))
    for given, other in ((shares, X), (X, shares)):
        student.fit(given, predictions=probabilities)
        with pytest.warns(UserWarning, match=r"The rows of fit were .* scale them as those of fit"):
            student.predict(other)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            student.predict(given.astype(np.float64))  # bytes become floats anyway
