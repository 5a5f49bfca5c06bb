"""Distances between features of VGG-16, as the package piq defines them: DISTS, content and style."""

from __future__ import annotations

from functools import partial

import piq
import torch
import torchvision
from piq.functional import L2Pool2d
from piq.perceptual import VGG16_LAYERS
from torch import Tensor, nn
from torch.nn import functional as F

from simlib.metrics import weights
from simlib.metrics.metric import Features, Metric, MetricSpec
from simlib.metrics.registry import register


class ContentDistance(Metric):
    """Mean squared difference of one layer's features, summed over channels (Gatys et al. 2016).

    Args:
        loss: piq's loss, with its weights loaded.
    """

    def __init__(self, loss: piq.ContentLoss) -> None:
        super().__init__()
        # Only parameters and buffers move with the metric to another device or dtype.
        loss.mean, loss.std = nn.Parameter(loss.mean), nn.Parameter(loss.std)
        self.loss = loss
        self.channel_weights = nn.ParameterList(loss.weights)

    def embed(self, images: Tensor) -> Features:
        """Return the features of the loss's layers, (N, C, H', W') each."""
        return tuple(self.loss.get_features(images))

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Return the weighted sum over layers and channels of the mean over positions (N,)."""
        distances = self.loss.compute_distance(list(reference), list(features))
        weighted = [d * weight for d, weight in zip(distances, self.channel_weights, strict=True)]
        return torch.cat([layer.mean(dim=(2, 3)) for layer in weighted], dim=1).sum(dim=1)


class StyleDistance(ContentDistance):
    """Mean squared difference of the Gram matrices of one layer's features (Gatys et al. 2016)."""

    def embed(self, images: Tensor) -> Features:
        """Return the Gram matrices of the features, (N, 1, C, C) each."""
        return tuple(piq.StyleLoss.gram_matrix(layer) for layer in super().embed(images))


class StructureAndTexture(ContentDistance):
    """DISTS: one minus the similarity of the features' means and covariances (Ding et al. 2022).

    Images whose shorter side exceeds 256 pixels are first resized to that, as in piq.
    """

    def __init__(self, loss: piq.DISTS) -> None:
        super().__init__(loss)
        # piq makes the pooling kernels at their first use, on the device and in the dtype of that use.
        loss.get_features(torch.zeros(1, 3, 32, 32))
        for pool in loss.modules():
            if isinstance(pool, L2Pool2d) and pool.kernel is not None:
                pool.kernel = nn.Parameter(pool.kernel)

    def embed(self, images: Tensor) -> Features:
        """Return the images and the features of five layers, (N, C, H', W') each."""
        scale = 256 / min(images.shape[-2:])
        if scale < 1:
            images = F.interpolate(images, scale_factor=scale, mode="bilinear", recompute_scale_factor=False)
        return super().embed(images)

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Return one minus the weighted similarity (N,)."""
        return 1 - super().compare(reference, features)


def _backbone(last: str) -> nn.Sequential:
    """Build VGG-16 up to the named layer; later layers are not needed."""
    # On the device "meta" nothing is drawn at random, and the large classifier takes no memory.
    with torch.device("meta"):
        layers = list(torchvision.models.vgg16().features.children())[: int(VGG16_LAYERS[last]) + 1]
    network = nn.Sequential(*layers).to_empty(device="cpu")
    state = weights.load("vgg16")
    needed = {name: state[f"features.{name}"] for name in network.state_dict() if f"features.{name}" in state}
    weights.fill(network, needed, source="vgg16")
    return network


_spec = partial(
    MetricSpec,
    family="learned",
    library="piq",
    licence="Apache-2.0; backbone BSD-3-Clause (torchvision)",
    verified="the package piq with random weights; not verified against published values",
)


@register(
    _spec(
        "dists",
        "DISTS",
        values="0 upwards, rarely above 1",
        least_side=17,
        weights=("vgg16", "dists"),
        citation="ding2022image",
    ),
    "How means (texture) and covariances (structure) of VGG features differ; over 256 pixels, resized.",
)
def dists() -> Metric:
    """Build DISTS."""
    shares = nn.ParameterDict({name: torch.empty(1, 1475, 1, 1) for name in ("alpha", "beta")})
    weights.fill(shares, weights.load("dists"), source="dists")
    parts = [shares[name].data.split([3, 64, 128, 256, 512, 512], dim=1) for name in ("alpha", "beta")]
    # piq's own constructor would download the weights: alpha of the means, beta of the covariances.
    loss = piq.DISTS.__new__(piq.DISTS)
    piq.ContentLoss.__init__(
        loss,
        _backbone("relu5_3"),
        layers=[VGG16_LAYERS[f"relu{layer}"] for layer in ("1_2", "2_2", "3_3", "4_3", "5_3")],
        weights=[*parts[0], *parts[1]],
        replace_pooling=True,
        allow_layers_weights_mismatch=True,
    )
    return StructureAndTexture(loss)


_of_gatys = partial(_spec, least_side=4, weights=("vgg16",), citation="gatys2016image")


def _gatys(distance: type[ContentDistance]) -> Metric:
    return distance(piq.ContentLoss(_backbone("relu3_3"), layers=[VGG16_LAYERS["relu3_3"]]))


register(
    _of_gatys("content", "Content (VGG)", values="0 upwards"),
    "Squared differences of VGG features deep in the network (relu3_3), neither normalised nor weighted.",
)(partial(_gatys, ContentDistance))

register(
    _of_gatys("style", "Style (VGG)", values="0 upwards, growing with the square of the number of pixels"),
    "Squared differences of which VGG features (relu3_3) occur together, anywhere in the image.",
)(partial(_gatys, StyleDistance))
