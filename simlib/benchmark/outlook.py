"""What a plan comes to before it is run: how many rows, and how many of them the store has already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from simlib.benchmark.identity import Recipe, recipes_of
from simlib.benchmark.plan import Data, Part, Plan
from simlib.benchmark.store import Store
from simlib.triplets.sources import drawn


@dataclass(frozen=True)
class PartOutlook:
    """One part of a plan in numbers.

    Attributes:
        part: which part.
        sources: metrics that are attacked.
        attacks: attacks on each.
        targets: metrics that judge the images of others; 0 for the white-box part.
        rows: of the part.
        stored: how many of them are in the store already, as far as that is known.
    """

    part: Part
    sources: int
    attacks: int
    targets: int
    rows: int
    stored: int


@dataclass(frozen=True)
class Outlook:
    """A plan in numbers.

    Attributes:
        triplets: how many there are.
        parts: what is asked for; both may ask for the same.
        work: what is to be computed: every recipe once, and for how many triplets it is missing.
    """

    triplets: int
    parts: tuple[PartOutlook, ...]
    work: tuple[tuple[Recipe, int], ...]


def outlook(plan: Plan, folder: Path | str | None, device: torch.device) -> Outlook:
    """Count what a plan asks for and what of it is stored; no image is read.

    What is stored is known of triplets that a plan with the same data and shards was run on before. What
    else there may be shows only when the images are read.

    Args:
        plan: a plan that is valid.
        folder: the store, which need not exist; None for none.
        device: where the rest is computed.

    Raises:
        InputError: if the folder holds a store of another format, or something else.
        OutputError: if a damaged file cannot be removed from it.
    """
    recipes = recipes_of(plan, device)
    n = len(drawn(plan.data.source, plan.data.n, seed=plan.data.seed))
    stored = _stored(plan, n, Path(folder)) if folder is not None else {}
    own = {recipe.key: recipe for part in recipes.values() for recipe in part}
    return Outlook(
        triplets=n,
        parts=tuple(_part(part, each, n, stored) for part, each in recipes.items()),
        work=tuple((recipe, n - stored.get(key, 0)) for key, recipe in own.items()),
    )


def _part(part: Part, recipes: Sequence[Recipe], n: int, stored: Mapping[str, int]) -> PartOutlook:
    targets = {recipe.target for recipe in recipes if not recipe.white_box}
    return PartOutlook(
        part=part,
        sources=len({recipe.source for recipe in recipes}),
        attacks=len({recipe.attack.title for recipe in recipes}),
        targets=len(targets),
        rows=n * len(recipes),
        stored=sum(stored.get(recipe.key, 0) for recipe in recipes),
    )


def _stored(plan: Plan, n: int, folder: Path) -> dict[str, int]:
    """Count the triplets that are stored, by recipe."""
    found: dict[str, int] = {}
    if not (folder / "runs").is_dir():
        return found
    store = Store(folder, create=False)
    for shard, triplets in _known_shards(store, plan, n).items():
        for key in store.present(shard, triplets):
            found[key] = found.get(key, 0) + triplets
    return found


def _known_shards(store: Store, plan: Plan, n: int) -> dict[str, int]:
    """Return those of a plan's shards, and their sizes, that other runs have told of.

    Of one set and seed, a smaller draw begins a larger one; so all shards that end within n are shared, but
    for one that is smaller than the others and not the last.
    """
    found: dict[str, int] = {}
    for record in store.records():
        if _drawn_alike(record.plan.data, plan.data) and record.plan.shard_size == plan.shard_size:
            end = 0
            for shard, size in record.shards:
                end += size
                if end == n or (size == plan.shard_size and end < n):
                    found[shard] = size
    return found


def _drawn_alike(first: Data, second: Data) -> bool:
    return (first.source, first.seed) == (second.source, second.seed)
