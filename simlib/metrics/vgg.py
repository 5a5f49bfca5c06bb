"""Distances between the features of VGG-16 as the package piq defines them: DISTS, content and style."""

from __future__ import annotations

from collections.abc import Sequence

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

_LICENCE = "Apache-2.0; backbone BSD-3-Clause (torchvision)"
_VERIFIED = "the package piq with random weights; not verified against published values"


class ContentDistance(Metric):
    """Mean squared difference of one layer's features, added up over channels (Gatys et al. 2016).

    Args:
        loss: piq's loss; gives the features of an image, and the distance of every channel.
    """

    def __init__(self, loss: piq.ContentLoss) -> None:
        super().__init__()
        # As plain attributes they would stay behind when the metric moves to another device or dtype.
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
    """Mean squared difference of the Gram matrices of one layer's features (Gatys et al. 2016).

    Args:
        loss: a content loss; of its features, only the products of channels over all positions count.
    """

    def embed(self, images: Tensor) -> Features:
        """Return the Gram matrices of the loss's layers, (N, 1, C, C) each."""
        return tuple(piq.StyleLoss.gram_matrix(layer) for layer in super().embed(images))


class StructureAndTexture(ContentDistance):
    """DISTS: one minus the similarity of the features' means and of their variation (Ding et al. 2022).

    Images whose shorter side exceeds 256 pixels are resized to it first, as in piq.

    Args:
        loss: piq's DISTS, weights loaded.
    """

    def __init__(self, loss: piq.DISTS) -> None:
        super().__init__(loss)
        # piq makes these at first use and keeps them, on the device and in the dtype of that first use.
        loss.get_features(torch.zeros(1, 3, 32, 32))
        for pool in loss.modules():
            if isinstance(pool, L2Pool2d) and pool.kernel is not None:
                pool.kernel = nn.Parameter(pool.kernel)

    def embed(self, images: Tensor) -> Features:
        """Return the images and the features of five layers, (N, C, H', W') each."""
        side = min(images.shape[-2:])
        if side > 256:
            images = F.interpolate(
                images, scale_factor=256 / side, mode="bilinear", recompute_scale_factor=False
            )
        return super().embed(images)

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Return one minus the weighted similarity (N,)."""
        return 1 - super().compare(reference, features)


class _Dists(piq.DISTS):
    """piq's DISTS with the weights it is given; its own constructor downloads them.

    Args:
        backbone: the layers of VGG-16.
        alpha: weights of the similarity of means, (1, 1475, 1, 1).
        beta: weights of the similarity of variation, same shape.
    """

    def __init__(self, backbone: nn.Module, alpha: Tensor, beta: Tensor) -> None:
        channels = [3, 64, 128, 256, 512, 512]
        piq.ContentLoss.__init__(
            self,
            backbone,
            layers=[VGG16_LAYERS[f"relu{layer}"] for layer in ("1_2", "2_2", "3_3", "4_3", "5_3")],
            weights=[*alpha.split(channels, dim=1), *beta.split(channels, dim=1)],
            replace_pooling=True,
            allow_layers_weights_mismatch=True,
        )


def _backbone(last: str) -> nn.Sequential:
    """Build VGG-16 up to the named layer; later ones would be computed for nothing."""
    # On the device "meta" nothing is drawn at random, and the large classifier takes no memory.
    with torch.device("meta"):
        layers = list(torchvision.models.vgg16().features.children())[: int(VGG16_LAYERS[last]) + 1]
    network = nn.Sequential(*layers).to_empty(device="cpu")
    state = weights.load("vgg16")
    own = {name: state[f"features.{name}"] for name in network.state_dict() if f"features.{name}" in state}
    weights.fill(network, own, source="vgg16")
    return network


def _content_loss() -> piq.ContentLoss:
    return piq.ContentLoss(_backbone("relu3_3"), layers=[VGG16_LAYERS["relu3_3"]])


def _spec(
    name: str,
    title: str,
    summary: str,
    values: str,
    least_side: int,
    citation: str,
    more_weights: Sequence[str] = (),
) -> MetricSpec:
    return MetricSpec(
        name=name,
        title=title,
        family="learned",
        summary=summary,
        values=values,
        least_side=least_side,
        weights=("vgg16", *more_weights),
        library="piq",
        licence=_LICENCE,
        citation=citation,
        verified=_VERIFIED,
    )


@register(
    _spec(
        "dists",
        "DISTS",
        "How means (texture) and covariances (structure) of VGG features differ; over 256 pixels, resized.",
        "0 upwards, rarely above 1",
        17,
        "ding2022image",
        ["dists"],
    )
)
def dists() -> Metric:
    """Build DISTS."""
    channels = nn.ParameterDict({name: torch.empty(1, 1475, 1, 1) for name in ("alpha", "beta")})
    weights.fill(channels, weights.load("dists"), source="dists")
    return StructureAndTexture(_Dists(_backbone("relu5_3"), channels["alpha"].data, channels["beta"].data))


@register(
    _spec(
        "content",
        "Content (VGG)",
        "Squared differences of VGG features deep in the network (relu3_3), neither normalised nor weighted.",
        "0 upwards",
        4,
        "gatys2016image",
    )
)
def content() -> Metric:
    """Build the content distance."""
    return ContentDistance(_content_loss())


@register(
    _spec(
        "style",
        "Style (VGG)",
        "Squared differences of which VGG features (relu3_3) occur together, wherever they are in the image.",
        "0 upwards, growing with the square of the number of pixels",
        4,
        "gatys2016image",
    )
)
def style() -> Metric:
    """Build the style distance."""
    return StyleDistance(_content_loss())
