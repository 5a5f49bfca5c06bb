"""Which samples of a batch still have to be flipped; the others leave it and cost nothing more."""

from __future__ import annotations

import torch
from torch import Tensor

from simlib.attacks.problem import FlipBatch

_CHECK_EVERY_ON_ACCELERATOR = 4
"""Asking who has finished makes an accelerator wait for the processor, so it is asked less often."""


class Survivors:
    """The samples of a batch that are still attacked, and what was found for those that are not.

    Attributes:
        batch: the samples still attacked.
    """

    def __init__(self, batch: FlipBatch) -> None:
        self.batch = batch
        self._check_every = 1 if batch.original.device.type == "cpu" else _CHECK_EVERY_ON_ACCELERATOR
        self._position = torch.arange(len(batch), device=batch.original.device)
        self._images = batch.original
        self._flipped = torch.zeros_like(self._position, dtype=torch.bool)
        self._steps = torch.zeros_like(self._position)
        self._all_images = batch.original.clone()
        self._all_flipped = self._flipped.clone()
        self._all_steps = self._steps.clone()

    def __len__(self) -> int:
        return len(self._position)

    def release(self, flips: Tensor, images: Tensor, step: int) -> Tensor | None:
        """Note who has flipped, and let them leave.

        Args:
            flips: (N,) who is flipped by the images at hand.
            images: (N, 3, H, W) those images.
            step: steps taken to them.

        Returns:
            The positions of those who stay, to narrow other tensors by; None if nobody leaves now.
        """
        if self._check_every == 1 and not bool(flips.any()):
            return None
        first = flips & ~self._flipped
        self._images = torch.where(first.view(-1, 1, 1, 1), images, self._images)
        self._steps = torch.where(first, step, self._steps)
        self._flipped = self._flipped | first
        if step % self._check_every:
            return None
        stay = (~self._flipped).nonzero().squeeze(1)
        if len(stay) == len(self):
            return None
        self._write()
        self.batch = self.batch.narrow(stay)
        self._position, self._images = self._position[stay], self._images[stay]
        self._flipped, self._steps = self._flipped[stay], self._steps[stay]
        return stay

    def finish(self, images: Tensor, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Give those who never flipped their last images.

        Args:
            images: (N, 3, H, W) the last images of those who are left.
            step: steps taken to them.

        Returns:
            For the whole batch: images (N, 3, H, W), flipped (N,), steps (N,) to the returned image.
        """
        self._images = torch.where(self._flipped.view(-1, 1, 1, 1), self._images, images)
        self._steps = torch.where(self._flipped, self._steps, step)
        self._write()
        return self._all_images, self._all_flipped, self._all_steps

    def _write(self) -> None:
        self._all_images.index_copy_(0, self._position, self._images)
        self._all_flipped.index_copy_(0, self._position, self._flipped)
        self._all_steps.index_copy_(0, self._position, self._steps)
