"""The book's Sphinx extension: figures, formulas, and pages that ask no other host for anything."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

from simlib.book import mathml, plotly_pages

_logger = logging.getLogger(__name__)

BIBLIOGRAPHY = "book/bibliography"
"""The page that lists all entries."""


def keep_local(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Take scripts and style sheets of other hosts out of a page.

    Themes and extensions add them for features this book does not use (live code, fonts).
    """
    for kind in ("script_files", "css_files"):
        context[kind] = [file for file in context.get(kind, []) if not _asks_elsewhere(file)]


def _asks_elsewhere(file: Any) -> bool:
    """Say whether a script or style sheet lies on another host, or an inline script names one."""
    inline = getattr(file, "attributes", {}).get("body") or ""
    return "//" in str(getattr(file, "filename", file) or "") or "https://" in inline


def warn_without_alt(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Warn about each picture without alternative text; warnings fail the build of the book."""
    for image in doctree.findall(nodes.image):
        if not str(image.get("alt", "")).strip():
            _logger.warning(
                "a picture has no alternative text: give the directive `:alt:`, "
                "or the notebook cell the metadata mystnb.image.alt",
                location=(page, image.line),
                type="image_alt",
            )


def lead_to_bibliography(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Let links such as ``[Xiao et al., 2018](cite:xiao2018spatially)`` lead to their entry.

    They are links, and no roles, so that a notebook shows them as plain text elsewhere.
    """
    bibliography: Any = app.env.get_domain("cite")
    known = bibliography.bibdata.data.entries
    for link in doctree.findall(nodes.reference):
        scheme, _, key = link.get("refuri", "").partition(":")
        if scheme != "cite":
            continue
        if key not in known:
            _logger.warning("no entry %r in book/references.bib", key, location=link, type="citation")
        link["refuri"] = f"{app.builder.get_relative_uri(page, BIBLIOGRAPHY)}#cite-{key}"
        link["internal"] = True


def setup(app: Sphinx) -> dict[str, Any]:
    """Register everything; called by Sphinx, see ``extra_extensions`` in ``_config.yml``."""
    app.add_html_math_renderer("mathml", (mathml.visit_math, None), (mathml.visit_displaymath, None))
    app.add_node(plotly_pages.PlotlyFigure, html=(plotly_pages.visit_plotly_figure, None))
    app.connect("builder-inited", plotly_pages.copy_plotly)
    app.connect("html-page-context", plotly_pages.add_scripts)
    # after the other handlers of this event, which add files
    app.connect("html-page-context", keep_local, priority=900)
    app.connect("doctree-resolved", warn_without_alt)
    app.connect("doctree-resolved", lead_to_bibliography)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
