"""Which numbers a caller may give."""

from __future__ import annotations

import numpy as np
import pytest

from simlib.errors import InputError
from simlib.kernels.checks import require_count


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "1", None, float("nan")])
def test_anything_but_a_count_is_refused_by_name(value: object) -> None:
    with pytest.raises(InputError, match=r"steps is .* at least 1"):
        require_count("steps", value)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("value", [1, 7, np.int64(3)])
def test_whole_numbers_are_counts(value: int) -> None:
    require_count("steps", value)
    with pytest.raises(InputError, match="at least 8"):
        require_count("population", value, least=8)
