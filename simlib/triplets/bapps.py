"""BAPPS, the Berkeley-Adobe Perceptual Patch Similarity data: where they lie and how they are read.

Source: Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018
(https://arxiv.org/abs/1801.03924). The two-alternative part (2AFC): patches of 64 x 64, each with two
distorted versions, and the share of the people asked (five in the validation split, two in training) who find
p1 more similar to the reference.

What is not known: from which photographs the patches were cut. Each triplet counts as a photograph of its
own, so intervals over triplets may be somewhat too narrow.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from simlib.checkout import DATA_VARIABLE
from simlib.errors import AbsentError, unknown_name
from simlib.given import given_path
from simlib.triplets.layout import read_parts
from simlib.triplets.stored import TripletFiles

HOST = "https://perceptual-similarity.s3.us-west-2.amazonaws.com/dataset"
LICENCE = "see the authors' page, https://github.com/richzhang/PerceptualSimilarity"


@dataclass(frozen=True)
class Split:
    """A part of the data that is published as one archive.

    Attributes:
        name: ``"val"`` or ``"train"``.
        folders: the kinds of distortion, each a folder.
        archive: the name of the published archive.
        gigabytes: about how much is downloaded.
        triplets: how many there are; None where no exact number is known to us.
        clear_winners: how many of a folder have votes that all went one way, as counted by Ghildyal & Liu
            2023; empty where unknown.
    """

    name: str
    folders: tuple[str, ...]
    archive: str
    gigabytes: float
    triplets: int | None
    clear_winners: Mapping[str, int]

    @property
    def url(self) -> str:
        """Where the authors offer the archive."""
        return f"{HOST}/{self.archive}"


SPLITS: Mapping[str, Split] = MappingProxyType(
    {
        "val": Split(
            "val",
            ("traditional", "cnn", "superres", "deblur", "color", "frameinterp"),
            "twoafc_val.tar.gz",
            1.1,
            36_344,
            MappingProxyType(
                {
                    "traditional": 2_424,
                    "cnn": 2_822,
                    "superres": 3_731,
                    "deblur": 1_707,
                    "color": 1_091,
                    "frameinterp": 452,
                }
            ),
        ),
        "train": Split(
            "train", ("traditional", "cnn", "mix"), "twoafc_train.tar.gz", 5.3, None, MappingProxyType({})
        ),
    }
)
"""The two splits by name."""


def split_of(name: str) -> Split:
    """Return what is known of a split.

    Raises:
        UnknownNameError: it is neither ``"val"`` nor ``"train"``.
    """
    if name not in SPLITS:
        raise unknown_name("split of BAPPS", name, SPLITS)
    return SPLITS[name]


def data_folders() -> list[Path]:
    """List the folders where data are looked for, in order; fetched data go to the first."""
    cache = given_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "simlib"
    named = os.environ.get(DATA_VARIABLE)
    return [given_path(named), cache] if named else [cache]


def locate(split: str = "val", root: Path | None = None) -> Path | None:
    """Find the folder of a split on this machine; it is not checked.

    Args:
        split: ``"val"`` or ``"train"``.
        root: the folder ``2afc`` or one above it; None looks in :func:`data_folders`.

    Raises:
        UnknownNameError: there is no such split.
    """
    name = split_of(split).name
    roots = data_folders() if root is None else [given_path(root)]
    candidates = (above / inside / name for above in roots for inside in ("2afc", "", "dataset/2afc"))
    return next((path for path in candidates if _is_split(path, split)), None)


def _is_split(path: Path, split: str) -> bool:
    """Tell a split from another folder that happens to be called ``val`` or ``train``."""
    return any((path / folder / "ref").is_dir() for folder in split_of(split).folders)


def files(
    split: str = "val", folders: Sequence[str] | None = None, *, root: str | os.PathLike[str] | None = None
) -> TripletFiles:
    """List the triplets of BAPPS; images are read when they are asked for.

    Args:
        split: ``"val"`` or ``"train"``.
        folders: kinds of distortion; None takes all of the split.
        root: the folder ``2afc`` or one above it; None looks in the folder that ``SIMLIB_DATA`` names, then
            in the user's cache.

    Returns:
        Triplets with human labels, named such as ``"val/cnn/000123"``, folder by folder.

    Raises:
        AbsentError: BAPPS is not there.
        UnknownNameError: a split or a folder that BAPPS does not have.
        InputError: the data are not complete, or a vote cannot be read.
    """
    place = locate(split, None if root is None else Path(root))
    if place is None:
        looked = root if root is not None else " or ".join(str(folder) for folder in data_folders())
        more = "" if split == "val" else f" --split {split}"
        raise AbsentError(f"BAPPS ({split}) is not in {looked}. Fetch it: `simlib data bapps{more}`.")
    return read_split(place, split, folders)


def read_split(place: Path, split: str, folders: Sequence[str] | None = None) -> TripletFiles:
    """List the triplets in the folder of a split, as :func:`files` does where it finds that folder.

    Raises:
        UnknownNameError: a split or a folder that BAPPS does not have.
        InputError: the data are not complete, or a vote cannot be read.
    """
    known = split_of(split).folders
    for folder in folders or ():
        if folder not in known:
            raise unknown_name(f"folder of BAPPS {split}", folder, known)
    return read_parts(place, known if folders is None else tuple(dict.fromkeys(folders)), judged=True)
