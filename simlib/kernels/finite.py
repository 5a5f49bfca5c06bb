"""Gradients that stay finite where the code of a library would give infinity or NaN."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_GUARDED = frozenset(
    {torch.sqrt, torch.pow, torch.div, torch.log, torch.atan2, torch.linalg.eigh, torch.inverse}
    | {Tensor.sqrt, Tensor.pow, Tensor.div, Tensor.log, Tensor.atan2}
    | {Tensor.__pow__, Tensor.__truediv__, Tensor.__rtruediv__}
)
"""Functions whose slope is infinite or undefined somewhere in their domain."""


class _FiniteGradients(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _GUARDED:
            args = tuple(_guard(argument) for argument in args)
        return (_inverse if func is torch.inverse else func)(*args, **(kwargs or {}))


def finite_gradients() -> TorchFunctionMode:
    """Keep gradients finite through roots, powers, quotients, logarithms, angles and eigenvectors.

    A context manager for code that cannot be changed. Inside it, values are those of torch, and so are
    finite gradients. Where torch gives infinity or NaN, as for the root at zero, the gradient is zero: such
    a root nearly always measures a magnitude, and zero is a subgradient of a magnitude at 0. One value
    differs: ``torch.inverse`` of a singular matrix is zero, so that one sample does not stop its batch.
    """
    return _FiniteGradients()


def _guard(argument: Any) -> Any:
    """Return another view of a tensor, through which no infinite gradient passes back."""
    if not isinstance(argument, Tensor) or not argument.requires_grad:
        return argument
    view = argument.view_as(argument)
    view.register_hook(_finite)
    return view


def _finite(gradient: Tensor | None) -> Tensor | None:
    # where nothing depends on the tensor, a second derivative has no gradient at all
    return None if gradient is None else gradient.where(gradient.isfinite(), 0)


def _inverse(matrices: Tensor) -> Tensor:
    inverse, singular = torch.linalg.inv_ex(matrices)
    return inverse.where(singular[..., None, None] == 0, 0)
