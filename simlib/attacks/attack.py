"""What an attack is: a value that knows its dials, its name, what it needs, and how it searches."""

from __future__ import annotations

import inspect
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, TypeVar, get_args

from simlib.attacks.dials import RULE
from simlib.attacks.driver import Found, run_in_batches
from simlib.attacks.problem import FlipBatch, RankFlip
from simlib.attacks.result import AttackResult, Protocol, found_before
from simlib.errors import InputError, SimlibError, unknown_name
from simlib.kernels.checks import require_count
from simlib.kernels.images import LEVELS
from simlib.kernels.settings import own_settings

ATTACKS: dict[str, type[Attack]] = {}
"""Every attack by name; the contract tests run over all of them."""

_SLACK = 1e-6
"""Share of a level by which float noise may make a whole number of levels smaller."""

_Class = TypeVar("_Class", bound="type[Attack]")


@dataclass(frozen=True)
class Conditions:
    """Under what conditions a batch is attacked.

    Attributes:
        protocol: how success is counted.
        seed: of every draw, together with a triplet's name.
        start: what the attack goes on from, for the same batch; None unless it starts from another attack.
    """

    protocol: Protocol
    seed: int
    start: Found | None = None

    @property
    def strict(self) -> bool:
        """Whether every candidate is rounded to 8 bits before it is tested."""
        return self.protocol == "strict"


@dataclass(frozen=True, kw_only=True)
class Attack(ABC):
    """A way to look for a flip. Its fields are its dials, and calling it attacks.

    A subclass is a frozen dataclass with keyword dials (:mod:`simlib.attacks.dials`), each explained in the
    section ``Attributes`` of its docstring. :func:`register` makes it known by its name to plans and to the
    command line. Dials that have no meaning raise an InputError that names all of them.

    Attributes:
        name: how plans ask for it, such as ``"pgd"``.
        title: how people write it, such as ``"PGD"``.
        bounded_by: what bounds the change, in words.
        citation: key of its paper in the book's bibliography.
        needs_gradient: whether the metric must give a gradient.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    bounded_by: ClassVar[str]
    citation: ClassVar[str] = ""
    needs_gradient: ClassVar[bool] = True

    def __post_init__(self) -> None:
        problems: list[SimlibError] = []
        for each in fields(self):
            try:
                if rule := each.metadata.get(RULE):
                    self._set(each.name, rule(each.name, getattr(self, each.name)))
            except SimlibError as error:
                problems.append(error)
        _raise_all(problems)
        self.settle()

    def settle(self) -> None:  # noqa: B027
        """Refuse dials that have no meaning together, and give those their value that depend on others."""

    @property
    def starts_from(self) -> Attack | None:
        """The attack whose result this one goes on from, if it does not begin at the original images."""
        return None

    @property
    def reach(self) -> float:
        """Largest change of one value that the dials allow, in the units of [0, 1]; infinite without a bound.

        Where it is less than one level of 8 bits, the strict protocol has no image to find.
        """
        return math.inf

    def dials(self) -> dict[str, Any]:
        """Return all dials by name, as numbers, texts, lists and dictionaries: what identifies the attack."""
        return {each.name: _plain(getattr(self, each.name)) for each in fields(self)}

    def validate(self, problem: RankFlip) -> None:  # noqa: B027
        """Refuse, by an InputError, a problem that the attack has no meaning for."""

    def require_power(self, protocol: Protocol) -> None:
        """Refuse, by an InputError, dials that are valid one by one and together can change no image."""
        if protocol == "strict" and self.reach < (1 - _SLACK) / LEVELS:
            told = ", ".join(f"{name}={value}" for name, value in self.dials().items())
            raise InputError(
                f"{self.title} with {told} changes no image: its dials allow {self.reach * LEVELS:.3g} of a "
                "level, and the strict protocol counts images of 8 bits, whose smallest change is 1/255. Use "
                'a larger budget (4 / 255 is four levels), more or larger steps, or protocol="paper".'
            )

    @abstractmethod
    def search(self, batch: FlipBatch, conditions: Conditions) -> Found:
        """Look for flips in one batch, each sample by itself."""

    def __call__(
        self,
        problem: RankFlip,
        *,
        protocol: Protocol = "strict",
        seed: int = 0,
        batch_size: int | None = None,
        progress: bool = False,
        start: AttackResult | None = None,
    ) -> AttackResult:
        """Attack a problem.

        Args:
            problem: what is attacked.
            protocol: how success is counted, see :data:`simlib.attacks.Protocol`.
            seed: decides every draw, together with a triplet's name.
            batch_size: triplets attacked at once, 256 by default; halved where they do not fit the memory.
            progress: show a bar when it takes longer than two seconds.
            start: what :attr:`starts_from` returned for this problem, protocol and seed, to go on from; it is
                run if None. Its evaluations and seconds are counted in either case.

        Raises:
            InputError: an argument has no meaning, or the start is of something else.
            NoGradientError: the metric gives no gradient, and the attack needs one.
            UndefinedDistanceError: the metric gives NaN for an image of a triplet, or for one that was tried.
            OutOfMemoryError: a single triplet does not fit the memory.
            UnknownNameError: there is no such protocol.
        """
        if protocol not in get_args(Protocol):
            raise unknown_name("protocol", str(protocol), get_args(Protocol))
        require_count("seed", seed, 0)
        self.validate(problem)
        self.require_power(protocol)
        self._validate_start(start, problem, protocol, seed)
        with own_settings():
            result = self._run(problem, start, protocol, seed, batch_size, progress)
        return replace(result, seconds=result.seconds + start.seconds) if start else result

    def _run(
        self,
        problem: RankFlip,
        start: AttackResult | None,
        protocol: Protocol,
        seed: int,
        batch_size: int | None,
        progress: bool,
    ) -> AttackResult:
        def search(batch: FlipBatch) -> Found:
            found, first = None, self.starts_from
            if start is not None:
                found = found_before(start, batch.names)
            elif first is not None:
                found = first.search(batch, Conditions(protocol, seed))
            return self.search(batch, Conditions(protocol, seed, found))

        return run_in_batches(problem, search, self, protocol, seed, batch_size, progress)

    def _validate_start(
        self, start: AttackResult | None, problem: RankFlip, protocol: Protocol, seed: int
    ) -> None:
        if start is None:
            return
        if self.starts_from is None:
            raise InputError(f"{self.title} begins at the original images. Leave start out, or give None.")
        expected = (self.starts_from, protocol, seed, problem.triplets.names)
        if (start.attack, start.protocol, start.seed, start.names) != expected:
            raise InputError(
                f"start is {start.attack} of {len(start)} triplets, protocol {start.protocol}, seed "
                f"{start.seed}. Give the result of {self.starts_from} on these triplets, "
                f"protocol {protocol}, seed {seed}, or None."
            )

    def _set(self, name: str, value: object) -> None:
        """Set a dial while the attack is made; afterwards it is frozen."""
        object.__setattr__(self, name, value)


def register(attack: _Class) -> _Class:
    """Make an attack known by its name; an InputError says that another one has it."""
    known = ATTACKS.get(attack.name, attack)
    # A notebook cell that is run again defines its attack anew.
    if (known.__module__, known.__qualname__) != (attack.__module__, attack.__qualname__):
        raise InputError(f"An attack named {attack.name!r} is registered already. Choose another name.")
    ATTACKS[attack.name] = attack
    return attack


def make(name: str, dials: Mapping[str, Any]) -> Attack:
    """Make an attack from its name and plain dials, as plans hold them.

    Raises:
        UnknownNameError, InputError: naming every name that does not exist, and value that has no meaning.
    """
    if name not in ATTACKS:
        raise unknown_name("attack", name, ATTACKS)
    attack = ATTACKS[name]
    known = [each.name for each in fields(attack)]
    problems: list[SimlibError] = [
        unknown_name(f"dial of {name}", dial, known or ["none"]) for dial in dials if dial not in known
    ]
    try:
        made = attack(**{dial: value for dial, value in dials.items() if dial in known})
    except SimlibError as error:
        _raise_all([*problems, error])
        raise
    _raise_all(problems)
    return made


def meanings(attack: type[Attack]) -> dict[str, str]:
    """Return what each dial of an attack means, from the section ``Attributes`` of its docstring."""
    text = inspect.getdoc(attack) or ""
    section = text.partition("\nAttributes:\n")[2].partition("\n\n")[0]
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    return {name: " ".join(meaning.split()) for name, meaning in entries}


def _raise_all(problems: list[SimlibError]) -> None:
    """Raise one error for several: itself if there is one, an InputError that names all if there are more."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise InputError("\n".join(map(str, problems)))


def _plain(value: object) -> object:
    if isinstance(value, Attack):
        return {"attack": value.name, **value.dials()}
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value
