"""Sentences and captions as outputs: what is put out, and for whom."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import plotly.graph_objects as go
import pytest
from IPython.core.formatters import DisplayFormatter
from PIL import Image

from simlib.report import display
from simlib.report.display import CAPTION, LIVE, PLOTLY, listed, say, show


@pytest.fixture
def put_out(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Collect what cells put out."""
    bundles: list[dict[str, Any]] = []
    monkeypatch.setattr(display, "display", lambda bundle, raw: bundles.append(bundle))
    yield bundles


def test_sentences_are_joined_and_empty_ones_left_out(put_out: list[dict[str, Any]]) -> None:
    say("PGD flips 3 of 4.", "", "FGSM 1.")
    say("")
    assert put_out == [
        {"text/markdown": "PGD flips 3 of 4. FGSM 1.", "text/plain": "PGD flips 3 of 4. FGSM 1."}
    ]


def test_a_figure_holds_its_caption_and_is_followed_by_it(put_out: list[dict[str, Any]]) -> None:
    figure = go.Figure(go.Scatter(y=[1, 2])).update_layout(meta={"alt": "a line"})
    show(figure, "A *line*.")
    drawn, caption = put_out
    assert drawn[PLOTLY]["layout"]["meta"] == {"alt": "a line", "caption": "A *line*."}
    assert drawn["text/plain"] == "a line"
    # A page shows the caption of the figure; others show this one.
    assert caption[CAPTION] == "A *line*."
    assert caption["text/markdown"] == "**Figure.** A *line*."


class Kernel:
    """A kernel whose present request is that of a person, or of a program, which cannot be asked."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.asked = asked

    def get_parent(self) -> dict[str, Any]:
        return self.asked


class Instrument(go.Figure):
    @property
    def instrument(self) -> Any:
        return Image.new("RGB", (2, 2))


def test_an_instrument_is_an_output_of_its_own_and_only_where_a_person_is(
    put_out: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for asked, outputs in (
        ({}, 2),
        ({"content": {"allow_stdin": False}}, 2),
        ({"content": {"allow_stdin": True}}, 3),
    ):
        put_out.clear()
        shell = SimpleNamespace(kernel=Kernel(asked), display_formatter=DisplayFormatter())
        monkeypatch.setattr(display, "get_ipython", lambda shell=shell: shell)
        show(Instrument(go.Scatter(y=[1])), "A line.")
        assert len(put_out) == outputs
        assert [LIVE in each for each in put_out] == [False, False, True][:outputs]
        assert PLOTLY in put_out[0]


def test_numbers_are_those_of_javascript(put_out: list[dict[str, Any]]) -> None:
    show(go.Figure(go.Scatter(y=[1.0, 0.5, 1e300])), "Points.")
    assert json.dumps(put_out[0][PLOTLY]["data"][0]["y"]) == "[1, 0.5, 1e+300]"


def test_names_are_listed_as_in_a_sentence() -> None:
    assert [listed(list(names)) for names in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]
    assert listed(["a", "b", "c"], "or") == "a, b or c"


def test_what_is_no_plotly_figure_has_its_caption_below_on_a_page_too(put_out: list[dict[str, Any]]) -> None:
    show(Image.new("RGB", (2, 2)), "A square.")
    drawn, caption = put_out
    assert "image/png" in drawn
    assert CAPTION not in caption
