"""BAPPS from the network or an archive to a folder, checked against what is published about it.

No checksum of the archives is published. So their contents are checked: every file is read, the triplets and
the clear winners are counted, and the SHA-256 seen is written beside the data.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from simlib.archives import unpacked
from simlib.errors import InputError, OutputError
from simlib.fetch import fetch as download
from simlib.fetch import one_at_a_time
from simlib.files import sha256_of, written_whole
from simlib.given import given_path
from simlib.progress import Bar
from simlib.triplets.bapps import Split, data_folders, locate, read_split, split_of
from simlib.triplets.stored import TripletFiles

_MOST_BYTES = 16 << 30
_MOST_FILES = 1_000_000
_BATCH = 256


@dataclass(frozen=True)
class FolderCount:
    """How many triplets, and how many whose votes all went one way, a folder of BAPPS holds and should hold.

    ``folder`` is ``"all"`` for the sum; a published number is None where we know none.
    """

    folder: str
    triplets: int
    clear_winners: int
    published_triplets: int | None
    published_clear_winners: int | None

    @property
    def as_published(self) -> bool:
        """Whether no published number differs."""
        pairs = (self.published_triplets, self.triplets), (self.published_clear_winners, self.clear_winners)
        return all(published in (None, found) for published, found in pairs)


@dataclass(frozen=True)
class Record:
    """What is written beside the data: the origin of their archive, its SHA-256 and its size in bytes."""

    source: str
    sha256: str
    size: int


def fetch(
    split: str = "val",
    folder: Path | None = None,
    *,
    url: str = "",
    archive: Path | None = None,
    keep: bool = False,
    progress: bool = True,
) -> list[FolderCount]:
    """Bring a split of BAPPS to this machine if it is not there, and check it in either case.

    The next call continues an interrupted download, and starts interrupted unpacking anew. While one process
    fetches, others wait for what it brings.

    Args:
        split: ``"val"`` or ``"train"``.
        folder: where data go and are looked for; None takes the folders of
            :func:`~simlib.triplets.bapps.data_folders`.
        url: where the archive is; the authors' address if empty.
        archive: a file to unpack instead of a download; it is never removed.
        keep: do not remove the downloaded archive after it was unpacked.
        progress: show progress bars.

    Returns:
        The counts by folder, and their sum last. Where the archive came from elsewhere than the authors'
        address they may differ from the published ones.

    Raises:
        DownloadError: the archive cannot be downloaded.
        InputError: the archive is refused, a file in it cannot be read, or the counts of the authors' own
            archive are not the published ones; nothing is put in place.
        OutputError: something cannot be written.
        UnknownNameError: there is no such split.
    """
    part, there = split_of(split), locate(split, folder)
    if there is None:
        target = (data_folders()[0] if folder is None else given_path(folder)) / "2afc" / split
        with one_at_a_time(target.with_name(f".{split}.lock"), f"BAPPS {split}", progress):
            there = locate(split, folder)
            if there is None and archive is not None:
                return _put(part, archive, archive.name, target, progress)
            if there is None:
                return _download_and_put(part, url or part.url, target, keep, progress)
    return verify(there, split, progress=progress)


def verify(place: Path, split: str, *, progress: bool = True) -> list[FolderCount]:
    """Read every file of a split and count its triplets.

    Args:
        place: the folder of the split.
        split: ``"val"`` or ``"train"``.
        progress: show a progress bar.

    Returns:
        The counts by folder, and their sum last.

    Raises:
        InputError: a file cannot be read, lacks its counterpart, or has another size than the others.
        UnknownNameError: there is no such split.
    """
    stored = read_split(place, split)
    sizes: set[tuple[int, ...]] = set()
    with Bar(desc="checking", total=len(stored), unit="triplet", disable=None if progress else True) as bar:
        for batch in stored.batches(_BATCH):
            sizes.add(tuple(batch.ref.shape[2:]))
            bar.update(len(batch))
    if len(sizes) > 1:
        raise InputError(
            f"The images in {place} differ in size: {sorted(sizes)}. They are not those of BAPPS."
        )
    return counts(stored, split)


def counts(stored: TripletFiles, split: str) -> list[FolderCount]:
    """Count the triplets of a split by folder, and their sum last; no image is read.

    Raises:
        UnknownNameError: there is no such split.
    """
    part = split_of(split)
    triplets, winners = Counter(stored.folders), Counter(stored.clear_winners().folders)
    known = part.clear_winners
    rows = [
        FolderCount(folder, triplets[folder], winners[folder], None, known.get(folder))
        for folder in part.folders
    ]
    known_total = sum(known.values()) if known else None
    return [*rows, FolderCount("all", triplets.total(), winners.total(), part.triplets, known_total)]


def read_record(place: Path) -> Record | None:
    """Return what is written about their archive beside the data in the folder of a split, if anything is.

    Raises:
        InputError: it is there, but cannot be read.
    """
    path = _record_path(place)
    if not path.is_file():
        return None
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read: {error}. Remove it; it only says where the data came from."
        ) from error


def _record_path(place: Path) -> Path:
    return place.with_name(f"{place.name}.json")


def _download_and_put(split: Split, url: str, target: Path, keep: bool, progress: bool) -> list[FolderCount]:
    published = url == split.url
    # An archive from elsewhere has another name, so that one is not taken for the other.
    origin = "" if published else f"{hashlib.sha256(url.encode()).hexdigest()[:8]}-"
    title = f"BAPPS {split.name} ({f'{split.gigabytes} GB' if published else url})"
    archive = download(url, target.with_name(origin + split.archive), title=title, progress=progress)
    try:
        return _put(split, archive, url, target, progress)
    except BaseException as error:
        # Unless the archive is at fault, it serves the next attempt.
        keep = keep or not isinstance(error, InputError)
        raise
    finally:
        if not keep:
            archive.unlink(missing_ok=True)


def _put(split: Split, archive: Path, source: str, target: Path, progress: bool) -> list[FolderCount]:
    """Unpack an archive, check what it holds, and only then put it in its place."""
    limits = {"most_bytes": _MOST_BYTES, "most_files": _MOST_FILES}
    with unpacked(archive, target.parent, **limits, progress=progress) as folder:
        found = locate(split.name, folder)
        if found is None:
            raise InputError(
                f"The archive {archive} holds no folder {split.name}. Is it that of another split?"
            )
        counted = verify(found, split.name, progress=progress)
        unlike = [count.folder for count in counted if not count.as_published]
        if source == split.url and unlike:
            raise InputError(
                f"The archive from {source} does not have the published counts in {', '.join(unlike)}. "
                "Nothing was put in place. To use it all the same: give --keep, and then --archive FILE."
            )
        record = Record(source, sha256_of(archive), archive.stat().st_size)
        with written_whole(_record_path(target)) as temporary:
            temporary.write_text(json.dumps(vars(record), indent=2) + "\n", encoding="utf-8")
        try:
            found.rename(target)
        except OSError as error:
            raise OutputError(f"{target} cannot be made: {error}. Remove what is there.") from error
    return counted
