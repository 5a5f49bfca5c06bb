"""What the Parquet files of a store hold: rows of some recipes, or attacked images, of one shard."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from simlib.benchmark.parquet import DamagedError, SealedFolder, about, read_sealed
from simlib.benchmark.rows import SCHEMA
from simlib.benchmark.shard import Done
from simlib.errors import InputError

_IMAGES = pa.schema([("triplet", pa.string()), ("image", pa.binary())])


def write_rows(folder: SealedFolder, done: Done) -> None:
    """Write the rows of a shard.

    Raises:
        InputError: the rows are not those of the recipes and triplets.
        OutputError: they cannot be written.
    """
    n, count = len(done.names), len(done.recipes)
    expected = {
        "recipe": [key for key in done.recipes for _ in range(n)],
        "shard": [done.shard] * n * count,
        "place": list(range(n)) * count,
        "triplet": list(done.names) * count,
    }
    # What is read again relies on all of this, and nothing else would tell a row that is there twice.
    if (
        not done.rows.schema.equals(SCHEMA)
        or len(set(done.recipes)) < count
        or any(done.rows[name].to_pylist() != values for name, values in expected.items())
    ):
        raise InputError(
            f"Shard {done.shard}: the rows are not {count} recipes of {n} triplets each, in order, with the "
            "columns of rows.SCHEMA. Build them with simlib.benchmark.rows."
        )
    told = {
        "shard": done.shard,
        "recipes": list(done.recipes),
        "triplets": n,
        "seconds": done.seconds,
        "where": dict(done.where),
    }
    folder.write(done.shard, done.rows, told)


def recipes_in(path: Path, shard: str, triplets: int) -> list[str]:
    """Return the recipes that a file has rows of, checking all of the file.

    Raises:
        FileNotFoundError: it is not there, or not any more.
        DamagedError: it is not what was written, or holds something else.
        InputError: it cannot be read.
    """
    return _open_rows(path, shard, triplets)[0]


def read_rows(path: Path, shard: str, triplets: int) -> dict[str, pa.Table]:
    """Return the rows of every recipe in a file.

    Raises:
        FileNotFoundError, DamagedError, InputError: as :func:`recipes_in`.
    """
    recipes, file = _open_rows(path, shard, triplets)
    # Without what is told of the file, which tables of several files would contradict each other in.
    table = file.read().replace_schema_metadata()
    return {key: table.slice(number * triplets, triplets) for number, key in enumerate(recipes)}


def join_rows(pieces: Mapping[str, pa.Table], titles: Sequence[tuple[str, str]]) -> pa.Table:
    """Join the rows of recipes: triplet by triplet, each with its title as ``attack``.

    Args:
        pieces: rows of one shard, by recipe.
        titles: key and title of each recipe wanted, in order; those without rows are left out.
    """
    there = [(key, title) for key, title in titles if key in pieces]
    if not there:
        return SCHEMA.empty_table()
    table = pa.concat_tables([pieces[key] for key, _ in there])
    triplets = len(table) // len(there)
    names = pa.array([title for _, title in there for _ in range(triplets)], pa.string())
    table = table.set_column(table.schema.get_field_index("attack"), "attack", names)
    return table.take(np.arange(len(table)).reshape(len(there), triplets).T.ravel())


def write_images(
    folder: SealedFolder, shard: str, images_key: str, names: Sequence[str], levels: Tensor
) -> None:
    """Write attacked images, uint8 (N, 3, H, W), as PNG.

    Raises:
        OutputError: they cannot be written.
    """
    table = pa.table([list(names), [_png(each) for each in levels]], schema=_IMAGES)
    folder.write(f"{shard}-{images_key}", table, {"shard": shard, "images": images_key})


def read_images(path: Path, shard: str, images_key: str, names: Sequence[str]) -> Tensor:
    """Return the attacked images in a file, uint8 (N, 3, H, W).

    Raises:
        FileNotFoundError: it is not there, or not any more.
        DamagedError: it is not what was written, or holds something else.
        InputError: it cannot be read.
    """
    file = read_sealed(path)
    told = about(file)
    table = file.read()
    fits = told.get("shard") == shard and told.get("images") == images_key
    if not fits or not table.schema.equals(_IMAGES) or table["triplet"].to_pylist() != list(names):
        raise DamagedError(f"{path} does not hold the images {images_key} of the triplets of shard {shard}.")
    levels = [np.asarray(Image.open(io.BytesIO(png))) for png in table["image"].to_pylist()]
    return torch.from_numpy(np.stack(levels)).permute(0, 3, 1, 2).contiguous()


def _open_rows(path: Path, shard: str, triplets: int) -> tuple[list[str], pq.ParquetFile]:
    file = read_sealed(path)
    told = about(file)
    recipes = told.get("recipes", ())
    fits = told.get("shard") == shard and told.get("triplets") == triplets
    if not fits or not file.schema_arrow.equals(SCHEMA) or file.metadata.num_rows != triplets * len(recipes):
        raise DamagedError(f"{path} does not hold rows of the {triplets} triplets of shard {shard}.")
    return recipes, file


def _png(levels: Tensor) -> bytes:
    """Return levels of 8 bits (3, H, W) as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(levels.permute(1, 2, 0).cpu().numpy()).save(file, format="PNG")
    return file.getvalue()
