"""Attacks: find an image that flips the rank which a metric gives to two images."""

from simlib.attacks.apgd import USUAL_EPS, apgd
from simlib.attacks.blackbox import square
from simlib.attacks.ensemble import STANDARD_EPS, standard_attacks, strongest
from simlib.attacks.gradient import (
    FGSM_GRID,
    PAPER_EPS,
    PAPER_REVERSE_EPS,
    PAPER_REVERSE_STEPS,
    PAPER_STEP,
    PAPER_STEPS,
    fgsm,
    pgd,
)
from simlib.attacks.minimal import flip_radius, fmn, radii
from simlib.attacks.norms import Norm
from simlib.attacks.problem import FlipBatch, RankedFlip, RankFlip
from simlib.attacks.ranking import Ranking, Target
from simlib.attacks.registry import ATTACKS, run
from simlib.attacks.result import AttackResult, Protocol
from simlib.attacks.sparse import few_pixel, one_pixel
from simlib.attacks.spatial import stadv, stadv_pgd

__all__ = [
    "ATTACKS",
    "FGSM_GRID",
    "PAPER_EPS",
    "PAPER_REVERSE_EPS",
    "PAPER_REVERSE_STEPS",
    "PAPER_STEP",
    "PAPER_STEPS",
    "STANDARD_EPS",
    "USUAL_EPS",
    "AttackResult",
    "FlipBatch",
    "Norm",
    "Protocol",
    "RankFlip",
    "RankedFlip",
    "Ranking",
    "Target",
    "apgd",
    "few_pixel",
    "fgsm",
    "flip_radius",
    "fmn",
    "one_pixel",
    "pgd",
    "radii",
    "run",
    "square",
    "stadv",
    "stadv_pgd",
    "standard_attacks",
    "strongest",
]
