"""Tests of simlib.archives: what is unpacked, and what an archive cannot do."""

from __future__ import annotations

import gzip
import io
import os
import sys
import tarfile
import tracemalloc
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
        files = [path for path in place.rglob("*") if path.is_file()]
        return {path.relative_to(place).as_posix(): path.read_bytes() for path in files}


def assert_nothing_left(folder: Path) -> None:
    left = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
    assert left == ["elsewhere", "elsewhere/data.tar.gz"]


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_files_and_folders_come_out_whatever_the_format(tmp_path: Path, format: int) -> None:
    # A Linux whose language is set to C holds no other letters in names.
    letter = "é" if sys.getfilesystemencoding() == "utf-8" else "e"
    long = "a" * 60 + "/" + "b" * 90 + f"/{letter}.txt"
    tar = tar_of(
        entry(".", b"", type=tarfile.DIRTYPE),
        entry("val", b"", type=tarfile.DIRTYPE, mode=0),
        entry("./val/1.txt", b"one", mode=0o4755, uid=0, mtime=1),
        entry("val/deep/er/2.txt", b""),
        entry(long, bytes(2048)),
        format=format,
    )
    archive = packed(tmp_path, tar)
    assert unpack(archive, tmp_path) == {"val/1.txt": b"one", "val/deep/er/2.txt": b"", long: bytes(2048)}
    assert_nothing_left(tmp_path)


def test_what_is_renamed_stays_without_permissions_and_the_rest_goes_also_after_an_error(
    tmp_path: Path,
) -> None:
    archive = packed(tmp_path, tar_of(entry("val/1.txt", mode=0o4777, mtime=1), entry("rest.txt")))
    # What a killed process left behind.
    (tmp_path / f".{archive.name}.unpacked" / "val" / "half.txt").mkdir(parents=True)
    with pytest.raises(KeyError), unpacked(archive, tmp_path, **LIMITS) as place:
        (place / "val").rename(tmp_path / "val")
        raise KeyError("mine")
    assert [path.name for path in (tmp_path / "val").iterdir()] == ["1.txt"]
    status = (tmp_path / "val" / "1.txt").stat()
    assert status.st_mode & 0o7111 == 0
    assert status.st_mtime > 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "val"]


def test_what_a_system_left_in_an_archive_is_passed_over_and_not_counted(tmp_path: Path) -> None:
    left = [entry(name) for name in ("__MACOSX/set/._cat.png", "set/._cat.png", "set/.DS_Store", "._set")]
    archive = packed(tmp_path, tar_of(*left, entry("set/cat.png"), entry("set/Thumbs.db")))
    assert unpack(archive, tmp_path, most_files=1) == {"set/cat.png": b"content"}


def header(kind: bytes, size: int, content: bytes = b"") -> bytes:
    """A header that says something about the next entry, and claims to have so many bytes."""
    info = tarfile.TarInfo("more")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT) + content.ljust(512, b"\0")


FOLDER = {"type": tarfile.DIRTYPE}
SPARSE = {"GNU.sparse.map": "0,7", "GNU.sparse.size": "99999"}
GLOBAL = header(tarfile.XGLTYPE, 512, b"9 a=bcde\n")
OUT, SYSTEM, TWICE = "leads out", "does not mean the same", "occurs twice"
MISSING = "a damaged or missing header"
KIND = "is neither a file nor a folder"
HOSTILE: dict[str, tuple[bytes, str]] = {
    "parent": (tar_of(entry("../evil.txt")), OUT),
    "parent inside": (tar_of(entry("val/../../evil.txt")), OUT),
    "absolute": (tar_of(entry("/evil.txt")), OUT),
    "nameless": (tar_of(entry("", pax_headers={"path": ""})), OUT),
    "backslash": (tar_of(entry("..\\evil.txt")), SYSTEM),
    "drive": (tar_of(entry("C:evil.txt")), SYSTEM),
    # Only an extended header can carry a NUL.
    "nul": (tar_of(entry("a", pax_headers={"path": "a\0b"})), SYSTEM),
    "newline": (tar_of(entry("a\nb")), SYSTEM),
    "symlink": (
        tar_of(entry("ln", b"", type=tarfile.SYMTYPE, linkname="/a"), entry("ln/a")),
        f"'ln' {KIND}",
    ),
    "hardlink": (tar_of(entry("a"), entry("ln", b"", type=tarfile.LNKTYPE, linkname="a")), f"'ln' {KIND}"),
    "device": (tar_of(entry("null", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=3)), f"'null' {KIND}"),
    "pipe": (tar_of(entry("pipe", b"", type=tarfile.FIFOTYPE)), KIND),
    "twice": (tar_of(entry("a.txt"), entry("a.txt", b"other")), TWICE),
    "twice in other words": (tar_of(entry("a.txt"), entry("./a.txt", b"other")), TWICE),
    "folder over file": (tar_of(entry("a"), entry("a", b"", **FOLDER)), TWICE),
    "file over folder": (tar_of(entry("a/b"), entry("a")), TWICE),
    "file inside file": (tar_of(entry("a"), entry("a/b/c")), TWICE),
    "bomb": (tar_of(entry("zeros", bytes(2_000_000))), "more than 1000000 bytes"),
    "bomb behind the end": (tar_of(entry("a")) + bytes(2_000_000), "more than 1000000 bytes"),
    "many files": (tar_of(*(entry(f"{i}", b"") for i in range(101))), "more than 100 files"),
    "long header": (header(tarfile.GNUTYPE_LONGNAME, 1 << 33), "a header claims"),
    "negative header": (header(tarfile.GNUTYPE_LONGNAME, -512), "a header claims"),
    "chain of headers": (GLOBAL * 900, "damaged"),
    "sparse": (tar_of(entry("a", pax_headers=SPARSE)), "claims a size that it does not have"),
    # The size leads back to the header itself: read twice, it would be read for ever.
    "negative size": (tar_of(entry("a", pax_headers={"size": "-2048"}), entry("b")), "damaged"),
    "no archive": (b"<html>Not found</html>" * 99, "damaged"),
    "nothing": (b"", "damaged"),
    "cut": (tar_of(entry("a", bytes(9000)))[:6000], "damaged"),
    "damaged header": (
        tar_of(entry("a"), entry("name")).replace(b"name", b"nape"),
        MISSING,
    ),
    # Such an archive has no end, or goes on behind it.
    "cut between files": (tar_of(entry("a"), entry("b"))[:1024], MISSING),
    "zero header": (bytes(512).join([tar_of(entry("a"))[:1024], tar_of(entry("b"))]), "behind its end"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing(tmp_path: Path, kind: str) -> None:
    content, message = HOSTILE[kind]
    archive = packed(tmp_path, content)
    tracemalloc.start()
    with pytest.raises(InputError, match=message) as caught:
        unpack(archive, tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "data.tar.gz" in str(caught.value)
    assert_nothing_left(tmp_path)
    assert peak < 8_000_000


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999, 1.0])
def test_an_archive_that_is_cut_or_has_a_wrong_checksum_is_refused(tmp_path: Path, share: float) -> None:
    noise = os.urandom(5000)
    archive = packed(tmp_path, tar_of(entry("a", noise), entry("b", noise)))
    content = bytearray(archive.read_bytes())
    content[-6] ^= share == 1.0
    archive.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match="damaged"):
        unpack(archive, tmp_path)
    assert_nothing_left(tmp_path)


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


def test_what_is_absent_and_a_full_disk_have_errors_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match=r"no archive .*absent\.tar\.gz"):
        unpack(tmp_path / "absent.tar.gz", tmp_path)
    archive = packed(tmp_path, tar_of(entry("a")))
    with pytest.raises(OutputError, match="may be written to"):
        unpack(archive, tmp_path / "absent")
    monkeypatch.setattr(tarfile.TarFile, "extract", fail)
    with pytest.raises(OutputError, match="No space left"):
        unpack(archive, tmp_path)
    assert_nothing_left(tmp_path)
