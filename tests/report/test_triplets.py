"""What is told of triplets: counts that can be counted by hand, and pictures to the last bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from simlib.report.pictures import axis_of, png_source
from simlib.report.triplets import (
    distortion_grid,
    distortions_as_table,
    first_patches,
    patch_grid,
    photographs_as_table,
    rmse,
    rmse_histogram,
    triplet_grid,
)
from simlib.triplets import DISTORTIONS, EMBEDDED, Triplets, photos


@pytest.fixture(scope="module")
def drawn() -> Triplets:
    return photos(24)


def captions(figure: Any) -> list[str]:
    return [figure.layout[axis_of(trace)].title.text for trace in figure.data]


def test_the_first_patch_of_each_photograph_is_shown_and_no_more_than_asked_for(drawn: Triplets) -> None:
    patches = first_patches(drawn)
    assert list(patches) == sorted(set(drawn.photographs))
    for name, patch in patches.items():
        assert torch.equal(patch, drawn.ref[[each == name for each in drawn.photographs].index(True)])
    figure: Any = patch_grid(drawn, most=5)
    assert [trace.source for trace in figure.data] == [png_source(patch) for patch in patches.values()][:5]
    assert captions(figure) == [name.replace("_", " ") for name in patches][:5]


def test_triplets_are_shown_in_the_order_asked_for(drawn: Triplets) -> None:
    figure: Any = triplet_grid(drawn, [5, 2])
    images = [each[place] for place in (5, 2) for each in (drawn.ref, drawn.p0, drawn.p1)]
    assert [trace.source for trace in figure.data] == [png_source(image) for image in images]
    assert drawn.distortions[5][1] in figure.layout.meta["alt"]


def test_a_row_of_distortions_differs_in_strength_only(drawn: Triplets) -> None:
    patch, strengths = drawn.ref[0], [0.5, 1.0, 0.5]
    figure: Any = distortion_grid(patch, strengths, seed=3)
    sources = [trace.source for trace in figure.data]
    for start, title in zip(range(0, len(sources), 3), DISTORTIONS, strict=True):
        assert sources[start] == sources[start + 2], f"the draw of {title} changed along the row"
        assert sources[start] != sources[start + 1]
    assert captions(figure) == ["0.5", "1", "0.5"] * len(DISTORTIONS)
    noise = list(DISTORTIONS).index("gaussian_noise")
    other: Any = distortion_grid(patch, strengths, seed=4)
    assert other.data[3 * noise].source != sources[3 * noise]


def test_tables_count_photographs_and_distortions(drawn: Triplets) -> None:
    table = photographs_as_table(drawn)
    assert table.header[:3] == ("photograph", "terms", "of 24 triplets")
    assert {row[0]: row[2] for row in table.rows} == {
        name: sum(each == name for each in drawn.photographs) for name in EMBEDDED
    }
    pairs = (("Gaussian blur 0.20, then JPEG 0.30", "JPEG 0.70"), ("Warp 0.15", "Gaussian blur 0.40"))
    table = distortions_as_table(replace(drawn[:2], distortions=pairs))
    assert table.header[-1] == "of 4 images"
    counts = {row[0]: row[-1] for row in table.rows}
    assert counts == {
        **{each.title: 0 for each in DISTORTIONS.values()},
        **{"Gaussian blur": 2, "JPEG": 2, "Warp": 1},
    }


def test_sizes_of_distortions_are_in_levels(drawn: Triplets) -> None:
    grey = torch.full((3, 3, 8, 8), 100 / 255)
    errors = torch.tensor([[3.0, 1.0, 0.0], [4.0, 2.0, 5.0]])
    p0, p1 = (grey + each.reshape(3, 1, 1, 1) / 255 for each in errors)
    made = replace(drawn[:3], ref=grey, p0=p0, p1=p1)
    torch.testing.assert_close(rmse(made), errors, atol=1e-4, rtol=0)
    figure: Any = rmse_histogram(made)
    assert sorted(figure.data[0].x) == pytest.approx([0, 1, 2, 3, 4, 5], abs=1e-4)
    assert "half of the images lie below 2.5 levels" in figure.layout.meta["alt"]
