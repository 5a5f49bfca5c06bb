"""Attacks that see only values of the margin and may change every pixel within a budget: Square."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from simlib.attacks.driver import Found, require_budget, require_positive, run_in_batches
from simlib.attacks.problem import FlipBatch, RankFlip
from simlib.attacks.result import AttackResult, Protocol
from simlib.attacks.survivors import Survivors
from simlib.errors import InputError
from simlib.kernels.checks import require_count
from simlib.kernels.images import LEVELS
from simlib.kernels.noise import Draws
from simlib.kernels.projection import project_linf, round_within

SQUARE_EPS = 4 / LEVELS
"""Our choice of a budget: four levels of 8 bits."""

SQUARE_QUERIES = 500
"""Our choice: most candidates looked at."""

SQUARE_SHARE = 0.8
"""Share of the image that the first squares cover."""

_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""After so many of 10,000 queries the squares are halved (Andriushchenko et al. 2020)."""

_SCHEDULED = 10_000


def square(
    problem: RankFlip,
    *,
    eps: float = SQUARE_EPS,
    queries: int = SQUARE_QUERIES,
    p_init: float = SQUARE_SHARE,
    protocol: Protocol = "strict",
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = False,
) -> AttackResult:
    """Recolour random squares within a budget, and keep what raises the margin (Andriushchenko et al. 2020).

    Every value of a candidate lies at one end of its budget. The start is vertical stripes; each query
    then recolours one square for every sample, at a place and in a direction of its own, and squares
    shrink by the published schedule, stretched or compressed to the number of queries. Only values of
    the margin are used, no gradient. A sample stops when it flips; one that never flips returns the best
    candidate. Under the strict protocol the ends of the budget are levels of 8 bits.

    Args:
        problem: what is attacked.
        eps: largest change of one value, in the units of [0, 1].
        queries: most candidates evaluated for a sample, the start included.
        p_init: share of the image that the first squares cover, above 0 and at most 1.
        protocol: how success is counted, see :data:`simlib.attacks.Protocol`.
        seed: decides every draw, together with a triplet's name.
        batch_size: triplets attacked at once; ``None`` for 256.
        progress: show a bar when it takes longer than two seconds.

    Returns:
        The result; ``steps`` and ``forwards`` both count queries.

    Raises:
        InputError: if a parameter lies outside its meaning.
    """
    require_budget("eps", eps)
    require_count("queries", queries)
    require_positive("p_init", p_init)
    if p_init > 1:
        raise InputError(f"p_init is {p_init}. It is a share of the image, and must be at most 1.")
    return run_in_batches(
        problem,
        lambda batch: _square_batch(batch, eps, queries, p_init, protocol, seed),
        attack="Square",
        protocol=protocol,
        parameters={"eps": eps, "queries": queries, "p_init": p_init, "seed": seed},
        batch_size=batch_size,
        progress=progress,
    )


def square_side(query: int, queries: int, p_init: float, height: int, width: int) -> int:
    """Return the side of the squares of a query, in pixels: at least 1, at most the image's shorter side.

    Args:
        query: how many candidates were evaluated before, the start included.
        queries: most candidates evaluated.
        p_init: share of the image that the first squares cover.
        height: of the image, in pixels.
        width: of the image, in pixels.
    """
    scheduled = query * _SCHEDULED // queries
    share = p_init / 2 ** sum(scheduled > after for after in _HALVINGS)
    return min(max(round(math.sqrt(share * height * width)), 1), height, width)


@torch.no_grad()
def _square_batch(
    batch: FlipBatch, eps: float, queries: int, p_init: float, protocol: Protocol, seed: int
) -> Found:
    survivors = Survivors(batch)
    low, high = (_end_of_budget(batch.original, end, eps, protocol) for end in (-eps, eps))
    height, width = batch.original.shape[-2:]
    draws = Draws(batch.names, seed, batch.original.device)
    best = candidate = torch.where(draws.uniform(3, 1, width) < 0.5, low, high)
    best_margin = torch.full_like(batch.other, -torch.inf)
    for query in range(1, queries + 1):
        margin = survivors.batch.margin(candidate)
        rises = margin > best_margin
        best_margin = torch.where(rises, margin, best_margin)
        best = torch.where(rises.view(-1, 1, 1, 1), candidate, best)
        stay = survivors.release(margin > 0, candidate, query)
        if stay is not None:
            best, best_margin, low, high = best[stay], best_margin[stay], low[stay], high[stay]
            draws.narrow(stay)
        if len(survivors) == 0 or query == queries:
            break
        side = square_side(query, queries, p_init, height, width)
        inside = _random_squares(draws, side, height, width)
        candidate = torch.where(inside, torch.where(draws.uniform(3, 1, 1) < 0.5, low, high), best)
    images, _, used = survivors.finish(best, queries)
    return Found(images=images, flipped=None, steps=used, forwards=used, backwards=torch.zeros_like(used))


def _end_of_budget(original: Tensor, change: float, eps: float, protocol: Protocol) -> Tensor:
    moved = project_linf(original + change, original, eps)
    return round_within(moved, original, eps) if protocol == "strict" else moved


def _random_squares(draws: Draws, side: int, height: int, width: int) -> Tensor:
    """Place one square for each sample, evenly over all places; returns where it is, (N, 1, H, W)."""
    top, left = draws.integers(height - side + 1, 1, 1, 1), draws.integers(width - side + 1, 1, 1, 1)
    rows = torch.arange(height, device=top.device).view(1, 1, -1, 1)
    columns = torch.arange(width, device=top.device).view(1, 1, 1, -1)
    return (rows >= top) & (rows < top + side) & (columns >= left) & (columns < left + side)
