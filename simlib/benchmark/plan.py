"""What a benchmark computes: which triplets, which metrics attacked how, and which judge the images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from simlib.attacks import Protocol, Target

SHARD_SIZE = 64
"""Triplets that are computed together, and lost together when a run is killed."""


@dataclass(frozen=True)
class Data:
    """Which triplets.

    Attributes:
        source: as of :func:`simlib.triplets.draw`: ``"photos"``, ``"bapps"`` or a path.
        n: how many; None for all, where there is an end to them.
        seed: of the draw.
    """

    source: str = "photos"
    n: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class PlannedAttack:
    """One attack with its parameters.

    Attributes:
        title: how tables call it, such as ``"PGD(10)"``; unique among the attacks of a table.
        attack: its name in ``simlib.attacks.ATTACKS``.
        protocol: how success is counted.
        target: which image is attacked.
        parameters: further keyword parameters of the attack.
    """

    title: str
    attack: str
    protocol: Protocol
    target: Target = "closer"
    parameters: Mapping[str, object] = field(default_factory=dict)


Part = Literal["white-box", "transfer"]
"""The two tables of a benchmark."""

Attacked = tuple[PlannedAttack, str, tuple[str, ...]]
"""An attack, the metric that images are made on, and the metrics that judge them, the source first."""


@dataclass(frozen=True)
class WhiteBox:
    """Every metric attacked with every attack.

    Attributes:
        metrics: names of the metrics.
        attacks: the attacks.
    """

    metrics: tuple[str, ...]
    attacks: tuple[PlannedAttack, ...]


@dataclass(frozen=True)
class TransferSet:
    """Images made on some metrics, shown to others.

    Attributes:
        sources: names of the metrics that images are made on.
        targets: names of the metrics that judge them; a source always judges its own.
        attacks: the attacks.
        chosen_by: title of the attack whose flips make up the published choice of triplets; empty where
            there is no such choice.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    attacks: tuple[PlannedAttack, ...]
    chosen_by: str = ""


@dataclass(frozen=True)
class Plan:
    """A benchmark, complete: with the same code and weights it gives the same rows.

    Attributes:
        name: how it is called.
        data: which triplets.
        white_box: what the white-box table holds; None for no such table.
        transfer: what the transfer matrix holds; None likewise.
        seed: of the attacks.
        shard_size: triplets that are computed together.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        keep_images: whether the attacked images are stored, so that further targets can judge them later;
            of what is computed from then on.
    """

    name: str
    data: Data
    white_box: WhiteBox | None = None
    transfer: TransferSet | None = None
    seed: int = 0
    shard_size: int = SHARD_SIZE
    device: str = "auto"
    keep_images: bool = False

    def parts(self) -> dict[Part, list[Attacked]]:
        """List, for each table, every attack with the metric it is made on and the metrics that judge."""
        found: dict[Part, list[Attacked]] = {}
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
        judging = (targets for pairs in self.parts().values() for _, _, targets in pairs)
        return list(dict.fromkeys(name for targets in judging for name in targets))
