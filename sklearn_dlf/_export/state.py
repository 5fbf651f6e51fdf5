"""What pickle, joblib and skops keep of a student: parameters, records, and a version.

The format is a number of its own, since most versions of the package leave it as it is. It grows
when a file of an earlier one could be misread, or could not be read.
"""

from __future__ import annotations

from typing import Any

from .records import Packer, Unpacker

# Format of the files that this version writes, and the earliest one that it reads.
FORMAT, EARLIEST_FORMAT = 1, 1

FORMAT_KEY, VERSION_KEY = "_sklearn_dlf_format", "_sklearn_dlf_version"


def pack_state(state: dict[str, Any], parameters: Any, version: str) -> dict[str, Any]:
    """Return the state of an estimator with records in place of objects of this package.

    Parameters
    ----------
    state : dict
        Attributes.
    parameters : collection of str
        Names of the constructor's parameters, which stay as they are.
    version : str
        Version of the package.
    """
    packer = Packer()
    packed = {
        key: value if key in parameters else packer.pack(value) for key, value in state.items()
    }
    return {**packed, FORMAT_KEY: FORMAT, VERSION_KEY: version}


def unpack_state(state: dict[str, Any], parameters: Any, name: str, version: str) -> dict[str, Any]:
    """Return the state of an estimator that `pack_state` was given.

    ``name`` is that of the estimator's class, ``version`` the version of the package.

    Raises
    ------
    ValueError
        If the format is one that this version cannot read.
    """
    state = dict(state)
    written, by = state.pop(FORMAT_KEY, None), state.pop(VERSION_KEY, "an unknown version")
    if not isinstance(written, int) or not EARLIEST_FORMAT <= written <= FORMAT:
        what = "no format number" if written is None else f"format {written!r}"
        raise ValueError(
            f"This file of a {name} has {what} and was written by sklearn_dlf {by}; expected a "
            f"format from {EARLIEST_FORMAT} to {FORMAT}, which version {version} reads. Load it "
            f"with sklearn_dlf {by}, or fit the student again with this version."
        )
    unpacker = Unpacker()
    return {
        key: each if key in parameters else unpacker.unpack(each) for key, each in state.items()
    }
