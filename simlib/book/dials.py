"""The dials of the chapters: what each name may be set to, checked in one go."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from simlib import metrics
from simlib.attacks.dials import a_budget, a_number_not_below_0, a_positive_number
from simlib.book.values import Values
from simlib.checkout import repository
from simlib.errors import InputError, SimlibError
from simlib.given import given_path
from simlib.kernels.checks import require_count
from simlib.kernels.device import pick_device

Rule = Callable[[str, Any], object]
"""Takes a dial's name and value, and raises an error of simlib if the value is none for it."""


class DialError(InputError):
    """Dials of a chapter are set to what they cannot be; the message has a line for each."""

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows: the lines alone, for who turned a dial wrote no code."""
        return str(self).splitlines()


def checked(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dials that a namespace holds, with their values.

    Raises:
        DialError: values that their dials cannot have, a line for each.
    """
    dials = {name: namespace[name] for name in RULES if name in namespace}
    rules = {**RULES, "n": _count(0 if "plan" in dials else 1)}
    problems = [problem for name, value in dials.items() if (problem := _problem(rules[name], name, value))]
    if problems:
        raise DialError("\n".join(problems))
    return dials


def require_valid(known: Mapping[str, Values], given: Mapping[str, Values]) -> None:
    """Refuse what notebooks are about to be run with, where a chapter would refuse it in its first cells.

    Args:
        known: the parameters that each notebook declares, with their defaults.
        given: the values that each is run with.

    Raises:
        DialError: values that their dials cannot have, with the notebooks.
    """
    problems: dict[str, list[str]] = {}
    for name, values in given.items():
        # what n may be depends on whether there is a plan
        plan = {key: value for key, value in known[name].items() if key == "plan"}
        try:
            checked({**plan, **values})
        except DialError as error:
            problems.setdefault(str(error), []).append(name)
    if problems:
        raise DialError("\n".join(f"In {', '.join(names)}: {told}" for told, names in problems.items()))


def needed(dials: Mapping[str, Any], *names: str) -> None:
    """Refuse, by a DialError, a chapter that has not all of these dials."""
    told = "{} is missing. Give it a value in the cell of dials."
    if missing := [told.format(name) for name in names if name not in dials]:
        raise DialError("\n".join(missing))


def _problem(rule: Rule, name: str, value: Any) -> str:
    try:
        rule(name, value)
    except SimlibError as error:
        text = str(error)
        return text if re.match(rf"{name}\b", text) else f"{name}: {text}"
    except (TypeError, ValueError, OSError):
        return f"{name} cannot be {str(value)[:80]!r}."
    return ""


def _count(least: int = 1) -> Rule:
    return lambda name, value: require_count(name, value, least)


def _text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise InputError(f"{name} is {value!r}. It must be a text, in quotes.")


def _metric(name: str, value: Any) -> None:
    _text(name, value)
    metrics.spec_of(value)


def _list_of(rule: Rule, least: int = 1) -> Rule:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, list | tuple) or len(value) < least:
            raise InputError(
                f"{name} is {value!r}. It must be a list" + " with an entry or more." * bool(least)
            )
        for each in value:
            rule(name, each)

    return check


def _device(name: str, value: Any) -> None:
    _text(name, value)
    pick_device(value)


def _data(name: str, value: Any) -> None:
    _text(name, value)
    if value not in ("photos", "bapps") and not (value and given_path(value).exists()):
        raise InputError(
            f"{name} is {value!r}, and there is no such folder or file. "
            'Give "photos", "bapps", or the path of a folder or CSV file.'
        )


def _measured(name: str, value: Any) -> None:
    _text(name, value)
    if not (repository() / "notebooks" / given_path(value)).is_file():
        raise InputError(
            f"{name} is {value!r}, and there is no such file, seen from the notebooks. "
            'make bench writes "../_build/bench.json".'
        )


RULES: Mapping[str, Rule] = {
    # which triplets, and how many; a chapter that runs a plan takes n = 0 for as many as the plan says
    "data": _data,
    "n": _count(),
    "seed": _count(0),
    "table_n": _count(),
    "slow_n": _count(),
    "masked_n": _count(),
    # which metrics, and where they run
    "metric_name": _metric,
    "fallback": _metric,
    "metric_names": _list_of(_metric, least=0),
    "table_metrics": _list_of(_metric),
    "slow_metrics": _list_of(_metric, least=0),
    "judge_names": _list_of(_metric),
    "heavy_weights": _list_of(_text, least=0),
    "device": _device,
    # attacks
    "eps": a_budget,
    "step": a_positive_number,
    "steps": _count(),
    "pgd_steps": _list_of(_count()),
    "combined_steps": _list_of(_count()),
    "weight_rank": a_positive_number,
    "weight_flow": a_number_not_below_0,
    "iterations": _count(),
    "few_pixels": _count(),
    "population": _count(3),
    "generations": _count(),
    # distortions
    "strengths": _list_of(a_budget),
    "ratios": _list_of(a_positive_number),
    # results of the benchmark
    "store": _text,
    "plan": _text,
    "attack_title": _text,
    "chosen_by": _text,
    "measured": _measured,
    "sizes": _list_of(_count()),
    "cores": _list_of(_count()),
    # pictures
    "example": _text,
    "example_folder": _text,
}
"""A rule for every name that a chapter's cell of dials assigns; tests hold all chapters to it."""
