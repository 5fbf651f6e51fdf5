"""Records of the benchmarks, and the Markdown tables that are made of them.

A record is what was measured of one model on one split of one set: a dict, and a line of a file.
"""

from __future__ import annotations

import json

import numpy as np


def load_records(path):
    """Records of earlier runs."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def append_records(path, records):
    """Write the records of a run when it has ended: an interrupted one leaves none."""
    with path.open("a") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def values_of(records, model, key):
    """Values of a score over splits; empty where it was not measured."""
    return [record[key] for record in records if record["model"] == model and key in record]


def differences(records, model, reference, key):
    """Values of a score less those of the reference, paired by split."""
    scores = {(record["model"], record["split"]): record for record in records}
    splits = sorted({record["split"] for record in records})
    return [scores[model, split][key] - scores[reference, split][key] for split in splits]


def standard_error(values):
    """Standard error of the mean; zero of a single value."""
    return np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0


def format_mean(values, digits=3):
    """Mean and standard error; nothing where nothing was measured, no digits of whole numbers."""
    if not values:
        return ""
    if all(isinstance(value, int) for value in values):
        digits = 0
    mean = np.mean(values)
    text = f"{mean:,.0f}" if abs(mean) >= 1000 else f"{mean:.{digits}f}"
    if np.ptp(values) > 0:
        text += f" ± {standard_error(values):.{digits}f}"
    return text


def format_rows(lines):
    """Lines of a Markdown table, of which the first is its head."""
    lines = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def format_table(records, models, columns, digits=3):
    """Table of one set, a line a model.

    ``columns`` gives the name of each score that is shown.
    """
    lines = [
        [model, *(format_mean(values_of(records, model, key), digits) for key in columns)]
        for model in models
    ]
    return format_rows([["", *columns.values()], *lines])


def format_differences(records, reference, models, columns, digits=3):
    """Table of one set: a line a model, its scores less those of the reference."""
    lines = [
        [
            model,
            *(format_mean(differences(records, model, reference, key), digits) for key in columns),
        ]
        for model in models
    ]
    return format_rows([[f"less {reference}", *columns.values()], *lines])


def format_sets(records_by_set, models, cell):
    """Table of all sets, a line each, and a column a model.

    ``cell(records, model)`` is the text of a model on the records of one set.
    """
    lines = [
        [name.capitalize(), *(cell(records, model) for model in models)]
        for name, records in records_by_set.items()
    ]
    return format_rows([["", *models], *lines])
