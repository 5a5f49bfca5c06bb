"""Formulas as MathML, which browsers draw themselves: no MathJax, no other host."""

from __future__ import annotations

import re
from html import escape
from xml.etree import ElementTree

from docutils import nodes
from docutils.utils.math import MathError, toplevel_code
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

_logger = logging.getLogger(__name__)
_NAMESPACE = "http://www.w3.org/1998/Math/MathML"

# environments that only say how lines are aligned, which the converter does by itself
_OUTER = re.compile(
    r"^\s*\\begin\{(equation|align|gather|split|aligned)\*?\}(.*)\\end\{\1\*?\}\s*$", re.DOTALL
)
_FENCES = frozenset("{}|‖⌊⌋⌈⌉⟨⟩")


def to_mathml(latex: str, *, block: bool = False) -> str:
    """Return the MathML element of a LaTeX formula.

    Args:
        latex: the formula without its dollar signs.
        block: set as a displayed formula.

    Raises:
        MathError: a command or environment that the converter does not know; the message names it.
    """
    if r"\operatorname*" in latex:
        # the converter would take the star for the name
        raise MathError(r'Unknown LaTeX command "\operatorname*".')
    outer = _OUTER.match(latex) if block else None
    text = tex2mathml(outer.group(2).strip() if outer else latex, as_block=block)
    return _with_plain_fences(text.replace("&ApplyFunction;", "\u2061"))


def _with_plain_fences(mathml: str) -> str:
    r"""Keep ``\{`` and ``\|`` at their own size, as TeX does, unless ``\left`` and ``\right`` group them."""
    ElementTree.register_namespace("", _NAMESPACE)
    root = ElementTree.fromstring(mathml)
    for parent in root.iter():
        children = list(parent)
        grouped = children[:1] + children[-1:] if parent.tag == f"{{{_NAMESPACE}}}mrow" else []
        for child in children:
            if child not in grouped and (child.text or "").strip() in _FENCES:
                child.set("stretchy", "false")
    return ElementTree.tostring(root, encoding="unicode")


def _convert(node: nodes.math | nodes.math_block, *, block: bool) -> str:
    latex = node.astext().strip()
    try:
        # Sphinx separates the equations of one block by empty lines
        parts = [part for part in latex.split("\n\n") if part.strip()] if block else [latex]
        return "\n".join(to_mathml(part, block=block) for part in parts)
    except (MathError, IndexError, AttributeError) as error:
        problem = f"the formula {latex!r} cannot be set as MathML: {error} Use commands that docutils knows."
        _logger.warning("%s", problem, location=node, type="mathml")
        return f"<code>{escape(latex)}</code>"


def visit_math(translator: HTML5Translator, node: nodes.math) -> None:
    """Write a formula inside a line."""
    start = translator.starttag(node, "span", "", CLASS="math notranslate nohighlight")
    translator.body += [start, _convert(node, block=False), "</span>"]
    raise nodes.SkipNode


def visit_displaymath(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write a displayed formula, with its number and link when it has a label."""
    multiline = " math-multiline" if "\\\\" in toplevel_code(node.astext()) else ""
    start = translator.starttag(node, "div", CLASS=f"math notranslate nohighlight{multiline}")
    translator.body += [start, f'<div class="math-scroll">{_convert(node, block=True)}</div>']
    if node.get("number"):
        translator.body.append(f'<span class="eqno">({get_node_equation_number(translator, node)})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    translator.body.append("</div>\n")
    raise nodes.SkipNode
