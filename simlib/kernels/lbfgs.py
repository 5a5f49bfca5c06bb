"""L-BFGS for a batch: every sample has its own history, line search and stop (Liu & Nocedal 1989)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from simlib.kernels.company import sample_products, sample_sums
from simlib.kernels.linesearch import LineSearch

HISTORY = 10
"""Steps remembered of each sample, as many as SciPy does."""

MOST_TRIALS = 20
"""Trials of one line search before the history is forgotten, and after that the sample gives up."""

_CURVATURE = 1e-10
"""Least curvature along a step, relative to the change of the gradient, for the step to be remembered."""


class BatchedLBFGS:
    """Minimise a function of each sample, evaluated for the whole batch at once.

    The caller asks for points, evaluates them, and tells values and gradients, until :attr:`finished`
    holds for all, or for as long as it likes. Samples do not wait for each other: while one searches along
    its line, another starts its next iteration. Nothing waits for an accelerator.

    Steps satisfy the strong Wolfe conditions. A sample is finished when it has taken ``most_iterations``
    steps, when no entry of its gradient exceeds ``gradient_tolerance``, when a step lowers its value by no
    more than ``value_tolerance`` relative to the value (or 1 if that is more), or when no step can be found.

    Args:
        start: where each sample starts, (B, D).
        most_iterations: most steps of a sample.
        gradient_tolerance: see above; SciPy's default.
        value_tolerance: see above; SciPy's default.

    Attributes:
        point: (B, D) where each sample stands.
        value: (B,) its value there.
        iterations: (B,) steps it has taken.
        finished: (B,) whether it has finished.
    """

    def __init__(
        self,
        start: Tensor,
        *,
        most_iterations: int,
        gradient_tolerance: float = 1e-5,
        value_tolerance: float = 2.2e-9,
    ) -> None:
        self._most_iterations = most_iterations
        self._gradient_tolerance = gradient_tolerance
        self._value_tolerance = value_tolerance
        self.point = start
        self.value = start.new_full((len(start),), math.inf)
        self.iterations = torch.zeros(len(start), dtype=torch.long, device=start.device)
        self.finished = torch.zeros(len(start), dtype=torch.bool, device=start.device)
        self._gradient = torch.zeros_like(start)
        self._direction = torch.zeros_like(start)
        self._memory = _Memory(start)
        self._search = LineSearch(self.value, self.value)
        self._started = False

    def ask(self) -> Tensor:
        """Return the points (B, D) at which value and gradient are wanted next."""
        if not self._started:
            return self.point
        return torch.addcmul(self.point, self._search.step.unsqueeze(1), self._direction)

    def tell(self, value: Tensor, gradient: Tensor) -> None:
        """Take in values (B,) and gradients (B, D) at the points asked for."""
        if not self._started:
            self._started = True
            self.value, self._gradient = value, gradient
            self.finished = ~(gradient.abs().amax(dim=1) > self._gradient_tolerance)
            self._head_downhill(torch.ones_like(self.finished))
            return
        accepted = self._search.judge(value, _dot(gradient, self._direction)) & ~self.finished
        self._move(accepted, value, gradient)
        self._give_up_or_restart(~accepted & ~self.finished & (self._search.trials >= MOST_TRIALS))

    def narrow(self, index: Tensor) -> None:
        """Keep the samples at these positions (an integer tensor) only."""
        for name in ("point", "value", "iterations", "finished", "_gradient", "_direction"):
            setattr(self, name, getattr(self, name)[index])
        self._memory.narrow(index)
        self._search.narrow(index)

    def _move(self, accepted: Tensor, value: Tensor, gradient: Tensor) -> None:
        """Let accepted samples take their step, and choose their next direction."""
        column = accepted.unsqueeze(1)
        step = self._direction * torch.where(accepted, self._search.step, 0).unsqueeze(1)
        self._memory.remember(step, gradient - self._gradient, gradient, accepted)
        decrease = self.value - value
        size = torch.maximum(self.value.abs(), value.abs()).clamp_min(1)
        flat = ~(gradient.abs().amax(dim=1) > self._gradient_tolerance)
        self.point = self.point + step
        self.value = torch.where(accepted, value, self.value)
        self._gradient = torch.where(column, gradient, self._gradient)
        self.iterations = self.iterations + accepted
        spent = (self.iterations >= self._most_iterations) | (decrease <= self._value_tolerance * size)
        self.finished = self.finished | (accepted & (flat | spent))
        proposed = self._memory.direction(self._gradient)
        slope = _dot(self._gradient, proposed)
        self._direction = torch.where(column, proposed, self._direction)
        self._search.restart(accepted, self.value, slope, torch.ones_like(slope))
        self._forget(accepted & ~(slope < 0))

    def _give_up_or_restart(self, stuck: Tensor) -> None:
        """Where no step is found, forget the history; where there is none to forget, stop."""
        self.finished = self.finished | (stuck & self._memory.empty)
        self._forget(stuck)

    def _forget(self, who: Tensor) -> None:
        self._memory.forget(who)
        self._head_downhill(who)

    def _head_downhill(self, who: Tensor) -> None:
        """Search along the gradient, beginning with a step of length 1 at most."""
        squared = _dot(self._gradient, self._gradient)
        self._direction = torch.where(who.unsqueeze(1), -self._gradient, self._direction)
        self._search.restart(who, self.value, -squared, squared.rsqrt().clamp_max(1))


class _Memory:
    """Past steps and changes of the gradient, and all products between them.

    A direction is a sum of what is remembered, so the recursion of L-BFGS runs on the coefficients of that
    sum, and long vectors are read twice an iteration only (Chen, Wang & Zhou 2014).
    """

    def __init__(self, like: Tensor) -> None:
        n, size = like.shape
        self._row = torch.arange(n, device=like.device)
        self._vectors = like.new_zeros((n, 2 * HISTORY, size))
        self._products = like.new_zeros((n, 2 * HISTORY, 2 * HISTORY))
        self._along = like.new_zeros((n, 2 * HISTORY))
        self._count = torch.zeros(n, dtype=torch.long, device=like.device)

    @property
    def empty(self) -> Tensor:
        """Who remembers nothing, (N,)."""
        return self._count == 0

    def remember(self, step: Tensor, change: Tensor, gradient: Tensor, who: Tensor) -> None:
        """Take in the last step and change of the gradient (N, D) of some, and the gradient after it."""
        who = who & (_dot(step, change) > _CURVATURE * _dot(change, change))
        place = self._count % HISTORY
        for offset, vector in ((0, step), (HISTORY, change)):
            there = (self._row, place + offset)
            self._vectors[there] = torch.where(who.unsqueeze(1), vector, self._vectors[there])
        new = torch.stack([step, change, gradient], dim=1)
        products = sample_products(self._vectors, self._in_rows(new).transpose(1, 2))[self._row]
        self._along = products[..., 2]
        for offset in (0, HISTORY):
            index = (place + offset).view(-1, 1, 1)
            column = index.expand(-1, 2 * HISTORY, 1)
            fresh = products[..., 1 if offset else 0].unsqueeze(2)
            kept = torch.where(who.view(-1, 1, 1), fresh, self._products.gather(2, column))
            self._products.scatter_(2, column, kept)
            self._products.scatter_(1, index.expand(-1, 1, 2 * HISTORY), kept.transpose(1, 2))
        self._count = self._count + who

    def direction(self, gradient: Tensor) -> Tensor:
        """Return the quasi-Newton direction (N, D) for the gradient that was last remembered."""
        along, size = self._along, torch.arange(len(gradient), device=gradient.device)
        weights, kept = torch.zeros_like(along), []
        scale = torch.ones_like(along[:, 0])
        for age in range(HISTORY):
            place = (self._count - 1 - age) % HISTORY
            there = self._count > age
            curvature = self._products[size, place, place + HISTORY]
            factor = torch.where(there, 1 / torch.where(there, curvature, 1), 0)
            if age == 0:
                length = self._products[size, place + HISTORY, place + HISTORY]
                scale = torch.where(there, curvature / torch.where(there, length, 1), scale)
            # The product of a past step with the gradient, less the changes taken from it so far.
            alpha = factor * (along[size, place] + _dot(self._products[size, place], weights))
            weights[size, place + HISTORY] -= alpha
            kept.append((place, factor, alpha))
        weights = weights * scale.unsqueeze(1)
        for place, factor, alpha in reversed(kept):
            change = self._products[size, place + HISTORY]
            beta = factor * (scale * along[size, place + HISTORY] + _dot(change, weights))
            weights[size, place] += alpha - beta
        combined = sample_products(self._in_rows(weights).unsqueeze(1), self._vectors).squeeze(1)[self._row]
        return -(combined + scale.unsqueeze(1) * gradient)

    def forget(self, who: Tensor) -> None:
        """Forget all that some (N,) remember."""
        self._count = torch.where(who, 0, self._count)

    def narrow(self, index: Tensor) -> None:
        """Keep some samples only; long vectors are copied when a quarter of them has no owner any more."""
        for name in ("_row", "_products", "_along", "_count"):
            setattr(self, name, getattr(self, name)[index])
        if 4 * len(index) <= 3 * len(self._vectors):
            self._vectors = self._vectors[self._row]
            self._row = torch.arange(len(index), device=index.device)

    def _in_rows(self, values: Tensor) -> Tensor:
        """Lay values (N, ...) of samples beside their vectors."""
        if len(values) == len(self._vectors):
            return values
        rows = values.new_zeros((len(self._vectors), *values.shape[1:]))
        return rows.index_copy_(0, self._row, values)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return sample_sums(a * b)
