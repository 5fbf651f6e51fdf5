"""Tables of benchmarks/compare_fidelity.py, and counts of cells that pass a bar.

A cell is a data set with a kind of ensemble. ``cells`` maps (kind, data set) to records.
"""

from __future__ import annotations

import held_out
import numpy as np
from tables import format_mean, format_sets, values_of

TEACHERS, DLF, ROWS, HYDRA = "teachers", "DLF", "DLF, rows", "Hydra"
PLAIN = "DLF, plain"
BOOSTING, NETWORK = "boosting", "network"

MOMENTS = {
    "mean_error": "Error of the mean",
    "std_ratio": "Std ratio, root mean squares",
    "std_corr": "Std correlation",
    "std_corr_share": "Std correlation over its ceiling",
    "std_rank_corr": "Rank correlation of std",
    "n_exploding": "Rows with more than 5 times the largest spread of the members",
    "member_nll_gap": "Member NLL less that of the members' own moments, nats",
    "member_law_gain": "Gain of the law of members at a row, nats",
    "joint_energy": "Joint energy distance",
    "nll": "NLL of y, nats",
    "fit_s": "Processor seconds of the fit",
}
CEILINGS = {"std_ceiling": "ceiling", "std_reliability": "two ensembles"}
HELD_OUT = {
    "joint_gain": "Joint less independent log-likelihood of held-out members, nats per entry",
    "best_multiple": "Best multiple of the covariance off the diagonal",
    "cov_error": "Relative error of the covariance off the diagonal",
    "factor_variance_ratio": "Share of the variance that factors explain",
}
OUTPUTS = {
    "slope": "Slope of the student's correlations between outputs on the members'",
    "corr": "Correlation of these correlations",
    "reliability": "Correlation of these correlations of two ensembles",
    "std_ratio": "Std ratio, root mean squares",
    "fit_s": "Processor seconds of the fit",
}

# A student with made rows is worse than one without if its NLL is higher by this, in nats; one with
# factors is worse than one without if the joint gain is below minus `MAX_LOSS`, in nats per entry.
WORSE, MAX_LOSS = 0.02, 0.002

# What the std ratio, the best multiple of a covariance, a slope, and a correlation have to be.
RATIOS, MULTIPLES, SLOPES, MIN_CORRELATION = (0.9, 1.1), (0.7, 1.4), (0.8, 1.2), 0.8


class Means:
    """Means over splits of scores in cells."""

    def __init__(self, cells):
        self.cells = cells
        self.kinds = list(dict.fromkeys(kind for kind, _ in cells))

    def of(self, key, model):
        """Return the mean of a score for each cell."""
        return {c: float(np.mean(values_of(own, model, key))) for c, own in self.cells.items()}

    def count_within(self, key, bounds):
        """Return bounds, and in how many cells a score of the default student is within them."""
        low, high = bounds
        within = {cell: low <= value <= high for cell, value in self.of(key, DLF).items()}
        return f"{low} and {high}: {count(within)}"

    def by_set(self, kind):
        """Return the records of each data set for one kind of ensemble."""
        return {name: records for (own, name), records in self.cells.items() if own == kind}

    def print_tables(self, columns, models):
        """Print a table for each kind of ensemble and score, of the models that have the score."""
        for kind in self.kinds:
            by_set = self.by_set(kind)
            for key, title in columns.items():
                known = [m for m in models if any(values_of(r, m, key) for r in by_set.values())]
                if known:
                    table = format_sets(
                        by_set, known, lambda r, m, key=key: format_mean(values_of(r, m, key))
                    )
                    print(f"\n### {kind}: {title}\n\n{table}")


def count(passes):
    """Return how many cells pass, and which do not."""
    failed = ", ".join(f"{name} ({kind})" for (kind, name), each in passes.items() if not each)
    return f"{sum(passes.values())} of {len(passes)}" + (f"; not {failed}" if failed else "")


def print_moments(cells, students):
    """Print what part "moments" has measured."""
    means = Means(cells)
    means.print_tables(MOMENTS, [TEACHERS, *students])
    for kind in means.kinds:
        table = format_sets(
            means.by_set(kind),
            CEILINGS.values(),
            lambda records, title: format_mean(
                [
                    r[key]
                    for key, own in CEILINGS.items()
                    if own == title
                    for r in records
                    if key in r
                ]
            ),
        )
        print(
            f"\n### {kind}: Ceiling of the std correlation, correlation of two ensembles\n\n{table}"
        )
    print("\n### Bars\n")
    if ROWS in students:
        for key in ("nll", "member_nll_gap"):
            made, rows = means.of(key, DLF), means.of(key, ROWS)
            passes = {cell: made[cell] - rows[cell] <= WORSE for cell in cells}
            print(f"- {key} with made rows at most {WORSE} above that without: {count(passes)}")
    print(f"- std ratio between {means.count_within('std_ratio', RATIOS)}")
    share = means.of("std_corr_share", DLF)
    for kind in means.kinds:
        mean = np.mean([value for (own, _), value in share.items() if own == kind])
        print(f"- {kind}: std correlation over its ceiling, mean over sets: {mean:.3f}")
    explodes = means.of("n_exploding", DLF)
    print(f"- no exploding std: {count({cell: n == 0 for cell, n in explodes.items()})}")
    print_ranks(means, students)
    print_costs(means, students)


def print_ranks(means, students):
    """Print in how many cells the default student is the best of several."""
    simple = [model for model in (BOOSTING, NETWORK) if model in students]
    others = [model for model in students if model not in (DLF, ROWS, PLAIN)]
    for title, key, rest, sign in (
        ("std correlation highest", "std_corr", simple, 1),
        ("joint energy distance lowest", "joint_energy", others, -1),
        ("error of the mean lowest", "mean_error", simple[:1], -1),
    ):
        if not rest:
            continue
        own, scores = means.of(key, DLF), [means.of(key, model) for model in rest]
        passes = {
            cell: all(sign * own[cell] >= sign * each[cell] for each in scores) for cell in own
        }
        print(f"- {title} of {', '.join([DLF, *rest])}: {count(passes)}")


def print_costs(means, students):
    """Print mean gaps of NLLs to the teachers, and the time of all fits."""
    floor = means.of("nll", TEACHERS)
    for key, title in (("nll", "NLL of y"), ("member_nll_gap", "member NLL")):
        gaps = {
            model: np.mean(
                [v - (floor[c] if key == "nll" else 0) for c, v in means.of(key, model).items()]
            )
            for model in students
        }
        text = ", ".join(f"{model} {gap:.4f}" for model, gap in gaps.items())
        print(f"- {title} less the teachers', mean over cells: {text}")
    seconds = {model: sum(means.of("fit_s", model).values()) for model in students}
    text = ", ".join(f"{model} {value:.1f}" for model, value in seconds.items())
    print(f"- processor seconds of the fits, sum over cells: {text}")


def print_held_out(cells, students):
    """Print what part "held-out" has measured."""
    means = Means(cells)
    means.print_tables(HELD_OUT, [held_out.DLF, held_out.REFERENCE, held_out.SAMPLE])
    gain, best = means.of("joint_gain", held_out.DLF), means.of("joint_gain", held_out.REFERENCE)
    print("\n### Bars\n")
    not_below = {cell: value >= -MAX_LOSS for cell, value in gain.items()}
    print(f"- joint gain not below -{MAX_LOSS}: {count(not_below)}")
    half = {cell: value >= best[cell] / 2 for cell, value in gain.items()}
    print(f"- joint gain at least half of the reference's: {count(half)}")
    print(f"- best multiple between {means.count_within('best_multiple', MULTIPLES)}")


def print_outputs(cells, students):
    """Print what part "outputs" has measured."""
    means = Means(cells)
    means.print_tables(OUTPUTS, students)
    print("\n### Bars\n")
    print(f"- slope between {means.count_within('slope', SLOPES)}")
    follows = {cell: value >= MIN_CORRELATION for cell, value in means.of("corr", DLF).items()}
    print(f"- correlation at least {MIN_CORRELATION}: {count(follows)}")
