"""Draws of a model's parameters as members."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn
from torch.func import functional_call

from .._utils.numbers import numeric_array
from ._fitted_ensemble import FittedEnsemble
from ._member_models import Outputs
from ._torch_models import evaluate_module


def parameter_draws(
    model: nn.Module | Callable[[Any, Any], Any],
    draws: ArrayLike | Sequence[Any] | Mapping[str, ArrayLike],
    *,
    outputs: Outputs = "values",
    classes: ArrayLike | None = None,
) -> FittedEnsemble:
    """Make an ensemble of draws of a model's parameters, such as those of a Bayesian network.

    Each draw is one member: the model with these parameters. Draws of a Laplace approximation, of
    variational inference, and states of a Markov chain are such draws. Take a thousand: a student's
    fit takes two to five times as long as with fifty.

    Parameters
    ----------
    model : torch.nn.Module or callable
        A module; or a function, called as ``model(parameters, X)`` with one draw and rows, which
        returns the outputs of that member. The module's own parameters stay as they are.

    draws : array-like of shape (n_draws, n_parameters), list of draws, or dict of arrays
        Parameters, one draw after another. For a module, each draw is a vector of all parameters in
        the order of ``torch.nn.utils.parameters_to_vector``, or a dict by name like that of
        ``state_dict``, which may lack some. For a function, draws are what it takes. A dict has an
        array (n_draws, ...) for each name, and each draw is a dict then. Several chains go into one
        axis: ``draws.reshape(-1, n_parameters)``.

    outputs : {"values", "probabilities", "logits", "mean_variance"}, default="values"
        What the model returns, as in :class:`FittedEnsemble`.

    classes : array-like of shape (n_classes,), default=None
        Labels in the order of the columns of probabilities or logits.

    Returns
    -------
    ensemble : FittedEnsemble
        With one member for each draw.

    Raises
    ------
    TypeError
        If `model` is neither a module nor callable.

    ValueError
        If there are fewer than two draws, if the arrays of a dict are not of one length, or if a
        draw does not have the parameters of the module.

    See Also
    --------
    FittedEnsemble : What is returned.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_dlf.ensembles import parameter_draws
    >>> slopes = np.random.RandomState(0).normal(3.0, 0.1, size=(1000, 1))
    >>> ensemble = parameter_draws(lambda slope, X: X @ slope, slopes)
    >>> ensemble.n_members
    1000
    >>> bool(abs(ensemble.member_predictions([[2.0]]).mean() - 6) < 0.05)
    True
    """
    if isinstance(model, type) or not callable(model):
        raise TypeError(
            f"model must be a torch module or a function of parameters and rows, got {model!r}."
        )
    if isinstance(draws, Mapping):
        draws = _draws_by_name(draws)
    at: Any = _ModuleAt if isinstance(model, nn.Module) else _FunctionAt
    members = [at(model, draw) for draw in draws] if isinstance(draws, Iterable) else []
    if len(members) < 2:
        raise ValueError(f"draws must be at least two draws of the parameters; got {draws!r}.")
    return FittedEnsemble(members, outputs=outputs, classes=classes)


def _draws_by_name(draws: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one dict for each draw, of a dict of arrays (n_draws, ...)."""
    lengths = {name: len(each) if np.ndim(each) else 0 for name, each in draws.items()}
    if len(set(lengths.values())) != 1 or not all(map(np.ndim, draws.values())):
        raise ValueError(
            "A dict of draws must have an array for each name, of one length, with the draws "
            f"first; got the lengths {lengths}."
        )
    return [dict(zip(draws, values, strict=True)) for values in zip(*draws.values(), strict=True)]


class _FunctionAt:
    """A function of parameters and rows, at one draw of the parameters."""

    is_draw = True  # from a posterior

    def __init__(self, function: Callable[[Any, Any], Any], parameters: Any):
        self.function, self.parameters = function, parameters

    def __call__(self, X: Any) -> Any:
        """Return the outputs (n, ...) at rows."""
        return self.function(self.parameters, X)


class _ModuleAt:
    """A module at one draw of its parameters. Only the draw is held, and shares its memory."""

    is_draw = True

    def __init__(self, module: nn.Module, parameters: Any):
        self.module = module
        if not isinstance(parameters, Mapping):
            if not isinstance(parameters, torch.Tensor):
                parameters = torch.as_tensor(numeric_array(parameters, "A draw of draws"))
            if parameters.ndim != 1:
                raise ValueError(
                    "draws must be vectors of parameters, one for each draw; got a draw of shape "
                    f"{tuple(parameters.shape)}."
                )
            n_parameters = sum(parameter.numel() for parameter in module.parameters())
            if len(parameters) != n_parameters:
                raise ValueError(
                    f"A draw has {len(parameters)} numbers, expected the {n_parameters} parameters "
                    f"of {type(module).__name__}, in the order of "
                    "torch.nn.utils.parameters_to_vector."
                )
        elif unknown := set(parameters) - set(module.state_dict()):
            raise ValueError(
                f"A draw has {sorted(unknown)}, which {type(module).__name__} lacks; expected "
                f"names out of {list(module.state_dict())}."
            )
        self.parameters = parameters

    def __call__(self, X: Any) -> np.ndarray:
        """Return the outputs (n, ...) at rows."""
        return evaluate_module(_Drawn(self.module, self._by_name()), X)

    def _by_name(self) -> dict[str, torch.Tensor]:
        """Return the parameters of this draw, as the module has them."""
        own = {**dict(self.module.named_parameters()), **dict(self.module.named_buffers())}
        if isinstance(self.parameters, Mapping):
            return {
                name: torch.as_tensor(value).to(own[name])
                for name, value in self.parameters.items()
                if name in own  # some entries of a state are no tensors of the module
            }
        named = list(self.module.named_parameters())
        parts = self.parameters.split([parameter.numel() for _, parameter in named])
        return {
            name: part.view_as(parameter).to(parameter)
            for (name, parameter), part in zip(named, parts, strict=True)
        }


class _Drawn(nn.Module):
    """A module that uses other parameters than its own."""

    def __init__(self, module: nn.Module, parameters: dict[str, torch.Tensor]):
        super().__init__()
        self.module, self.drawn = module, parameters

    def forward(self, *rows: torch.Tensor) -> Any:
        """Return the module's output with the other parameters."""
        return functional_call(self.module, self.drawn, rows)
