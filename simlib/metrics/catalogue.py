"""The pretrained weights that metrics need: which file, from where, under what terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class WeightsFile:
    """Pretrained weights of one network.

    Attributes:
        name: how they are asked for.
        title: what they are.
        digests: accepted file names, each with its SHA-256; empty if none is published.
        url: where the first of the files can be downloaded; empty if it comes with a package.
        package: the package that carries the file, and the folder inside it; empty if none does.
        licence: under what terms.
        size: of the first of the files, in bytes; None if it is not known.
    """

    name: str
    title: str
    digests: Mapping[str, str]
    url: str
    package: str
    licence: str
    size: int | None = None


_TORCHVISION = "https://download.pytorch.org/models"
_PIQ = "https://github.com/photosynthesis-team/piq/releases/download"
_DREAMSIM = "https://github.com/ssundaram21/dreamsim/releases/download/v0.2.0-checkpoints"

_PUBLISHED = {
    "alexnet-owt-7be5be79.pth": "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
    "alexnet_features.pth": "1454cf628f565bb39c929b4ab19c33d8c662292055b946c48daaeb6ccaf8811d",
    "squeezenet1_1-b8a52dc0.pth": "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
    "squeezenet1_1_features.pth": "65848f4c678bba05bcc2fc7c35df775d303ffcbc3e24e770a727cb4296e10e84",
    "vgg16-397923af.pth": "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    "alex_shift_tolerant.pth": "b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee",
    "vgg_shift_tolerant.pth": "44597da68f49c1837c100ff52299050f274d102eb102e5837178c79be6f0e250",
}
"""SHA-256 of files; ``_features`` are the feature layers alone."""


def _backbone(name: str, title: str, size: int, *files: str) -> WeightsFile:
    digests = {file: _PUBLISHED[file] for file in files}
    url = f"{_TORCHVISION}/{files[0]}"
    return WeightsFile(name, f"{title}, ImageNet", digests, url, "", "BSD-3-Clause (torchvision)", size)


def _packaged(net: str, title: str, size: int) -> WeightsFile:
    digests = {f"{net}_shift_tolerant.pth": _PUBLISHED[f"{net}_shift_tolerant.pth"]}
    package = "stlpips_pytorch/weights/vST0.0"
    return WeightsFile(f"st-lpips-{net}", f"ST-LPIPS, {title}", digests, "", package, "BSD-2-Clause", size)


def _released(name: str, title: str, url: str, licence: str = "MIT") -> WeightsFile:
    """Describe a file of a release whose publisher gives no checksum."""
    return WeightsFile(name, title, {url.rsplit("/", 1)[-1]: ""}, url, "", licence)


_NON_COMMERCIAL = "none stated; trained on data for non-commercial use"

WEIGHTS: dict[str, WeightsFile] = {
    file.name: file
    for file in (
        _backbone("alexnet", "AlexNet", 244_408_911, "alexnet-owt-7be5be79.pth", "alexnet_features.pth"),
        _backbone(
            "squeezenet1_1",
            "SqueezeNet 1.1",
            4_958_839,
            "squeezenet1_1-b8a52dc0.pth",
            "squeezenet1_1_features.pth",
        ),
        _backbone("vgg16", "VGG-16", 553_433_881, "vgg16-397923af.pth"),
        _packaged("alex", "AlexNet", 9_899_296),
        _packaged("vgg", "VGG-16", 58_907_298),
        _released("dists", "DISTS, channel weights", f"{_PIQ}/v0.4.1/dists_weights.pt"),
        _released("pieapp", "PieAPP v0.1", f"{_PIQ}/v0.5.4/PieAPPv0.1.pth", _NON_COMMERCIAL),
        _released(
            "dreamsim", "DreamSim, OpenCLIP ViT-B/32", f"{_DREAMSIM}/dreamsim_open_clip_vitb32_checkpoint.zip"
        ),
    )
}
