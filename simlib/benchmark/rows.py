"""The rows of a benchmark: one for each attack, source, target and triplet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from simlib.triplets import Triplets

if TYPE_CHECKING:
    from simlib.benchmark.recipe import Recipe

SCHEMA = pa.schema(
    [
        # what the row belongs to
        ("recipe", pa.string()),
        ("shard", pa.string()),
        ("place", pa.int32()),
        # the triplet
        ("triplet", pa.string()),
        ("photograph", pa.string()),
        ("distortion0", pa.string()),
        ("distortion1", pa.string()),
        ("judge", pa.float32()),
        ("label_source", pa.string()),
        # what was done
        ("source", pa.string()),
        ("attack", pa.string()),
        ("parameters", pa.string()),
        ("protocol", pa.string()),
        ("attacked", pa.string()),
        ("target", pa.string()),
        # what the target measures
        ("distance0", pa.float32()),
        ("distance1", pa.float32()),
        ("attacked0", pa.float32()),
        ("attacked1", pa.float32()),
        ("agrees", pa.bool_()),
        ("flipped_8bit", pa.bool_()),
        # what the attack reports; null unless the target is the source
        ("flipped", pa.bool_()),
        ("margin", pa.float32()),
        ("steps", pa.int32()),
        ("forwards", pa.int32()),
        ("backwards", pa.int32()),
        ("linf", pa.float32()),
        ("l2", pa.float32()),
        ("rmse", pa.float32()),
        ("seconds", pa.float32()),
    ]
)
"""Columns of a result file.

recipe: address of everything but the triplets that determines the row (:mod:`simlib.benchmark.recipe`).
shard, place: address of the triplets that were computed together, and the position among them, from 0.
triplet, photograph, distortion0, distortion1, judge, label_source: as in ``Triplets``; judge is NaN where
    nobody was asked.
source: name of the metric that was attacked. target: name of the metric that measured.
attack, parameters, protocol: title of the attack; all its dials, as JSON; how success was counted.
attacked: the image that was changed: p0, p1 or ref.
distance0, distance1: distances of p0 and p1 from the reference, by the target, before the attack.
attacked0, attacked1: the same with the attacked image in place, rounded to 8 bits.
agrees: whether the target ranks the unattacked images as the source does.
flipped_8bit: whether the attacked image, rounded to 8 bits, reverses the target's own rank.
flipped: whether the protocol counts the source's rank as flipped. margin: of the source, on the image as
    returned, not rounded. steps, forwards, backwards: as in ``AttackResult``.
linf, rmse: largest change and root mean squared change, in levels of 255; rmse after rounding to 8 bits.
l2: Euclidean length of the change, in the units of [0, 1].
seconds: the attack's time for the shard, divided by its triplets.
"""


def assemble(
    shard: str, triplets: Triplets, columns: Mapping[Recipe, Mapping[str, NDArray[np.generic]]]
) -> pa.Table:
    """Make the rows of N triplets, recipe by recipe, with what is known of the triplets and of the recipe.

    Args:
        shard: address of the triplets.
        triplets: N of them.
        columns: for each recipe what was computed, arrays (N,) by the name of the column; ``attacked_p1``
            says which image was attacked, where it was not the reference.
    """
    known = _known(shard, triplets)
    tables = [_of_recipe(recipe, known, computed, len(triplets)) for recipe, computed in columns.items()]
    return pa.concat_tables(tables).combine_chunks()


def _known(shard: str, triplets: Triplets) -> dict[str, pa.Array]:
    n = len(triplets)
    return {
        "shard": _repeated(shard, n),
        "place": pa.array(np.arange(n, dtype=np.int32)),
        "triplet": pa.array(triplets.names),
        "photograph": pa.array(triplets.photographs),
        "distortion0": pa.array([first for first, _ in triplets.distortions]),
        "distortion1": pa.array([second for _, second in triplets.distortions]),
        # NaN stays NaN: judge is a number or not one, and never null.
        "judge": pa.array(triplets.judge.cpu().float().numpy(), from_pandas=False),
        "label_source": _repeated(triplets.label_source, n),
    }


def _of_recipe(
    recipe: Recipe, known: Mapping[str, pa.Array], computed: Mapping[str, NDArray[np.generic]], n: int
) -> pa.Table:
    planned = recipe.attack
    which = np.where(computed["attacked_p1"], "p1", "p0") if planned.target != "reference" else ["ref"] * n
    described = {
        "recipe": _repeated(recipe.key, n),
        "source": _repeated(recipe.source, n),
        "attack": _repeated(planned.title, n),
        "parameters": _repeated(json.dumps(planned.made.dials(), sort_keys=True), n),
        "protocol": _repeated(planned.protocol, n),
        "attacked": pa.array(which),
        "target": _repeated(recipe.target, n),
    }
    given = {**known, **described}
    return pa.table(
        [
            given[each.name]
            if each.name in given
            else pa.array(computed[each.name], from_pandas=False).cast(each.type)
            if each.name in computed
            else pa.nulls(n, each.type)
            for each in SCHEMA
        ],
        schema=SCHEMA,
    )


def _repeated(text: str, n: int) -> pa.Array:
    return pa.repeat(pa.scalar(text), n)
