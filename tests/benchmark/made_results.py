"""Results of a benchmark without computing any: what an engine would hand back, of random numbers."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from simlib.attacks import PGD
from simlib.benchmark.plan import Data, Part, Plan, PlannedAttack, TransferSet, WhiteBox
from simlib.benchmark.record import RecordedRecipe, RunRecord
from simlib.benchmark.rows import SCHEMA
from simlib.benchmark.shard import Done

ATTACK = PlannedAttack.of(PGD(steps=2))
RECIPES = ("aa00", "bb11", "cc22")
"""Keys: l2 on itself, ssim on itself, and ssim judging the images of l2."""


def made_plan(n: int | None = 6) -> Plan:
    return Plan(
        name="made",
        data=Data(n=n, seed=3),
        white_box=WhiteBox(metrics=("l2", "ssim"), attacks=(ATTACK,)),
        transfer=TransferSet(sources=("l2",), targets=("ssim",), attacks=(ATTACK,)),
        shard_size=3,
    )


def made_record(shards: Sequence[tuple[str, int]] = (("s1", 3), ("s2", 3)), **changed: Any) -> RunRecord:
    recipes: tuple[tuple[str, Part, str, str], ...] = (
        ("aa00", "white-box", "l2", "l2"),
        ("bb11", "white-box", "ssim", "ssim"),
        ("aa00", "transfer", "l2", "l2"),
        ("cc22", "transfer", "l2", "ssim"),
    )
    fields: dict[str, Any] = {
        "key": "0123",
        "plan": made_plan(),
        "recipes": tuple(
            RecordedRecipe(key=key, part=part, title="PGD", source=source, target=target)
            for key, part, source, target in recipes
        ),
        "shards": tuple(shards),
        "provenance": {"device": "cpu (größer)", "code": "f00"},
        "finished": True,
        "created": "2024-05-06T07:08:09+00:00",
    }
    return RunRecord(**fields | changed)


def made_done(
    shard: str = "s1", recipes: Sequence[str] = RECIPES, n: int = 3, *, seed: int = 0, images: bool = False
) -> Done:
    """Fill every column; the first ``judge`` is NaN, and what an attack finds out is null for ``cc22``."""
    rng = np.random.default_rng([seed, *shard.encode()])
    size, names = n * len(recipes), tuple(f"triplet-{shard}-{number}" for number in range(n))
    fixed = {
        "recipe": np.repeat(recipes, n).tolist(),
        "shard": [shard] * size,
        "place": list(range(n)) * len(recipes),
        "triplet": names * len(recipes),
        "judge": ([float("nan")] + [1.0] * (n - 1)) * len(recipes),
    }
    unknown = np.repeat([key == "cc22" for key in recipes], n)
    columns = []
    for index, field in enumerate(SCHEMA):
        if pa.types.is_string(field.type):
            values = rng.choice([f"{field.name} {each}" for each in "xyzä"], size).tolist()
        elif pa.types.is_boolean(field.type):
            values = rng.random(size) < 0.5
        else:
            values = (100 * rng.standard_normal(size)).astype(field.type.to_pandas_dtype())
        mask = unknown if index >= SCHEMA.get_field_index("flipped") else None
        columns.append(pa.array(fixed.get(field.name, values), field.type, mask=mask))
    levels = torch.from_numpy(rng.integers(0, 256, (n, 3, 16, 20), dtype=np.uint8))
    kept = {"1mages": levels} if images else {}
    table = pa.table(columns, schema=SCHEMA)
    return Done(shard, 0, tuple(recipes), table, kept, names, 1.5, {"device": "cpu"})


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int, options: str = "") -> Iterator[Path]:
    """Mount a file system of this size on a folder; skip the test where that is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k{options}", "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    """Change the options of what :func:`small_disk` mounted, such as ``ro`` or ``size=1m``."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)
