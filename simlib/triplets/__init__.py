"""Where images come from: sets of a reference and two distorted images.

The names below are imported at once, not on first use: the function ``photos`` shares its name with its
module, and a lazy import would hand out the one or the other depending on what was imported before.
"""

from __future__ import annotations

from simlib.triplets.distortions import DISTORTIONS, Distortion
from simlib.triplets.embedded import EMBEDDED
from simlib.triplets.image_files import read_image, write_image
from simlib.triplets.photos import photograph_names, photos
from simlib.triplets.selection import Index
from simlib.triplets.sources import draw, open_triplets
from simlib.triplets.stored import TripletFiles
from simlib.triplets.triplets import LabelSource, Triplets, example_triplet

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
    "photograph_names",
    "photos",
    "read_image",
    "write_image",
]
