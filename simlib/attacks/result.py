"""What an attack returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from simlib.errors import InputError
from simlib.kernels.images import LEVELS
from simlib.kernels.projection import round_to_8bit

if TYPE_CHECKING:
    from simlib.attacks.attack import Attack

Protocol = Literal["paper", "strict"]
"""How success is counted.

``paper`` is the released procedure of Ghildyal & Liu (2023): success is tested on the float image. PGD
tests before each step, so that the image after its last step is not tested. ``strict`` tests every image, the
last one too, and only after it was rounded to 8 bits within the budget.
"""


@dataclass(frozen=True)
class Found:
    """What an attack has found for one batch.

    Attributes:
        images: (N, 3, H, W) the attacked images.
        flipped: (N,) success as the protocol counts it; None if the returned image decides.
        steps, forwards, backwards, details: (N, ...) as in ``AttackResult``.
        blank: what details say of a sample that was not attacked.
    """

    images: Tensor
    flipped: Tensor | None
    steps: Tensor
    forwards: Tensor
    backwards: Tensor
    details: Mapping[str, Tensor] = field(default_factory=dict)
    blank: float = 0.0


@dataclass(frozen=True)
class AttackResult:
    """The images that an attack found, and what became of the rank.

    Attributes:
        attack, protocol, seed: what was run, how success was counted, and the seed of every draw.
        names: of the triplets.
        original: the images before the attack (N, 3, H, W).
        images: the attacked images (N, 3, H, W), of 8 bits under the strict protocol.
        flipped, margin: (N,) whether the protocol counts the rank as flipped, and its margin at the images.
        flipped_8bit, margin_8bit: (N,) the same for images rounded to 8 bits, as a PNG holds them.
        steps: (N,) steps taken to the returned image.
        forwards, backwards: (N,) evaluations of the metric at candidates, and gradients taken.
        seconds: wall-clock time for all samples.
        details: what else this attack reports of each sample, such as the flow of stAdv: tensors (N, ...).
    """

    attack: Attack
    protocol: Protocol
    seed: int
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
        """Join the results of consecutive batches, of n samples together, of one attack; the seconds add up.

        Each part is written to its place as it comes, so that memory holds the whole and one part.

        Raises:
            InputError: they are of different attacks, or not of n samples.
        """
        whole, names, seconds = None, list[str](), 0.0
        for part in parts:
            if whole is None:
                if len(part) == n:
                    return part
                whole = part._changed(lambda like: like.new_empty((n, *like.shape[1:])))
            elif (part.attack, part.protocol, part.seed) != (whole.attack, whole.protocol, whole.seed):
                raise InputError("Only results of one attack, with the same dials and seed, can be joined.")
            place = slice(len(names), len(names) + len(part))
            for all_of_them, some in zip(whole._tensors(), part._tensors(), strict=True):
                all_of_them[place] = some
            names, seconds = [*names, *part.names], seconds + part.seconds
        if whole is None or len(names) != n:
            raise InputError(f"The results are of {len(names)} samples, not of {n}. Give all of them.")
        return replace(whole, names=tuple(names), seconds=seconds)

    def _tensors(self) -> list[Tensor]:
        return [*(getattr(self, name) for name in _PER_SAMPLE), *self.details.values()]

    def _changed(self, change: Callable[[Tensor], Tensor]) -> AttackResult:
        """Return the result with another tensor in the place of each."""
        return replace(
            self,
            details={name: change(values) for name, values in self.details.items()},
            **{name: change(getattr(self, name)) for name in _PER_SAMPLE},
        )


_PER_SAMPLE = [each.name for each in fields(AttackResult) if each.type == "Tensor"]


def found_before(result: AttackResult, names: Sequence[str]) -> Found:
    """Return what an attack found for the triplets of these names, for another attack to go on from."""
    places = {name: place for place, name in enumerate(result.names)}
    rows = torch.tensor([places[name] for name in names], device=result.images.device)
    part = result._changed(lambda values: values[rows])
    return Found(part.images, None, part.steps, part.forwards, part.backwards, part.details)
