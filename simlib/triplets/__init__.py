"""Where images come from: sets of a reference and two distorted images.

The names below are imported at once, not on first use: the function ``photos`` shares its name with its
module, and a lazy import would hand out the one or the other depending on what was imported before.
"""

from __future__ import annotations

from simlib.triplets.distortions import DISTORTIONS, Distortion
from simlib.triplets.photos import photograph_names, photos
from simlib.triplets.triplets import Index, LabelSource, Triplets, example_triplet, read_image, write_image

__all__ = [
    "DISTORTIONS",
    "Distortion",
    "Index",
    "LabelSource",
    "Triplets",
    "example_triplet",
    "photograph_names",
    "photos",
    "read_image",
    "write_image",
]
