"""Triplets listed in a CSV file: paths of images and votes."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import get_args

from simlib.errors import InputError, unknown_name
from simlib.given import given_path, read_text
from simlib.triplets.stored import StoredTriplet, TripletFiles
from simlib.triplets.triplets import LabelSource

_NEEDED = ("ref", "p0", "p1", "judge")
_KNOWN = (*_NEEDED, "name", "photograph", "label_source")


def read_table(path: Path) -> TripletFiles:
    """List the triplets of a CSV file.

    Its first line names the columns. ``ref``, ``p0`` and ``p1`` are paths of images, relative to the folder
    of the CSV file; ``judge`` is the share of people who find p1 more similar, empty where nobody was asked.
    These may follow, and may be empty:

    - ``name``, unique; by default the table's name and the row's number;
    - ``photograph``, what the triplet was cut from: rows that share it are not independent of each other; by
      default the entry of ``ref``;
    - ``label_source``, ``human`` (default) or ``constructed``, the same in all rows.

    Args:
        path: UTF-8, entries separated by commas.

    Returns:
        The triplets, row by row; what was done to the images is unknown.

    Raises:
        InputError: a file that cannot be read, a column that is missing or named twice, or a row that is
            malformed, repeats a name or names an image that is not there; with the number of the line.
        UnknownNameError: a column that is none of those above.
    """
    rows: list[StoredTriplet] = []
    first: dict[str, str] = {}
    sources: set[str] = set()
    for where, entries in _read_lines(path):
        row = _row(path, where, entries, len(rows))
        if row.name in first:
            raise InputError(f"{where}: the name {row.name!r} is that of {first[row.name]}. Give it its own.")
        first[row.name] = where
        rows.append(row)
        sources.add(entries["label_source"] or "human")
    if len(sources) > 1:
        raise InputError(
            f"{path}: the column label_source has {' and '.join(sorted(sources))}. Constructed labels must "
            "not be reported as human: make a file of each."
        )
    return TripletFiles(tuple(rows), "constructed" if "constructed" in sources else "human")


def _read_lines(path: Path) -> list[tuple[str, dict[str, str]]]:
    """Return where each row stands, such as ``"votes.csv, line 3"``, and its entries by column."""
    lines: list[tuple[str, dict[str, str]]] = []
    try:
        reader = csv.reader(io.StringIO(read_text(path)), strict=True)
        columns = next(reader, [])
        _validate_columns(path, columns)
        for row in filter(None, reader):
            where = f"{path}, line {reader.line_num}"
            if len(row) != len(columns):
                raise InputError(
                    f"{where}: {len(row)} entries for {len(columns)} columns. Quote commas in names."
                )
            lines.append((where, dict.fromkeys(_KNOWN, "") | dict(zip(columns, row, strict=True))))
    except csv.Error as error:
        raise InputError(f"{path} cannot be read as a CSV file: {error}.") from error
    if not lines:
        raise InputError(f"{path} lists no triplet. Give every triplet a line after the columns' names.")
    return lines


def _validate_columns(path: Path, columns: list[str]) -> None:
    for column in (*_NEEDED, *columns):
        if column not in _KNOWN:
            raise unknown_name(f"column of {path}:", column, _KNOWN)
        if columns.count(column) != 1:
            raise InputError(
                f"{path}: the first line must name the column {column} once. It names {', '.join(columns)}. "
                f"Give {','.join(_NEEDED)}, separated by commas."
            )


def _row(path: Path, where: str, entries: dict[str, str], number: int) -> StoredTriplet:
    if entries["label_source"] not in ("", *get_args(LabelSource)):
        raise InputError(f"{where}: label_source is {entries['label_source']!r}. Give human or constructed.")
    ref, p0, p1 = (_image(path.parent, where, part, entries[part]) for part in ("ref", "p0", "p1"))
    judge = _judge(where, entries["judge"])
    name = entries["name"] or f"{path.stem}/{number:06d}"
    photograph = entries["photograph"] or entries["ref"]
    return StoredTriplet(ref, p0, p1, judge, name, photograph, path.stem, ("unknown", "unknown"))


def _image(folder: Path, where: str, part: str, entry: str) -> Path:
    # os.path.isfile, unlike Path.is_file, also answers for a name that no file can have.
    if not entry or not os.path.isfile(file := folder / given_path(entry)):
        raise InputError(
            f"{where}: {part} is {entry!r}, and {folder} has no such file. Give a path from that folder."
        )
    return file


def _judge(where: str, entry: str) -> float:
    try:
        share = float(entry) if entry.strip() else float("nan")
    except ValueError:
        share = -1.0
    if share < 0 or share > 1:
        raise InputError(
            f"{where}: judge is {entry!r}. Give the share who prefer p1, in [0, 1], "
            "or nothing where nobody was asked."
        )
    return share
