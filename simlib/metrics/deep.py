"""Learned metrics: distances between the features of a network."""

from __future__ import annotations

import importlib
import warnings
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from simlib.kernels.batch_independence import sample_rows
from simlib.kernels.convolution import speed_up_first_layer
from simlib.kernels.features import unit_distance
from simlib.metrics import weights
from simlib.metrics.metric import Features, Metric, MetricSpec
from simlib.metrics.registry import register


class FeatureDistance(Metric):
    """Squared distance between unit-length features, weighted by channel, averaged over positions.

    This is LPIPS (Zhang et al. 2018, equation 1). With weights of one it is the baseline of that paper.

    Args:
        network: an ``LPIPS`` of the package ``lpips`` or ``stlpips_pytorch``, with its weights loaded.
    """

    compares_unit_features = True

    def __init__(self, network: Any) -> None:
        super().__init__()
        shift, scale = network.scaling_layer.shift, network.scaling_layer.scale
        # The package takes images in [-1, 1] and standardises them; one step does both for images in [0, 1].
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
        return sample_rows(distances).sum(dim=1)


def _backbone(net: str, backbone: str) -> Any:
    """Build the network of the package ``lpips``: backbone with the named weights, heads still random."""
    lpips = importlib.import_module("lpips")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The parameter 'pretrained'|Arguments other than a weight")
        network = lpips.LPIPS(net=net, pnet_rand=True, pretrained=False, verbose=False)
    features = weights.load(backbone)
    # The package cuts the backbone into slices; the name of a layer ends with its number in the backbone.
    numbered = {name: "features." + name.split(".", 1)[1] for name in network.net.state_dict()}
    layers = {name: features[number] for name, number in numbered.items() if number in features}
    weights.fill(network.net, layers, source=backbone)
    return network


def _lpips(net: str, backbone: str) -> Metric:
    """Build LPIPS v0.1; the weights of the heads come with the package ``lpips``."""
    network = _backbone(net, backbone)
    heads = weights.read(Path(str(files("lpips"))) / "weights" / "v0.1" / f"{net}.pth")
    weights.fill(network.lins, {key[3:]: value for key, value in heads.items()}, source=f"lpips v0.1 {net}")
    return FeatureDistance(network)


def _plain(net: str, backbone: str) -> Metric:
    """Build the baseline of LPIPS, where every channel has the same weight."""
    network = _backbone(net, backbone)
    for head in network.lins:
        nn.init.ones_(head.model[-1].weight)
    return FeatureDistance(network)


def _shift_tolerant(net: str) -> Metric:
    """Build ST-LPIPS: all weights come with the package ``stlpips_pytorch``."""
    stlpips = importlib.import_module("stlpips_pytorch.stlpips")
    with torch.random.fork_rng(devices=[]):
        network = stlpips.LPIPS(net=net, variant="shift_tolerant", pretrained=False, verbose=False)
    state = weights.load(f"st-lpips-{net}")
    heads = {f"lins.{key[3:]}": value for key, value in state.items() if key.startswith("lin")}
    weights.fill(network, {**state, **heads}, source=f"st-lpips-{net}")
    return FeatureDistance(network)


_EXAMPLE = "the package lpips; example triplet of its authors"
_RANDOM_ONLY = "the package lpips with random weights; not verified against published values"

# Name, title, least side, weights, layers; what LPIPS, and what plain features were checked against.
_NETWORKS = (
    ("alex", "Alex", 31, "alexnet", 5, _EXAMPLE, "the package lpips"),
    ("squeeze", "Squeeze", 17, "squeezenet1_1", 7, _EXAMPLE, "the package lpips"),
    ("vgg", "VGG", 16, "vgg16", 5, _RANDOM_ONLY, _RANDOM_ONLY),
)

_spec = partial(
    MetricSpec,
    family="learned",
    values="0 upwards, rarely above 1",
    library="lpips",
    licence="BSD-2-Clause; backbone BSD-3-Clause (torchvision)",
    citation="zhang2018unreasonable",
)

for _net, _title, _side, _file, _, _verified, _ in _NETWORKS:
    register(
        _spec(f"lpips-{_net}", f"LPIPS ({_title})", least_side=_side, weights=(_file,), verified=_verified),
        f"Distance between {_title} features, weighted to agree with human judgements.",
    )(partial(_lpips, _net, _file))

for _net, _title, _side, _file, _layers, _, _verified in _NETWORKS:
    _plain_spec = partial(_spec, values=f"0 to {2 * _layers}", least_side=_side, weights=(_file,))
    register(
        _plain_spec(f"features-{_net}", f"Features ({_title})", verified=_verified),
        f"Distance between {_title} features with equal weights: LPIPS without human judgements.",
    )(partial(_plain, _net, _file))

_shift_tolerant_spec = partial(
    _spec,
    library="stlpips_pytorch",
    licence="BSD-2-Clause",
    citation="ghildyal2022shift",
    verified="the package stlpips_pytorch",
)

for _net, _title, _side in (("alex", "Alex", 21), ("vgg", "VGG", 18)):
    _name = f"st-lpips-{_net}"
    register(
        _shift_tolerant_spec(_name, f"ST-LPIPS ({_title})", least_side=_side, weights=(_name,)),
        f"LPIPS retrained on an anti-aliased {_title} so that small shifts do not matter.",
    )(partial(_shift_tolerant, _net))
