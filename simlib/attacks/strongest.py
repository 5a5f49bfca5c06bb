"""The strongest of several attacks, sample by sample, and the list that is our standard evaluation."""

from __future__ import annotations

import contextlib
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from simlib.attacks.apgd import APGD
from simlib.attacks.attack import Attack, Conditions, make, register
from simlib.attacks.dials import a_budget, dial
from simlib.attacks.gradient import FGSM, PGD
from simlib.attacks.problem import FlipBatch, RankFlip
from simlib.attacks.result import AttackResult, Found, Protocol
from simlib.attacks.square import Square
from simlib.errors import InputError, NoGradientError
from simlib.kernels.images import LEVELS

STANDARD_EPS = 4 / LEVELS
"""Budget of the standard evaluation: four levels, at which later work states robust accuracy."""


def standard_attacks(eps: float = STANDARD_EPS) -> tuple[Attack, ...]:
    """Return our standard evaluation in l-inf within ``eps``, from the cheapest attack to the most patient.

    FGSM with every whole level up to the budget; PGD with steps of one level; APGD; and Square, which
    sees only values of the margin and is not misled by a gradient that leads nowhere.
    """
    eps = a_budget("eps", eps)
    # Float noise must not make four levels of 255 a little less than four.
    whole = math.floor(eps * LEVELS + 1e-6)
    grid = [level / LEVELS for level in range(1, whole + 1)]
    if not grid or grid[-1] < eps - 1e-6 / LEVELS:
        grid.append(eps)
    return (
        FGSM(grid=grid),
        PGD(eps=eps, step=min(1 / LEVELS, eps), steps=10),
        APGD(eps=eps, norm="linf", steps=50),
        Square(eps=eps, queries=500),
    )


def _several(name: str, value: Any) -> tuple[Attack, ...]:
    """Return several attacks; where plans describe one by its name and dials, make it."""
    known = isinstance(value, Sequence) and all(isinstance(each, Attack | Mapping) for each in value)
    if not known or not value:
        raise InputError(
            f"{name} is {value!r}. Give at least one attack, the cheapest first, such as [PGD(), APGD()]."
        )
    return tuple(each if isinstance(each, Attack) else _described(name, each) for each in value)


def _described(name: str, description: Mapping[str, Any]) -> Attack:
    if not isinstance(description.get("attack"), str):
        raise InputError(f'{name} has an entry without a name. Give it, such as attack = "pgd".')
    return make(description["attack"], {key: value for key, value in description.items() if key != "attack"})


@register
@dataclass(frozen=True, kw_only=True)
class Strongest(Attack):
    """Run attacks one after the other, each only on the triplets that none before it has flipped.

    The share that flips is at least that of every single attack of the list, and a bound on how robust
    a metric is that no weak attack has set alone (as Croce & Hein 2020 do for classifiers). By default
    the list is the standard evaluation, :func:`standard_attacks`: nothing is left to choose.

    A metric without gradient refuses white-box attacks. They are then passed over, with one warning,
    and the others decide; where there are no others, the error is that of the first.

    In the result, ``details["winner"]`` (N,) is the position in :attr:`attacks` of the attack
    that flipped the sample, -1 where none did; such a sample is returned by the attack that came
    nearest. ``steps`` are those of that attack. ``forwards``, ``backwards`` and ``seconds`` add up
    over all attacks that the sample went through.

    Attributes:
        attacks: the attacks, the cheapest first.
    """

    name: ClassVar[str] = "strongest"
    title: ClassVar[str] = "Strongest of several"
    bounded_by: ClassVar[str] = "as its members; by default largest change of a value"
    citation: ClassVar[str] = "croce2020reliable"
    needs_gradient: ClassVar[bool] = False

    attacks: Sequence[Attack] = dial(standard_attacks(), _several)

    def search(self, batch: FlipBatch, conditions: Conditions) -> Found:
        """Refuse: members run over a whole problem, one after the other."""
        raise NotImplementedError

    def validate(self, problem: RankFlip) -> None:
        """Refuse what one of the members refuses."""
        for attack in self.attacks:
            attack.validate(problem)

    def require_power(self, protocol: Protocol) -> None:
        """Refuse what one of the members refuses."""
        for attack in self.attacks:
            attack.require_power(protocol)

    def _run(
        self,
        problem: RankFlip,
        start: AttackResult | None,
        protocol: Protocol,
        seed: int,
        batch_size: int | None,
        progress: bool,
    ) -> AttackResult:
        total: AttackResult | None = None
        left = torch.arange(len(problem), device=problem.triplets.ref.device)
        winner = torch.full_like(left, -1)
        refused: dict[str, NoGradientError] = {}
        said: set[str] = set()
        for place, attack in enumerate(self.attacks):
            if len(left) == 0:
                break
            part = problem if len(left) == len(problem) else problem[left.tolist()]
            try:
                with _each_warning_once(said):
                    result = attack(
                        part, protocol=protocol, seed=seed, batch_size=batch_size, progress=progress
                    )
            except NoGradientError as error:
                refused[attack.title] = error
                continue
            total = result if total is None else _with_survivors(total, result, left)
            winner[left[result.flipped]] = place
            left = left[~result.flipped]
        if total is None:
            raise next(iter(refused.values()))
        if refused:
            warnings.warn(
                f"{problem.metric.spec.title} gives no gradient, so black-box attacks decide alone, without "
                f"{' and '.join(refused)}. Such a metric may be less robust than they can show.",
                stacklevel=3,
            )
        return replace(total, attack=self, details={"winner": winner})


@contextlib.contextmanager
def _each_warning_once(said: set[str]) -> Iterator[None]:
    """Pass on warnings, but not those that say, with other numbers, what an earlier attack has said."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        text = re.sub(r"\d+", "", str(warning.message))
        if text not in said:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        said.add(text)


def _with_survivors(total: AttackResult, result: AttackResult, rows: Tensor) -> AttackResult:
    """Enter what a further attack found for some rows: its image where it flips or comes nearer."""
    better = result.flipped | (result.margin > total.margin[rows])
    changed: dict[str, Tensor] = {}
    for name in ("images", "flipped", "flipped_8bit", "margin", "margin_8bit", "steps"):
        changed[name] = getattr(total, name).index_copy(0, rows[better], getattr(result, name)[better])
    for name in ("forwards", "backwards"):
        changed[name] = getattr(total, name).index_add(0, rows, getattr(result, name))
    return replace(total, seconds=total.seconds + result.seconds, **changed)
