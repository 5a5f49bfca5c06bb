"""Small sets of triplets in files, made by the tests, and their comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from simlib.triplets import Triplets, write_image

VAL_FOLDERS = ("traditional", "cnn", "superres", "deblur", "color", "frameinterp")


def levels(*seed: int, height: int = 8, width: int = 8) -> NDArray[np.uint8]:
    """Draw an image (H, W, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save_image(path: Path, *seed: int, **options: Any) -> None:
    """Write a drawn image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels(*seed, **options)).save(path)


def save_judge(path: Path, share: float) -> None:
    """Write a vote as BAPPS does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.array([share], dtype=np.float32))


def save_folder(folder: Path, shares: Sequence[float], first: int = 0) -> None:
    """Write one triplet per vote, in the layout of BAPPS; image i of part j is drawn from (first, i, j)."""
    for number, share in enumerate(shares):
        for part, name in enumerate(("ref", "p0", "p1")):
            save_image(folder / name / f"{number:06d}.png", first, number, part)
        save_judge(folder / "judge" / f"{number:06d}.npy", share)


def save_split(folder: Path, shares: Sequence[float] = (0.0, 0.4, 1.0)) -> Mapping[str, Path]:
    """Write a validation split with the same votes in every folder; return the folders."""
    for first, name in enumerate(VAL_FOLDERS):
        save_folder(folder / name, shares, first)
    return {name: folder / name for name in VAL_FOLDERS}


def save_as_split(folder: Path, triplets: Triplets) -> None:
    """Write triplets with labels as a validation split, one after the other into its folders."""
    for number, one in enumerate(triplets):
        inside = folder / VAL_FOLDERS[number % len(VAL_FOLDERS)]
        for part in ("ref", "p0", "p1"):
            (inside / part).mkdir(parents=True, exist_ok=True)
            write_image(getattr(one, part)[0], inside / part / f"{number:06d}.png")
        save_judge(inside / "judge" / f"{number:06d}.npy", float(one.judge))


def assert_same(first: Triplets, second: Triplets) -> None:
    """Demand that two sets agree in every field, to the last bit."""
    for field in ("ref", "p0", "p1"):
        assert torch.equal(getattr(first, field), getattr(second, field))
    assert torch.equal(first.judge.nan_to_num(-1), second.judge.nan_to_num(-1))
    for field in ("names", "photographs", "distortions", "label_source"):
        assert getattr(first, field) == getattr(second, field)
