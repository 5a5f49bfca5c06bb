"""The layout of BAPPS: folders ``ref``, ``p0``, ``p1`` and ``judge`` whose files share their names.

An image is ``ref/NAME.png`` (or JPEG, WebP), and the vote about it ``judge/NAME.npy``: one number, the share
of people who find p1 more similar. The suffixes of a triplet's images need not be the same.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from simlib.errors import InputError
from simlib.files import listed
from simlib.given import pointer_hint
from simlib.progress import PATIENCE, Bar
from simlib.triplets.image_files import KINDS, SUFFIXES, not_read
from simlib.triplets.stored import StoredTriplet, TripletFiles

_IMAGES = ("ref", "p0", "p1")
# NumPy's own files of one number have 130 bytes.
_MOST_JUDGE_BYTES = 4096


def read_folder(folder: Path) -> TripletFiles:
    """List the triplets of a folder that has the layout, or of its subfolders that have it.

    Args:
        folder: with ``ref``, ``p0``, ``p1`` and, if anybody was asked, ``judge``; or with folders of such.

    Returns:
        Triplets with human labels, NaN where there is no folder ``judge``. What they were cut from is not
        known, so each counts as a photograph of its own. The name of the folder stands for what was done to
        them.

    Raises:
        InputError: no such folders, an image or vote without its counterparts, or a vote that cannot be read.
    """
    whole = any((folder / part).is_dir() for part in _IMAGES)
    below = [path.name for path in listed(folder) if not path.name.startswith(".")]
    parts = [""] if whole else [name for name in below if (folder / name / "ref").is_dir()]
    if not parts:
        raise InputError(
            f"{folder} holds neither the folders ref, p0 and p1 nor folders that hold them. "
            "Give such a folder."
        )
    return read_parts(folder, parts, judged=False)


def read_parts(folder: Path, parts: Sequence[str], *, judged: bool) -> TripletFiles:
    """List the triplets of some subfolders, one after the other, as :func:`read_folder` does.

    Args:
        folder: its name begins the names of the triplets, such as ``"val/cnn/000123"``.
        parts: subfolders that have the layout; ``""`` is the folder itself.
        judged: whether every subfolder must have a folder ``judge``.
    """
    listed = {part: _list_part(folder / part, judged) for part in parts}
    # A path such as ".." has no name of its own.
    whole = os.path.basename(os.path.abspath(folder))
    found = [(part, files, stem) for part, files in listed.items() for stem in files["ref"]]
    rows: list[StoredTriplet] = []
    for part, files, stem in Bar(
        found, "reading votes", unit="triplet", delay=PATIENCE, disable=None, leave=False
    ):
        ref, p0, p1 = (files[each][stem] for each in _IMAGES)
        judge = read_judge(files["judge"][stem]) if "judge" in files else float("nan")
        name = "/".join(filter(None, (whole, part, stem)))
        kind = part or whole
        rows.append(StoredTriplet(ref, p0, p1, judge, name, name, kind, (kind, kind)))
    return TripletFiles(tuple(rows), "human")


def read_judge(path: Path) -> float:
    """Read a vote: a NumPy file of one number in ``[0, 1]``, or NaN; a pickle is never executed.

    Raises:
        InputError: the file is absent, not such a file, or its number is out of range.
    """
    try:
        with path.open("rb") as stream:
            value = np.load(io.BytesIO(stream.read(_MOST_JUDGE_BYTES)), allow_pickle=False)
        if value.dtype.kind not in "fiub":
            raise ValueError("not a real number")
        share = float(value.item())
    # A damaged header makes NumPy raise errors of many kinds.
    except Exception as error:
        raise InputError(
            f"The judge file {path} is not a NumPy file of one number; a pickle is not read. "
            + (pointer_hint(path) or f"Write it by numpy.save(path, share). ({type(error).__name__})")
        ) from error
    if share < 0 or share > 1:
        raise InputError(
            f"The judge file {path} holds {share:.6g}; it is the share who prefer p1, in [0, 1]. "
            "Divide the votes for p1 by all votes."
        )
    return share


def _list_part(folder: Path, judged: bool) -> dict[str, dict[str, Path]]:
    """List the files of a folder in the layout, by part and name; all parts have the same names."""
    listed = {part: _list_files(folder / part, SUFFIXES) for part in _IMAGES}
    for part in _IMAGES:
        if listed[part] and (hint := not_read(folder / part)):
            # A triplet of such files alone would be missing without a word.
            raise InputError(f"{folder / part} holds images that cannot be read. {hint}")
    refs = listed["ref"].keys()
    if not refs:
        hint = not_read(folder / "ref")
        raise InputError(f"{folder / 'ref'} holds no image. Put {KINDS} files there. {hint}".rstrip())
    if judged or (folder / "judge").is_dir():
        listed["judge"] = _list_files(folder / "judge", (".npy",))
    for part, files in listed.items():
        for lacking, having, names in (
            (part, "ref", refs - files.keys()),
            ("ref", part, files.keys() - refs),
        ):
            if names:
                raise InputError(
                    f"{folder / lacking} lacks {len(names)} of the names in {having}, the first "
                    f"{min(names)!r}. Add what is missing or remove its counterparts. "
                    f"{not_read(folder / lacking)}".rstrip()
                )
    return listed


def _list_files(folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    """List files by their names without suffix, in order; hidden files and other kinds are left out."""
    found: dict[str, Path] = {}
    try:
        entries = sorted(os.listdir(folder))
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be read: {error.strerror}. Check the path.") from error
    for entry in entries:
        stem, suffix = os.path.splitext(entry)
        if suffix.lower() in suffixes and not entry.startswith("."):
            if stem in found:
                raise InputError(
                    f"{folder} holds both {found[stem].name} and {entry}. Keep the one that is meant."
                )
            found[stem] = folder / entry
    return found
