"""stAdv followed by PGD, as images for transfer are made."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import ClassVar

from simlib.attacks.attack import Attack, Conditions, register
from simlib.attacks.dials import budget, choice, count, not_negative, positive
from simlib.attacks.gradient import PAPER_EPS, PAPER_STEP, PGD
from simlib.attacks.problem import FlipBatch, RankFlip
from simlib.attacks.result import Found
from simlib.attacks.stadv import PAPER_ITERATIONS, PAPER_WEIGHT_FLOW, PAPER_WEIGHT_RANK, StAdv
from simlib.kernels.flow import Smoothness
from simlib.kernels.projection import truncate_to_8bit


@register
@dataclass(frozen=True, kw_only=True)
class StAdvPGD(Attack):
    """Take all steps of PGD from the image that stAdv found, as images for transfer are made.

    As released by Ghildyal & Liu (2023): the image of stAdv is saved with 8 bits (by truncation; rounded
    under the strict protocol), and PGD starts there, but stays within ``eps`` of the original image. So the
    first step takes back what stAdv changed beyond that. In the result, ``steps`` are those of PGD, and
    ``details["flow"]`` is the flow of stAdv.

    Attributes:
        eps: budget of PGD: largest change of one value, in the units of [0, 1].
        step: size of a step of PGD, same units.
        steps: steps of PGD, all of which are taken.
        weight_rank: of :class:`simlib.attacks.StAdv`: weight of the share of distances.
        weight_flow: of stAdv: weight of the smoothness.
        form: of stAdv: how smoothness is measured.
        iterations: of stAdv: most steps of L-BFGS.
    """

    name: ClassVar[str] = "stadv-pgd"
    title: ClassVar[str] = "stAdv+PGD"
    bounded_by: ClassVar[str] = "largest change of a value"
    citation: ClassVar[str] = "ghildyal2023attacking"

    eps: float = budget(PAPER_EPS)
    step: float = positive(PAPER_STEP)
    steps: int = count(20)
    weight_rank: float = positive(PAPER_WEIGHT_RANK)
    weight_flow: float = not_negative(PAPER_WEIGHT_FLOW)
    form: Smoothness = choice("squared", Smoothness)
    iterations: int = count(PAPER_ITERATIONS)

    @property
    def starts_from(self) -> StAdv:
        """The stAdv whose images PGD starts from."""
        return StAdv(**{each.name: getattr(self, each.name) for each in fields(StAdv)})

    @property
    def reach(self) -> float:
        """The budget of PGD."""
        return self.eps

    def validate(self, problem: RankFlip) -> None:
        """Refuse images that stAdv refuses."""
        self.starts_from.validate(problem)

    def search(self, batch: FlipBatch, conditions: Conditions) -> Found:
        """Take the steps of PGD from the images of stAdv."""
        moved = conditions.start or self.starts_from.search(batch, conditions)
        saved = moved.images if conditions.strict else truncate_to_8bit(moved.images)
        pgd = PGD(eps=self.eps, step=self.step, steps=self.steps, early_stop=False)
        found = pgd.search_from(saved, batch, conditions)
        return replace(
            found,
            forwards=found.forwards + moved.forwards,
            backwards=found.backwards + moved.backwards,
            details=moved.details,
        )
