"""What a benchmark cost, part by part, from the times that its store holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simlib.benchmark.counting import alike, is_white_box, numbers, pick, texts
from simlib.benchmark.parquet import about, read_sealed
from simlib.benchmark.plan import Part
from simlib.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from simlib.report.results import Results


@dataclass(frozen=True)
class Cost:
    """What a part of a benchmark takes.

    Attributes:
        part: ``"white-box"`` or ``"transfer"``; empty for what belongs to neither.
        metric: name of the metric that is attacked; empty likewise.
        attack: title of the attack; empty likewise.
        seconds: for a triplet.
    """

    part: str
    metric: str
    attack: str
    seconds: float


def costs(results: Results) -> list[Cost]:
    """List what the attacks of a run took for a triplet, in the order of its tables, and at last all else.

    An attack that both parts ask for is counted once, with the first; and a stAdv that other attacks went on
    from once, with itself. All else is judging, mostly: every metric looks at all images. It is what the
    shards took beyond their attacks, and has neither metric nor attack.

    Raises:
        InputError: if rows are missing or damaged, or the store does not say how long they took.
    """
    found: dict[str, Cost] = {}
    for part in results.record.plan.parts():
        found = {**_attacking(part, results.rows(part)), **found}
    order = [recipe.key for recipe in results.record.recipes if recipe.key in found]
    attacks = [found[key] for key in dict.fromkeys(order)]
    rest = _seconds_of_shards(results) - sum(cost.seconds for cost in attacks)
    return [*attacks, Cost("", "", "", max(rest, 0.0))]


def stored_bytes(results: Results) -> int:
    """Return the size of the files that hold the rows of a run, in bytes."""
    return sum(path.stat().st_size for path, _ in _files(results))


def _attacking(part: Part, rows: pd.DataFrame) -> dict[str, Cost]:
    """Return what each attack took for a triplet, by address of its recipe."""
    found: dict[str, Cost] = {}
    starts: list[tuple[str, str, dict[str, object], float]] = []
    parts = alike(pick(rows, is_white_box(rows)), ("source", "attack"))
    for group in parts:
        first = {name: texts(group, name)[0] for name in ("recipe", "source", "attack", "protocol")}
        parameters = json.loads(texts(group, "parameters")[0])
        cost = Cost(part, first["source"], first["attack"], float(numbers(group, "seconds").mean()))
        found[first["recipe"]] = cost
        starts.append((first["recipe"], first["protocol"], parameters, cost.seconds))
    for key, protocol, parameters, seconds in starts:
        started = [
            other_seconds
            for other, other_protocol, its, other_seconds in starts
            if other != key
            and found[other].metric == found[key].metric
            and other_protocol == protocol
            and "weight_flow" in its
            and its.items() < parameters.items()
        ]
        # stAdv+PGD tells the time of the stAdv it went on from, which was run for another row.
        found[key] = replace(found[key], seconds=seconds - max(started, default=0.0))
    return found


def _seconds_of_shards(results: Results) -> float:
    """Return how long the shards of a run took for a triplet, all work on them together."""
    seconds = sum(told["seconds"] for _, told in _files(results))
    if not seconds:
        raise InputError(f"The store {results.store.folder} does not say how long its rows took.")
    return seconds / sum(size for _, size in results.record.shards)


def _files(results: Results) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Give the files that hold rows of a run, with what they tell of themselves."""
    shards = {shard for shard, _ in results.record.shards}
    wanted = {recipe.key for recipe in results.record.recipes}
    for path in sorted((results.store.folder / "rows").glob("*.parquet")):
        told = about(read_sealed(path))
        if told.get("shard") in shards and wanted.intersection(told["recipes"]):
            yield path, told
