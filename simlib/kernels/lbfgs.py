"""L-BFGS for a batch: every sample has its own history, line search and stop (Liu & Nocedal 1989)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from simlib.kernels.batch_independence import sample_products, sample_sums

HISTORY = 10
"""Number of past steps that are kept for each sample, as in SciPy."""

_MOST_TRIALS = 20
"""Trials of one line search before it is given up."""

_CURVATURE = 1e-10
"""Least curvature along a step, relative to the change of the gradient, for which the step is kept."""

SUFFICIENT, FLATTER = 1e-4, 0.9
"""Constants of the Wolfe conditions: the least share of the decrease that the first slope predicts, and
the greatest share of that slope which may be left."""

_LEAST_GROWTH, _MOST_GROWTH = 1.1, 4.0
"""Bounds of the next step, as multiples of the last one, while no high end of the bracket is known."""

_MARGIN = 0.1
"""Share of a bracket at either end where no interpolated step may lie."""


class BatchedLBFGS:
    """Minimise a function of each sample, evaluated for the whole batch at once.

    The caller asks for points, evaluates them and tells values and gradients, until all samples are
    :attr:`finished` or the caller stops. Samples do not wait for each other: while one searches along
    its line, another starts its next iteration. Nothing waits for an accelerator.

    Steps satisfy the strong Wolfe conditions. A sample, which begins at its row of ``start`` (B, D), is
    finished when it has taken ``most_iterations`` steps, when no entry of its gradient exceeds
    ``gradient_tolerance``, when a step lowers its value by no more than ``value_tolerance`` times the value
    (or times 1 if that is more), or when no step is found. The tolerances are SciPy's by default.

    Attributes:
        point: (B, D) the best point of each sample so far.
        value: (B,) the value at this point.
        iterations: (B,) the number of steps taken.
        finished: (B,) whether the sample is finished.
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
        """Return the points (B, D) at which the caller evaluates value and gradient next."""
        if not self._started:
            return self.point
        return torch.addcmul(self.point, self._search.step.unsqueeze(1), self._direction)

    def tell(self, value: Tensor, gradient: Tensor) -> None:
        """Take the values (B,) and gradients (B, D) at the points that were asked for."""
        if not self._started:
            self._started = True
            self.value, self._gradient = value, gradient
            self.finished = ~(gradient.abs().amax(dim=1) > self._gradient_tolerance)
            self._head_downhill(torch.ones_like(self.finished))
            return
        accepted = self._search.judge(value, _dot(gradient, self._direction)) & ~self.finished
        self._move(accepted, value, gradient)
        # Where no step is found, the history is dropped; where there is no history, the sample stops.
        stuck = ~accepted & ~self.finished & (self._search.trials >= _MOST_TRIALS)
        self.finished = self.finished | (stuck & (self._memory.count == 0))
        self._forget(stuck)

    def narrow(self, index: Tensor) -> None:
        """Keep the samples at these positions (an integer tensor) only."""
        for name in ("point", "value", "iterations", "finished", "_gradient", "_direction"):
            setattr(self, name, getattr(self, name)[index])
        self._memory.narrow(index)
        self._search.narrow(index)

    def _move(self, accepted: Tensor, value: Tensor, gradient: Tensor) -> None:
        """Move the accepted samples by their step, and choose their next direction."""
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

    def _forget(self, who: Tensor) -> None:
        self._memory.count = torch.where(who, 0, self._memory.count)
        self._head_downhill(who)

    def _head_downhill(self, who: Tensor) -> None:
        """Search against the direction of the gradient; the first step has a length of at most 1."""
        squared = _dot(self._gradient, self._gradient)
        self._direction = torch.where(who.unsqueeze(1), -self._gradient, self._direction)
        self._search.restart(who, self.value, -squared, squared.rsqrt().clamp_max(1))


class _Memory:
    """Past steps and changes of the gradient, and all products between them.

    A direction is a sum of these vectors and the gradient. The recursion of L-BFGS computes only its
    coefficients, so that each iteration reads the long vectors twice (Chen, Wang & Zhou 2014).
    """

    def __init__(self, like: Tensor) -> None:
        n, size = like.shape
        self._row = torch.arange(n, device=like.device)
        self._vectors = like.new_zeros((n, 2 * HISTORY, size))
        self._products = like.new_zeros((n, 2 * HISTORY, 2 * HISTORY))
        self._along = like.new_zeros((n, 2 * HISTORY))
        self.count = torch.zeros(n, dtype=torch.long, device=like.device)

    def remember(self, step: Tensor, change: Tensor, gradient: Tensor, who: Tensor) -> None:
        """Keep the last step, the change of the gradient and the gradient after it, (N, D) each, of some."""
        who = who & (_dot(step, change) > _CURVATURE * _dot(change, change))
        place = self.count % HISTORY
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
        self.count = self.count + who

    def direction(self, gradient: Tensor) -> Tensor:
        """Return the quasi-Newton direction (N, D) for the gradient that was last kept."""
        along, size = self._along, torch.arange(len(gradient), device=gradient.device)
        weights, kept = torch.zeros_like(along), []
        scale = torch.ones_like(along[:, 0])
        for age in range(HISTORY):
            place = (self.count - 1 - age) % HISTORY
            there = self.count > age
            curvature = self._products[size, place, place + HISTORY]
            factor = torch.where(there, 1 / torch.where(there, curvature, 1), 0)
            if age == 0:
                length = self._products[size, place + HISTORY, place + HISTORY]
                scale = torch.where(there, curvature / torch.where(there, length, 1), scale)
            # The product of a past step with the gradient, minus the changes subtracted from it so far.
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

    def narrow(self, index: Tensor) -> None:
        """Keep some samples only; the long vectors are copied once a quarter of them is no longer used."""
        for name in ("_row", "_products", "_along", "count"):
            setattr(self, name, getattr(self, name)[index])
        if 4 * len(index) <= 3 * len(self._vectors):
            self._vectors = self._vectors[self._row]
            self._row = torch.arange(len(index), device=index.device)

    def _in_rows(self, values: Tensor) -> Tensor:
        """Put the values (N, ...) of samples into the rows of their vectors."""
        if len(values) == len(self._vectors):
            return values
        rows = values.new_zeros((len(self._vectors), *values.shape[1:]))
        return rows.index_copy_(0, self._row, values)


class LineSearch:
    """Bracket a good step and narrow the bracket (Nocedal & Wright 2006, chapter 3), sample by sample.

    A line begins with a value (B,) and a slope (B,) below zero. At the low end of a bracket the value has
    decreased enough and the slope is negative. At the high end the slope is positive or the value has not
    decreased enough. So a good step lies between them.
    """

    def __init__(self, value: Tensor, slope: Tensor) -> None:
        zero, infinite = torch.zeros_like(value), torch.full_like(value, math.inf)
        self.step = torch.ones_like(value)
        self.trials = torch.zeros_like(value, dtype=torch.long)
        self._value, self._slope = value, slope
        self._low, self._low_value, self._low_slope = zero, value, slope
        self._high, self._high_value, self._high_slope = infinite, zero, zero

    def restart(self, who: Tensor, value: Tensor, slope: Tensor, step: Tensor) -> None:
        """Begin a new line for some samples with this step; all arguments (B,)."""
        zero = torch.zeros_like(value)
        fresh = {
            "step": step,
            "trials": torch.zeros_like(self.trials),
            **{name: value for name in ("_value", "_low_value")},
            **{name: slope for name in ("_slope", "_low_slope")},
            **{name: zero for name in ("_low", "_high_value", "_high_slope")},
            "_high": torch.full_like(value, math.inf),
        }
        for name, new in fresh.items():
            setattr(self, name, torch.where(who, new, getattr(self, name)))

    def judge(self, value: Tensor, slope: Tensor) -> Tensor:
        """Return which samples accept the step, given value and slope (B,); choose the others' next step."""
        enough = value <= self._value + SUFFICIENT * self.step * self._slope
        accepted = enough & (slope.abs() <= FLATTER * self._slope.abs())
        rises = ~enough | (slope > 0)
        self.trials = self.trials + 1
        grown = self._grown(slope)
        for end, moves in (("_low", ~accepted & ~rises), ("_high", ~accepted & rises)):
            for name, new in ((end, self.step), (f"{end}_value", value), (f"{end}_slope", slope)):
                setattr(self, name, torch.where(moves, new, getattr(self, name)))
        next_step = torch.where(self._high.isinf(), grown, self._between())
        self.step = torch.where(accepted, self.step, next_step)
        return accepted

    def narrow(self, index: Tensor) -> None:
        """Keep the samples at these positions only."""
        for name, values in vars(self).items():
            setattr(self, name, values[index])

    def _grown(self, slope: Tensor) -> Tensor:
        """Return the step at which the slope would be zero if it changed linearly, within the bounds."""
        past = self.step - self._low
        ahead = past * slope / (self._low_slope - slope)
        ahead = torch.where(ahead > 0, ahead, math.inf)
        return self.step + torch.minimum(
            torch.maximum(ahead, (_LEAST_GROWTH - 1) * past), _MOST_GROWTH * past
        )

    def _between(self) -> Tensor:
        """Return the minimum of the cubic through both ends; the middle where it has no minimum."""
        width = self._high - self._low
        mean = 3 * (self._low_value - self._high_value) / width + self._low_slope + self._high_slope
        root = (mean.square() - self._low_slope * self._high_slope).clamp_min(0).sqrt()
        share = 1 - (self._high_slope + root - mean) / (self._high_slope - self._low_slope + 2 * root)
        share = torch.where(share.isfinite(), share, 0.5).clamp(_MARGIN, 1 - _MARGIN)
        return self._low + share * width


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return sample_sums(a * b)
