"""Records of the benchmarks, and the Markdown tables that are made from them.

A record holds the scores of one model on one split of one data set. It is a dict in memory, and a
line of JSON in a file.
"""

from __future__ import annotations

import json

import numpy as np


def load_records(path):
    """Return the records of earlier runs; none if there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def records_of(path, /, **key):
    """Return the records of earlier runs that have the values of ``key``."""
    return [record for record in load_records(path) if key.items() <= record.items()]


def append_records(path, records):
    """Append the records of a run that has ended; an interrupted run leaves none."""
    with path.open("a") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def values_of(records, model, key):
    """Return the values of a score over splits; none if it was not measured."""
    return [record[key] for record in records if record["model"] == model and key in record]


def differences(records, model, reference, key):
    """Return the values of a score less those of the reference, paired by split."""
    scores = {(record["model"], record["split"]): record for record in records}
    splits = sorted({record["split"] for record in records})
    return [scores[model, split][key] - scores[reference, split][key] for split in splits]


def standard_error(values):
    """Return the standard error of the mean; zero for a single value."""
    return np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0


def format_mean(values, digits=3):
    """Return mean and standard error as text, without decimals if all values are integers."""
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
    """Return a Markdown table; the first of the lines is its head."""
    lines = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def format_table(records, models, columns, digits=3):
    """Return a table of one data set with one line for each model.

    ``columns`` maps each score that is shown to its title.
    """
    lines = [
        [model, *(format_mean(values_of(records, model, key), digits) for key in columns)]
        for model in models
    ]
    return format_rows([["", *columns.values()], *lines])


def format_differences(records, reference, models, columns, digits=3):
    """Return a table of one data set: for each model, its scores less those of the reference."""
    lines = [
        [
            model,
            *(format_mean(differences(records, model, reference, key), digits) for key in columns),
        ]
        for model in models
    ]
    return format_rows([[f"less {reference}", *columns.values()], *lines])


def format_sets(records_by_set, models, cell):
    """Return a table with one line for each data set and one column for each model.

    ``cell(records, model)`` returns the text for a model from the records of one data set.
    """
    lines = [
        [name.capitalize(), *(cell(records, model) for model in models)]
        for name, records in records_by_set.items()
    ]
    return format_rows([["", *models], *lines])
