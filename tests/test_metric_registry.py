"""The register of metrics: names, prefixes, and what happens where something is absent."""

from __future__ import annotations

import pytest
from torch import Tensor

from simlib import metrics
from simlib.errors import (
    AbsentError,
    AbsentPackageError,
    AbsentWeightsError,
    InputError,
    UnknownNameError,
    WeightsError,
)
from simlib.metrics import Metric, MetricSpec, registry, weights
from tests.support import any_weights


def test_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="lpips-alex"):
        metrics.load("lpips-alexx")


def test_a_name_is_registered_once() -> None:
    spec = MetricSpec("l2", "L2 again")
    with pytest.raises(InputError, match="already"):
        metrics.register(spec)(lambda: any_weights("l2"))


def test_load_first_falls_back_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> dict[str, Tensor]:
        raise AbsentWeightsError(f"{name} is not here")

    monkeypatch.setattr(weights, "load", load)
    metric, reason = metrics.load_first("lpips-alex", "l2")
    assert isinstance(metric, Metric)
    assert metric.spec.name == "l2"
    assert "LPIPS (Alex)" in reason
    assert "L2" in reason
    with pytest.raises(WeightsError, match="alexnet"):
        metrics.load_first("lpips-alex", "lpips-vgg")


def test_wrong_weights_are_an_error_and_no_reason_to_fall_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> dict[str, Tensor]:
        raise WeightsError(f"{name} is another file")

    monkeypatch.setattr(weights, "load", load)
    with pytest.raises(WeightsError, match="another file"):
        metrics.load_first("lpips-alex", "l2")
    with pytest.raises(WeightsError, match="another file"):
        metrics.load_available(["l2", "lpips-alex"])


def test_available_metrics_and_the_titles_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> dict[str, Tensor]:
        raise AbsentWeightsError(f"{name} is not here")

    monkeypatch.setattr(weights, "load", load)
    found, absent = metrics.load_available(["l2", "lpips-alex", "ssim"])
    assert [metric.spec.name for metric in found] == ["l2", "ssim"]
    assert absent == ["LPIPS (Alex)"]


def test_a_prefix_answers_for_all_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_PREFIXES", {})

    @metrics.register_prefix("twice")
    def twice(name: str) -> registry.Entry:
        spec = MetricSpec(f"twice:{name}", f"Twice {metrics.spec_of(name).title}")

        def build() -> Metric:
            metric = metrics.load(name)
            metric.spec = spec
            return metric

        return spec, build

    assert metrics.prefixes() == ["twice"]
    assert metrics.spec_of("twice:l2").title == "Twice L2"
    assert metrics.load("twice:twice:l2").spec.title == "Twice Twice L2"
    with pytest.raises(UnknownNameError, match="l2"):
        metrics.load("twice:l3")
    with pytest.raises(UnknownNameError, match="twice:NAME"):
        metrics.load("thrice:l2")
    with pytest.raises(InputError, match="already"):
        metrics.register_prefix("twice")(twice)
    with pytest.raises(InputError, match="colon"):
        metrics.register(MetricSpec("a:b", "A"))(lambda: metrics.load("l2"))


def test_a_metric_of_an_absent_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTER", dict(registry._REGISTER))
    spec = MetricSpec("far", "Far", library="no_such_package", extra="far", licence="MIT")
    metrics.register(spec)(lambda: metrics.load("l2"))
    assert "simlib[far]" in metrics.why_absent("far")
    with pytest.raises(AbsentPackageError, match="MIT"):
        metrics.load("far")
    assert metrics.load_available(["far", "l2"])[1] == ["Far"]


def test_absent_weights_are_told_without_a_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "locate", lambda name: None)
    assert metrics.why_absent("lpips-vgg") == "weights absent: simlib weights fetch vgg16"
    assert metrics.why_absent("l2") == ""


def test_the_first_error_is_raised_where_none_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> dict[str, Tensor]:
        raise AbsentWeightsError(f"{name} is not here")

    monkeypatch.setattr(weights, "load", absent)
    with pytest.raises(AbsentError, match="squeezenet1_1"):
        metrics.load_first("lpips-squeeze", "lpips-vgg")


def test_a_metric_must_bear_the_name_it_is_registered_under(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTER", dict(registry._REGISTER))
    metrics.register(MetricSpec("mine", "Mine"))(
        lambda: metrics.from_callable(
            lambda ref, x: (ref - x).square().mean(dim=(1, 2, 3)), MetricSpec("other", "Other")
        )
    )
    with pytest.raises(InputError, match="'mine' calls itself 'other'"):
        metrics.load("mine")
