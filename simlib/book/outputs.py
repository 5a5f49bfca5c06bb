"""Outputs that a page can show, and those that it cannot: a page must not have a gap where a figure was."""

from __future__ import annotations

import base64
import binascii
import json
import re
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from simlib.book.notebooks import place_of, tags
from simlib.errors import NotebookError
from simlib.report.display import CAPTION, PLOTLY, WIDGET
from simlib.report.provenance import RUN

_SHOWN = {
    *("text/html", "text/markdown", "text/latex", "image/svg+xml", "image/png", "image/jpeg", "image/gif"),
    *(CAPTION, RUN),
}
"""The types that a page shows, besides figures of plotly and plain text."""

_PICTURES = {
    "image/png": b"\x89PNG\r\n",
    "image/jpeg": b"\xff\xd8",
    "image/gif": b"GIF8",
}
"""How files of pictures begin."""

_FROM_ELSEWHERE = re.compile(r"<[^>]*\bsrc\s*=\s*[\"']?(?!data:|[\"'])|\brequire(js)?\s*\(", re.IGNORECASE)
"""HTML that asks for a file or a script which is not in the page."""


def refuse_what_no_page_shows(notebook: Any, path: Path) -> None:
    """Raise a NotebookError that names each cell, by its number from 1, whose outputs a page cannot show.

    Args:
        notebook: without what programs add.
        path: its file, for the message.
    """
    problems = [
        f"  {place_of(cell, number)}: {problem}"
        for number, cell in enumerate(notebook.cells, start=1)
        for output in cell.get("outputs", [])
        if (problem := _problem(cell, output))
    ]
    if problems:
        raise NotebookError(
            f"{path} has outputs that no page can show:\n"
            + "\n".join(problems)
            + "\nChange these cells, run the notebook again, and save it."
        )


def _problem(cell: Any, output: Any) -> str:
    """Say why a page cannot show an output; empty if it can."""
    if output.output_type == "error":
        expected = "raises-exception" in tags(cell)
        return "" if expected else f"it ended with {output.ename}"
    if output.output_type == "stream":
        return ""
    data = output.get("data", {})
    if PLOTLY in data:
        return _problem_of_figure(data[PLOTLY])
    shown, other = data.keys() & _SHOWN, sorted(data.keys() - _SHOWN - {"text/plain"})
    if not shown:
        if WIDGET in other:
            return "a widget is dead on a page. Put out a figure or a text beside it"
        return f"pages do not show the type {other[0]}. Put out a figure or a text beside it" if other else ""
    if any(not _is_picture(kind, data[kind]) for kind in shown & _PICTURES.keys()):
        return "its picture is damaged"
    if _FROM_ELSEWHERE.search("".join(data.get("text/html", ""))):
        return "its HTML asks for a file or a script that is not in it. For plotly, keep the usual renderer"
    return ""


def _problem_of_figure(content: Any) -> str:
    try:
        figure = content if isinstance(content, dict) else json.loads(content)
        traces = [{"type": trace.get("type", "scatter")} for trace in figure["data"]]
        go.Figure(traces)
    except (ValueError, TypeError, KeyError, AttributeError):
        return "its figure is none that plotly can draw"
    layout = figure.get("layout") or {}
    drawn = traces or any(layout.get(part) for part in ("images", "shapes", "annotations"))
    return "" if drawn else "its figure is empty"


def _is_picture(kind: str, content: str) -> bool:
    try:
        return base64.b64decode(content).startswith(_PICTURES[kind])
    except (binascii.Error, ValueError):
        return False
