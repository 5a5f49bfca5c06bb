"""Dials: what a user may set of an attack, each with a default and a rule for its values."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from dataclasses import field
from typing import Any, get_args

import numpy as np

from simlib.errors import InputError, unknown_name
from simlib.kernels.checks import require_count

RULE = "rule"
"""Key of a dial's rule in the metadata of its field."""


def dial(default: Any, rule: Callable[[str, Any], Any]) -> Any:
    """Declare a field of an attack with a default and a rule.

    A rule takes the dial's name and a value, and returns the value in its plain form or raises an error.
    """
    return field(default=default, metadata={RULE: rule})


def count(default: int, least: int = 1) -> Any:
    """Declare a whole number, at least ``least``."""

    def rule(name: str, value: Any) -> int:
        require_count(name, value, least)
        return int(value)

    return dial(default, rule)


def switch(default: bool) -> Any:
    """Declare something that is true or false."""

    def rule(name: str, value: Any) -> bool:
        if not isinstance(value, bool | np.bool_):
            raise InputError(f"{name} is {value!r}. It must be true or false.")
        return bool(value)

    return dial(default, rule)


def choice(default: str, literal: Any) -> Any:
    """Declare one of the words of a ``Literal``."""

    def rule(name: str, value: Any) -> str:
        words = get_args(literal)
        if value not in words:
            raise unknown_name(name, str(value), words)
        return str(value)

    return dial(default, rule)


def positive(default: float) -> Any:
    """Declare a finite number above zero."""
    return dial(default, a_positive_number)


def positive_or_default() -> Any:
    """Declare a finite number above zero; None stands for what the other dials suggest, or for no limit."""
    return dial(None, lambda name, value: None if value is None else a_positive_number(name, value))


def not_negative(default: float) -> Any:
    """Declare a finite number, at least zero."""
    return dial(default, a_number_not_below_0)


def share(default: float) -> Any:
    """Declare a share: above zero and at most 1."""
    return dial(default, lambda name, value: _at_most_1(name, value, "It is a share, and must be at most 1."))


def budget(default: float) -> Any:
    """Declare a largest change of one value, in the units of [0, 1]."""
    return dial(default, a_budget)


def a_positive_number(name: str, value: Any) -> float:
    """Return a finite number above zero as a float, or raise an InputError that names it."""
    return _number(name, value, "above 0", lambda x: x > 0)


def a_number_not_below_0(name: str, value: Any) -> float:
    """Return a finite number, at least zero, as a float, or raise an InputError that names it."""
    return _number(name, value, "at least 0", lambda x: x >= 0)


def a_budget(name: str, value: Any) -> float:
    """Return a largest change of one value as a float, above zero and at most 1, or raise an InputError."""
    units = "Changes are stated in the units of [0, 1]: four levels of 8 bits are 4 / 255."
    return _at_most_1(name, value, units)


def _at_most_1(name: str, value: Any, advice: str) -> float:
    number = a_positive_number(name, value)
    if number > 1:
        raise InputError(f"{name} is {value!r}. {advice}")
    return number


def _number(name: str, value: Any, bound: str, holds: Callable[[Any], bool]) -> float:
    try:
        known = isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        known = False
    if not (known and holds(value)):
        separator = " " if bound.startswith("above") else ", "
        raise InputError(f"{name} is {value!r}. It must be a finite number{separator}{bound}.")
    return float(value)
