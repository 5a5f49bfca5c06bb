"""Rows of a benchmark by hand or by chance, as a store returns them, and counts of them by plain loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from simlib.benchmark.rows import SCHEMA
from tests.rounding import tolerances

NAN = float("nan")
_OF_THE_ATTACK = ("flipped", "margin", "steps", "forwards", "backwards", "linf", "l2", "rmse", "seconds")
"""What is null unless the target is the source."""


def rows_of(source: str, attack: str, target: str | None = None, n: int = 4, **columns: Any) -> pd.DataFrame:
    """Make rows of one attack on one metric, judged by one.

    Args:
        source: the metric attacked.
        attack: the title.
        target: the judge; the source if None.
        n: number of rows.
        **columns: one value for all rows, or n values; the rest has plain values: every triplet with a
            photograph of its own, ranked as labelled, not flipped.
    """
    return _table(source, attack, target or source, n, columns).to_pandas()


def _table(source: str, attack: str, target: str, n: int, columns: dict[str, Any]) -> pa.Table:
    fixed: dict[str, Any] = {
        "recipe": f"{source} {attack} {target}",
        "shard": "shard",
        "place": range(n),
        "triplet": [f"triplet {number}" for number in range(n)],
        "photograph": [f"photograph {number}" for number in range(n)],
        "distortion0": "Gaussian blur 0.40",
        "distortion1": "JPEG 0.80",
        "judge": 1.0,
        "label_source": "constructed",
        "source": source,
        "attack": attack,
        "parameters": "{}",
        "protocol": "strict",
        "attacked": "p1",
        "target": target,
        "distance0": 0.5,
        "distance1": 0.25,
        "agrees": True,
        "flipped_8bit": False,
        "flipped": False,
        **dict.fromkeys(("attacked0", "attacked1", "margin", "linf", "l2", "rmse", "seconds"), 0.0),
        **dict.fromkeys(("steps", "forwards", "backwards"), 1),
    }
    arrays = []
    for field in SCHEMA:
        value: Any = columns.get(field.name, fixed[field.name])
        if field.name in _OF_THE_ATTACK and target != source:
            value = [None] * n
        values = [value] * n if isinstance(value, str | bool | int | float) else list(value)
        arrays.append(pa.array(values, field.type))
    return pa.table(arrays, schema=SCHEMA)


def joined(*parts: pd.DataFrame) -> pd.DataFrame:
    """Join rows as a store does: triplet by triplet."""
    rows = pd.concat(parts, ignore_index=True)
    return rows.sort_values(["shard", "place"], kind="stable", ignore_index=True)


def random_rows(
    seed: int,
    n: int = 30,
    metrics: Sequence[str] = ("a", "b", "c"),
    attacks: Sequence[str] = ("PGD", "stAdv"),
    photographs: int = 5,
) -> pd.DataFrame:
    """Draw rows of every attack on every metric, judged by every metric; about half of them have no label."""
    rng = np.random.default_rng(seed)
    judge = rng.choice([0.0, 0.4, 0.5, 1.0, NAN, NAN], n)
    photograph = [f"photograph {each}" for each in rng.integers(0, photographs, n)]
    distances = {name: rng.integers(0, 4, (2, n)) / 4 for name in metrics}
    parts = []
    for source in metrics:
        for attack in attacks:
            for target in (source, *(name for name in metrics if name != source)):
                ranks, own = ((d[0] > d[1]) for d in (distances[target], distances[source]))
                flipped = rng.random(n) < 0.6
                drawn = {
                    "judge": judge,
                    "photograph": photograph,
                    "distance0": distances[target][0],
                    "distance1": distances[target][1],
                    "agrees": ranks == own,
                    "flipped": flipped,
                    "flipped_8bit": flipped & (rng.random(n) < 0.8),
                    **{name: rng.integers(0, 30, n) for name in ("steps", "forwards", "backwards")},
                    **{name: rng.random(n) for name in ("rmse", "linf", "seconds")},
                }
                parts.append(_table(source, attack, target, n, drawn))
    return joined(pa.concat_tables(parts).to_pandas())


def each_of(rows: pd.DataFrame) -> list[Any]:
    """Return the rows one by one, columns as attributes."""
    return list(rows.itertuples())


def group_of(row: Any) -> str:
    """Say by a plain rule whether a metric ranks a triplet as labelled: accurate, other or unlabelled."""
    if row.judge != row.judge:
        return "unlabelled"
    label, rank = ("p1" if more else "p0" for more in (row.judge > 0.5, row.distance0 > row.distance1))
    return "accurate" if label == rank else "other"


def counts(row: Any) -> bool:
    """Say by a plain rule whether a triplet counts in the transfer matrix."""
    return bool(row.agrees) and group_of(row) != "other"


def assert_same_but_for_rounding(found: Any, expected: Any) -> None:
    """Compare rows that were computed in batches of other sizes, in which float32 may round otherwise.

    Distances of the same images are apart by the tolerance at most, and ranks and flips agree where they are
    clearer than that. An attack may amplify the rounding until it finds another image; so it may be
    another distance in one row of twenty, and the others are compared by their number only.
    """
    keys = ["recipe", "triplet", "attacked", "agrees", "judge"]
    noise = expected["target"].map(tolerances(expected))

    def apart(name: str) -> Any:
        return (found[name] - expected[name]).abs() > noise

    def clear(first: str, second: str) -> Any:
        return (expected[first] - expected[second]).abs() > 2 * noise

    assert clear("distance0", "distance1").all()
    pd.testing.assert_frame_equal(found[keys], expected[keys])
    assert not (apart("distance0") | apart("distance1")).any()
    same = ~(apart("attacked0") | apart("attacked1"))
    assert same.mean() >= 0.95
    asked = same & clear("attacked0", "attacked1")
    assert asked.mean() > 0.8
    assert (found["flipped_8bit"] == expected["flipped_8bit"])[asked].all()
    own = expected["steps"].notna()
    assert (found["steps"] == expected["steps"])[own].mean() >= 0.95
    assert abs(found["flipped_8bit"].mean() - expected["flipped_8bit"].mean()) <= 0.05
