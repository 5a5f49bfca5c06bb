"""The choice of a device."""

from __future__ import annotations

import weakref

import pytest
import torch

from simlib.errors import InputError
from simlib.kernels.device import MemoryRanOut, exact_convolutions, pick_device, unless_memory_runs_out


def test_auto_takes_the_gpu_where_there_is_one() -> None:
    assert pick_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:99"])
def test_absent_device(name: str) -> None:
    with pytest.raises(InputError, match="no device"):
        pick_device(name)


def test_convolutions_are_exact_inside_and_as_before_outside() -> None:
    before = torch.backends.cudnn.allow_tf32
    with exact_convolutions():
        assert not torch.backends.cudnn.allow_tf32
        assert torch.backends.cudnn.deterministic
    assert torch.backends.cudnn.allow_tf32 == before


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 byte\nmore"),
    ],
)
def test_only_a_lack_of_memory_is_caught(error: Exception) -> None:
    def fail(error: Exception) -> None:
        raise error

    found = unless_memory_runs_out(lambda: fail(error))
    assert isinstance(found, MemoryRanOut)
    assert found.reason
    assert "\n" not in found.reason
    with pytest.raises(RuntimeError, match="shapes"):
        unless_memory_runs_out(lambda: fail(RuntimeError("shapes do not fit")))
    assert unless_memory_runs_out(lambda: 3) == 3


def test_memory_that_ran_out_is_free_for_another_try() -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def hold_and_fail() -> None:
        tensor = torch.zeros(3)
        held.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError("out of memory")

    unless_memory_runs_out(hold_and_fail)
    assert held[0]() is None
