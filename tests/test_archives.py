"""Tests of simlib.archives: what is unpacked, and what an archive cannot do."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.archives import unpacked
from simlib.errors import InputError, OutputError

LIMITS: dict[str, Any] = {"most_bytes": 1_000_000, "most_files": 100, "progress": False}


def entry(name: str, content: bytes = b"content", **attributes: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, content


def tar_of(*entries: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def packed(folder: Path, tar: bytes) -> Path:
    """Write the archive into a folder of its own, so that whatever is unpacked beside can be seen."""
    path = folder / "elsewhere" / "data.tar.gz"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(tar, mtime=0))
    return path


def unpack(archive: Path, folder: Path, **limits: Any) -> dict[str, bytes]:
    with unpacked(archive, folder, **(LIMITS | limits)) as place:
        return {
            path.relative_to(place).as_posix(): path.read_bytes()
            for path in sorted(place.rglob("*"))
            if path.is_file()
        }


def assert_nothing_left(folder: Path) -> None:
    assert [path.name for path in folder.iterdir()] == ["elsewhere"]
    assert [path.name for path in (folder / "elsewhere").iterdir()] == ["data.tar.gz"]


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_files_and_folders_come_out_whatever_the_format(tmp_path: Path, format: int) -> None:
    long = "a" * 60 + "/" + "b" * 90 + "/é.txt"
    archive = packed(
        tmp_path,
        tar_of(
            entry(".", b"", type=tarfile.DIRTYPE),
            entry("val", b"", type=tarfile.DIRTYPE, mode=0),
            entry("./val/1.txt", b"one", mode=0o4755, uid=0, mtime=1),
            entry("val/deep/er/2.txt", b""),
            entry(long, bytes(2048)),
            format=format,
        ),
    )
    assert unpack(archive, tmp_path) == {"val/1.txt": b"one", "val/deep/er/2.txt": b"", long: bytes(2048)}
    assert_nothing_left(tmp_path)


def test_what_is_renamed_stays_and_takes_over_no_permission(tmp_path: Path) -> None:
    archive = packed(tmp_path, tar_of(entry("val/1.txt", mode=0o4777, mtime=1)))
    with unpacked(archive, tmp_path, **LIMITS) as place:
        (place / "val").rename(tmp_path / "val")
    status = (tmp_path / "val" / "1.txt").stat()
    assert status.st_mode & 0o7111 == 0
    assert status.st_mtime > 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "val"]


def test_what_a_killed_process_left_behind_is_cleared_away(tmp_path: Path) -> None:
    archive = packed(tmp_path, tar_of(entry("new.txt")))
    with unpacked(archive, tmp_path, **LIMITS) as place:
        pass
    place.mkdir()
    (place / "half.txt").write_text("half")
    assert unpack(archive, tmp_path) == {"new.txt": b"content"}


def long_header(claimed: int) -> bytes:
    """A header of a long name that claims to have so many bytes."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, claimed
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


def global_headers(count: int) -> bytes:
    """Headers, each about the next, and no file behind them."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XGLTYPE, 512
    return (info.tobuf(tarfile.USTAR_FORMAT) + b"9 a=bcde\n".ljust(512, b"\0")) * count


def with_nul() -> bytes:
    """A name with a NUL, which only an extended header can carry."""
    return tar_of(entry("a", pax_headers={"path": "a\0b"}))


def negative_size() -> bytes:
    """An extended header whose size leads back to itself: read twice, it would be read for ever."""
    return tar_of(entry("a", pax_headers={"size": "-2048"}), entry("b"))


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "parent": (lambda: tar_of(entry("../evil.txt")), "leads out"),
    "parent inside": (lambda: tar_of(entry("val/../../evil.txt")), "leads out"),
    "absolute": (lambda: tar_of(entry("/evil.txt")), "leads out"),
    "nameless": (lambda: tar_of(entry("", pax_headers={"path": ""})), "leads out"),
    "backslash": (lambda: tar_of(entry("..\\evil.txt")), "does not mean the same"),
    "drive": (lambda: tar_of(entry("C:evil.txt")), "does not mean the same"),
    "nul": (with_nul, "does not mean the same"),
    "newline": (lambda: tar_of(entry("a\nb")), "does not mean the same"),
    "symlink": (
        lambda: tar_of(entry("link", b"", type=tarfile.SYMTYPE, linkname="/etc"), entry("link/evil.txt")),
        "'link' is neither a file nor a folder",
    ),
    "hardlink": (
        lambda: tar_of(entry("one"), entry("link", b"", type=tarfile.LNKTYPE, linkname="one")),
        "'link' is neither a file nor a folder",
    ),
    "device": (
        lambda: tar_of(entry("null", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=3)),
        "'null' is neither a file nor a folder",
    ),
    "pipe": (lambda: tar_of(entry("pipe", b"", type=tarfile.FIFOTYPE)), "neither a file nor a folder"),
    "twice": (lambda: tar_of(entry("a.txt"), entry("a.txt", b"other")), "occurs twice"),
    "twice in other words": (lambda: tar_of(entry("a.txt"), entry("./a.txt", b"other")), "occurs twice"),
    "folder over file": (
        lambda: tar_of(entry("a"), entry("a", b"", type=tarfile.DIRTYPE)),
        "occurs twice",
    ),
    "file over folder": (lambda: tar_of(entry("a/b"), entry("a")), "occurs twice"),
    "file inside file": (lambda: tar_of(entry("a"), entry("a/b/c")), "occurs twice"),
    "bomb": (lambda: tar_of(entry("zeros", bytes(2_000_000))), "more than 1000000 bytes"),
    "bomb behind the end": (lambda: tar_of(entry("a")) + bytes(2_000_000), "more than 1000000 bytes"),
    "many files": (lambda: tar_of(*(entry(f"{i}", b"") for i in range(101))), "more than 100 files"),
    "long header": (lambda: long_header(1 << 33), "a header claims"),
    "negative header": (lambda: long_header(-512), "a header claims"),
    "chain of headers": (lambda: global_headers(900), "damaged"),
    "sparse": (
        lambda: tar_of(entry("a", pax_headers={"GNU.sparse.map": "0,7", "GNU.sparse.size": "99999"})),
        "claims a size that it does not have",
    ),
    "negative size": (negative_size, "damaged"),
    "no archive": (lambda: b"<html>Not found</html>" * 99, "damaged"),
    "nothing": (lambda: b"", "damaged"),
    "cut": (lambda: tar_of(entry("a", bytes(9000)))[:6000], "damaged"),
    "damaged header": (
        lambda: tar_of(entry("a"), entry("name")).replace(b"name", b"nape"),
        "a damaged header",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing(tmp_path: Path, kind: str) -> None:
    make, message = HOSTILE[kind]
    archive = packed(tmp_path, make())
    tracemalloc.start()
    with pytest.raises(InputError, match=message) as caught:
        unpack(archive, tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "data.tar.gz" in str(caught.value)
    assert_nothing_left(tmp_path)
    assert peak < 8_000_000


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_archive_is_refused(tmp_path: Path, share: float) -> None:
    noise = os.urandom(5000)
    archive = packed(tmp_path, tar_of(entry("a", noise), entry("b", noise)))
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match="damaged"):
        unpack(archive, tmp_path)
    assert_nothing_left(tmp_path)


def test_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    archive = packed(tmp_path, tar_of(entry("a")))
    content = bytearray(archive.read_bytes())
    content[-6] ^= 1
    archive.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        unpack(archive, tmp_path)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_a_damaged_tar_is_unpacked_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    long = "n" * 120
    content = bytearray(tar_of(entry("a/b", bytes(600)), entry(long), entry("c", pax_headers={"size": "7"})))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        header = place - place % 512
        content[place] = data.draw(st.integers(0, 255))
        # A right checksum, or all damage would end there.
        if data.draw(st.booleans()):
            block = content[header : header + 512]
            total = sum(block) - sum(block[148:156]) + 8 * 32
            content[header + 148 : header + 156] = b"%06o\0 " % total
    archive = packed(folder, bytes(content))
    try:
        unpack(archive, folder)
    except InputError as error:
        assert "refused" in str(error)
    assert_nothing_left(folder)


def test_an_absent_archive_and_an_absent_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no archive .*absent\.tar\.gz"):
        unpack(tmp_path / "absent.tar.gz", tmp_path)
    archive = packed(tmp_path, tar_of(entry("a")))
    with pytest.raises(OutputError, match="may be written to"):
        unpack(archive, tmp_path / "absent")


def test_a_full_disk_is_an_output_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    archive = packed(tmp_path, tar_of(entry("a")))
    monkeypatch.setattr(tarfile.TarFile, "extract", fail)
    with pytest.raises(OutputError, match="No space left"):
        unpack(archive, tmp_path)
    assert_nothing_left(tmp_path)


def test_an_error_of_the_caller_passes_and_the_folder_goes(tmp_path: Path) -> None:
    archive = packed(tmp_path, tar_of(entry("a")))
    with pytest.raises(KeyError), unpacked(archive, tmp_path, **LIMITS):
        raise KeyError("mine")
    assert_nothing_left(tmp_path)
