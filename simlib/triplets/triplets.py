"""Triplets: a reference, two distorted images, and who finds which of them more similar."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from simlib.errors import InputError
from simlib.kernels.device import pick_device
from simlib.kernels.images import plain, validate_alike, validate_images
from simlib.triplets.image_files import read_image

LabelSource = Literal["human", "constructed"]
"""Where the labels come from: people who were asked, or the way the images were made."""

Index = int | slice | Sequence[int] | NDArray[np.integer] | torch.Tensor
"""A position, a slice, positions in the order wanted, or a mask of one entry per triplet."""

_IMAGES = ("ref", "p0", "p1")
_TEXTS = ("names", "photographs", "distortions")
_MADE: Any = None
"""Stands for what is made from the images where it is not given."""


@dataclass(frozen=True, eq=False, repr=False)
class Triplets:
    """N references, each with two distorted images and a label; checked when made.

    ``Triplets(ref, p0, p1)`` is enough: nobody was asked then, names are made from what the images hold, and
    triplets with the same reference count as one photograph. The set keeps images and labels without their
    graph.

    Attributes:
        ref: the references, float tensor ``(N, 3, H, W)`` in ``[0, 1]``.
        p0: the first distorted images, of the same shape, dtype and device.
        p1: the second distorted images, of the same shape, dtype and device.
        judge: float tensor ``(N,)`` in ``[0, 1]``, the share of people who find p1 more similar (or what the
            construction says in their place); NaN where nobody was asked, which is the default.
        names: N names, unique and stable: the same triplet has the same name in every run.
        photographs: N names of the photographs the triplets were cut from; equal names mean that two
            triplets are not independent of each other.
        distortions: N pairs of text, what was done to p0 and to p1; ``"unknown"`` by default.
        label_source: ``"human"``, by default, or ``"constructed"``: such labels are never called human.

    Raises:
        InputError: one of the above does not hold; the message names the field and the first bad sample.
    """

    ref: torch.Tensor
    p0: torch.Tensor
    p1: torch.Tensor
    judge: torch.Tensor = _MADE
    names: tuple[str, ...] = _MADE
    photographs: tuple[str, ...] = _MADE
    distortions: tuple[tuple[str, str], ...] = _MADE
    label_source: LabelSource = "human"

    def __post_init__(self) -> None:
        for field in _IMAGES:
            validate_images(getattr(self, field), field)
        validate_alike(self.ref, "ref", self.p0, "p0")
        validate_alike(self.ref, "ref", self.p1, "p1")
        self._make_what_is_not_given()
        for field in (*_IMAGES, "judge"):
            if isinstance(tensor := getattr(self, field), torch.Tensor):
                object.__setattr__(self, field, plain(tensor))
        self._validate_judge()
        self._validate_text()

    def __len__(self) -> int:
        return self.ref.shape[0]

    def __repr__(self) -> str:
        height, width = self.ref.shape[2:]
        size = f"{len(self)} of {height}x{width}"
        labels = "no labels" if bool(self.judge.isnan().all()) else f"{self.label_source} labels"
        return f"Triplets({size}, {labels}, {self.ref.dtype}, {self.ref.device})"

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
        tensors = {field: getattr(self, field)[chosen] for field in (*_IMAGES, "judge")}
        texts = {field: tuple(getattr(self, field)[place] for place in places) for field in _TEXTS}
        return replace(self, **tensors, **texts)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Triplets:
        """Return the set on another device or in another precision; the labels keep their precision.

        Args:
            device: where the images and labels shall lie, ``"auto"`` for the GPU, else the processor; None
                leaves them.
            dtype: floating dtype of the images; None leaves it.

        Raises:
            InputError: nothing can be computed on the device, or the dtype is no floating one of torch.
        """
        device = None if device is None else pick_device(device)
        if not isinstance(dtype, torch.dtype | None):
            raise InputError(f"dtype is {dtype!r}. Give a torch.dtype, such as torch.float64.")
        images = {field: getattr(self, field).to(device=device, dtype=dtype) for field in _IMAGES}
        return replace(self, **images, judge=self.judge.to(device=device))

    @staticmethod
    def concatenate(sets: Sequence[Triplets]) -> Triplets:
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
        tensors = {field: torch.cat([getattr(each, field) for each in sets]) for field in (*_IMAGES, "judge")}
        texts = {field: tuple(entry for each in sets for entry in getattr(each, field)) for field in _TEXTS}
        return replace(first, **tensors, **texts)

    def _make_what_is_not_given(self) -> None:
        made = {
            "judge": lambda: self.ref.new_full((len(self),), torch.nan),
            "names": lambda: _numbered(_names_of(self.ref, self.p0, self.p1)),
            "photographs": lambda: _names_of(self.ref),
            "distortions": lambda: (("unknown", "unknown"),) * len(self),
        }
        for field, make in made.items():
            if getattr(self, field) is _MADE:
                object.__setattr__(self, field, make())

    def _validate_judge(self) -> None:
        judge, wanted = self.judge, f"a float tensor of shape ({len(self)},) on {self.ref.device}"
        if not isinstance(judge, torch.Tensor):
            raise InputError(f"judge is a {type(judge).__name__}. Give {wanted}.")
        right = judge.shape == (len(self),) and judge.device == self.ref.device
        if not (right and judge.dtype.is_floating_point):
            raise InputError(
                f"judge is a tensor of {judge.dtype} and shape {tuple(judge.shape)} on {judge.device}. "
                f"Give {wanted}: shares in [0, 1], NaN where nobody was asked."
            )
        bad = ((judge < 0) | (judge > 1)).nonzero().flatten().tolist()
        if bad:
            raise InputError(
                f"judge: sample {bad[0]} is {float(judge[bad[0]]):.6g}; it is the share who prefer p1, "
                "in [0, 1]. Divide the votes for p1 by all votes."
            )

    def _validate_text(self) -> None:
        for field in _TEXTS:
            entries = getattr(self, field)
            if not isinstance(entries, tuple) or len(entries) != len(self):
                length = f" of {len(entries)}" if isinstance(entries, tuple) else ""
                raise InputError(
                    f"{field} is a {type(entries).__name__}{length}, and ref has {len(self)} samples. "
                    "Give a tuple with one entry for each."
                )
        first: dict[str, int] = {}
        for position, (name, pair) in enumerate(zip(self.names, self.distortions, strict=True)):
            if first.setdefault(name, position) != position:
                raise InputError(
                    f"names: sample {position} is called {name!r}, as is sample {first[name]}. "
                    "Give every triplet its own name."
                )
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise InputError(
                    f"distortions: sample {position} is {pair!r}. Give a pair of texts, for p0 and for p1."
                )
        if self.label_source not in get_args(LabelSource):
            raise InputError(f"label_source is {self.label_source!r}. Give 'human' or 'constructed'.")


def require_triplets(value: object) -> None:
    """Refuse, by an InputError, anything that is no :class:`Triplets`."""
    if not isinstance(value, Triplets):
        raise InputError(
            f"triplets is a {type(value).__name__}. Make triplets of three tensors by Triplets(ref, p0, p1), "
            "or read some from files: open_triplets(path)[:100]."
        )


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
    return Triplets(
        **{part: read_image(Path(folder) / f"ex_{part}.png").unsqueeze(0) for part in _IMAGES},
        judge=torch.full((1,), float("nan"), dtype=torch.float32, device="cpu"),
        names=("lpips-example",),
        photographs=("lpips-example",),
        distortions=(("unknown", "unknown"),),
        label_source="human",
    )


def _names_of(*images: torch.Tensor) -> tuple[str, ...]:
    """Name each sample of some batches (N, 3, H, W) after what its images hold, in float32."""
    single = [batch.detach().float().cpu().contiguous().numpy() for batch in images]
    held = (b"".join(image.tobytes() for image in sample) for sample in zip(*single, strict=True))
    return tuple(f"own-{hashlib.sha256(each).hexdigest()[:12]}" for each in held)


def _numbered(names: Sequence[str]) -> tuple[str, ...]:
    """Tell equal names apart by a number from the second on."""
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(f"{name}-{seen[name]}" if seen[name] > 1 else name)
    return tuple(numbered)


def positions(index: Index, count: int) -> list[int]:
    """Return the positions that an index selects, from 0 to count - 1, in the order asked for.

    Args:
        index: negative positions count from the end; a mask is boolean and has ``count`` entries.
        count: how many triplets the set has.

    Raises:
        InputError: a position outside the set, a mask of another length, or something that is no index.
    """
    everything = np.arange(count)
    if isinstance(index, slice):
        return everything[index].tolist()
    try:
        chosen = index.cpu().numpy() if isinstance(index, torch.Tensor) else np.asarray(index)
        # NumPy makes an empty list an array of floats, which is no index.
        if chosen.size == 0 and chosen.dtype != bool:
            return []
        found = np.atleast_1d(everything[chosen])
        if found.ndim > 1:
            raise IndexError(f"its shape is {chosen.shape}")
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        raise InputError(
            f"The index does not select triplets: {error}. The set has {count}. "
            f"Give positions from 0 to {count - 1}, a slice, or a mask of {count} entries."
        ) from error
    return found.tolist()
