"""BAPPS from the network or an archive to a folder, checked against what is published about it.

No checksum of the archives is published. So their contents are checked: every file is read, the triplets and
the clear winners are counted, and the SHA-256 seen is written beside the data.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from simlib.archives import unpacked
from simlib.downloads import download, one_at_a_time, sha256_of
from simlib.errors import InputError, OutputError
from simlib.files import written_whole
from simlib.triplets.bapps import Split, data_folders, locate, read_split, split_of
from simlib.triplets.stored import TripletFiles

_MOST_BYTES = 16 << 30
_MOST_FILES = 1_000_000
_BATCH = 256


@dataclass(frozen=True)
class FolderCount:
    """What was found in a folder of BAPPS, or in all of them.

    Attributes:
        folder: its name; ``"all"`` for the sum.
        triplets: how many it holds.
        clear_winners: how many of them have votes that all went one way.
        published_triplets: how many there should be; None where no number is known to us.
        published_clear_winners: how many of these there should be; None where no number is known to us.
    """

    folder: str
    triplets: int
    clear_winners: int
    published_triplets: int | None
    published_clear_winners: int | None

    @property
    def as_published(self) -> bool:
        """Whether no published number differs."""
        return self.published_triplets in (None, self.triplets) and self.published_clear_winners in (
            None,
            self.clear_winners,
        )


@dataclass(frozen=True)
class Record:
    """What is written beside the data about their archive.

    Attributes:
        source: the address or the file name that the archive came from.
        sha256: its SHA-256 in hexadecimal.
        size: its size in bytes.
    """

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

    An interrupted download is taken up again by the next call; interrupted unpacking starts anew. While one
    process fetches, others wait for what it brings.

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
        DownloadError: the archive cannot be had.
        InputError: the archive is refused, a file in it cannot be read, or the counts of the authors' own
            archive are not the published ones; nothing is put in place.
        OutputError: something cannot be written.
        UnknownNameError: there is no such split.
    """
    part = split_of(split)
    there = locate(split, folder)
    if there is not None:
        return verify(there, split, progress=progress)
    target = (data_folders()[0] if folder is None else folder) / "2afc" / split
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {target.parent} cannot be made: {error}. Name another.") from error
    with one_at_a_time(target.with_name(f".{split}.lock"), f"BAPPS {split}", progress):
        there = locate(split, folder)
        if there is not None:
            return verify(there, split, progress=progress)
        if archive is not None:
            return _put(part, archive, archive.name, target, progress)
        url = url or part.url
        size = f"{part.gigabytes} GB" if url == part.url else url
        arrived = download(
            url, target.parent / _archive_name(part, url), title=f"BAPPS {split} ({size})", progress=progress
        )
        with _removed(arrived, keep):
            return _put(part, arrived, url, target, progress)


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
    with tqdm(desc="checking", total=len(stored), unit="triplet", disable=None if progress else True) as bar:
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
    published = part.clear_winners
    by_folder = [
        FolderCount(folder, triplets[folder], winners[folder], None, published.get(folder))
        for folder in part.folders
    ]
    sum_of_published = sum(published.values()) if published else None
    return [
        *by_folder,
        FolderCount("all", triplets.total(), winners.total(), part.triplets, sum_of_published),
    ]


def read_record(place: Path) -> Record | None:
    """Return what was written beside the data about their archive, if anything was.

    Args:
        place: the folder of the split.

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
            f"{path} cannot be read: {error}. Remove it; it only tells where the data came from."
        ) from error


def _record_path(place: Path) -> Path:
    return place.with_name(f"{place.name}.json")


def _archive_name(split: Split, url: str) -> str:
    """Name the archive after where it comes from, so that one from elsewhere is not taken for it."""
    if url == split.url:
        return split.archive
    return f"{hashlib.sha256(url.encode()).hexdigest()[:8]}-{split.archive}"


@contextlib.contextmanager
def _removed(archive: Path, keep: bool) -> Iterator[None]:
    """Remove a downloaded archive when it has served, or turned out to be of no use."""
    try:
        yield
    except InputError:
        if not keep:
            archive.unlink(missing_ok=True)
        raise
    if not keep:
        archive.unlink(missing_ok=True)


def _put(split: Split, archive: Path, source: str, target: Path, progress: bool) -> list[FolderCount]:
    """Unpack an archive, check what it holds, and only then put it in its place."""
    with unpacked(
        archive, target.parent, most_bytes=_MOST_BYTES, most_files=_MOST_FILES, progress=progress
    ) as folder:
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
