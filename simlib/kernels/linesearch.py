"""A line search for each sample of a batch, for steps that satisfy the strong Wolfe conditions."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SUFFICIENT, FLATTER = 1e-4, 0.9
"""Share of the decrease that the first slope promises, and of that slope, which a step must keep to."""

_LEAST_GROWTH, _MOST_GROWTH = 1.1, 4.0
"""How far beyond the last step the next one goes while the end of the line is open."""

_MARGIN = 0.1
"""Part of a bracket, at either end, that interpolation keeps away from."""


class LineSearch:
    """Bracket a good step and close in on it (Nocedal & Wright 2006, chapter 3), sample by sample.

    The low end of a bracket has decreased the value enough and still goes down; the high end goes up or
    has not decreased it enough, so a good step lies between them.

    Args:
        value: of each sample where its line starts, (B,).
        slope: along its line there, (B,), below zero.
    """

    def __init__(self, value: Tensor, slope: Tensor) -> None:
        zero, infinite = torch.zeros_like(value), torch.full_like(value, math.inf)
        self.step = torch.ones_like(value)
        self.trials = torch.zeros_like(value, dtype=torch.long)
        self._value, self._slope = value, slope
        self._low, self._low_value, self._low_slope = zero, value, slope
        self._high, self._high_value, self._high_slope = infinite, zero, zero

    def restart(self, who: Tensor, value: Tensor, slope: Tensor, step: Tensor) -> None:
        """Begin a new line for some samples, trying this step first; arguments (B,)."""
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
        """Take in value and slope (B,) at the step, say who accepts it, and choose the others' next step."""
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
        """Go on to where the slope would be zero if it kept changing as it did, within limits."""
        past = self.step - self._low
        ahead = past * slope / (self._low_slope - slope)
        ahead = torch.where(ahead > 0, ahead, math.inf)
        return self.step + torch.minimum(
            torch.maximum(ahead, (_LEAST_GROWTH - 1) * past), _MOST_GROWTH * past
        )

    def _between(self) -> Tensor:
        """Go to the least value of the cubic through both ends; to the middle where there is none."""
        width = self._high - self._low
        mean = 3 * (self._low_value - self._high_value) / width + self._low_slope + self._high_slope
        root = (mean.square() - self._low_slope * self._high_slope).clamp_min(0).sqrt()
        share = 1 - (self._high_slope + root - mean) / (self._high_slope - self._low_slope + 2 * root)
        share = torch.where(share.isfinite(), share, 0.5).clamp(_MARGIN, 1 - _MARGIN)
        return self._low + share * width
