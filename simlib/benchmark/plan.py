"""What a benchmark computes: which triplets, which metrics attacked how, and which metrics judge the images.

A plan is checked when it is made: all that is wrong with it is listed at once, each with its place. Only the
plan of a stored run is not compared with what exists here: it may name a metric or an attack of others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from simlib.attacks import ATTACKS, Attack, Protocol, Target, make
from simlib.errors import SimlibError, unknown_name
from simlib.given import is_readable
from simlib.metrics.registry import spec_of

SHARD_SIZE = 64
"""Triplets that are computed together, and lost together when a run is killed."""

_MOST = 2**31 - 1
"""The largest number of triplets that can be asked for."""

STORED = {"stored": True}
"""The context in which the plan of a stored run is read."""

Part = Literal["white-box", "transfer"]
"""The two tables of a benchmark."""


def _is_stored(info: ValidationInfo) -> bool:
    return bool(info.context and info.context.get("stored"))


def _existing(name: str, info: ValidationInfo) -> str:
    if not _is_stored(info):
        try:
            spec_of(name)
        except SimlibError as error:
            raise ValueError(str(error)) from error
    return name


def _each_once(names: tuple[str, ...], advice: str = "Name it once.") -> tuple[str, ...]:
    if not names:
        raise ValueError("It is empty. Name at least one.")
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise ValueError(f"{twice[0]!r} is there twice. {advice}")
    return names


def _readable(text: str, info: ValidationInfo) -> str:
    """Refuse what would break the lines of tables, or could not be stored at all."""
    if not _is_stored(info) and not is_readable(text):
        raise PydanticCustomError("text", "It must be a line of text, without breaks or control letters")
    return text


Text = Annotated[StrictStr, AfterValidator(_readable)]

MetricNames = Annotated[
    tuple[Annotated[StrictStr, AfterValidator(_existing)], ...], AfterValidator(_each_once)
]


class _Section(BaseModel):
    """A part of a plan: nothing can be changed in it, and nothing else may stand there."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Data(_Section):
    """Which triplets.

    Attributes:
        source: as of :func:`simlib.triplets.draw`: ``"photos"``, ``"bapps"`` or a path.
        n: how many; None for all, where there is an end to them.
        seed: of the draw.
    """

    source: Text = "photos"
    n: Annotated[StrictInt, Field(ge=1, le=_MOST)] | None = None
    seed: Annotated[StrictInt, Field(ge=0)] = 0


class PlannedAttack(_Section):
    """One attack with its dials.

    In a plan's file the dials stand beside the other keys: ``attack = "pgd"``, ``eps = 0.015``.

    Attributes:
        title: how tables call it, such as ``"PGD(10)"``; unique among the attacks of a table.
        attack: its name in ``simlib.attacks.ATTACKS``.
        dials: those of its dials that differ from the defaults.
    """

    title: Text
    attack: StrictStr
    protocol: Protocol = "strict"
    target: Target = "closer"
    dials: dict[str, Any] = Field({}, validate_default=True)

    @classmethod
    def of(
        cls, attack: Attack, title: str = "", *, protocol: Protocol = "strict", target: Target = "closer"
    ) -> PlannedAttack:
        """Plan an attack; it is called by its own title unless another is given."""
        return cls(
            title=title or attack.title,
            attack=attack.name,
            protocol=protocol,
            target=target,
            dials=attack.dials(),
        )

    @cached_property
    def made(self) -> Attack:
        """The attack itself; only of a stored run it may be one that is not here, which raises."""
        return make(self.attack, self.dials)

    @model_validator(mode="before")
    @classmethod
    def _gather_dials(cls, content: Any) -> Any:
        """Gather the dials that stand beside the other keys; a missing title is the attack's name."""
        if not isinstance(content, Mapping):
            return content
        own = {key: value for key, value in content.items() if key in cls.model_fields}
        beside = {key: value for key, value in content.items() if key not in cls.model_fields}
        dials = own.get("dials", {})
        if isinstance(dials, Mapping):
            dials = {**dials, **beside}
        return {"title": str(content.get("attack", "")), **own, "dials": dials}

    @field_validator("dials")
    @classmethod
    def _check_dials(cls, dials: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        attack = info.data.get("attack")
        if attack is not None and not _is_stored(info):
            try:
                plain = make(attack, dials).dials()
                return {name: plain[name] for name in dials}
            except SimlibError as error:
                title, lines = info.data.get("title", attack), str(error).splitlines()
                raise ValueError("\n".join(f"{title}: {line}" for line in lines)) from error
        return dials

    @model_serializer
    def _flatten(self) -> dict[str, Any]:
        named = {name: getattr(self, name) for name in ("title", "attack", "protocol", "target")}
        return {**named, **self.dials}


def _titled_apart(attacks: tuple[PlannedAttack, ...]) -> tuple[PlannedAttack, ...]:
    _each_once(tuple(attack.title for attack in attacks), "Give every attack its own title.")
    return attacks


Attacks = Annotated[tuple[PlannedAttack, ...], AfterValidator(_titled_apart)]


def _require_gradients(attacks: Sequence[PlannedAttack], names: Sequence[str]) -> None:
    """Refuse to attack metrics without gradient by attacks that need one."""
    blind = [name for name in names if not spec_of(name).differentiable]
    without = sorted(name for name, attack in ATTACKS.items() if not attack.needs_gradient)
    for attack in attacks:
        if blind and attack.made.needs_gradient:
            raise ValueError(
                f"{attack.title}: {attack.attack} needs a gradient, and {', '.join(blind)} gives none. "
                f"Use one of {', '.join(without)}."
            )


class WhiteBox(_Section):
    """Every metric, by name, attacked with every attack."""

    metrics: MetricNames
    attacks: Attacks

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> WhiteBox:
        if not _is_stored(info):
            _require_gradients(self.attacks, self.metrics)
        return self


class TransferSet(_Section):
    """Images made on some metrics, shown to others.

    Attributes:
        sources: names of the metrics that images are made on.
        targets: names of the metrics that judge them; a source always judges its own.
        chosen_by: title of the attack whose flips make up the published choice of triplets; empty where
            there is no such choice.
    """

    sources: MetricNames
    targets: MetricNames
    attacks: Attacks
    chosen_by: StrictStr = ""

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> TransferSet:
        titles = [attack.title for attack in self.attacks]
        if self.chosen_by and self.chosen_by not in titles:
            raise ValueError(str(unknown_name("title of an attack in chosen_by", self.chosen_by, titles)))
        if not _is_stored(info):
            _require_gradients(self.attacks, self.sources)
        return self


def _with_protocol(content: Any) -> Any:
    """Hand the protocol that a plan's file names at its top to every attack that names none."""
    if not isinstance(content, Mapping) or "protocol" not in content:
        return content
    plan: dict[str, Any] = {key: value for key, value in content.items() if key != "protocol"}
    for key in ("white_box", "transfer"):
        part = plan.get(key)
        if isinstance(part, Mapping) and isinstance(part.get("attacks"), list):
            attacks = [
                {"protocol": content["protocol"], **each} if isinstance(each, Mapping) else each
                for each in part["attacks"]
            ]
            plan[key] = {**part, "attacks": attacks}
    return plan


class Plan(_Section):
    """A benchmark, complete: with the same code and weights it gives the same rows.

    Attributes:
        white_box: what the white-box table holds; None for no such table.
        transfer: what the transfer matrix holds; None likewise.
        seed: of the attacks.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        keep_images: whether the attacked images are stored, so that further targets can judge them later;
            of what is computed from then on.
    """

    name: Text
    data: Data = Data()
    white_box: WhiteBox | None = None
    transfer: TransferSet | None = None
    seed: Annotated[StrictInt, Field(ge=0)] = 0
    shard_size: Annotated[StrictInt, Field(ge=1, le=_MOST)] = SHARD_SIZE
    device: StrictStr = "auto"
    keep_images: StrictBool = False

    _hand_down = model_validator(mode="before")(_with_protocol)

    @model_validator(mode="after")
    def _check(self) -> Plan:
        if not (self.white_box or self.transfer):
            raise ValueError("There is nothing to compute. Give the plan a part [white_box] or [transfer].")
        return self

    def parts(self) -> dict[Part, list[tuple[PlannedAttack, str, tuple[str, ...]]]]:
        """List for each table every attack, the metric it is made on, and all that judge, itself first."""
        found: dict[Part, list[tuple[PlannedAttack, str, tuple[str, ...]]]] = {}
        if self.white_box:
            found["white-box"] = [
                (attack, name, (name,))
                for name in self.white_box.metrics
                for attack in self.white_box.attacks
            ]
        if self.transfer:
            found["transfer"] = [
                (attack, source, (source, *(each for each in self.transfer.targets if each != source)))
                for source in self.transfer.sources
                for attack in self.transfer.attacks
            ]
        return found

    def metrics(self) -> list[str]:
        """List the names of all metrics that take part, each once."""
        judging = (targets for attacked in self.parts().values() for _, _, targets in attacked)
        return list(dict.fromkeys(name for targets in judging for name in targets))
