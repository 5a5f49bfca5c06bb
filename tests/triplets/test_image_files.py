"""Tests of simlib.triplets.image_files: what becomes of a file, row by row of the table in how-to-run."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from simlib.errors import InputError, OutputError
from simlib.triplets import read_image, write_image
from simlib.triplets.image_files import read_levels, read_size

EXIF = Image.Exif()
EXIF[0x0112] = 6


def noise(height: int = 5, width: int = 6, channels: int = 3, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def image(height: int = 5, width: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """Put a PNG file together by the specification."""
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, content in chunks:
        checksum = zlib.crc32(kind + content)
        parts += [struct.pack(">I", len(content)), kind, content, struct.pack(">I", checksum)]
    return b"".join(parts)


def png_of(width: int, height: int, depth: int, color: int, rows: bytes, *more: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return png((b"IHDR", header), *more, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))


@pytest.mark.parametrize(("ending", "options"), [("png", {}), ("bmp", {}), ("webp", {"lossless": True})])
def test_lossless_files_come_back_exactly(tmp_path: Path, ending: str, options: dict[str, Any]) -> None:
    levels = noise()
    Image.fromarray(levels).save(tmp_path / f"image.{ending}", **options)
    assert np.array_equal(read_levels(tmp_path / f"image.{ending}"), levels)
    read = read_image(tmp_path / f"image.{ending}")
    assert read.dtype == torch.float32
    assert torch.equal(read, torch.from_numpy(levels).permute(2, 0, 1) / 255)
    assert read_size(tmp_path / f"image.{ending}") == (6, 5)


def test_the_content_decides_and_not_the_name(tmp_path: Path) -> None:
    Image.fromarray(noise(40, 40)).save(tmp_path / "image.png", format="JPEG")
    with Image.open(tmp_path / "image.png") as expected:
        assert expected.format == "JPEG"
        assert np.array_equal(read_levels(tmp_path / "image.png"), np.asarray(expected))


def test_grey_of_one_two_four_and_eight_bits_spreads_over_the_whole_range(tmp_path: Path) -> None:
    for depth in (1, 2, 4, 8):
        most = 2**depth - 1
        # One row: no filter, then black and white in the first two pixels.
        row = bytes([0, (most << (8 - 2 * depth)) if depth < 8 else 0]) + (b"\xff" if depth == 8 else b"")
        (tmp_path / "grey.png").write_bytes(png_of(2, 1, depth, 0, row))
        assert read_levels(tmp_path / "grey.png").tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_a_palette_gives_its_colours(tmp_path: Path) -> None:
    palette = (b"PLTE", bytes([10, 20, 30, 200, 100, 50]))
    (tmp_path / "palette.png").write_bytes(png_of(2, 1, 8, 3, bytes([0, 1, 0]), palette))
    assert read_levels(tmp_path / "palette.png").tolist() == [[[200, 100, 50], [10, 20, 30]]]
    Image.fromarray(noise()).quantize(4).save(tmp_path / "still.gif")
    with Image.open(tmp_path / "still.gif") as expected:
        assert np.array_equal(read_levels(tmp_path / "still.gif"), np.asarray(expected.convert("RGB")))


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    opaque, half, clear = (255, 0, 0, 255), (255, 0, 0, 102), (255, 0, 0, 0)
    Image.fromarray(np.array([[opaque, half, clear]], dtype=np.uint8)).save(tmp_path / "rgba.png")
    # 102 of 255 is 0.4: the rest of white shines through.
    assert read_levels(tmp_path / "rgba.png").tolist() == [[[255, 0, 0], [255, 153, 153], [255, 255, 255]]]
    Image.fromarray(np.array([[[50, 255], [50, 0]]], dtype=np.uint8), "LA").save(tmp_path / "grey.png")
    assert read_levels(tmp_path / "grey.png").tolist() == [[[50, 50, 50], [255, 255, 255]]]
    clear_entry = (b"PLTE", bytes([10, 20, 30, 200, 100, 50])), (b"tRNS", bytes([0]))
    (tmp_path / "palette.png").write_bytes(png_of(2, 1, 8, 3, bytes([0, 1, 0]), *clear_entry))
    assert read_levels(tmp_path / "palette.png").tolist() == [[[200, 100, 50], [255, 255, 255]]]
    one_colour = (b"tRNS", struct.pack(">HHH", 1, 2, 3))
    (tmp_path / "key.png").write_bytes(png_of(2, 1, 8, 2, bytes([0, 1, 2, 3, 4, 5, 6]), one_colour))
    assert read_levels(tmp_path / "key.png").tolist() == [[[255, 255, 255], [4, 5, 6]]]


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_the_cameras_rotation_mark_is_followed(tmp_path: Path, ending: str) -> None:
    levels = np.zeros((16, 32, 3), dtype=np.uint8)
    levels[:8, :8] = 255
    Image.fromarray(levels).save(tmp_path / f"rotated.{ending}", exif=EXIF)
    read = read_image(tmp_path / f"rotated.{ending}")
    assert read.shape == (3, 32, 16)
    assert float(read[:, :6, 10:].min()) > 0.9
    assert float(read[:, 10:].max()) < 0.1


def test_of_a_jpeg_with_previews_the_first_picture_counts(tmp_path: Path) -> None:
    first, second = (Image.fromarray(noise(32, 32, seed=seed)) for seed in (0, 1))
    first.save(tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=[second])
    with Image.open(tmp_path / "phone.jpg") as expected:
        assert getattr(expected, "n_frames", 1) == 2
        assert np.array_equal(read_levels(tmp_path / "phone.jpg"), np.asarray(expected))


def save_animated(path: Path) -> None:
    frames = [Image.fromarray(noise(seed=seed)) for seed in (0, 1)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def save_deep_colour(path: Path, color: int, channels: int) -> None:
    values = np.arange(channels, dtype=">u2") * 9999
    path.write_bytes(png_of(1, 1, 16, color, b"\0" + values.tobytes()))


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
ANNEX = "/annex/objects/SHA256E-s12345--4d7a2146.png"

REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "animated.gif": (save_animated, "is animated"),
    "animated.webp": (save_animated, "is animated"),
    "animated.png": (save_animated, "is animated"),
    "deep_grey.png": (lambda path: save_deep_colour(path, 0, 1), "more than 8 bits"),
    "deep_rgb.png": (lambda path: save_deep_colour(path, 2, 3), "more than 8 bits"),
    "deep_grey_alpha.png": (lambda path: save_deep_colour(path, 4, 2), "more than 8 bits"),
    "deep_rgb_alpha.png": (lambda path: save_deep_colour(path, 6, 4), "more than 8 bits"),
    "inks.jpg": (lambda path: Image.new("CMYK", (8, 8)).save(path), "is CMYK"),
    "empty.png": (lambda path: path.write_bytes(b""), "cannot be read: it is empty"),
    "text.png": (lambda path: path.write_text("This is no picture. " * 99), "it is of another format"),
    "folder.png": (lambda path: path.mkdir(), "cannot be read"),
    "broken.png": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\nnothing"), "cannot be read.*damaged"),
    "program.png": (
        lambda path: path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"),
        "cannot be read",
    ),
    "tagged.png": (lambda path: Image.new("RGB", (8, 8)).save(path, format="TIFF"), "it is a TIFF file"),
    "scan.tif": (lambda path: Image.new("RGB", (8, 8)).save(path), r"it is a TIFF file\. Only PNG, JPEG"),
    "scan.jp2": (lambda path: Image.new("RGB", (8, 8)).save(path), r"it is a JPEG 2000 file\. Only PNG"),
    "phone.heic": (lambda path: path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0"), "it is a HEIC file"),
    "web.avif": (lambda path: path.write_bytes(b"\0\0\0\x18ftypavif\0\0\0\0"), "it is an AVIF file"),
    "plain.ppm": (lambda path: path.write_bytes(b"P6 1 1 255 abc"), "it is a PNM file"),
    "missing.png": (lambda path: path.write_text("<!doctype html><p>404"), "it is a web page"),
    "._cat.png": (lambda path: path.write_bytes(b"\0\5\x16\7\0\2\0\0"), "what macOS leaves"),
    "large.png": (lambda path: path.write_text(LFS), "pointer of Git LFS.* git lfs pull"),
    "annexed.png": (lambda path: path.write_text(ANNEX), r"pointer of git-annex.* git annex get"),
    "linked.png": (lambda path: path.symlink_to(".git" + ANNEX), r"pointer of git-annex.* git annex get"),
    "unmarked.png": (
        lambda path: path.write_bytes(png_of(1, 1, 8, 0, bytes(2), (b"eXIf", b"MM\0>\0\0\0\x08"))),
        "cannot be read",
    ),
    "absent.png": (lambda path: None, "no image file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_8_bit_picture_is_refused_by_name(tmp_path: Path, name: str) -> None:
    save, message = REFUSED[name]
    save(tmp_path / name)
    with pytest.raises(InputError, match=message) as caught:
        read_image(tmp_path / name)
    assert name in str(caught.value)


def encoded(format: str, side: int, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(side, side)).save(buffer, format=format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_a_truncated_file_is_refused(tmp_path: Path, format: str, share: float) -> None:
    content = encoded(format, 40)
    (tmp_path / "cut.png").write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"cut\.png cannot be read"):
        read_image(tmp_path / "cut.png")


WHOLE = [
    *(encoded(format, 12, exif=EXIF) for format in ("PNG", "JPEG", "WEBP")),
    encoded("GIF", 12),
    encoded("BMP", 12),
]


@settings(deadline=None, max_examples=300)
@given(data=st.data(), whole=st.sampled_from(WHOLE))
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_file_is_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, whole: bytes
) -> None:
    damaged = bytearray(whole)
    places = st.integers(0, len(whole) - 1)
    for place in data.draw(st.lists(places, min_size=1, max_size=6)):
        damaged[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(damaged)
    try:
        levels = read_levels(path)
    except InputError as error:
        assert "damaged" in str(error)
    else:
        assert levels.dtype == np.uint8
        assert levels.shape[2] == 3


@pytest.mark.parametrize("size", [(8_001, 8_000), (10_000, 9_000), (32_000, 32_000), (2**31 - 1, 2**31 - 1)])
@pytest.mark.filterwarnings("error")
def test_a_huge_picture_is_refused_before_memory_is_taken_for_it(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    (tmp_path / "huge.png").write_bytes(png_of(*size, 8, 2, bytes(1000)))
    peaks = list[int]()
    # Twice, because what other threads take counts too.
    for read in (read_image, read_size) * 2:
        tracemalloc.start()
        with pytest.raises(InputError, match=r"huge\.png claims more than 64 million pixels"):
            read(tmp_path / "huge.png")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert max(map(min, peaks[:2], peaks[2:])) < 10_000_000


def test_memory_is_taken_only_for_pictures_that_are_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: ImageFile.ImageFile) -> None:
        raise AssertionError("the pixels were decoded")

    (tmp_path / "huge.png").write_bytes(png_of(8_001, 8_000, 8, 2, bytes(1000)))
    monkeypatch.setattr(ImageFile.ImageFile, "load", refuse)
    with pytest.raises(InputError, match="million pixels"):
        read_levels(tmp_path / "huge.png")


def test_a_saved_image_comes_back_as_its_nearest_levels(tmp_path: Path) -> None:
    picture = image()
    path = write_image(picture, tmp_path / "image.png")
    assert torch.equal(read_image(path), (picture * 255).round() / 255)
    write_image(1 - picture, path)
    assert not torch.equal(read_image(path), (picture * 255).round() / 255)
    assert [file.name for file in tmp_path.iterdir()] == ["image.png"]


def test_a_write_that_fails_halfway_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_image(image(), tmp_path / "image.png")
    before = path.read_bytes()

    def fail(self: Image.Image, file: Path, **_: Any) -> None:
        Path(file).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OutputError, match="no space left"):
        write_image(image(seed=1), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("picture", "name", "error", "message"),
    [
        (image(), "absent/image.png", OutputError, r"image\.png"),
        (image(), "image.jpg", InputError, "Only PNG"),
        (image(), "image", InputError, "Only PNG"),
        (image().unsqueeze(0), "image.png", InputError, r"images\[i\]"),
        (2 * image(), "image.png", InputError, r"leaves \[0, 1\]"),
    ],
)
def test_what_cannot_be_written_is_refused(
    tmp_path: Path, picture: torch.Tensor, name: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        write_image(picture, tmp_path / name)
