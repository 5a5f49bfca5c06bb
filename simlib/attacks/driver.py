"""Runs an attack over a problem of any size in batches, and measures what came out."""

from __future__ import annotations

import math
import numbers
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import get_args

import torch
from torch import Tensor
from tqdm import tqdm

from simlib.attacks.problem import FlipBatch, RankFlip
from simlib.attacks.result import AttackResult, Protocol
from simlib.errors import InputError, unknown_name
from simlib.kernels.checks import require_count
from simlib.kernels.device import exact_convolutions, in_fitting_batches
from simlib.kernels.projection import round_to_8bit

BATCH_SIZE = 256
"""Triplets attacked at once unless the caller says otherwise; bounds the memory of an attack."""

_BAR_FROM_SECONDS = 2.0


@dataclass(frozen=True)
class Found:
    """What the inner loop of an attack hands back for one batch.

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


def run_in_batches(
    problem: RankFlip,
    attack_batch: Callable[[FlipBatch], Found],
    *,
    attack: str,
    protocol: Protocol,
    parameters: Mapping[str, object],
    batch_size: int | None,
    progress: bool,
) -> AttackResult:
    """Attack batch after batch and measure the returned images, as floats and rounded to 8 bits.

    A batch that does not fit the memory is halved, with one warning, and so are those after it. Under
    the strict protocol, images that rounding alone flips are not attacked.

    Args:
        problem: what is attacked.
        attack_batch: finds attacked images for one batch.
        attack: name of the attack.
        protocol: how success is counted.
        parameters: what the attack was called with, kept in the result.
        batch_size: triplets attacked at once; ``None`` for 256.
        progress: show a bar when the attack takes longer than two seconds.

    Raises:
        InputError: if the batch size is not a whole number above zero.
        OutOfMemoryError: if a single triplet does not fit the memory.
        UnknownNameError: if the protocol is not known.
    """
    if protocol not in get_args(Protocol):
        raise unknown_name("protocol", str(protocol), get_args(Protocol))
    batch_size = BATCH_SIZE if batch_size is None else batch_size
    require_count("batch_size", batch_size)

    def attack_part(start: int, stop: int) -> AttackResult:
        started = time.perf_counter()
        batch = problem.batch(start, stop)
        found = _attack_unflipped(batch, attack_batch) if protocol == "strict" else attack_batch(batch)
        return _measure(batch, found, attack, protocol, parameters, started)

    bar = tqdm(
        total=len(problem),
        desc=attack,
        unit="triplet",
        disable=not progress,
        delay=_BAR_FROM_SECONDS,
        leave=False,
    )

    def counted() -> Iterator[AttackResult]:
        for part in in_fitting_batches(attack_part, len(problem), batch_size):
            bar.update(len(part))
            yield part

    with bar, exact_convolutions():
        return AttackResult.assemble(counted(), len(problem))


def _attack_unflipped(batch: FlipBatch, attack_batch: Callable[[FlipBatch], Found]) -> Found:
    """Attack those samples of a batch that rounding to 8 bits does not flip already."""
    rounded = round_to_8bit(batch.original)
    looked = (rounded != batch.original).flatten(1).any(dim=1)
    if not bool(looked.any()):
        return attack_batch(batch)
    flipped = looked & batch.flips(rounded)
    rest = (~flipped).nonzero().squeeze(1)
    if len(rest) == 0:
        zero = torch.zeros(len(batch), dtype=torch.long, device=rounded.device)
        return Found(rounded, None, steps=zero, forwards=zero + 1, backwards=zero)
    found = attack_batch(batch if len(rest) == len(batch) else batch.narrow(rest))

    def spread(values: Tensor, blank: float = 0) -> Tensor:
        whole = values.new_full((len(batch), *values.shape[1:]), blank)
        return whole.index_copy_(0, rest, values)

    return Found(
        images=rounded.index_copy(0, rest, found.images),
        flipped=None,
        steps=spread(found.steps),
        forwards=spread(found.forwards) + looked,
        backwards=spread(found.backwards),
        details={name: spread(values, found.blank) for name, values in found.details.items()},
    )


@torch.no_grad()
def _measure(
    batch: FlipBatch,
    found: Found,
    attack: str,
    protocol: Protocol,
    parameters: Mapping[str, object],
    started: float,
) -> AttackResult:
    margin = batch.margin(found.images)
    rounded = margin if protocol == "strict" else batch.margin(round_to_8bit(found.images))
    if margin.is_cuda:
        torch.cuda.synchronize(margin.device)
    return AttackResult(
        attack=attack,
        protocol=protocol,
        parameters=parameters,
        names=batch.names,
        original=batch.original,
        images=found.images,
        flipped=margin > 0 if found.flipped is None else found.flipped,
        flipped_8bit=rounded > 0,
        margin=margin,
        margin_8bit=rounded,
        steps=found.steps,
        forwards=found.forwards,
        backwards=found.backwards,
        seconds=time.perf_counter() - started,
        details=found.details,
    )


def require_positive(name: str, value: float) -> None:
    """Refuse a parameter that is not a finite number above zero.

    Raises:
        InputError: naming the parameter and its value.
    """
    if not (isinstance(value, numbers.Real) and math.isfinite(value) and value > 0):
        raise InputError(f"{name} is {value!r}. It must be a finite number above 0.")


def require_budget(name: str, value: float) -> None:
    """Refuse a largest change of one value that is not above zero and at most 1.

    Raises:
        InputError: naming the parameter and its value.
    """
    require_positive(name, value)
    if value > 1:
        raise InputError(
            f"{name} is {value!r}. Changes are stated in the units of [0, 1]: "
            "four levels of 8 bits are 4 / 255."
        )
