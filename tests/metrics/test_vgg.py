"""DISTS, content and style against the package piq, both with the same random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import piq
import pytest
import torch
import torchvision
from torch import Tensor, nn

from simlib import metrics
from simlib.errors import WeightsError
from simlib.metrics import vgg, weights
from tests.random_weights import random_backbone
from tests.support import assert_equal_values_and_gradients, draw

THEIRS: dict[str, Callable[..., Any]] = {
    "dists": piq.DISTS,
    "content": piq.ContentLoss,
    "style": piq.StyleLoss,
}
each = pytest.mark.parametrize("name", THEIRS)


@pytest.fixture(autouse=True)
def random_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "load", random_backbone)


def network() -> nn.Module:
    with torch.device("meta"):
        network = torchvision.models.vgg16()
    network.features.to_empty(device="cpu").load_state_dict(
        {key.removeprefix("features."): value for key, value in random_backbone("vgg16").items()}
    )
    return network


def published(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let piq build its own loss, with the random weights instead of a download."""
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *a, **k: random_backbone("dists"))
    monkeypatch.setattr("piq.perceptual.vgg16", lambda *a, **k: network())
    return THEIRS[name](reduction="none")


@each
def test_values_and_gradients_agree_with_piq(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for download in ("load_state_dict_from_url", "download_url_to_file"):
        monkeypatch.setattr(torch.hub, download, lambda *_, **__: pytest.fail("a download was tried"))
    ours, theirs = metrics.load(name), published(name, monkeypatch)
    ref, x = draw(0, 2, 48), draw(1, 2, 48).requires_grad_()
    assert_equal_values_and_gradients(ours(ref, x), theirs(x, ref), x)


def test_dists_resizes_large_images_as_piq_does(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = metrics.load("dists"), published("dists", monkeypatch)
    seen: list[Tensor] = []

    def features(self: piq.ContentLoss, x: Tensor) -> list[Tensor]:
        seen.append(x)
        return of_a_corner(self, x[..., :32, :32])

    of_a_corner = piq.ContentLoss.get_features
    monkeypatch.setattr(piq.ContentLoss, "get_features", features)
    ref, x = draw(0, 2, 300), draw(1, 2, 300)
    ours.compare(ours.embed(ref), ours.embed(x))
    theirs(x, ref)
    assert seen[0].shape[-2:] == (256, 256)
    assert torch.equal(seen[0], seen[3])
    assert torch.equal(seen[1], seen[2])


@each
def test_everything_moves_along_to_another_device(name: str) -> None:
    # The device that only knows shapes refuses to mix with any other.
    metric = metrics.load(name).to("meta")
    features = metric.embed(draw(0).to("meta"))
    assert metric.compare(features, features).device.type == "meta"


def test_style_does_not_depend_on_where_things_are() -> None:
    metric = metrics.load("style", dtype=torch.float64)
    assert isinstance(metric, vgg.StyleDistance)
    (features,) = vgg.ContentDistance.embed(metric, draw(0, dtype=torch.float64))
    shuffled = features.flatten(2)[:, :, torch.randperm(features[0, 0].numel())].reshape(features.shape)
    grams = [piq.StyleLoss.gram_matrix(each) for each in (features, shuffled)]
    torch.testing.assert_close(metric.compare((grams[0],), (grams[1],)), torch.zeros(2, dtype=torch.float64))


def test_dists_ignores_the_place_of_texture() -> None:
    metric = metrics.load("dists")
    ref = draw(0, 1)
    moved, other = ref.roll(8, dims=3), draw(1, 1) * 0.5
    assert metric(ref, moved) < metric(ref, other)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"alpha": torch.zeros(1, 1475, 1, 1)}, "missing.*beta"),
        ({"alpha": torch.zeros(1475), "beta": torch.zeros(1, 1475, 1, 1)}, "another shape.*alpha"),
    ],
)
def test_wrong_channel_weights(
    wrong: dict[str, Tensor], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "load", lambda name: wrong if name == "dists" else random_backbone(name))
    with pytest.raises(WeightsError, match=message):
        metrics.load("dists")
