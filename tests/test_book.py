"""The pages: built without a warning, and opened in a real browser, which must ask no other host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from docutils.utils.math import MathError
from playwright.sync_api import Browser, Page, sync_playwright

from simlib.book.mathml import to_mathml
from simlib.book.run import run_notebooks
from simlib.book.stage import build_book, pages
from simlib.errors import InputError, NotebookError
from tests.browser import ARGUMENTS
from tests.conftest import ROOT

WIDE, PHONE = 1280, 390
PAGES = pages(ROOT / "_toc.yml") if (ROOT / "_toc.yml").exists() else []


# Formulas


@pytest.mark.parametrize(
    "latex",
    [
        r"\mathcal{L}(\theta) \ge \frac{1}{N}\sum_{i=1}^{N} \max(0, m_i)",
        r"\lVert x - x_0 \rVert_\infty \le \varepsilon, \quad \text{where } \varepsilon = k/255",
        r"\operatorname{sign}\left(\nabla_x \sqrt{1 + s^2}\right) \in \mathbb{R}^{3 \times H \times W}",
        r"\arg\min_{\delta} \|\delta\|_2 \;\; \text{s.t.}\;\; \mathbf{1}\{s_0 > s_1\} = 1",
        r"\begin{cases} 1 & x > 0 \\ 0 & \text{otherwise} \end{cases}",
        r"\begin{align} a &= b \\ c &= d \end{align}",
    ],
)
def test_formulas_become_mathml(latex: str) -> None:
    mathml = to_mathml(latex, block=True)
    assert mathml.startswith("<math")
    assert "\\" not in mathml


def test_a_norm_inside_a_tall_formula_keeps_its_size() -> None:
    tall = to_mathml(r"\frac{a}{b} \{ x \} \| y \|")
    assert tall.count('stretchy="false"') == 4
    assert 'stretchy="false"' not in to_mathml(r"\left\{ \frac{a}{b} \right\}")


@pytest.mark.parametrize(
    "latex", [r"\unheard{x}", r"\operatorname*{argmin}_x", r"\begin{picture} \end{picture}"]
)
def test_unknown_commands_are_named(latex: str) -> None:
    with pytest.raises(MathError, match=r"unheard|operatorname\*|picture"):
        to_mathml(latex)


# A small book


def small_book(root: Path, text: str, cells: list) -> Path:
    """Write a book of two pages; return the folder of its executed notebook."""
    executed = root / "executed"
    for folder in (executed, root / "notebooks", root / "book"):
        folder.mkdir(parents=True)
    for name in ("_config.yml", "book/references.bib"):
        (root / name).write_text((ROOT / name).read_text())
    (root / "book" / "_static").symlink_to(ROOT / "book" / "_static")
    (root / "_toc.yml").write_text(
        "format: jb-book\nroot: book/intro\nchapters:\n  - file: notebooks/01-one\n  - file: book/more\n"
    )
    (root / "book" / "intro.md").write_text(f"# Intro\n\n{text}\n")
    (root / "book" / "more.md").write_text("# More\n\n```{bibliography}\n:all:\n```\n")
    (root / "book" / "picture.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# One"), *cells])
    notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    nbformat.write(notebook, executed / "01-one.ipynb")
    return executed


def plotly_cell(meta: dict | None) -> dict:
    data = {"data": [{"type": "scatter", "y": [1, 2], "name": "</script>"}], "layout": {"meta": meta}}
    output = nbformat.v4.new_output("display_data", data={"application/vnd.plotly.v1+json": data})
    return nbformat.v4.new_code_cell("figure", outputs=[output])


@pytest.mark.slow
def test_figures_and_formulas_of_a_small_book(tmp_path: Path) -> None:
    executed = small_book(tmp_path, "Text $x^2$.", [plotly_cell({"alt": 'a "rising" line'})])
    first = build_book(executed, tmp_path / "pages", tmp_path)
    assert first == tmp_path / "pages" / "index.html"
    intro = (tmp_path / "pages" / "book" / "intro.html").read_text()
    chapter = (tmp_path / "pages" / "notebooks" / "01-one.html").read_text()
    assert "<math" in intro
    assert "plotly.min.js" not in intro
    assert "plotly.min.js" in chapter
    assert 'aria-label="a &quot;rising&quot; line"' in chapter
    assert "<\\/script>" in chapter
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".work")]


@pytest.mark.slow
def test_every_fault_is_named_and_fails_the_build(tmp_path: Path) -> None:
    glued = "{glue:text}`../notebooks/01-one.ipynb::absent:d`"
    text = f"$\\unheard{{x}}$ {{cite:p}}`nobody2000` {glued}\n\n![](picture.svg)"
    executed = small_book(tmp_path, text, [plotly_cell(None)])
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "genindex.html").write_text("the former book")
    with pytest.raises(InputError) as raised:
        build_book(executed, tmp_path / "pages", tmp_path)
    for fault in (
        r"\unheard",
        "nobody2000",
        "absent",
        "plotly figure of cell 2 has no alternative text",
        "picture has no",
    ):
        assert fault in str(raised.value), fault
    assert (tmp_path / "pages" / "genindex.html").read_text() == "the former book"


def test_a_notebook_without_outputs_is_refused(tmp_path: Path) -> None:
    executed = small_book(tmp_path, "Text.", [nbformat.v4.new_code_cell("1 + 1")])
    with pytest.raises(NotebookError, match="has no outputs"):
        build_book(executed, tmp_path / "pages", tmp_path)


# The book itself


@dataclass
class Visit:
    """A page that a browser has opened, and what was seen meanwhile."""

    page: Page
    requests: list[str]
    errors: list[str]


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of pages rendered from a fresh run of all notebooks."""
    folder = tmp_path_factory.mktemp("book")
    run_notebooks(profile="smoke", output=folder / "notebooks", source=ROOT / "notebooks")
    return build_book(folder / "notebooks", folder / "pages", ROOT).parent


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.fixture(params=[(theme, width) for theme in ("light", "dark") for width in (WIDE, PHONE)], ids=str)
def visit(request: pytest.FixtureRequest, browser: Browser, book: Path, name: str) -> Iterator[Visit]:
    theme, width = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    opened = Visit(context.new_page(), [], [])
    opened.page.on("request", lambda asked: opened.requests.append(asked.url))
    opened.page.on("pageerror", lambda error: opened.errors.append(str(error)))
    opened.page.on(
        "console", lambda message: opened.errors.append(message.text) if message.type == "error" else None
    )
    opened.page.goto((book / f"{name}.html").as_uri())
    opened.page.wait_for_function(
        "[...document.querySelectorAll('.plotly-figure')]"
        ".every(figure => !figure.clientWidth || figure.dataset.state === 'drawn')"
    )
    assert opened.page.evaluate("document.documentElement.dataset.theme") == theme
    yield opened
    context.close()


@pytest.mark.slow
@pytest.mark.xdist_group("book")
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_and_asks_no_other_host(name: str, visit: Visit) -> None:
    page = visit.page
    assert [url for url in visit.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert visit.errors == []
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    assert page.locator("h1").count() >= 1

    searches = "[...document.querySelectorAll('input[type=search], .search-button, .search-button-field')]"
    assert page.evaluate(f"{searches}.filter(element => element.offsetParent).length") == 1

    for figure in page.locator(".plotly-figure").all():
        assert (figure.get_attribute("aria-label") or "").strip()
        if figure.is_visible():
            box = figure.locator("svg.main-svg").first.bounding_box()
            assert box is not None
            assert box["width"] > 100
            assert box["height"] > 100

    pictures = page.evaluate(
        "[...document.querySelectorAll('article img')].map("
        "image => [image.alt, image.naturalWidth, getComputedStyle(image).filter])"
    )
    for alt, width, effect in pictures:
        assert alt.strip()
        assert width > 0
        assert effect == "none"

    sources = (page.locator("article .math").count(), page.locator("article math").count())
    assert sources[1] >= sources[0]
    for formula in page.locator("article math").all():
        assert not formula.is_visible() or (formula.bounding_box() or {"width": 0})["width"] > 0


@pytest.mark.slow
@pytest.mark.xdist_group("book")
def test_the_theme_switch_recolours_figures(browser: Browser, book: Path) -> None:
    name = next(name for name in PAGES if name.startswith("notebooks/"))
    page = browser.new_page(color_scheme="light")
    page.goto((book / f"{name}.html").as_uri())
    figure = page.locator(".plotly-figure[data-state=drawn]").first
    colour = "figure => figure.querySelector('.plotly-canvas')._fullLayout.font.color"
    light = figure.evaluate(colour)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_function(
        "before => document.querySelector('.plotly-canvas')._fullLayout.font.color !== before", arg=light
    )
    page.close()


@pytest.mark.slow
@pytest.mark.xdist_group("book")
def test_the_first_page_leads_into_the_book(browser: Browser, book: Path) -> None:
    page = browser.new_page()
    page.goto((book / "index.html").as_uri())
    page.wait_for_url("**/book/intro.html")
    links = page.evaluate("[...document.querySelectorAll('nav a')].map(link => link.getAttribute('href'))")
    assert all(any(name.split("/")[-1] in (link or "") for link in links) for name in PAGES[1:])
    page.close()


@pytest.mark.slow
@pytest.mark.xdist_group("book")
def test_plotly_is_copied_once_and_loaded_only_where_figures_are(book: Path) -> None:
    assert len(list(book.rglob("plotly*.min.js"))) == 1
    for page in book.rglob("*.html"):
        text = page.read_text()
        assert ("plotly.min.js" in text) == ('class="plotly-figure"' in text), page
        assert "mathjax" not in text.lower(), page


@pytest.mark.slow
@pytest.mark.xdist_group("book")
@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("notebooks/")])
def test_a_chapter_shows_where_its_numbers_come_from(name: str, book: Path) -> None:
    text = (book / f"{name}.html").read_text()
    assert 'class="provenance"' in text
    assert "smoke" in text
    notebook = json.loads((book.parent / "notebooks" / f"{Path(name).name}.ipynb").read_text())
    assert notebook["metadata"]["simlib"]["profile"] == "smoke"
