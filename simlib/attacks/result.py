"""What an attack returns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

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
    def assemble(cls, parts: Iterable[AttackResult], n: int) -> AttackResult:
        """Join the results of consecutive batches of one attack; the seconds add up.

        Each part is written to its place as it comes, so that memory holds the whole and one part.

        Args:
            parts: the results, in order.
            n: of how many samples they are together.

        Raises:
            InputError: if they are of different attacks, or not of so many samples.
        """
        whole, names, seconds = None, list[str](), 0.0
        for part in parts:
            if whole is None:
                if len(part) == n:
                    return part
                whole = part._emptied(n)
            elif (part.attack, part.protocol, part.parameters) != (
                whole.attack,
                whole.protocol,
                whole.parameters,
            ):
                raise InputError("Only results of one attack, with the same parameters, can be joined.")
            place = slice(len(names), len(names) + len(part))
            for all_of_them, some in zip(whole._tensors(), part._tensors(), strict=True):
                all_of_them[place] = some
            names, seconds = [*names, *part.names], seconds + part.seconds
        if whole is None or len(names) != n:
            raise InputError(f"The results are of {len(names)} samples, not of {n}. Give all of them.")
        return replace(whole, names=tuple(names), seconds=seconds)

    def _tensors(self) -> list[Tensor]:
        return [*(getattr(self, name) for name in _PER_SAMPLE), *self.details.values()]

    def _emptied(self, n: int) -> AttackResult:
        """Make room for n samples of the same kind."""

        def room(like: Tensor) -> Tensor:
            return like.new_empty((n, *like.shape[1:]))

        return replace(
            self,
            details={name: room(values) for name, values in self.details.items()},
            **{name: room(getattr(self, name)) for name in _PER_SAMPLE},
        )


_PER_SAMPLE = (
    "original",
    "images",
    "flipped",
    "flipped_8bit",
    "margin",
    "margin_8bit",
    "steps",
    "forwards",
    "backwards",
)
