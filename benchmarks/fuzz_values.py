"""Values that ``fuzz.py`` gives to the public functions: as they should be, unusual, and wrong.

Each spoilt value has a name and a level. "variant": it is documented, and has to be accepted.
"edge": it may be accepted or refused. "bad": it has to be refused.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse

# Levels of values, from harmless to worst.
ORDER = ("plain", "variant", "edge", "bad")

# Levels of unusual arrays for rows that may have gaps, and that may hold categories and dates too.
UNKNOWN_ROWS = dict.fromkeys(["NaN", "all_NaN", "None_inside", "a_gap"], "edge")
READ = {**UNKNOWN_ROWS, "words": "edge", "dates": "edge"}


def with_entry(array, value):
    """Return a copy, as floats, whose first entry is another one."""
    array = np.array(array, dtype=np.float64)
    array.flat[0] = value
    return array


def read_only(array):
    """Return a copy that cannot be written to."""
    array = np.array(array)
    array.flags.writeable = False
    return array


def every_second(array):
    """Return the same values, of which each is followed by another in memory."""
    return np.repeat(array, 2, axis=0)[::2]


def with_gap(array):
    """Return a masked array with a gap."""
    masked = np.ma.masked_array(array)
    masked[(0,) * array.ndim] = np.ma.masked
    return masked


# Functions of an array of floats.
VARIANTS = {
    "float32": lambda a: a.astype(np.float32),
    "list": lambda a: a.tolist(),
    "Fortran order": np.asfortranarray,
    "read-only": read_only,
    "strided": every_second,
    "objects": lambda a: a.astype(object),
    "big-endian": lambda a: a.astype(">f8"),
}
EDGES = {
    "float16": lambda a: a.astype(np.float16),
    "long double": lambda a: a.astype(np.longdouble),
    "integers": lambda a: np.round(3 * a).astype(int),
    "unsigned": lambda a: np.abs(np.round(3 * a)).astype(np.uint8),
    "booleans": lambda a: a > 0,
    "constant": lambda a: np.full_like(a, 0.5),
    "zeros": np.zeros_like,
    "times 1e30": lambda a: 1e30 * a,
    "times 1e160": lambda a: 1e160 * a,
    "times 1e307": lambda a: 1e307 * a,
    "times 1e-30": lambda a: 1e-30 * a,
    "times 1e-200": lambda a: 1e-200 * a,
    "times 1e-310": lambda a: 1e-310 * a,
    "plus 1e12": lambda a: 1e12 + a,
    "one 1e20": lambda a: with_entry(a, 1e20),
    "one -1e300": lambda a: with_entry(a, -1e300),
    "a tensor": lambda a: torch.as_tensor(np.array(a)),
    "decimals": lambda a: np.vectorize(Decimal, otypes=[object])(a),
    "a frame": lambda a: pd.DataFrame(a) if a.ndim == 2 else pd.Series(np.ravel(a)),
    "a frame with names": lambda a: (
        pd.DataFrame(a, columns=[f"c{i}" for i in range(a.shape[1])]) if a.ndim == 2 else a.tolist()
    ),
    "nullable": lambda a: (
        pd.DataFrame(a).astype("Float64")
        if a.ndim == 2
        else pd.Series(np.ravel(a), dtype="Float64")
    ),
    "sparse": lambda a: sparse.csr_matrix(np.atleast_2d(a)) if a.ndim <= 2 else a,
    "one row": lambda a: a[:1],
    "masked, no gap": np.ma.masked_array,
    "strings of numbers": lambda a: a.astype(str),
}
BAD = {
    "NaN": lambda a: with_entry(a, np.nan),
    "all NaN": lambda a: np.full(a.shape, np.nan),
    "infinity": lambda a: with_entry(a, np.inf),
    "minus infinity": lambda a: with_entry(a, -np.inf),
    "None inside": lambda a: none_inside(a),
    "a gap": with_gap,
    "no rows": lambda a: a[:0],
    "one axis more": lambda a: a[..., None, None],
    "one number": lambda a: 1.5,
    "words": lambda a: np.full(a.shape, "word"),
    "complex": lambda a: a + 1j,
    "dates": lambda a: np.full(a.shape, np.datetime64("2020-01-01")),
    "nothing": lambda a: None,
    "text": lambda a: "text",
    "bytes": lambda a: b"text",
    "a dict": lambda a: {"a": 1.0},
    "a set": lambda a: {1.0, 2.0},
    "an object": lambda a: object(),
    "a type": lambda a: np.ndarray,
    "a generator": lambda a: (row for row in a),
    "a ragged list": lambda a: [[1.0, 2.0], [1.0]],
    "an empty list": lambda a: [],
    "a row too many": lambda a: np.concatenate([a, a[:1]]),
}


def none_inside(array):
    """Return the values as objects, one of them None."""
    array = np.array(array, dtype=object)
    array.flat[0] = None
    return array


COUNTS = {
    "variant": [np.int64(3), 1],
    "edge": [np.uint8(2), 3.0, "3"],
    "bad": [0, -1, 1.5, True, None, "three", np.nan, np.inf, [3], np.array([3, 4]), object(), 2j],
}
LEVELS = {
    "variant": [np.float64(0.5), 0.01, 0.99],
    "edge": [np.float32(0.9), 1e-12, 1 - 1e-12, 1e-300, np.array(0.5), True],
    "bad": [0, 1, 0.0, 1.0, -0.1, 1.5, np.nan, np.inf, "0.9", None, [0.5, 0.6], object(), 0.5j],
}
QUANTILES = {
    "variant": [[0.5], np.array([0.1, 0.9]), (0.9, 0.1), [0.5, 0.5], np.float32([0.2, 0.7]), 0.5],
    "edge": [[1e-17], [1e-300, 0.5], [1 - 1e-16], [], ["0.5"]],
    "bad": [[0.0], [1.0, 0.5], [np.nan], [-1], 2, [[0.1, 0.2]], ["half"], "half", object(), [0.5j]],
}
SEEDS = {
    "variant": [None, np.random.RandomState(3), np.int64(7), 2**32 - 1],
    "edge": [True],
    "bad": [-1, 2**32, 1.5, "seed", np.random.default_rng(0), [], object(), np.nan],
}
SWITCHES = {
    "variant": [True, False, np.True_],
    "edge": [0, 1, "yes", None],
    "bad": [],
}
WEIGHTS = {
    "ones": ("variant", lambda n: np.ones(n)),
    "integers": ("variant", lambda n: np.arange(1, n + 1)),
    "list": ("variant", lambda n: [1.0] * n),
    "None": ("variant", lambda n: None),
    "one is zero": ("edge", lambda n: with_entry(np.ones(n), 0.0)),
    "one counts": ("edge", lambda n: with_entry(np.zeros(n), 1.0)),
    "tiny": ("edge", lambda n: np.full(n, 1e-310)),
    "huge": ("edge", lambda n: np.full(n, 1e308)),
    "unequal": ("edge", lambda n: with_entry(np.ones(n), 1e300)),
    "booleans": ("edge", lambda n: np.arange(n) > 0),
    "a number": ("edge", lambda n: 2.0),
    "a column": ("edge", lambda n: np.ones((n, 1))),
    "negative": ("bad", lambda n: with_entry(np.ones(n), -1.0)),
    "zeros": ("bad", lambda n: np.zeros(n)),
    "NaN": ("bad", lambda n: with_entry(np.ones(n), np.nan)),
    "infinite": ("bad", lambda n: with_entry(np.ones(n), np.inf)),
    "too many": ("bad", lambda n: np.ones(n + 1)),
    "words": ("bad", lambda n: np.full(n, "word")),
    "dates": ("bad", lambda n: np.full(n, np.datetime64("2020-01-01"))),
    "a gap": ("bad", lambda n: with_gap(np.ones(n))),
    "text": ("bad", lambda n: "balanced"),
    "complex": ("bad", lambda n: np.ones(n) + 1j),
    "a matrix": ("bad", lambda n: np.ones((n, 2))),
    "none at all": ("bad", lambda n: []),
    "an object": ("bad", lambda n: object()),
}
# Functions of a frame with the columns size, kind and day.
FRAMES = {
    "one row": ("variant", lambda f: f.iloc[:1]),
    "reordered": ("edge", lambda f: f[f.columns[::-1]]),
    "an unknown kind": ("variant", lambda f: f.assign(kind="odd")),
    "a gap": ("variant", lambda f: f.assign(kind=None)),
    "another index": ("variant", lambda f: f.set_axis(range(9, 9 + len(f)))),
    "a column less": ("bad", lambda f: f[["size", "kind"]]),
    "a column more": ("edge", lambda f: f.assign(other=1.0)),
    "renamed": ("bad", lambda f: f.rename(columns={"size": "weight"})),
    "words for numbers": ("edge", lambda f: f.assign(size="large")),
    "numbers for words": ("edge", lambda f: f.assign(kind=1.5)),
    "numbers for dates": ("edge", lambda f: f.assign(day=3)),
    "infinity": ("edge", lambda f: f.assign(size=np.inf)),
    "objects": ("edge", lambda f: f.astype(object)),
    "an array": ("edge", lambda f: f.to_numpy()),
    "no rows": ("bad", lambda f: f.iloc[:0]),
    "a list": ("edge", lambda f: f.to_numpy().tolist()),
    "a dict": ("edge", lambda f: f.to_dict("list")),
}


class Draw:
    """Draws arguments, and keeps which of them are spoilt.

    Parameters
    ----------
    rng : RandomState
        What is drawn depends on it alone.
    share : float
        Probability that an argument is unusual or wrong.
    """

    def __init__(self, rng: np.random.RandomState, share: float):
        self.rng, self.share = rng, share
        # Name of each argument that is spoilt, to what was done to it and the level.
        self.spoilt: dict[str, tuple[str, str]] = {}

    @property
    def level(self) -> str:
        """The worst level of all arguments: "plain", "variant", "edge" or "bad"."""
        levels = [level for _, level in self.spoilt.values()]
        return max(levels, key=ORDER.index, default="plain")

    def is_spoilt(self) -> bool:
        """Return whether the next argument is to be spoilt."""
        return self.rng.uniform() < self.share

    def pick(self, options: Any) -> Any:
        """Return one of some options."""
        options = list(options)
        return options[self.rng.randint(len(options))]

    def note(self, name: str, label: str, level: str) -> None:
        """Keep that an argument is spoilt. Of parts of one argument, the worst counts."""
        if name not in self.spoilt or ORDER.index(level) > ORDER.index(self.spoilt[name][1]):
            self.spoilt[name] = (label, level)

    def relax(self, *names: str) -> None:
        """Let wrong values of some arguments, or of all, be accepted or refused."""
        for name, (label, level) in self.spoilt.items():
            if level == "bad" and (not names or name in names):
                self.spoilt[name] = (label, "edge")

    def array(self, name: str, base: np.ndarray, **levels: str) -> Any:
        """Return an array, or a spoilt one. `levels` are those of this argument alone."""
        if not self.is_spoilt():
            return base
        tables = ("variant", VARIANTS), ("edge", EDGES), ("bad", BAD)
        level, table = tables[self.rng.choice(3, p=[0.2, 0.4, 0.4])]
        label = self.pick(table)
        value = table[label](base)
        self.note(name, label, levels.get(label.replace(" ", "_"), level))
        return value

    def one_of(self, name: str, plain: Any, table: dict[str, list]) -> Any:
        """Return a plain value, or one of a table of values by level."""
        if not self.is_spoilt():
            return plain
        level, value = self.pick((level, value) for level in table for value in table[level])
        self.note(name, repr(value)[:60], level)
        return value

    def weights(self, n_rows: int, name: str = "sample_weight") -> Any:
        """Return weights of rows, or spoilt ones."""
        if not self.is_spoilt():
            return self.pick([None, self.rng.uniform(0.5, 2, n_rows)])
        label = self.pick(WEIGHTS)
        level, make = WEIGHTS[label]
        self.note(name, label, level)
        return make(n_rows)

    def normal(self, *shape: int) -> np.ndarray:
        """Return standard normal numbers."""
        return self.rng.standard_normal(shape)

    def probabilities(self, *shape: int) -> np.ndarray:
        """Return probabilities, which sum to one over axis 1."""
        values = np.exp(self.normal(*shape))
        return values / values.sum(axis=1, keepdims=True)
