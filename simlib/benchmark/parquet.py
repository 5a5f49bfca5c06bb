"""Parquet files that are whole or not there: the name of each ends with the checksum of its bytes.

A file is compared with its name before anything of it is read. Parquet's own checksums, which are written
too, for other readers, cover the pages but neither their headers nor the footer.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from simlib.errors import InputError, OutputError
from simlib.files import written_whole

_ABOUT = b"simlib"
_NAME = re.compile(r"(?P<shard>\w+)(-\w+)*-(?P<digest>[0-9a-f]{16})\.parquet")
_LEFTOVER = re.compile(r"\.(?P<shard>\w+)-.*\.part")
# Longer than the tick of any file system's clock, in nanoseconds.
_TICK = 3_000_000_000


class DamagedError(InputError):
    """A file is not what was written under its name."""


class SealedFolder:
    """A folder of Parquet files, each of which belongs to a shard.

    Args:
        path: the folder; made when the first file is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._changed: int | None = None
        self._files: dict[str, list[Path]] = {}
        self._leftovers: dict[str, list[Path]] = {}

    def write(self, stem: str, table: pa.Table, about: Mapping[str, object]) -> Path:
        """Write a table; a half-written file never bears its name.

        Args:
            stem: what the name begins with: the address of the shard, and what else tells files apart.
            table: the content.
            about: what is told of it, as JSON, in the metadata of the schema under the key ``simlib``.

        Raises:
            OutputError: the file cannot be written; nothing is left of it.
        """
        sink = pa.BufferOutputStream()
        described = table.replace_schema_metadata({_ABOUT: json.dumps(about)})
        pq.write_table(described, sink, compression="zstd", write_page_checksum=True)
        content = sink.getvalue()
        target = make_folder(self.path) / f"{stem}-{_digest(content)}.parquet"
        with written_whole(target) as temporary, temporary.open("wb") as file:
            file.write(content)
        return target

    def of(self, shard: str) -> list[Path]:
        """List the files of a shard, in a fixed order.

        Raises:
            InputError: the folder cannot be read.
        """
        self._look()
        return self._files.get(shard, [])

    def clean(self, shard: str) -> None:
        """Remove what a killed process left half-written; only while the shard is claimed."""
        self._look()
        for leftover in self._leftovers.get(shard, []):
            with contextlib.suppress(OSError):
                leftover.unlink()

    def _look(self) -> None:
        """List the folder, unless nothing was added or removed since it was last listed.

        A finished store of many shards is asked for each of them; listing all files each time would make
        that quadratic.
        """
        try:
            changed = self.path.stat().st_mtime_ns
            if changed == self._changed:
                return
            now = time.time_ns()
            names = sorted(os.listdir(self.path))
        except FileNotFoundError:
            changed, now, names = 0, 0, []
        except OSError as error:
            raise InputError(
                f"The folder {self.path} cannot be read: {error}. Correct that first."
            ) from error
        # What changed a moment ago may change again without another time stamp.
        self._changed = changed if now - changed > _TICK else None
        self._files = _by_shard(_NAME, names, self.path)
        self._leftovers = _by_shard(_LEFTOVER, names, self.path)


def read_sealed(path: Path) -> pq.ParquetFile:
    """Read a file entirely and check it.

    Raises:
        FileNotFoundError: it is not there, or not any more.
        DamagedError: it is not what was written under its name.
        InputError: it cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}. Correct that, or remove the file.") from error
    name = _NAME.fullmatch(path.name)
    if not name or name["digest"] != _digest(content):
        raise DamagedError(f"{path} is damaged: its content does not fit the checksum in its name.")
    try:
        return pq.ParquetFile(pa.BufferReader(content))
    except (pa.ArrowException, OSError) as error:
        raise DamagedError(f"{path} is no Parquet file: {error}.") from error


def about(file: pq.ParquetFile) -> dict[str, Any]:
    """Return what :meth:`SealedFolder.write` was told of the table; empty if it did not write the file."""
    told = (file.schema_arrow.metadata or {}).get(_ABOUT)
    return json.loads(told) if told else {}


def make_folder(path: Path) -> Path:
    """Make a folder, unless it is there.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"Cannot make the folder {path}: {error}. Give a place that may be written to and has room."
        ) from error
    return path


def _by_shard(pattern: re.Pattern[str], names: list[str], folder: Path) -> dict[str, list[Path]]:
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for name in names:
        if match := pattern.fullmatch(name):
            found[match["shard"]].append(folder / name)
    return found


def _digest(content: bytes | pa.Buffer) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
