"""Archives from elsewhere, unpacked such that nothing in them can do harm."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from tqdm import tqdm

from simlib.errors import InputError, OutputError

_HEADERS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
"""Entries that only say more about the next one, such as a long name."""
_CONTENTS = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE)
_MOST_HEADER_BYTES = 65_536
_CHUNK_BYTES = 1 << 20


@contextlib.contextmanager
def unpacked(
    archive: Path, parent: Path, *, most_bytes: int, most_files: int, progress: bool = True
) -> Iterator[Path]:
    """Yield a temporary folder with what a ``.tar.gz`` holds, for the caller to rename what it wants of it.

    Refused are names that lead out of the folder or that systems read in different ways (absolute ones,
    ``..``, backslashes, control characters), names that occur twice, links, devices and all that is neither a
    file nor a folder, and archives that hold more than was allowed. Owners, times and permissions are not
    taken over. The archive is read to its end, and its checksum compared.

    Args:
        archive: the file.
        parent: an existing folder; the temporary one is made in it, on the same disk.
        most_bytes: how much the unpacked archive may hold.
        most_files: how many files and folders it may hold.
        progress: show a progress bar.

    Raises:
        InputError: the archive is absent, damaged, or refused; the message names the entry.
        OutputError: the files cannot be written there.
    """
    if not archive.is_file():
        raise InputError(f"There is no archive {archive}. Check the path.")
    # The name is always the same, so that what a killed process left behind is cleared away.
    folder = parent / f".{archive.name}.unpacked"
    try:
        _unpack(archive, folder, _Budget(most_bytes, most_files), progress)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _RefusedError(Exception):
    """An archive holds what it must not hold."""


class _Budget:
    """How much of an archive may still come."""

    def __init__(self, most_bytes: int, most_files: int) -> None:
        self._bytes, self._most_bytes = 0, most_bytes
        self._files, self._most_files = 0, most_files

    def take_bytes(self, count: int) -> None:
        self._bytes += count
        if self._bytes > self._most_bytes:
            raise _RefusedError(f"it unpacks to more than {self._most_bytes} bytes")

    def take_file(self) -> None:
        self._files += 1
        if self._files > self._most_files:
            raise _RefusedError(f"it holds more than {self._most_files} files")


class _Bounded(io.BufferedIOBase):
    """A stream that raises when more comes out of it than was allowed, whatever its entries claim."""

    def __init__(self, stream: gzip.GzipFile, budget: _Budget) -> None:
        self._stream, self._budget = stream, budget

    def read(self, size: int | None = -1, /) -> bytes:
        content = self._stream.read(size)
        self._budget.take_bytes(len(content))
        return content


class _Entry(tarfile.TarInfo):
    """An entry that is checked before tarfile acts on it."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            entry = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            # tarfile takes a damaged header for the end of the archive, and says nothing.
            if any(buf):
                raise tarfile.ReadError(f"a damaged header: {error}") from error
            raise
        # tarfile would read such a header into memory at once, however long it claims to be.
        if entry.type in _HEADERS and not 0 <= entry.size <= _MOST_HEADER_BYTES:
            raise _RefusedError(f"a header claims to have {entry.size} bytes")
        if entry.type not in _HEADERS + _CONTENTS:
            raise _RefusedError(
                f"{entry.name!r} is neither a file nor a folder, but a link, a device or such"
            )
        return entry


def _unpack(archive: Path, folder: Path, budget: _Budget, progress: bool) -> None:
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        with archive.open("rb") as stream:
            size = archive.stat().st_size
            with tqdm.wrapattr(
                stream, "read", size, desc="unpacking", disable=None if progress else True, leave=False
            ) as counted:
                _extract_all(counted, folder, budget)
    except gzip.BadGzipFile as error:
        raise _fault(archive, f"it is damaged: {error}") from error
    except OSError as error:
        raise OutputError(
            f"{archive} cannot be unpacked into {folder}: {error}. "
            "Check that the folder may be written to and has room."
        ) from error
    except _RefusedError as error:
        raise _fault(archive, str(error)) from error
    # tarfile raises errors of many kinds where a header is damaged.
    except Exception as error:
        raise _fault(archive, f"it is damaged or cut short: {error}") from error


def _fault(archive: Path, reason: str) -> InputError:
    return InputError(
        f"The archive {archive} is refused: {reason}. Get it anew, and from those who publish it."
    )


def _extract_all(stream: Any, folder: Path, budget: _Budget) -> None:
    with gzip.GzipFile(fileobj=stream, mode="rb") as inflated:
        bounded = _Bounded(inflated, budget)
        # A tar stream is never sought backwards, which ends the loops that negative sizes would make.
        with tarfile.open(fileobj=bounded, mode="r|", tarinfo=_Entry) as tar:
            while entry := tar.next():
                # tarfile would remember every entry until the end.
                tar.members.clear()  # pyright: ignore[reportAttributeAccessIssue]
                budget.take_file()
                _validate_name(entry.name)
                _validate_place(entry, folder)
                tar.extract(entry, folder, set_attrs=False, filter="data")
        # gzip compares the checksum at the very end, which lies behind the end of the tar archive.
        while bounded.read(_CHUNK_BYTES):
            pass


def _validate_name(name: str) -> None:
    if name.startswith("/") or not name or ".." in name.split("/"):
        raise _RefusedError(f"the name {name!r} leads out of the folder")
    if "\\" in name or ":" in name or not name.isprintable():
        raise _RefusedError(f"the name {name!r} does not mean the same on every system")


def _validate_place(entry: tarfile.TarInfo, folder: Path) -> None:
    if entry.issparse():
        raise _RefusedError(f"{entry.name!r} claims a size that it does not have")
    place = folder / entry.name
    taken = os.path.lexists(place) and not (entry.isdir() and place.is_dir())
    if taken or any(above.is_file() for above in place.parents[: len(Path(entry.name).parts) - 1]):
        raise _RefusedError(f"the name {entry.name!r} occurs twice")
