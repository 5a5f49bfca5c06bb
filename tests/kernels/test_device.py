"""The choice of a device, and what happens when its memory runs out."""

from __future__ import annotations

import weakref

import psutil
import pytest
import torch

from simlib.errors import InputError, OutOfMemoryError
from simlib.kernels.device import (
    MemoryRanOut,
    free_memory,
    in_fitting_batches,
    pick_device,
    unless_memory_runs_out,
)


def test_auto_takes_the_gpu_where_there_is_one_and_memory_is_free() -> None:
    assert pick_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert pick_device("cpu") == pick_device(torch.device("cpu")) == torch.device("cpu")
    assert 0 < free_memory(torch.device("cpu")) <= psutil.virtual_memory().total


ABSENT = ["gpu", "cuda:99", "CUDA", "", "meta", "xpu", "hpu", "mtia", "mkldnn", "vulkan", "hip", "opengl"]


@pytest.mark.parametrize("name", [*ABSENT, *(["mps"] if not torch.backends.mps.is_available() else [])])
def test_a_device_that_computes_nothing_here_is_refused_in_a_line(name: str) -> None:
    with pytest.raises(InputError, match="no device") as caught:
        pick_device(name)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 160
    assert str(caught.value).endswith("Use 'auto', 'cpu' or 'cuda'.")


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
    assert found.reason and "\n" not in found.reason
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


def test_a_batch_that_does_not_fit_is_halved_and_so_are_those_after_it() -> None:
    tried: list[tuple[int, int]] = []

    def work(start: int, stop: int) -> list[int]:
        tried.append((start, stop))
        if stop - start > 3:
            raise MemoryError("no room")
        return list(range(start, stop))

    with pytest.warns(UserWarning, match="10 samples at once do not fit the memory") as warned:
        found = list(in_fitting_batches(work, 12, 10))
    assert [each for part in found for each in part] == list(range(12))
    assert tried == [(0, 10), (0, 5), (0, 2), (2, 4), (4, 6), (6, 8), (8, 10), (10, 12)]
    assert len(warned) == 1


def test_a_single_sample_that_does_not_fit_is_an_error() -> None:
    def work(start: int, stop: int) -> None:
        raise MemoryError("no room for it")

    message = r"One sample does not fit the memory \(no room for it\)"
    with pytest.warns(UserWarning), pytest.raises(OutOfMemoryError, match=message):
        list(in_fitting_batches(work, 2, 2))
