"""Where images come from: sets of a reference and two distorted images.

All names are imported at once: ``photos`` is a function and also the name of its module, and an import on
first use would give the one or the other.
"""

from __future__ import annotations

from simlib.triplets.distortions import DISTORTIONS, Distortion
from simlib.triplets.embedded import EMBEDDED
from simlib.triplets.image_files import read_image, write_image
from simlib.triplets.photos import photos
from simlib.triplets.sources import draw, open_triplets
from simlib.triplets.stored import TripletFiles
from simlib.triplets.triplets import Index, LabelSource, Triplets, example_triplet, require_triplets

__all__ = [
    "DISTORTIONS",
    "EMBEDDED",
    "Distortion",
    "Index",
    "LabelSource",
    "TripletFiles",
    "Triplets",
    "draw",
    "example_triplet",
    "open_triplets",
    "photos",
    "read_image",
    "require_triplets",
    "write_image",
]
