"""The studies of benchmarks/ablations.py, and the variants of the student that each compares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from datasets import Split
from teachers import join, of_networks

from sklearn_dlf._network.bodies import ACTIVATIONS
from sklearn_dlf._transfer.row_makers import ROW_MAKERS
from sklearn_dlf.ensembles import DeepEnsembleRegressor


class Scale(NamedTuple):
    """Sizes of a run.

    Attributes
    ----------
    n_members : int
        Members of an ensemble.
    sizes : tuple of int
        Numbers of members that are compared.
    teacher, student : dict
        Parameters of the deep ensembles and of the students.
    """

    n_members: int
    sizes: tuple
    teacher: dict
    student: dict


FULL = Scale(50, (5, 10, 20, 50, 100, 200), {}, {})
QUICK = Scale(10, (5, 10), {"max_iter": 10}, {"q": 5, "max_iter": 2, "n_epochs": 2})


class Setup:
    """One split of a data set, and the deep ensembles trained on it, each kind once."""

    def __init__(self, data, seed, scale):
        self.data = data
        self.seed = seed
        self.scale = scale
        self._trained: dict = {}

    def networks(self, n_members=None, **parameters):
        """Return a deep ensemble with these parameters; it is trained at the first call."""
        n_members = n_members or self.scale.n_members
        key = (n_members, *parameters.items())
        if key not in self._trained:
            parameters = {**self.scale.teacher, "random_state": self.seed, **parameters}
            networks = DeepEnsembleRegressor(n_members, **parameters)
            self._trained[key] = of_networks(networks.fit(self.data.X, self.data.y))
        return self._trained[key]

    def halves(self):
        """Return a setup with one half of the training rows, and rows and y of the other half."""
        X, y, *test = self.data
        half, other = np.array_split(np.random.RandomState(self.seed).permutation(len(X)), 2)
        return Setup(Split(X[half], y[half], *test), self.seed, self.scale), X[other], y[other]


class Variant(NamedTuple):
    """A student to be measured.

    Attributes
    ----------
    name : str
        Name in tables and figures.
    teachers : Teachers
        The ensemble that the student learns from.
    student : dict
        Parameters of the student.
    data : Split or None
        Rows of the student's fit; None for those of the setup.
    fit : dict
        Further arguments of `fit`.
    population : Teachers or None
        The ensemble that the student is compared with; None for ``teachers``.
    """

    name: str
    teachers: Any
    student: dict = {}  # noqa: RUF012
    data: Split | None = None
    fit: dict = {}  # noqa: RUF012
    population: Any = None


def vary_q(setup):
    for q in (2, 5, 10, 20, 40):
        yield Variant(str(q), setup.networks(), {"q": q})


def vary_start(setup):
    starts: dict = {"spectral": {"init": "spectral"}, "random": {"init": "random"}}
    for weight in (0.1, 1, 10, 100):
        starts[f"MMD {weight:g}"] = {"init": "mmd", "mmd_weight": weight}
    for em in ("restricted", "minibatch"):
        for name, start in starts.items():
            yield Variant(f"{name}, {em}", setup.networks(), {"em": em, **start})


def vary_design(setup):
    half, X_other, y_other = setup.halves()
    teachers, data = half.networks(), half.data
    yield Variant("training rows", teachers, data=data)
    # No member was trained on these rows. There may be as many of them as training rows, so the
    # record of unseen rows would be taken for theirs.
    other = data._replace(X=X_other, y=y_other)
    yield Variant("unseen rows alone", teachers.without_unseen(), data=other, population=teachers)
    for share in (0.25, 0.5, 1):
        rows = {"X_unlabeled": X_other[: round(share * len(X_other))]}
        yield Variant(f"+ {share:g} unseen", teachers, data=data, fit=rows)
    for kind in ("mixup", "neighbors"):
        for factor in (1, 4, 10):
            random_state = np.random.RandomState(setup.seed)
            made = ROW_MAKERS[kind](data.X, factor * len(data.X), random_state)
            yield Variant(f"+ {factor} {kind}", teachers, data=data, fit={"X_unlabeled": made})


def vary_members(setup):
    largest = setup.networks(setup.scale.sizes[-1])
    for size in setup.scale.sizes:
        few = {"q": min(10, size // 2)}
        yield Variant(str(size), largest.first(size), few, population=largest)


def vary_width(setup):
    for sizes in ((25,), (50,), (100,), (100, 100), (200, 200)):
        name = "-".join(map(str, sizes))
        yield Variant(name, setup.networks(), {"hidden_layer_sizes": sizes})


def vary_activation(setup):
    for activation in ACTIVATIONS:
        yield Variant(activation, setup.networks(), {"activation": activation})


def vary_noise(setup):
    for member_noise in ("input", "constant", None):
        name = member_noise or "none"
        yield Variant(name, setup.networks(), {"member_noise": member_noise})


def vary_diversity(setup):
    yield Variant("same start, bootstrap", train_from_same_start(setup))
    yield Variant("own starts", setup.networks())
    yield Variant("own starts, bootstrap", setup.networks(bootstrap=True))
    widths = (10, 25, 50, 100, 200)
    each = [
        setup.networks(setup.scale.n_members // len(widths), hidden_layer_sizes=(width, width))
        for width in widths
    ]
    yield Variant("own starts and widths", join(each))


def train_from_same_start(setup):
    """Return members with the same initial parameters, trained on bootstrap samples of rows."""
    X, y, *_ = setup.data
    draws = np.random.RandomState(setup.seed).randint(len(X), size=(setup.scale.n_members, len(X)))
    member = {**setup.scale.teacher, "random_state": setup.seed}
    return join(
        [
            of_networks(
                DeepEnsembleRegressor(1, **member).fit(X, y, np.bincount(rows, minlength=len(X)))
            )
            for rows in draws
        ]
    )


def vary_clusters(setup):
    teachers, X = setup.networks(), setup.data.X
    center, scale = X.mean(axis=0), np.maximum(X.std(axis=0), 1e-12)
    direction = np.random.RandomState(setup.seed).standard_normal(X.shape[1])
    direction /= np.linalg.norm(direction)
    unit = np.sqrt(teachers.evaluate(X).var(axis=1, ddof=1).mean())

    def make_shift(distance):
        def shift(rows):
            # The wave has a mean square of about one.
            return distance * unit * np.sqrt(2) * np.sin((rows - center) / scale @ direction)

        return shift

    for distance in (0, 2, 4, 8):
        displaced = teachers.displaced(make_shift(distance)).without_unseen()
        yield Variant(str(distance), displaced, {"latent": "gaussian"})


class Study(NamedTuple):
    """A study of what the fit depends on.

    Attributes
    ----------
    vary : callable
        Takes a `Setup`, yields the variants.
    label : str
        What is varied, for tables and figures.
    on_one_split : bool
        Whether all seeds use the same split and teachers.
    is_number : bool
        Whether the names of the variants are numbers.
    """

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
