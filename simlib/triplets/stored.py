"""Triplets in files: names and labels are known at once, images are read when they are asked for."""

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

from simlib.errors import InputError, unknown_name
from simlib.given import is_readable
from simlib.kernels.checks import require_count
from simlib.kernels.images import from_8bit
from simlib.progress import PATIENCE, Bar
from simlib.triplets.image_files import read_levels
from simlib.triplets.triplets import Index, LabelSource, Triplets, positions


class StoredTriplet(NamedTuple):
    """The image files of a triplet and, as in :class:`Triplets`, what else is known of it.

    ``folder`` names the part of the set that it belongs to.
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
        label_source: as in :class:`Triplets`.
        side: None leaves the images as they are, and those read at once must share one size. A number scales
            every image to that height and width (Pillow's Lanczos filter, which averages when it shrinks; the
            proportions are not kept) and rounds to 8 bits again.

    Raises:
        InputError: the side is not a whole number of at least 1, or a name is no readable text.
    """

    rows: tuple[StoredTriplet, ...]
    label_source: LabelSource
    side: int | None = None

    def __post_init__(self) -> None:
        if self.side is not None:
            require_count("side", self.side, 1)
        for row in self.rows:
            # Names become text in files, and not all that a file may be called is text.
            if not all(map(is_readable, (row.name, row.photograph, row.folder))):
                raise InputError(f"The name of {str(row.ref)!a} is no readable text. Rename the file.")

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        labels = "no labels" if bool(self.judge.isnan().all()) else f"{self.label_source} labels"
        return f"TripletFiles({len(self)}, {labels}, {len(set(self.folders))} folders)"

    def __iter__(self) -> Iterator[Triplets]:
        """Read the triplets one after the other, each as a set of one."""
        return self.batches(1)

    def __getitem__(self, index: Index) -> Triplets:
        """Read the images of a part of the set, chosen as by :meth:`Triplets.__getitem__`.

        Returns:
            float32 triplets on the CPU; all values are 8-bit levels, k/255.

        Raises:
            InputError: as there; also nothing chosen, an image that cannot be read, or one whose size differs
                from that of the first.
        """
        chosen = self.select(index)
        images = from_8bit(torch.from_numpy(chosen._levels()).permute(1, 0, 4, 2, 3).contiguous())
        return Triplets(
            *images,
            judge=chosen.judge,
            names=chosen.names,
            photographs=tuple(row.photograph for row in chosen.rows),
            distortions=tuple(row.distortions for row in chosen.rows),
            label_source=self.label_source,
        )

    @cached_property
    def judge(self) -> torch.Tensor:
        """The labels, float32 tensor ``(N,)``."""
        return torch.tensor([row.judge for row in self.rows], dtype=torch.float32, device="cpu")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the triplets."""
        return tuple(row.name for row in self.rows)

    @property
    def folders(self) -> tuple[str, ...]:
        """The part of the set that each triplet belongs to."""
        return tuple(row.folder for row in self.rows)

    def select(self, index: Index) -> TripletFiles:
        """Return a part of the set, chosen as by :meth:`Triplets.__getitem__`; no image is read."""
        return replace(self, rows=tuple(self.rows[place] for place in positions(index, len(self))))

    def clear_winners(self) -> TripletFiles:
        """Return the triplets whose votes all went one way: judge is exactly 0 or 1."""
        return self.select((self.judge == 0) | (self.judge == 1))

    def of_folders(self, *folders: str) -> TripletFiles:
        """Return the triplets of these folders, in the order they have here.

        Raises:
            UnknownNameError: no triplet belongs to one of them.
        """
        known = set(self.folders)
        for folder in folders:
            if folder not in known:
                raise unknown_name("folder", folder, known)
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
        if not self.rows:
            raise InputError("No triplet was chosen, and so there is no image to read.")
        files = [file for row in self.rows for file in (row.ref, row.p0, row.p1)]
        images: list[NDArray[np.uint8]] = []
        for file in Bar(files, "reading images", delay=PATIENCE, disable=None, leave=False):
            image = Image.fromarray(read_levels(file))
            if self.side is not None:
                image = image.resize((self.side, self.side), Image.Resampling.LANCZOS)
            images.append(np.asarray(image))
            if images[-1].shape != images[0].shape:
                height, width, _ = images[0].shape
                raise InputError(
                    f"{file} is {image.width} x {image.height}, but {files[0]} is {width} x {height}. Bring "
                    "the images of a set to one size, or have them scaled: open_triplets(path, side=64)."
                )
        return np.stack(images).reshape(len(self), 3, *images[0].shape)
