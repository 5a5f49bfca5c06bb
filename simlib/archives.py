"""Archives from elsewhere, unpacked such that nothing in them can do harm.

tarfile's data filter does most of it. Refused here is what it lets pass: links, too much content, names that
occur twice or differ between systems, false sizes, and damage that tarfile takes for the end.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from simlib.errors import InputError, OutputError
from simlib.given import is_litter, pointer_hint
from simlib.progress import Bar

_HEADERS = (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
"""Entries that only say more about the next one, such as a long name."""
_CONTENTS = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE)
_MOST_HEADER_BYTES = 65_536


@contextlib.contextmanager
def unpacked(
    archive: Path, parent: Path, *, most_bytes: int, most_files: int, progress: bool = True
) -> Iterator[Path]:
    """Yield a temporary folder with what a ``.tar.gz`` holds, for the caller to rename what it wants of it.

    Owners, times and permissions are not taken over. The checksum at the end of the archive is compared. The
    temporary folder is made in ``parent``, which must exist. ``most_files`` counts folders too. What a system
    has left in the archive, such as ``__MACOSX``, is passed over.

    Raises:
        InputError: the archive is absent, damaged, or refused; the message names the entry.
        OutputError: the files cannot be written there.
    """
    if not archive.is_file():
        raise InputError(f"There is no archive {archive}. Check the path.")
    # The name is always the same, so that what a killed process left behind is cleared away.
    folder = parent / f".{archive.name}.unpacked"
    try:
        _unpack(archive, folder, most_bytes, most_files, progress)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _RefusedError(Exception):
    """An archive holds what it must not hold."""


class _Bounded(gzip.GzipFile):
    """A stream that raises when more comes out of it than was allowed, whatever its entries claim."""

    most_bytes = arrived = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.arrived += len(content)
        if self.arrived > self.most_bytes:
            raise _RefusedError(f"it unpacks to more than {self.most_bytes} bytes")
        return content


class _Entry(tarfile.TarInfo):
    """An entry that is checked before tarfile acts on it."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            entry = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            # tarfile takes a damaged header for the end of the archive, and says nothing.
            if any(buf) or not buf:
                raise tarfile.ReadError(f"a damaged or missing header: {error}") from error
            raise
        # tarfile would read such a header into memory at once, however long it claims to be.
        if entry.type in _HEADERS and not 0 <= entry.size <= _MOST_HEADER_BYTES:
            raise _RefusedError(f"a header claims to have {entry.size} bytes")
        if entry.type not in _HEADERS + _CONTENTS:
            raise _RefusedError(f"{entry.name!r} is neither a file nor a folder, but a link or a device")
        return entry


def _unpack(archive: Path, folder: Path, most_bytes: int, most_files: int, progress: bool) -> None:
    shown = {"desc": "unpacking", "disable": None if progress else True, "leave": False}
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        size = archive.stat().st_size
        with archive.open("rb") as stream, Bar.wrapattr(stream, "read", size, **shown) as counted:
            _extract_all(counted, folder, most_bytes, most_files)
    # tarfile raises errors of many kinds where a header is damaged.
    except Exception as error:
        if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
            raise OutputError(
                f"{archive} cannot be unpacked into {folder}: {error}. "
                "Check that the folder may be written to and has room."
            ) from error
        reason = error if isinstance(error, _RefusedError) else f"it is damaged or cut short: {error}"
        hint = pointer_hint(archive) or "Download it again from those who publish it."
        raise InputError(f"The archive {archive} is refused: {reason}. {hint}") from error


def _extract_all(stream: Any, folder: Path, most_bytes: int, most_files: int) -> None:
    with _Bounded(fileobj=stream, mode="rb") as inflated:
        inflated.most_bytes = most_bytes
        # A tar stream is never sought backwards, which ends the loops that negative sizes would make.
        with tarfile.open(fileobj=inflated, mode="r|", tarinfo=_Entry) as tar:
            count = 0
            while entry := tar.next():
                # tarfile would remember every entry until the end.
                tar.members.clear()  # pyright: ignore[reportAttributeAccessIssue]
                if any(map(is_litter, entry.name.split("/"))):
                    continue
                count += 1
                if count > most_files:
                    raise _RefusedError(f"it holds more than {most_files} files")
                _validate(entry, folder)
                tar.extract(entry, folder, set_attrs=False, filter="data")
            # Behind its end an archive is filled up with zeros. At the very end, gzip compares the checksum.
            rest: Any = tar.fileobj
            while content := rest.read(1 << 20):
                if content.strip(b"\0"):
                    raise _RefusedError("there is something behind its end, or a header is zero")


def _validate(entry: tarfile.TarInfo, folder: Path) -> None:
    name, place = entry.name, folder / entry.name
    if not name or name.startswith("/") or ".." in name.split("/"):
        raise _RefusedError(f"the name {name!r} leads out of the folder")
    if "\\" in name or ":" in name or not name.isprintable():
        raise _RefusedError(f"the name {name!r} does not mean the same on every system")
    if entry.issparse():
        raise _RefusedError(f"{name!r} claims a size that it does not have")
    taken = os.path.lexists(place) and not (entry.isdir() and place.is_dir())
    if taken or any(above.is_file() for above in place.parents if folder in above.parents):
        raise _RefusedError(f"the name {name!r} occurs twice")
