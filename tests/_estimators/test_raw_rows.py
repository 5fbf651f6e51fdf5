"""Students of raw rows through `fit`."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from raw_rows import LENGTH, TokenBody, conv_body, images, members_of, sentences, softmax
from scipy.special import expit
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from skorch.callbacks import EarlyStopping
from torch import nn

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf.baselines import BatchEnsembleClassifier, HydraClassifier
from sklearn_dlf.ensembles import FittedEnsemble
from sklearn_dlf.exceptions import SeenRowsWarning
from sklearn_dlf.metrics import make_member_log_likelihood_scorer

ROWS = {"images": (images()[0], conv_body), "sentences": (sentences(), TokenBody)}
QUICK = {"max_iter": 4, "n_epochs": 5, "lr": 0.03, "random_state": 0, "augment": None}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("student", [DLFClassifier, HydraClassifier, BatchEnsembleClassifier])
def test_classifiers_of_raw_rows_are_fitted(student, kind):
    X, make_body = ROWS[kind]
    P = softmax(2 * members_of(X))
    fitted = student(body=make_body, preprocessor=None, **QUICK).fit(X, predictions=P)
    proba = fitted.predict_proba(X)
    assert np.abs(proba - P.mean(axis=-1)).mean() < np.abs(P - P.mean(axis=0)).mean()
    assert_allclose(fitted.predict_proba(X[:3]), proba[:3], rtol=1e-3, atol=1e-5)
    assert fitted.sample_predictions(X, 4, random_state=0).shape == (80, 3, 4)


@pytest.mark.filterwarnings("ignore:y has no variance")
def test_regressors_of_images_are_fitted():
    X = images()[0]
    P = members_of(X, 1)[:, 0]
    fitted = DLFRegressor(q=2, body=conv_body, preprocessor=None, **QUICK)
    fitted.fit(X, P.mean(axis=1), predictions=P)
    assert fitted.predict_interval(X).shape == (80, 2)
    assert fitted.sample_y(X, 4, random_state=0).shape == (80, 4)
    assert fitted.latent_parameters(X).standardised_rows.shape == (80, 8)


def untrained_networks(X, n_outputs):
    """Fitted ensemble of networks that have learnt nothing."""
    modules = []
    for seed in range(6):
        torch.manual_seed(seed)
        modules.append(nn.Sequential(conv_body(X.shape[1:]), nn.LazyLinear(n_outputs)).eval())
        modules[-1](torch.from_numpy(X[:2]).float())
    return FittedEnsemble(modules, outputs="logits" if n_outputs > 1 else "values")


def test_a_bad_teacher_of_images_is_not_compared_with_a_linear_model_of_pixels():
    X, y = images(300)
    fitted = DLFClassifier(q=2, body=conv_body, **QUICK)
    fitted.fit(X, y, ensemble=untrained_networks(X, 10))
    assert fitted.ensemble_score_ < 0.3


def test_members_of_images_have_a_likelihood():
    X = images()[0]
    ensemble = untrained_networks(X, 1)
    fitted = DLFRegressor(q=2, body=conv_body, **QUICK).fit(X, ensemble=ensemble)
    assert np.isfinite(make_member_log_likelihood_scorer(ensemble)(fitted, X))


class Tokeniser(TransformerMixin, BaseEstimator):
    """Turns sentences, a column of strings, into ids of tokens (n, LENGTH)."""

    def fit(self, X, y=None):
        self.n_features_in_ = 1
        return self

    def transform(self, X):
        ids = np.zeros((len(X), LENGTH), dtype=np.int64)
        for row, sentence in zip(ids, np.ravel(X), strict=True):
            words = [int(word) for word in sentence.split()][:LENGTH]
            row[: len(words)] = words
        return ids

    def __sklearn_is_fitted__(self):
        return True


def texts():
    """Sentences as strings, and the same as ids of tokens."""
    X = sentences()
    return np.array([" ".join(map(str, row[row > 0])) for row in X], dtype=object), X


def token_teacher(X):
    """Three functions of ids of tokens."""
    return softmax(2 * members_of(X))[..., :3]


def text_teacher(X):
    """The same functions of sentences."""
    return token_teacher(Tokeniser().transform(X))


LABELS = np.arange(80) % 3

BRIEF = {**QUICK, "max_iter": 2, "n_epochs": 1, "refine": False}
REGRESSOR = {name: value for name, value in BRIEF.items() if name != "refine"}


def test_images_in_searches_clones_pickles_and_cross_validation():
    X = images()[0]
    teacher = FittedEnsemble(
        lambda X: softmax(2 * members_of(X)), outputs="probabilities", n_members=6
    )
    student = DLFClassifier(teacher, body=conv_body, **BRIEF)
    search = GridSearchCV(student, {"q": [1, 2]}, cv=2).fit(X, LABELS)
    search.best_estimator_.set_params(ensemble=None)  # a lambda cannot be pickled
    loaded = pickle.loads(pickle.dumps(search.best_estimator_))
    assert_allclose(loaded.predict_proba(X), search.predict_proba(X))
    proba = cross_val_predict(clone(student), X, LABELS, cv=2, method="predict_proba")
    assert proba.shape == (80, 3)


def test_a_callable_makes_images_and_gets_them_as_they_are():
    X = images()[0]
    seen = []

    def flip(X, n_rows, random_state):
        seen.append((type(X), X.dtype, X.shape[1:]))
        return X[random_state.randint(len(X), size=n_rows)][..., ::-1]

    def teacher(X):
        seen.append((type(X), X.dtype, X.shape[1:]))
        return members_of(X, 1)[:, 0]

    ensemble = FittedEnsemble(teacher, outputs="values", n_members=6)
    DLFRegressor(body=conv_body, **{**REGRESSOR, "augment": flip, "q": 2}).fit(X, ensemble=ensemble)
    assert set(seen) == {(np.ndarray, np.dtype("uint8"), (1, 8, 8))}


def test_columns_of_images_are_not_swapped():
    X = images()[0]
    ensemble = FittedEnsemble(lambda X: members_of(X, 1)[:, 0], outputs="values", n_members=6)
    student = DLFRegressor(body=conv_body, **{**REGRESSOR, "augment": "auto", "q": 2})
    assert student.fit(X, ensemble=ensemble).augment_ is None
    with pytest.raises(ValueError, match="pixels and tokens mean nothing of their own"):
        student.set_params(augment="neighbors").fit(X, ensemble=ensemble)


def test_sentences_behind_a_tokeniser_in_a_pipeline():
    strings, _ = texts()
    teacher = FittedEnsemble(token_teacher, outputs="probabilities", n_members=3)
    student = DLFClassifier(teacher, body=TokenBody, preprocessor=None, **BRIEF)
    pipeline = make_pipeline(Tokeniser(), student)
    search = GridSearchCV(pipeline, {"dlfclassifier__q": [1, 2]}, cv=2).fit(strings, LABELS)
    assert search.predict_proba(strings).shape == (80, 3)


def test_a_tokeniser_as_preprocessor_leaves_sentences_to_the_ensemble():
    strings, ids = texts()
    teacher = FittedEnsemble(text_teacher, outputs="probabilities", n_members=3)
    student = DLFClassifier(teacher, body=TokenBody, preprocessor=Tokeniser(), **BRIEF)
    student.fit(strings, LABELS)
    by_hand = DLFClassifier(body=TokenBody, preprocessor=None, **BRIEF)
    by_hand.fit(ids, LABELS, predictions=token_teacher(ids))
    assert_allclose(student.predict_proba(strings), by_hand.predict_proba(ids))


def test_other_shapes_are_refused_in_prediction():
    X = images()[0]
    P = members_of(X, 1)[:, 0]
    student = DLFRegressor(q=2, body=conv_body, preprocessor=None, **REGRESSOR).fit(
        X, predictions=P
    )
    with pytest.raises(ValueError, match=r"rows of shape \(1, 8, 4\), expected \(1, 8, 8\)"):
        student.predict(X[..., :4])
    with pytest.raises(ValueError, match="Its axes are in another order"):
        student.predict(X.transpose(0, 2, 3, 1))
    with pytest.raises(ValueError, match=r"A single row needs an axis more: X\[None\]"):
        student.predict(X[0])


def test_a_body_that_cannot_read_standardised_ids_says_what_to_do():
    X = sentences()
    with pytest.raises(
        ValueError, match=r"of torch.float32 .* ids of tokens with preprocessor=None"
    ):
        DLFRegressor(q=2, body=EmbeddingBody, **REGRESSOR).fit(
            X, predictions=members_of(X, 1)[:, 0]
        )


class EmbeddingBody(nn.Module):
    """The mean embedding of tokens."""

    def __init__(self, length):
        super().__init__()
        self.embedding = nn.Embedding(12, 4)

    def forward(self, X):
        return self.embedding(X).mean(dim=1)


def linear_body(shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), 4))


def test_windows_of_other_types_are_read_as_in_fit():
    X = np.random.RandomState(0).standard_normal((60, 2, 8)).astype(np.float32)
    P = X[:, 0, :4]
    student = DLFRegressor(q=1, body=linear_body, **QUICK).fit(X, predictions=P)
    whole = np.round(X)
    assert_allclose(student.predict(whole.astype(int)), student.predict(whole))
    assert_allclose(student.predict(X.astype(">f4")), student.predict(X))
    tensor = torch.tensor(X, requires_grad=True)
    again = DLFRegressor(q=1, body=linear_body, **QUICK).fit(tensor, predictions=P)
    assert_allclose(again.predict(tensor), student.predict(X))


def test_a_callback_that_needs_validation_rows_says_so():
    X = np.random.RandomState(0).standard_normal((60, 2, 8)).astype(np.float32)
    student = DLFRegressor(q=1, body=linear_body, callbacks=[EarlyStopping()], **QUICK)
    with pytest.raises(ValueError, match="monitor='train_loss'"):
        student.fit(X, predictions=X[:, 0, :4])


def test_one_column_of_probabilities_or_logits_is_that_of_the_second_class():
    X = np.random.RandomState(0).standard_normal((60, 2, 8)).astype(np.float32)
    logits = X[:, :1, :4]
    for outputs, given in (("logits", logits), ("probabilities", expit(logits))):
        student = DLFClassifier(q=1, body=linear_body, **QUICK)
        student.fit(X, predictions=given, outputs=outputs)
        both = np.concatenate([-logits / 2, logits / 2], axis=1)
        expected = clone(student).fit(X, predictions=both, outputs="logits")
        assert_allclose(student.predict_proba(X), expected.predict_proba(X), atol=1e-3)
    with pytest.raises(ValueError, match=r"\(n_samples, 1, n_members\)"):
        clone(student).fit(X, predictions=logits[:, 0], outputs="logits")


def test_members_that_were_fitted_to_all_rows_are_told():
    X, y = images(60)
    rng = np.random.RandomState(0)
    own = 4 * np.eye(10)[y][:, :, None] + 0.3 * rng.standard_normal((60, 10, 5))
    order = np.argsort(rng.uniform(size=60))
    for logits, is_seen in ((own, True), (own[order], False)):
        members = softmax(logits)
        labels = y if is_seen else _drawn(members.mean(axis=-1), rng)
        student = DLFClassifier(q=1, body=linear_body, **QUICK)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            student.fit(X, labels, predictions=members, classes=np.arange(10))
        assert any(issubclass(each.category, SeenRowsWarning) for each in caught) == is_seen


def _drawn(probabilities, rng):
    """Labels that follow probabilities (n, n_classes)."""
    return (probabilities.cumsum(axis=1) < rng.uniform(size=(len(probabilities), 1))).sum(axis=1)
