"""The embedded set: triplets cut from photographs that are already on every machine with scikit-image.

Every triplet depends on its seed and number alone. Even numbers are ladders: one distortion at two strengths,
so that the weaker is more similar by construction. Odd numbers are mixed, and nobody was asked about them.
"""

from __future__ import annotations

import importlib.resources
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from simlib.errors import InputError
from simlib.kernels.checks import require_count
from simlib.kernels.images import from_8bit
from simlib.triplets.distortions import DISTORTIONS, Step, apply, describe
from simlib.triplets.embedded import EMBEDDED
from simlib.triplets.image_files import SUFFIXES, kinds, read_levels, read_size
from simlib.triplets.triplets import Triplets

_SMALLEST_SIDE = 16
_USUAL_SIDE = 64
_MOST_DRAWS = 200
# Standard deviation within the channels, in [0, 1]: below it, a patch is sky or the black around the retina.
_FLAT = 0.04
# Root mean square difference, in 8-bit levels, that any two images of a triplet have at least.
_ALIKE = 1.0


@dataclass(frozen=True)
class _Photograph:
    """A scene by name, and the files that show it."""

    name: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class _Recipe:
    """What is done to p0 and p1, with which seeds, and the label that follows from it."""

    steps: tuple[list[Step], list[Step]]
    seeds: tuple[int, int]
    judge: float


@dataclass(frozen=True)
class _Sample:
    """One triplet as 8-bit levels ``(3, H, W, 3)`` in the order ref, p0, p1."""

    levels: NDArray[np.uint8]
    photograph: str
    recipe: _Recipe


def photos(
    n: int,
    *,
    seed: int = 0,
    side: int = _USUAL_SIDE,
    folder: str | os.PathLike[str] | None = None,
    first: int = 0,
) -> Triplets:
    """Make triplets from photographs, distorted by the "traditional" family.

    Patches are cut at full size or from an area twice as wide, photographs drawn uniformly. Triplet i depends
    only on the seed and i (and the photographs and the side): ``photos(8)`` begins ``photos(16)``. Even i are
    ladders: p0 and p1 underwent the same distortions with the same random draw, one of them at least twice
    as strongly; judge is 0 or 1, in favour of the weaker. Odd i are mixed: p0 and p1 were distorted
    independently, and judge is NaN. No metric takes part in the choice, so none is favoured.

    Args:
        n: how many triplets, at least 1.
        seed: chooses another set, at least 0.
        side: height and width of the patches in pixels, at least 16.
        folder: PNG, JPEG and WebP files to cut from; None takes the photographs inside scikit-image.
        first: number of the first triplet: ``photos(8, first=8)`` are the last eight of ``photos(16)``.

    Returns:
        n triplets, float32, on the CPU, with ``label_source="constructed"``; all values are 8-bit levels,
        k/255.

    Raises:
        InputError: a number out of its range; a folder without photographs; a file that cannot be read, is
            smaller than the side, or is too flat to cut from (all with the file's name).
    """
    least_values = (("n", n, 1), ("seed", seed, 0), ("side", side, _SMALLEST_SIDE), ("first", first, 0))
    for name, value, least in least_values:
        require_count(name, value, least)
    photographs = _photographs(folder)
    _validate_sizes(photographs, side)
    samples = [_sample(photographs, seed, number, side) for number in range(first, first + n)]
    levels = torch.from_numpy(np.stack([sample.levels for sample in samples]))
    images = from_8bit(levels.permute(1, 0, 4, 2, 3).contiguous())
    prefix = _prefix(folder, seed, side)
    return Triplets(
        ref=images[0],
        p0=images[1],
        p1=images[2],
        judge=torch.tensor([sample.recipe.judge for sample in samples], dtype=torch.float32),
        names=tuple(
            f"{prefix}-{i:06d}-{_plain(sample.photograph)}" for i, sample in enumerate(samples, first)
        ),
        photographs=tuple(sample.photograph for sample in samples),
        distortions=tuple((describe(s.recipe.steps[0]), describe(s.recipe.steps[1])) for s in samples),
        label_source="constructed",
    )


def photograph_names(folder: str | os.PathLike[str] | None = None) -> tuple[str, ...]:
    """Return the names of the photographs that :func:`photos` cuts from.

    Args:
        folder: as for :func:`photos`.

    Raises:
        InputError: the folder is absent or holds no photograph.
    """
    return tuple(photograph.name for photograph in _photographs(folder))


def _photographs(folder: str | os.PathLike[str] | None) -> list[_Photograph]:
    if folder is None:
        inside = Path(str(importlib.resources.files("skimage"))) / "data"
        return [
            _Photograph(name, tuple(inside / file for file in photograph.files))
            for name, photograph in EMBEDDED.items()
        ]
    path = Path(folder)
    if not path.is_dir():
        raise InputError(f"There is no folder {path}. Give a folder with {kinds()} files.")
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise InputError(
            f"The folder {path} holds no photograph. Put {kinds()} files there, not in subfolders."
        )
    stems = Counter(file.stem for file in files)
    return [_Photograph(file.stem if stems[file.stem] == 1 else file.name, (file,)) for file in files]


def _validate_sizes(photographs: Sequence[_Photograph], side: int) -> None:
    """Refuse files that are too small, all of them before any work is done; only headers are read."""
    for file in (file for photograph in photographs for file in photograph.files):
        width, height = read_size(file)
        if min(width, height) < side:
            raise InputError(
                f"The photograph {file} is {width} x {height}, too small for patches of side {side}. "
                "Remove it or choose a smaller side."
            )


def _prefix(folder: str | os.PathLike[str] | None, seed: int, side: int) -> str:
    """Name what a set was made from, so that triplets of other sets do not share its names."""
    source = "photos" if folder is None else _plain(Path(folder).resolve().name)
    return f"{source}-s{seed}" if side == _USUAL_SIDE else f"{source}-{side}px-s{seed}"


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)


def _sample(photographs: Sequence[_Photograph], seed: int, number: int, side: int) -> _Sample:
    rng = np.random.default_rng([seed, number])
    photograph = photographs[int(rng.integers(len(photographs)))]
    for _ in range(_MOST_DRAWS):
        ref = _cut(photograph, side, rng)
        recipe = _ladder(rng) if number % 2 == 0 else _mixed(rng)
        p0, p1 = (_distort(ref, recipe.steps[which], recipe.seeds[which]) for which in (0, 1))
        if min(_difference(ref, p0), _difference(ref, p1), _difference(p0, p1)) >= _ALIKE:
            return _Sample(np.stack([ref, p0, p1]), photograph.name, recipe)
    raise InputError(
        f"{_MOST_DRAWS} patches of the photograph {photograph.files[0]} looked the same after distortion. "
        "Replace or remove it."
    )


def _cut(photograph: _Photograph, side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Cut a patch that is not flat, at full size or averaged from an area twice as wide."""
    for _ in range(_MOST_DRAWS):
        pixels = _pixels(photograph.files[int(rng.integers(len(photograph.files)))])
        scale = int(rng.integers(1, 3)) if min(pixels.shape[:2]) >= 2 * side else 1
        top, left = (int(rng.integers(extent - scale * side + 1)) for extent in pixels.shape[:2])
        area = pixels[top : top + scale * side, left : left + scale * side]
        patch = np.asarray(Image.fromarray(area).reduce(scale)) if scale > 1 else area
        if patch.std(axis=(0, 1)).mean() >= 255 * _FLAT:
            return patch
    raise InputError(
        f"The photograph {photograph.files[0]} is flat: {_MOST_DRAWS} patches of side {side} had hardly "
        "any structure. Replace or remove it, or choose a larger side."
    )


def _pixels(file: Path) -> NDArray[np.uint8]:
    try:
        status = file.stat()
    except OSError as error:
        raise InputError(f"The photograph {file} cannot be read: {error}. Replace or remove it.") from error
    return _cached_pixels(file, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=32)
def _cached_pixels(file: Path, modified: int, size: int) -> NDArray[np.uint8]:
    """Read a photograph once; the time and size of the file make a changed file a new one."""
    pixels = read_levels(file)
    pixels.flags.writeable = False
    return pixels


def _ladder(rng: np.random.Generator) -> _Recipe:
    """Draw one sequence of distortions at two strengths; one seed serves both, so they share every draw."""
    names = _draw_names(rng)
    weaker = rng.uniform(0.15, 0.45, size=len(names))
    stronger = rng.uniform(2 * weaker, 1.0)
    seed = _draw_seed(rng)
    weak, strong = (
        [(name, float(strength)) for name, strength in zip(names, strengths, strict=True)]
        for strengths in (weaker, stronger)
    )
    p1_is_weaker = bool(rng.random() < 0.5)
    return _Recipe((strong, weak) if p1_is_weaker else (weak, strong), (seed, seed), float(p1_is_weaker))


def _mixed(rng: np.random.Generator) -> _Recipe:
    """Draw two sequences of distortions that have nothing to do with each other."""
    first, second = ([(name, float(rng.uniform(0.15, 1.0))) for name in _draw_names(rng)] for _ in range(2))
    return _Recipe((first, second), (_draw_seed(rng), _draw_seed(rng)), float("nan"))


def _draw_names(rng: np.random.Generator) -> list[str]:
    return [str(name) for name in rng.choice(list(DISTORTIONS), size=int(rng.integers(1, 3)), replace=False)]


def _draw_seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**63))


def _distort(ref: NDArray[np.uint8], steps: Sequence[Step], seed: int) -> NDArray[np.uint8]:
    distorted = apply(ref / 255, steps, np.random.default_rng(seed))
    return np.rint(255 * distorted).astype(np.uint8)


def _difference(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Return the root mean square difference in 8-bit levels."""
    return float(np.sqrt(np.mean((first.astype(np.float64) - second) ** 2)))
