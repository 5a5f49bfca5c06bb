"""Random changes of images that hardly matter to people; one change is the same for every image."""

from __future__ import annotations

import bisect
import itertools
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from simlib.kernels.noise import Draws

LEAST_SIDE = 8
"""The least side of an image in pixels: a reflection needs up to seven pixels beside the edge."""

_OFFSETS = 8
"""Number of offsets in each direction: 0 to 7 pixels."""

_DARKEST = 0.2
"""The smallest factor of a colour; the greatest is 1, so that no value leaves [0, 1]."""


@dataclass(frozen=True)
class Transform:
    """One change of an image, as E-LPIPS draws them (Kettunen et al. 2019); linear in the image.

    The image is moved by whole pixels with its reflection around it, averaged down by a whole factor,
    transposed and flipped. Its channels are permuted, and each is darkened by its own factor.

    Attributes:
        top, left: the offset as a share, below 1, of eight pixels after averaging.
        downscale: from 0 to below 1; selects one of the factors that the size of the image allows, where a
            factor s is s*s times rarer than 1.
        transposed: whether rows become columns.
        flipped: the dimensions that are reversed.
        channels: which channel comes first, second and third.
        factors: the factor of each channel after that, at least 0.2 and below 1.
    """

    top: float
    left: float
    downscale: float
    transposed: bool
    flipped: tuple[int, ...]
    channels: tuple[int, ...]
    factors: tuple[float, ...]

    def __call__(self, images: Tensor, smallest: int) -> Tensor:
        """Change images (N, 3, H, W) in [0, 1], of at least ``LEAST_SIDE`` pixels, each in the same way.

        Returns:
            Images in [0, 1], larger by seven pixels in both directions, or averaged down, but no side to
            fewer pixels than ``smallest``, nor to fewer than 64.
        """
        channels = images.unbind(1)
        pairs = zip(self.channels, self.factors, strict=True)
        images = torch.stack([channels[channel] * factor for channel, factor in pairs], dim=1)
        images = self._moved(images, self._factor(min(images.shape[-2:]), smallest))
        return (images.mT if self.transposed else images).flip(self.flipped).contiguous()

    def _factor(self, side: int, smallest: int) -> int:
        most = max(1, side // max(64, smallest))
        chances = list(itertools.accumulate(1 / factor**2 for factor in range(1, most + 1)))
        return 1 + bisect.bisect_right(chances, self.downscale * chances[-1])

    def _moved(self, images: Tensor, factor: int) -> Tensor:
        reach = _OFFSETS * factor
        for dim, place in ((2, self.top), (3, self.left)):
            before = int(place * reach)
            after = reach - 1 - before
            after += -(images.shape[dim] + before + after) % factor
            images = _reflected(images, dim, before, after)
        return images if factor == 1 else F.avg_pool2d(images, factor)


def draw_transforms(count: int, seed: int) -> tuple[Transform, ...]:
    """Draw transforms that are spread evenly, as E-LPIPS draws those of a batch.

    All flips occur equally often, give or take one, and so do all orders of the channels and all parts of
    the range of each factor (Latin hypercube sampling). The rest is drawn independently. Of a ``count`` that
    is a multiple of 12, all flips and all orders occur equally often.
    """
    draws = Draws(["transforms"], seed)

    def strata() -> list[int]:
        return draws.uniform(count)[0].argsort(stable=True).tolist()

    def factors() -> list[float]:
        inside = draws.uniform(count, dtype=torch.float64)[0].tolist()
        evenly = ((stratum + u) / count for stratum, u in zip(strata(), inside, strict=True))
        return [_DARKEST + (1 - _DARKEST) * u for u in evenly]

    places = draws.uniform(count, 3, dtype=torch.float64)[0].tolist()
    flips, turns, orders = strata(), strata(), strata()
    colours = zip(factors(), factors(), factors(), strict=True)
    channels, flipped = tuple(itertools.permutations(range(3))), ((), (2,), (3,), (2, 3))
    drawn = zip(places, turns, flips, orders, colours, strict=True)
    return tuple(
        Transform(top, left, downscale, turn % 2 == 1, flipped[flip % 4], channels[order % 6], colour)
        for (top, left, downscale), turn, flip, order, colour in drawn
    )


def _reflected(images: Tensor, dim: int, before: int, after: int) -> Tensor:
    """Extend images by their reflection; on an accelerator torch's own adds up gradients in varying order."""
    head = images.narrow(dim, 1, before).flip(dim)
    tail = images.narrow(dim, images.shape[dim] - 1 - after, after).flip(dim)
    return torch.cat([head, images, tail], dim)
