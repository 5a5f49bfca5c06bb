"""DreamSim: a distance between image embeddings, tuned to what people find similar (Fu et al. 2023).

The package ``dreamsim`` is optional. It has several models; this is the one on OpenCLIP, whose weights are
one archive of tensors. For the package's ensemble, torch hub would download code and run it.
"""

from __future__ import annotations

import importlib
import json
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from simlib.errors import WeightsError
from simlib.kernels.images import within_range
from simlib.metrics import weights
from simlib.metrics.metric import Features, Metric, MetricSpec
from simlib.metrics.registry import register

_BRANCH, _SIDE = "open_clip_vitb32", 224
_BACKBONE = f"{_BRANCH}_pretrain.pth.tar"
_TUNING = f"{_BRANCH}_single_lora"
_TUNED = ("adapter_model.safetensors", "adapter_model.bin")
_SETTINGS = ("r", "lora_alpha", "lora_dropout", "bias", "target_modules")


class EmbeddingDistance(Metric):
    """One minus the cosine of the angle between two embeddings.

    The package checks its constants at each call, which makes an accelerator wait.

    Args:
        model: a ``PerceptualModel`` of the package ``dreamsim`` with one branch and normalised embeddings.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        (extractor,) = model.extractor_list
        # The package keeps its last matrix as a plain tensor, and moves it to the device it was built for.
        extractor.proj, extractor.device = nn.Parameter(extractor.proj), None
        self.model = model

    def embed(self, images: Tensor) -> Features:
        """Return embeddings of length one, (N, 512), of the images at 224x224 pixels."""
        resized = F.interpolate(images, size=(_SIDE, _SIDE), mode="bicubic", antialias=True)
        return (self.model.embed(within_range(resized)),)

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Return one minus the cosine (N,): of vectors of length one, half their squared distance."""
        return (reference[0] - features[0]).square().sum(dim=1) / 2


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack the files of the model, and no others."""
    with zipfile.ZipFile(archive) as packed:
        present = [name for name in _TUNED if f"{_TUNING}/{name}" in packed.namelist()]
        # The package would download weights that are not in the folder.
        for name in (_BACKBONE, f"{_TUNING}/adapter_config.json", f"{_TUNING}/{(present or _TUNED)[0]}"):
            packed.extract(name, folder)


def _model(package: Any, peft: Any, folder: Path) -> nn.Module:
    """Build the package's model from an unpacked archive, the tuning merged into the backbone."""
    settings = json.loads((folder / _TUNING / "adapter_config.json").read_text("utf-8"))
    options = package.dreamsim_args["model_config"][_BRANCH]
    model = package.PerceptualModel(**options, device="cpu", load_dir=str(folder), normalize_embeds=True)
    tuning = peft.LoraConfig(**{key: settings[key] for key in _SETTINGS})
    return peft.PeftModel.from_pretrained(model, str(folder / _TUNING), config=tuning).merge_and_unload()


@register(
    MetricSpec(
        "dreamsim",
        "DreamSim (OpenCLIP)",
        "learned",
        "Angle between embeddings of the whole image at 224x224, tuned on what people find similar.",
        values="0 to 2, rarely above 1",
        least_side=1,
        weights=("dreamsim",),
        library="dreamsim",
        licence="MIT",
        citation="fu2023dreamsim",
        verified="the package dreamsim with random weights; not verified against published values",
        extra="dreamsim",
    )
)
def dreamsim() -> Metric:
    """Build DreamSim on OpenCLIP ViT-B/32."""
    package, peft = importlib.import_module("dreamsim.model"), importlib.import_module("peft")
    archive = weights.obtain("dreamsim")
    with (
        tempfile.TemporaryDirectory() as folder,
        torch.random.fork_rng(devices=[]),
        warnings.catch_warnings(),
        weights.tensors_only(),
    ):
        warnings.filterwarnings("error", message="Found missing adapter keys")
        try:
            _unpack(archive, Path(folder))
            return EmbeddingDistance(_model(package, peft, Path(folder)))
        except Exception as error:  # four packages read these files, and each has its own errors
            raise WeightsError(
                f"{archive} cannot be read as the weights of DreamSim: {weights.first_sentence(error)}. "
                "Delete it and run `simlib weights fetch dreamsim`."
            ) from error
