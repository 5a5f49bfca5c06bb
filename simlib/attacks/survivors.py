"""Which samples of a batch still have to be flipped; the others leave it and cost nothing more."""

from __future__ import annotations

import torch
from torch import Tensor

from simlib.attacks.problem import FlipBatch
from simlib.kernels.projection import per_sample

_CHECK_EVERY_ON_PROCESSOR, _CHECK_EVERY_ON_ACCELERATOR = 1, 4
"""Asking who has finished makes an accelerator wait for the processor, so it is asked less often."""


class Survivors:
    """The samples of a batch that are still attacked, and what was found for those that are not.

    What is kept of each (N, ...) is its image or its flow, at first ``start``, or else the original.

    Attributes:
        batch: the samples still attacked.
        position: (n,) where they stand among all samples.
    """

    def __init__(self, batch: FlipBatch, start: Tensor | None = None) -> None:
        self.batch = batch
        on_processor = batch.original.device.type == "cpu"
        self._check_every = _CHECK_EVERY_ON_PROCESSOR if on_processor else _CHECK_EVERY_ON_ACCELERATOR
        self._calls = 0
        self.position = torch.arange(len(batch), device=batch.original.device)
        self._kept = batch.original if start is None else start
        self._left = torch.zeros_like(self.position, dtype=torch.bool)
        self._flipped = self._left
        self._steps = torch.zeros_like(self.position)
        self._all = self._kept.clone(), self._flipped.clone(), self._steps.clone()

    def __len__(self) -> int:
        return len(self.position)

    @property
    def here(self) -> Tensor:
        """Who of those at hand is still attacked, (n,), 1 or 0: some wait to leave until the next look."""
        return (~self._left).long()

    def release(
        self, flips: Tensor, found: Tensor, step: int | Tensor, *, ended: Tensor | None = None
    ) -> Tensor | None:
        """Note who (n,) is flipped by the images or flows at hand, or has ended, and let them leave.

        Returns:
            The positions of those who stay, to narrow other tensors by; None if nobody leaves now.
        """
        leaves = flips if ended is None else flips | ended
        look = self._calls % self._check_every == 0
        self._calls += 1
        if self._check_every == 1 and not bool(leaves.any()):
            return None
        first = leaves & ~self._left
        self._kept = torch.where(per_sample(first, found), found, self._kept)
        self._steps = torch.where(first, step, self._steps)
        self._flipped = self._flipped | (first & flips)
        self._left = self._left | first
        if not look:
            return None
        stay = (~self._left).nonzero().squeeze(1)
        if len(stay) == len(self):
            return None
        self._write()
        self.batch = self.batch.narrow(stay)
        self.position, self._kept, self._left = self.position[stay], self._kept[stay], self._left[stay]
        self._flipped, self._steps = self._flipped[stay], self._steps[stay]
        return stay

    def finish(self, found: Tensor, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Give those who are left their last images, or flows, and the steps to them.

        Returns:
            For the whole batch: images or flows (N, ...), flipped (N,), steps (N,) to what is returned.
        """
        self._kept = torch.where(per_sample(self._left, found), self._kept, found)
        self._steps = torch.where(self._left, self._steps, step)
        self._write()
        return self._all

    def _write(self) -> None:
        for whole, part in zip(self._all, (self._kept, self._flipped, self._steps), strict=True):
            whole.index_copy_(0, self.position, part)
