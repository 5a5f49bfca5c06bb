"""Triplets in files: names and labels are at hand, images are read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from simlib.errors import InputError, unknown_name
from simlib.kernels.checks import require_count
from simlib.kernels.images import from_8bit
from simlib.triplets.image_files import read_levels
from simlib.triplets.selection import Index, positions
from simlib.triplets.triplets import LabelSource, Triplets

PATIENCE = 2.0
"""Seconds that reading may take before it shows a progress bar."""


class StoredTriplet(NamedTuple):
    """What is known of a triplet before its images are read.

    Attributes:
        ref: the file of the reference.
        p0: the file of the first distorted image.
        p1: the file of the second distorted image.
        judge: the share of people who find p1 more similar; NaN where nobody was asked.
        name: unique in its set.
        photograph: what the triplet was cut from; equal names mean triplets that are not independent.
        folder: the part of the set it belongs to.
        distortions: what was done to p0 and to p1.
    """

    ref: Path
    p0: Path
    p1: Path
    judge: float
    name: str
    photograph: str
    folder: str
    distortions: tuple[str, str]


@dataclass(frozen=True, eq=False, repr=False)
class TripletFiles:
    """N triplets in files, to choose from before any image is read.

    Attributes:
        rows: what is known of each, in order.
        label_source: ``"human"`` or ``"constructed"``, of all labels.
        side: None leaves the images as they are, and those read at once must share one size. A number scales
            every image to that height and width (Pillow's Lanczos filter, which averages when it shrinks; the
            proportions are not kept) and rounds to 8 bits again.

    Raises:
        InputError: the side is not a whole number of at least 1.
    """

    rows: tuple[StoredTriplet, ...]
    label_source: LabelSource
    side: int | None = None

    def __post_init__(self) -> None:
        """Check the side."""
        if self.side is not None:
            require_count("side", self.side, 1)

    def __len__(self) -> int:
        """Return the number of triplets."""
        return len(self.rows)

    def __repr__(self) -> str:
        """Describe the set in a line."""
        return f"TripletFiles({len(self)}, {self.label_source} labels, {len(set(self.folders))} folders)"

    def __iter__(self) -> Iterator[Triplets]:
        """Read the triplets one after the other, each as a set of one."""
        return self.batches(1)

    def __getitem__(self, index: Index) -> Triplets:
        """Read the images of a part of the set, in the order asked for.

        Args:
            index: a position (gives a set of one), a slice, positions, or a mask of N entries.

        Returns:
            float32 triplets on the CPU; all values are 8-bit levels, k/255.

        Raises:
            InputError: nothing chosen, a position outside the set or named twice, a mask of another length,
                an image that cannot be read, or one whose size differs from that of the first.
        """
        chosen = self.select(index)
        images = from_8bit(torch.from_numpy(chosen._levels()).permute(1, 0, 4, 2, 3).contiguous())
        return Triplets(
            ref=images[0],
            p0=images[1],
            p1=images[2],
            judge=chosen.judge,
            names=chosen.names,
            photographs=tuple(row.photograph for row in chosen.rows),
            distortions=tuple(row.distortions for row in chosen.rows),
            label_source=self.label_source,
        )

    @cached_property
    def judge(self) -> torch.Tensor:
        """The labels, float32 tensor ``(N,)``."""
        return torch.tensor([row.judge for row in self.rows], dtype=torch.float32)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the triplets."""
        return tuple(row.name for row in self.rows)

    @property
    def folders(self) -> tuple[str, ...]:
        """The part of the set that each triplet belongs to."""
        return tuple(row.folder for row in self.rows)

    def select(self, index: Index) -> TripletFiles:
        """Return a part of the set, in the order asked for; no image is read.

        Args:
            index: a position, a slice, positions, or a mask of N entries.

        Raises:
            InputError: a position outside the set, or a mask of another length.
        """
        return replace(self, rows=tuple(self.rows[place] for place in positions(index, len(self))))

    def clear_winners(self) -> TripletFiles:
        """Return the triplets whose votes all went one way: judge is exactly 0 or 1."""
        return self.select((self.judge == 0) | (self.judge == 1))

    def of_folders(self, *folders: str) -> TripletFiles:
        """Return the triplets of these folders, in the order they have here.

        Raises:
            UnknownNameError: a folder that no triplet is of.
        """
        for folder in folders:
            if folder not in self.folders:
                raise unknown_name("folder", folder, set(self.folders))
        return replace(self, rows=tuple(row for row in self.rows if row.folder in folders))

    def batches(self, size: int) -> Iterator[Triplets]:
        """Read all triplets, at most ``size`` at a time.

        Raises:
            InputError: the size is not a whole number of at least 1; or as :meth:`__getitem__` while reading.
        """
        require_count("size", size, 1)
        return (self[start : start + size] for start in range(0, len(self), size))

    def _levels(self) -> NDArray[np.uint8]:
        """Read all images: levels (N, 3, H, W, 3) of ref, p0 and p1."""
        files = [file for row in self.rows for file in (row.ref, row.p0, row.p1)]
        levels: NDArray[np.uint8] | None = None
        for place, file in enumerate(
            tqdm(files, "reading images", delay=PATIENCE, disable=None, leave=False)
        ):
            image = self._image(file)
            if levels is None:
                levels = np.empty((len(files), *image.shape), dtype=np.uint8)
            elif image.shape != levels.shape[1:]:
                raise InputError(
                    f"{file} is {_size(image)}, but {files[0]} is {_size(levels[0])}. Bring the images of a "
                    "set to one size, or have them scaled: open_triplets(path, side=64)."
                )
            levels[place] = image
        if levels is None:
            raise InputError("No triplet was chosen, and so there is no image to read.")
        return levels.reshape(len(self), 3, *levels.shape[1:])

    def _image(self, file: Path) -> NDArray[np.uint8]:
        levels = read_levels(file)
        if self.side is None:
            return levels
        return np.asarray(Image.fromarray(levels).resize((self.side, self.side), Image.Resampling.LANCZOS))


def _size(image: NDArray[np.uint8]) -> str:
    height, width = image.shape[:2]
    return f"{width} x {height}"
