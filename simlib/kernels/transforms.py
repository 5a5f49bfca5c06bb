"""Random changes of an image that people hardly care about, the same for every image they are shown."""

from __future__ import annotations

import bisect
import itertools
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from simlib.kernels.noise import Draws

LEAST_SIDE = 8
"""The smallest image that can be moved: a reflection reaches up to seven pixels into it."""

_OFFSETS = 8
"""Offsets in each direction, from none to seven pixels."""

_DARKEST = 0.2
"""The smallest factor of a colour; the greatest is 1, so that no value leaves [0, 1]."""

_CHANNELS = tuple(itertools.permutations(range(3)))


@dataclass(frozen=True)
class Transform:
    """One change of an image, as E-LPIPS draws them (Kettunen et al. 2019); linear in the image.

    The image is averaged down by a whole factor, moved by whole pixels with its reflection around it,
    transposed, flipped, and its channels change places and are darkened, each by a factor of its own.

    Attributes:
        top, left: how far it is moved, from 0 up to but not including 1, of eight pixels after averaging.
        downscale: which factor it is averaged down by, from 0 up to but not including 1, of those that
            the size of the image allows; a factor s is s*s times rarer than 1.
        transposed: whether rows become columns.
        flipped: the dimensions that are reversed.
        channels: which channel comes first, second and third.
        factors: by which each of them is then multiplied, at least 0.2 and below 1.
    """

    top: float
    left: float
    downscale: float
    transposed: bool
    flipped: tuple[int, ...]
    channels: tuple[int, ...]
    factors: tuple[float, ...]

    def __call__(self, images: Tensor, smallest: int) -> Tensor:
        """Change images (N, 3, H, W) in [0, 1], each in the same way.

        Args:
            images: of at least ``LEAST_SIDE`` pixels.
            smallest: no side is averaged down to less than this, nor to less than 64 pixels.

        Returns:
            Images in [0, 1], larger by seven pixels in both directions, or averaged down.
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

    Every flip, order of the channels and part of the range of each factor occurs as often as any other,
    give or take one (Latin hypercube sampling); the rest is drawn independently.

    Args:
        count: at least 1; a multiple of 12 has all flips and all orders equally often.
        seed: any integer.
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
    return tuple(
        Transform(
            top=top,
            left=left,
            downscale=downscale,
            transposed=turn % 2 == 1,
            flipped=((), (2,), (3,), (2, 3))[flip % 4],
            channels=_CHANNELS[order % 6],
            factors=colour,
        )
        for (top, left, downscale), flip, turn, order, colour in zip(
            places, flips, turns, orders, colours, strict=True
        )
    )


def _reflected(images: Tensor, dim: int, before: int, after: int) -> Tensor:
    """Continue images beyond their border by what lies inside it.

    Written out, because on an accelerator the library's own adds up gradients in an order that varies.
    """
    head = images.narrow(dim, 1, before).flip(dim)
    tail = images.narrow(dim, images.shape[dim] - 1 - after, after).flip(dim)
    return torch.cat([head, images, tail], dim)
