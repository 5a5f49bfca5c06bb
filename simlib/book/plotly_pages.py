"""Plotly figures in the book's pages: the figure's JSON in the page, plotly.js once beside the pages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from plotly.offline import get_plotlyjs
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

from simlib.report.display import CAPTION, PLOTLY
from simlib.report.provenance import RUN

SCRIPT = "vendor/plotly.min.js"
_DEFAULT_HEIGHT = 450


class PlotlyFigure(nodes.General, nodes.Element):
    """A plotly figure in the document tree; ``figure`` holds its JSON object, ``alt`` its description."""


class PlotlyRenderer:
    """Makes a plotly output part of a page for myst-nb, which finds this class by its entry point."""

    # A figure, above image/png and text/html, which it may carry for other readers of the notebook; and a
    # caption that its figure has already, above the text that is for those readers.
    mime_priority_overrides: ClassVar[Sequence[tuple[str, str, int]]] = [("*", PLOTLY, 1), ("*", CAPTION, 1)]

    @staticmethod
    def handle_mime(renderer: Any, data: Any, inline: bool) -> list[nodes.Element] | None:
        """Return the nodes of a plotly output with its caption, nothing for what the page has already.

        None is for types that are others' to handle. A figure without ``layout.meta.alt`` is a warning,
        which fails the build of the book.
        """
        if data.mime_type in (CAPTION, RUN):
            # something must be there to be chosen instead of what other readers see
            return [nodes.comment()]
        if data.mime_type != PLOTLY:
            return None
        figure = data.content if isinstance(data.content, dict) else json.loads(data.content)
        meta = figure.get("layout", {}).get("meta")
        meta = meta if isinstance(meta, dict) else {}
        if not (alt := str(meta.get("alt", "")).strip()):
            cell = "?" if data.cell_index is None else data.cell_index + 1
            renderer.logger.warning(
                f"plotly figure of cell {cell} has no alternative text: "
                "call figure.update_layout(meta={'alt': '...'})",
                subtype="plotly_alt",
                line=data.line,
            )
        drawn = PlotlyFigure("", figure=figure, alt=alt)
        caption = str(meta.get("caption", "")).strip()
        return [_captioned(drawn, caption, renderer, data) if caption else drawn]


def _captioned(drawn: PlotlyFigure, caption: str, renderer: Any, data: Any) -> nodes.figure:
    """Put a drawing into a figure that the page numbers; a reader can link to it by its first words."""
    paragraphs = renderer.render_markdown(replace(data, mime_type="text/markdown", content=caption))
    text = [child for paragraph in paragraphs for child in paragraph.children]
    captioned = nodes.figure("", drawn, nodes.caption(caption, "", *text))
    captioned["names"].append(f"fig-{nodes.make_id(' '.join(caption.split()[:6]))}")
    renderer.renderer.document.note_implicit_target(captioned, captioned)
    return captioned


def visit_plotly_figure(translator: HTML5Translator, node: PlotlyFigure) -> None:
    """Write the figure's container, its JSON and what is shown without JavaScript."""
    figure = {key: node["figure"][key] for key in ("data", "layout", "frames") if node["figure"].get(key)}
    alt = escape(node["alt"], quote=True)
    height = int(figure.get("layout", {}).get("height") or _DEFAULT_HEIGHT)
    # a closing tag inside a string would end the script element
    text = json.dumps(figure, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")
    text = text.replace("<!--", "\\u003c!--")
    translator.body.append(
        f'<div class="plotly-figure" role="img" aria-label="{alt}" style="min-height:{height}px">'
        f'<script type="application/json" class="plotly-json">{text}</script>'
        f"<noscript><p>This figure is drawn by JavaScript. It shows: {alt}</p></noscript></div>\n"
    )
    raise nodes.SkipNode


def copy_plotly(app: Sphinx) -> None:
    """Write the installed plotly's own script beside the pages."""
    if app.builder.format == "html":
        target = Path(app.outdir) / "_static" / SCRIPT
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(get_plotlyjs(), encoding="utf-8")


def add_scripts(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Load plotly's script in the pages that show a figure, and in no other."""
    if doctree is not None and next(iter(doctree.findall(PlotlyFigure)), None) is not None:
        app.add_js_file(SCRIPT, loading_method="defer")
        app.add_js_file("plotly-book.js", loading_method="defer")
