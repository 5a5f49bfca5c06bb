"""Pictures side by side: what a reader would see is what was measured."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from simlib.errors import InputError
from simlib.report import pictures
from simlib.report.pictures import Panel, first_flips, triplet_panels
from tests.support import random_triplets


def picture(seed: int = 0, side: int = 8) -> torch.Tensor:
    levels = torch.randint(0, 256, (3, side, side), generator=torch.Generator().manual_seed(seed))
    return levels / 255


def shown(source: str) -> torch.Tensor:
    pixels = Image.open(io.BytesIO(base64.b64decode(source.split(",", 1)[1])))
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1) / 255


def test_a_picture_is_shown_to_the_last_bit() -> None:
    assert torch.equal(shown(pictures.png_source(picture())), picture())


def test_grid_places_every_panel_and_leaves_the_end_of_short_rows_blank() -> None:
    rows = [[Panel(picture(0), "one", "a")], [Panel(picture(1), "two", "b"), Panel(picture(2), "three", "c")]]
    figure: Any = pictures.picture_grid(rows, alt="three pictures")
    assert [trace.xaxis for trace in figure.data] == ["x", "x3", "x4"]
    captions = [figure.layout[pictures.axis_of(trace)].title.text for trace in figure.data]
    assert captions == ["one", "two", "three"]
    assert [note.text for note in figure.layout.annotations] == ["a", "b", "c"]
    assert figure.layout.meta["alt"] == "three pictures"
    with pytest.raises(InputError, match="at least one panel"):
        pictures.picture_grid([[]], alt="nothing")


def test_slider_exchanges_pictures_and_captions() -> None:
    choices = {label: [[Panel(picture(seed), label, "t")]] for seed, label in enumerate(("first", "second"))}
    figure: Any = pictures.picture_slider(choices, alt="two pictures")
    assert [step.label for step in figure.layout.sliders[0].steps] == ["first", "second"]
    for seed, frame in enumerate(figure.frames):
        assert torch.equal(shown(frame.data[0].source), picture(seed))
        assert frame.layout.xaxis.title.text == frame.name


def test_amplified_change_is_grey_where_nothing_changed() -> None:
    original = picture()
    changed = original.clone()
    changed[0, 0, 0] += 1 / 255
    amplified = pictures.amplified_change(changed, original, gain=20)
    assert float(amplified[0, 0, 0]) == pytest.approx(0.5 + 20 / 255, abs=1e-5)
    assert (amplified.flatten()[1:] == 0.5).all()


def test_a_triplet_is_shown_with_what_was_done_to_it() -> None:
    triplets = random_triplets(2)
    panels = triplet_panels(triplets, 1)
    assert [panel.title for panel in panels] == ["reference", "first image", "second image"]
    assert [panel.caption for panel in panels] == ["", "noise 0.05", "noise 0.08"]
    assert torch.equal(panels[2].image, triplets.p1[1])


def test_the_first_flips_are_shown_and_without_any_the_first_samples() -> None:
    assert first_flips(torch.tensor([False, True, True, True]), 2) == [1, 2]
    assert first_flips(torch.zeros(4, dtype=torch.bool), 3) == [0, 1, 2]
