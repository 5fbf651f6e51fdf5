"""Rows in ONNX: inputs, the encoding of columns, and standardisation."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import FunctionTransformer

from .._rows.columns import MISSING
from .._rows.preprocessors import to_dense
from .._rows.reader import RowReader
from .._rows.table_encoder import CYCLES, TableEncoder
from .graph import ML_DOMAIN, Graph

# A label that no column of `fit` had.
UNKNOWN = "\x00 unknown"

ROWS = "n_rows"


def add_rows(graph: Graph, reader: RowReader, n_columns: int, preprocessed: bool) -> str:
    """Add the inputs of rows, and return the standardised rows.

    Parameters
    ----------
    graph : Graph
    reader : RowReader
        What reads rows for the student.
    n_columns : int
        Columns of rows.
    preprocessed : bool
        Whether the input is what the preprocessor returns.

    Raises
    ------
    ValueError
        If rows are raw, or ONNX cannot hold the preprocessor.
    """
    scaler = reader.scaler
    if reader.is_raw or scaler is None:
        raise ValueError(
            "to_onnx reads rows of a table; this student's body gets rows as they are, of shape "
            f"{reader.raw_shape}. Export its network by torch.onnx.export(student.student_, ...), "
            "whose outputs are the heads, or serve a pickle."
        )
    numbers = _read(graph, reader.preprocessor, n_columns, len(scaler.scale_), preprocessed)
    return graph.add("Div", graph.add("Sub", numbers, scaler.mean_), scaler.scale_)


def _read(graph: Graph, encoder: Any, n_columns: int, n_numbers: int, preprocessed: bool) -> str:
    """Return the numbers of a row, before they are standardised."""
    if encoder is None or preprocessed:
        return graph.input("X", [ROWS, n_numbers])
    if isinstance(encoder, TableEncoder):
        return _encode_table(graph, encoder)
    if isinstance(encoder, FunctionTransformer) and encoder.func is to_dense:
        return graph.input("X", [ROWS, n_columns])
    if type(encoder) is TruncatedSVD:
        return graph.add("MatMul", graph.input("X", [ROWS, n_columns]), encoder.components_.T)
    raise ValueError(
        f"to_onnx cannot put the preprocessor {type(encoder).__name__} into the file; expected "
        "none, or the one of preprocessor='auto'. With preprocessed=True the file takes the "
        "numbers that student.preprocessor_.transform(X) returns; do that step before it."
    )


def name_inputs(encoder: TableEncoder, outputs: Any) -> list[str] | None:
    """Return the name of the input of each column; None if all columns are one input, X."""
    if set(encoder.kinds_) == {"number"}:
        return None
    names: list[str] = []
    for place, column in enumerate(encoder._names):
        name = column if isinstance(column, str) and column else f"column_{place}"
        while name in outputs or name in names:
            name += "_column"
        names.append(name)
    return names


def _encode_table(graph: Graph, encoder: TableEncoder) -> str:
    """Return what a `TableEncoder` makes of its columns, each of which is an input."""
    names = name_inputs(encoder, graph.reserved)
    if names is None:
        return _impute(graph, encoder, graph.input("X", [ROWS, encoder.n_features_in_]))
    numbers, labels = [], []
    for name, kind, cycles in zip(names, encoder.kinds_, encoder._cycles, strict=True):
        if kind == "category":
            labels.append(graph.input(name, [ROWS], "STRING"))
            continue
        column = graph.unsqueeze(graph.input(name, [ROWS]), 1)
        numbers.append(column)
        for cycle in cycles:  # of dates, in days
            phase = graph.add("Mul", column, 2 * np.pi / CYCLES[cycle])
            numbers += [graph.add("Sin", phase), graph.add("Cos", phase)]
    parts = []
    if numbers:
        joined = graph.add("Concat", *numbers, axis=1) if len(numbers) > 1 else numbers[0]
        parts.append(_impute(graph, encoder, joined))
    for place, label in enumerate(labels):
        parts.append(_indicate(graph, encoder, place, label))
    return graph.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]


def _impute(graph: Graph, encoder: TableEncoder, numbers: str) -> str:
    """Return numbers with medians in place of NaN, and indicators of these."""
    imputer = encoder._imputer
    missing = graph.add("IsNaN", numbers)
    known = graph.add("Where", missing, imputer.statistics_, numbers)
    columns = imputer.indicator_.features_ if imputer.indicator_ is not None else np.empty(0)
    if not len(columns):
        return known
    flags = graph.cast(graph.add("Gather", missing, columns.astype(np.int64), axis=1), "DOUBLE")
    return graph.add("Concat", known, flags, axis=1)


def _indicate(graph: Graph, encoder: TableEncoder, place: int, label: str) -> str:
    """Return the indicators of one column of labels.

    They are what the encoder returns for each label, and for one that it does not know.
    """
    one_hot = encoder._one_hot
    own = [str(each) for each in one_hot.categories_[place]]
    labels = np.full((len(own) + 1, len(one_hot.categories_)), MISSING, dtype=object)
    for column, categories in enumerate(one_hot.categories_):
        labels[:, column] = categories[0]
    labels[:, place] = [*own, UNKNOWN]
    sizes = encoder._count_indicators()
    start = sum(sizes[:place])
    table = one_hot.transform(labels)[:, start : start + sizes[place]]
    code = graph.add(
        "LabelEncoder",
        label,
        domain=ML_DOMAIN,
        keys_strings=own,
        values_int64s=list(range(len(own))),
        default_int64=len(own),
    )
    return graph.add("Gather", table.astype(np.float64), code, axis=0)
