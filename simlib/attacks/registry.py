"""Attacks by name, as plans and command lines ask for them."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from simlib.attacks.apgd import apgd
from simlib.attacks.blackbox import square
from simlib.attacks.ensemble import strongest
from simlib.attacks.gradient import fgsm, pgd
from simlib.attacks.minimal import flip_radius, fmn
from simlib.attacks.problem import RankFlip
from simlib.attacks.result import AttackResult
from simlib.attacks.sparse import few_pixel, one_pixel
from simlib.attacks.spatial import stadv, stadv_pgd
from simlib.errors import unknown_name

ATTACKS: dict[str, Callable[..., AttackResult]] = {
    "fgsm": fgsm,
    "pgd": pgd,
    "apgd": apgd,
    "stadv": stadv,
    "stadv-pgd": stadv_pgd,
    "one-pixel": one_pixel,
    "few-pixel": few_pixel,
    "square": square,
    "fmn": fmn,
    "flip-radius": flip_radius,
    "strongest": strongest,
}
"""Every attack; the contract tests run over all of them."""


def run(name: str, problem: RankFlip, **parameters: object) -> AttackResult:
    """Run the named attack.

    Args:
        name: one of ``ATTACKS``.
        problem: what is attacked.
        parameters: keyword parameters of the attack.

    Raises:
        UnknownNameError: if the attack, or one of its parameters, does not exist; names the nearest.
        InputError: if a parameter lies outside its meaning.
    """
    if name not in ATTACKS:
        raise unknown_name("attack", name, ATTACKS)
    attack = ATTACKS[name]
    known = inspect.signature(attack).parameters.keys() - {"problem"}
    for parameter in parameters:
        if parameter not in known:
            raise unknown_name(f"parameter of {name}", parameter, known)
    return attack(problem, **parameters)
