"""Runs an attack over a problem of any size in batches, and measures what came out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from simlib.attacks.problem import FlipBatch, RankFlip
from simlib.attacks.result import AttackResult, Found, Protocol
from simlib.kernels.checks import require_count
from simlib.kernels.device import in_fitting_batches
from simlib.kernels.projection import round_to_8bit
from simlib.progress import PATIENCE, Bar

if TYPE_CHECKING:
    from simlib.attacks.attack import Attack

BATCH_SIZE = 256
"""Triplets attacked at once unless the caller says otherwise; bounds the memory of an attack."""


def run_in_batches(
    problem: RankFlip,
    attack_batch: Callable[[FlipBatch], Found],
    attack: Attack,
    protocol: Protocol,
    seed: int,
    batch_size: int | None,
    progress: bool,
) -> AttackResult:
    """Attack batch after batch and measure the returned images, as floats and rounded to 8 bits.

    A batch that does not fit the memory is halved, with one warning, and so are those after it. Under
    the strict protocol, images that rounding alone flips are not attacked. The arguments, and what is raised,
    are those of :meth:`simlib.attacks.Attack.__call__`; ``attack_batch`` attacks one batch.
    """
    batch_size = BATCH_SIZE if batch_size is None else batch_size
    require_count("batch_size", batch_size)

    def attack_part(start: int, stop: int) -> AttackResult:
        started = time.perf_counter()
        batch = problem.batch(start, stop)
        found = _attack_unflipped(batch, attack_batch) if protocol == "strict" else attack_batch(batch)
        return _measure(batch, found, attack, protocol, seed, started)

    bar = Bar(
        total=len(problem),
        desc=attack.title,
        unit="triplet",
        disable=not progress,
        delay=PATIENCE,
        leave=False,
    )

    def counted() -> Iterator[AttackResult]:
        for part in in_fitting_batches(attack_part, len(problem), batch_size):
            bar.update(len(part))
            yield part

    with bar:
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

    images = rounded.index_copy(0, rest, found.images)
    steps, forwards, backwards = (spread(each) for each in (found.steps, found.forwards, found.backwards))
    details = {name: spread(values, found.blank) for name, values in found.details.items()}
    return Found(images, None, steps, forwards + looked, backwards, details)


@torch.no_grad()
def _measure(
    batch: FlipBatch, found: Found, attack: Attack, protocol: Protocol, seed: int, started: float
) -> AttackResult:
    margin = batch.margin(found.images)
    rounded = margin if protocol == "strict" else batch.margin(round_to_8bit(found.images))
    batch.require_defined(attack.title)
    if margin.is_cuda:
        torch.cuda.synchronize(margin.device)
    return AttackResult(
        attack=attack,
        protocol=protocol,
        seed=seed,
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
