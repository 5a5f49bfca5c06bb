"""The contract that every registered attack keeps: budget, box, batch, seed, shapes, memory, bad input."""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import dataclass
from functools import partial
from typing import get_args

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from simlib import metrics
from simlib.attacks import ATTACKS, AttackResult, Protocol, RankFlip, Target, survivors
from simlib.errors import InputError, NoGradientError, OutOfMemoryError, UnknownNameError
from simlib.metrics import Features, Metric
from simlib.metrics.pixel import MeanSquaredError
from simlib.triplets import Triplets, photos
from tests.support import any_weights, random_triplets


@dataclass(frozen=True)
class Case:
    """An attack with parameters that make it cheap, and what it promises.

    Attributes:
        attack: the attack, a partial.
        linf: most it may change one value; None for any.
        pixels: most pixels it may change; None for any.
        white_box: whether it needs a gradient.
    """

    attack: partial[AttackResult]
    linf: float | None = None
    pixels: int | None = None
    white_box: bool = True


EPS = 5.6 / 255
"""Not a whole level, so that rounding to the nearest would leave the budget."""

CASES = {
    "fgsm": Case(partial(ATTACKS["fgsm"], grid=[2 / 255, EPS]), linf=EPS),
    "pgd": Case(partial(ATTACKS["pgd"], eps=EPS, step=1.3 / 255, steps=5), linf=EPS),
    "pgd, all steps": Case(
        partial(ATTACKS["pgd"], eps=EPS, step=1.3 / 255, steps=5, early_stop=False), linf=EPS
    ),
    "apgd": Case(partial(ATTACKS["apgd"], eps=EPS, steps=6), linf=EPS),
    "apgd, l2": Case(partial(ATTACKS["apgd"], eps=0.8, norm="l2", steps=6)),
    "stadv": Case(partial(ATTACKS["stadv"], iterations=6)),
    "stadv, root": Case(partial(ATTACKS["stadv"], iterations=6, form="root")),
    "stadv-pgd": Case(partial(ATTACKS["stadv-pgd"], iterations=4, eps=EPS, steps=3), linf=EPS),
    "one-pixel": Case(partial(ATTACKS["one-pixel"], population=8, generations=4), pixels=1, white_box=False),
    "few-pixel": Case(
        partial(ATTACKS["few-pixel"], pixels=5, population=8, generations=4), pixels=5, white_box=False
    ),
    "square": Case(partial(ATTACKS["square"], eps=EPS, queries=15), linf=EPS, white_box=False),
    "fmn": Case(partial(ATTACKS["fmn"], steps=8)),
    "fmn, linf": Case(partial(ATTACKS["fmn"], norm="linf", steps=8)),
    "flip-radius": Case(partial(ATTACKS["flip-radius"], bisections=2, steps=4)),
    "flip-radius, linf": Case(partial(ATTACKS["flip-radius"], norm="linf", bisections=2, steps=4)),
    "strongest": Case(
        partial(
            ATTACKS["strongest"],
            attacks={
                "FGSM": partial(ATTACKS["fgsm"], grid=[EPS]),
                "Square": partial(ATTACKS["square"], eps=EPS, queries=15),
            },
        ),
        linf=EPS,
        white_box=False,
    ),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
every_protocol = pytest.mark.parametrize("protocol", get_args(Protocol))
every_target = pytest.mark.parametrize("target", get_args(Target))


def test_every_attack_has_a_case() -> None:
    assert {name.split(",")[0] for name in CASES} == ATTACKS.keys()


@pytest.fixture(scope="module")
def metric() -> Metric:
    return any_weights("ssim")


@pytest.fixture(scope="module")
def triplets() -> Triplets:
    return photos(6, seed=5, side=32)


def check_budget(case: Case, result: AttackResult) -> None:
    """Check box, budget and, under the strict protocol, the same after rounding to 8 bits."""
    assert result.images.min() >= 0
    assert result.images.max() <= 1
    rounded = (result.images * 255).round() / 255
    if result.protocol == "strict":
        torch.testing.assert_close(result.images, rounded, atol=1e-6, rtol=0)
    for images in (result.images, rounded) if result.protocol == "strict" else (result.images,):
        change = images - result.original
        if case.linf is not None:
            assert change.abs().max() <= case.linf + 1e-6
        if case.pixels is not None:
            assert (change.abs().amax(dim=1) > 1e-6).flatten(1).sum(dim=1).max() <= case.pixels
        if result.parameters.get("norm") == "l2" and "eps" in result.parameters:
            eps = result.parameters["eps"]
            assert isinstance(eps, float)
            assert change.flatten(1).norm(dim=1).max() <= eps + 1e-5


@every_case
@every_protocol
@every_target
def test_contract(case: Case, protocol: Protocol, target: Target, metric: Metric, triplets: Triplets) -> None:
    problem = RankFlip(metric, triplets, target)
    result = case.attack(problem, protocol=protocol)
    again = case.attack(problem, protocol=protocol)
    assert torch.equal(result.images, again.images)
    check_budget(case, result)
    if result.protocol == "strict":
        assert torch.equal(result.flipped, result.margin > 0)
        assert torch.equal(result.flipped, result.flipped_8bit)
    else:
        assert (result.margin[result.flipped] > 0).all()
    torch.testing.assert_close(result.margin, problem.margin(result.images), rtol=1e-4, atol=1e-6)
    assert result.names == triplets.names
    assert (result.backwards <= result.forwards).all()
    assert (result.forwards > 0).all()
    for values in result.details.values():
        assert len(values) == len(triplets)


@every_case
def test_result_does_not_depend_on_the_batch(case: Case, triplets: Triplets) -> None:
    metric = any_weights("ssim", torch.float64)
    # Some of 8 bits and some not: what becomes of the ones must not show in the others.
    mixed = triplets.to(dtype=torch.float64)
    exact = [(getattr(mixed, name) * 255).round() / 255 for name in ("ref", "p0", "p1")]
    faint = [exact[0][4:], exact[1][4:] * 0.999, exact[2][4:] * 0.999]
    ref, p0, p1 = (torch.cat([a[:4], b]) for a, b in zip(exact, faint, strict=True))
    problem = RankFlip(metric, dataclasses.replace(mixed, ref=ref, p0=p0, p1=p1))
    whole = case.attack(problem)
    backwards = torch.arange(len(triplets)).flip(0)
    others = {
        "batches of 4": case.attack(problem, batch_size=4),
        "alone": case.attack(problem, batch_size=1),
        "in another order": case.attack(problem[backwards], batch_size=3),
    }
    for name, other in others.items():
        order = backwards if name == "in another order" else torch.arange(len(triplets))
        assert torch.equal(other.flipped, whole.flipped[order]), name
        assert torch.equal(other.steps, whole.steps[order]), name
        assert torch.equal(other.forwards, whole.forwards[order]), name
        assert torch.equal(other.backwards, whole.backwards[order]), name
        torch.testing.assert_close(other.images, whole.images[order], atol=1e-9, rtol=0)
        for key, values in other.details.items():
            torch.testing.assert_close(values, whole.details[key][order], atol=1e-6, rtol=0)


@every_case
def test_photographs_fare_alone_as_among_others(case: Case) -> None:
    """In float32, on a metric whose gradient is steep in flat areas: rounding would show there.

    Where a processor has slower code only, libraries may still round otherwise for a sample or so.
    """
    problem = RankFlip(any_weights("gmsd"), photos(5, seed=0))
    among_others, alone = case.attack(problem), case.attack(problem, batch_size=1)
    assert torch.equal(alone.flipped, among_others.flipped)
    same = (alone.margin - among_others.margin).abs() <= 1e-5
    same &= (alone.images - among_others.images).abs().flatten(1).amax(dim=1) <= 1e-5
    assert same.sum() >= 4


@every_case
@given(data=st.data())
@settings(deadline=None, max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_size_of_image_and_any_number(case: Case, data: st.DataObject) -> None:
    side, n = data.draw(st.integers(32, 96), label="side"), data.draw(st.integers(1, 3), label="n")
    protocol = data.draw(st.sampled_from(get_args(Protocol)), label="protocol")
    triplets = random_triplets(n, side=side)
    width = data.draw(st.integers(32, side), label="width")
    cut = {name: getattr(triplets, name)[..., :width].contiguous() for name in ("ref", "p0", "p1")}
    problem = RankFlip(any_weights("l2"), dataclasses.replace(triplets, **cut))
    result = case.attack(problem, protocol=protocol)
    assert result.images.shape == (n, 3, side, width)
    check_budget(case, result)


class Watched(MeanSquaredError):  # noqa: N818
    """The mean squared error, which notes how many images it looks at, and may run out of memory."""

    def __init__(self, room: int = 10**9) -> None:
        super().__init__()
        self.spec = metrics.spec_of("l2")
        self.room = room
        self.most = 0

    def embed(self, images: Tensor) -> Features:
        self.most = max(self.most, len(images))
        if len(images) > self.room:
            raise torch.OutOfMemoryError("out of memory, says the device")
        return super().embed(images)


class WithoutGradient(MeanSquaredError):  # noqa: N818
    """The mean squared error as a program outside torch would compute it."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = dataclasses.replace(metrics.spec_of("l2"), title="Outsider")

    def compare(self, reference: Features, features: Features) -> Tensor:
        squared = (reference[0].detach().numpy() - features[0].detach().numpy()) ** 2
        return torch.from_numpy(squared.mean(axis=(1, 2, 3)))


@every_case
def test_images_that_rounding_flips_cost_nothing(case: Case) -> None:
    triplets = nearly_tied()
    result = case.attack(RankFlip(any_weights("l2"), triplets))
    started = result.steps == 0
    assert started.tolist()[:2] == [True, True]
    assert result.flipped[:2].all()
    assert (result.forwards[:2] == 1).all()
    assert (result.backwards[:2] == 0).all()
    assert (result.forwards[2:] > 1).all()
    if "pixels" in result.details:
        assert result.details["pixels"][:2].isnan().all()


def nearly_tied() -> Triplets:
    """Return four triplets; rounding the closer image of the first two to 8 bits makes it the farther."""
    triplets = random_triplets(4)
    p0, p1 = triplets.p0.clone(), triplets.p1.clone()
    p0[:2], p1[:2] = triplets.ref[:2] + 0.55 / 255, triplets.ref[:2] + 0.6 / 255
    return dataclasses.replace(triplets, p0=p0.clamp(0, 1), p1=p1.clamp(0, 1))


@every_case
def test_equal_images_are_a_defined_result(case: Case, triplets: Triplets) -> None:
    two_equal = dataclasses.replace(triplets, p1=triplets.p0)
    all_equal = dataclasses.replace(triplets, p0=triplets.ref, p1=triplets.ref)
    for tied in (two_equal, all_equal):
        for target in get_args(Target):
            result = case.attack(RankFlip(any_weights("l2"), tied, target))
            assert torch.isfinite(result.images).all()
            assert torch.equal(result.flipped, result.margin > 0)
            check_budget(case, result)


@every_case
def test_metric_without_gradient(case: Case) -> None:
    problem = RankFlip(WithoutGradient(), random_triplets(2))
    if case.white_box:
        with pytest.raises(NoGradientError, match="Outsider gives no gradient"):
            case.attack(problem)
    elif case is CASES["strongest"]:
        with pytest.warns(UserWarning, match="gradient"):
            assert len(case.attack(problem)) == 2
    else:
        assert len(case.attack(problem)) == 2


@every_case
def test_out_of_memory_halves_the_batch_with_one_warning(case: Case) -> None:
    triplets = random_triplets(6)
    with pytest.warns(UserWarning, match="do not fit the memory") as warned:
        result = case.attack(RankFlip(Watched(room=2), triplets))
    assert len([one for one in warned if "do not fit" in str(one.message)]) == 1
    expected = case.attack(RankFlip(Watched(), triplets), batch_size=1)
    torch.testing.assert_close(result.images, expected.images, atol=1e-5, rtol=0)
    with pytest.raises(OutOfMemoryError, match="One triplet does not fit"):
        case.attack(RankFlip(Watched(room=0), triplets[:1]))


@every_case
def test_memory_is_bounded_by_the_batch(case: Case) -> None:
    watched = Watched()
    case.attack(RankFlip(watched, random_triplets(12)), batch_size=3)
    # A black-box attack looks at several candidates of a sample at once, but at no more than fill a network.
    assert watched.most <= (3 if case.white_box else 32)


@every_case
def test_bad_batch_sizes_and_protocols(case: Case) -> None:
    problem = RankFlip(any_weights("l2"), random_triplets(1))
    with pytest.raises(InputError, match="batch_size is 0"):
        case.attack(problem, batch_size=0)
    with pytest.raises(UnknownNameError, match="strict"):
        case.attack(problem, protocol="stricter")


@every_case
def test_asking_less_often_changes_nothing(
    case: Case, triplets: Triplets, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = RankFlip(any_weights("ssim", torch.float64), triplets.to(dtype=torch.float64))
    always = case.attack(problem)
    monkeypatch.setattr(survivors, "_CHECK_EVERY_ON_PROCESSOR", 4)
    seldom = case.attack(problem)
    assert torch.equal(seldom.flipped, always.flipped)
    for name in ("steps", "forwards", "backwards"):
        assert torch.equal(getattr(seldom, name), getattr(always, name)), name
    torch.testing.assert_close(seldom.images, always.images, atol=1e-9, rtol=0)


@every_case
def test_whole_numbers_and_sizes_are_checked(case: Case) -> None:
    problem = RankFlip(any_weights("l2"), random_triplets(1))
    known = inspect.signature(case.attack).parameters.keys()
    counts = known & {"steps", "queries", "generations", "iterations", "population", "bisections", "pixels"}
    for name in (*counts, "batch_size"):
        for wrong in (2.0, -1, float("nan"), "many"):
            with pytest.raises(InputError, match=f"{name} is .*whole number"):
                case.attack(problem, **{name: wrong})
    if "eps" in known and "l2" not in case.attack.keywords.values():
        for wrong in (4, 0, float("nan"), "4/255"):
            with pytest.raises(InputError, match="eps is"):
                case.attack(problem, eps=wrong)


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@needs_gpu
@every_case
def test_on_a_gpu(case: Case, triplets: Triplets) -> None:
    metric = any_weights.__wrapped__("st-lpips-alex", torch.float64)
    on_cpu = case.attack(RankFlip(metric, triplets.to(dtype=torch.float64)))
    on_gpu = case.attack(RankFlip(metric.to("cuda"), triplets.to(device="cuda", dtype=torch.float64)))
    assert on_gpu.images.device.type == "cuda"
    assert torch.equal(on_gpu.flipped.cpu(), on_cpu.flipped)
    for name in ("steps", "forwards", "backwards"):
        assert torch.equal(getattr(on_gpu, name).cpu(), getattr(on_cpu, name)), name
