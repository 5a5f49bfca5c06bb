"""Where pretrained weights come from, and the check that they are the ones that were asked for.

Looked for in the folder that the environment variable ``SIMLIB_WEIGHTS`` names, then in torch hub's
cache, then downloaded into the first of the two that is set. Where no checksum is published, the SHA-256
that the file had when it was first downloaded is recorded beside it, and holds from then on.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from simlib.checkout import WEIGHTS_VARIABLE
from simlib.errors import AbsentWeightsError, DownloadError, OutputError, WeightsError, unknown_name
from simlib.fetch import fetch as download
from simlib.files import sha256_of, written_whole
from simlib.given import given_path, pointer_hint
from simlib.metrics.catalogue import WEIGHTS, WeightsFile

_AGAIN = "Delete it, and it is fetched anew; if a package brought it, install that again."


def weights_file(name: str) -> WeightsFile:
    """Return the description of the named weights; an ``UnknownNameError`` names the nearest known ones."""
    if name not in WEIGHTS:
        raise unknown_name("weights", name, WEIGHTS)
    return WEIGHTS[name]


def folders(file: WeightsFile) -> list[Path]:
    """List the folders where the file is looked for, in order."""
    if file.package:
        package, _, inside = file.package.partition("/")
        return [Path(str(files(package))) / inside]
    named = os.environ.get(WEIGHTS_VARIABLE)
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    return [given_path(named), cache] if named else [cache]


def locate(name: str, folder: Path | None = None) -> Path | None:
    """Find the named weights on this machine, without a download and without a check.

    If a folder is given, it is the only one that is looked in. What comes with a package is looked for there.
    """
    file = weights_file(name)
    among = [given_path(folder)] if folder and not file.package else folders(file)
    candidates = (each / file_name for each in among for file_name in file.digests)
    return next((path for path in candidates if path.is_file()), None)


def fetch(name: str, folder: Path | None = None) -> Path:
    """Download the named weights, if they are not there yet, and verify them; return the path of the file.

    Args:
        name: one of ``WEIGHTS``.
        folder: where to put them; by default the first folder where they are looked for.

    Raises:
        UnknownNameError: if no weights have this name.
        AbsentWeightsError: if they cannot be downloaded, or their package does not hold them.
        WeightsError: if those that are there are not the right ones.
    """
    file, path = weights_file(name), locate(name, folder)
    if path is not None:
        return verified(file, path)
    if file.package:
        raise AbsentWeightsError(f"{file.title} should come with its package. {_remedy(file)}")
    looked = [given_path(folder)] if folder else folders(file)
    target = looked[0] / next(iter(file.digests))
    expected, record = expected_digest(file, target), _record(target)
    try:
        download(file.url, target, title=file.title, sha256=expected, size=file.size)
        if not expected:
            with written_whole(record) as temporary:
                temporary.write_text(f"{_digest(target)}  {target.name}\n", "utf-8")
    except (DownloadError, OutputError) as error:
        hint = f" The SHA-256 of the first download is recorded in {record}." if record.is_file() else ""
        raise AbsentWeightsError(_absent(file, looked, f"{error}{hint}")) from error
    return verified(file, target)


def expected_digest(file: WeightsFile, path: Path) -> str:
    """Return the published SHA-256, else the one seen at the first download, else nothing."""
    record = _record(path)
    if file.digests[path.name] or not record.is_file():
        return file.digests[path.name]
    return record.read_text(encoding="ascii", errors="replace")[:64].strip()


def _record(path: Path) -> Path:
    """Say where the SHA-256 seen at the first download is kept, in the format of ``sha256sum``."""
    return path.with_name(f"{path.name}.sha256")


def verified(file: WeightsFile, path: Path) -> Path:
    """Return the path if the file's SHA-256 is the published one, or the one seen at the first download.

    A file of which neither is known is let through; its keys and shapes are checked when it is used. A file
    that is another one, or was cut short, is a ``WeightsError``.
    """
    expected = expected_digest(file, path)
    try:
        digest = _digest(path) if expected else ""
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error}. {_remedy(file)}") from error
    if digest != expected:
        source = "published" if file.digests[path.name] else f"recorded in {_record(path)}"
        raise WeightsError(
            f"{path} is not the file it should be ({file.title}): its SHA-256 is {digest}, {source} is "
            f"{expected}. " + (pointer_hint(path) or f"It may have been cut short. {_remedy(file)}")
        )
    return path


def digest_of(name: str) -> str:
    """Return the SHA-256 of the file that holds the named weights, as 64 hex digits.

    Nothing is downloaded: weights that are not on this machine are an ``AbsentWeightsError``.
    """
    file, path = weights_file(name), locate(name)
    if path is None:
        raise AbsentWeightsError(_absent(file, folders(file), "Nothing was downloaded."))
    return _digest(path)


def _digest(path: Path) -> str:
    return _digest_once(path, path.stat().st_mtime_ns, path.stat().st_size)


@functools.cache
def _digest_once(path: Path, modified: int, size: int) -> str:
    """Hash a file of this time stamp and size, once in a process: the large ones take seconds."""
    return sha256_of(path)


def obtain(name: str) -> Path:
    """Find or download the named weights, and verify them; errors are those of :func:`fetch`."""
    path = locate(name)
    return verified(weights_file(name), path) if path else fetch(name)


def read(path: Path) -> dict[str, Tensor]:
    """Read a file of named tensors; nothing in it is executed, and anything else is a ``WeightsError``."""
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes torch raise almost anything
        reason = first_sentence(error)
        hint = pointer_hint(path) or _AGAIN
        raise WeightsError(f"{path} cannot be read as a file of tensors: {reason}. {hint}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path} holds something else than named tensors. {_AGAIN}")
    return state


def first_sentence(error: Exception) -> str:
    """Return how an error begins: torch goes on to recommend reading the file unsafely."""
    return str(error).partition("\n")[0].partition(". ")[0] or type(error).__name__


@contextlib.contextmanager
def tensors_only() -> Iterator[None]:
    """Have torch read nothing but tensors, also where a library asks it to run what a file says."""
    forced, forbidden = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    before = {name: os.environ.pop(name) for name in (forced, forbidden) if name in os.environ}
    os.environ[forced] = "1"
    try:
        yield
    finally:
        del os.environ[forced]
        os.environ.update(before)


def load(name: str) -> dict[str, Tensor]:
    """Find or download the named weights, verify and read them; errors are those of fetch and read."""
    return read(obtain(name))


def fill(module: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Copy weights, by the module's own names, into a module: every one of them and no other.

    A ``WeightsError`` names the ``source`` of the weights, and the tensors that are missing, unexpected or
    of another shape.
    """
    own = module.state_dict()
    missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    reshaped = [key for key in own.keys() & state.keys() if own[key].shape != state[key].shape]
    if missing or unexpected or reshaped:
        raise WeightsError(
            f"The weights {source!r} do not fit the network: missing {missing or 'none'}, unexpected "
            f"{unexpected or 'none'}, of another shape {sorted(reshaped) or 'none'}. "
            "Delete the file, or check the version of the package."
        )
    module.load_state_dict(dict(state))


def _remedy(file: WeightsFile) -> str:
    if file.package:
        return f"Install {file.package.partition('/')[0]} again."
    return f"Delete it and run `simlib weights fetch {file.name}`."


def _absent(file: WeightsFile, looked: list[Path], reason: str) -> str:
    return (
        f"None of {', '.join(file.digests)} is in {', '.join(map(str, looked))}. {reason} On a machine with "
        f"network run `simlib weights fetch {file.name} --dir FOLDER`, copy the folder here and set "
        f"{WEIGHTS_VARIABLE} to it."
    )
