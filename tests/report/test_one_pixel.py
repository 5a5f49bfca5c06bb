"""The figures of the one-pixel attack: what is replayed is the attack, what is framed is its pixel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from simlib.attacks import AttackResult, OnePixel, RankFlip
from simlib.errors import InputError
from simlib.report.one_pixel import Pixels, close_up, evolution, pixel_slider, places, replay, where_to_look
from simlib.triplets import photos
from tests.report.test_pictures import shown
from tests.support import any_weights, exact

SEED = 3


@pytest.fixture(scope="module")
def problem() -> RankFlip:
    # in float64, a triplet by itself and one of a batch have the same margins
    return RankFlip(any_weights("ssim", torch.float64), exact(photos(10, seed=5, side=32)))


@pytest.fixture(scope="module")
def result(problem: RankFlip) -> AttackResult:
    return OnePixel(population=8, generations=6)(problem, seed=SEED)


def marked(image: Tensor, row: int, column: int) -> Tensor:
    """Paint one pixel of a copy magenta."""
    image = image.clone()
    image[:, row, column] = torch.tensor([1.0, 0.0, 1.0])
    return image


def magenta(image: Tensor) -> Tensor:
    return (image == torch.tensor([1.0, 0.0, 1.0]).view(3, 1, 1)).all(dim=0)


def test_the_replay_ends_where_the_attack_ends(problem: RankFlip) -> None:
    attack = OnePixel(population=8, generations=6, early_stop=False)
    whole = attack(problem, seed=SEED)
    for position in range(0, len(problem), 3):
        last = replay(attack, problem[position], seed=SEED)[-1]
        assert torch.equal(last.best, whole.details["pixels"][position, 0])
        assert last.best_margin == pytest.approx(float(whole.margin[position]), abs=1e-12)
    other = replay(attack, problem[0], seed=SEED + 1)[-1].best
    assert not torch.equal(other, whole.details["pixels"][0, 0])


def test_the_replay_flips_when_the_attack_does_and_goes_on(problem: RankFlip, result: AttackResult) -> None:
    assert result.flipped.any() and (result.steps[result.flipped] > 0).any()
    for position in result.flipped.nonzero().flatten().tolist():
        history = replay(OnePixel(population=8, generations=6), problem[position], seed=SEED)
        assert len(history) == 7
        flip = next(t for t, each in enumerate(history) if each.best_margin > 0)
        assert flip == int(result.steps[position])
        assert torch.equal(history[flip].best, result.details["pixels"][position, 0])


def test_the_replay_takes_one_triplet_and_rounds_it_as_the_attack_does(problem: RankFlip) -> None:
    attack = OnePixel(population=8, generations=2, early_stop=False)
    part = problem.triplets[:1]
    odd = RankFlip(problem.metric, replace(part, p0=part.p0 * 0.999, p1=part.p1 * 0.999))
    end = replay(attack, odd, seed=SEED)[-1].best_margin
    assert end == pytest.approx(float(attack(odd, seed=SEED).margin), abs=1e-12)
    with pytest.raises(InputError, match="10 triplets"):
        replay(attack, problem, seed=SEED)


def test_evolution_shows_every_candidate_and_every_margin(problem: RankFlip, result: AttackResult) -> None:
    unflipped = int((~result.flipped).nonzero()[0])
    history = replay(OnePixel(population=8, generations=3), problem[unflipped], seed=SEED)
    figure: Any = evolution(result.original[unflipped], history)
    assert [step.label for step in figure.layout.sliders[0].steps] == ["0", "1", "2", "3"]
    for generation, frame in enumerate(figure.frames):
        dots, ring, margins, best = frame.data
        now = history[generation]
        assert list(zip(dots.y, dots.x, strict=True)) == [
            (row, column) for row, column, *_ in now.pixels.tolist()
        ]
        red, green, blue = (now.pixels[0, 2:] * 255).round().int().tolist()
        assert dots.marker.color[0] == f"rgb({red},{green},{blue})"
        assert (ring.y[0], ring.x[0]) == tuple(now.best[:2].tolist())
        assert len(margins.y) == 8 * (generation + 1)
        assert max(margins.y) == pytest.approx(best.y[-1])
        assert list(best.y) == sorted(best.y)
    low, high = figure.layout.yaxis2.range
    every = [0.0, *figure.frames[-1].data[2].y]
    assert low < min(every) and max(every) < high
    assert f"{history[-1].best_margin:+.4f} at the end" in figure.layout.meta["alt"]


def test_pixels_tell_the_only_change_of_an_image(result: AttackResult) -> None:
    pixels = Pixels.of(result, range(len(result)))
    restored = result.images.clone()
    everyone = torch.arange(len(result))
    assert torch.equal((restored[everyone, :, pixels.rows, pixels.columns] * 255).round().int(), pixels.after)
    restored[everyone, :, pixels.rows, pixels.columns] = pixels.before.double() / 255
    assert torch.equal(restored, result.original)
    assert Pixels.of(result, []).after.shape == (0, 3)


def test_places_have_the_new_colour_within_the_old_one() -> None:
    black, white = torch.zeros(1, 3, dtype=torch.int), torch.full((1, 3), 255)
    figure: Any = places(Pixels(torch.tensor([2]), torch.tensor([7]), black, white), 16, 32)
    dot = figure.data[0]
    assert (list(dot.y), list(dot.x)) == ([2], [7])
    assert (list(dot.marker.color), list(dot.marker.line.color)) == (["rgb(255,255,255)"], ["rgb(0,0,0)"])
    assert (figure.layout.yaxis.range, figure.layout.xaxis.range) == ((16, -1), (-1, 32))


@pytest.mark.parametrize("row, column", [(0, 0), (0, 31), (31, 0), (12, 20), (31, 31)])
def test_a_close_up_holds_the_pixel_enlarged(row: int, column: int) -> None:
    image = marked(torch.zeros(3, 32, 32), row, column)
    block = magenta(close_up(image, row, column)).nonzero()
    height, width = (block.amax(dim=0) - block.amin(dim=0) + 1).tolist()
    # 11 pixels are enlarged to 32, so that each is shown as a block of 2 or 3 rows and columns
    assert {height, width} <= {2, 3}
    assert len(block) == height * width


def test_a_close_up_of_a_small_image_is_the_image() -> None:
    image = torch.rand(3, 6, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(close_up(image, 5, 0), image)


def test_the_frame_is_around_the_pixel_and_does_not_cover_it() -> None:
    looked = where_to_look(torch.zeros(3, 20, 20), 10, 8)
    frame = (looked[0] > 0.8).nonzero()
    assert len(frame) == 7 * 7 - 5 * 5
    assert frame.float().mean(dim=0).tolist() == [10, 8]


def test_slider_shows_the_images_and_the_place(problem: RankFlip, result: AttackResult) -> None:
    figure: Any = pixel_slider(problem, result, [4, 1])
    assert [step.label for step in figure.layout.sliders[0].steps] == ["1", "2"]
    for frame, position in zip(figure.frames, (4, 1), strict=True):
        row, column = result.details["pixels"][position, 0, :2].int().tolist()
        captions = [frame.layout[f"xaxis{index or ''}"].title.text for index in (0, 2, 3, 4, 5, 6)]
        assert captions[2] == f"row {row}, column {column}"
        other, before, after = (float(captions[index].split()[1]) for index in (1, 3, 4))
        assert before <= other
        assert (after > other) == bool(result.flipped[position])
        after_it = result.images[position].float()
        assert torch.equal(shown(frame.data[4].source), after_it)
        assert torch.equal(shown(frame.data[5].source), close_up(after_it, row, column))
