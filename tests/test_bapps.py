"""Tests of simlib.triplets.bapps and .bapps_fetch, on small trees of its layout."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch

from simlib.downloads import sha256_of
from simlib.errors import AbsentError, DownloadError, InputError, OutputError, UnknownNameError
from simlib.triplets import bapps, bapps_fetch
from simlib.triplets.bapps import SPLITS, Split, data_folders, files, locate
from simlib.triplets.bapps_fetch import FolderCount, counts, fetch, read_record, verify
from tests.file_server import FileServer, Reply, serving
from tests.stored_triplets import VAL_FOLDERS, levels, save_folder, save_image, save_split


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


def test_without_a_cache_variable_the_home_folder_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_names_that_bapps_does_not_have_are_refused_with_the_nearest(tmp_path: Path) -> None:
    save_split(tmp_path / "val")
    with pytest.raises(UnknownNameError, match="Did you mean superres"):
        files(folders=["superress"], root=tmp_path)
    with pytest.raises(UnknownNameError, match="mix"):
        files(folders=["mix"], root=tmp_path)
    with pytest.raises(UnknownNameError, match="Did you mean val"):
        files("vall", root=tmp_path)


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


def test_a_count_is_as_published_unless_a_known_number_differs() -> None:
    assert FolderCount("all", 3, 2, None, None).as_published
    assert FolderCount("all", 3, 2, 3, 2).as_published
    assert not FolderCount("all", 3, 2, 4, 2).as_published
    assert not FolderCount("all", 3, 2, None, 1).as_published


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


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_fetched_from_its_authors_verified_and_put_in_place(
    host: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(monkeypatch, host.url)
    found = fetch(folder=tmp_path / "data", progress=False)
    assert all(count.as_published for count in found)
    assert left(tmp_path / "data" / "2afc") == ["val", "val.json"]
    assert len(files(root=tmp_path / "data")[:]) == 18
    record = read_record(tmp_path / "data" / "2afc" / "val")
    (tmp_path / "body").write_bytes(host.body)
    assert record is not None
    assert (record.source, record.size) == (host.url, len(host.body))
    assert record.sha256 == sha256_of(tmp_path / "body")


def test_what_is_here_is_checked_and_not_fetched_again(host: FileServer, tmp_path: Path) -> None:
    fetch(folder=tmp_path, url=host.url, progress=False)
    assert len(host.asked) == 1
    assert fetch(folder=tmp_path, url=host.url, progress=False)[-1].triplets == 18
    assert len(host.asked) == 1
    (tmp_path / "2afc" / "val" / "cnn" / "ref" / "000000.png").unlink()
    with pytest.raises(InputError, match="ref lacks 1 of the names"):
        fetch(folder=tmp_path, url=host.url, progress=False)


def test_by_default_data_go_where_they_are_looked_for(
    host: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(url=host.url, progress=False)
    assert locate() == tmp_path / "cache" / "simlib" / "2afc" / "val"
    monkeypatch.setenv("SIMLIB_DATA", str(tmp_path / "named"))
    fetch(url=host.url, progress=False)
    assert not (tmp_path / "named").exists()


def test_the_authors_archive_with_other_counts_is_refused(
    host: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(monkeypatch, host.url, triplets=19)
    with pytest.raises(InputError, match=r"does not have the published counts in all\..*--archive"):
        fetch(folder=tmp_path, progress=False)
    assert left(tmp_path / "2afc") == []
    # As the message says.
    with pytest.raises(InputError):
        fetch(folder=tmp_path, keep=True, progress=False)
    assert left(tmp_path / "2afc") == ["file"]
    found = fetch(folder=tmp_path, archive=tmp_path / "2afc" / "file", progress=False)
    assert not found[-1].as_published
    assert left(tmp_path / "2afc") == ["file", "val", "val.json"]


def test_one_folder_with_other_counts_is_named(
    host: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    winners = dict.fromkeys(VAL_FOLDERS, 2) | {"cnn": 1, "color": 3}
    published(monkeypatch, host.url, clear_winners=winners)
    with pytest.raises(InputError, match="counts in cnn, color"):
        fetch(folder=tmp_path, progress=False)


def test_the_archive_is_kept_on_request(host: FileServer, tmp_path: Path) -> None:
    fetch(folder=tmp_path, url=host.url, keep=True, progress=False)
    (archive,) = (name for name in left(tmp_path / "2afc") if name.endswith(".tar.gz"))
    assert (tmp_path / "2afc" / archive).read_bytes() == host.body


@pytest.mark.parametrize("top", ["2afc", "dataset/2afc"])
def test_an_archive_may_begin_above_the_split(tmp_path: Path, top: str) -> None:
    save_split(tmp_path / "made" / "val")
    (tmp_path / "own.tar.gz").write_bytes(tar_of(tmp_path / "made", top))
    fetch(folder=tmp_path / "data", archive=tmp_path / "own.tar.gz", progress=False)
    assert len(files(root=tmp_path / "data")) == 18
    assert (tmp_path / "own.tar.gz").is_file()
    record = read_record(tmp_path / "data" / "2afc" / "val")
    assert record is not None
    assert record.source == "own.tar.gz"


def test_the_other_split_stays_where_it_is(tmp_path: Path, host: FileServer) -> None:
    save_folder(tmp_path / "2afc" / "train" / "mix", (1.0,))
    fetch(folder=tmp_path, url=host.url, progress=False)
    assert left(tmp_path / "2afc") == ["train", "val", "val.json"]


def test_an_interrupted_download_goes_on_where_it_stopped(
    host: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.replies = [Reply(stop_at=1000), Reply(status=403)]
    monkeypatch.setattr("simlib.downloads.transfer._PAUSES", (0.0,))
    with pytest.raises(DownloadError):
        fetch(folder=tmp_path, url=host.url, progress=False)
    assert locate("val", tmp_path) is None
    fetch(folder=tmp_path, url=host.url, progress=False)
    assert host.ranges()[-1] == "bytes=1000-"
    assert left(tmp_path / "2afc") == ["val", "val.json"]


def test_interrupted_unpacking_starts_anew_without_another_download(
    host: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bapps_fetch, "verify", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch(folder=tmp_path, url=host.url, progress=False)
    assert locate("val", tmp_path) is None
    (archive,) = left(tmp_path / "2afc")
    # What a killed process leaves.
    half = tmp_path / "2afc" / f".{archive}.unpacked"
    save_folder(half / "val" / "cnn", (1.0, 0.0))
    fetch(folder=tmp_path, url=host.url, progress=False)
    assert len(host.asked) == 1
    assert left(tmp_path / "2afc") == ["val", "val.json"]
    assert len(files(root=tmp_path)) == 18


def test_an_archive_from_elsewhere_is_not_taken_for_another(
    host: FileServer, body: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OutputError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(bapps_fetch, "verify", fail)
        with pytest.raises(OutputError):
            fetch(folder=tmp_path, url=host.url, progress=False)
    with serving(body) as other:
        fetch(folder=tmp_path, url=other.url, progress=False)
        assert len(other.asked) == 1


def test_an_archive_that_is_refused_is_fetched_anew_next_time(tmp_path: Path, body: bytes) -> None:
    with serving(b"<html>moved</html>") as host:
        with pytest.raises(InputError, match="damaged"):
            fetch(folder=tmp_path, url=host.url, progress=False)
        assert left(tmp_path / "2afc") == []
        host.body = body
        fetch(folder=tmp_path, url=host.url, progress=False)
    assert len(files(root=tmp_path)) == 18


def test_an_archive_with_a_broken_image_is_not_put_in_place(tmp_path: Path) -> None:
    save_split(tmp_path / "made" / "val")
    (tmp_path / "made" / "val" / "cnn" / "p0" / "000001.png").write_bytes(b"broken")
    with serving(tar_of(tmp_path / "made")) as host, pytest.raises(InputError, match=r"000001\.png"):
        fetch(folder=tmp_path, url=host.url, progress=False)
    assert left(tmp_path / "2afc") == []


def test_an_archive_of_something_else_says_so(tmp_path: Path) -> None:
    save_folder(tmp_path / "made" / "train" / "mix", (1.0,))
    (tmp_path / "train.tar.gz").write_bytes(tar_of(tmp_path / "made"))
    with pytest.raises(InputError, match="holds no folder val"):
        fetch(folder=tmp_path / "data", archive=tmp_path / "train.tar.gz", progress=False)


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Name another"):
        fetch(folder=tmp_path / "file", archive=tmp_path / "any.tar.gz", progress=False)


def test_a_record_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert read_record(tmp_path / "val") is None
    for text in ("{", "[]", json.dumps({"sha": 1})):
        (tmp_path / "val.json").write_text(text)
        with pytest.raises(InputError, match=r"val\.json cannot be read"):
            read_record(tmp_path / "val")


def test_two_at_once_bring_the_data_once(host: FileServer, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(fetch, folder=tmp_path / "data", url=host.url, progress=False) for _ in range(2)]
    first, second = (each.result() for each in both)
    assert first == second
    assert locate(root=tmp_path / "data") is not None


def test_another_folder_called_val_is_not_taken_for_bapps(tmp_path: Path) -> None:
    (tmp_path / "val" / "n01440764").mkdir(parents=True)
    assert locate(root=tmp_path) is None
