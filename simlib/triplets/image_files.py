"""Image files: read as 8-bit levels or refused with their name, and written without loss.

The table in ``book/how-to-run.md``, section Data, says which files are read; each of its rows is tested.
"""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from simlib.errors import InputError
from simlib.files import listed, written_whole
from simlib.given import given_path, pointer_hint
from simlib.kernels.images import from_8bit, to_8bit, validate_images

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
"""How the names of image files end, in lower case, where a folder is searched for them."""

KINDS = ", ".join(suffix[1:].upper() for suffix in SUFFIXES)
"""The same kinds of file, for messages."""

# Pillow knows dozens of formats, and starts a program for one of them (EPS), whatever the file is called.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
_MOST_PIXELS = 64_000_000

_NOT_READ = (".tif", ".tiff", ".jp2", ".j2k", ".heic", ".heif", ".avif", ".jxl", ".gif", ".bmp", ".ppm")
"""How the names of images end that a folder is not searched for."""

_BEGINNINGS = r"\x89PNG|\xff\xd8|RIFF|BM|GIF8"
"""How files begin that can be read."""

_OTHERS = {
    r"II[*+]\0|MM\0[*+]": "a TIFF file",
    r"\0\0\0\x0cjP  |\xff\x4f\xff\x51": "a JPEG 2000 file",
    r"\0\0\0\x0cJXL |\xff\x0a": "a JPEG XL file",
    r".{4}ftyp(avif|avis)": "an AVIF file",
    r".{4}ftyp(hei|hev|mif|msf)": "a HEIC file",
    r"8BPS": "a Photoshop file",
    r"%PDF": "a PDF file",
    r"P[1-7]\s": "a PNM file",
    r"\s*<(!DOCTYPE|html)": "a web page, as servers send where a file is missing",
    r"\s*<(\?xml|svg)": "a file of XML, perhaps SVG",
    r"\0\x05\x16\x07": "what macOS leaves beside a file",
    r"$": "empty",
}
"""Patterns of how other files begin, and what these are."""


def read_image(path: str | os.PathLike[str]) -> torch.Tensor:
    """Read an 8-bit image file as a float image.

    Grey becomes RGB, transparency is laid on white, and the camera's rotation mark is followed.

    Args:
        path: a PNG, JPEG, WebP, BMP or GIF file of one picture; its name does not matter.

    Returns:
        float32 tensor ``(3, H, W)`` in ``[0, 1]``.

    Raises:
        InputError: the file is absent, damaged, no such image, animated, CMYK, too large, or of more than
            8 bits a channel.
    """
    return from_8bit(torch.from_numpy(read_levels(path)).permute(2, 0, 1).contiguous())


def read_levels(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read an image file as :func:`read_image` does, but return its 8-bit levels, uint8 ``(H, W, 3)``."""
    with _opened(path) as opened:
        _validate_kind(opened, path)
        image = ImageOps.exif_transpose(opened)
        if image.has_transparency_data:
            foreground = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", foreground.size, "white"), foreground)
        return np.array(image.convert("RGB"), dtype=np.uint8)


def read_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return width and height as the header of an image file states them; the pixels are not read.

    Raises:
        InputError: the file is absent, not such an image, or too large.
    """
    with _opened(path) as image:
        return image.size


def write_image(image: torch.Tensor, path: str | os.PathLike[str]) -> Path:
    """Write one image to a PNG file, rounded to 8 bits; the file is written whole or not at all.

    Args:
        image: float tensor ``(3, H, W)`` in ``[0, 1]``.
        path: where to, ending in ``.png``; an existing file is replaced.

    Returns:
        The path written to.

    Raises:
        InputError: not an image of that shape and range, or another file type (which might lose detail).
        OutputError: the file cannot be written there.
    """
    target = given_path(path)
    if target.suffix.lower() != ".png":
        raise InputError(f"{target} does not end in .png. Only PNG keeps every level of an attacked image.")
    if not isinstance(image, torch.Tensor) or image.ndim != 3:
        raise InputError("write_image takes one image (3, H, W). Of a batch, write images[i].")
    validate_images(image.unsqueeze(0), "image")
    levels = to_8bit(image).permute(1, 2, 0).cpu().numpy()
    with written_whole(target) as temporary:
        Image.fromarray(levels).save(temporary, format="PNG")
    return target


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[ImageFile.ImageFile]:
    """Open an image file; whatever goes wrong while it is read becomes an error with its name."""
    try:
        with warnings.catch_warnings():
            # Such files are refused below, with a message of their own.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(given_path(path), formats=_FORMATS)
        with image:
            if image.width * image.height > _MOST_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except InputError:
        raise
    except FileNotFoundError as error:
        hint = pointer_hint(given_path(path)) or "Check the path."
        raise InputError(f"There is no image file {os.fspath(path)}. {hint}") from error
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{os.fspath(path)} claims more than {_MOST_PIXELS // 1_000_000} million pixels. "
            "Cut it or scale it down first."
        ) from error
    # What Pillow's decoders raise on a damaged file is documented nowhere and is of any kind.
    except Exception as error:
        raise InputError(f"The image file {os.fspath(path)} cannot be read: {_why(path, error)}") from error


def not_read(folder: Path) -> str:
    """Say in a sentence of which other formats a folder holds images; empty if of none."""
    found = {file.suffix.lower() for file in listed(folder)} & set(_NOT_READ)
    return f"Its {', '.join(sorted(found))} files are not read: save them as PNG." if found else ""


def _why(path: str | os.PathLike[str], error: Exception) -> str:
    """Say why an image file cannot be read: what it is instead, or else what went wrong."""
    if hint := pointer_hint(given_path(path)):
        return hint
    if not isinstance(error, UnidentifiedImageError):
        return f"{error}. Replace or remove it."
    start = given_path(path).read_bytes()[:64].decode("latin-1")
    kinds = (kind for pattern, kind in _OTHERS.items() if re.match(pattern, start, re.DOTALL | re.IGNORECASE))
    if re.match(_BEGINNINGS, start):
        return "it is damaged or cut short. Replace or remove it."
    return f"it is {next(kinds, 'of another format')}. Only {', '.join(_FORMATS)} are read: save it as PNG."


def _validate_kind(image: ImageFile.ImageFile, path: str | os.PathLike[str]) -> None:
    """Refuse what Pillow would turn into 8-bit RGB by guessing."""
    # The further pictures of an MPO file, as phones write them, are previews.
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        raise InputError(f"{os.fspath(path)} is animated. Save the picture that is meant as a file.")
    # Of these formats only PNG can have more than 8 bits. The decoder's raw mode shows it; the image's mode
    # does not: it is RGB for 16-bit colour too.
    if any(";16B" in str(tile[3]) for tile in image.tile):
        raise InputError(f"{os.fspath(path)} has more than 8 bits a channel. Save it with 8 bits first.")
    if image.mode == "CMYK":
        raise InputError(
            f"{os.fspath(path)} is CMYK, whose colours depend on a profile. Save it as RGB first."
        )
