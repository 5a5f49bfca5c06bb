"""Checks of the numbers that a caller gives."""

from __future__ import annotations

import numbers

from simlib.errors import InputError


def require_count(name: str, value: int, least: int = 1) -> None:
    """Refuse, by an InputError that names it, a parameter that is no whole number or is too small."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise InputError(f"{name} is {value!r}. It must be a whole number, at least {least}.")
