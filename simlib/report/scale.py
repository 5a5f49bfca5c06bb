"""What a benchmark cost, part by part, from the times that its store holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simlib.benchmark.plan import Part
from simlib.benchmark.sealed import about
from simlib.benchmark.selection import groups, is_white_box, numbers, pick, texts
from simlib.errors import InputError
from simlib.files import listed
from simlib.report.benchmark import named
from simlib.report.tables import Table

if TYPE_CHECKING:
    from simlib.report.results import Results


@dataclass(frozen=True)
class Cost:
    """The seconds that an attack on a metric takes for a triplet; all else has empty names."""

    part: str
    metric: str
    attack: str
    seconds: float


def costs(results: Results) -> list[Cost]:
    """List what the attacks of a run took for a triplet, in the order of its tables, and at last all else.

    An attack that both parts ask for is counted once, with the first; and a stAdv that other attacks went on
    from once, with itself. All else is what the shards took beyond their attacks: mostly judging.

    Raises:
        InputError: if rows are missing or damaged, or the store does not say how long they took.
    """
    found: dict[str, Cost] = {}
    for part in results.record.plan.parts():
        found = {**_attacking(part, results), **found}
    order = [recipe.key for recipe in results.record.recipes if recipe.key in found]
    attacks = [found[key] for key in dict.fromkeys(order)]
    seconds = sum(written["seconds"] for _, written in _files(results))
    if not seconds:
        raise InputError(f"The store {results.store.folder} does not say how long its rows took.")
    triplets = sum(size for _, size in results.record.shards)
    rest = seconds / triplets - sum(cost.seconds for cost in attacks)
    return [*attacks, Cost("", "", "", max(rest, 0.0))]


def costs_as_table(spent: Sequence[Cost], threads: int, sizes: Sequence[int]) -> Table:
    """Show what the parts of a plan cost, a row each, and one for all of them together.

    Args:
        spent: as :func:`costs` returns them.
        threads: so many took their seconds together.
        sizes: numbers of triplets, each with a column of core hours.
    """
    parts: dict[str, float] = {}
    for cost in spent:
        parts[_part_of(cost)] = parts.get(_part_of(cost), 0.0) + cost.seconds * threads
    parts["all"] = sum(parts.values())
    header = ("part of the plan", "core s", *(f"core h, {size:,}" for size in sizes))
    rows = ((part, each, *(round(each * size / 3600) for size in sizes)) for part, each in parts.items())
    return Table(header, tuple(rows))


def stored_bytes(results: Results) -> int:
    """Return the size of the files that hold the rows of a run, in bytes."""
    return sum(path.stat().st_size for path, _ in _files(results))


def _part_of(cost: Cost) -> str:
    if not cost.metric:
        return "judging, and all else"
    verb = "white-box" if cost.part == "white-box" else "images for transfer"
    return f"{verb}, {named(cost.metric).title}"


def _attacking(part: Part, results: Results) -> dict[str, Cost]:
    """Return what each attack took for a triplet, by address of its recipe."""
    rows = results.rows(part)
    planned = {attack.title: attack for attack, _, _ in results.record.plan.parts()[part]}
    seconds: dict[tuple[str, str], tuple[str, float]] = {}
    for group in groups(pick(rows, is_white_box(rows)), ("source", "attack")):
        source, title, key = (texts(group, name)[0] for name in ("source", "attack", "recipe"))
        seconds[source, title] = (key, float(numbers(group, "seconds").mean()))
    found: dict[str, Cost] = {}
    for (source, title), (key, its) in seconds.items():
        # The time of an attack holds that of the one it starts from, which another row has already.
        first, protocol = planned[title].made.starts_from, planned[title].protocol
        started = [
            seconds[source, other][1]
            for other, attack in planned.items()
            if (source, other) in seconds and (attack.made, attack.protocol) == (first, protocol)
        ]
        found[key] = Cost(part, source, title, its - max(started, default=0.0))
    return found


def _files(results: Results) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Give the files that hold rows of a run, with what was written about each."""
    shards = {shard for shard, _ in results.record.shards}
    wanted = {recipe.key for recipe in results.record.recipes}
    for path in listed(results.store.folder / "rows", suffix=".parquet"):
        written = about(path)
        if written.get("shard") in shards and wanted.intersection(written["recipes"]):
            yield path, written
