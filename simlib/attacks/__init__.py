"""Attacks: find an image that flips the rank which a metric gives to two images."""

from simlib.attacks.apgd import APGD, USUAL_EPS
from simlib.attacks.attack import ATTACKS, Attack, Conditions, make, meanings, register
from simlib.attacks.flip_radius import FlipRadius, radii
from simlib.attacks.fmn import FMN
from simlib.attacks.gradient import (
    FGSM,
    PAPER_EPS,
    PAPER_REVERSE_EPS,
    PAPER_REVERSE_STEPS,
    PAPER_STEP,
    PAPER_STEPS,
    PGD,
)
from simlib.attacks.objective import Norm
from simlib.attacks.problem import FlipBatch, RankedFlip, RankFlip
from simlib.attacks.ranking import Ranking, Target, is_defined
from simlib.attacks.result import AttackResult, Found, Protocol
from simlib.attacks.sparse import FewPixel, OnePixel
from simlib.attacks.square import Square
from simlib.attacks.stadv import StAdv
from simlib.attacks.stadv_pgd import StAdvPGD
from simlib.attacks.strongest import STANDARD_EPS, Strongest, standard_attacks

__all__ = [
    "APGD",
    "ATTACKS",
    "FGSM",
    "FMN",
    "PAPER_EPS",
    "PAPER_REVERSE_EPS",
    "PAPER_REVERSE_STEPS",
    "PAPER_STEP",
    "PAPER_STEPS",
    "PGD",
    "STANDARD_EPS",
    "USUAL_EPS",
    "Attack",
    "AttackResult",
    "Conditions",
    "FewPixel",
    "FlipBatch",
    "FlipRadius",
    "Found",
    "Norm",
    "OnePixel",
    "Protocol",
    "RankFlip",
    "RankedFlip",
    "Ranking",
    "Square",
    "StAdv",
    "StAdvPGD",
    "Strongest",
    "Target",
    "is_defined",
    "make",
    "meanings",
    "radii",
    "register",
    "standard_attacks",
]
