"""Tests of simlib.benchmark.store and .contents: what is there is whole, and what is not is told."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path

import duckdb
import pandas as pd
import pytest
import torch

from simlib.benchmark.rows import SCHEMA
from simlib.benchmark.shard import Done
from simlib.benchmark.store import Store
from simlib.errors import InputError, OutputError, UnknownNameError
from tests.made_results import RECIPES, made_done, made_plan, made_record, remount, small_disk

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


def test_rows_are_read_as_they_were_written(store: Store) -> None:
    done = (made_done("s1", RECIPES[1:]), made_done("s1", RECIPES[:1]), made_done("s2"))
    found = store.rows(made_record())
    assert_rows(found, expected_rows(*done))
    assert_rows(Store(store.folder, create=False).rows(made_record()), expected_rows(*done))
    assert sum(math.isnan(value) for value in found["judge"].tolist()) == 6


def test_present_tells_the_recipes_of_a_shard(store: Store) -> None:
    assert store.present("s1", 3) == store.present("s2", 3) == set(RECIPES)
    assert store.present("s3", 3) == store.present("s", 3) == set()


def test_rows_are_those_of_the_record(store: Store) -> None:
    record = made_record(shards=(("s2", 3),))
    assert_rows(store.rows(record), expected_rows(made_done("s2")))
    swapped = dataclasses.replace(record, shards=(("s2", 3), ("s1", 3)))
    assert store.rows(swapped)["shard"].tolist() == ["s2"] * 9 + ["s1"] * 9
    white_box, transfer = store.rows(record, part="white-box"), store.rows(record, part="transfer")
    assert white_box["recipe"].tolist() == ["aa00", "bb11"] * 3
    assert transfer["recipe"].tolist() == ["aa00", "cc22"] * 3
    assert set(white_box["attack"]) == {"PGD"}


def test_a_recipe_with_two_titles_is_there_with_each(store: Store) -> None:
    first, *_, third, fourth = made_record().recipes
    recipes = (first, dataclasses.replace(third, title="PGD(2)"), fourth)
    rows = store.rows(made_record(recipes=recipes, shards=(("s2", 3),)))
    assert rows["attack"].tolist() == ["PGD", "PGD(2)", "PGD"] * 3
    assert rows["recipe"].tolist() == ["aa00", "aa00", "cc22"] * 3
    margins = rows["margin"].tolist()
    assert margins[::3] == margins[1::3]


def test_rows_that_two_processes_wrote_are_read_once(store: Store) -> None:
    # As where a file system has no locks.
    store.write(dataclasses.replace(made_done("s2"), seconds=9.0))
    store.write(made_done("s2", RECIPES[::-1]))
    assert len(list((store.folder / "rows").glob("s2-*"))) == 3
    assert store.rows(made_record()).shape[0] == 18


def test_duckdb_and_pandas_read_the_rows_directly(store: Store) -> None:
    files = store.folder / "rows" / "*.parquet"
    query = (
        f"SELECT recipe, count(*), count(flipped), sum(rmse) FROM '{files}' GROUP BY recipe ORDER BY recipe"
    )
    rows = store.rows(made_record())
    sums = [sum(rows["rmse"][rows["recipe"] == key]) for key in RECIPES[:2]]
    expected = [("aa00", 6, 6), ("bb11", 6, 6), ("cc22", 6, 0)]
    found = duckdb.connect().execute(query).fetchall()
    assert [row[:3] for row in found] == expected
    assert [row[3] for row in found[:2]] == pytest.approx(sums)
    direct = pd.read_parquet(store.folder / "rows")
    assert sorted(direct["rmse"].dropna().tolist()) == sorted(rows["rmse"].dropna().tolist())


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


# What is not there is told.


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


@pytest.mark.parametrize("damage", ["changed", "cut", "empty", "foreign", "other shard", "other size"])
def test_a_damaged_file_is_told_and_only_its_rows_are_lost(store: Store, damage: str, tmp_path: Path) -> None:
    path = only_file(store, "s2")
    content = bytearray(path.read_bytes())
    if damage == "changed":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "cut":
        os.truncate(path, len(content) // 2)
    elif damage == "empty":
        os.truncate(path, 0)
    elif damage == "foreign":
        made_done().rows.to_pandas().to_parquet(path)
    else:
        path.unlink()
        other = Store(tmp_path / "other")
        other.write(made_done("s2", n=4) if damage == "other size" else made_done("s5"))
        (found,) = (other.folder / "rows").iterdir()
        path = found.rename(path.with_name(found.name.replace("s5", "s2")))
    with pytest.raises(InputError, match=rf"{path.name} .*To have its rows again, run the plan: simlib run"):
        store.rows(made_record())
    with pytest.warns(UserWarning, match=rf"{path.name} .* It was removed, and is computed again"):
        assert store.present("s2", 3) == set()
    assert not path.exists()
    assert store.present("s1", 3) == set(RECIPES)
    store.write(made_done("s2"))
    assert len(store.rows(made_record())) == 18


def test_one_of_the_files_of_a_shard_is_damaged(store: Store) -> None:
    damaged = min((store.folder / "rows").glob("s1-*"), key=lambda path: path.stat().st_size)
    damaged.write_bytes(b"")
    with pytest.warns(UserWarning, match="was removed"):
        assert store.present("s1", 3) == {"bb11", "cc22"}


def test_damaged_images_are_not_there(store: Store) -> None:
    with pytest.warns(UserWarning, match="images 1mages of the triplets of shard s1"):
        assert store.images("s1", "1mages", NAMES[::-1]) is None
    store.write(made_done("s1", images=True))
    only_file(store, "s1", "images").write_bytes(b"")
    with pytest.warns(UserWarning, match="is damaged"):
        assert store.images("s1", "1mages", NAMES) is None
    assert store.images("s1", "1mages", NAMES) is None


def test_files_of_others_are_neither_read_nor_removed(store: Store) -> None:
    others = [store.folder / "rows" / name for name in ("s2.parquet", "notes.txt", ".s1-aa.parquet.77.part")]
    for path in others:
        path.write_bytes(b"mine")
    assert store.present("s2", 3) == set(RECIPES)
    assert len(store.rows(made_record())) == 18
    assert all(path.exists() for path in others)


# Processes.


def test_a_shard_is_claimed_by_one(store: Store) -> None:
    other = Store(store.folder)
    with store.claim("s1"):
        assert other.try_claim("s1") is None
        with other.claim("s2"):
            assert store.try_claim("s2") is None
    lock = other.try_claim("s1")
    assert lock
    lock.release()
    assert list((store.folder / "locks").iterdir()) == []


def test_a_claim_removes_what_was_left_half_written(store: Store) -> None:
    left = [store.folder / kind / f".s1-{16 * '0'}.parquet.77.part" for kind in ("rows", "images")]
    for path in left:
        path.write_bytes(only_file(store, "s2").read_bytes())
    store.claim("s2").release()
    assert all(path.exists() for path in left)
    lock = store.try_claim("s1")
    assert lock
    lock.release()
    assert not any(path.exists() for path in left)


def test_what_another_process_writes_is_seen_at_once(store: Store) -> None:
    assert store.present("s3", 3) == set()
    Store(store.folder).write(made_done("s3"))
    assert store.present("s3", 3) == set(RECIPES)


# Places.


def test_another_format_is_refused(store: Store) -> None:
    (store.folder / "manifest.json").write_text('{"format": 99, "simlib": "9"}')
    for create in (True, False):
        with pytest.raises(InputError, match="has format 99"):
            Store(store.folder, create=create)


def test_no_store_is_made_where_none_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no store"):
        Store(tmp_path / "absent", create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "store", Path("/proc/store")):
        with pytest.raises(OutputError, match="Cannot make the folder"):
            Store(place)


def test_a_store_that_may_not_be_written_is_read(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4096) as folder:
        Store(folder).write(made_done("s1"))
        damaged = made_done("s2")
        Store(folder).write(damaged)
        record = made_record(shards=(("s1", 3),))
        Store(folder).write_record(record)
        only_file(Store(folder), "s2").write_bytes(b"")
        remount(folder, "ro")
        store = Store(folder)
        assert store.present("s1", 3) == set(RECIPES)
        assert len(store.rows(store.record())) == 9
        for write in (
            lambda: store.try_claim("s1"),
            lambda: store.claim("s1"),
            lambda: store.write(made_done("s1")),
            lambda: store.write_record(record),
        ):
            with pytest.raises(OutputError, match=r"Cannot (make|write|lock)"):
                write()
        with pytest.warns(UserWarning), pytest.raises(OutputError, match="Cannot remove the damaged file"):
            store.present("s2", 3)


def test_a_full_disk_is_told_and_leaves_what_is_there(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 256) as folder:
        store = Store(folder)
        written = 0
        with pytest.raises(OutputError, match="No space left on device"):
            for number in range(100):
                store.write(made_done(f"f{number}", n=40, images=True))
                written += 1
        assert 0 < written < 100
        assert not list(folder.rglob("*.part"))
        for number in range(100):
            assert store.present(f"f{number}", 40) == (set(RECIPES) if number < written else set())
        remount(folder, "size=8m")
        store.write(made_done(f"f{written}", n=40, images=True))
        record = made_record(shards=[(f"f{number}", 40) for number in range(written + 1)])
        assert len(store.rows(record)) == 3 * 40 * (written + 1)


# Records.


def test_records_are_found_by_name_and_by_key(store: Store) -> None:
    with pytest.raises(InputError, match="Nothing was run into"):
        store.record()
    old = made_record(key="ff", created="2024-01-01T00:00:00+00:00")
    new = made_record(key="11", created="2024-01-02T00:00:00+00:00")
    other = made_record(
        key="22",
        plan=dataclasses.replace(made_plan(), name="other"),
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


def test_a_damaged_record_is_told(store: Store) -> None:
    store.write_record(made_record())
    (store.folder / "runs" / "0123.json").write_text("{}")
    with pytest.raises(InputError, match="is damaged"):
        store.records()
