"""Makers of images and of sentences, and what students ask of a maker of rows."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from raw_rows import TokenBody, conv_body, images, members_of, sentences
from sklearn.base import clone

from sklearn_dlf import DLFClassifier
from sklearn_dlf._transfer import teachers
from sklearn_dlf.augmentation import FlipCrop, TokenDropout
from sklearn_dlf.ensembles import FittedEnsemble

BRIEF = {"q": 2, "max_iter": 2, "n_epochs": 1, "refine": False, "random_state": 0}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def rng():
    return np.random.RandomState(0)


class Recorder:
    """An ensemble of three classes that counts the rows at which it is evaluated."""

    def __init__(self):
        self.rows = []

    def __call__(self, X):
        self.rows.append(X)
        return members_of(X)

    def ensemble(self):
        return FittedEnsemble(self, outputs="logits", n_members=6, classes=[0, 1, 2])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_images_are_shifts_and_mirrors_of_padded_ones(dtype, rng):
    X = rng.randint(255, size=(3, 2, 6, 7)).astype(dtype)
    made = FlipCrop(2)(X, 40, rng)
    assert made.dtype == dtype
    padded = np.pad(X, ((0, 0), (0, 0), (2, 2), (2, 2)), mode="reflect")
    crops = {
        image[:, row : row + 6, column : column + 7][..., ::step].tobytes()
        for image in padded
        for row in range(5)
        for column in range(5)
        for step in (1, -1)
    }
    found = {image.tobytes() for image in made}
    assert found <= crops
    assert len(found) > 20


def test_images_are_not_mirrored_on_request(rng):
    X = np.arange(5 * 64).reshape(5, 1, 8, 8)
    made = FlipCrop(0, flip=False)(X, 10, rng)
    assert_array_equal(np.sort(made[:, 0, 0, 0]), np.repeat(64 * np.arange(5), 2))


@pytest.mark.parametrize("X", [np.zeros((4, 5)), np.zeros((4, 1, 3, 8))])
def test_images_have_four_dimensions_and_are_larger_than_the_padding(X, rng):
    with pytest.raises(ValueError, match="than pad=3 pixels"):
        FlipCrop(3)(X, 4, rng)


@pytest.mark.parametrize(
    ("maker", "error", "message"),
    [
        (FlipCrop(-1), ValueError, "pad == -1"),
        (FlipCrop(1.5), TypeError, "pad must be an instance of int"),
        (TokenDropout("0.1"), ValueError, "takes a rate in"),
        (TokenDropout(mask_id=[3]), TypeError, "mask_id must be an instance of int"),
        (TokenDropout(padding_id=None), TypeError, "padding_id must be an instance of int"),
        (TokenDropout(kept_ids="12"), ValueError, "kept_ids must be integers; got '12'"),
    ],
)
def test_parameters_of_makers_are_checked_by_name(maker, error, message, rng):
    X = images(2)[0] if isinstance(maker, FlipCrop) else sentences(2)
    with pytest.raises(error, match=message):
        maker(X, 4, rng)


@pytest.mark.parametrize(
    ("maker", "X"), [(FlipCrop(), images(1)[0]), (TokenDropout(), sentences(1))]
)
def test_makers_need_a_row(maker, X, rng):
    with pytest.raises(ValueError, match="one or more"):
        maker(X[:0], 4, rng)


def test_gaps_are_no_tokens(rng):
    X = np.ma.masked_array([[1, 2], [3, 4]], [[True, False], [False, False]])
    with pytest.raises(ValueError, match="integers"):
        TokenDropout()(X, 4, rng)


@pytest.mark.parametrize("maker", [FlipCrop(), TokenDropout()])
def test_rows_of_several_lengths_are_refused_by_name(maker, rng):
    with pytest.raises(ValueError, match="X must be an array of numbers, with rows of one length"):
        maker([[1, 2], [1]], 4, rng)


def test_tokens_are_left_out_and_padding_moves_to_the_end(rng):
    X = sentences(30)
    made = TokenDropout(0.4)(X, 300, rng)
    assert made.dtype == X.dtype
    lengths = (made != 0).sum(axis=1)
    assert lengths.min() >= 1
    assert_array_equal(made != 0, np.arange(X.shape[1]) < lengths[:, None])
    share = lengths.sum() / (10 * (X != 0).sum())
    assert 0.6 < share < 0.75  # each sentence keeps one token for certain

    def is_subsequence(short, long):
        places = iter(long)
        return all(token in places for token in short)

    kept = [tuple(row[row != 0]) for row in X]
    assert all(any(is_subsequence(row[row != 0], one) for one in kept) for row in made)


def test_tokens_are_masked_but_for_those_that_are_kept(rng):
    X = sentences(50)
    X[:, 0] = 11
    made = TokenDropout(0.5, mask_id=99, kept_ids=(11,))(X, 50, rng)
    assert (made == 99).any()
    assert_array_equal((made == 0).sum(), (X == 0).sum())
    assert (made[:, 0] == 11).all()


@pytest.mark.parametrize(("X", "rate"), [(np.zeros((3, 2)), 0.1), (np.zeros((3, 2), int), 1.0)])
def test_tokens_are_integers_and_the_rate_a_share(X, rate, rng):
    with pytest.raises(ValueError, match="a rate in"):
        TokenDropout(rate)(X, 2, rng)


@pytest.mark.parametrize("maker", [FlipCrop(2), TokenDropout(0.2, kept_ids=(3,))])
def test_makers_are_values_and_survive_clone_and_pickle(maker):
    assert clone(DLFClassifier(augment=maker)).augment == maker
    assert pickle.loads(pickle.dumps(maker)) == maker


@pytest.mark.parametrize(
    ("X", "body", "maker"),
    [(images(60)[0], conv_body, FlipCrop(1)), (sentences(60), TokenBody, TokenDropout(0.3))],
)
def test_students_learn_at_as_many_made_rows_as_wanted(X, body, maker):
    recorder = Recorder()
    student = DLFClassifier(
        body=body, augment=maker, n_augmented=45, preprocessor=None, **{**BRIEF, "refine": 1}
    )
    student.fit(X, ensemble=recorder.ensemble())
    asked = np.concatenate(recorder.rows[2:])  # after two calls with the same rows
    n_calibration = len(asked) - 60 - 45
    assert 0 < n_calibration <= 240
    assert asked.dtype == X.dtype
    assert_array_equal(asked[:60], X)  # each row once


def test_values_that_the_rows_cannot_hold_are_refused():
    X = images(60)[0]

    def scaled(X, n_rows, random_state):
        return X[:n_rows] / 255

    student = DLFClassifier(body=conv_body, augment=scaled, n_augmented=10, **BRIEF)
    with pytest.raises(ValueError, match="values that the rows of X can have, of uint8; got"):
        student.fit(X, ensemble=Recorder().ensemble())


def test_images_go_to_the_teacher_in_blocks(monkeypatch):
    monkeypatch.setattr(teachers, "RAW_BLOCK_ROWS", 25)
    X, recorder = images(60)[0], Recorder()
    DLFClassifier(body=conv_body, **BRIEF).fit(X, ensemble=recorder.ensemble())
    rows = recorder.rows[2:]  # after two calls with the same rows
    assert [len(block) for block in rows] == [25, 25, 10]
    assert_array_equal(np.concatenate(rows), X)
