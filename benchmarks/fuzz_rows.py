"""Calls that ``fuzz.py`` draws of sentences as ids of tokens, and of makers of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from fuzz_calls import Call, anything
from fuzz_values import COUNTS, Draw

from sklearn_dlf import augmentation, text

TEXTS = ["A dog runs.", "a cat", "", "two  dogs", "été 42"]

# Functions of a list of sentences.
SENTENCES = {
    "array": ("variant", np.array),
    "objects": ("variant", lambda texts: np.array(texts, dtype=object)),
    "series": ("variant", pd.Series),
    "frame": ("variant", lambda texts: pd.DataFrame({"a": texts})),
    "column": ("variant", lambda texts: [[each] for each in texts]),
    "two columns": ("edge", lambda texts: [[each, each] for each in texts]),
    "nullable": ("edge", lambda texts: pd.Series(texts, dtype="string")),
    "categories": ("edge", lambda texts: pd.Series(texts, dtype="category")),
    "no rows": ("edge", lambda texts: []),
    "None inside": ("bad", lambda texts: [None, *texts]),
    "NaN inside": ("bad", lambda texts: [np.nan, *texts]),
    "bytes": ("bad", lambda texts: [each.encode() for each in texts]),
    "numbers": ("bad", lambda texts: [float(len(each)) for each in texts]),
    "ragged": ("bad", lambda texts: [texts, texts[:1]]),
    "one axis more": ("bad", lambda texts: [[[each]] for each in texts]),
    "one sentence": ("bad", lambda texts: "a dog"),
    "None": ("bad", lambda texts: None),
    "a number": ("bad", lambda texts: 3),
    "a dict": ("bad", lambda texts: {"a": texts}),
    "a generator": ("bad", lambda texts: (each for each in texts)),
    "an object": ("bad", lambda texts: object()),
}


def texts_of(draw: Draw, name: str) -> Any:
    """Return sentences, or spoilt ones."""
    if not draw.is_spoilt():
        return TEXTS
    label = draw.pick(SENTENCES)
    level, spoil = SENTENCES[label]
    draw.note(name, label, level)
    return spoil(TEXTS)


def sentences(draw: Draw) -> Call:
    """Sentences as ids of tokens."""
    counts = {**COUNTS, "edge": [np.uint8(2)], "bad": [*COUNTS["bad"], "3", 3.0]}
    tokenizers = {"bad": ["no/such file", "", "json", 3, object(), ["a"]]}
    arguments = {
        "X": texts_of(draw, "X"),
        "new": texts_of(draw, "new"),
        "max_length": draw.one_of("max_length", 5, counts),
        "min_count": draw.one_of("min_count", 1, counts),
        "tokenizer": draw.one_of("tokenizer", None, tokenizers),
    }

    def call(X: Any, new: Any, **parameters: Any) -> Any:
        tokenizer = text.SentenceTokenizer(**parameters).fit(X)
        ids = tokenizer.transform(new)
        if ids.shape[1] != parameters["max_length"] or not (ids < tokenizer.n_tokens_).all():
            raise RuntimeError(f"ids of shape {ids.shape}, up to {ids.max()}")
        return ids

    return Call(call, arguments, anything)


def made_rows(draw: Draw) -> Call:
    """Rows that are made of others."""
    counts = {"variant": [0, np.int64(1)], "edge": [True], "bad": [-1, 9, 1.5, "1", None, [1]]}
    if draw.rng.uniform() < 0.5:
        cls: Any = augmentation.FlipCrop
        options = {
            "pad": draw.one_of("pad", 1, counts),
            "flip": draw.one_of("flip", True, {"variant": [False], "edge": [0, 1]}),
        }
        base = draw.rng.randint(256, size=(3, 2, 4, 5)).astype(np.uint8)
    else:
        cls = augmentation.TokenDropout
        rates = {"variant": [0, 0.99], "bad": [-0.1, 1, np.nan, np.inf, "0.1", None, [0.1]]}
        ids = {"variant": [np.int64(3)], "bad": ["3", 1.5, [3]]}
        options = {
            "rate": draw.one_of("rate", 0.3, rates),
            "mask_id": draw.one_of("mask_id", None, {**ids, "variant": [3]}),
            "padding_id": draw.one_of("padding_id", 0, {**ids, "bad": [*ids["bad"], None]}),
            "kept_ids": draw.one_of(
                "kept_ids", (1, 2), {"variant": [[], np.array([1])], "bad": [3, None, "12", [1.5]]}
            ),
        }
        base = draw.rng.randint(9, size=(4, 6))
    levels = {"no_rows": "edge", "a_row_too_many": "variant"}
    X = draw.array("X", base, **levels)
    if isinstance(X, np.ndarray) and X.shape[1:] == base.shape[1:] and cls is augmentation.FlipCrop:
        draw.relax("X")  # images are of any type
    elif "X" in draw.spoilt:
        draw.note("X", "other ids", "edge")

    def call(X: Any, **options: Any) -> Any:
        made = cls(**options)(X, 7, np.random.RandomState(0))
        if made.shape != (7, *np.shape(X)[1:]) or made.dtype != np.asarray(X).dtype:
            raise RuntimeError(f"rows of {made.dtype} of shape {made.shape}")
        return made

    return Call(call, {"X": X, **options}, anything)
