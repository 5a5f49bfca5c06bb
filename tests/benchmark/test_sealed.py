"""A file of a store is what was written under its name, or it is refused."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from simlib.benchmark.sealed import (
    DamagedError,
    about,
    files_of,
    read_images,
    recipes_in,
    remove_leftovers,
    write_rows,
)
from simlib.errors import InputError
from tests.benchmark.made_results import RECIPES, made_done

DONE = made_done()


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write_rows(tmp_path, DONE)
    (path,) = files_of(tmp_path, "s1")
    return path


def test_the_name_ends_with_the_checksum_of_the_bytes(written: Path) -> None:
    assert written.name == f"s1-{hashlib.sha256(written.read_bytes()).hexdigest()[:16]}.parquet"
    write_rows(written.parent, DONE)
    assert files_of(written.parent, "s1") == [written]
    write_rows(written.parent, replace(DONE, seconds=2))
    assert len(files_of(written.parent, "s1")) == 2


def test_a_change_of_one_byte_and_a_cut_are_found(written: Path) -> None:
    content = written.read_bytes()
    for place in {*range(0, len(content), 41), *range(200), *range(len(content) - 200, len(content))}:
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        written.write_bytes(changed)
        with pytest.raises(DamagedError, match="is damaged"):
            about(written)
    for cut in (b"", content[:-1], content[: len(content) // 2], content + b"\0", content[:-9] + b"\0" * 9):
        written.write_bytes(cut)
        with pytest.raises(DamagedError, match="is damaged"):
            about(written)
    written.write_bytes(content)
    assert recipes_in(written, "s1", 3) == list(RECIPES)
    assert about(written)["where"] == {"device": "cpu"}


def test_a_file_of_another_name_or_kind_is_refused(written: Path) -> None:
    with pytest.raises(DamagedError, match="does not hold rows of the 3 triplets of shard s2"):
        recipes_in(written, "s2", 3)
    with pytest.raises(DamagedError, match="does not hold rows of the 4 triplets"):
        recipes_in(written, "s1", 4)
    with pytest.raises(DamagedError, match="does not hold the images"):
        read_images(written, "s1", "1mages", DONE.names)
    renamed = written.rename(written.with_name("s1.parquet"))
    with pytest.raises(DamagedError, match=r"s1\.parquet is damaged"):
        about(renamed)
    content = b"no Parquet at all"
    other = written.with_name(f"s1-{hashlib.sha256(content).hexdigest()[:16]}.parquet")
    other.write_bytes(content)
    with pytest.raises(DamagedError, match="is no Parquet file"):
        about(other)


def test_what_is_not_there_is_not_called_damaged(written: Path) -> None:
    written.unlink()
    with pytest.raises(FileNotFoundError):
        about(written)
    written.mkdir()
    with pytest.raises(InputError, match="cannot be read") as caught:
        about(written)
    assert not isinstance(caught.value, DamagedError)


def test_other_readers_find_damage_by_the_checksums_of_pages(written: Path) -> None:
    content = bytearray(written.read_bytes())
    column = pq.read_metadata(written).row_group(0).column(1)
    content[column.dictionary_page_offset + column.total_compressed_size - 1] ^= 1
    written.write_bytes(content)
    with pytest.raises(OSError, match="CRC"):
        pq.ParquetFile(written, page_checksum_verification=True).read()


def test_only_whole_files_of_the_shard_are_listed_and_only_its_leftovers_are_removed(written: Path) -> None:
    folder = written.parent
    assert files_of(folder / "absent", "s1") == []
    write_rows(folder, made_done("s10"))
    own, other = (folder / f".{shard}-0123456789abcdef.parquet.77.part" for shard in ("s1", "s10"))
    notes = [folder / name for name in ("s1.parquet", "s1-notes.txt", "readme.txt", f"{written.name}~")]
    for path in (own, other, *notes):
        path.write_bytes(b"half")
    assert files_of(folder, "s1") == [written]
    remove_leftovers(folder, "s1")
    assert not own.exists()
    assert all(path.exists() for path in (written, other, *notes))


def test_a_pointer_to_rows_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s1-0123456789abcdef.parquet"
    path.write_text("version https://git-lfs.github.com/spec/v1\nsize 9\n")
    with pytest.raises(DamagedError, match="pointer of Git LFS"):
        recipes_in(path, "s1", 3)
