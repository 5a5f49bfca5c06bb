"""The pages: built without a warning, and opened in a real browser, which must ask no other host."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import nbformat
import pytest
from docutils.utils.math import MathError
from filelock import FileLock
from playwright.sync_api import Browser, Page, sync_playwright

from simlib.book.mathml import to_mathml
from simlib.book.notebooks import pages
from simlib.book.run import run_notebooks
from simlib.book.stage import build_book
from simlib.errors import InputError, NotebookError
from simlib.report.display import CAPTION
from simlib.triplets import photos, write_image
from tests.browser import ARGUMENTS
from tests.conftest import ROOT

STATES: list[tuple[Literal["light", "dark"], int]] = [
    ("light", 1280),
    ("light", 390),
    ("dark", 1280),
    ("dark", 390),
]
PAGES = pages(ROOT / "_toc.yml")


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
        (root / name).write_text((ROOT / name).read_text("utf-8"), "utf-8")
    (root / "book" / "_static").symlink_to(ROOT / "book" / "_static")
    (root / "_toc.yml").write_text(
        "format: jb-book\nroot: book/intro\nchapters:\n  - file: notebooks/one\n  - file: book/bibliography\n"
    )
    (root / "book" / "intro.md").write_text(f"# Intro\n\n{text}\n")
    (root / "book" / "bibliography.md").write_text("# More\n\n```{bibliography}\n:all:\n```\n")
    (root / "book" / "picture.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# One"), *cells])
    notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    nbformat.write(notebook, executed / "one.ipynb")
    return executed


def plotly_cell(meta: dict | None) -> Any:
    data = {"data": [{"type": "scatter", "y": [1, 2], "name": "</script>"}], "layout": {"meta": meta}}
    output = nbformat.v4.new_output("display_data", data={"application/vnd.plotly.v1+json": data})
    return nbformat.v4.new_code_cell("figure", outputs=[output])


def told(data: dict[str, Any]) -> Any:
    return nbformat.v4.new_output("display_data", data={**data, "text/plain": "plain"})


@pytest.mark.slow
def test_figures_and_formulas_of_a_small_book(tmp_path: Path) -> None:
    captioned = plotly_cell({"alt": 'a "rising" line', "caption": "A *line*, $y = x$."})
    captioned.outputs.append(told({CAPTION: "A *line*", "text/markdown": "**Figure.** A *line*"}))
    sentence = "It rises by **3**, see [the list](../book/bibliography.md)."
    captioned.outputs.append(told({"text/markdown": sentence}))
    cited = "Text $x^2$, after [Wilson, 1927](cite:wilson1927probable)."
    executed = small_book(tmp_path, cited, [captioned])
    first = build_book(executed, tmp_path / "pages", tmp_path)
    assert first == tmp_path / "pages" / "index.html"
    intro = (tmp_path / "pages" / "book" / "intro.html").read_text()
    chapter = (tmp_path / "pages" / "notebooks" / "one.html").read_text()
    assert "<math" in intro
    assert "plotly.min.js" not in intro
    assert "plotly.min.js" in chapter
    assert 'aria-label="a &quot;rising&quot; line"' in chapter
    assert "<\\/script>" in chapter
    assert 'href="bibliography.html#cite-wilson1927probable">Wilson, 1927</a>' in intro
    listed = (tmp_path / "pages" / "book" / "bibliography.html").read_text()
    assert 'id="cite-wilson1927probable"' in listed
    # The caption stands in the figure and nowhere else; a sentence is text of the page.
    figure = re.search(r'<figure[^>]* id="fig-a-line[\w-]*">(.*?)</figure>', chapter, re.DOTALL)
    assert figure
    assert 'class="plotly-figure"' in figure[1]
    assert "<em>line</em>" in figure[1]
    assert "<math" in figure[1]
    assert chapter.count("<em>line</em>") == 1
    assert "It rises by <strong>3</strong>" in chapter
    assert 'href="../book/bibliography.html"' in chapter
    # Nothing says that this code has made its outputs.
    assert "This page is older than the code" in chapter
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".pages")]


@pytest.mark.slow
def test_every_fault_is_named_and_fails_the_build(tmp_path: Path) -> None:
    glued = "{glue:text}`../notebooks/one.ipynb::absent:d`"
    text = f"$\\unheard{{x}}$ {{cite:p}}`nobody2000` [Nobody](cite:nobody2001) {glued}\n\n![](picture.svg)"
    executed = small_book(tmp_path, text, [plotly_cell(None)])
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "genindex.html").write_text("the former book")
    with pytest.raises(InputError) as raised:
        build_book(executed, tmp_path / "pages", tmp_path)
    for fault in (
        r"\unheard",
        "nobody2000",
        "nobody2001",
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

FITTED = """[...document.querySelectorAll('.plotly-figure')].every(figure => !figure.clientWidth || (
    figure.dataset.state === 'drawn' && figure.bookWidth === figure.clientWidth
    && figure.querySelector('svg.main-svg').clientWidth <= figure.clientWidth))"""


SEEN = """() => {
    const all = selector => [...document.querySelectorAll(selector)];
    const box = element => element.getBoundingClientRect();
    const formulas = all('article .math').filter(formula => formula.checkVisibility());
    return {
        overflow: document.documentElement.scrollWidth - window.innerWidth,
        headings: all('h1').length,
        searches: all('input[type=search], .search-button, .search-button-field')
            .filter(element => element.offsetParent).length,
        alts: [...all('.plotly-figure').map(figure => figure.ariaLabel || ''),
               ...all('article img').map(image => image.alt)],
        figures: all('.plotly-figure').filter(figure => figure.clientWidth)
            .map(figure => box(figure.querySelector('svg.main-svg'))).map(svg => [svg.width, svg.height]),
        pictures: all('article img').map(image => [image.naturalWidth, getComputedStyle(image).filter]),
        formulas: formulas.length,
        drawn: formulas.filter(formula => box(formula.querySelector('math')).width > 0).length,
    };
}"""


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of pages rendered from a fresh run of all notebooks, made once for all processes."""
    own = tmp_path_factory.getbasetemp()
    # the folders of the processes of one run lie beside each other
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "book"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "pages" / "index.html").exists():
            run_notebooks(profile="smoke", output=folder / "notebooks", source=ROOT / "notebooks")
            build_book(folder / "notebooks", folder / "pages", ROOT)
    return folder / "pages"


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.mark.slow
@pytest.mark.xdist_group("book")
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_and_asks_no_other_host(name: str, browser: Browser, book: Path) -> None:
    requests: list[str] = []
    errors: list[str] = []
    # Every page is seen in both themes and at both widths; every second one is first seen dark, on a phone.
    states = STATES if PAGES.index(name) % 2 else STATES[::-1]
    page = browser.new_page(color_scheme=states[0][0])
    page.on("request", lambda asked: requests.append(asked.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    for theme, width in states:
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": width, "height": 900})
        if page.url == "about:blank":
            page.goto((book / f"{name}.html").as_uri())
        page.wait_for_function(FITTED)
        assert page.evaluate("document.documentElement.dataset.theme") == theme
        check_layout(page)
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert errors == []
    page.close()


def check_layout(page: Page) -> None:
    seen = page.evaluate(SEEN)
    assert seen["overflow"] <= 0
    assert seen["headings"] >= 1
    assert seen["searches"] == 1
    assert all(alt.strip() for alt in seen["alts"])
    assert all(width > 100 and height > 100 for width, height in seen["figures"])
    assert all(width > 0 and effect == "none" for width, effect in seen["pictures"])
    assert seen["formulas"] == seen["drawn"]


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
    assert "This page is older than the code" not in text
    notebook = json.loads((book.parent / "notebooks" / f"{Path(name).name}.ipynb").read_text())
    assert notebook["metadata"]["simlib"]["profile"] == "smoke"


@pytest.mark.slow
@pytest.mark.xdist_group("book")
def test_plain_papermill_and_nbconvert_give_whole_pages(book: Path, tmp_path: Path) -> None:
    folder, elsewhere, chapters = tmp_path / "notebooks", tmp_path / "elsewhere", ROOT / "notebooks"
    shutil.copytree(book.parent / "notebooks", folder)
    elsewhere.mkdir()
    name = "gradient-attacks.ipynb"
    dials = ["--parameters_yaml", "{n: 4, table_n: 2, table_metrics: [l2]}"]
    for command in (
        ["papermill", chapters / name, folder / name, *dials],
        ["nbconvert", "--to=notebook", "--execute", f"--output-dir={folder}", chapters / "triplets.ipynb"],
    ):
        run = [sys.executable, "-m", *map(str, command)]
        subprocess.run(run, cwd=elsewhere, check=True, capture_output=True)
    assert not list(elsewhere.iterdir())
    # nobody turns dials there, so that they have no state, which took megabytes
    assert "widget" not in (folder / name).read_text()
    built = build_book(folder, tmp_path / "pages", ROOT).parent
    for name in ("gradient-attacks", "triplets"):
        made, expected = ((pages / "notebooks" / f"{name}.html").read_text() for pages in (built, book))
        for part in ('class="plotly-figure"', "<figcaption", "book-table-box", 'class="provenance"', "<img"):
            assert made.count(part) == expected.count(part), (name, part)
        assert made.count("<figcaption") > 1
        assert "This page is older than the code" not in made
        assert "profile interactive" in made
    # The dials are shown as they were set.
    text = re.sub(r"<[^>]+>", "", (built / "notebooks" / "gradient-attacks.html").read_text())
    assert "n = 4  # number of triplets" in text


@pytest.mark.slow
def test_a_relative_path_means_the_same_to_plain_papermill(tmp_path: Path) -> None:
    for one in photos(4):
        for part in ("ref", "p0", "p1"):
            (tmp_path / "mine" / part).mkdir(parents=True, exist_ok=True)
            write_image(getattr(one, part)[0], tmp_path / "mine" / part / f"{one.names[0]}.png")
    command = [sys.executable, "-m", "papermill", str(ROOT / "notebooks" / "triplets.ipynb"), "made.ipynb"]
    done = subprocess.run(
        [*command, "-p", "n", "4", "-p", "data", "./mine"], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert "There are **4 triplets**" in (tmp_path / "made.ipynb").read_text()
