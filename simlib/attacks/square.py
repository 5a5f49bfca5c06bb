"""Square: random search that sees only values of the margin, and may change every pixel within a budget."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from simlib.attacks.attack import Attack, Conditions, register
from simlib.attacks.dials import budget, count, share
from simlib.attacks.problem import FlipBatch
from simlib.attacks.result import Found
from simlib.attacks.survivors import Survivors
from simlib.kernels.images import LEVELS
from simlib.kernels.noise import Draws
from simlib.kernels.projection import project_linf, round_within

_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""After so many of 10,000 queries the squares are halved (Andriushchenko et al. 2020)."""


@register
@dataclass(frozen=True, kw_only=True)
class Square(Attack):
    """Recolour random squares within a budget, and keep what raises the margin (Andriushchenko et al. 2020).

    Every value of a candidate lies at one end of its budget. The start is vertical stripes; each query
    then recolours one square for every sample, at a place and in a direction of its own, and squares
    shrink by the published schedule, stretched or compressed to the number of queries. Only values of
    the margin are used, no gradient. A sample stops when it flips; one that never flips returns the best
    candidate. Under the strict protocol the ends of the budget are levels of 8 bits. In the result, ``steps``
    and ``forwards`` both count queries.

    Attributes:
        eps: largest change of one value, in the units of [0, 1].
        queries: most candidates evaluated for a sample, the start included.
        p_init: share of the image that the first squares cover, above 0 and at most 1.
    """

    name: ClassVar[str] = "square"
    title: ClassVar[str] = "Square"
    bounded_by: ClassVar[str] = "largest change of a value"
    citation: ClassVar[str] = "andriushchenko2020square"
    needs_gradient: ClassVar[bool] = False

    # The budget and the number of queries are our choice.
    eps: float = budget(4 / LEVELS)
    queries: int = count(500)
    p_init: float = share(0.8)

    @property
    def reach(self) -> float:
        """The budget."""
        return self.eps

    @torch.no_grad()
    def search(self, batch: FlipBatch, conditions: Conditions) -> Found:
        """Try one square after the other, each on what was best before."""
        survivors = Survivors(batch)
        low, high = (self._end(batch.original, end, conditions.strict) for end in (-self.eps, self.eps))
        height, width = batch.original.shape[-2:]
        draws = Draws(batch.names, conditions.seed, batch.original.device)
        best = candidate = torch.where(draws.uniform(3, 1, width) < 0.5, low, high)
        best_margin = torch.full_like(batch.other, -torch.inf)
        for query in range(1, self.queries + 1):
            margin = survivors.batch.margin(candidate)
            rises = margin > best_margin
            best_margin = torch.where(rises, margin, best_margin)
            best = torch.where(rises.view(-1, 1, 1, 1), candidate, best)
            stay = survivors.release(margin > 0, candidate, query)
            if stay is not None:
                best, best_margin, low, high = best[stay], best_margin[stay], low[stay], high[stay]
                draws.narrow(stay)
            if len(survivors) == 0 or query == self.queries:
                break
            side = square_side(query, self.queries, self.p_init, height, width)
            inside = _random_squares(draws, side, height, width)
            candidate = torch.where(inside, torch.where(draws.uniform(3, 1, 1) < 0.5, low, high), best)
        images, _, used = survivors.finish(best, self.queries)
        return Found(images, None, steps=used, forwards=used, backwards=torch.zeros_like(used))

    def _end(self, original: Tensor, change: float, strict: bool) -> Tensor:
        moved = project_linf(original + change, original, self.eps)
        return round_within(moved, original, self.eps) if strict else moved


def square_side(query: int, queries: int, p_init: float, height: int, width: int) -> int:
    """Return the side of the squares after so many queries: 1 pixel up to the image's shorter side."""
    scheduled = query * 10_000 // queries
    share = p_init / 2 ** sum(scheduled > after for after in _HALVINGS)
    return min(max(round(math.sqrt(share * height * width)), 1), height, width)


def _random_squares(draws: Draws, side: int, height: int, width: int) -> Tensor:
    """Place one square for each sample, evenly over all places; returns where it is, (N, 1, H, W)."""
    top, left = draws.integers(height - side + 1, 1, 1, 1), draws.integers(width - side + 1, 1, 1, 1)
    rows = torch.arange(height, device=top.device).view(1, 1, -1, 1)
    columns = torch.arange(width, device=top.device).view(1, 1, 1, -1)
    return (rows >= top) & (rows < top + side) & (columns >= left) & (columns < left + side)
