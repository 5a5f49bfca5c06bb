"""The settings of torch under which simlib computes, whatever its caller has set."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

_AUTOCAST = ("cpu", "cuda", "mps", "xpu")
"""Kinds of device for which torch may be told to compute in half precision."""


@contextlib.contextmanager
def own_settings() -> Iterator[None]:
    """Compute in full precision and the same way every time; the caller's settings return at the end.

    Inside it, nothing that a caller has set for torch changes a value: autocast, inference mode, the default
    dtype and device, reduced precision of products and convolutions, a search for the fastest convolution,
    anomaly detection. By default CUDA rounds the factors of a convolution to ten bits and chooses an
    algorithm by the size of the batch: a distance would depend, in the third digit, on the other samples of
    its batch. Tensors that are made inside are ordinary ones. Where the caller keeps nothing for a gradient,
    neither does the code inside, unless it asks for that itself.
    """
    with contextlib.ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
            # to leave the inference mode also turns gradients on
            stack.enter_context(torch.no_grad())
        for device in _AUTOCAST:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if torch.is_anomaly_enabled():
            stack.enter_context(torch.autograd.set_detect_anomaly(False))
        if (dtype := torch.get_default_dtype()) != torch.float32:
            stack.callback(torch.set_default_dtype, dtype)
            torch.set_default_dtype(torch.float32)
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        _full_precision(stack)
        yield


def _full_precision(stack: contextlib.ExitStack) -> None:
    backends, cudnn = torch.backends, torch.backends.cudnn
    for part, wanted in (("enabled", True), ("benchmark", False), ("deterministic", True)):
        _set(stack, cudnn, part, wanted)
    old_name = _tf32_by_its_old_name()
    # A part that is not set follows the whole. So the whole comes first; a part that then is exact is left.
    matmuls, mkldnn = (backends.mkldnn.matmul, backends.cuda.matmul), backends.mkldnn
    for place in (backends, mkldnn, cudnn, *matmuls, mkldnn.conv, mkldnn.rnn):
        if place.fp32_precision not in ("none", "ieee"):
            _set(stack, place, "fp32_precision", "none")
    # By its old name both parts are set at once, and that is read inside by code that knows no other.
    if (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision, old_name) != ("none", "none", False):
        for part in (cudnn.conv, cudnn.rnn):
            stack.callback(setattr, part, "fp32_precision", part.fp32_precision)
        if old_name is not None:
            stack.callback(setattr, cudnn, "allow_tf32", old_name)
        setattr(cudnn, "allow_tf32", False)  # noqa: B010


def _tf32_by_its_old_name() -> bool | None:
    """Return whether CUDA's convolutions may round; None where torch cannot say it for both parts at once."""
    try:
        return torch.backends.cudnn.allow_tf32
    except RuntimeError:
        return None


def _set(stack: contextlib.ExitStack, place: Any, name: str, wanted: object) -> None:
    if (before := getattr(place, name)) != wanted:
        stack.callback(setattr, place, name, before)
        setattr(place, name, wanted)
