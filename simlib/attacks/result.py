"""What an attack returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from simlib.errors import InputError
from simlib.kernels.images import LEVELS
from simlib.kernels.projection import round_to_8bit

Protocol = Literal["paper", "strict"]
"""How success is counted.

``paper`` is the released procedure of Ghildyal & Liu (2023): success is tested on the float image. PGD
tests before each step, so that the image after its last step is not tested. ``strict`` tests every image, the
last one too, and only after it was rounded to 8 bits within the budget.
"""


@dataclass(frozen=True)
class AttackResult:
    """The images that an attack found, and what became of the rank.

    Attributes:
        attack: name of the attack.
        protocol: how success was counted.
        parameters: what the attack was called with.
        names: of the triplets.
        original: the images before the attack (N, 3, H, W).
        images: the attacked images (N, 3, H, W), of 8 bits under the strict protocol.
        flipped: (N,) whether the protocol counts the rank as flipped.
        flipped_8bit: (N,) whether it is flipped by the image rounded to 8 bits, as a PNG holds it.
        margin: (N,) margin of the rank at the returned images.
        margin_8bit: (N,) the same after rounding to 8 bits.
        steps: (N,) steps taken to the returned image.
        forwards: (N,) times the attack evaluated the metric at a candidate.
        backwards: (N,) times it took a gradient.
        seconds: wall-clock time for all samples.
        details: what else this attack tells of each sample, such as the flow of stAdv: tensors (N, ...).
    """

    attack: str
    protocol: Protocol
    parameters: Mapping[str, object]
    names: tuple[str, ...]
    original: Tensor
    images: Tensor
    flipped: Tensor
    flipped_8bit: Tensor
    margin: Tensor
    margin_8bit: Tensor
    steps: Tensor
    forwards: Tensor
    backwards: Tensor
    seconds: float
    details: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def linf(self) -> Tensor:
        """Largest change of one value, (N,), in the units of [0, 1]."""
        return (self.images - self.original).abs().amax(dim=(1, 2, 3))

    @property
    def l2(self) -> Tensor:
        """Euclidean length of the change, (N,), in the units of [0, 1]."""
        return (self.images - self.original).square().sum(dim=(1, 2, 3)).sqrt()

    @property
    def rmse(self) -> Tensor:
        """Root of the mean squared change, (N,), in levels of the images rounded to 8 bits."""
        change = (round_to_8bit(self.images) - round_to_8bit(self.original)) * LEVELS
        return change.square().mean(dim=(1, 2, 3)).sqrt()

    @classmethod
    def concatenate(cls, parts: Sequence[AttackResult]) -> AttackResult:
        """Join the results of consecutive batches of one attack; the seconds add up.

        Raises:
            InputError: if there is none, or they are of different attacks.
        """
        if not parts or any(
            (part.attack, part.protocol, part.parameters)
            != (parts[0].attack, parts[0].protocol, parts[0].parameters)
            for part in parts
        ):
            raise InputError(
                "Only results of one and the same attack, with the same parameters, can be joined."
            )

        def join(name: str) -> Tensor:
            return torch.cat([getattr(part, name) for part in parts])

        tensors = ("original", "images", "flipped", "flipped_8bit", "margin", "margin_8bit")
        counts = ("steps", "forwards", "backwards")
        return replace(
            parts[0],
            names=tuple(name for part in parts for name in part.names),
            seconds=sum(part.seconds for part in parts),
            details={name: torch.cat([part.details[name] for part in parts]) for name in parts[0].details},
            **{name: join(name) for name in (*tensors, *counts)},
        )
