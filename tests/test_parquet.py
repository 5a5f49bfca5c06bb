"""Tests of simlib.benchmark.parquet: a file is what was written under its name, or it is refused."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.benchmark import parquet
from simlib.benchmark.parquet import DamagedError, SealedFolder, about, make_folder, read_sealed
from simlib.errors import InputError, OutputError

TABLE = pa.table({"name": ["a", "b", None] * 50, "value": [0.5, float("nan"), None] * 50})
TOLD = {"shard": "s1", "seconds": 1.5, "where": {"device": "größer"}}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return SealedFolder(tmp_path / "rows").write("s1", TABLE, TOLD)


def test_what_was_written_is_read(written: Path) -> None:
    file = read_sealed(written)
    assert about(file) == TOLD
    assert file.read().to_pydict()["name"] == TABLE["name"].to_pylist()
    assert str(file.read()["value"].to_pylist()) == str(TABLE["value"].to_pylist())


def test_the_name_ends_with_the_checksum_of_the_bytes(written: Path) -> None:
    assert written.name == f"s1-{hashlib.sha256(written.read_bytes()).hexdigest()[:16]}.parquet"


def test_the_same_content_is_one_file(written: Path) -> None:
    folder = SealedFolder(written.parent)
    assert folder.write("s1", TABLE, TOLD) == written
    assert folder.write("s1", TABLE, {**TOLD, "seconds": 2}) != written
    assert len(list(written.parent.iterdir())) == 2


def test_a_change_of_any_one_byte_is_found(written: Path) -> None:
    content = written.read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        written.write_bytes(changed)
        with pytest.raises(DamagedError, match="is damaged"):
            read_sealed(written)
    written.write_bytes(content)
    assert about(read_sealed(written)) == TOLD


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_a_file_that_was_cut_or_lengthened_is_found(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = SealedFolder(tmp_path_factory.mktemp("rows")).write("s1", TABLE, TOLD)
    content = path.read_bytes()
    length = data.draw(st.integers(0, len(content) - 1))
    path.write_bytes(content[:length] + data.draw(st.sampled_from([b"", b"\0" * (len(content) - length)])))
    # Zeros that were zeros before change nothing.
    if path.read_bytes() == content:
        return
    with pytest.raises(DamagedError, match="is damaged"):
        read_sealed(path)


def test_a_file_of_another_name_or_kind_is_refused(written: Path) -> None:
    renamed = written.rename(written.with_name("s1.parquet"))
    with pytest.raises(DamagedError, match=r"s1\.parquet is damaged"):
        read_sealed(renamed)
    content = b"no Parquet at all"
    other = written.with_name(f"s1-{hashlib.sha256(content).hexdigest()[:16]}.parquet")
    other.write_bytes(content)
    with pytest.raises(DamagedError, match="is no Parquet file"):
        read_sealed(other)


def test_what_another_program_wrote_tells_nothing(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "x.parquet")
    assert about(pq.ParquetFile(tmp_path / "x.parquet")) == {}


def test_what_is_not_there_is_not_called_damaged(written: Path) -> None:
    written.unlink()
    with pytest.raises(FileNotFoundError):
        read_sealed(written)
    written.mkdir()
    with pytest.raises(InputError, match="cannot be read") as caught:
        read_sealed(written)
    assert not isinstance(caught.value, DamagedError)


def test_other_readers_find_damage_by_the_checksums_of_pages(written: Path) -> None:
    content = bytearray(written.read_bytes())
    column = read_sealed(written).metadata.row_group(0).column(1)
    content[column.dictionary_page_offset + column.total_compressed_size - 1] ^= 1
    written.write_bytes(content)
    with pytest.raises(OSError, match="CRC"):
        pq.ParquetFile(written, page_checksum_verification=True).read()


def test_other_programs_read_the_files_directly(written: Path) -> None:
    pattern = str(written.parent / "*.parquet")
    found = duckdb.connect().execute(f"SELECT count(*), count(name), count(value) FROM '{pattern}'")
    assert found.fetchall() == [(150, 100, 100)]
    assert len(pd.read_parquet(written.parent).dropna(subset=["name"])) == 100


def test_only_whole_files_of_the_shard_are_listed(tmp_path: Path) -> None:
    folder = SealedFolder(tmp_path / "rows")
    assert folder.of("s1") == []
    first, second = (folder.write("s1", TABLE, {"number": number}) for number in range(2))
    folder.write("s10", TABLE, {})
    for name in (f".{first.name}.abc.part", "s1.parquet", "s1-notes.parquet", "readme.txt", f"{first.name}~"):
        (folder.path / name).write_bytes(first.read_bytes())
    assert folder.of("s1") == sorted([first, second])


def test_cleaning_removes_what_was_left_half_written_of_this_shard(tmp_path: Path) -> None:
    folder = SealedFolder(tmp_path)
    whole = folder.write("s1", TABLE, {})
    own, other = (tmp_path / f".{shard}-0123456789abcdef.parquet.77.part" for shard in ("s1", "s10"))
    for path in (own, other):
        path.write_bytes(b"half")
    folder.clean("s1")
    assert sorted(tmp_path.iterdir()) == sorted([whole, other])


def test_a_folder_at_rest_is_listed_once_and_any_change_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    listdir = os.listdir
    monkeypatch.setattr(parquet.os, "listdir", lambda path: looks.append(path) or listdir(path))
    path = SealedFolder(tmp_path).write("s1", TABLE, {})
    long_ago = time.time() - 100
    os.utime(tmp_path, (long_ago, long_ago))
    folder = SealedFolder(tmp_path)
    for _ in range(5):
        assert folder.of("s1") == [path]
    assert len(looks) == 1
    SealedFolder(tmp_path).write("s2", TABLE, {})
    assert len(folder.of("s2")) == 1
    # Changed a moment ago: the next change may bear the same time stamp.
    stamp = tmp_path.stat().st_mtime_ns
    SealedFolder(tmp_path).write("s3", TABLE, {})
    os.utime(tmp_path, ns=(stamp, stamp))
    assert len(folder.of("s3")) == 1


def test_a_place_where_no_folder_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "rows", Path("/proc/rows")):
        with pytest.raises(OutputError, match="Cannot make the folder"):
            make_folder(path)
    with pytest.raises(InputError, match="cannot be read"):
        SealedFolder(tmp_path / "file").of("s1")
