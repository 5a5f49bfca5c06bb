"""Values of dials: as they are written in a cell or on the command line, and what they mean."""

from __future__ import annotations

import ast
import contextlib
import json
import math
import operator
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from simlib.errors import InputError

Values = dict[str, Any]

_NO_PATHS: Mapping[str, tuple[str, ...]] = {
    "data": ("photos", "bapps"),
    "store": ("", "reference"),
    "plan": (),
    "measured": (),
    "example_folder": ("",),
}
"""The dials that take a path, each with the names that it takes, too."""

_SHOWN = 3
"""Entries of a list that a message shows as an example."""

_ARITHMETIC: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class Written(str):
    """A value as a person wrote it, without quotes: what it is depends on the parameter it is for."""

    def read(self, name: str, default: Any) -> Any:
        """Return the value for a parameter, of the kind of its default: text, truth, number or list.

        Raises:
            InputError: the text is nothing of that kind.
        """
        try:
            if isinstance(default, str):
                return _unquoted(self)
            if isinstance(default, list):
                return _typed(yaml.load(self, yaml.BaseLoader), default)
            return _typed(str(self), default)
        except (ValueError, yaml.YAMLError):
            kind = _KINDS.get(type(default), "a value of YAML")
            raise InputError(
                f"The value {str(self)!r} of the parameter {name} cannot be read. It must be {kind}"
                f"{_example(default)}."
            ) from None


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", list: "a list"}


def _example(default: Any) -> str:
    """Show a default, or the beginning of a list; nothing if its value is not known."""
    if isinstance(default, list):
        known = [each for each in default if each is not None]
        default = None if default and not known else known[:_SHOWN]
    return "" if default is None else f", such as {json.dumps(default)}"


def constant(written: ast.expr) -> Any:
    """Return the value of an expression such as ``"a"``, ``[1, *[2]]`` or ``4 / 255``; None for another one.

    A tuple is a list, as it is in what outputs say of it.
    """
    match written:
        case ast.List(parts) | ast.Tuple(parts):
            return [each for part in parts for each in _entries(part)]
        case ast.BinOp(left, sign, right) if type(sign) in _ARITHMETIC:
            with contextlib.suppress(TypeError, ArithmeticError):
                return _ARITHMETIC[type(sign)](constant(left), constant(right))
            return None
    try:
        return ast.literal_eval(written)
    except ValueError:
        return None


def _entries(part: ast.expr) -> list[Any]:
    """Return what a part of a written list adds to it: ``*["a", "b"]`` adds two entries, another part one."""
    value = constant(part.value if isinstance(part, ast.Starred) else part)
    return value if isinstance(part, ast.Starred) and isinstance(value, list) else [value]


def from_here(name: str, value: Any) -> Any:
    """Return a path as it is seen from every folder, if the dial takes paths and this one leads somewhere.

    Notebooks are executed elsewhere, and look beside the book's notebooks for what is not found here.

    Raises:
        InputError: the value is empty, and the dial takes no such.
    """
    if name not in _NO_PATHS or not isinstance(value, str) or value in _NO_PATHS[name]:
        return value
    if not value:
        raise InputError(f'{name} is "", which is no path. Give one; "." is the present folder.')
    path = Path(value).expanduser()
    # the name of a plan may be that of a folder, too
    is_path = path.suffix == ".toml" if name == "plan" else True
    return str(path.absolute()) if is_path and path.exists() else value


def _typed(value: Any, default: Any) -> Any:
    """Give what YAML holds, all of it text, the kinds of a default."""
    if isinstance(value, list) and isinstance(default, list):
        # Of whole numbers and others beside them, the others say what may stand there.
        kind = max(default, key=lambda each: isinstance(each, float), default=None)
        return [_typed(each, kind) for each in value]
    if not isinstance(value, str) or isinstance(default, list):
        raise ValueError(value)
    if isinstance(default, str):
        return value
    if isinstance(default, bool):
        return _truth(value)
    if isinstance(default, int):
        return _whole(value)
    return _number(value) if isinstance(default, float) else _any(value)


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return str(yaml.safe_load(text)) if quoted else str(text)


def _truth(text: str) -> bool:
    if not isinstance(value := yaml.safe_load(text), bool):
        raise ValueError(text)
    return value


def _whole(text: str) -> int:
    if (value := _number(text)) != int(value):
        raise ValueError(text)
    return int(value)


def _number(text: str) -> int | float:
    for kind in (int, float, _calculated):
        with contextlib.suppress(ValueError):
            value = kind(text)
            break
    else:
        raise ValueError(text)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(text)
    return value


def _calculated(text: str) -> int | float:
    """Return what a text such as ``4/255`` comes to."""
    try:
        value = constant(ast.parse(text.strip(), mode="eval").body)
    except SyntaxError:
        raise ValueError(text) from None
    if type(value) not in (int, float):
        raise ValueError(text)
    return value


def _any(text: str) -> Any:
    # YAML takes words without quotes, but also a number like 5e-4 for a word
    with contextlib.suppress(json.JSONDecodeError):
        return json.loads(text)
    return yaml.safe_load(text)
