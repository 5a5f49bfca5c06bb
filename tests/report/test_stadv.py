"""What stAdv found, as figures: known flows in their bars, on their scales, with their distances."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from simlib import metrics
from simlib.attacks import AttackResult, RankFlip, StAdv
from simlib.report.attacks import results_as_table
from simlib.report.stadv import flows_side_by_side, length_bars, moves, taking_turns
from simlib.triplets import draw


@pytest.fixture(scope="module")
def problem() -> RankFlip:
    return RankFlip(metrics.load("l2"), draw("photos", 3))


@pytest.fixture(scope="module")
def result(problem: RankFlip) -> AttackResult:
    return StAdv(iterations=2)(problem, protocol="paper")


def with_flow(result: AttackResult, down: float, right: float) -> AttackResult:
    flow = torch.zeros_like(result.details["flow"])
    flow[:, 0], flow[:, 1] = down, right
    return replace(result, details={"flow": flow})


def test_moves_tell_the_distances_of_the_triplets_that_are_asked_for(
    problem: RankFlip, result: AttackResult
) -> None:
    shown = moves(problem, result, [2, 0])
    assert list(shown) == ["1", "2"]
    first = shown["1"]
    assert torch.equal(first.original, result.original[2])
    assert torch.equal(first.flow, result.details["flow"][2])
    ref = problem.triplets.ref[2:]
    before, after = (float(problem.metric(ref, x[2:])) for x in (result.original, result.images))
    assert first.captions[0] == f"distance {before:.4f}"
    now, other = first.captions[1].removeprefix("now ").split(", other ")
    assert now == f"{after:.4f}"
    assert float(other) - float(now) == pytest.approx(-float(result.margin[2]), abs=1.1e-4)


def test_images_take_turns_with_their_own(problem: RankFlip, result: AttackResult) -> None:
    shown = moves(problem, result, [0, 1])
    figure: Any = taking_turns(shown)
    assert [len(frame.data) for frame in figure.frames] == [2, 2]
    captions = [frame.layout.xaxis2.title.text for frame in figure.frames]
    assert captions == [shown["2"].captions[0], shown["2"].captions[1].split(",")[0]]


def test_bars_hold_the_lengths_of_flows() -> None:
    flow = torch.zeros(1, 2, 2, 2)
    flow[0, :, 0, 0] = torch.tensor([3.0, 4.0])  # 5 pixels, over the last edge
    flow[0, 1, 0, 1] = -0.6
    figure: Any = length_bars({"some": flow, "none": flow[:0]})
    (bars,) = figure.data
    assert dict(zip(bars.x, bars.y, strict=True)) == {
        label: {"0 to 0.01": 0.5, "0.5 to 0.75": 0.25, "over 3": 0.25}.get(label, 0) for label in bars.x
    }
    assert bars.name == "some, 1 image"
    assert "some 0 pixels (1 image)" in figure.layout.meta["alt"]
    empty: Any = length_bars({"none": flow[:0]})
    assert "no image" in empty.layout.meta["alt"]


def test_flows_of_a_row_share_one_scale(result: AttackResult) -> None:
    far, near = with_flow(result, 0, 2), with_flow(result, 0, 1)
    figure: Any = flows_side_by_side({"far": far, "near": near}, [1])
    titles = [note.text for note in figure.layout.annotations]
    assert titles == ["before the attack", "flow, far", "flow, near"]
    assert "longest way<br>2 pixels" in figure.layout.xaxis2.title.text
    # To the right is red: full for the longest flow, half as deep for one half as long.
    colors = [pixel(trace.source) for trace in figure.data[1:]]
    assert colors == [(255, 0, 0), (255, 128, 128)]


def pixel(source: str) -> tuple[int, ...]:
    import base64
    import io

    from PIL import Image

    found: Any = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).getpixel((5, 5))
    return tuple(found)


def test_a_table_tells_the_ways_of_flipped_images(problem: RankFlip, result: AttackResult) -> None:
    known = replace(with_flow(result, 3, 4), flipped=torch.tensor([True, False, True]))
    known.details["flow"][1] = 0
    known.details["flow"][:, :, 0, 0] *= 2
    table = results_as_table({"a": known}, ["mean way", "longest way"], problem.triplets.photographs)
    pixels = result.original[0, 0].numel()
    assert table.rows[0] == ("a", pytest.approx(5 * (pixels + 1) / pixels, rel=1e-5), pytest.approx(10))
