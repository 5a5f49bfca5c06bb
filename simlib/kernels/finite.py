"""Gradients that stay finite where the code of a library would give infinity or NaN."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_GUARDED = frozenset(
    {torch.sqrt, torch.pow, torch.div, torch.log, torch.prod, torch.atan2, torch.linalg.eigh, torch.inverse}
    | {Tensor.sqrt, Tensor.pow, Tensor.div, Tensor.log, Tensor.prod, Tensor.atan2}
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
        if func not in _GUARDED:
            return func(*args, **(kwargs or {}))
        guard = _Guard()
        args = tuple(guard.before(argument) for argument in args)
        return guard.behind((_inverse if func is torch.inverse else func)(*args, **(kwargs or {})))


class _Guard:
    """Stands around one function: what it makes of a finite gradient is finite.

    What is not finite before it comes to the function, from code that is not guarded, passes as it is: that
    gradient is undefined, and nobody must take it for zero.
    """

    def __init__(self) -> None:
        self._undefined: Tensor | None = None

    def before(self, argument: Any) -> Any:
        """Return another view of an argument, through which no infinite gradient of the function passes."""
        if not isinstance(argument, Tensor) or not argument.requires_grad:
            return argument
        view = argument.view_as(argument)
        view.register_hook(self._mend)
        return view

    def behind(self, result: Any) -> Any:
        """Return the result, whose gradient is looked at before the function gets it."""
        if isinstance(result, Tensor) and result.requires_grad:
            result.register_hook(self._look)
        return result

    def _look(self, gradient: Tensor | None) -> None:
        self._undefined = None if gradient is None or _is_surely_finite(gradient) else ~gradient.isfinite()

    def _mend(self, gradient: Tensor | None) -> Tensor | None:
        # Where nothing depends on the tensor, a second derivative has no gradient at all.
        if gradient is None or _is_surely_finite(gradient):
            return gradient
        kept = gradient.isfinite()
        if self._undefined is not None:
            kept |= _reduced(self._undefined, gradient)
        return gradient.where(kept, 0)


def _is_surely_finite(values: Tensor) -> bool:
    """Say whether all values are finite, where that is asked in one pass and no accelerator waits for it."""
    return values.device.type == "cpu" and bool(values.sum().isfinite())


def _reduced(undefined: Tensor, like: Tensor) -> Tensor:
    """Return where an argument, which may have been broadcast, takes part in what is undefined."""
    if undefined.shape == like.shape:
        return undefined
    try:
        return undefined.to(like.dtype).sum_to_size(like.shape) > 0
    except RuntimeError:
        return undefined.any()


def finite_gradients() -> TorchFunctionMode:
    """Keep gradients finite through roots, powers, quotients, logarithms, angles and eigenvectors.

    A context manager for code that cannot be changed. Inside it, values are those of torch, and so are
    finite gradients. Where such a function itself gives infinity or NaN, as the root at zero, the gradient is
    zero: such a root nearly always measures a magnitude, and zero is a subgradient of a magnitude at 0. One
    value differs: ``torch.inverse`` of a singular matrix is zero, so that one sample does not stop its batch.
    """
    return _FiniteGradients()


def _inverse(matrices: Tensor) -> Tensor:
    inverse, singular = torch.linalg.inv_ex(matrices)
    return inverse.where(singular[..., None, None] == 0, 0)
