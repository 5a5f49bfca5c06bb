"""What a store holds is whole, and what it does not hold is reported."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from pathlib import Path

import pandas as pd
import pytest
import torch

from simlib.benchmark.rows import SCHEMA
from simlib.benchmark.shard import Done
from simlib.benchmark.store import FORMAT, Store
from simlib.errors import InputError, OutputError, UnknownNameError
from simlib.files import Lock
from tests.benchmark.made_results import RECIPES, made_done, made_plan, made_record, remount, small_disk

NAMES = made_done().names


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give a store with two shards of three triplets; the first has its recipes in two files."""
    store = Store(tmp_path / "store")
    store.write(made_done("s1", RECIPES[1:], images=True))
    store.write(made_done("s1", RECIPES[:1]))
    store.write(made_done("s2"))
    return store


def plain(values: dict[str, object]) -> dict[str, object]:
    """Make missing values of every kind comparable."""
    return {
        name: None if value is None or (isinstance(value, float) and math.isnan(value)) else value
        for name, value in values.items()
    }


def expected_rows(*done: Done, order: tuple[str, ...] = RECIPES) -> list[dict[str, object]]:
    rows = [row for each in done for row in each.rows.to_pylist()]
    shards = list(dict.fromkeys(each.shard for each in done))
    rows.sort(key=lambda row: (shards.index(row["shard"]), row["place"], order.index(row["recipe"])))
    return [plain({**row, "attack": "PGD"}) for row in rows]


def assert_rows(found: pd.DataFrame, expected: list[dict[str, object]]) -> None:
    assert list(found.columns) == SCHEMA.names
    assert [plain(row) for row in found.to_dict("records")] == expected


def only_file(store: Store, shard: str, kind: str = "rows") -> Path:
    (path,) = (store.folder / kind).glob(f"{shard}-*.parquet")
    return path


# What was written is read.


def test_rows_are_read_as_they_were_written_each_once(store: Store) -> None:
    # As two processes write them where a file system has no locks.
    store.write(dataclasses.replace(made_done("s2"), seconds=9.0))
    store.write(made_done("s2", RECIPES[::-1]))
    done = (made_done("s1", RECIPES[1:]), made_done("s1", RECIPES[:1]), made_done("s2"))
    found = store.rows(made_record())
    assert_rows(found, expected_rows(*done))
    assert store.present("s1", 3) == store.present("s2", 3) == set(RECIPES)
    assert store.present("s3", 3) == store.present("s", 3) == set()
    assert sum(math.isnan(value) for value in found["judge"].tolist()) == 6


def test_rows_are_those_of_the_record(store: Store) -> None:
    record = made_record(shards=(("s2", 3),))
    assert_rows(store.rows(record), expected_rows(made_done("s2")))
    swapped = made_record(shards=(("s2", 3), ("s1", 3)))
    assert store.rows(swapped)["shard"].tolist() == ["s2"] * 9 + ["s1"] * 9
    white_box, transfer = store.rows(record, part="white-box"), store.rows(record, part="transfer")
    assert white_box["recipe"].tolist() == ["aa00", "bb11"] * 3
    assert transfer["recipe"].tolist() == ["aa00", "cc22"] * 3
    assert set(white_box["attack"]) == {"PGD"}


def test_a_recipe_with_two_titles_is_there_with_each(store: Store) -> None:
    first, *_, third, fourth = made_record().recipes
    recipes = (first, third.model_copy(update={"title": "PGD(2)"}), fourth)
    rows = store.rows(made_record(recipes=recipes, shards=(("s2", 3),)))
    assert rows["attack"].tolist() == ["PGD", "PGD(2)", "PGD"] * 3
    assert rows["recipe"].tolist() == ["aa00", "aa00", "cc22"] * 3
    margins = rows["margin"].tolist()
    assert margins[::3] == margins[1::3]


def test_images_are_read_as_they_were_written(store: Store) -> None:
    levels = store.images("s1", "1mages", NAMES)
    assert levels is not None
    assert levels.dtype == torch.uint8
    assert torch.equal(levels, made_done("s1", RECIPES[1:], images=True).images["1mages"])
    assert store.images("s1", "1mage", NAMES) is None
    assert store.images("s2", "1mages", NAMES) is None
    stored = pd.read_parquet(only_file(store, "s1", "images")).to_dict("list")
    assert stored["triplet"] == list(NAMES)
    assert all(png.startswith(b"\x89PNG") for png in stored["image"])


def test_rows_that_could_not_be_told_apart_are_refused(store: Store) -> None:
    done = made_done("s3")
    wrong = [
        dataclasses.replace(done, rows=done.rows.drop_columns("judge")),
        dataclasses.replace(done, rows=done.rows.slice(1)),
        dataclasses.replace(done, rows=done.rows.take(list(range(9))[::-1])),
        dataclasses.replace(done, recipes=RECIPES[::-1]),
        dataclasses.replace(done, names=NAMES),
        dataclasses.replace(done, shard="s4"),
        made_done("s3", ("aa00", "aa00")),
    ]
    for each in wrong:
        with pytest.raises(InputError, match="the rows are not"):
            store.write(each)
    assert store.present("s3", 3) == store.present("s4", 3) == set()


# What is not there is reported.


def test_a_missing_shard_is_never_a_gap(store: Store) -> None:
    record = made_record()
    only_file(store, "s2").unlink()
    with pytest.raises(
        InputError, match=r"made in .* 1 of its 2 shards are missing\. Go on with: simlib run"
    ):
        store.rows(record)
    assert store.rows(record, partial=True)["shard"].tolist() == ["s1"] * 9
    store.write(made_done("s2", RECIPES[:2]))
    with pytest.raises(InputError, match="1 of its 2 shards are missing"):
        store.rows(record)
    assert store.rows(record, part="white-box").shape[0] == 12
    assert store.rows(record, partial=True).shape[0] == 15


def test_a_run_that_does_not_know_its_shards_yet_is_not_complete(store: Store) -> None:
    begun = made_record(shards=(("s1", 3),), finished=False)
    with pytest.raises(InputError, match=r"0 of its 1 shards are missing\. 3 of 6 triplets were looked at\."):
        store.rows(begun)
    # How many there are is not in the plan: nothing but its end tells that all is there.
    for shards in ((), (("s1", 3), ("s2", 3))):
        unknown = made_record(plan=made_plan(n=None), shards=shards, finished=False)
        with pytest.raises(InputError, match="of all triplets were looked at"):
            store.rows(unknown)
        assert len(store.rows(unknown, partial=True)) == 9 * len(shards)
    # All that was planned is there, though the run was killed before it could say so.
    assert len(store.rows(made_record(finished=False))) == 18


@pytest.mark.parametrize("damage", ["empty", "other shard", "other size"])
def test_of_a_damaged_file_only_its_rows_are_lost(store: Store, damage: str, tmp_path: Path) -> None:
    path = only_file(store, "s2")
    path.write_bytes(b"")
    if damage != "empty":
        path.unlink()
        other = Store(tmp_path / "other")
        other.write(made_done("s2", n=4) if damage == "other size" else made_done("s5"))
        (found,) = (other.folder / "rows").iterdir()
        path = found.rename(path.with_name(found.name.replace("s5", "s2")))
    with pytest.raises(InputError, match=rf"{path.name} .*To have its rows again, run the plan: simlib run"):
        store.rows(made_record())
    assert store.present("s2", 3, remove=False) == set()
    assert path.exists()
    with pytest.warns(UserWarning, match=rf"{path.name} .* It was removed, and is computed again"):
        assert store.present("s2", 3) == set()
    assert not path.exists()
    assert store.present("s1", 3) == set(RECIPES)
    store.write(made_done("s2"))
    assert len(store.rows(made_record())) == 18


def test_damaged_images_are_not_there(store: Store) -> None:
    with pytest.warns(UserWarning, match="images 1mages of the triplets of shard s1"):
        assert store.images("s1", "1mages", NAMES[::-1]) is None
    store.write(made_done("s1", images=True))
    only_file(store, "s1", "images").write_bytes(b"")
    with pytest.warns(UserWarning, match="is damaged"):
        assert store.images("s1", "1mages", NAMES) is None
    assert store.images("s1", "1mages", NAMES) is None


# Processes.


def claimed(store: Store, shard: str) -> Lock:
    """Claim a shard that is free."""
    lock = store.claim(shard)
    assert lock
    return lock


def test_a_shard_is_claimed_by_one(store: Store) -> None:
    other = Store(store.folder)
    with claimed(store, "s1"):
        assert other.claim("s1") is None
        with claimed(other, "s2"):
            assert store.claim("s2") is None
    with claimed(other, "s1"):
        pass
    assert list((store.folder / "locks").iterdir()) == []


def test_a_claim_removes_what_was_left_half_written(store: Store) -> None:
    left = [store.folder / kind / f".s1-{16 * '0'}.parquet.77.part" for kind in ("rows", "images")]
    for path in left:
        path.write_bytes(only_file(store, "s2").read_bytes())
    with claimed(store, "s2"):
        assert all(path.exists() for path in left)
    with claimed(store, "s1"):
        assert not any(path.exists() for path in left)


# Places.


def test_an_empty_folder_becomes_a_store_and_stays_one(tmp_path: Path) -> None:
    # What a process leaves that is killed while it makes the store.
    (tmp_path / ".manifest.json.abc.part").write_text("{")
    Store(tmp_path)
    content = (tmp_path / "manifest.json").read_text()
    assert json.loads(content)["format"] == FORMAT
    (tmp_path / "rows").mkdir()
    Store(tmp_path)
    assert (tmp_path / "manifest.json").read_text() == content


def test_what_a_system_leaves_in_a_store_is_passed_over(store: Store, tmp_path: Path) -> None:
    store.write_record(made_record())
    for folder in (store.folder, store.folder / "runs", store.folder / "rows"):
        for name in (".DS_Store", "Thumbs.db", "._1f51.json", "._s1-1f51.parquet"):
            (folder / name).write_bytes(b"\0\5\x16\7")
    assert Store(store.folder).records() == [made_record()]
    assert store.present("s1", 3) == set(RECIPES)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / ".DS_Store").write_bytes(b"")
    assert Store(tmp_path / "new").records() == []


def test_a_store_of_the_home_folder_is_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(store.folder.parent))
    assert Store(f"~/{store.folder.name}", create=False).folder == store.folder


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.png").write_text("")
    with pytest.raises(InputError, match=r"is no store of simlib and holds holiday\.png"):
        Store(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.png"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json.dumps({"format": FORMAT + 1, "simlib": "9.1"}), rf"has format {FORMAT + 1}.*Use simlib 9\.1"),
        (json.dumps({"format": "1"}), "has format 1"),
        *((content, "is damaged") for content in ("", '{"format": 1', "[1]", "{}", "\0" * 80, "\udcff")),
    ],
)
def test_another_format_or_a_damaged_file_is_refused(tmp_path: Path, content: str, message: str) -> None:
    written = content.encode(errors="surrogateescape")
    (tmp_path / "manifest.json").write_bytes(written)
    for create in (True, False):
        with pytest.raises(InputError, match=message):
            Store(tmp_path, create=create)
    assert (tmp_path / "manifest.json").read_bytes() == written


def test_no_store_is_made_where_none_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path, tmp_path / "absent", tmp_path / "file"):
        with pytest.raises(InputError, match="There is no store"):
            Store(folder, create=False)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        Store(tmp_path, create=False)


def test_a_store_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "store", Path("/proc/store")):
        with pytest.raises(OutputError, match="Cannot make the folder"):
            Store(place)
    with small_disk(tmp_path / "disk", 64) as folder:
        remount(folder, "ro")
        with pytest.raises(OutputError, match="Cannot write"):
            Store(folder)


def test_other_columns_are_another_format() -> None:
    # Whoever changes the columns raises FORMAT, and this with it: old stores must be refused, not misread.
    columns = "\n".join(f"{column.name} {column.type}" for column in SCHEMA)
    assert (FORMAT, hashlib.sha256(columns.encode()).hexdigest()[:8]) == (1, "b5abb085")


def test_a_store_that_may_not_be_written_is_read(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4096) as folder:
        store, record = Store(folder), made_record(shards=(("s1", 3),))
        for shard in ("s1", "s2"):
            store.write(made_done(shard))
        store.write_record(record)
        only_file(store, "s2").write_bytes(b"")
        remount(folder, "ro")
        store = Store(folder)
        assert store.present("s1", 3) == set(RECIPES)
        assert len(store.rows(store.record())) == 9
        for write in (
            lambda: store.claim("s1"),
            lambda: store.claim("s1", wait=True),
            lambda: store.write(made_done("s1")),
            lambda: store.write_record(record),
        ):
            with pytest.raises(OutputError, match=r"Cannot (make|write|lock)"):
                write()
        with pytest.warns(UserWarning), pytest.raises(OutputError, match="Cannot remove the damaged file"):
            store.present("s2", 3)


# Records.


def test_a_folder_that_cannot_be_read_is_not_empty(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> list[str]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", refuse)
    for read in (store.records, lambda: store.present("s1", 3)):
        with pytest.raises(InputError, match=r"cannot be read: .*Permission denied"):
            read()


def test_records_are_found_by_name_and_by_key(store: Store) -> None:
    with pytest.raises(InputError, match="Nothing was run into"):
        store.record()
    old = made_record(key="ff", created="2024-01-01T00:00:00+00:00")
    new = made_record(key="11", created="2024-01-02T00:00:00+00:00")
    other = made_record(
        key="22",
        plan=made_plan().model_copy(update={"name": "other"}),
        created="2023-01-01T00:00:00+00:00",
    )
    for record in (new, old, other):
        store.write_record(record)
    (store.folder / "runs" / ".33.json.abc.part").write_text("{")
    assert store.records() == [other, old, new]
    assert store.record() == store.record("made") == store.record("11") == new
    assert store.record("ff") == old
    assert store.record("other") == other
    with pytest.raises(UnknownNameError, match=r"Unknown run 'othr'\. Did you mean other"):
        store.record("othr")


def test_a_damaged_record_is_refused(store: Store) -> None:
    store.write_record(made_record())
    (store.folder / "runs" / "0123.json").write_text("{}")
    with pytest.raises(InputError, match="is damaged"):
        store.records()
