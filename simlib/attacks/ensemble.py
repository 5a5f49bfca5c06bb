"""The strongest of several attacks, sample by sample, and the list that is our standard evaluation."""

from __future__ import annotations

import contextlib
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from simlib.attacks.apgd import apgd
from simlib.attacks.blackbox import square
from simlib.attacks.driver import require_budget
from simlib.attacks.gradient import fgsm, pgd
from simlib.attacks.problem import RankFlip
from simlib.attacks.result import AttackResult, Protocol
from simlib.errors import InputError, NoGradientError
from simlib.kernels.images import LEVELS

STANDARD_EPS = 4 / LEVELS
"""Budget of the standard evaluation: four levels, at which later work states robust accuracy."""

_PGD_STEPS = 10
_APGD_STEPS = 50
_QUERIES = 500


def standard_attacks(eps: float = STANDARD_EPS) -> dict[str, Callable[..., AttackResult]]:
    """Return our standard evaluation in l-inf, from the cheapest attack to the most patient.

    FGSM with every whole level up to the budget; PGD with steps of one level; APGD; and Square, which
    sees only values of the margin and is not misled by a gradient that leads nowhere.

    Args:
        eps: largest change of one value, in the units of [0, 1].

    Raises:
        InputError: if eps is not above zero.
    """
    require_budget("eps", eps)
    # Float noise must not make four levels of 255 a little less than four.
    whole = math.floor(eps * LEVELS + 1e-6)
    grid = [level / LEVELS for level in range(1, whole + 1)]
    if not grid or grid[-1] < eps - 1e-6 / LEVELS:
        grid.append(eps)
    return {
        "FGSM": partial(fgsm, grid=grid),
        "PGD": partial(pgd, eps=eps, step=min(1 / LEVELS, eps), steps=_PGD_STEPS),
        "APGD": partial(apgd, eps=eps, norm="linf", steps=_APGD_STEPS),
        "Square": partial(square, eps=eps, queries=_QUERIES),
    }


def strongest(
    problem: RankFlip,
    *,
    attacks: Mapping[str, Callable[..., AttackResult]] | None = None,
    protocol: Protocol = "strict",
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = False,
) -> AttackResult:
    """Run attacks one after the other, each only on the triplets that none before it has flipped.

    The share that flips is at least that of every single attack of the list, and a bound on how robust
    a metric is that no weak attack has set alone (as Croce & Hein 2020 do for classifiers). Without a
    list it is the standard evaluation, :func:`standard_attacks`: nothing is left to choose.

    A metric without gradient refuses white-box attacks. They are then passed over, with one warning,
    and the others decide.

    Args:
        problem: what is attacked.
        attacks: by name, cheapest first. Each is called with the problem and the keyword parameters
            below, which every attack of this package takes; fix others by :func:`functools.partial`.
        protocol: how success is counted.
        seed: of all attacks.
        batch_size: triplets attacked at once; ``None`` for 256.
        progress: show the bars of the attacks that take longer than two seconds.

    Returns:
        The result. ``details["winner"]`` (N,) is the position in ``parameters["attacks"]`` of the attack
        that flipped the sample, -1 where none did; such a sample is returned by the attack that came
        nearest. ``steps`` are those of that attack. ``forwards``, ``backwards`` and ``seconds`` add up
        over all attacks that the sample went through. ``parameters["passed_over"]`` names the attacks
        that the metric refused, ``parameters["settings"]`` says how each of those that ran was called.

    Raises:
        InputError: if the list is empty.
        NoGradientError: if the metric gives no gradient and every attack needs one.
    """
    attacks = standard_attacks() if attacks is None else attacks
    if not attacks:
        raise InputError("There is no attack to run. Give at least one, or None for the standard list.")
    total: AttackResult | None = None
    left = torch.arange(len(problem), device=problem.triplets.ref.device)
    winner = torch.full_like(left, -1)
    refused: dict[str, NoGradientError] = {}
    used: dict[str, dict[str, object]] = {}
    said: set[str] = set()
    for place, (name, attack) in enumerate(attacks.items()):
        if len(left) == 0:
            break
        part = problem if len(left) == len(problem) else problem[left.tolist()]
        try:
            with _each_warning_once(said):
                result = attack(part, protocol=protocol, seed=seed, batch_size=batch_size, progress=progress)
        except NoGradientError as error:
            refused[name] = error
            continue
        used[name] = dict(result.parameters)
        total = result if total is None else _with_survivors(total, result, left)
        winner[left[result.flipped]] = place
        left = left[~result.flipped]
    if total is None:
        raise next(iter(refused.values()))
    if refused:
        warnings.warn(
            f"{problem.metric.spec.title} gives no gradient, so {' and '.join(refused)} were passed over and "
            "black-box attacks decide alone. Such a metric may be less robust than they can show.",
            stacklevel=2,
        )
    return replace(
        total,
        attack="Strongest of several",
        parameters={"attacks": tuple(attacks), "passed_over": tuple(refused), "settings": used},
        details={"winner": winner},
    )


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
    returned = ("images", "flipped", "flipped_8bit", "margin", "margin_8bit", "steps")
    counted = ("forwards", "backwards")
    return replace(
        total,
        seconds=total.seconds + result.seconds,
        **{
            name: getattr(total, name).index_copy(0, rows[better], getattr(result, name)[better])
            for name in returned
        },
        **{name: getattr(total, name).index_add(0, rows, getattr(result, name)) for name in counted},
    )
