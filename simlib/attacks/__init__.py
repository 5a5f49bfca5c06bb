"""Attacks: find an image that flips the rank which a metric gives to two images."""

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
from simlib.attacks.problem import FlipBatch, RankFlip, Target
from simlib.attacks.registry import ATTACKS, run
from simlib.attacks.result import AttackResult, Protocol
from simlib.attacks.spatial import stadv, stadv_pgd

__all__ = [
    "ATTACKS",
    "FGSM_GRID",
    "PAPER_EPS",
    "PAPER_REVERSE_EPS",
    "PAPER_REVERSE_STEPS",
    "PAPER_STEP",
    "PAPER_STEPS",
    "AttackResult",
    "FlipBatch",
    "Protocol",
    "RankFlip",
    "Target",
    "fgsm",
    "pgd",
    "run",
    "stadv",
    "stadv_pgd",
]
