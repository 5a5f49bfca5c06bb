"""Figures that others have published, to stand beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from simlib.benchmark.statistics import Rate, wilson


@dataclass(frozen=True)
class PublishedAttack:
    """One attack on one metric: triplets attacked and flipped, as published.

    Attributes:
        flipped_within: flips counted up to a number of steps, as shares of n.
        flipped_within_three: flips that need at most three steps.
        rate_by_ratio: share flipped, by the upper end of a range of width 0.2 of the ratio of the smaller
            distance to the larger, before the attack.
        rmse: mean and standard deviation over the flipped, in levels, images truncated to 8 bits.
        steps: mean and median over the flipped.
    """

    metric: str
    n: int
    flipped: int
    flipped_within: Mapping[int, float]
    flipped_within_three: int
    rate_by_ratio: Mapping[float, float]
    rmse: tuple[float, float]
    steps: tuple[float, float]

    @property
    def rate(self) -> Rate:
        """The share flipped, with Wilson's interval."""
        return wilson(self.flipped, self.n)

    @property
    def early(self) -> Rate:
        """The share of the flips that need at most three steps, likewise."""
        return wilson(self.flipped_within_three, self.flipped)


WHITE_BOX_PGD = PublishedAttack(
    metric="lpips-alex",
    n=12_227,
    flipped=9_724,
    flipped_within={1: 0.071, 3: 0.161, 5: 0.246, 10: 0.430, 20: 0.677, 29: 0.795},
    flipped_within_three=1_970,
    rate_by_ratio={0.2: 0.536, 0.4: 0.792, 0.6: 0.932, 0.8: 0.992, 1.0: 1.0},
    rmse=(1.244, 0.590),
    steps=(11.0, 10.0),
)
"""Ghildyal & Liu (TMLR 2023), counted in the files they released: the triplets of BAPPS on which all judges
agree."""

EXAMPLE_TRIPLET: Mapping[str, tuple[float, float]] = {
    "lpips-alex": (0.722, 0.138),
    "lpips-squeeze": (0.711, 0.148),
}
"""Distances of the two images of LPIPS's example triplet, by metric, to three digits."""


@dataclass(frozen=True)
class PublishedTransfer:
    """What a judge makes of images made on another metric, as published.

    ``accurate`` counts the triplets that the judge, before any attack, ranks as people do; ``flipped`` says
    how many of those each attack flips.
    """

    metric: str
    accurate: int
    flipped: Mapping[str, int]

    def rate(self, attack: str) -> Rate:
        """Return the share that an attack flips, with Wilson's interval."""
        return wilson(self.flipped[attack], self.accurate)

    def gain(self, attack: str, than: str) -> float:
        """Return how much more often an attack flips than another, in points."""
        return 100 * (self.flipped[attack] - self.flipped[than]) / self.accurate


TRANSFER_ATTACKS = ("PGD(10)", "PGD(20)", "stAdv", *(f"stAdv+PGD({steps})" for steps in (5, 10, 15, 20)))
"""The attacks of the published transfer; the numbers are steps of PGD, all of which are taken."""

TRANSFER_N = 2_726
"""Triplets of the published transfer: LPIPS (Alex) is right about them, stAdv flips it, and the authors kept
the attacked image after looking at it."""

TRANSFER: tuple[PublishedTransfer, ...] = tuple(
    PublishedTransfer(metric, accurate, dict(zip(TRANSFER_ATTACKS, flipped, strict=True)))
    for metric, accurate, flipped in (
        ("l2", 2_099, (101, 174, 77, 134, 189, 200, 257)),
        ("ssim", 2_093, (237, 442, 78, 180, 339, 370, 540)),
        ("st-lpips-alex", 2_470, (104, 198, 96, 123, 205, 212, 310)),
    )
)
"""Ghildyal & Liu (TMLR 2023), counted in the files they released: images made on LPIPS (Alex), from BAPPS."""


@dataclass(frozen=True)
class PublishedRobustness:
    """How often a metric agrees with people, in per cent, as published.

    ``clean`` is before any attack; ``linf`` and ``l2`` are under APGD on the reference, with a largest change
    of 4/255 and with a Euclidean length of 3.
    """

    title: str
    clean: float
    linf: float
    l2: float


ROBUST_METRICS = (
    PublishedRobustness("DreamSim", 96.2, 0.5, 0.9),
    PublishedRobustness("R-LPIPS", 71.6, 16.2, 26.9),
    PublishedRobustness("LipSim, best of three", 85.1, 32.8, 53.1),
    PublishedRobustness("R-CLIP, ConvNeXt-B with LoRA", 95.0, 87.2, 84.5),
)
"""The authors of R-CLIP (arXiv 2502.11725), on NIGHTS; without intervals."""
