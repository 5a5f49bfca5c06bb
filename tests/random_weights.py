"""Random weights in the form of the published ones, for machines without those."""

from __future__ import annotations

import importlib
import shutil
import tempfile
from functools import cache
from pathlib import Path

import torch
import torchvision
from piq.pieapp import PieAPPModel
from torch import Tensor, nn

_FOLDER = tempfile.TemporaryDirectory()


def random_backbone(name: str) -> dict[str, Tensor]:
    """Return what ``weights.load`` would, with random values."""
    return dict(_state(name))


@cache
def random_archive(name: str) -> Path:
    """Return what ``weights.obtain`` would for DreamSim: an archive, here of random weights."""
    assert name == "dreamsim"
    target = Path(_FOLDER.name)
    _write_dreamsim(target / "files")
    return Path(shutil.make_archive(str(target / name), "zip", target / "files"))


@cache
def _state(name: str) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _DRAWN[name]()


def _features(network: nn.Module) -> dict[str, Tensor]:
    """Return the part of a torchvision network that metrics use; the rest of VGG-16 fills half a gigabyte."""
    return {key: value for key, value in network.state_dict().items() if key.startswith("features.")}


def _dists() -> dict[str, Tensor]:
    """Weigh channels at random; as in the published file, all weights add up to one."""
    alpha, beta = torch.rand(2, 1, 1475, 1, 1)
    return {"alpha": alpha / (alpha.sum() + beta.sum()), "beta": beta / (alpha.sum() + beta.sum())}


def _pieapp() -> dict[str, Tensor]:
    """Draw a PieAPP whose score, as that of the trained one, is zero at the reference and above elsewhere."""
    model = PieAPPModel()
    for part in (model.fc1_score.bias, model.fc2_score.bias, model.ref_score_subtract.bias):
        nn.init.zeros_(part)
    for part in (model.fc2_score.weight, model.ref_score_subtract.weight, model.fc2_weight.weight):
        nn.init.uniform_(part)
    nn.init.ones_(model.fc2_weight.bias)
    state = dict(model.state_dict())
    # In the published file this is a vector.
    return {**state, "ref_score_subtract.weight": state["ref_score_subtract.weight"].flatten()}


_DRAWN = {
    "alexnet": lambda: _features(torchvision.models.alexnet()),
    "squeezenet1_1": lambda: _features(torchvision.models.squeezenet1_1()),
    "vgg16": lambda: _features(torchvision.models.vgg16()),
    "dists": _dists,
    "pieapp": _pieapp,
}


def _write_dreamsim(folder: Path) -> None:
    """Write what the archive of the package's OpenCLIP model holds, by the package's own means."""
    package, peft = importlib.import_module("dreamsim.model"), importlib.import_module("peft")
    vision = importlib.import_module("dreamsim.feature_extraction.vision_transformer")
    folder.mkdir()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = vision.vit_base(patch_size=32)
        network.pos_drop = nn.LayerNorm(network.embed_dim)
        for blank in (network.cls_token, network.pos_embed):
            nn.init.normal_(blank)
        state = {**network.state_dict(), "proj": torch.randn(768, 512)}
        torch.save({"state_dict": state}, folder / "open_clip_vitb32_pretrain.pth.tar")
        model = package.PerceptualModel(
            **package.dreamsim_args["model_config"]["open_clip_vitb32"], device="cpu", load_dir=str(folder)
        )
        tuning = peft.LoraConfig(r=16, lora_alpha=32, target_modules=["qkv"], init_lora_weights=False)
        peft.get_peft_model(model, tuning).save_pretrained(folder / "open_clip_vitb32_single_lora")
