"""The embedded set: triplets cut from photographs that come with scikit-image, or from a folder of others."""

from __future__ import annotations

import importlib.resources
import itertools
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from simlib.errors import InputError
from simlib.files import listed
from simlib.given import given_path, is_readable
from simlib.kernels.checks import require_count
from simlib.kernels.images import from_8bit
from simlib.triplets.distortions import DISTORTIONS, Step, apply, describe
from simlib.triplets.embedded import EMBEDDED
from simlib.triplets.image_files import KINDS, SUFFIXES, not_read, read_levels, read_size
from simlib.triplets.triplets import Triplets

_SMALLEST_SIDE = 16
_USUAL_SIDE = 64
_MOST_DRAWS = 200
# Standard deviation within the channels, in [0, 1]: a patch below it is sky or the black around the retina.
_FLAT = 0.04
# Root mean square difference, in 8-bit levels, that any two images of a triplet have at least.
_ALIKE = 1.0

_Levels = NDArray[np.uint8]
# The files that show each photograph, by its name.
_Photographs = Mapping[str, Sequence[Path]]


class _Change(NamedTuple):
    """What is done to p0 and p1, with which seeds, and the label that follows from it."""

    steps: tuple[list[Step], list[Step]]
    seeds: tuple[int, int]
    judge: float


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
    for name, value, least in (
        ("n", n, 1),
        ("seed", seed, 0),
        ("side", side, _SMALLEST_SIDE),
        ("first", first, 0),
    ):
        require_count(name, value, least)
    photographs = _embedded() if folder is None else _in_folder(given_path(folder))
    _validate_sizes(photographs, side)
    levels, names, changes = zip(
        *(_sample(photographs, seed, number, side) for number in range(first, first + n)), strict=True
    )
    images = from_8bit(torch.from_numpy(np.stack(levels)).permute(1, 0, 4, 2, 3).contiguous())
    prefix = _prefix(folder, seed, side)
    return Triplets(
        *images,
        judge=torch.tensor([change.judge for change in changes], dtype=torch.float32, device="cpu"),
        names=tuple(f"{prefix}-{number:06d}-{_plain(name)}" for number, name in enumerate(names, first)),
        photographs=names,
        distortions=tuple((describe(change.steps[0]), describe(change.steps[1])) for change in changes),
        label_source="constructed",
    )


def _embedded() -> _Photographs:
    inside = Path(str(importlib.resources.files("skimage"))) / "data"
    return {name: [inside / file for file in each.files] for name, each in EMBEDDED.items()}


def _in_folder(folder: Path) -> _Photographs:
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}. Give a folder with {KINDS} files.")
    files = [file for file in listed(folder) if file.suffix.lower() in SUFFIXES and file.is_file()]
    if not files:
        raise InputError(
            f"The folder {folder} holds no photograph. Put {KINDS} files there, not in subfolders. "
            f"{not_read(folder)}".rstrip()
        )
    for file in files:
        # Names become text in tables and stores.
        if not is_readable(file.name):
            raise InputError(f"The name of the photograph {str(file)!a} is no readable text. Rename it.")
    stems = Counter(file.stem for file in files)
    return {file.stem if stems[file.stem] == 1 else file.name: [file] for file in files}


def _validate_sizes(photographs: _Photographs, side: int) -> None:
    """Refuse files that are too small, all of them before any work is done; only headers are read."""
    for file in (file for files in photographs.values() for file in files):
        width, height = read_size(file)
        if min(width, height) < side:
            raise InputError(
                f"The photograph {file} is {width} x {height}, too small for patches of side {side}. "
                "Remove it or choose a smaller side."
            )


def _prefix(folder: str | os.PathLike[str] | None, seed: int, side: int) -> str:
    """Name what a set was made from, so that triplets of other sets do not share its names."""
    source = "photos" if folder is None else _plain(given_path(folder).resolve().name)
    return f"{source}-s{seed}" if side == _USUAL_SIDE else f"{source}-{side}px-s{seed}"


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)


def _sample(photographs: _Photographs, seed: int, number: int, side: int) -> tuple[_Levels, str, _Change]:
    """Make a triplet: the levels (3, H, W, 3) of ref, p0 and p1, the photograph's name, what was done."""
    rng = np.random.default_rng([seed, number])
    name, files = list(photographs.items())[int(rng.integers(len(photographs)))]
    for _ in range(_MOST_DRAWS):
        ref = _cut(files, side, rng)
        change = _ladder(rng) if number % 2 == 0 else _mixed(rng)
        p0, p1 = (_distort(ref, steps, seed) for steps, seed in zip(change.steps, change.seeds, strict=True))
        if min(_difference(*pair) for pair in itertools.combinations((ref, p0, p1), 2)) >= _ALIKE:
            return np.stack([ref, p0, p1]), name, change
    raise InputError(
        f"{_MOST_DRAWS} patches of the photograph {files[0]} looked the same after distortion. "
        "Replace or remove it."
    )


def _cut(files: Sequence[Path], side: int, rng: np.random.Generator) -> _Levels:
    """Cut a patch that is not flat, at full size or averaged from an area twice as wide."""
    for _ in range(_MOST_DRAWS):
        pixels = _pixels(files[int(rng.integers(len(files)))])
        scale = int(rng.integers(1, 3)) if min(pixels.shape[:2]) >= 2 * side else 1
        top, left = (int(rng.integers(extent - scale * side + 1)) for extent in pixels.shape[:2])
        area = pixels[top : top + scale * side, left : left + scale * side]
        patch = np.asarray(Image.fromarray(area).reduce(scale)) if scale > 1 else area
        if patch.std(axis=(0, 1)).mean() >= 255 * _FLAT:
            return patch
    raise InputError(
        f"The photograph {files[0]} is flat: {_MOST_DRAWS} patches of side {side} had hardly "
        "any structure. Replace or remove it, or choose a larger side."
    )


def _pixels(file: Path) -> _Levels:
    try:
        status = file.stat()
    except OSError as error:
        raise InputError(f"The photograph {file} cannot be read: {error}. Replace or remove it.") from error
    return _cached_pixels(file, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=32)
def _cached_pixels(file: Path, modified: int, size: int) -> _Levels:
    """Read a photograph once; the time and size of the file make a changed file a new one."""
    pixels = read_levels(file)
    pixels.flags.writeable = False
    return pixels


def _ladder(rng: np.random.Generator) -> _Change:
    """Draw one sequence of distortions at two strengths; they share their seed, and so every draw."""
    names = _draw_names(rng)
    weaker = rng.uniform(0.15, 0.45, size=len(names))
    stronger = rng.uniform(2 * weaker, 1.0)
    seed = int(rng.integers(2**63))
    weak, strong = (list(zip(names, each.tolist(), strict=True)) for each in (weaker, stronger))
    p1_is_weaker = bool(rng.random() < 0.5)
    return _Change((strong, weak) if p1_is_weaker else (weak, strong), (seed, seed), float(p1_is_weaker))


def _mixed(rng: np.random.Generator) -> _Change:
    """Draw two sequences of distortions, independently of each other."""
    first, second = ([(name, float(rng.uniform(0.15, 1.0))) for name in _draw_names(rng)] for _ in range(2))
    seeds = int(rng.integers(2**63)), int(rng.integers(2**63))
    return _Change((first, second), seeds, float("nan"))


def _draw_names(rng: np.random.Generator) -> list[str]:
    return rng.choice(list(DISTORTIONS), size=int(rng.integers(1, 3)), replace=False).tolist()


def _distort(ref: _Levels, steps: Sequence[Step], seed: int) -> _Levels:
    distorted = apply(ref / 255, steps, np.random.default_rng(seed))
    return np.rint(255 * distorted).astype(np.uint8)


def _difference(first: _Levels, second: _Levels) -> float:
    """Return the root mean square difference in 8-bit levels."""
    return float(np.sqrt(np.mean((first.astype(np.float64) - second) ** 2)))
