"""Tests of simlib.benchmark.manifest: what is a store, and of which format."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from simlib.benchmark.manifest import FORMAT, ensure_manifest, validate_manifest
from simlib.benchmark.rows import SCHEMA
from simlib.errors import InputError, OutputError
from tests.made_results import remount, small_disk


def test_an_empty_folder_becomes_a_store_and_stays_one(tmp_path: Path) -> None:
    # What a process leaves that is killed while it makes the store.
    (tmp_path / ".manifest.json.abc.part").write_text("{")
    ensure_manifest(tmp_path)
    validate_manifest(tmp_path)
    content = (tmp_path / "manifest.json").read_text()
    assert json.loads(content)["format"] == FORMAT
    (tmp_path / "rows").mkdir()
    ensure_manifest(tmp_path)
    assert (tmp_path / "manifest.json").read_text() == content


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.png").write_text("")
    with pytest.raises(InputError, match=r"is no store of simlib and holds holiday\.png"):
        ensure_manifest(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.png"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (json.dumps({"format": FORMAT + 1, "simlib": "9.1"}), rf"has format {FORMAT + 1}.*Use simlib 9\.1"),
        (json.dumps({"format": "1"}), "has format 1"),
        ("", "is damaged"),
        ('{"format": 1', "is damaged"),
        ("[1]", "is damaged"),
        ("{}", "is damaged"),
        ("\0" * 80, "is damaged"),
    ],
)
def test_another_format_or_a_damaged_file_is_refused(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    ensure_manifest(tmp_path)
    with pytest.raises(InputError, match=told):
        validate_manifest(tmp_path)
    assert (tmp_path / "manifest.json").read_text() == content


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InputError, match="is damaged"):
        validate_manifest(tmp_path)


def test_there_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path, tmp_path / "absent", tmp_path / "file"):
        with pytest.raises(InputError, match="There is no store"):
            validate_manifest(folder)
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        validate_manifest(tmp_path)


def test_a_store_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be read"):
        ensure_manifest(tmp_path / "file")
    with small_disk(tmp_path / "disk", 64) as folder:
        remount(folder, "ro")
        with pytest.raises(OutputError, match="Cannot write"):
            ensure_manifest(folder)


def test_other_columns_are_another_format() -> None:
    # Whoever changes the columns raises FORMAT, and this with it: old stores must be refused, not misread.
    columns = "\n".join(f"{column.name} {column.type}" for column in SCHEMA)
    assert (FORMAT, hashlib.sha256(columns.encode()).hexdigest()[:8]) == (1, "b5abb085")
