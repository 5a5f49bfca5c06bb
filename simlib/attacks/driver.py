"""Runs an attack over a problem of any size in batches, and measures what came out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor
from tqdm import tqdm

from simlib.attacks.problem import FlipBatch, RankFlip
from simlib.attacks.result import AttackResult, Protocol
from simlib.errors import InputError, unknown_name
from simlib.kernels.device import exact_convolutions
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
        steps, forwards, backwards: (N,) as in ``AttackResult``.
    """

    images: Tensor
    flipped: Tensor | None
    steps: Tensor
    forwards: Tensor
    backwards: Tensor


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

    Args:
        problem: what is attacked.
        attack_batch: finds attacked images for one batch.
        attack: name of the attack.
        protocol: how success is counted.
        parameters: what the attack was called with, kept in the result.
        batch_size: triplets attacked at once; ``None`` for 256.
        progress: show a bar when the attack takes longer than two seconds.

    Raises:
        InputError: if the batch size is not positive.
        UnknownNameError: if the protocol is not known.
    """
    if protocol not in get_args(Protocol):
        raise unknown_name("protocol", str(protocol), get_args(Protocol))
    parts: list[AttackResult] = []
    bar = tqdm(
        total=len(problem),
        desc=attack,
        unit="triplet",
        disable=not progress,
        delay=_BAR_FROM_SECONDS,
        leave=False,
    )
    with bar, exact_convolutions():
        started = time.perf_counter()
        for batch in problem.split(batch_size if batch_size is not None else BATCH_SIZE):
            found = attack_batch(batch)
            part = _measure(batch, found, attack, protocol, parameters, started)
            parts.append(part)
            bar.update(len(batch))
            started = time.perf_counter()
    return AttackResult.concatenate(parts)


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
    )


def require_positive(name: str, value: float) -> None:
    """Refuse a parameter that is not a finite number above zero.

    Raises:
        InputError: naming the parameter and its value.
    """
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{name} is {value}. It must be a finite number above 0.")


def require_count(name: str, value: int) -> None:
    """Refuse a parameter that is not a whole number above zero.

    Raises:
        InputError: naming the parameter and its value.
    """
    if int(value) != value or value < 1:
        raise InputError(f"{name} is {value}. It must be a whole number, at least 1.")
