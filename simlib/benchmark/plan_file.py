"""Plans as people write them: TOML files, and the plans that come with simlib."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, cast

from simlib.attacks import Protocol, Target
from simlib.benchmark.plan import SHARD_SIZE, Data, Plan, PlannedAttack, TransferSet, WhiteBox
from simlib.errors import InputError, unknown_name

_SUFFIX = ".toml"
_PROTOCOL = "strict"


def shipped() -> list[str]:
    """List the names of the plans that come with simlib."""
    return sorted(_shipped_files())


def read_plan(plan: str | os.PathLike[str]) -> Plan:
    """Read a plan.

    The file is read, and refused where it is not a plan; whether its metrics, attacks and data exist is for
    :func:`simlib.benchmark.validation.validate` to say.

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
    path = Path(text)
    if not path.is_file():
        if path.suffix == _SUFFIX or len(path.parts) > 1:
            raise InputError(
                f"There is no file {text}. Give the path of a plan, or one of {', '.join(shipped())}."
            )
        raise unknown_name("plan", text, [*known, f"FILE{_SUFFIX}"])
    try:
        return _parse(path.read_text("utf-8"), path.stem, text)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The plan {text} cannot be read: {error}. Give a text file in TOML.") from error


def plan_to_dict(plan: Plan) -> dict[str, Any]:
    """Return a plan in the shape of its file: made of texts, numbers, lists and dictionaries only.

    Nothing is left to a default, but what is None is left out, because TOML does not know it.
    """
    content: dict[str, Any] = {
        "name": plan.name,
        "seed": plan.seed,
        "shard_size": plan.shard_size,
        "device": plan.device,
        "keep_images": plan.keep_images,
        "data": {key: value for key, value in asdict(plan.data).items() if value is not None},
    }
    if plan.white_box:
        content["white_box"] = {
            "metrics": list(plan.white_box.metrics),
            "attacks": [_attack_to_dict(attack) for attack in plan.white_box.attacks],
        }
    if plan.transfer:
        content["transfer"] = {
            "sources": list(plan.transfer.sources),
            "targets": list(plan.transfer.targets),
            "chosen_by": plan.transfer.chosen_by,
            "attacks": [_attack_to_dict(attack) for attack in plan.transfer.attacks],
        }
    return content


def plan_from_dict(content: Mapping[str, Any], where: str) -> Plan:
    """Return the plan that a dictionary in the shape of a plan's file describes.

    Args:
        content: see :func:`plan_to_dict`. Only the name must be there; a list of an attack's parameters
            becomes a tuple.
        where: what is read, for messages.

    Raises:
        InputError: listing every key that no plan has and every value of the wrong type, each with its place.
    """
    problems: list[str] = []
    top = _Section(content, "", problems)
    protocol = top.text("protocol", _PROTOCOL)
    data, white_box, transfer = (top.section(key) for key in ("data", "white_box", "transfer"))
    plan = Plan(
        name=top.text("name"),
        data=_data(data) if data else Data(),
        white_box=_white_box(white_box, protocol) if white_box else None,
        transfer=_transfer(transfer, protocol) if transfer else None,
        seed=top.whole("seed", 0),
        shard_size=top.whole("shard_size", SHARD_SIZE),
        device=top.text("device", "auto"),
        keep_images=top.either("keep_images", False),
    )
    top.refuse_others()
    if problems:
        raise InputError("\n  ".join([f"{where} is not a plan:", *problems]))
    return plan


def _shipped_files() -> dict[str, Traversable]:
    folder = files("simlib.benchmark") / "plans"
    return {each.name.removesuffix(_SUFFIX): each for each in folder.iterdir() if each.name.endswith(_SUFFIX)}


def _parse(text: str, name: str, where: str) -> Plan:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where} is not valid TOML: {error}. Correct it there.") from error
    return plan_from_dict({"name": name, **content}, where)


def _attack_to_dict(attack: PlannedAttack) -> dict[str, Any]:
    plain = {
        "title": attack.title,
        "attack": attack.attack,
        "protocol": attack.protocol,
        "target": attack.target,
    }
    return plain | {name: _to_list(value) for name, value in attack.parameters.items()}


def _to_list(value: object) -> object:
    return [_to_list(each) for each in value] if isinstance(value, list | tuple) else value


def _to_tuple(value: object) -> object:
    return tuple(_to_tuple(each) for each in value) if isinstance(value, list | tuple) else value


def _data(section: _Section) -> Data:
    data = Data(
        source=section.text("source", "photos"),
        n=section.whole("n", 0) if "n" in section.content else None,
        seed=section.whole("seed", 0),
    )
    section.refuse_others()
    return data


def _white_box(section: _Section, protocol: str) -> WhiteBox:
    white_box = WhiteBox(metrics=section.texts("metrics"), attacks=_attacks(section, protocol))
    section.refuse_others()
    return white_box


def _transfer(section: _Section, protocol: str) -> TransferSet:
    transfer = TransferSet(
        sources=section.texts("sources"),
        targets=section.texts("targets"),
        attacks=_attacks(section, protocol),
        chosen_by=section.text("chosen_by", ""),
    )
    section.refuse_others()
    return transfer


def _attacks(section: _Section, protocol: str) -> tuple[PlannedAttack, ...]:
    return tuple(_attack(each, protocol) for each in section.sections("attacks"))


def _attack(section: _Section, protocol: str) -> PlannedAttack:
    attack = section.text("attack")
    return PlannedAttack(
        title=section.text("title", attack),
        attack=attack,
        # Whether there are such a protocol and target is for the validation to say.
        protocol=cast("Protocol", section.text("protocol", protocol)),
        target=cast("Target", section.text("target", "closer")),
        parameters=section.parameters(),
    )


@dataclass
class _Section:
    """One table of a plan's file, from which keys are taken; what is wrong with it is noted, not raised."""

    content: Mapping[str, Any]
    place: str
    problems: list[str]
    taken: set[str] = field(default_factory=set)

    def text(self, key: str, default: str | None = None) -> str:
        return self._take(key, default, lambda value: isinstance(value, str), "a text in quotes", "")

    def whole(self, key: str, default: int) -> int:
        return self._take(key, default, _is_whole, "a whole number", 0)

    def either(self, key: str, default: bool) -> bool:
        return self._take(key, default, lambda value: isinstance(value, bool), "true or false", False)

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(self._take(key, None, _is_texts, "a list of texts in quotes", ()))

    def section(self, key: str) -> _Section | None:
        """Take a table; None if there is none."""
        content = self._take(key, {}, lambda value: isinstance(value, Mapping), f"a table, [{key}]", None)
        if content is None or key not in self.content:
            return None
        return _Section(content, f"[{key}]: ", self.problems)

    def sections(self, key: str) -> list[_Section]:
        inside = f"{self.place.strip('[]: ')}.{key}"
        tables = self._take(key, None, _is_tables, f"a list of tables, [[{inside}]]", [])
        return [
            _Section(table, f"[[{inside}]] number {number}: ", self.problems)
            for number, table in enumerate(tables, start=1)
        ]

    def parameters(self) -> dict[str, object]:
        """Take all keys that nobody else has taken."""
        rest = {key: value for key, value in self.content.items() if key not in self.taken}
        for key, value in rest.items():
            if not _is_parameter(value):
                self._note(
                    f"{key} is {value!r}. It must be a number, a text, true or false, or a list of such."
                )
        return {key: _to_tuple(value) for key, value in rest.items()}

    def refuse_others(self) -> None:
        """Note every key that nobody has taken."""
        for key in self.content:
            if key not in self.taken:
                self._note(str(unknown_name("key", key, self.taken)))

    def _take(self, key: str, default: Any, fits: Callable[[Any], bool], meant: str, instead: Any) -> Any:
        """Return the value of a key; None as default means that there is none."""
        self.taken.add(key)
        value = self.content.get(key, default)
        if value is None:
            self._note(f"{key} is missing. It must be {meant}.")
        elif not fits(value):
            self._note(f"{key} is {value!r}. It must be {meant}.")
        else:
            return value
        return instead

    def _note(self, problem: str) -> None:
        self.problems.append(self.place + problem)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)


def _is_tables(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, Mapping) for each in value)


def _is_parameter(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_parameter(each) for each in value)
    # A parameter whose default is None may be given as None by a program; a file cannot say so.
    return value is None or isinstance(value, str | int | float)
