"""Transfer of attacked images: against the attack's own count, by hand, and triplet by triplet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast, get_args

import pytest
import torch

from simlib.attacks import PGD, RankFlip, Target
from simlib.benchmark.comparison import by_margin, compare_attacks, compare_metrics
from simlib.benchmark.rates import trade_off, transfer_matrix, transfer_rate, white_box_table
from simlib.benchmark.transfer import transfer
from simlib.errors import InputError
from simlib.metrics import Metric, spec_of
from simlib.triplets import Triplets, photos
from tests.support import any_weights, exact, random_triplets

every_target = pytest.mark.parametrize("target", get_args(Target))


@every_target
def test_the_attacked_metric_confirms_its_own_flips(target: Target) -> None:
    problem = RankFlip(any_weights("ssim"), photos(12, seed=5, side=32), target)
    result = PGD(eps=4 / 255, step=1 / 255, steps=6)(problem)
    assert 0 < int(result.flipped.sum()) < len(problem)
    judged: Any = transfer(problem, result.images, problem.metric)
    assert judged["agrees"].all()
    assert judged["flipped_8bit"].tolist() == result.flipped.tolist()


def flat(*levels: float) -> torch.Tensor:
    """Images of one grey each, 16 pixels wide."""
    return torch.tensor(levels, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 3, 16, 16).contiguous()


class Brightest(Metric):
    """A metric that likes bright images, whatever the reference."""

    spec = replace(spec_of("l2"), name="brightest")

    def compare(
        self, reference: tuple[torch.Tensor, ...], features: tuple[torch.Tensor, ...]
    ) -> torch.Tensor:
        return 1 - features[0].mean(dim=(1, 2, 3))


def hand_made() -> Triplets:
    """Three triplets with a black reference: l2 finds p0 closer, closer, and p1 closer."""
    return replace(
        random_triplets(3, side=16), ref=flat(0, 0, 0), p0=flat(0.25, 0.5, 0.75), p1=flat(0.5, 0.75, 0.25)
    )


def test_by_hand_a_metric_that_never_agrees_has_no_rate() -> None:
    problem = RankFlip(any_weights("l2"), hand_made())
    judged: Any = transfer(problem, flat(1, 1, 1), Brightest())
    assert not judged["agrees"].any()
    assert transfer_rate(judged) is None


@pytest.mark.parametrize(
    ("target", "images", "expected"),
    [
        # the closer images are 0.25, 0.5, 0.25 and must pass 0.5, 0.75, 0.75: a tie is no flip
        ("closer", flat(0.6, 0.75, 0.7), [True, False, False]),
        # the farther images are 0.5, 0.75, 0.75 and must come under 0.25, 0.5, 0.25
        ("farther", flat(0.25, 0.4, 0.2), [False, True, True]),
        # the reference must come nearer to 0.5, 0.75, 0.75 than to 0.25, 0.5, 0.25
        ("reference", flat(0.375, 0.7, 0.4), [False, True, False]),
    ],
)
def test_by_hand_for_every_target(target: Target, images: torch.Tensor, expected: list[bool]) -> None:
    problem = RankFlip(any_weights("l2"), hand_made(), target)
    judged: Any = transfer(problem, images, problem.metric)
    assert judged["flipped_8bit"].tolist() == expected
    rate = transfer_rate(judged)
    assert rate is not None
    assert (rate.successes, rate.n) == (sum(expected), 3)


@every_target
def test_another_metric_triplet_by_triplet(target: Target) -> None:
    # Alone and in parts, near ties included: float32 would round them otherwise.
    source, judge = any_weights("l2", torch.float64), any_weights("ssim", torch.float64)
    triplets = exact(photos(24, seed=5, side=32))
    problem = RankFlip(source, triplets, target)
    images = PGD(eps=8 / 255, step=1 / 255, steps=12, early_stop=False)(problem).images
    judged: Any = transfer(problem, images, judge, batch_size=7)
    assert list(judged["photograph"]) == list(triplets.photographs)
    agrees, flipped = judged["agrees"], judged["flipped_8bit"]
    assert 0 < int((agrees & flipped).sum()) < int(agrees.sum()) < len(triplets)
    for i, (triplet, image) in enumerate(zip(triplets, images.split(1), strict=True)):
        by_source, by_judge = (
            _ranks(metric, triplet.ref, triplet.p0, triplet.p1) for metric in (source, judge)
        )
        ref, p0, p1 = triplet.ref, triplet.p0, triplet.p1
        if target == "reference":
            ref = image
        elif (target == "closer") == (by_source == "p0"):
            p0 = image
        else:
            p1 = image
        after = _ranks(judge, ref, p0, p1)
        assert agrees[i] == (by_source == by_judge)
        assert flipped[i] == (by_judge != after)


def _ranks(metric: Metric, ref: torch.Tensor, p0: torch.Tensor, p1: torch.Tensor) -> str:
    return "p0" if float(metric(ref, p0)) < float(metric(ref, p1)) else "p1"


def test_refused() -> None:
    problem = RankFlip(any_weights("l2"), random_triplets(2))
    with pytest.raises(InputError, match="differ in shape"):
        transfer(problem, problem.triplets.ref[:1], problem.metric)
    with pytest.raises(InputError, match=r"images: sample 0 leaves \[0, 1\]"):
        transfer(problem, problem.triplets.ref + 1, problem.metric)
    with pytest.raises(InputError, match="batch_size is 0"):
        transfer(problem, problem.triplets.ref, problem.metric, batch_size=0)


def test_what_is_no_problem_or_no_metric_is_refused_in_words() -> None:
    problem = RankFlip(any_weights("l2"), random_triplets(2))
    images, nothing = problem.triplets.ref, cast(Any, None)
    for other in (nothing, cast(Any, problem.triplets)):
        with pytest.raises(InputError, match=r"^problem is a .*RankFlip\(metric, triplets\)"):
            transfer(other, images, problem.metric)
    with pytest.raises(InputError, match=r"^metric is a NoneType, which is no metric of simlib"):
        transfer(problem, images, nothing)


def test_tables_of_a_plan_say_that_rows_of_transfer_are_none() -> None:
    problem = RankFlip(any_weights("l2"), random_triplets(2))
    judged = transfer(problem, problem.triplets.ref, any_weights("ssim"))
    own = transfer(problem, problem.triplets.ref, problem.metric)
    for table, rows in (
        (transfer_matrix, judged),
        (white_box_table, own),
        (lambda rows: trade_off(rows, "PGD"), own),
        (lambda rows: compare_metrics(rows, "PGD"), own),
        (lambda rows: compare_attacks(rows, "l2", "ssim", ("PGD", "APGD")), judged),
        (by_margin, own),
    ):
        with pytest.raises(InputError, match=r"no column '(attack|flipped)'.*transfer_rate"):
            table(rows)
