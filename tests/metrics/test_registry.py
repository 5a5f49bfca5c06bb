"""The register of metrics: names, prefixes, modules, and what happens where something is absent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
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
from simlib.metrics.pixel import MeanAbsoluteError
from tests.support import any_weights


def raising(error: Callable[[str], Exception]) -> Callable[[str], dict[str, Tensor]]:
    """Return a function to load weights that raises this error with their name."""

    def load(name: str) -> dict[str, Tensor]:
        raise error(f"{name} is not here")

    return load


@pytest.fixture
def register_for_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTER", dict(registry._REGISTER))
    monkeypatch.setattr(registry, "_PREFIXES", dict(registry._PREFIXES))


def test_unknown_metric_names_the_nearest() -> None:
    for ask in (metrics.load, metrics.spec_of, metrics.why_absent, metrics.modules_of):
        with pytest.raises(UnknownNameError, match="lpips-alex"):
            ask("lpips-alexx")


def test_a_name_is_registered_once_and_has_no_colon() -> None:
    with pytest.raises(InputError, match="already"):
        metrics.register(MetricSpec("l2", "L2 again"))(lambda: any_weights("l2"))
    with pytest.raises(InputError, match="colon"):
        metrics.register(MetricSpec("a:b", "A"))(lambda: any_weights("l2"))


def test_absent_weights_are_passed_over_and_the_first_error_is_raised_where_all_are_absent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(weights, "load", raising(AbsentWeightsError))
    metric, reason = metrics.load_first("content", "dists", "l2")
    assert metric.spec.name == "l2"
    assert reason == "Content (VGG) and DISTS could not be loaded on this machine; L2 stands in."
    assert metrics.load_first("l2", "content")[1] == ""
    found, absent = metrics.load_available(["l2", "content", "ssim"])
    assert [metric.spec.name for metric in found] == ["l2", "ssim"] and absent == ["Content (VGG)"]
    with pytest.raises(AbsentError, match="pieapp"):
        metrics.load_first("pieapp", "content")


def test_wrong_weights_are_an_error_and_no_reason_to_fall_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "load", raising(WeightsError))
    for fall_back in (
        lambda: metrics.load_first("content", "l2"),
        lambda: metrics.load_available(["content"]),
    ):
        with pytest.raises(WeightsError, match="vgg16"):
            fall_back()


@pytest.mark.usefixtures("register_for_now")
def test_a_prefix_answers_for_all_its_names() -> None:
    @metrics.register_prefix("twice")
    def twice(name: str) -> registry.Entry:
        spec = MetricSpec(f"twice:{name}", f"Twice {metrics.spec_of(name).title}", parts=(name,))

        def build() -> Metric:
            metric = metrics.load(name)
            metric.spec = spec
            return metric

        return spec, build

    assert metrics.prefixes()[-1] == "twice"
    assert metrics.load("twice:twice:l2").spec.title == "Twice Twice L2"
    assert metrics.modules_of("twice:twice:l2") == {__name__, "simlib.metrics.pixel"}
    for unknown, hint in (("twice:l3", "l2"), ("thrice:l2", "twice:NAME")):
        with pytest.raises(UnknownNameError, match=hint):
            metrics.load(unknown)
    with pytest.raises(InputError, match="already"):
        metrics.register_prefix("twice")(twice)


@pytest.mark.parametrize(
    ("name", "modules"),
    [
        ("l2", {"pixel"}),
        ("gmsd", {"structural"}),
        ("nlpd", {"nlpd"}),
        ("lpips-alex", {"deep"}),
        ("pyiqa:ssim", {"pyiqa"}),
        ("transformed:smoothed:l2", {"transformed", "smoothed", "pixel"}),
        ("ensemble:lpips-vgg+l1+smoothed:l2", {"ensemble", "deep", "pixel", "smoothed"}),
    ],
)
def test_the_modules_of_a_metric_are_those_that_compute_it(name: str, modules: set[str]) -> None:
    assert metrics.modules_of(name) == {f"simlib.metrics.{module}" for module in modules}


@pytest.mark.parametrize(
    ("old", "now"),
    [
        ("committee:l2+ssim", "ensemble:l2[+]ssim"),
        ("smoothed:committee:l2+ssim", "smoothed:ensemble:l2[+]ssim"),
        ("ensemble:committee:l2+ssim", "transformed:ensemble:l2[+]ssim"),
        ("committee:ensemble:l2+ssim", "ensemble:transformed:l2[+]ssim"),
        ("ensemble:l2", r"transformed:l2 \(.*\) or ensemble:l2\+NAME \(several"),
        ("smoothed:ensemble:l2", "transformed:l2"),
    ],
)
def test_a_name_of_an_old_form_is_refused_with_the_new_one(old: str, now: str) -> None:
    for ask in (metrics.load, metrics.spec_of, metrics.why_absent, metrics.modules_of):
        with pytest.raises(InputError, match=now):
            ask(old)
    assert metrics.prefixes() == ["pyiqa", "ensemble", "smoothed", "transformed"]


@pytest.mark.usefixtures("register_for_now")
@pytest.mark.parametrize("name", ["far", "smoothed:far", "ensemble:l2+far"])
def test_a_metric_of_an_absent_package_says_what_to_install(name: str) -> None:
    spec = MetricSpec("far", "Far", library="no_such_package", extra="far", licence="MIT")
    metrics.register(spec)(lambda: metrics.load("l2"))
    hint = "pip install -e '.[far]' in the checkout of the book"
    assert metrics.why_absent(name) == f"package absent: {hint}"
    with pytest.raises(AbsentPackageError, match=r"no_such_package.*'\.\[far\]'.*MIT"):
        metrics.load(name)
    assert metrics.load_available([name, "l2"])[1] == [metrics.spec_of(name).title]


@pytest.mark.usefixtures("register_for_now")
def test_an_ensemble_of_a_metric_of_an_optional_package_that_is_installed() -> None:
    metrics.register(MetricSpec("near", "Near", library="piq", extra="near"))(MeanAbsoluteError)
    assert metrics.why_absent("ensemble:l2+near") == ""
    assert metrics.load("ensemble:l2+near").spec.extra == "near"


def test_absent_weights_are_named_without_a_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "locate", lambda name: None)
    for name in ("lpips-vgg", "smoothed:lpips-vgg", "transformed:lpips-vgg", "ensemble:l2+lpips-vgg"):
        assert metrics.why_absent(name) == "weights absent: simlib weights fetch vgg16"
    assert metrics.why_absent("smoothed:l2") == ""


@pytest.mark.usefixtures("register_for_now")
def test_a_metric_must_bear_the_name_it_is_registered_under() -> None:
    def build() -> Metric:
        return metrics.from_callable(any_weights("l2"), MetricSpec("other", "Other"))

    metrics.register(MetricSpec("mine", "Mine"))(build)
    with pytest.raises(InputError, match="'mine' calls itself 'other'"):
        metrics.load("mine")


@pytest.mark.parametrize("name", [None, 3, ("l2",), any_weights])
def test_a_name_that_is_no_text_is_refused_in_words(name: Any) -> None:
    for ask in (metrics.load, metrics.spec_of, metrics.why_absent, metrics.modules_of, metrics.load_first):
        with pytest.raises(InputError, match=r"^The name of a metric is a .*metrics\.names\(\)"):
            ask(name)


NOWHERE: list[Any] = ["foo", "meta", torch.device("meta"), "cuda:99", None, torch.float64]


@pytest.mark.parametrize("device", NOWHERE, ids=str)
def test_a_device_that_computes_nothing_is_refused_in_a_line_before_weights_are_read(
    device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "load", lambda name: pytest.fail("read"))
    with pytest.raises(InputError, match=f"^There is no device '{device}' here") as caught:
        metrics.load("lpips-alex", device=device)
    assert "\n" not in str(caught.value)


def test_the_dtype_is_one_of_torch() -> None:
    for dtype in ("float64", float, None):
        with pytest.raises(InputError, match=r"^dtype is .*Give a torch\.dtype: torch\.float32 or torch\.f"):
            metrics.load("l2", dtype=cast(Any, dtype))
    assert metrics.load("l2", device=torch.device("cpu"), dtype=torch.float64).spec.name == "l2"
