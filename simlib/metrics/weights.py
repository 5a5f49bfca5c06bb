"""Where pretrained weights come from, and the check that they are the ones that were asked for.

Looked for in the folder that the environment variable ``SIMLIB_WEIGHTS`` names, then in torch hub's
cache, then downloaded into the first of the two that is set.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import socket
import urllib.error
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from simlib.errors import AbsentWeightsError, WeightsError, unknown_name

FOLDER_VARIABLE = "SIMLIB_WEIGHTS"
_SILENCE_SECONDS = 20.0


@dataclass(frozen=True)
class WeightsFile:
    """Pretrained weights of one network.

    Attributes:
        name: how they are asked for.
        title: what they are.
        digests: accepted file names, each with its SHA-256 or the head of it that the publisher gives.
        url: where the first of the files can be downloaded; empty if it comes with a package.
        package: the package that carries the file, and the folder inside it; empty if none does.
        licence: under what terms.
    """

    name: str
    title: str
    digests: Mapping[str, str]
    url: str
    package: str
    licence: str


def _backbone(name: str, title: str, url: str, features_digest: str = "") -> WeightsFile:
    """Describe a torchvision backbone; its file name ends in the head of its SHA-256."""
    published = url.rsplit("/", 1)[-1]
    digests = {published: published.removesuffix(".pth").rsplit("-", 1)[-1]}
    if features_digest:
        digests[f"{name}_features.pth"] = features_digest
    return WeightsFile(name, title, digests, url, "", "BSD-3-Clause (torchvision)")


def _packaged(name: str, title: str, file: str, digest: str) -> WeightsFile:
    return WeightsFile(name, title, {file: digest}, "", "stlpips_pytorch/weights/vST0.0", "BSD-2-Clause")


WEIGHTS: dict[str, WeightsFile] = {
    file.name: file
    for file in (
        _backbone(
            "alexnet",
            "AlexNet, ImageNet",
            torchvision.models.AlexNet_Weights.IMAGENET1K_V1.url,
            "1454cf628f565bb39c929b4ab19c33d8c662292055b946c48daaeb6ccaf8811d",
        ),
        _backbone(
            "squeezenet1_1",
            "SqueezeNet 1.1, ImageNet",
            torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1.url,
            "65848f4c678bba05bcc2fc7c35df775d303ffcbc3e24e770a727cb4296e10e84",
        ),
        _backbone("vgg16", "VGG-16, ImageNet", torchvision.models.VGG16_Weights.IMAGENET1K_V1.url),
        _packaged(
            "st-lpips-alex",
            "ST-LPIPS, AlexNet",
            "alex_shift_tolerant.pth",
            "b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee",
        ),
        _packaged(
            "st-lpips-vgg",
            "ST-LPIPS, VGG-16",
            "vgg_shift_tolerant.pth",
            "44597da68f49c1837c100ff52299050f274d102eb102e5837178c79be6f0e250",
        ),
    )
}


def weights_file(name: str) -> WeightsFile:
    """Return the description of the named weights.

    Raises:
        UnknownNameError: naming the nearest known weights.
    """
    if name not in WEIGHTS:
        raise unknown_name("weights", name, WEIGHTS)
    return WEIGHTS[name]


def folders(file: WeightsFile) -> list[Path]:
    """List the folders where the file is looked for, in order."""
    if file.package:
        package, _, inside = file.package.partition("/")
        return [Path(str(files(package))) / inside]
    named = os.environ.get(FOLDER_VARIABLE)
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    return [Path(named).expanduser(), cache] if named else [cache]


def locate(name: str) -> Path | None:
    """Find the named weights on this machine, without a download and without a check.

    Raises:
        UnknownNameError: if no weights have this name.
    """
    file = weights_file(name)
    candidates = (folder / file_name for folder in folders(file) for file_name in file.digests)
    return next((path for path in candidates if path.is_file()), None)


def fetch(name: str, folder: Path | None = None, *, progress: bool = True) -> Path:
    """Download the named weights, verify them, and only then give them their name.

    Args:
        name: one of ``WEIGHTS``.
        folder: where to put them; by default the first folder where they are looked for.
        progress: show a progress bar.

    Returns:
        The path of the file; nothing is downloaded if it is there.

    Raises:
        UnknownNameError: if no weights have this name.
        AbsentWeightsError: if they cannot be downloaded, or their package does not hold them.
        WeightsError: if they are not the published ones.
    """
    file = weights_file(name)
    if file.package:
        path = locate(name)
        if path is None:
            raise AbsentWeightsError(f"{file.title} should come with its package. {_remedy(file)}")
        return verified(file, path)
    target = (folder or folders(file)[0]) / next(iter(file.digests))
    if target.is_file():
        return verified(file, target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _no_longer_than(_SILENCE_SECONDS):
            torch.hub.download_url_to_file(
                file.url, str(target), hash_prefix=file.digests[target.name], progress=progress
            )
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        raise AbsentWeightsError(_absent(file, f"The download failed: {error}.")) from error
    return target


@contextlib.contextmanager
def _no_longer_than(seconds: float) -> Iterator[None]:
    """Give up on hosts that stay silent; torch hub would wait for them for minutes, and takes no limit."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def verified(file: WeightsFile, path: Path) -> Path:
    """Return the path if the file's SHA-256 is the published one.

    Raises:
        WeightsError: if the file is another one, or was cut short.
    """
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    expected = file.digests[path.name]
    if not digest.startswith(expected):
        raise WeightsError(
            f"{path} is not the file it should be ({file.title}): its SHA-256 is {digest}, expected is "
            f"{expected}. It may have been cut short. {_remedy(file)}"
        )
    return path


def read(path: Path) -> dict[str, Tensor]:
    """Read a file of tensors; nothing in it is ever executed.

    Raises:
        WeightsError: if it holds anything but named tensors.
    """
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise WeightsError(
            f"{path} cannot be read as a file of tensors: {error}. Delete it; it is fetched anew."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path} holds something else than named tensors. Delete it; it is fetched anew.")
    return state


def load(name: str) -> dict[str, Tensor]:
    """Find or download the named weights, verify and read them.

    Raises:
        UnknownNameError: if no weights have this name.
        WeightsError: if they are absent and cannot be downloaded, or are not the right ones.
    """
    path = locate(name)
    return read(verified(weights_file(name), path) if path else fetch(name))


def fill(module: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Copy weights into a module, every one of them and no other.

    Args:
        module: receives the weights.
        state: tensors by the module's own names.
        source: what the weights are, for the error message.

    Raises:
        WeightsError: naming the tensors that are missing, unexpected or of another shape.
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


def _absent(file: WeightsFile, reason: str) -> str:
    looked = ", ".join(str(folder) for folder in folders(file))
    return (
        f"{file.title}: none of {', '.join(file.digests)} is in {looked}. {reason} On a machine with network "
        f"run `simlib weights fetch {file.name} --dir FOLDER`, copy the folder here and set "
        f"{FOLDER_VARIABLE} to it."
    )
