"""Calls of scores, figures and data that ``fuzz.py`` draws.

Each function takes a `Draw` and returns a `Call`, with arguments of which some may be spoilt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from fuzz_values import COUNTS, SEEDS, Draw

from sklearn_dlf import datasets, metrics, plotting


class Call(NamedTuple):
    """A call of a public function.

    Attributes
    ----------
    function : callable
        What is called, with keywords.
    arguments : dict
        The keywords.
    check : callable
        Takes the result; returns what is wrong with it, or None.
    allows_nan : bool
        Whether NaN is documented.
    unchanged : callable or None
        Returns bytes that an error must leave as they are, such as a student's predictions.
    """

    function: Callable[..., Any]
    arguments: dict[str, Any]
    check: Callable[[Any], str | None]
    allows_nan: bool = False
    unchanged: Callable[[], Any] | None = None


def numbers_of(result: Any) -> list[np.ndarray]:
    """Return all numbers in a result, as arrays."""
    if isinstance(result, Mapping):
        return [array for each in result.values() for array in numbers_of(each)]
    if isinstance(result, tuple):
        return [array for each in result for array in numbers_of(each)]
    array = np.asarray(result)
    return [array] if array.dtype.kind in "fc" else []


def finite(result: Any) -> str | None:
    """Return what is wrong with numbers that have to be finite."""
    bad = sum(np.count_nonzero(~np.isfinite(array)) for array in numbers_of(result))
    return f"{bad} numbers are not finite" if bad else None


def shaped(*shape: int | None) -> Callable[[Any], str | None]:
    """Return a check of the shape of an array, or of all in a tuple; None is any length."""

    def check(result: Any) -> str | None:
        for each in result if isinstance(result, tuple) else (result,):
            found = np.shape(each)
            fits = len(found) == len(shape) and all(
                wanted in (None, length) for length, wanted in zip(found, shape, strict=True)
            )
            if not fits:
                return f"shape {found}, expected {shape}"
        return finite(result)

    return check


def within(low: float, high: float) -> Callable[[Any], str | None]:
    """Return a check of a float."""

    def check(result: Any) -> str | None:
        if not isinstance(result, float):
            return f"{type(result).__name__} and no float"
        tolerance = 1e-9
        inside = np.isnan(result) or low - tolerance <= result <= high + tolerance
        return finite(result) if inside else f"{result} is not within {low} and {high}"

    return check


def n_rows_of(rows: Any) -> int:
    """Return the number of rows of a container."""
    shape = getattr(rows, "shape", None)
    return shape[0] if shape else len(rows)


def anything(result: Any) -> str | None:
    """Accept any result."""
    return None


def scores(draw: Draw) -> Call:
    """Scores of draws, mixtures and intervals."""
    n, m = draw.rng.randint(1, 8), draw.rng.randint(1, 6)
    y = draw.array("y_true", draw.normal(n))
    arguments = {"y_true": y}
    kind = draw.rng.randint(3)
    if kind == 2:
        ends = np.sort(draw.normal(n, 2), axis=1)
        arguments["intervals"] = draw.array("intervals", ends)
        return Call(metrics.interval_coverage, arguments, within(0, 1))
    if kind == 1:
        arguments["means"] = draw.array("means", draw.normal(n, m))
        arguments["variances"] = draw.array("variances", np.exp(draw.normal(n, m)))
        function, check = metrics.gaussian_mixture_nll, within(-np.inf, np.inf)
    else:
        arguments["draws"] = draw.array("draws", draw.normal(n, m))
        function, check = metrics.crps_ensemble, within(0, np.inf)
    arguments["sample_weight"] = draw.weights(n)
    return Call(function, arguments, check)


def fidelity(draw: Draw) -> Call:
    """Fidelity of mean and spread, with and without factors."""
    n, m, q = draw.rng.randint(2, 9), draw.rng.randint(2, 7), draw.rng.randint(1, 4)
    arguments = {
        "members": draw.array("members", draw.normal(n, m), one_row="bad"),
        "mean": draw.array("mean", draw.normal(n)),
        "std": draw.array("std", np.exp(draw.normal(n))),
    }
    if draw.rng.uniform() < 0.5:
        arguments["latent_parameters"] = {
            "mean": draw.array("latent_parameters", draw.normal(n, 1)),
            "loadings": draw.array("latent_parameters", draw.normal(n, 1, q)),
            "member_std": draw.array("latent_parameters", np.exp(draw.normal(n, 1))),
        }
        arguments["held_out_members"] = draw.array(
            "held_out_members", draw.normal(n, 4), nothing="edge"
        )
    return Call(metrics.member_fidelity, arguments, anything, allows_nan=True)


def class_scores(draw: Draw) -> Call:
    """Scores of probabilities."""
    n, n_classes = draw.rng.randint(1, 9), draw.rng.randint(2, 5)
    if draw.rng.uniform() < 0.4:
        members = draw.probabilities(n, n_classes, draw.rng.randint(1, 5))
        arguments = {"members": draw.array("members", members, a_row_too_many="variant")}
        return Call(metrics.mutual_information, arguments, shaped(None))
    labels = draw.rng.randint(n_classes, size=n)
    classes = None
    if draw.rng.uniform() < 0.4:
        classes = np.array(["a", "b", "c", "d"])[:n_classes]
        labels = classes[labels]
        classes = draw.one_of(
            "classes", classes, {"variant": [list(classes)], "bad": [classes[1:], 3]}
        )
    else:
        labels = draw.array("y_true", labels.astype(float), one_row="edge")
    arguments = {
        "y_true": labels,
        "probabilities": draw.array("probabilities", draw.probabilities(n, n_classes)),
        "classes": classes,
        "n_bins": draw.one_of("n_bins", 15, COUNTS),
    }
    return Call(metrics.expected_calibration_error, arguments, within(0, 1))


def figures(draw: Draw) -> Call:
    """Figures of given uncertainties."""
    n, m = draw.rng.randint(1, 9), draw.rng.randint(1, 9)
    first, second = np.exp(draw.normal(n)), np.exp(draw.normal(m))
    if draw.rng.uniform() < 0.5:
        arguments = {
            "teacher_spread": draw.array("teacher_spread", first),
            "student_spread": draw.array("student_spread", np.exp(draw.normal(n))),
        }
        return Call(plotting.SpreadDisplay.from_predictions, arguments, drawn)
    arguments = {
        "inside": draw.array("inside", first, a_row_too_many="variant"),
        "outside": draw.array("outside", second, a_row_too_many="variant"),
    }
    bins = {"variant": [3, [0.1, 1.0, 2.0]], "bad": [0, -1, 1.5, "many", [1.0], [2.0, 1.0], np.nan]}
    arguments["bins"] = draw.one_of("bins", 40, bins)
    return Call(plotting.UncertaintyDisplay.from_predictions, arguments, drawn)


def drawn(display: Any) -> str | None:
    """Render a display, as a notebook would, and close its figure."""
    from matplotlib import pyplot

    try:
        display.figure_.canvas.draw()
    finally:
        pyplot.close(display.figure_)
    return None


def data(draw: Draw) -> Call:
    """Data with a known truth."""
    noise = {
        "variant": [0, np.float32(0.5)],
        "edge": [1e300],
        "bad": [-0.1, np.nan, np.inf, "1", None],
    }
    counts = {**COUNTS, "edge": [np.uint8(2)], "bad": [*COUNTS["bad"], "3", 3.0]}
    n, d = (draw.one_of(name, 5, counts) for name in ("n_samples", "n_features"))
    arguments = {
        "n_samples": n,
        "n_features": d,
        "target_noise": draw.one_of("target_noise", 0.1, noise),
        "random_state": draw.one_of("random_state", 0, SEEDS),
    }
    if draw.rng.uniform() < 0.5:
        arguments["n_dims"] = draw.one_of("n_dims", 2, counts)
        arguments["noise"] = draw.one_of("noise", 0.01, noise)
        return Call(datasets.make_curved_surface, arguments, finite)
    for name in ("n_members", "n_outputs", "q"):
        arguments[name] = draw.one_of(name, 2, counts)
    loadings = {"variant": ["separable"], "bad": ["diagonal", None, 3, ["full"]]}
    arguments["loadings"] = draw.one_of("loadings", "full", loadings)
    arguments["member_noise"] = draw.one_of("member_noise", 0.1, noise)
    return Call(datasets.make_dlf_ensemble, arguments, finite)
