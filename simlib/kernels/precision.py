"""The precision of the input, kept in the code of libraries that would fall back to float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class _KeepPrecision(TorchFunctionMode):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is Tensor.float and args[0].dtype == self._dtype == torch.float64:
            return args[0]
        if func is torch.zeros:
            kwargs = {"dtype": self._dtype, **kwargs}
        return func(*args, **kwargs)


def keep_precision(dtype: torch.dtype) -> TorchFunctionMode:
    """Compute in this precision throughout: a context manager for code that cannot be changed.

    Inside it, ``Tensor.float`` leaves doubles as they are if ``dtype`` is double, and ``torch.zeros`` makes
    tensors of ``dtype`` unless given another.
    """
    return _KeepPrecision(dtype)
