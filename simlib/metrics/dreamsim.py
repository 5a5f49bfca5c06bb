"""DreamSim: a distance between image embeddings, tuned to what people find similar (Fu et al. 2023).

The package ``dreamsim`` is optional. Of its models this is the one on OpenCLIP alone: all its weights come
in one archive of tensors. For its ensemble, torch hub would fetch code from the internet and run it.
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

_BRANCH = "open_clip_vitb32"
_SIDE = 224
_BACKBONE = f"{_BRANCH}_pretrain.pth.tar"
_TUNING = f"{_BRANCH}_single_lora"
_TUNED = ("adapter_model.safetensors", "adapter_model.bin")
_SETTINGS = ("r", "lora_alpha", "lora_dropout", "bias", "target_modules")


class EmbeddingDistance(Metric):
    """One minus the cosine of the angle between two embeddings.

    Images are resized to 224x224 pixels first. The library checks its constants at each look, which makes
    an accelerator wait.

    Args:
        model: a ``PerceptualModel`` of the package ``dreamsim`` with one branch and normalised embeddings.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        (extractor,) = model.extractor_list
        # The package holds its last matrix as a plain tensor, and sends it to the device it was built for.
        extractor.proj, extractor.device = nn.Parameter(extractor.proj), None
        self.model = model

    def embed(self, images: Tensor) -> Features:
        """Return embeddings of length one, (N, 512)."""
        resized = F.interpolate(images, size=(_SIDE, _SIDE), mode="bicubic", antialias=True)
        return (self.model.embed(within_range(resized)),)

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Return one minus the cosine (N,): of vectors of length one, half their squared distance."""
        return (reference[0] - features[0]).square().sum(dim=1) / 2


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack those files that the model is made of, and no others."""
    with zipfile.ZipFile(archive) as packed:
        present = [name for name in _TUNED if f"{_TUNING}/{name}" in packed.namelist()]
        # Without weights of its own, the package would ask a hub for them.
        for name in (_BACKBONE, f"{_TUNING}/adapter_config.json", f"{_TUNING}/{(present or _TUNED)[0]}"):
            packed.extract(name, folder)


def _model(package: Any, peft: Any, folder: Path) -> nn.Module:
    """Build the package's model from an unpacked archive, the tuning merged into the backbone."""
    settings = json.loads((folder / _TUNING / "adapter_config.json").read_text())
    model = package.PerceptualModel(
        **package.dreamsim_args["model_config"][_BRANCH],
        device="cpu",
        load_dir=str(folder),
        normalize_embeds=True,
    )
    tuned = peft.PeftModel.from_pretrained(
        model, str(folder / _TUNING), config=peft.LoraConfig(**{key: settings[key] for key in _SETTINGS})
    )
    return tuned.merge_and_unload()


@register(
    MetricSpec(
        name="dreamsim",
        title="DreamSim (OpenCLIP)",
        family="learned",
        summary="Angle between embeddings of the whole image at 224x224, tuned on what people find similar.",
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
        except Exception as error:  # four packages read these files, each with errors of its own
            raise WeightsError(
                f"{archive} cannot be read as the weights of DreamSim: {weights.first_sentence(error)}. "
                "Delete it and run `simlib weights fetch dreamsim`."
            ) from error
