"""A fitted student of a latent factor model as a file of ONNX."""

from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._rows.table_encoder import TableEncoder
from .._utils.parameters import check_levels, check_path
from .._version import __version__
from .graph import Graph
from .onnx_classes import (
    add_several_classes,
    add_two_classes,
    add_uncertainty,
    has_entropies,
)
from .onnx_members import Members, add_draws, add_members
from .onnx_rows import ROWS, add_rows, name_inputs
from .onnx_target import NoiseOfY, add_quantiles
from .onnx_transformed import WayBack

# Outputs that members are drawn from, and the name of all that a student has.
DRAWS = ("latent_mean", "loadings", "shared_noise", "own_noise")
ALL_DRAWS = "draws"

REGRESSION = ("mean", "std", "quantiles", "aleatoric", "epistemic", *DRAWS)
CLASSIFICATION = ("probabilities", "aleatoric", "epistemic", *DRAWS)

# Name of an output: its value in the graph, and its shape.
Found = dict[str, tuple[str, list[Any]]]


def write_onnx(
    student: Any,
    path: str | PathLike[str],
    outputs: str | Sequence[str] | None,
    quantiles: ArrayLike,
    preprocessed: bool,
) -> None:
    """Do what `to_onnx` of a fitted student does."""
    if "_update" in vars(student):
        raise ValueError(
            "A file of ONNX holds a student as it was fitted, and this one has learnt from rows of "
            "update. Call reset_update() before, or keep it by save_student or as a pickle."
        )
    if "adaptation_" in vars(student):
        raise ValueError(
            "A file of ONNX holds a student as it was fitted, and this one was adapted to another "
            "meaning of y. Keep it by save_student or as a pickle."
        )
    if student.latent_law_ is not None:
        raise ValueError(
            "A file of ONNX holds Gaussian members; those of this student have a latent_law_. "
            "Fit with latent='gaussian', or keep the student as a pickle."
        )
    file = check_path(path, "path")
    is_classifier = hasattr(student, "classes_")
    known = CLASSIFICATION if is_classifier else REGRESSION
    if outputs is not None:
        outputs = (outputs,) if isinstance(outputs, str) else outputs
        is_sequence = isinstance(outputs, Sequence) and not isinstance(outputs, bytes)
        if not is_sequence or not outputs or not set(map(str, outputs)) <= {*known, ALL_DRAWS}:
            names = ", ".join((*known, ALL_DRAWS))
            raise ValueError(f"outputs must be some of {names}; got {outputs!r}.")
        outputs = list(dict.fromkeys(outputs))  # a file has each of them once
    levels = check_levels(quantiles, "quantiles")
    graph = Graph(reserved=known)
    network, reader = student.student_, student._reader
    rows = add_rows(graph, reader, student.n_features_in_, preprocessed)
    members = add_members(graph, network, student._units, rows)
    found: Found = {}
    if is_classifier:
        reasons = _add_classes(graph, student, members, found)
    else:
        reasons = _add_values(graph, student, members, rows, levels, outputs, found)
    found.update(add_draws(graph, members, network))
    reasons["shared_noise"] = "this student's noise is independent from output to output"
    gaps = _find_gaps(graph, rows)
    if outputs is not None and ALL_DRAWS in outputs:
        drawn_from = [name for name in DRAWS if name in found]
        outputs = list(dict.fromkeys([*outputs, *drawn_from]))
        outputs.remove(ALL_DRAWS)
    for name in outputs if outputs is not None else found:
        if name not in found:
            raise ValueError(f"The output {name!r} is not available: {reasons[name]}.")
        value, shape = found[name]
        graph.output(name, graph.add("Add", value, gaps[len(shape)]), shape)
    model = graph.make_model(_describe(student, levels, preprocessed, known), __version__)
    file.write_bytes(model.SerializeToString())


def _find_gaps(graph: Graph, rows: str) -> dict[int, str]:
    """Return NaN where a standardised row (n, d) is not finite, and 0 elsewhere, by number of axes.

    All outputs add it: a runtime may lose NaN on the way, by operators such as "Max".
    """
    gaps = graph.sum(graph.add("Mul", rows, 0.0), 1, keepdims=True)
    return {
        1: graph.add("Squeeze", gaps, np.array([1])),
        2: gaps,
        3: graph.unsqueeze(gaps, 2),
    }


def _add_values(
    graph: Graph,
    student: Any,
    members: Members,
    rows: str,
    levels: np.ndarray,
    outputs: Sequence[str] | None,
    found: Found,
) -> dict[str, str]:
    """Add what a student of regressors predicts of y; return why something is missing."""
    wanted = REGRESSION if outputs is None else outputs
    if not set(wanted) - {*DRAWS, ALL_DRAWS}:
        return {}
    shape = [ROWS, student.n_outputs_]
    way_back = WayBack(graph, student.target_transformation_)
    mean, std = way_back.moments(members.mean, members.variance)
    found["mean"], found["std"] = (mean, shape), (std, shape)
    scores = getattr(student, "conformal_scores_", None)
    noise = None
    if student.target_noise_ is not None:
        noise = NoiseOfY(graph, student.target_noise_, members, rows)
    if "quantiles" in wanted and (noise is not None or scores is not None):
        value = add_quantiles(graph, members, noise, scores, levels, way_back)
        found["quantiles"] = value, [*shape, len(levels)]
    if noise is not None and way_back.is_linear:
        aleatoric, epistemic = noise.variances(way_back)
        found["aleatoric"], found["epistemic"] = (aleatoric, shape), (epistemic, shape)
    reason = "fit was called without y, which the noise of y needs"
    if noise is not None:
        reason = (
            "variances of a y whose transformation is not linear take thousands of values a row. "
            "Take them of draws, or from quantiles"
        )
    return dict.fromkeys(("quantiles", "aleatoric", "epistemic"), reason)


def _add_classes(graph: Graph, student: Any, members: Members, found: Found) -> dict[str, str]:
    """Add what a student of classifiers predicts; return why something is missing."""
    n_outputs, network = student.n_outputs_, student.student_
    if n_outputs == 1:
        probabilities, entropy = add_two_classes(graph, members)
    else:
        head = network.noise_head
        r = 0 if head is None else head.out_features // n_outputs
        probabilities, entropy = add_several_classes(graph, members, n_outputs, network.q, r)
    found["probabilities"] = probabilities, [ROWS, len(student.classes_)]
    if has_entropies(n_outputs):
        aleatoric, epistemic = add_uncertainty(graph, probabilities, entropy)
        found["aleatoric"], found["epistemic"] = (aleatoric, [ROWS]), (epistemic, [ROWS])
    reason = (
        f"with {n_outputs} classes, predict_uncertainty takes as many draws as a row needs, which "
        "ONNX cannot. Take entropies of draws, as the page on deployment shows"
    )
    return dict.fromkeys(("aleatoric", "epistemic"), reason)


def _describe(
    student: Any, levels: np.ndarray, preprocessed: bool, known: Sequence[str]
) -> dict[str, str]:
    """Return what the file says of itself, each as JSON."""
    described: dict[str, Any] = {
        "student": type(student).__name__,
        "sklearn_dlf": __version__,
        "row_correlation": [float(each) for each in student.row_correlation_],
    }
    if student.member_law_ is not None:
        law = student.member_law_._asdict()
        described["member_law"] = {name: values.tolist() for name, values in law.items()}
    if hasattr(student, "classes_"):
        described["classes"] = student.classes_.tolist()
    else:
        described["quantiles"] = levels.tolist()
    encoder = student.preprocessor_
    if isinstance(encoder, TableEncoder) and not preprocessed:
        names = name_inputs(encoder, known)
        if names is not None:
            described["inputs"] = dict(zip(names, encoder.kinds_, strict=True))
    return {key: json.dumps(value, default=str) for key, value in described.items()}
