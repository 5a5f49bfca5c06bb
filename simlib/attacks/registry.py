"""Attacks by name, as plans and command lines ask for them."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from simlib.attacks.gradient import fgsm, pgd
from simlib.attacks.problem import RankFlip
from simlib.attacks.result import AttackResult
from simlib.errors import unknown_name

ATTACKS: dict[str, Callable[..., AttackResult]] = {"fgsm": fgsm, "pgd": pgd}
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
