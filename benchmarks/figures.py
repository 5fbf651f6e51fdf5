"""Figures of the benchmarks: one panel for each score, one colour for each series."""

from __future__ import annotations

import matplotlib
import numpy as np

matplotlib.use("agg")

from matplotlib import pyplot as plt
from tables import differences, standard_error, values_of

MARKERS = "os^Dv<>"


class Panels:
    """A row of panels that share one axis of places.

    The places are lines from top to bottom, or numbers on a horizontal log scale.

    Parameters
    ----------
    titles : dict
        Title of the panel of each score.
    places : list of str
        Names of the places.
    n_beside : int
        Number of series that are drawn beside one another within a line.
    label : str
        Label of the axis of places.
    is_number : bool
        Whether the places are numbers on a log scale.
    width : float
        Width of the figure in inches.
    ideal : dict
        Value of each score that a perfect student would have.
    """

    def __init__(self, titles, places, n_beside, *, label="", is_number=False, width=13, ideal=()):
        self.places = places
        self.n_beside = n_beside
        self.is_number = is_number
        height = 2.6 if is_number else 1.5 + (0.12 + 0.16 * n_beside) * len(places)
        self.figure, panels = plt.subplots(
            1, len(titles), figsize=(width, height), layout="constrained", sharey=not is_number
        )
        self.panels = dict(zip(titles, panels, strict=True))
        for key, panel in self.panels.items():
            if key in ideal:
                line = panel.axhline if is_number else panel.axvline
                line(ideal[key], color="0.8", linewidth=1, zorder=0)
            (panel.set_title if is_number else panel.set_xlabel)(titles[key], fontsize=10)
            panel.spines[["top", "right"]].set_visible(False)
            if is_number:
                panel.set_xscale("log")
                panel.set_xticks(np.array(places, dtype=float), places)
                panel.minorticks_off()
            else:
                panel.set_yticks(np.arange(len(places)), places)
        if is_number:
            self.figure.supxlabel(label, fontsize=10)
        else:
            panels[0].set_ylim(len(places) - 0.5, -0.5)
            panels[0].set_ylabel(label)

    def where(self, number):
        """Return the coordinates of the places for a series."""
        if self.is_number:
            return np.array(self.places, dtype=float)
        step = min(0.2, 0.8 / self.n_beside)
        shift = step * (number % self.n_beside - (self.n_beside - 1) / 2)
        return np.arange(len(self.places)) + shift

    def plot(self, key, number, mean, error, **style):
        """Draw dots and bars of series ``number`` in the panel of a score."""
        style = {"marker": MARKERS[number % len(MARKERS)], "color": f"C{number}", **style}
        style = {"markersize": 4, "capsize": 2, "linewidth": 1, **style}
        where = self.where(number)
        if self.is_number:
            self.panels[key].errorbar(where, mean, yerr=error, linestyle="-", **style)
        else:
            self.panels[key].errorbar(mean, where, xerr=error, linestyle="", **style)

    def circle(self, key, number, mean, label):
        """Draw grey circles beside the dots of a series."""
        where = self.where(number)
        points = (where, mean) if self.is_number else (mean, where)
        style = {"color": "0.5", "fillstyle": "none", "markersize": 5, "label": label}
        self.panels[key].plot(*points, "o", **style)

    def save(self, path, *, loc="outside right center", **legend):
        """Add the legend and save the figure."""
        handles = list(self.panels.values())[-1].get_legend_handles_labels()
        self.figure.legend(*handles, loc=loc, **legend)
        self.figure.savefig(path, dpi=150)
        plt.close(self.figure)


def draw_comparison(path, records_by_set, models, titles, less_teachers, ideal):
    """Save a figure of students on several data sets.

    There is one line for each data set, one panel for each score and one colour for each model.
    Dots are means over splits, and bars are their standard errors. Scores in ``less_teachers`` are
    shown less the teachers', paired by split.
    """
    places = [name.capitalize() for name in records_by_set]
    panels = Panels(titles, places, len(models), width=10, ideal=ideal)
    for number, model in enumerate(models):
        sizes = [max(values_of(own, model, "parameters")) for own in records_by_set.values()]
        ends = " to ".join(f"{size:,}" for size in sorted({min(sizes), max(sizes)}))
        label = f"{model}, {ends} parameters"
        for key in titles:
            scores = [
                differences(own, model, "teachers", key)
                if key in less_teachers
                else values_of(own, model, key)
                for own in records_by_set.values()
            ]
            mean, error = map(np.mean, scores), map(standard_error, scores)
            panels.plot(key, number, list(mean), list(error), label=label)
    for panel in panels.panels.values():
        for line in range(1, len(places)):
            panel.axhline(line - 0.5, color="0.9", linewidth=0.5, zorder=0)
    panels.save(path, loc="outside upper center", ncols=2, frameon=False)
