"""Differential evolution for a batch of problems at once; every sample has its own population."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from simlib.kernels.checks import require_count
from simlib.kernels.device import MemoryRanOut, unless_memory_runs_out
from simlib.kernels.noise import Draws

LEAST_POPULATION = 3
"""A trial needs its target and two partners, all different."""

_CROSSOVER = 0.7
"""Chance that a value of a trial comes from the mutant; SciPy's default."""


class DifferentialEvolution:
    """Search boxes for the least value of functions without a gradient (Storn & Price 1997).

    The caller asks for candidates, evaluates them and tells their values. The first candidates are the
    start, and each later set is one generation. The strategy is best/1/bin: a mutant is the best member
    plus a scaled difference of two others, and a trial mixes values of the mutant with those of the member
    that it may replace. The rest is that of ``scipy.optimize.differential_evolution`` with
    ``updating="deferred"`` and ``polish=False``: the start is a Latin hypercube, each generation draws a
    scale between 0.5 and 1, values outside the box are drawn anew, and a trial wins a tie with a member.
    A sample depends on its own values and random numbers only.

    Args:
        lower: (D,) least value of each coordinate; its dtype and device are those of the search.
        upper: (D,) greatest value of each coordinate.
        draws: a stream of random numbers for each of the B samples; the search draws from it and narrows it.
        population: number P of members of the population of a sample.

    Raises:
        InputError: the population is too small for a member to have two partners.
    """

    def __init__(self, lower: Tensor, upper: Tensor, draws: Draws, *, population: int) -> None:
        require_count("population", population, LEAST_POPULATION)
        self._lower, self._upper, self._draws, self._size = lower, upper, draws, population
        # Members are kept in the unit cube, where all coordinates have the same bounds.
        self._trials = self._latin_hypercube()
        self._members = self._trials
        self._values: Tensor | None = None
        self._leader = torch.zeros(len(self._trials), dtype=torch.long, device=lower.device)

    @property
    def best(self) -> Tensor:
        """The best candidate of each sample so far, (B, D); an arbitrary one before the first values."""
        return self._in_the_box(_take(self._members, self._leader))

    @property
    def best_value(self) -> Tensor:
        """The value of the best candidate of each sample, (B,); infinite before the first values."""
        if self._values is None:
            return torch.full_like(self._members[:, 0, 0], torch.inf)
        return _take(self._values, self._leader)

    def ask(self) -> Tensor:
        """Return the candidates to evaluate next, (B, P, D), within the bounds."""
        return self._in_the_box(self._trials)

    def tell(self, values: Tensor) -> None:
        """Take the values (B, P) of the candidates that were asked for, and breed the next ones."""
        if self._values is None:
            self._values = values
        else:
            wins = values <= self._values
            self._members = torch.where(wins.unsqueeze(2), self._trials, self._members)
            self._values = torch.where(wins, values, self._values)
        self._leader = self._values.argmin(dim=1)
        self._trials = self._bred()

    def narrow(self, index: Tensor) -> None:
        """Keep the samples at these positions (an integer tensor) only."""
        self._draws.narrow(index)
        self._members, self._trials = self._members[index], self._trials[index]
        self._leader = self._leader[index]
        self._values = None if self._values is None else self._values[index]

    def _in_the_box(self, unit: Tensor) -> Tensor:
        # Rounding may put a value of the unit cube past a bound.
        return torch.lerp(self._lower, self._upper, unit).clamp(self._lower, self._upper)

    def _latin_hypercube(self) -> Tensor:
        shape = (self._size, len(self._lower))
        strata = self._draws.uniform(*shape).argsort(dim=1, stable=True)
        return (strata + self._draws.uniform(*shape, dtype=self._lower.dtype)) / self._size

    def _bred(self) -> Tensor:
        """Breed one trial for each member, (B, P, D)."""
        size, dimensions = self._size, len(self._lower)
        first, second = (_take(self._members, partners) for partners in self._partners())
        dither = self._draws.uniform(1, 1, dtype=self._lower.dtype)
        scale = 0.5 + 0.5 * dither
        mutants = _take(self._members, self._leader).unsqueeze(1) + scale * (first - second)
        crosses = self._draws.uniform(size, dimensions) < _CROSSOVER
        # At least one value comes from the mutant: else the trial would equal the member that it may replace.
        crosses.scatter_(2, self._draws.integers(dimensions, size, 1), True)
        trials = torch.where(crosses, mutants, self._members)
        redrawn = self._draws.uniform(size, dimensions, dtype=self._lower.dtype)
        return torch.where((trials < 0) | (trials > 1), redrawn, trials)

    def _partners(self) -> tuple[Tensor, Tensor]:
        """Draw two other members for each member, (B, P) each; the two are different."""
        own = torch.arange(self._size, device=self._lower.device).expand(len(self._members), -1)
        first = self._draws.integers(self._size - 1, self._size)
        first = first + (first >= own)
        second = self._draws.integers(self._size - 2, self._size)
        second = second + (second >= torch.minimum(own, first))
        second = second + (second >= torch.maximum(own, first))
        return first, second


def evaluate_in_chunks(
    evaluate: Callable[[Tensor, Tensor], Tensor], candidates: Tensor, chunk: int, least: int
) -> tuple[Tensor, int]:
    """Evaluate the candidates of all samples, a bounded number at a time, and fewer if memory runs out.

    Args:
        evaluate: takes the numbers (C,) of samples and one candidate (C, D) of each; returns values (C,).
        candidates: (B, P, D).
        chunk: greatest number of candidates evaluated at once.
        least: the number is not lowered below this; torch.OutOfMemoryError is raised instead.

    Returns:
        Values (B, P), and the number that fits at once, for the next call.
    """
    samples = torch.arange(len(candidates), device=candidates.device).repeat_interleave(candidates.shape[1])
    flat, values, start = candidates.flatten(0, 1), list[Tensor](), 0
    while start < len(flat):
        part = slice(start, start + chunk)
        found = unless_memory_runs_out(lambda part=part: evaluate(samples[part], flat[part]))
        if not isinstance(found, MemoryRanOut):
            values.append(found)
            start += chunk
        elif chunk > least:
            chunk = max(chunk // 2, least)
        else:
            raise torch.OutOfMemoryError(found.reason)
    return torch.cat(values).view(candidates.shape[:2]), chunk


def _take(values: Tensor, index: Tensor) -> Tensor:
    """Take from (B, P, ...) the members at (B,) or (B, Q)."""
    rows = torch.arange(len(values), device=values.device)
    return values[rows.view(-1, *[1] * (index.dim() - 1)), index]
