"""What numbers a caller may give."""

from __future__ import annotations

import numbers

from simlib.errors import InputError


def require_count(name: str, value: int, least: int = 1) -> None:
    """Refuse a parameter that is not a whole number, or is too small.

    Raises:
        InputError: naming the parameter, its value and the least one.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise InputError(f"{name} is {value!r}. It must be a whole number, at least {least}.")
