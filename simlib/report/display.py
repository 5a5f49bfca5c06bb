"""What a chapter tells: sentences with their numbers, and figures with their captions, as outputs of cells.

A page of the book, JupyterLab and a headless run show the same, for none of it stands in the text around.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from IPython.core.formatters import DisplayFormatter
from IPython.core.getipython import get_ipython
from IPython.display import display

PLOTLY = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
LIVE = "application/vnd.simlib.live"
"""The type of what lives as long as its kernel only; what a page shows of it stands beside it."""

CAPTION = "application/vnd.simlib.caption"
"""The type of a caption that stands in its figure already: a page shows it there, other readers below it."""


def listed(names: Sequence[str], before_last: str = "and") -> str:
    """Write names as a sentence lists them: ``"a, b and c"``; empty for none."""
    return f" {before_last} ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def with_bold_number(sample: str) -> str:
    """Set off how many samples there are, as ``"48 triplets from 8 photographs"`` says it."""
    return "**{}**{}{}".format(*sample.partition(" from "))


def plain(text: str) -> str:
    """Return a text of somebody else, such as a path, as code: nothing in it is markup on a page."""
    return f"`{text.replace('`', chr(39))}`"


def say(*sentences: str) -> None:
    """Put out sentences of Markdown, such as ``say(f"PGD flips {rate} of the triplets.")``, never empty ones.

    Links lead to other chapters by their files, ``[The metrics](metrics.ipynb)``. Roles of MyST are for pages
    only, and do not belong here.
    """
    text = " ".join(filter(None, sentences))
    if text:
        display({"text/markdown": text, "text/plain": text}, raw=True)


def show(picture: Any, caption: str) -> None:
    """Put out a figure, and its caption under it.

    Args:
        picture: a figure of plotly, whose alternative text is in ``layout.meta["alt"]``, or another object
            that notebooks can show. Where somebody sits before the notebook, its ``instrument``, a widget,
            follows the caption, if it has one.
        caption: a sentence or two of Markdown.
    """
    bundle = bundle_of(picture)
    note = {"text/markdown": f"**Figure.** {caption}", "text/plain": f"Figure. {caption}"}
    if PLOTLY in bundle:
        layout = bundle[PLOTLY].setdefault("layout", {})
        layout["meta"] = {**(layout.get("meta") or {}), "caption": caption}
        note[CAPTION] = caption
    display(bundle, raw=True)
    display(note, raw=True)
    if is_live() and hasattr(picture, "instrument"):
        # An output of its own: whoever opens the notebook without its kernel still sees the figure.
        display({**bundle_of(picture.instrument), LIVE: ""}, raw=True)


def is_live() -> bool:
    """Say whether a person sits before the notebook, and not a program that executes it.

    Programs tell the kernel that nobody can be asked anything.
    """
    kernel: Any = getattr(get_ipython(), "kernel", None)
    return kernel is not None and bool(kernel.get_parent().get("content", {}).get("allow_stdin"))


def json_of(figure: go.Figure) -> dict[str, Any]:
    """Return a figure as JavaScript has it, where 1.0 is 1: JupyterLab then saves what it opened."""
    return json.loads(figure.to_json() or "{}", parse_float=_number)


def bundle_of(picture: Any) -> dict[str, Any]:
    """Return what notebooks show of an object, by type; a figure of plotly tells its alternative text."""
    if isinstance(picture, go.Figure):
        figure = json_of(picture)
        alt = (figure.get("layout", {}).get("meta") or {}).get("alt", "A figure.")
        return {PLOTLY: figure, "text/plain": alt}
    shell: Any = get_ipython()
    formatter = shell.display_formatter if shell else None
    bundle, _ = (formatter or DisplayFormatter()).format(picture)
    return dict(bundle)


def _number(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < 2**53 else value
