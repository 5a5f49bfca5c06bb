"""What a caller has set for torch is put aside inside, and is back outside."""

from __future__ import annotations

import pytest
import torch

from simlib.attacks import PGD, RankFlip
from simlib.kernels.settings import own_settings
from tests.ambient import AMBIENT, backends
from tests.support import any_weights, random_triplets


def state() -> list[object]:
    """Return every setting that is put aside."""
    places = [backends, backends.mkldnn, backends.cudnn, backends.cuda.matmul]
    places += [getattr(backends.mkldnn, part) for part in ("matmul", "conv", "rnn")]
    places += [backends.cudnn.conv, backends.cudnn.rnn]
    return [
        # two words for the same
        *(place.fp32_precision.replace("ieee", "none") for place in places),
        *(getattr(backends.cudnn, name) for name in ("enabled", "benchmark", "deterministic")),
        *(torch.is_autocast_enabled(device) for device in ("cpu", "cuda")),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_inference_mode_enabled(),
        torch.is_grad_enabled(),
        torch.is_anomaly_enabled(),
    ]


@pytest.mark.parametrize("name", AMBIENT)
@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
def test_settings_are_put_aside_and_come_back(name: str) -> None:
    outside = state()
    with own_settings():
        own = state()
    with AMBIENT[name]():
        before = state()
        with own_settings():
            inside = state()
            if "inference" in name or "gradient" in name:
                assert not torch.is_grad_enabled()
                inside[-2] = True
            assert inside == own
            assert not (torch.zeros(3) + 1).is_inference()
        assert state() == before
    assert state() == outside


def test_convolutions_are_exact_by_old_and_new_name() -> None:
    with own_settings():
        assert not backends.cudnn.allow_tf32
        assert backends.cudnn.deterministic
        with own_settings():
            assert backends.cudnn.conv.fp32_precision in ("none", "ieee")


def test_settings_come_back_after_an_error() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        before = state()
        with pytest.raises(ZeroDivisionError), own_settings():
            _ = 1 / 0
        assert state() == before


@pytest.mark.parametrize("name", AMBIENT)
@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
def test_neither_a_distance_nor_an_attack_is_changed(name: str) -> None:
    metric, triplets = any_weights("st-lpips-alex"), random_triplets(2)
    attack = PGD(eps=4 / 255, step=1 / 255, steps=3)
    distances, images = metric(triplets.ref, triplets.p0), attack(RankFlip(metric, triplets)).images
    with AMBIENT[name]():
        assert torch.equal(metric(triplets.ref, triplets.p0), distances)
        assert torch.equal(attack(RankFlip(metric, triplets)).images, images)
