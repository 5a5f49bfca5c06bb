"""Plans as people write them: TOML files, and the plans that come with simlib."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from pydantic import ValidationError

from simlib.benchmark.plan import Data, Plan, TransferSet, WhiteBox
from simlib.errors import InputError, unknown_name
from simlib.given import given_path, is_litter, read_text

_SUFFIX = ".toml"

_SECTIONS = {"": Plan, "data": Data, "white_box": WhiteBox, "transfer": TransferSet}


def shipped() -> list[str]:
    """List the names of the plans that come with simlib."""
    return sorted(_shipped_files())


def read_plan(plan: str | os.PathLike[str]) -> Plan:
    """Read a plan.

    Args:
        plan: name of a plan that comes with simlib, or path of a TOML file. A plan without a name is called
            as its file.

    Raises:
        InputError: if there is no such file, or it is not a plan: all that is wrong with it, at once.
        UnknownNameError: if it is neither a file nor a plan that comes with simlib.
    """
    text, known = os.fspath(plan), _shipped_files()
    if text in known:
        return _parse(known[text].read_text("utf-8"), text, f"the plan {text} of simlib")
    path = given_path(text)
    if not path.is_file():
        if path.suffix == _SUFFIX or len(path.parts) > 1:
            raise InputError(
                f"There is no file {text}. Give the path of a plan, or one of {', '.join(shipped())}."
            )
        raise unknown_name("plan", text, [*known, f"FILE{_SUFFIX}"])
    return _parse(read_text(path), path.stem, text)


def plan_to_dict(plan: Plan) -> dict[str, Any]:
    """Return a plan in the shape of its file, without what is None, which TOML does not know."""
    return plan.model_dump(mode="json", exclude_none=True)


def plan_from_dict(content: Mapping[str, Any], where: str, context: dict[str, Any] | None = None) -> Plan:
    """Return the plan that a dictionary in the shape of a plan's file describes.

    Args:
        content: see :func:`plan_to_dict`.
        where: what is read, for messages.
        context: :data:`simlib.benchmark.plan.STORED` for the plan of a stored run.

    Raises:
        InputError: listing all that is wrong, each with its place.
    """
    try:
        return Plan.model_validate(dict(content), context=context)
    except RecursionError as error:
        raise InputError(f"{where} is not a plan: a name or a value in it is nested too deeply.") from error
    except ValidationError as error:
        problems = [f"{_place(each['loc'])}{_problem(each)}" for each in error.errors(include_url=False)]
        # Of an attack without a name, its dials cannot be judged: one line says so.
        raise InputError("\n  ".join([f"{where} is not a plan:", *dict.fromkeys(problems)])) from error


def _shipped_files() -> dict[str, Traversable]:
    folder = files("simlib.benchmark") / "plans"
    found = (each for each in folder.iterdir() if each.name.endswith(_SUFFIX) and not is_litter(each.name))
    return {each.name.removesuffix(_SUFFIX): each for each in found}


def _parse(text: str, name: str, where: str) -> Plan:
    try:
        content = tomllib.loads(text)
    # Numbers of thousands of digits are a ValueError of their own, deep nests a RecursionError.
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not valid TOML: {error}. Correct it there.") from error
    return plan_from_dict({"name": name, **content}, where)


def _place(path: tuple[int | str, ...]) -> str:
    """Say where in a plan's file something stands."""
    if len(path) > 2 and path[1] == "attacks":
        return f"[[{path[0]}.attacks]] number {int(path[2]) + 1}: "
    return f"[{path[0]}]: " if path and path[0] in _SECTIONS else ""


def _problem(error: Any) -> str:
    """Say in a line, or several, what pydantic found."""
    path = error["loc"]
    key = next((each for each in reversed(path) if isinstance(each, str)), "")
    match error["type"]:
        case "value_error":
            name = key if len(path) == 2 and isinstance(path[-1], str) else ""
            lines = str(error["ctx"]["error"]).splitlines()
            return f"\n  {_place(path)}".join(f"{name}: {line}" if name else line for line in lines)
        case "extra_forbidden":
            section = _SECTIONS[str(path[0]) if len(path) > 1 else ""]
            return str(unknown_name("key", key, section.model_fields))
        case "missing":
            return f"{key} is missing."
        case "tuple_type" | "model_type":
            form = "list" if error["type"] == "tuple_type" else "table of keys and values"
            return f"{key} is {error['input']!r}. It must be a {form}."
        case _:
            return f"{key} is {error['input']!r}. {error['msg']}."
