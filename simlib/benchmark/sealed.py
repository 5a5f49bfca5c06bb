"""Parquet files of a store: each is whole or not there, and its name ends with the checksum of its bytes.

A file is compared with its name before anything of it is read. Parquet's own checksums, which are written
too, for other readers, cover the pages but neither their headers nor the footer.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from simlib.benchmark.rows import SCHEMA
from simlib.benchmark.shard import Done
from simlib.errors import InputError
from simlib.files import listed, make_folder, written_whole
from simlib.given import pointer_hint

_ABOUT = b"simlib"
_IMAGES = pa.schema([("triplet", pa.string()), ("image", pa.binary())])


class DamagedError(InputError):
    """A file is not what was written under its name."""


def files_of(folder: Path, shard: str) -> list[Path]:
    """List the files of a shard in a folder, as :func:`simlib.files.listed` does."""
    return listed(folder, f"{shard}-", ".parquet")


def remove_leftovers(folder: Path, shard: str) -> None:
    """Remove what a killed process left half-written; only while the shard is claimed."""
    for leftover in folder.glob(f".{shard}-*.part"):
        with contextlib.suppress(OSError):
            leftover.unlink()


def write_rows(folder: Path, done: Done) -> None:
    """Write the rows of a shard; an InputError says that they are not those of its recipes and triplets."""
    n, count = len(done.names), len(done.recipes)
    expected = {
        "recipe": [key for key in done.recipes for _ in range(n)],
        "shard": [done.shard] * n * count,
        "place": list(range(n)) * count,
        "triplet": list(done.names) * count,
    }
    # Reading relies on all of this, and nothing else would show a row that is there twice.
    if (
        not done.rows.schema.equals(SCHEMA)
        or len(set(done.recipes)) < count
        or any(done.rows[name].to_pylist() != values for name, values in expected.items())
    ):
        raise InputError(
            f"Shard {done.shard}: the rows are not {count} recipes of {n} triplets each, in order, with the "
            "columns of rows.SCHEMA. Build them with simlib.benchmark.rows."
        )
    made = {"recipes": list(done.recipes), "triplets": n, "seconds": done.seconds, "where": dict(done.where)}
    _write(folder, done.shard, done.rows, {"shard": done.shard, **made})


def recipes_in(path: Path, shard: str, triplets: int) -> list[str]:
    """Return the recipes that a file has rows of, after a check of all of the file.

    Raises:
        FileNotFoundError: it is not there, or not any more.
        DamagedError: it is not what was written, or holds something else.
        InputError: it cannot be read.
    """
    return _open_rows(path, shard, triplets)[0]


def read_rows(path: Path, shard: str, triplets: int) -> dict[str, pa.Table]:
    """Return the rows of every recipe in a file; errors as of :func:`recipes_in`."""
    recipes, file = _open_rows(path, shard, triplets)
    # Tables are joined only when their metadata agree, and each file has its own.
    table = file.read().replace_schema_metadata()
    return {key: table.slice(number * triplets, triplets) for number, key in enumerate(recipes)}


def join_rows(pieces: Mapping[str, pa.Table], titles: Sequence[tuple[str, str]]) -> pa.Table:
    """Join rows of one shard: triplet by triplet, and for each the recipes as listed, title as ``attack``."""
    there = [(key, title) for key, title in titles if key in pieces]
    if not there:
        return SCHEMA.empty_table()
    table = pa.concat_tables([pieces[key] for key, _ in there])
    triplets = len(table) // len(there)
    names = pa.array([title for _, title in there for _ in range(triplets)], pa.string())
    table = table.set_column(table.schema.get_field_index("attack"), "attack", names)
    return table.take(np.arange(len(table)).reshape(len(there), triplets).T.ravel())


def write_images(folder: Path, shard: str, images_key: str, names: Sequence[str], levels: Tensor) -> None:
    """Write attacked images, uint8 (N, 3, H, W), as PNG."""
    table = pa.table([list(names), [_png(each) for each in levels]], schema=_IMAGES)
    _write(folder, f"{shard}-{images_key}", table, {"shard": shard, "images": images_key})


def read_images(path: Path, shard: str, images_key: str, names: Sequence[str]) -> Tensor:
    """Return the attacked images in a file, uint8 (N, 3, H, W); errors as of :func:`recipes_in`."""
    file, about = _open(path)
    table = file.read()
    fits = about.get("shard") == shard and about.get("images") == images_key
    if not fits or not table.schema.equals(_IMAGES) or table["triplet"].to_pylist() != list(names):
        raise DamagedError(f"{path} does not hold the images {images_key} of the triplets of shard {shard}.")
    levels = [np.asarray(Image.open(io.BytesIO(png))) for png in table["image"].to_pylist()]
    return torch.from_numpy(np.stack(levels)).permute(0, 3, 1, 2).contiguous()


def about(path: Path) -> dict[str, Any]:
    """Return what was written about a file: shard, recipes, seconds, and where; errors as above."""
    return _open(path)[1]


def _write(folder: Path, stem: str, table: pa.Table, about: Mapping[str, object]) -> None:
    sink = pa.BufferOutputStream()
    described = table.replace_schema_metadata({_ABOUT: json.dumps(about)})
    pq.write_table(described, sink, compression="zstd", write_page_checksum=True)
    content = sink.getvalue()
    target = make_folder(folder) / f"{stem}-{_digest(content)}.parquet"
    with written_whole(target) as temporary, temporary.open("wb") as file:
        file.write(content)


def _open(path: Path) -> tuple[pq.ParquetFile, dict[str, Any]]:
    """Read a file entirely, check it, and return it with what was written about it."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}. Correct that, or remove the file.") from error
    if path.stem.rpartition("-")[2] != _digest(content):
        hint = pointer_hint(path)
        raise DamagedError(
            f"{path} is damaged: its content does not fit the checksum in its name. {hint}".rstrip()
        )
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
    except (pa.ArrowException, OSError) as error:
        raise DamagedError(f"{path} is no Parquet file: {error}.") from error
    written = (file.schema_arrow.metadata or {}).get(_ABOUT)
    return file, json.loads(written) if written else {}


def _open_rows(path: Path, shard: str, triplets: int) -> tuple[list[str], pq.ParquetFile]:
    file, about = _open(path)
    recipes = about.get("recipes", [])
    fits = about.get("shard") == shard and about.get("triplets") == triplets
    if not fits or not file.schema_arrow.equals(SCHEMA) or file.metadata.num_rows != triplets * len(recipes):
        raise DamagedError(f"{path} does not hold rows of the {triplets} triplets of shard {shard}.")
    return recipes, file


def _digest(content: bytes | pa.Buffer) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _png(levels: Tensor) -> bytes:
    """Return levels of 8 bits (3, H, W) as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(levels.permute(1, 2, 0).cpu().numpy()).save(file, format="PNG")
    return file.getvalue()
