"""Checkpoints of a fit, from which an interrupted one goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import joblib
import torch
from skorch.callbacks import Callback
from torch import nn

from .._transfer.transfer_set import TransferSet
from .._utils.parameters import check_path
from .._utils.seeding import Draws
from .._version import __version__
from .trainer import Trainer

# Parameters that leave the numbers of a fit as they are.
OF_NO_EFFECT = {"callbacks", "ensemble", "memory", "n_jobs", "verbose"}

# What a file holds.
KEYS = ("trainer", "generators", "loop")


class FitCheckpoint(Callback):
    """Keeps the state of a long fit, so that it goes on after an interruption.

    Put it into `callbacks` of a student. After each iteration of EM and each round of training, the
    state is written to a file of ``dirname``. If the same fit is called again, the teacher is
    evaluated again (see `memory`), and training goes on from the file. A fit that ends removes it.
    Fits are the same if rows, outputs of the teacher, parameters and the first weights of the
    network are, which takes a `random_state` that is an integer. Files of different fits have
    different names, so that the candidates of a search may share a folder. `fit` raises ValueError
    for a file that is damaged; without the file it begins anew. With `verbose`, it prints
    whether it goes on or begins.

    Networks of this package's own layers are trained by skorch with it, as with any other callback,
    so that their last digits differ from those without it.

    Parameters
    ----------
    dirname : str or path-like
        Folder of the files. It is made if it does not exist. The files are pickles: read none that
        you do not trust.

    Examples
    --------
    >>> from sklearn_dlf import DLFClassifier
    >>> from sklearn_dlf.callbacks import FitCheckpoint
    >>> student = DLFClassifier(callbacks=[FitCheckpoint("fits")], random_state=0)
    """

    def __init__(self, dirname: str | os.PathLike[str]):
        self.dirname = dirname


class Checkpoint:
    """A file with the state of one fit.

    Parameters
    ----------
    path : Path
        The file.
    verbose : int
        Whether to print if there is such a file.
    """

    def __init__(self, path: Path, verbose: int = 0):
        self.path = path
        self.verbose = verbose

    def write(self, trainer: Trainer, draws: Draws, loop: Any) -> None:
        """Write the states of a trainer, of the generators, and of a loop around it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(f".{os.getpid()}.part")
        generators = [None if one is None else one.get_state() for one in _generators(draws)]
        torch.save(dict(zip(KEYS, (trainer.state(), generators, loop), strict=True)), part)
        part.replace(self.path)

    def read(self, trainer: Trainer, draws: Draws) -> Any:
        """Restore trainer and generators, and return the state of the loop; None if no file is."""
        is_there = self.path.exists()
        if self.verbose:
            where = f"goes on from {self.path}" if is_there else f"is new, {self.path} is not there"
            print(f"[checkpoint] this fit {where}", flush=True)
        if not is_there:
            return None
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=False)
            kept_trainer, kept_generators, loop = (state[key] for key in KEYS)
        except OSError:
            raise
        except Exception as error:  # unpickling raises errors of many kinds
            raise ValueError(
                f"{self.path} is no file of FitCheckpoint, or it is damaged ({error!r}). Remove "
                "it, and the fit begins anew."
            ) from error
        trainer.restore(kept_trainer)
        for generator, kept in zip(_generators(draws), kept_generators, strict=True):
            if generator is not None:
                generator.set_state(kept)
        return loop

    def remove(self) -> None:
        """Remove the file, once the fit has ended."""
        self.path.unlink(missing_ok=True)


def find_checkpoint(
    student: Any, network: nn.Module, transfer_set: TransferSet
) -> Checkpoint | None:
    """Return the checkpoint of a fit whose network is not trained yet; None if none is wanted."""
    wanted = [each for each in student.callbacks or [] if isinstance(each, FitCheckpoint)]
    if not wanted:
        return None
    if getattr(student, "em", "restricted") != "restricted":
        raise ValueError(
            f"FitCheckpoint keeps the state of restricted EM; got em={student.em!r}. Leave it out "
            "of `callbacks`, or use em='restricted'."
        )
    folder = check_path(wanted[0].dirname, "dirname of FitCheckpoint")
    params = student.get_params(deep=False)
    named = {
        name: getattr(value, "__qualname__", repr(value)) if callable(value) else repr(value)
        for name, value in params.items()
        if name not in OF_NO_EFFECT
    }
    weights = {name: tensor.cpu().numpy() for name, tensor in network.state_dict().items()}
    contrasts = transfer_set.contrasts
    content = [__version__, type(student).__name__, named, weights, transfer_set.X]
    key = joblib.hash([*content, contrasts.mean, contrasts.residuals, contrasts.weights])
    return Checkpoint(folder / f"{key}.pt", student.verbose)


def _generators(draws: Draws) -> list[torch.Generator | None]:
    """Return the generators of a fit: torch's own on the CPU where it has none of its own.

    A fit that draws from torch's own does so while no other does, and restores its state.
    """
    return [torch.default_generator if draws.cpu is None else draws.cpu, draws.device]
