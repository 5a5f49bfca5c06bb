"""The choice of a device."""

from __future__ import annotations

import pytest
import torch

from simlib.errors import InputError
from simlib.kernels.device import exact_convolutions, pick_device


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
