"""The contract that every registered attack keeps: budget, box, batch, seed, shapes, memory, bad input."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, get_args

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from simlib.attacks import (
    APGD,
    ATTACKS,
    FGSM,
    FMN,
    PGD,
    Attack,
    AttackResult,
    FewPixel,
    FlipRadius,
    OnePixel,
    Protocol,
    RankFlip,
    Square,
    StAdv,
    StAdvPGD,
    Strongest,
    Target,
    is_defined,
    standard_attacks,
    survivors,
)
from simlib.errors import (
    InputError,
    NoGradientError,
    OutOfMemoryError,
    UndefinedDistanceError,
    UnknownNameError,
)
from simlib.metrics import MetricSpec, from_callable
from simlib.metrics.custom import CallableMetric
from simlib.triplets import Triplets, photos
from tests.ambient import AMBIENT, TELLING
from tests.rounding import tolerance
from tests.support import Watched, any_weights, cut, exact, random_triplets

EPS = 5.6 / 255
"""Not a whole level, so that rounding to the nearest would leave the budget."""

CASES: dict[str, Attack] = {
    "fgsm": FGSM(grid=[2 / 255, EPS]),
    "pgd": PGD(eps=EPS, step=1.3 / 255, steps=5),
    "pgd, all steps": PGD(eps=EPS, step=1.3 / 255, steps=5, early_stop=False),
    "apgd": APGD(eps=EPS, steps=6),
    "apgd, l2": APGD(eps=0.8, norm="l2", steps=6),
    "stadv": StAdv(iterations=6),
    "stadv, root": StAdv(iterations=4, form="root"),
    "stadv-pgd": StAdvPGD(iterations=4, eps=EPS, steps=3),
    "one-pixel": OnePixel(population=8, generations=4),
    "few-pixel": FewPixel(pixels=5, population=8, generations=4),
    "square": Square(eps=EPS, queries=15),
    "fmn": FMN(steps=8),
    "fmn, linf": FMN(norm="linf", steps=8),
    "flip-radius": FlipRadius(bisections=2, steps=4),
    "flip-radius, linf": FlipRadius(norm="linf", bisections=2, steps=4),
    "strongest": Strongest(attacks=(FGSM(grid=[EPS]), Square(eps=EPS, queries=15))),
}
every_case = pytest.mark.parametrize("attack", CASES.values(), ids=CASES.keys())
every_protocol = pytest.mark.parametrize("protocol", get_args(Protocol))
every_target = pytest.mark.parametrize("target", get_args(Target))
COUNTS = ("steps", "forwards", "backwards")

_LASTING = {
    name: attack for name, attack in CASES.items() if attack.name not in ("stadv", "stadv-pgd", "flip-radius")
}
"""Attacks that ask as often about one sample as about another if none flips."""


def test_every_attack_has_a_case() -> None:
    assert {attack.name for attack in CASES.values()} == ATTACKS.keys()


@pytest.fixture(scope="module")
def triplets() -> Triplets:
    return photos(6, seed=5, side=32)


def check_budget(attack: Any, result: AttackResult) -> None:
    """Check box, budget and, under the strict protocol, the same after rounding to 8 bits."""
    assert ((result.images >= 0) & (result.images <= 1)).all()
    rounded = (result.images * 255).round() / 255
    strict = result.protocol == "strict"
    if strict:
        torch.testing.assert_close(result.images, rounded, atol=1e-6, rtol=0)
    for images in (result.images, rounded) if strict else (result.images,):
        change = (images - result.original).flatten(2)
        if attack.name in ("one-pixel", "few-pixel"):
            assert (change.abs().amax(dim=1) > 1e-6).sum(dim=1).max() <= attack.changed
        elif getattr(attack, "norm", "linf") == "l2":
            assert change.flatten(1).norm(dim=1).max() <= getattr(attack, "eps", 1e9) + 1e-5
        elif attack.name not in ("stadv", "fmn", "flip-radius"):
            assert change.abs().max() <= getattr(attack, "eps", EPS) + 1e-6


def check_alike(found: AttackResult, whole: AttackResult, order: Any) -> None:
    """Check that a result is the same as some samples of another, up to rounding."""
    for name in ("flipped", *COUNTS):
        assert torch.equal(getattr(found, name), getattr(whole, name)[order]), name
    torch.testing.assert_close(found.images, whole.images[order], atol=1e-9, rtol=0)
    for key, values in found.details.items():
        torch.testing.assert_close(values, whole.details[key][order], atol=1e-6, rtol=0)


@every_case
@every_protocol
@every_target
def test_contract(attack: Attack, protocol: Protocol, target: Target, triplets: Triplets) -> None:
    problem = RankFlip(any_weights("ssim"), triplets, target)
    result, again = (attack(problem, protocol=protocol) for _ in range(2))
    assert torch.equal(result.images, again.images)
    check_budget(attack, result)
    assert (result.margin[result.flipped] > 0).all()
    if protocol == "strict":
        assert torch.equal(result.flipped, result.margin > 0)
        assert torch.equal(result.flipped, result.flipped_8bit)
    torch.testing.assert_close(result.margin, problem.margin(result.images), rtol=1e-4, atol=1e-6)
    assert (result.attack, result.protocol, result.seed) == (attack, protocol, 0)
    assert result.names == triplets.names
    assert ((result.backwards <= result.forwards) & (result.forwards > 0)).all()
    assert all(len(values) == len(triplets) for values in result.details.values())


@given(eps=st.floats(1 / 255, 0.3), protocol=st.sampled_from(get_args(Protocol)), seed=st.integers(0, 99))
@settings(max_examples=12, deadline=None)
def test_any_budget_is_kept(eps: float, protocol: Protocol, seed: int) -> None:
    problem = RankFlip(any_weights("l2"), photos(2, seed=seed, side=16))
    euclidean = APGD(eps=10 * eps, norm="l2", steps=3)
    for attack in (
        PGD(eps=eps, step=eps / 2, steps=4),
        APGD(eps=eps, steps=3),
        euclidean,
        Square(eps=eps, queries=5),
    ):
        check_budget(attack, attack(problem, protocol=protocol, seed=seed))


@pytest.mark.numerical
@pytest.mark.parametrize("attack", _LASTING.values(), ids=_LASTING.keys())
def test_others_in_the_batch_change_nothing(attack: Attack) -> None:
    """In float32 and to the last bit, as long as there are as many others."""
    # The farther image is so far that nothing flips and leaves, so that there are.
    drawn = photos(7, seed=0, side=32)
    far = dataclasses.replace(drawn, p1=1 - drawn.ref.round())
    results = [
        attack(RankFlip(any_weights("gmsd"), far[torch.tensor(places)])) for places in ([0, 1, 2], [0, 5, 4])
    ]
    assert len(torch.cat([result.forwards for result in results]).unique()) == 1
    first, second = results
    assert not torch.equal(first.original[1], second.original[1])
    assert (first.linf > 0).all()
    for name in ("images", "flipped", "margin", *COUNTS):
        assert torch.equal(getattr(first, name)[0], getattr(second, name)[0]), name


@pytest.mark.numerical
@every_case
def test_result_does_not_depend_on_the_batch(attack: Attack, triplets: Triplets) -> None:
    # Some of 8 bits and some not: what becomes of the ones must not show in the others.
    whole_levels = exact(triplets)
    between = torch.tensor([1, 1, 1, 1, 0.999, 0.999]).double().view(-1, 1, 1, 1)
    mixed = dataclasses.replace(whole_levels, p0=whole_levels.p0 * between, p1=whole_levels.p1 * between)
    problem = RankFlip(any_weights("ssim", torch.float64), mixed)
    whole = attack(problem)
    forwards, backwards = torch.arange(6), torch.arange(6).flip(0)
    for order, batch_size in ((forwards, 4), (forwards, 1), (backwards, 3)):
        check_alike(attack(problem[order], batch_size=batch_size), whole, order)


@pytest.mark.numerical
@every_case
def test_a_photograph_alone_gives_what_it_gives_among_others(attack: Attack) -> None:
    """In float32, on a metric whose gradient is steep in flat areas: rounding would show there.

    An attack may amplify the rounding of another batch size, on some processors and in some samples: where
    it does, another image is found, and most must be the same.
    """
    problem = RankFlip(any_weights("gmsd"), photos(5, seed=0))
    among_others, again, alone = attack(problem), attack(problem), attack(problem, batch_size=1)
    assert torch.equal(again.images, among_others.images)
    same = (alone.images - among_others.images).abs().flatten(1).amax(dim=1) <= 1e-5
    assert same.sum() >= 4
    # A margin is the difference of two distances.
    noise = 2 * tolerance("gmsd", problem.metric(problem.triplets.ref, problem.triplets.p0))
    assert ((alone.margin - among_others.margin).abs()[same] <= noise).all()
    clear = same & (among_others.margin.abs() > noise)
    assert torch.equal(alone.flipped[clear], among_others.flipped[clear])


@every_case
@given(data=st.data())
@settings(deadline=None, max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_size_of_image_and_any_number(attack: Attack, data: st.DataObject) -> None:
    side, n = data.draw(st.integers(32, 96), label="side"), data.draw(st.integers(1, 3), label="n")
    protocol = data.draw(st.sampled_from(get_args(Protocol)), label="protocol")
    width = data.draw(st.integers(32, side), label="width")
    problem = RankFlip(any_weights("l2"), cut(random_triplets(n, side=side), side, width))
    result = attack(problem, protocol=protocol)
    assert result.images.shape == (n, 3, side, width)
    check_budget(attack, result)


@every_case
def test_images_that_rounding_flips_cost_nothing(attack: Attack) -> None:
    # Rounding the closer image of the first two to 8 bits makes it the farther.
    triplets = random_triplets(4)
    p0, p1 = triplets.p0.clone(), triplets.p1.clone()
    p0[:2], p1[:2] = triplets.ref[:2] + 0.55 / 255, triplets.ref[:2] + 0.6 / 255
    nearly_tied = dataclasses.replace(triplets, p0=p0.clamp(0, 1), p1=p1.clamp(0, 1))
    result = attack(RankFlip(any_weights("l2"), nearly_tied))
    assert result.flipped[:2].all()
    assert [getattr(result, name)[:2].tolist() for name in COUNTS] == [[0, 0], [1, 1], [0, 0]]
    assert (result.forwards[2:] > 1).all()
    if "pixels" in result.details:
        assert result.details["pixels"][:2].isnan().all()


@every_case
def test_equal_images_are_a_defined_result(attack: Attack, triplets: Triplets) -> None:
    two_equal = dataclasses.replace(triplets, p1=triplets.p0)
    all_equal = dataclasses.replace(triplets, p0=triplets.ref, p1=triplets.ref)
    for tied, target in itertools.product((two_equal, all_equal), get_args(Target)):
        result = attack(RankFlip(any_weights("l2"), tied, target))
        assert torch.isfinite(result.images).all()
        assert torch.equal(result.flipped, result.margin > 0)
        check_budget(attack, result)


@every_case
@pytest.mark.filterwarnings("ignore:L2 gives no gradient")
def test_only_attacks_that_say_so_need_a_gradient(attack: Attack) -> None:
    metric = Watched(blind=True)
    problem = RankFlip(metric, random_triplets(2))
    if attack.needs_gradient:
        with pytest.raises(NoGradientError, match="L2 gives no gradient"):
            attack(problem)
    else:
        assert len(attack(problem)) == 2
        assert metric.differentiated == (attack.name == "strongest")


@every_case
def test_out_of_memory_halves_the_batch_with_one_warning(attack: Attack) -> None:
    triplets = random_triplets(6)
    with pytest.warns(UserWarning, match="do not fit the memory") as warned:
        result = attack(RankFlip(Watched(room=2), triplets))
    assert len(warned) == 1
    expected = attack(RankFlip(Watched(), triplets), batch_size=1)
    torch.testing.assert_close(result.images, expected.images, atol=1e-5, rtol=0)
    with pytest.raises(OutOfMemoryError, match="does not fit"):
        attack(RankFlip(Watched(room=0), triplets[:1]))


@every_case
def test_memory_is_bounded_by_the_batch(attack: Attack) -> None:
    watched = Watched()
    attack(RankFlip(watched, random_triplets(12)), batch_size=3)
    # A black-box attack looks at several candidates of a sample at once, but at no more than fill a network.
    assert max(watched.sizes) <= (3 if attack.needs_gradient else 32)


@every_case
def test_conditions_that_do_not_exist(attack: Attack) -> None:
    problem = RankFlip(any_weights("l2"), random_triplets(1))
    wrong: list[tuple[dict[str, Any], str]] = [
        *(
            ({"batch_size": size}, r"batch_size is .*whole number")
            for size in (0, 2.0, -1, float("nan"), "many")
        ),
        ({"protocol": "stricter"}, r"Unknown protocol 'stricter'. Did you mean strict"),
        *(({"seed": seed}, f"seed is {seed!r}") for seed in (-1, 1.5, None, True, "1")),
    ]
    for conditions, message in wrong:
        with pytest.raises((InputError, UnknownNameError), match=message):
            attack(problem, **conditions)


@every_case
def test_asking_less_often_changes_nothing(
    attack: Attack, triplets: Triplets, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = RankFlip(any_weights("ssim", torch.float64), triplets.to(dtype=torch.float64))
    always = attack(problem)
    monkeypatch.setattr(survivors, "_CHECK_EVERY_ON_PROCESSOR", 4)
    check_alike(attack(problem), always, slice(None))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@every_case
def test_on_a_gpu(attack: Attack, triplets: Triplets) -> None:
    metric = any_weights.__wrapped__("st-lpips-alex", torch.float64)
    on_cpu = attack(RankFlip(metric, triplets.to(dtype=torch.float64)))
    on_gpu = attack(RankFlip(metric.to("cuda"), triplets.to(device="cuda", dtype=torch.float64)))
    assert on_gpu.images.device.type == "cuda"
    for name in ("flipped", *COUNTS):
        assert torch.equal(getattr(on_gpu, name).cpu(), getattr(on_cpu, name)), name


@every_case
def test_nothing_that_a_caller_has_set_changes_a_result(attack: Attack) -> None:
    triplets = photos(2, seed=5, side=32)
    problem = RankFlip(any_weights("gmsd"), triplets)
    expected = attack(problem)
    for name in TELLING:
        with AMBIENT[name]():
            found = attack(RankFlip(any_weights("gmsd"), dataclasses.replace(triplets)))
        assert torch.equal(found.images, expected.images), name
        assert torch.equal(found.margin, expected.margin), name
        assert not any(tensor.is_inference() for tensor in vars(found).values() if torch.is_tensor(tensor))


@every_case
def test_a_result_is_plain_whatever_the_triplets_were(attack: Attack) -> None:
    plain = random_triplets(2)
    asked = {name: getattr(plain, name).clone().requires_grad_() for name in ("ref", "p0", "p1", "judge")}
    result = attack(RankFlip(any_weights("ssim"), dataclasses.replace(plain, **asked)))
    tensors = [*(each for each in vars(result).values() if torch.is_tensor(each)), *result.details.values()]
    assert len(tensors) >= 8
    assert not any(each.requires_grad for each in tensors)
    with torch.inference_mode():
        ref, p0, p1 = (torch.rand(2, 3, 32, 32) for _ in range(3))
    assert len(attack(RankFlip(any_weights("lpips-alex"), Triplets(ref, p0, p1)))) == 2


def undefined_where_dark(ref: Tensor, x: Tensor) -> Tensor:
    """The mean squared error, but 0 / 0 where the image is dark."""
    bright = (x.mean(dim=(1, 2, 3)) > 0.2).to(x.dtype)
    return (ref - x).square().mean(dim=(1, 2, 3)) * bright / bright


@every_case
@every_protocol
@pytest.mark.parametrize("target", ["closer", "reference"])
def test_undefined_is_refused_and_never_robust(attack: Attack, protocol: Protocol, target: Target) -> None:
    metric = from_callable(undefined_where_dark, MetricSpec("dark", "Dark"))
    triplets = random_triplets(3)
    triplets.p1[1] *= 0.1
    with pytest.raises(UndefinedDistanceError, match=r"Dark gives NaN.*1 of 3 .*'random-0-1'.*is_defined"):
        attack(RankFlip(metric, triplets, target), protocol=protocol)
    assert is_defined(metric, triplets).tolist() == [True, False, True]
    defined = RankFlip(metric, triplets[is_defined(metric, triplets)], target)
    assert len(attack(defined, protocol=protocol)) == 2


@every_case
def test_undefined_on_the_way_is_refused_and_never_robust(attack: Attack) -> None:
    # Both images of each triplet are defined; every other image is not.
    triplets = random_triplets(2)
    known = torch.cat([triplets.ref, triplets.p0, triplets.p1])

    def only_these(ref: Tensor, x: Tensor) -> Tensor:
        distance = (ref - x).square().mean(dim=(1, 2, 3))
        seen = torch.stack([(known - image).abs().flatten(1).amax(dim=1).min() < 1e-6 for image in x])
        return distance * seen / seen

    metric = CallableMetric(only_these, MetricSpec("these", "These"), False, None, (0, 1))
    title = (attack.attacks[0] if isinstance(attack, Strongest) else attack).title
    with pytest.raises(UndefinedDistanceError) as caught:
        attack(RankFlip(metric, triplets))
    assert str(caught.value).startswith(
        f"These gives NaN, or two infinite distances, for images that {title} tried"
    )


POWERLESS: list[Attack] = [
    FGSM(grid=[0.001, 0.003]),
    PGD(eps=0.003),
    PGD(eps=4 / 255, step=1e-6, steps=30),
    PGD(steps=1),
    APGD(eps=0.003),
    APGD(eps=0.003, norm="l2"),
    Square(eps=0.003),
    StAdvPGD(eps=0.003),
    FlipRadius(norm="linf", largest=0.003),
    FlipRadius(largest=0.003),
    Strongest(attacks=standard_attacks(0.003)),
]


@pytest.mark.parametrize("attack", POWERLESS, ids=repr)
def test_dials_that_change_no_image_of_8_bits_are_refused(attack: Attack) -> None:
    problem = RankFlip(any_weights("l2"), random_triplets(1))
    with pytest.raises(InputError, match=r"changes no image: .*smallest change is 1/255.*protocol=.paper"):
        attack(problem)
    assert len(attack(problem, protocol="paper")) == 1


@pytest.mark.parametrize(
    "attack", [PGD(eps=1 / 255, step=1 / 255, steps=1), APGD(eps=1 / 255), FGSM(grid=[1 / 255])]
)
def test_the_smallest_dials_that_can_change_an_image_are_accepted(attack: Attack) -> None:
    result = attack(RankFlip(any_weights("l2"), random_triplets(2)))
    assert result.linf.max() * 255 == pytest.approx(1, abs=1e-4)
