"""Triplets by the name of their source: the one parameter ``data`` of every notebook."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from simlib.errors import InputError
from simlib.given import given_path
from simlib.kernels.checks import require_count
from simlib.triplets import bapps
from simlib.triplets.layout import read_folder
from simlib.triplets.photos import photos
from simlib.triplets.stored import TripletFiles
from simlib.triplets.table import read_table
from simlib.triplets.triplets import Triplets


class Drawn(Protocol):
    """N triplets that were drawn; images are made or read when a part is asked for."""

    def __len__(self) -> int:
        """Return the number of triplets."""
        ...

    def __getitem__(self, part: slice, /) -> Triplets:
        """Return consecutive triplets, as :func:`draw` does."""
        ...


@dataclass(frozen=True)
class _Photos:
    """The first n triplets of the embedded set."""

    n: int
    seed: int

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, part: slice) -> Triplets:
        start, stop, _ = part.indices(self.n)
        return photos(stop - start, seed=self.seed, first=start)


def draw(data: str | os.PathLike[str], n: int, *, seed: int = 0) -> Triplets:
    """Return n triplets of a set, the same ones whenever they are asked for with the same seed.

    Args:
        data: ``"photos"`` makes them by :func:`~simlib.triplets.photos.photos`; ``"bapps"`` draws them from
            the clear winners of the validation split, as the paper does; a path draws them from all triplets
            of a folder or CSV file, as :func:`open_triplets` reads it.
        n: how many, at least 1.
        seed: chooses another draw, at least 0.

    Returns:
        n triplets, float32, on the CPU, all values 8-bit levels; ``draw(data, 8)`` begins ``draw(data, 16)``.

    Raises:
        AbsentError: BAPPS is not on this machine.
        InputError: a number out of its range, fewer than n triplets there, or data that cannot be read.
        UnknownNameError: the CSV file has a column of an unknown name.
    """
    return drawn(data, n, seed=seed)[:]


def drawn(data: str | os.PathLike[str], n: int | None, *, seed: int = 0) -> Drawn:
    """Draw as :func:`draw` does, and make or read the images of a part only when it is asked for.

    Args:
        data: as for :func:`draw`.
        n: how many, at least 1; None for all, which ``"photos"`` does not have.
        seed: as for :func:`draw`.

    Raises:
        AbsentError, InputError, UnknownNameError: as :func:`draw`, for an image when its part is asked for.
    """
    require_count("seed", seed, 0)
    if n is not None:
        require_count("n", n, 1)
    if data == "photos":
        if n is None:
            raise InputError("photos has no fixed number of triplets. Set n, such as n = 512.")
        return _Photos(n, seed)
    stored, what = open_triplets(data), "triplets"
    if data == "bapps":
        stored, what = stored.clear_winners(), "clear winners"
    n = len(stored) if n is None else n
    if len(stored) < n:
        raise InputError(
            f"{data} has {len(stored)} {what}, fewer than the {n} asked for. Set n to {len(stored)}."
        )
    return stored.select(np.random.default_rng(seed).permutation(len(stored))[:n])


def open_triplets(data: str | os.PathLike[str], *, side: int | None = None) -> TripletFiles:
    """List triplets that lie in files, to choose from before any image is read.

    Args:
        data: ``"bapps"`` for the validation split; a folder with ``ref``, ``p0``, ``p1`` and perhaps
            ``judge``, or with folders of such (see :mod:`simlib.triplets.layout`); or a CSV file (see
            :func:`simlib.triplets.table.read_table`).
        side: as in :class:`TripletFiles`.

    Raises:
        AbsentError: BAPPS is not on this machine.
        InputError: there is nothing of that name, or it cannot be read.
        UnknownNameError: the CSV file has a column of an unknown name.
    """
    return replace(_open(data), side=side)


def _open(data: str | os.PathLike[str]) -> TripletFiles:
    if data == "bapps":
        return bapps.files()
    path = given_path(data)
    if path.is_dir():
        return read_folder(path)
    if path.is_file():
        return read_table(path)
    raise InputError(
        f"There are no data {os.fspath(data)!r}. Give photos, bapps, or the path of a folder or CSV file."
    )
