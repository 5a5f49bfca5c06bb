"""Outputs that a page cannot show: each is refused by its cell."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import plotly.io
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from simlib.book.notebooks import strip_run
from simlib.book.outputs import refuse_what_no_page_shows
from simlib.errors import NotebookError
from simlib.report.display import LIVE, PLOTLY, WIDGET, json_of

VIEW = {"model_id": "1", "version_major": 2}
PLAIN = {"text/plain": "VBox()"}
LINE = json_of(go.Figure(go.Scatter(y=[1, 2])))


def notebook(*outputs: Any, **metadata: Any) -> Any:
    cell = new_code_cell("one\ntwo", outputs=list(outputs), metadata=metadata)
    return new_notebook(cells=[new_markdown_cell("# Title"), cell])


def shown(data: dict[str, Any]) -> Any:
    return notebook(new_output("display_data", data=data))


def picture(kind: str) -> str:
    stream = io.BytesIO()
    Image.new("RGB", (2, 2)).save(stream, kind)
    return base64.b64encode(stream.getvalue()).decode()


@pytest.mark.parametrize(
    "data",
    [
        {"text/plain": "3"},
        {"text/html": "<b>3</b> src=x", **PLAIN},
        {"text/markdown": "**3**", **PLAIN},
        {"image/png": picture("png"), **PLAIN},
        {"image/jpeg": picture("jpeg"), **PLAIN},
        {"text/html": f'<img alt="two" src="data:image/png;base64,{picture("png")}"/>'},
        {PLOTLY: {"data": [], "layout": {"shapes": [{"type": "line"}]}}},
        {},
    ],
)
def test_what_a_page_shows_passes(data: dict[str, Any]) -> None:
    refuse_what_no_page_shows(shown(data), Path("one.ipynb"))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({WIDGET: VIEW, **PLAIN}, "a widget is dead on a page"),
        ({WIDGET: VIEW}, "a widget is dead on a page"),
        ({"application/vnd.vegalite.v5+json": {}, **PLAIN}, "do not show the type application/vnd.vegalite"),
        ({"application/javascript": "draw()", **PLAIN}, "do not show the type application/javascript"),
        ({PLOTLY: {"data": [], "layout": {}}}, "its figure is empty"),
        ({PLOTLY: {"layout": {}}}, "none that plotly can draw"),
        ({PLOTLY: "cut sho"}, "none that plotly can draw"),
        ({PLOTLY: {"data": [{"type": "unheard"}]}}, "none that plotly can draw"),
        ({PLOTLY: {"data": [3]}}, "none that plotly can draw"),
        ({"image/png": picture("jpeg")}, "its picture is damaged"),
        ({"image/png": "####"}, "its picture is damaged"),
        ({"text/html": '<iframe width="9" src="figure.html"></iframe>', **PLAIN}, "is not in it"),
        (plotly.io.renderers["notebook_connected"].to_mimebundle(LINE), "is not in it"),
    ],
)
def test_what_no_page_shows_is_refused_with_its_cell(data: dict[str, Any], problem: str) -> None:
    with pytest.raises(NotebookError) as raised:
        refuse_what_no_page_shows(shown(data), Path("one.ipynb"))
    told = str(raised.value)
    assert told.startswith("one.ipynb has outputs that no page can show:\n  cell 2 (one): ")
    assert problem in told


def test_a_cell_that_raised_is_refused_unless_that_is_its_purpose() -> None:
    error = new_output("error", ename="ValueError", evalue="no", traceback=[])
    refuse_what_no_page_shows(notebook(error, tags=["raises-exception"]), Path("one.ipynb"))
    with pytest.raises(NotebookError, match=r"cell 2 \(one\): it ended with ValueError"):
        refuse_what_no_page_shows(notebook(error), Path("one.ipynb"))


def test_what_lives_as_long_as_its_kernel_goes_before() -> None:
    figure = new_output("display_data", data={PLOTLY: LINE})
    dead = new_output("display_data", data={WIDGET: VIEW, LIVE: "", **PLAIN})
    beside = new_output("display_data", data={WIDGET: VIEW, "image/png": picture("png"), **PLAIN})
    alone = new_output("display_data", data={WIDGET: VIEW, **PLAIN})
    made = notebook(figure, dead, beside, alone)
    made.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {"1": {}}}}
    strip_run(made)
    kept = [list(output.data) for output in made.cells[1].outputs]
    assert kept == [[PLOTLY], ["image/png", "text/plain"], [WIDGET, "text/plain"]]
    assert "widgets" not in made.metadata
