"""The colour photographs inside the scikit-image wheel: what they show, whose they are, under what terms.

Source of the terms: the docstrings of ``skimage.data``. Its other colour photographs would be downloaded.
"""

from __future__ import annotations

from typing import NamedTuple


class EmbeddedPhotograph(NamedTuple):
    """One scene.

    Attributes:
        files: the files that show it. Two views of one scene count as one photograph: as two, they would make
            results look more certain than they are.
        shows: what is to be seen.
        source: who made it, or who published it.
        terms: under what terms.
    """

    files: tuple[str, ...]
    shows: str
    source: str
    terms: str


# fmt: off
EMBEDDED: dict[str, EmbeddedPhotograph] = {
    "astronaut": EmbeddedPhotograph(
        ("astronaut.png",), "portrait of an astronaut before a flag and a shuttle", "NASA", "public domain"),
    "chelsea": EmbeddedPhotograph(
        ("chelsea.png",), "face of a cat, fur up close", "Stefan van der Walt", "CC0"),
    "coffee": EmbeddedPhotograph(
        ("coffee.png",), "cup of coffee on a wooden table", "Rachel Michetti", "CC0"),
    "hubble_deep_field": EmbeddedPhotograph(
        ("hubble_deep_field.jpg",), "galaxies on black", "NASA, Hubble", "public domain"),
    "ihc": EmbeddedPhotograph(
        ("ihc.png",), "stained tissue under a microscope", "Center for Microscopy and Molecular Imaging",
        "no known copyright restrictions"),
    "motorcycle": EmbeddedPhotograph(
        ("motorcycle_left.png", "motorcycle_right.png"), "motorcycle in a workshop, two views",
        "Middlebury stereo benchmark 2014", "given with scikit-image; terms of its own are not stated there"),
    "retina": EmbeddedPhotograph(
        ("retina.jpg",), "fundus of an eye", "Mikael Häggström, Wikimedia Commons", "CC0"),
    "rocket": EmbeddedPhotograph(
        ("rocket.jpg",), "launch of a rocket in the evening", "SpaceX", "public domain"),
}
# fmt: on
"""Every photograph by its name, in the order in which they are drawn from."""
