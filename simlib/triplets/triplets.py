"""Triplets: a reference, two distorted images, and who finds which of them more similar."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar, get_args

import torch

from simlib.errors import InputError
from simlib.kernels.images import validate_alike, validate_images
from simlib.triplets.image_files import read_image
from simlib.triplets.selection import Index, positions

LabelSource = Literal["human", "constructed"]
"""Where the labels come from: people who were asked, or the way the images were made."""

_Entry = TypeVar("_Entry")


@dataclass(frozen=True, eq=False, repr=False)
class Triplets:
    """N references, each with two distorted images and a label; checked when made.

    Attributes:
        ref: the references, float tensor ``(N, 3, H, W)`` in ``[0, 1]``.
        p0: the first distorted images, of the same shape, dtype and device.
        p1: the second distorted images, of the same shape, dtype and device.
        judge: float tensor ``(N,)`` in ``[0, 1]``, the share of people who find p1 more similar (or what the
            construction says in their place); NaN where nobody was asked.
        names: N names, unique and stable: the same triplet has the same name in every run.
        photographs: N names of the photographs the triplets were cut from; equal names mean that two
            triplets are not independent of each other.
        distortions: N pairs of text, what was done to p0 and to p1.
        label_source: ``"human"`` or ``"constructed"``; constructed labels are never called human.

    Raises:
        InputError: one of the above does not hold; the message names the field and the first bad sample.
    """

    ref: torch.Tensor
    p0: torch.Tensor
    p1: torch.Tensor
    judge: torch.Tensor
    names: tuple[str, ...]
    photographs: tuple[str, ...]
    distortions: tuple[tuple[str, str], ...]
    label_source: LabelSource

    def __post_init__(self) -> None:
        """Check every field."""
        for field in ("ref", "p0", "p1"):
            validate_images(getattr(self, field), field)
        validate_alike(self.ref, "ref", self.p0, "p0")
        validate_alike(self.ref, "ref", self.p1, "p1")
        self._validate_judge()
        self._validate_text()

    def __len__(self) -> int:
        """Return the number of triplets."""
        return self.ref.shape[0]

    def __repr__(self) -> str:
        """Describe the set in a line, without its pixels."""
        height, width = self.ref.shape[2:]
        size = f"{len(self)} of {height}x{width}"
        return f"Triplets({size}, {self.label_source} labels, {self.ref.dtype}, {self.ref.device})"

    def __iter__(self) -> Iterator[Triplets]:
        """Give the triplets one after the other, each as a set of one."""
        return (self[position] for position in range(len(self)))

    def __getitem__(self, index: Index) -> Triplets:
        """Return a part of the set, in the order asked for.

        Args:
            index: a position (gives a set of one), a slice, positions, or a boolean tensor of N entries.

        Raises:
            InputError: a position outside the set or named twice, or a mask of another length.
        """
        places = positions(index, len(self))
        chosen = torch.tensor(places, dtype=torch.long, device=self.ref.device)
        return Triplets(
            ref=self.ref[chosen],
            p0=self.p0[chosen],
            p1=self.p1[chosen],
            judge=self.judge[chosen],
            names=_pick(self.names, places),
            photographs=_pick(self.photographs, places),
            distortions=_pick(self.distortions, places),
            label_source=self.label_source,
        )

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Triplets:
        """Return the set on another device or in another precision; the labels keep their precision.

        Args:
            device: where the images and labels shall lie; None leaves them.
            dtype: floating dtype of the images; None leaves it.
        """
        return replace(
            self,
            ref=self.ref.to(device=device, dtype=dtype),
            p0=self.p0.to(device=device, dtype=dtype),
            p1=self.p1.to(device=device, dtype=dtype),
            judge=self.judge.to(device=device),
        )

    @classmethod
    def concatenate(cls, sets: Sequence[Triplets]) -> Triplets:
        """Join sets of images of one size into one, in the order given.

        Args:
            sets: one or more sets with the same image size, dtype, device and label source.

        Raises:
            InputError: no set, sets that differ, or a name that occurs in two of them.
        """
        if not sets:
            raise InputError("Nothing to concatenate: give at least one set of triplets.")
        first = sets[0]
        for number, other in enumerate(sets[1:], start=1):
            validate_alike(first.ref[:0], "the first set", other.ref[:0], f"set {number}")
            if other.label_source != first.label_source:
                raise InputError(
                    f"Set {number} has {other.label_source} labels, the first {first.label_source}. "
                    "Keep them apart: results on constructed labels must not be reported as human."
                )
        return cls(
            ref=torch.cat([each.ref for each in sets]),
            p0=torch.cat([each.p0 for each in sets]),
            p1=torch.cat([each.p1 for each in sets]),
            judge=torch.cat([each.judge for each in sets]),
            names=tuple(name for each in sets for name in each.names),
            photographs=tuple(name for each in sets for name in each.photographs),
            distortions=tuple(pair for each in sets for pair in each.distortions),
            label_source=first.label_source,
        )

    def _validate_judge(self) -> None:
        judge = self.judge
        if not isinstance(judge, torch.Tensor) or not judge.dtype.is_floating_point:
            raise InputError(
                "judge is not a float tensor. Give shares in [0, 1], NaN where nobody was asked."
            )
        if judge.shape != (len(self),):
            raise InputError(
                f"judge has shape {tuple(judge.shape)}, but ref has {len(self)} samples. Give one share each."
            )
        if judge.device != self.ref.device:
            raise InputError(
                f"judge is on {judge.device}, ref on {self.ref.device}. Move it: judge.to(ref.device)."
            )
        bad = ((judge < 0) | (judge > 1)).nonzero().flatten().tolist()
        if bad:
            raise InputError(
                f"judge: sample {bad[0]} is {float(judge[bad[0]]):.6g}; it is the share who prefer p1, "
                "in [0, 1]. Divide the votes for p1 by all votes."
            )

    def _validate_text(self) -> None:
        for field in ("names", "photographs", "distortions"):
            entries = getattr(self, field)
            if not isinstance(entries, tuple):
                raise InputError(
                    f"{field} is a {type(entries).__name__}. Give a tuple with one entry per triplet."
                )
            if len(entries) != len(self):
                raise InputError(
                    f"{field} has {len(entries)} entries, but ref has {len(self)} samples. Give one each."
                )
        seen: dict[str, int] = {}
        for position, name in enumerate(self.names):
            if name in seen:
                raise InputError(
                    f"names: sample {position} is called {name!r}, as is sample {seen[name]}. "
                    "Give every triplet its own name."
                )
            seen[name] = position
        for position, pair in enumerate(self.distortions):
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise InputError(
                    f"distortions: sample {position} is {pair!r}. Give a pair of texts, for p0 and for p1."
                )
        if self.label_source not in get_args(LabelSource):
            raise InputError(f"label_source is {self.label_source!r}. Give 'human' or 'constructed'.")


def example_triplet(folder: str | os.PathLike[str]) -> Triplets:
    """Read the example triplet of LPIPS: ``ex_ref.png``, ``ex_p0.png`` and ``ex_p1.png``.

    Source: the folder ``imgs`` of https://github.com/richzhang/PerceptualSimilarity (BSD-2). Nobody's vote
    comes with it; its authors give it as a case where p1 is plainly more similar.

    Args:
        folder: where the three files lie.

    Returns:
        A set of one triplet, float32, with judge NaN.

    Raises:
        InputError: a file is absent or cannot be read, or the sizes differ.
    """
    images = {part: read_image(Path(folder) / f"ex_{part}.png").unsqueeze(0) for part in ("ref", "p0", "p1")}
    return Triplets(
        **images,
        judge=torch.full((1,), float("nan")),
        names=("lpips-example",),
        photographs=("lpips-example",),
        distortions=(("unknown", "unknown"),),
        label_source="human",
    )


def _pick(entries: tuple[_Entry, ...], places: Sequence[int]) -> tuple[_Entry, ...]:
    return tuple(entries[place] for place in places)
