"""What the ablations vary: tasks, the variants of each study, and the table of studies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from datasets import Split
from teachers import join, of_networks

from sklearn_dlf._network.bodies import ACTIVATIONS
from sklearn_dlf._transfer.design_points import AUGMENTATIONS
from sklearn_dlf.ensembles import DeepEnsembleRegressor


class Scale(NamedTuple):
    """How large everything is: members, ensembles compared, parameters of teachers and students."""

    n_members: int
    sizes: tuple
    teacher: dict
    student: dict


FULL = Scale(50, (5, 10, 20, 50, 100, 200), {}, {})
QUICK = Scale(10, (5, 10), {"max_iter": 10}, {"q": 5, "max_iter": 2, "n_epochs": 2})


class Task:
    """A split of a set, and the networks trained on it, each kind once."""

    def __init__(self, data, seed, scale):
        self.data = data
        self.seed = seed
        self.scale = scale
        self._trained: dict = {}

    def networks(self, n_members=None, **parameters):
        """Members of one deep ensemble."""
        n_members = n_members or self.scale.n_members
        key = (n_members, *parameters.items())
        if key not in self._trained:
            parameters = {**self.scale.teacher, "random_state": self.seed, **parameters}
            networks = DeepEnsembleRegressor(n_members, **parameters)
            self._trained[key] = of_networks(networks.fit(self.data.X, self.data.y))
        return self._trained[key]

    def halves(self):
        """Task of one half of the training rows, and the rows and y of the other."""
        X, y, *test = self.data
        half, other = np.array_split(np.random.RandomState(self.seed).permutation(len(X)), 2)
        return Task(Split(X[half], y[half], *test), self.seed, self.scale), X[other], y[other]


class Variant(NamedTuple):
    """A student to be measured: what it is to learn, where, and against whom it is measured."""

    name: str
    teachers: Any
    student: dict = {}  # noqa: RUF012
    data: Split | None = None
    fit: dict = {}  # noqa: RUF012
    population: Any = None


def vary_q(task):
    for q in (2, 5, 10, 20, 40):
        yield Variant(str(q), task.networks(), {"q": q})


def vary_start(task):
    starts: dict = {"spectral": {"init": "spectral"}, "random": {"init": "random"}}
    for weight in (0.1, 1, 10, 100):
        starts[f"MMD {weight:g}"] = {"init": "mmd", "mmd_weight": weight}
    for em in ("restricted", "minibatch"):
        for name, start in starts.items():
            yield Variant(f"{name}, {em}", task.networks(), {"em": em, **start})


def vary_design(task):
    half, X_other, y_other = task.halves()
    teachers, data = half.networks(), half.data
    yield Variant("training rows", teachers, data=data)
    # The rows are none of the members' own, and may be as many.
    other = data._replace(X=X_other, y=y_other)
    yield Variant("unseen rows alone", teachers.untold(), data=other, population=teachers)
    for share in (0.25, 0.5, 1):
        rows = {"X_unlabeled": X_other[: round(share * len(X_other))]}
        yield Variant(f"+ {share:g} unseen", teachers, data=data, fit=rows)
    for kind in ("mixup", "neighbors"):
        for factor in (1, 4, 10):
            random_state = np.random.RandomState(task.seed)
            made = AUGMENTATIONS[kind](data.X, factor * len(data.X), random_state)
            yield Variant(f"+ {factor} {kind}", teachers, data=data, fit={"X_unlabeled": made})


def vary_members(task):
    largest = task.networks(task.scale.sizes[-1])
    for size in task.scale.sizes:
        few = {"q": min(10, size // 2)}
        yield Variant(str(size), largest.first(size), few, population=largest)


def vary_width(task):
    for sizes in ((25,), (50,), (100,), (100, 100), (200, 200)):
        name = "-".join(map(str, sizes))
        yield Variant(name, task.networks(), {"hidden_layer_sizes": sizes})


def vary_activation(task):
    for activation in ACTIVATIONS:
        yield Variant(activation, task.networks(), {"activation": activation})


def vary_noise(task):
    for member_noise in ("input", "constant", "none"):
        yield Variant(member_noise, task.networks(), {"member_noise": member_noise})


def vary_diversity(task):
    yield Variant("same start, bootstrap", train_from_same_start(task))
    yield Variant("own starts", task.networks())
    yield Variant("own starts, bootstrap", task.networks(bootstrap=True))
    widths = (10, 25, 50, 100, 200)
    each = [
        task.networks(task.scale.n_members // len(widths), hidden_layer_sizes=(width, width))
        for width in widths
    ]
    yield Variant("own starts and widths", join(each))


def train_from_same_start(task):
    """Members that have their initial parameters in common, and differ by the rows they draw."""
    X, y, *_ = task.data
    draws = np.random.RandomState(task.seed).randint(len(X), size=(task.scale.n_members, len(X)))
    member = {**task.scale.teacher, "random_state": task.seed}
    return join(
        [
            of_networks(
                DeepEnsembleRegressor(1, **member).fit(X, y, np.bincount(rows, minlength=len(X)))
            )
            for rows in draws
        ]
    )


def vary_clusters(task):
    teachers, X = task.networks(), task.data.X
    center, scale = X.mean(axis=0), np.maximum(X.std(axis=0), 1e-12)
    direction = np.random.RandomState(task.seed).standard_normal(X.shape[1])
    direction /= np.linalg.norm(direction)
    unit = np.sqrt(teachers.ask(X).var(axis=1, ddof=1).mean())

    def make_shift(distance):
        def shift(rows):
            # A wave of unit mean square.
            return distance * unit * np.sqrt(2) * np.sin((rows - center) / scale @ direction)

        return shift

    for distance in (0, 2, 4, 8):
        yield Variant(str(distance), teachers.displaced(make_shift(distance)).untold())


class Study(NamedTuple):
    """What is varied, and how it is called."""

    vary: Callable
    label: str
    on_one_split: bool = False
    is_number: bool = False


STUDIES = {
    "q": Study(vary_q, "number of factors", is_number=True),
    "start": Study(vary_start, "start, EM", on_one_split=True),
    "design": Study(vary_design, "design points"),
    "members": Study(vary_members, "number of members", is_number=True),
    "width": Study(vary_width, "hidden layers of the student"),
    "activation": Study(vary_activation, "activation of the student"),
    "noise": Study(vary_noise, "member noise"),
    "diversity": Study(vary_diversity, "what members differ by"),
    "clusters": Study(vary_clusters, "distance of groups,\nmembers' rms stds"),
}
