"""Makers of rows for `augment` of students: images and sentences near those of `fit`.

Any callable takes their place. It is called as ``augment(X, n_rows, random_state)``, with the rows
of `fit` in their container, a number of rows, and a RandomState that is the source of all its
random choices. It returns ``n_rows`` rows of the same shape, with values that the type of X can
hold. The teacher is evaluated at them once, so that they need no labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from ._utils.numbers import as_array, with_gaps
from ._utils.parameters import check_integer

__all__ = ["FlipCrop", "TokenDropout"]


@dataclass(frozen=True)
class FlipCrop:
    """Images that are shifted by some pixels, half of them mirrored left to right.

    An image is padded by its own reflection, and cut to its size at a random place. This is the
    usual augmentation of CIFAR-10 [1]_, there with zeros as padding.

    Parameters
    ----------
    pad : int, default=4
        Largest shift in pixels, in each direction. It is less than the height and the width.

    flip : bool, default=True
        Whether to mirror images. Digits and letters must not be.

    References
    ----------
    .. [1] Lee, Xie, Gallagher, Zhang, Tu. "Deeply-Supervised Nets". AISTATS 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_dlf.augmentation import FlipCrop
    >>> images = np.zeros((20, 3, 32, 32), dtype=np.uint8)
    >>> made = FlipCrop(pad=4)(images, 50, np.random.RandomState(0))
    >>> made.shape, made.dtype
    ((50, 3, 32, 32), dtype('uint8'))
    """

    pad: int = 4
    flip: bool = True

    def __call__(
        self, X: np.ndarray, n_rows: int, random_state: np.random.RandomState
    ) -> np.ndarray:
        """Make images.

        Parameters
        ----------
        X : array of shape (n_images, n_channels, height, width)
            Images, of any dtype.

        n_rows : int
            Number of images to make. Each of X is used about equally often.

        random_state : RandomState instance
            Source of shifts and mirrors.

        Returns
        -------
        ndarray of shape (n_rows, n_channels, height, width)
            Images of the dtype of X.

        Raises
        ------
        ValueError
            If X are no images, or are not larger than `pad`, or `pad` is negative.
        TypeError
            If `pad` is no integer.
        """
        X = as_array(X, "X")
        pad = check_integer(self.pad, "pad", 0)
        if X.ndim != 4 or not len(X) or pad >= min(X.shape[2:]):
            raise ValueError(
                f"{self!r} takes one or more images (n_images, n_channels, height, width) of more "
                f"than pad={pad} pixels in both directions; got an array of shape {X.shape}."
            )
        height, width = X.shape[2:]
        chosen = _pick(len(X), n_rows, random_state)
        shifts = random_state.randint(-pad, pad + 1, size=(n_rows, 2, 1))
        rows = _reflect(np.arange(height) + shifts[:, 0], height)
        columns = _reflect(np.arange(width) + shifts[:, 1], width)
        if self.flip:
            mirrored = random_state.randint(2, size=n_rows).astype(bool)
            columns[mirrored] = columns[mirrored, ::-1]
        # Axes of indices are joined in front: (n_rows, height, width, n_channels).
        made = X[chosen[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        return np.ascontiguousarray(np.moveaxis(made, -1, 1))


def _pick(n: int, n_rows: int, random_state: np.random.RandomState) -> np.ndarray:
    """Return numbers (n_rows,) of n rows, each about equally often, in random order."""
    return random_state.permutation(n)[np.arange(n_rows) % n]


def _reflect(places: np.ndarray, size: int) -> np.ndarray:
    """Return places that are less than ``size`` beyond an axis, reflected at its ends."""
    places = np.abs(places)
    return np.where(places < size, places, 2 * (size - 1) - places)


@dataclass(frozen=True)
class TokenDropout:
    """Sentences as ids of tokens, of which some tokens are left out or masked.

    Parameters
    ----------
    rate : float, default=0.1
        Share of tokens that are dropped. A sentence keeps at least one token that can be dropped.

    mask_id : int, default=None
        Id that takes the place of a dropped token, such as that of "[MASK]". None leaves the token
        out: those after it move to the left.

    padding_id : int, default=0
        Id of padding, which is at the end of sentences.

    kept_ids : sequence of int, default=()
        Ids that are never dropped, such as those of "[CLS]" and "[SEP]".

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_dlf.augmentation import TokenDropout
    >>> sentences = np.array([[1, 7, 8, 9, 2, 0], [1, 5, 6, 2, 0, 0]])
    >>> TokenDropout(rate=0.5, kept_ids=(1, 2))(sentences, 2, np.random.RandomState(0))
    array([[1, 5, 6, 2, 0, 0],
           [1, 9, 2, 0, 0, 0]])
    """

    rate: float = 0.1
    mask_id: int | None = None
    padding_id: int = 0
    kept_ids: Sequence[int] = ()

    def __call__(
        self, X: np.ndarray, n_rows: int, random_state: np.random.RandomState
    ) -> np.ndarray:
        """Make sentences.

        Parameters
        ----------
        X : array of shape (n_sentences, n_tokens)
            Ids of tokens.

        n_rows : int
            Number of sentences to make. Each of X is used about equally often.

        random_state : RandomState instance
            Source of the choice of tokens.

        Returns
        -------
        ndarray of shape (n_rows, n_tokens)
            Ids, of the dtype of X.

        Raises
        ------
        ValueError
            If X are no ids of tokens, `rate` is no share, or `kept_ids` are no integers.
        TypeError
            If `mask_id` or `padding_id` is no integer.
        """
        X, kept = as_array(with_gaps(X), "X"), as_array(self.kept_ids, "kept_ids")
        rate: Any = self.rate
        is_share = isinstance(rate, Real) and 0 <= float(rate) < 1
        if X.ndim != 2 or not len(X) or X.dtype.kind not in "iu" or not is_share:
            raise ValueError(
                f"{self!r} takes a rate in [0, 1) and integers (n_sentences, n_tokens), one or "
                f"more sentences; got an array of {X.dtype} of shape {X.shape}."
            )
        if kept.ndim != 1 or (kept.size and kept.dtype.kind not in "iu"):
            raise ValueError(f"kept_ids must be integers; got {self.kept_ids!r}.")
        check_integer(self.padding_id, "padding_id")
        if self.mask_id is not None:
            check_integer(self.mask_id, "mask_id")
        made = X[_pick(len(X), n_rows, random_state)]
        can_drop = ~np.isin(made, [self.padding_id, *kept])
        order = np.where(can_drop, random_state.uniform(size=made.shape), 2.0)
        # The token of the largest number stays, so that no sentence becomes empty.
        largest = np.where(can_drop, order, -1.0).argmax(axis=1)
        order[np.arange(n_rows), largest] = 2.0
        dropped = order < self.rate
        if self.mask_id is not None:
            made[dropped] = self.mask_id
            return made
        places = np.argsort(dropped, axis=1, kind="stable")  # dropped ones go to the end
        made[dropped] = self.padding_id
        return np.take_along_axis(made, places, axis=1)
