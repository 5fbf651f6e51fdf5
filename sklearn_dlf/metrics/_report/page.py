"""A report as text, and as a page of HTML for notebooks."""

from __future__ import annotations

import base64
import html
import io
import math
from typing import TYPE_CHECKING

from .figure import draw

if TYPE_CHECKING:
    from .._fidelity_report import FidelityReport

COLORS = {"good": "#1a7f37", "fair": "#9a6700", "poor": "#cf222e", "unknown": "#6e7781"}

# Styles of cells, which notebooks and plain pages show alike.
LEFT, RIGHT = (f"text-align:{side};padding:2px 10px" for side in ("left", "right"))

# Dots per inch of the figure inside a page. 80 was chosen: about 900 pixels wide.
PAGE_DPI = 80


def as_text(report: FidelityReport) -> str:
    """Return the report as lines of text."""
    width = max(len(check.name) for check in report.checks)
    lines = [_title(report), f"Verdict: {report.verdict} ({report.reason})", ""]
    for check in report.checks:
        line = f"{check.name:{width}}  {_number(check.value):>7}  {_word(check.grade):6}"
        lines.append(f"{line}{_reference(check)}".rstrip())
    lines += ["", *(f"{name}: {rows}" for name, rows in _worst_rows(report))]
    return "\n".join([*lines, *(f"Note: {note}" for note in report.notes)])


def as_html(report: FidelityReport) -> str:
    """Return the report as HTML, with its figure if matplotlib is installed."""
    color = _color(report.verdict)
    cells = "".join(
        f"<tr><td style='{LEFT}'>{html.escape(check.name)}</td>"
        f"<td style='{RIGHT}'>{_number(check.value)}</td>"
        f"<td style='{LEFT};color:{COLORS[check.grade]}'>{_word(check.grade)}</td>"
        f"<td style='{LEFT}'>{html.escape(_reference(check))}</td></tr>"
        for check in report.checks
    )
    worst = "".join(f"<li>{name}: {html.escape(rows)}</li>" for name, rows in _worst_rows(report))
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in report.notes)
    return (
        "<div class='sklearn-dlf-report'>"
        f"<p><b>{html.escape(_title(report))}</b><br>Verdict: "
        f"<b style='color:{color}'>{report.verdict}</b> ({html.escape(report.reason)})</p>"
        f"<table><thead><tr><th style='{LEFT}'>score</th><th style='{RIGHT}'>student</th>"
        f"<th style='{LEFT}'>grade</th><th style='{LEFT}'>compared with</th></tr></thead>"
        f"<tbody>{cells}</tbody></table>"
        f"<ul>{worst}{notes}</ul>{_image(report)}</div>"
    )


def _title(report: FidelityReport) -> str:
    return f"{report.name} against {report.n_members} members at {report.n_samples} rows"


def _color(verdict: str) -> str:
    words = {"faithful": "good", "roughly faithful": "fair", "not faithful": "poor"}
    return COLORS[words.get(verdict, "unknown")]


def _word(grade: str) -> str:
    return "" if grade == "unknown" else grade


def _reference(check) -> str:
    if math.isnan(check.reference):
        return ""
    return f"{check.meaning}: {_number(check.reference)}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"


def _worst_rows(report: FidelityReport) -> list[tuple[str, str]]:
    """Return names of the two errors, and the rows where they are largest with their values."""
    errors = [
        ("Largest errors of the mean (std over rows)", report.worst_mean_rows, report.mean_errors),
        (
            "Largest errors of the spread (mean spreads)",
            report.worst_spread_rows,
            report.spread_errors,
        ),
    ]
    return [
        (name, ", ".join(f"row {row} ({values[row]:+.2g})" for row in rows))
        for name, rows, values in errors
    ]


def _image(report: FidelityReport) -> str:
    """Return the figure as an image, or nothing without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return ""
    # A figure without pyplot is not shown a second time by the notebook.
    figure, file = Figure(), io.BytesIO()
    draw(report, figure)
    figure.savefig(file, format="png", dpi=PAGE_DPI)
    encoded = base64.b64encode(file.getvalue()).decode()
    return f"<img alt='figure of the report' src='data:image/png;base64,{encoded}'>"
