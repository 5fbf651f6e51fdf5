"""The figure of a report: six panels."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from .row_covariance import off_diagonal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .._fidelity_report import FidelityReport

STUDENT, TEACHER, WORST = "tab:blue", "0.5", "tab:red"
GRADE_COLORS = {"good": "tab:green", "fair": "tab:orange", "poor": "tab:red", "unknown": "0.5"}

# Most points of a panel. 3,000 was chosen: more of them cover each other.
MAX_POINTS = 3000

# Bins of confidence of the reliability diagram. 10 were chosen, for a few hundred rows.
N_BINS = 10

# Most outputs or classes that a legend names; a choice.
MAX_NAMES = 8

# What marks of the worst rows are called.
LARGEST = "rows of largest errors"

# Size of the figure, in inches.
SIZE = 11.5, 7.0


def draw(report: FidelityReport, figure: Figure) -> None:
    """Draw all panels on an empty figure."""
    figure.set_size_inches(*SIZE)
    figure.set_layout_engine("constrained")
    axes = figure.subplots(2, 3)
    title = f"{report.name}, {report.n_members} members, {report.n_samples} rows."
    figure.suptitle(f"{title} Verdict: {report.verdict}")
    _draw_mean(report, axes[0, 0])
    _draw_spread(report, axes[0, 1])
    _draw_covariance(report, axes[0, 2])
    _draw_calibration(report, axes[1, 0])
    _draw_errors(report, axes[1, 1])
    _draw_checks(report, axes[1, 2])


def _draw_mean(report: FidelityReport, ax: Axes) -> None:
    is_classifier = report.kind == "classifier"
    teacher, student = report.teacher_mean, report.student_mean
    unit = ""
    if _has_units(report):
        center, std = teacher.mean(axis=0), _positive(teacher.std(axis=0))
        teacher, student = (teacher - center) / std, (student - center) / std
        unit = " (std over rows)"
    points, worst = _scatter(ax, teacher, student, report.worst_mean_rows)
    noun = "averaged probabilities" if is_classifier else f"mean of members{unit}"
    ax.set(xlabel=f"teacher: {noun}", ylabel=f"student: {noun}", title="Mean")
    names, title = [], None
    if 1 < len(points) <= MAX_NAMES:
        classes = report.comparison.classes
        names = [str(name) for name in (range(len(points)) if classes is None else classes)]
        title = "output" if classes is None else "class"
    _explain(ax, [*points[: len(names)], *worst], names, title)


def _draw_spread(report: FidelityReport, ax: Axes) -> None:
    is_classifier = report.kind == "classifier"
    teacher, student = report.teacher_spread, report.student_spread
    unit = ""
    if _has_units(report):
        means = _positive(teacher.mean(axis=0))
        teacher, student, unit = teacher / means, student / means, " (mean spreads)"
    _, worst = _scatter(ax, teacher, student, report.worst_spread_rows)
    noun = "mutual information (nats)" if is_classifier else f"spread of members{unit}"
    ax.set(xlabel=f"teacher: {noun}", ylabel=f"student: {noun}", title="Spread")
    _explain(ax, worst)


def _draw_covariance(report: FidelityReport, ax: Axes) -> None:
    compared = report.comparison
    of_teacher = [off_diagonal(compared.members[compared.rows][:, c]) for c in compared.parts]
    of_student = [covariance.values for covariance in compared.covariances]
    unit = ""
    if _has_units(report):
        squares = _positive(report.teacher_spread.mean(axis=0)) ** 2
        of_teacher, of_student = (
            [values / square for values, square in zip(each, squares, strict=True)]
            for each in (of_teacher, of_student)
        )
        unit = " (squared mean spreads)"
    columns = np.stack(of_teacher, axis=1), np.stack(of_student, axis=1)
    _scatter(ax, *columns, alpha=0.25)
    title = "Covariance between different rows"
    ax.set(xlabel=f"teacher{unit}", ylabel=f"student{unit}", title=title)


def _has_units(report: FidelityReport) -> bool:
    """Return whether outputs share axes and may have different units: each gets its own."""
    return report.kind == "regressor" and report.teacher_mean.shape[1] > 1


def _positive(units: np.ndarray) -> np.ndarray:
    """Return units, with one for zero."""
    return np.where(units > 0, units, 1.0)


def _explain(
    ax: Axes, handles: list[Any], names: list[str] | None = None, title: str | None = None
) -> None:
    """Write a legend of points with these names, and of those of the worst rows, if any."""
    names = names or []
    labels = [*names, *[LARGEST] * (len(handles) - len(names))]
    if handles:
        ax.legend(handles, labels, title=title, frameon=False)


def _draw_calibration(report: FidelityReport, ax: Axes) -> None:
    ax.set_title("Calibration")
    if report.ece is not None:
        targets = report.calibration.targets
        for name, probabilities, color in (
            ("teacher", report.teacher_mean, TEACHER),
            ("student", report.student_mean, STUDENT),
        ):
            _draw_reliability(ax, probabilities, targets, name, color)
        ax.set(xlabel="confidence", ylabel="accuracy")
    elif report.calibration.coverage is not None:
        levels, coverage = report.levels, report.calibration.coverage
        error = 2 * np.sqrt(levels * (1 - levels) / report.n_samples)
        ax.fill_between(levels, levels - error, levels + error, color="0.85", label="2 std. errors")
        for output, shares in enumerate(coverage.T):
            label = "student" if coverage.shape[1] == 1 else f"output {output}"
            ax.plot(levels, shares, "o-", label=label, color=f"C{output % 10}", markersize=4)
        ax.set(xlabel="level of the interval", ylabel="share of y inside")
    else:
        note = textwrap.fill(report.calibration.note or "not known", 34)
        ax.text(0.5, 0.5, note, ha="center", va="center", color="0.4", transform=ax.transAxes)
        ax.set_axis_off()
        return
    low, high = ax.get_xlim()
    ax.plot([low, high], [low, high], color=TEACHER, linewidth=1, linestyle=":", zorder=0)
    ax.legend(frameon=False, loc="best")


def _draw_reliability(
    ax: Axes, probabilities: np.ndarray, targets: Any, name: str, color: str
) -> None:
    """Draw accuracy over confidence, in bins of equal numbers of rows."""
    confidence = probabilities.max(axis=1)
    is_right = np.take_along_axis(targets, probabilities.argmax(axis=1)[:, None], 1)[:, 0]
    bins = np.array_split(np.argsort(confidence, kind="stable"), min(N_BINS, len(confidence)))
    points = [(confidence[rows].mean(), is_right[rows].mean()) for rows in bins]
    ax.plot(*np.transpose(points), "o-", color=color, label=name, markersize=4)


def _draw_errors(report: FidelityReport, ax: Axes) -> None:
    """Draw the errors of each row, and name the rows where they are largest."""
    mean, spread = report.mean_errors, report.spread_errors
    worst = np.union1d(report.worst_mean_rows, report.worst_spread_rows)
    ax.axhline(0, color="0.85", linewidth=1, zorder=0)
    ax.axvline(0, color="0.85", linewidth=1, zorder=0)
    ax.scatter(mean, spread, s=12, alpha=0.6, linewidth=0, color=STUDENT, rasterized=True)
    marked = ax.scatter(mean[worst], spread[worst], s=14, linewidth=0, color=WORST)
    if len(worst):
        _explain(ax, [marked])
    for row in worst:
        if np.isfinite([mean[row], spread[row]]).all():
            ax.annotate(str(row), (mean[row], spread[row]), fontsize=7, color=WORST)
    ax.margins(0.1)
    ax.set(
        xlabel="error of the mean (std over rows)",
        ylabel="error of the spread (mean spreads)",
        title="Where it is worst: numbers of rows",
    )


def _draw_checks(report: FidelityReport, ax: Axes) -> None:
    """Write the scores, each with its grade."""
    ax.set_axis_off()
    ax.set_title("Scores (in brackets: compared with)")
    # One line each at nine lines, less height where there are more.
    step = 1 / max(len(report.checks), 9)
    style: dict[str, Any] = {"va": "center", "fontsize": 7, "linespacing": 0.95}
    for number, check in enumerate(report.checks):
        height = 1 - (number + 0.7) * step
        color = GRADE_COLORS[check.grade]
        value = "-" if math.isnan(check.value) else f"{check.value:.3g}"
        name = textwrap.fill(check.name, 30)
        ax.text(0, height, name, transform=ax.transAxes, **style)
        ax.text(0.7, height, value, ha="right", transform=ax.transAxes, **style)
        if not math.isnan(check.reference):
            reference = f"({check.reference:.3g})"
            ax.text(0.72, height, reference, color="0.4", transform=ax.transAxes, **style)
        if check.grade != "unknown":
            ax.text(
                1, height, check.grade, ha="right", color=color, transform=ax.transAxes, **style
            )


def _scatter(
    ax: Axes, x: np.ndarray, y: np.ndarray, worst: np.ndarray | None = None, alpha: float = 0.6
) -> tuple[list[Any], list[Any]]:
    """Draw points, the line on which both are equal, and the worst rows.

    Returns the points of each column, which has a colour of its own, and those of the worst rows.
    """
    both = np.concatenate([x.ravel(), y.ravel()])
    ends = [both.min(), both.max()]
    ax.plot(ends, ends, color=TEACHER, linewidth=1, zorder=0)
    x, y = x.reshape(len(x), -1), y.reshape(len(y), -1)
    step = -(-len(x) // MAX_POINTS)
    points = []
    for column in range(x.shape[1]):
        color = f"C{column % 10}"
        style: dict[str, Any] = {
            "s": 10,
            "alpha": alpha,
            "linewidth": 0,
            "color": color,
            "rasterized": True,
        }
        points.append(ax.scatter(x[::step, column], y[::step, column], **style))
    marked = []
    if worst is not None and len(worst):
        style = {"s": 28, "facecolor": "none", "edgecolor": WORST, "linewidth": 1}
        marked.append(ax.scatter(x[worst].ravel(), y[worst].ravel(), **style))
    return points, marked
