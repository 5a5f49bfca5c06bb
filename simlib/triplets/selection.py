"""Which triplets of a set are meant: positions, a slice or a mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from simlib.errors import InputError

Index = int | slice | Sequence[int] | NDArray[np.integer] | torch.Tensor
"""A position, a slice, positions in the order wanted, or a mask of one entry per triplet."""


def positions(index: Index, count: int) -> list[int]:
    """Return the positions that an index means, from 0 to count - 1, in the order asked for.

    Args:
        index: negative positions count from the end; a mask is boolean and has ``count`` entries.
        count: how many triplets the set has.

    Raises:
        InputError: a position outside the set, a mask of another length, or something else altogether.
    """
    if isinstance(index, slice):
        return list(range(count))[index]
    try:
        chosen = torch.as_tensor(index)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{index!r} does not select triplets. Give positions, a slice or a mask.") from error
    if chosen.numel() == 0 and chosen.dtype != torch.bool:
        return []
    if chosen.dtype.is_floating_point or chosen.dtype.is_complex or chosen.ndim > 1:
        raise InputError(
            f"A {chosen.ndim}-dimensional index of {chosen.dtype} does not select triplets. "
            "Give integer positions, a slice or a mask."
        )
    if chosen.dtype == torch.bool:
        if chosen.shape != (count,):
            raise InputError(f"The mask has shape {tuple(chosen.shape)}; this set needs ({count},).")
        return chosen.nonzero().flatten().tolist()
    return [_position(position, count) for position in chosen.flatten().tolist()]


def _position(position: int, count: int) -> int:
    if not -count <= position < count:
        raise InputError(f"There is no triplet {position}: the set has {count}. Count from 0 to {count - 1}.")
    return position % count
