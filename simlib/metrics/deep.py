"""Learned metrics: distances between the features of a network."""

from __future__ import annotations

import importlib
import warnings
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from simlib.kernels.convolution import speed_up_first_layer
from simlib.kernels.features import unit_distance
from simlib.metrics import weights
from simlib.metrics.metric import Features, Metric, MetricSpec
from simlib.metrics.registry import register

_LICENCE = "BSD-2-Clause; backbone BSD-3-Clause (torchvision)"
_RANDOM_ONLY = "the package lpips with random weights; not verified against published values"


class FeatureDistance(Metric):
    """Squared distance between unit-length features, weighted by channel, averaged over positions.

    This is LPIPS (Zhang et al. 2018, equation 1); with weights of one, the baseline it is compared to.

    Args:
        network: a ``LPIPS`` module of the package ``lpips`` or ``stlpips_pytorch``, weights loaded.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        shift, scale = network.scaling_layer.shift, network.scaling_layer.scale
        # The package scales images in [-1, 1]; ours are in [0, 1], and one step does both.
        self.gain, self.offset = nn.Parameter(2 / scale), nn.Parameter((-1 - shift) / scale)
        self.backbone = network.net
        speed_up_first_layer(self.backbone)
        self.channel_weights = nn.ParameterList(head.model[-1].weight.detach() for head in network.lins)

    def embed(self, images: Tensor) -> Features:
        """Return the features of every layer of the network, (N, C, H', W') each."""
        return tuple(self.backbone(torch.addcmul(self.offset, images, self.gain)))

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Return the sum over layers of the mean over positions of the squared distance (N,)."""
        distances = [
            unit_distance(a, b, weight / (a.shape[-2] * a.shape[-1]))
            for a, b, weight in zip(reference, features, self.channel_weights, strict=True)
        ]
        # A sample to a row: sums down the columns round otherwise in the last columns of a batch.
        return torch.stack(distances, dim=1).sum(dim=1)


def _network(net: str, backbone: str) -> Any:
    """Build the network of the package ``lpips``, backbone from the named weights, heads still random."""
    lpips = importlib.import_module("lpips")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The parameter 'pretrained'|Arguments other than a weight")
        network = lpips.LPIPS(net=net, pnet_rand=True, pretrained=False, verbose=False)
    features = weights.load(backbone)
    # The package cuts the backbone into slices, and keeps each layer's number in its name.
    layers = {
        name: features["features." + name.split(".", 1)[1]]
        for name in network.net.state_dict()
        if "features." + name.split(".", 1)[1] in features
    }
    weights.fill(network.net, layers, source=backbone)
    return network


def _lpips(net: str, backbone: str) -> Metric:
    """Build LPIPS v0.1: heads from the package ``lpips``."""
    network = _network(net, backbone)
    heads = weights.read(Path(str(files("lpips"))) / "weights" / "v0.1" / f"{net}.pth")
    weights.fill(network.lins, {key[3:]: value for key, value in heads.items()}, source=f"lpips v0.1 {net}")
    return FeatureDistance(network)


def _plain(net: str, backbone: str) -> Metric:
    """Build the baseline of LPIPS: every channel counts the same."""
    network = _network(net, backbone)
    for head in network.lins:
        nn.init.ones_(head.model[-1].weight)
    return FeatureDistance(network)


def _shift_tolerant(net: str, name: str) -> Metric:
    """Build ST-LPIPS: all weights come with the package ``stlpips_pytorch``."""
    stlpips = importlib.import_module("stlpips_pytorch.stlpips")
    with torch.random.fork_rng(devices=[]):
        network = stlpips.LPIPS(net=net, variant="shift_tolerant", pretrained=False, verbose=False)
    state = weights.load(name)
    heads = {f"lins.{key[3:]}": value for key, value in state.items() if key.startswith("lin")}
    weights.fill(network, {**state, **heads}, source=name)
    return FeatureDistance(network)


def _lpips_spec(net: str, title: str, least_side: int, backbone: str, verified: str) -> MetricSpec:
    return MetricSpec(
        name=f"lpips-{net}",
        title=f"LPIPS ({title})",
        family="learned",
        summary=f"Distance between {title} features, weighted to agree with human judgements.",
        values="0 upwards, rarely above 1",
        least_side=least_side,
        weights=(backbone,),
        library="lpips",
        licence=_LICENCE,
        citation="zhang2018unreasonable",
        verified=verified,
    )


def _plain_spec(
    net: str, title: str, least_side: int, backbone: str, layers: int, verified: str
) -> MetricSpec:
    return MetricSpec(
        name=f"features-{net}",
        title=f"Features ({title})",
        family="learned",
        summary=f"Distance between {title} features, all channels alike: LPIPS before people taught it.",
        values=f"0 to {2 * layers}",
        least_side=least_side,
        weights=(backbone,),
        library="lpips",
        licence=_LICENCE,
        citation="zhang2018unreasonable",
        verified=verified,
    )


def _shift_tolerant_spec(net: str, title: str, least_side: int) -> MetricSpec:
    return MetricSpec(
        name=f"st-lpips-{net}",
        title=f"ST-LPIPS ({title})",
        family="learned",
        summary=f"LPIPS retrained on an anti-aliased {title} so that small shifts do not matter.",
        values="0 upwards, rarely above 1",
        least_side=least_side,
        weights=(f"st-lpips-{net}",),
        library="stlpips_pytorch",
        licence="BSD-2-Clause",
        citation="ghildyal2022shift",
        verified="the package stlpips_pytorch",
    )


@register(_lpips_spec("alex", "Alex", 31, "alexnet", "the package lpips; example triplet of its authors"))
def lpips_alex() -> Metric:
    """Build LPIPS on AlexNet."""
    return _lpips("alex", "alexnet")


@register(
    _lpips_spec(
        "squeeze", "Squeeze", 17, "squeezenet1_1", "the package lpips; example triplet of its authors"
    )
)
def lpips_squeeze() -> Metric:
    """Build LPIPS on SqueezeNet 1.1."""
    return _lpips("squeeze", "squeezenet1_1")


@register(_lpips_spec("vgg", "VGG", 16, "vgg16", _RANDOM_ONLY))
def lpips_vgg() -> Metric:
    """Build LPIPS on VGG-16."""
    return _lpips("vgg", "vgg16")


@register(_plain_spec("alex", "Alex", 31, "alexnet", 5, "the package lpips"))
def features_alex() -> Metric:
    """Build the distance between plain AlexNet features."""
    return _plain("alex", "alexnet")


@register(_plain_spec("squeeze", "Squeeze", 17, "squeezenet1_1", 7, "the package lpips"))
def features_squeeze() -> Metric:
    """Build the distance between plain SqueezeNet 1.1 features."""
    return _plain("squeeze", "squeezenet1_1")


@register(_plain_spec("vgg", "VGG", 16, "vgg16", 5, _RANDOM_ONLY))
def features_vgg() -> Metric:
    """Build the distance between plain VGG-16 features."""
    return _plain("vgg", "vgg16")


@register(_shift_tolerant_spec("alex", "Alex", 21))
def st_lpips_alex() -> Metric:
    """Build ST-LPIPS on AlexNet."""
    return _shift_tolerant("alex", "st-lpips-alex")


@register(_shift_tolerant_spec("vgg", "VGG", 18))
def st_lpips_vgg() -> Metric:
    """Build ST-LPIPS on VGG-16."""
    return _shift_tolerant("vgg", "st-lpips-vgg")
