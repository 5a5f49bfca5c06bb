"""Tests of simlib.triplets.bapps and .bapps_fetch, on small trees of its layout."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch

from simlib.errors import AbsentError, DownloadError, InputError, OutputError, UnknownNameError
from simlib.triplets import bapps, bapps_fetch
from simlib.triplets.bapps import SPLITS, Split, data_folders, files, locate
from simlib.triplets.bapps_fetch import FolderCount, Record, counts, fetch, read_record, verify
from tests.file_server import FileServer, Reply, serving
from tests.triplets.stored_triplets import VAL_FOLDERS, levels, save_folder, save_image, save_split


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without data."""
    monkeypatch.delenv("SIMLIB_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def tar_of(tree: Path, top: str = ".") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(tree, top)
    return buffer.getvalue()


@pytest.fixture
def body(tmp_path: Path) -> bytes:
    save_split(tmp_path / "made" / "val")
    return tar_of(tmp_path / "made")


@pytest.fixture
def host(body: bytes) -> Iterator[FileServer]:
    with serving(body) as served:
        yield served


def published(monkeypatch: pytest.MonkeyPatch, url: str, **changes: Any) -> None:
    """Let the authors publish the small tree there."""
    monkeypatch.setattr(bapps, "HOST", url.rsplit("/", 1)[0])
    known: dict[str, Any] = {
        "triplets": 18,
        "clear_winners": MappingProxyType(dict.fromkeys(VAL_FOLDERS, 2)),
        "archive": "file",
    }
    split = Split(**{**vars(SPLITS["val"]), **known, **changes})
    monkeypatch.setattr(bapps, "SPLITS", {"val": split})


# What is known.


def test_the_published_numbers_agree_with_each_other() -> None:
    val = SPLITS["val"]
    assert val.triplets == 36_344
    assert sum(val.clear_winners.values()) == 12_227
    assert set(val.clear_winners) == set(val.folders) == set(VAL_FOLDERS)
    assert SPLITS["train"].folders == ("traditional", "cnn", "mix")
    assert all(split.url.endswith(f"/twoafc_{name}.tar.gz") for name, split in SPLITS.items())


# Where they lie, and how they are read.


@pytest.mark.parametrize("inside", ["", "2afc", "dataset/2afc"])
def test_found_at_2afc_or_above_it(tmp_path: Path, inside: str) -> None:
    save_split(tmp_path / "data" / inside / "val")
    assert locate("val", tmp_path / "data") == tmp_path / "data" / inside / "val"
    assert len(files(root=tmp_path / "data")) == 18
    assert locate("train", tmp_path / "data") is None
    # Another folder of this name is not taken for BAPPS.
    (tmp_path / "other" / "val" / "n01440764").mkdir(parents=True)
    assert locate(root=tmp_path / "other") is None


def test_looked_for_in_the_named_folder_then_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = tmp_path / "cache" / "simlib" / "2afc" / "val"
    (cached / "cnn" / "ref").mkdir(parents=True)
    assert locate() == cached
    monkeypatch.setenv("SIMLIB_DATA", str(tmp_path / "named"))
    assert data_folders() == [tmp_path / "named", tmp_path / "cache" / "simlib"]
    assert locate() == cached
    (tmp_path / "named" / "2afc" / "val" / "cnn" / "ref").mkdir(parents=True)
    assert locate() == tmp_path / "named" / "2afc" / "val"
    monkeypatch.delenv("SIMLIB_DATA")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert data_folders() == [tmp_path / ".cache" / "simlib"]


def test_names_folders_and_images_are_those_of_the_files(tmp_path: Path) -> None:
    save_split(tmp_path / "val")
    listed = files(root=str(tmp_path))
    assert listed.names[:4] == (
        "val/traditional/000000",
        "val/traditional/000001",
        "val/traditional/000002",
        "val/cnn/000000",
    )
    assert [listed.folders.count(folder) for folder in VAL_FOLDERS] == [3] * 6
    assert listed.label_source == "human"
    assert len(set(listed.names)) == 18
    read = listed.of_folders("deblur")[1]
    assert read.distortions == (("deblur", "deblur"),)
    assert read.judge.tolist() == pytest.approx([0.4])
    drawn = torch.from_numpy(levels(VAL_FOLDERS.index("deblur"), 1, 2)).permute(2, 0, 1)
    assert torch.equal(read.p1[0], drawn / 255)


def test_some_folders_do_without_the_others(tmp_path: Path) -> None:
    save_folder(tmp_path / "val" / "color", (1.0, 0.0))
    save_folder(tmp_path / "val" / "cnn", (1.0,))
    assert files(folders=["color", "cnn", "color"], root=tmp_path).folders == ("color", "color", "cnn")
    with pytest.raises(InputError, match="traditional"):
        files(root=tmp_path)


@pytest.mark.parametrize(
    ("split", "folder", "reason"),
    [
        ("val", "superress", "Did you mean superres"),
        ("val", "mix", "folder of BAPPS val 'mix'"),
        ("vall", "cnn", "Did you mean val"),
    ],
)
def test_names_that_bapps_does_not_have_are_refused_with_the_nearest(
    tmp_path: Path, split: str, folder: str, reason: str
) -> None:
    save_folder(tmp_path / "val" / "cnn", (1.0,))
    with pytest.raises(UnknownNameError, match=reason):
        files(split, folders=[folder], root=tmp_path)


def test_absent_says_where_it_was_looked_for_and_how_to_fetch_it(tmp_path: Path) -> None:
    with pytest.raises(AbsentError, match=r"cache/simlib. Fetch it: `simlib data bapps`"):
        files()
    with pytest.raises(AbsentError, match="`simlib data bapps --split train`"):
        files("train", root=tmp_path)


def test_bapps_without_its_votes_is_not_complete(tmp_path: Path) -> None:
    save_split(tmp_path / "val")
    (tmp_path / "val" / "cnn" / "judge").rename(tmp_path / "votes")
    with pytest.raises(InputError, match=r"cnn/judge cannot be read"):
        files(root=tmp_path)


# What they count.


def test_counts_by_folder_and_in_all(tmp_path: Path) -> None:
    save_split(tmp_path / "val", (0.0, 0.4, 1.0))
    found = counts(files(root=tmp_path), "val")
    assert [count.folder for count in found] == [*VAL_FOLDERS, "all"]
    assert {(count.triplets, count.clear_winners) for count in found[:-1]} == {(3, 2)}
    assert found[1].published_clear_winners == 2_822
    assert found[-1] == FolderCount("all", 18, 12, 36_344, 12_227)
    assert not any(count.as_published for count in found)


@pytest.mark.parametrize(
    ("published", "same"), [((None, None), True), ((3, 2), True), ((4, 2), False), ((None, 1), False)]
)
def test_a_count_is_as_published_unless_a_known_number_differs(
    published: tuple[int | None, int | None], same: bool
) -> None:
    assert FolderCount("all", 3, 2, *published).as_published == same


def test_verifying_reads_every_file(tmp_path: Path) -> None:
    place = tmp_path / "val"
    save_split(place)
    assert verify(place, "val", progress=False)[-1].triplets == 18
    (place / "color" / "p1" / "000002.png").write_bytes(b"cut")
    with pytest.raises(InputError, match=r"color/p1/000002\.png cannot be read"):
        verify(place, "val", progress=False)


@pytest.mark.parametrize("batch", [1, 256])
def test_verifying_finds_images_of_another_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(bapps_fetch, "_BATCH", batch)
    save_split(tmp_path / "val")
    for part in ("ref", "p0", "p1"):
        save_image(tmp_path / "val" / "color" / part / "000001.png", 1, height=9, width=8)
    with pytest.raises(InputError, match=r"8 x 9|\(9, 8\)"):
        verify(tmp_path / "val", "val", progress=False)


# How they come here.


def bring(folder: Path | None, **options: Any) -> list[FolderCount]:
    return fetch(folder=folder, progress=False, **options)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fail(error: BaseException) -> Callable[..., None]:
    def verify(*_: object, **__: object) -> None:
        raise error

    return verify


def test_fetched_from_its_authors_verified_and_put_in_place(
    host: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(monkeypatch, host.url)
    # The other split stays where it is.
    save_folder(tmp_path / "data" / "2afc" / "train" / "mix", (1.0,))
    assert all(count.as_published for count in bring(tmp_path / "data"))
    assert left(tmp_path / "data" / "2afc") == ["train", "val", "val.json"]
    assert len(files(root=tmp_path / "data")[:]) == 18
    digest = hashlib.sha256(host.body).hexdigest()
    assert read_record(tmp_path / "data" / "2afc" / "val") == Record(host.url, digest, len(host.body))


def test_what_is_here_is_checked_and_not_fetched_again(
    host: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(None, url=host.url)
    there = tmp_path / "cache" / "simlib" / "2afc" / "val"
    assert locate() == there
    monkeypatch.setenv("SIMLIB_DATA", str(tmp_path / "named"))
    assert bring(None, url=host.url)[-1].triplets == 18
    assert len(host.asked) == 1
    assert not (tmp_path / "named").exists()
    (there / "cnn" / "ref" / "000000.png").unlink()
    with pytest.raises(InputError, match="ref lacks 1 of the names"):
        bring(None, url=host.url)


WINNERS = MappingProxyType(dict.fromkeys(VAL_FOLDERS, 2) | {"cnn": 1, "color": 3})


@pytest.mark.parametrize(
    ("changes", "named"), [({"triplets": 19}, "all"), ({"clear_winners": WINNERS}, "cnn, color")], ids=str
)
def test_the_authors_archive_with_other_counts_is_refused_unless_it_is_given_as_a_file(
    host: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], named: str
) -> None:
    published(monkeypatch, host.url, **changes)
    with pytest.raises(InputError, match=rf"does not have the published counts in {named}\..*--archive"):
        bring(tmp_path)
    assert left(tmp_path / "2afc") == []
    # As the message says.
    with pytest.raises(InputError):
        bring(tmp_path, keep=True)
    assert left(tmp_path / "2afc") == ["file"]
    found = bring(tmp_path, archive=tmp_path / "2afc" / "file")
    assert not all(count.as_published for count in found)
    assert left(tmp_path / "2afc") == ["file", "val", "val.json"]


def test_the_archive_is_kept_on_request(host: FileServer, tmp_path: Path) -> None:
    bring(tmp_path, url=host.url, keep=True)
    (archive,) = (tmp_path / "2afc").glob("*.tar.gz")
    assert archive.read_bytes() == host.body


@pytest.mark.parametrize("top", ["2afc", "dataset/2afc"])
def test_an_archive_may_begin_above_the_split(tmp_path: Path, top: str) -> None:
    save_split(tmp_path / "made" / "val")
    own = tmp_path / "own.tar.gz"
    own.write_bytes(tar_of(tmp_path / "made", top))
    bring(tmp_path / "data", archive=own)
    assert len(files(root=tmp_path / "data")) == 18
    assert own.is_file()
    record = read_record(tmp_path / "data" / "2afc" / "val")
    assert record is not None and record.source == "own.tar.gz"


def test_an_interrupted_download_continues(host: FileServer, tmp_path: Path) -> None:
    host.replies = [Reply(stop_at=1000), Reply(403)]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(DownloadError):
        patch.setattr("simlib.fetch.PAUSES", (0.0,))
        bring(tmp_path, url=host.url)
    assert locate("val", tmp_path) is None
    bring(tmp_path, url=host.url)
    assert host.ranges()[-1] == "bytes=999-"
    assert left(tmp_path / "2afc") == ["val", "val.json"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OutputError("the disk is full")], ids=repr)
def test_interrupted_unpacking_starts_anew_without_another_download(
    host: FileServer, body: bytes, tmp_path: Path, error: BaseException
) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(bapps_fetch, "verify", fail(error))
        bring(tmp_path, url=host.url)
    assert locate("val", tmp_path) is None
    (archive,) = left(tmp_path / "2afc")
    # What a killed process leaves.
    save_folder(tmp_path / "2afc" / f".{archive}.unpacked" / "val" / "cnn", (1.0, 0.0))
    # An archive from elsewhere is not taken for this one.
    with serving(body) as other:
        bring(tmp_path, url=other.url)
        assert len(other.asked) == 1
    shutil.rmtree(tmp_path / "2afc" / "val")
    bring(tmp_path, url=host.url)
    assert len(host.asked) == 1
    assert left(tmp_path / "2afc") == ["val", "val.json"]
    assert len(files(root=tmp_path)) == 18


def test_an_archive_that_is_refused_is_fetched_anew_next_time(
    host: FileServer, tmp_path: Path, body: bytes
) -> None:
    made = tmp_path / "made" / "val"
    (made / "cnn" / "p0" / "000001.png").write_bytes(b"broken")
    broken = tar_of(made.parent)
    made.rename(made.with_name("train"))
    for wrong, reason in (
        (b"<html>moved</html>", "damaged"),
        (broken, r"000001\.png"),
        (tar_of(made.parent), "holds no folder val"),
    ):
        host.body = wrong
        with pytest.raises(InputError, match=reason):
            bring(tmp_path, url=host.url)
        assert left(tmp_path / "2afc") == []
    host.body = body
    bring(tmp_path, url=host.url)
    assert len(files(root=tmp_path)) == 18


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Give a place that may be written to"):
        bring(tmp_path / "file", archive=tmp_path / "any.tar.gz")


def test_a_record_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert read_record(tmp_path / "val") is None
    for text in ("{", "[]", json.dumps({"sha": 1})):
        (tmp_path / "val.json").write_text(text)
        with pytest.raises(InputError, match=r"val\.json cannot be read"):
            read_record(tmp_path / "val")


def test_two_at_once_bring_the_data_once(host: FileServer, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: bring(tmp_path / "data", url=host.url), range(2))
    assert first == second
    assert len(host.asked) == 1
