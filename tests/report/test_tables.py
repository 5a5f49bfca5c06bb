"""Tables in every format, read again by what reads such files."""

from __future__ import annotations

import html as html_
import io
import json
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.benchmark.paired import Difference
from simlib.benchmark.statistics import Mean, Rate, wilson
from simlib.errors import InputError, UnknownNameError
from simlib.report.tables import FORMATS, Count, Name, Table

SHARED = Rate(3, 8, 0.1, 0.9, 4)
GAIN = Difference(0.1, 40, -0.05, 0.25, 8)
MIXED = Table(
    ("metric", "n", "flipped", "gain", "steps", "note"),
    (
        (Name("lpips-alex", "LPIPS (Alex)"), Count(8, 4), SHARED, GAIN, 2.5, "a, b"),
        (Name("l2", "L2"), Count(1234), wilson(1, 2), None, None, 'say "x" | y'),
        (Name("ssim", "SSIM"), None, None, GAIN, math.inf, "[first"),
    ),
    notes=("n: triplets.", "flipped: with 95 % intervals, of those that count."),
)


@pytest.mark.parametrize(
    ("cell", "html", "text"),
    [
        (None, "–", "–"),
        (1234, "1,234", "1,234"),
        (0.12345, "0.123", "0.123"),
        ("<b>", "&lt;b&gt;", "<b>"),
        (Name("l2", "L2 & co"), "L2 &amp; co", "L2 & co"),
        (Count(1234), "1,234", "1,234"),
        (Count(512, 8), "512 from 8 photographs", "512 from 8 photographs"),
        (wilson(1, 2), "50.0% <small>9.5 to 90.5</small>", "50.0% [9.5%, 90.5%]"),
        (Mean(0.5, 4, 0.1, 0.9), "50.0% <small>10.0 to 90.0</small>", "50.0% [10.0%, 90.0%]"),
        (GAIN, "+10.0 <small>-5.0 to +25.0</small>", "+10.0 [-5.0, +25.0]"),
    ],
)
def test_cells_of_a_table(cell: Any, html: str, text: str) -> None:
    table = Table(("column",), ((cell,),))
    assert f">{html}</td>" in table._repr_html_()
    assert str(table).splitlines()[1].strip() == text


def test_shares_may_say_of_how_many_they_are() -> None:
    table = Table(("column",), ((wilson(1, 2),),), with_n=True)
    assert "50.0% [9.5%, 90.5%] of 2" in str(table)
    assert "<small>9.5 to 90.5, n = 2</small>" in table._repr_html_()


def test_a_table_without_rows_and_with_a_wrong_one() -> None:
    assert "<th>a</th>" in Table(("a",), ())._repr_html_()
    for format in FORMATS:
        assert Table(("a",), ()).render(format)
    with pytest.raises(InputError, match="Row 0 has 2 cells, the header 1"):
        Table(("a",), (("x", "y"),))


def test_text_is_aligned_words_to_the_left_and_numbers_to_the_right() -> None:
    table = Table(("name", "n"), (("a", 1), ("long", 1000)), notes=("of all",))
    assert str(table).split("\n") == ["name      n", "a         1", "long  1,000", "", "of all"]
    # Wide enough text is not folded.
    assert MIXED.as_text(200) == MIXED.as_text()
    assert MIXED.as_text().count("\n\n") == 1


@given(st.integers(10, 140))
def test_text_that_is_folded_fits_and_loses_nothing(width: int) -> None:
    *blocks, notes = MIXED.as_text(width).split("\n\n")
    narrowest = Table(("a", "b"), tuple((row[0], row[2]) for row in MIXED.rows)).as_text()
    widest = max(map(len, narrowest.split("\n")))
    for block in blocks:
        lines = block.split("\n")
        assert len(lines) == 4
        assert [line.split("  ")[0] for line in lines] == ["metric", "LPIPS (Alex)", "L2", "SSIM"]
        assert max(map(len, lines)) <= max(width, widest)
    flat = re.sub(r"\s+", " ", MIXED.as_text())
    for title in MIXED.header[1:]:
        assert sum(title in re.split(r"\s\s+", block.split("\n")[0]) for block in blocks) == 1
    for cell in ("37.5% [10.0%, 90.0%]", "8 from 4 photographs", 'say "x" | y'):
        assert sum(cell in block for block in blocks) == 1 and cell in flat
    assert notes.split() == " ".join(MIXED.notes).split()


def test_csv_is_read_by_pandas_in_full_precision() -> None:
    read = pd.read_csv(io.StringIO(MIXED.render("csv")), index_col="metric")
    assert list(read.index) == ["lpips-alex", "l2", "ssim"]
    first, second, third = (read.loc[name] for name in read.index)
    parts = ["", " low", " high", " n", " photographs"]
    assert [first[f"flipped{part}"] for part in parts] == [3 / 8, 0.1, 0.9, 8, 4]
    assert [first[f"gain{part}"] for part in parts] == [0.1, -0.05, 0.25, 40, 8]
    assert second["flipped low"] == wilson(1, 2).low
    assert math.isnan(second["flipped photographs"]) and math.isnan(second["gain low"])
    assert (first["n"], second["n"]) == (8, 1234)
    assert third[["n", "flipped", "flipped n", "steps"]].isna().all()
    assert (first["note"], second["note"]) == ("a, b", 'say "x" | y')


def test_json_is_a_list_of_objects() -> None:
    first, second, third = json.loads(MIXED.render("json"))
    assert first == {
        "metric": "lpips-alex",
        "n": 8,
        "flipped": {"value": 3 / 8, "low": 0.1, "high": 0.9, "n": 8, "photographs": 4},
        "gain": {"value": 0.1, "low": -0.05, "high": 0.25, "n": 40, "photographs": 8},
        "steps": 2.5,
        "note": "a, b",
    }
    assert second["flipped"]["photographs"] is None and second["gain"] is None
    assert third["steps"] is None


def test_json_is_the_same_on_every_terminal() -> None:
    shown = Table(("a title",), (("Häggström",),)).as_json()
    assert shown.isascii() and json.loads(shown) == [{"a title": "Häggström"}]


@pytest.mark.parametrize("format", ["csv", "json"])
def test_columns_of_one_title_cannot_be_told_apart(format: str) -> None:
    table = Table(("a", "a"), ((1, 2),))
    assert table.as_text() == "a  a\n1  2"
    with pytest.raises(InputError, match="Two columns are called 'a'"):
        table.render(format)


def test_markdown_is_a_table_in_html() -> None:
    markdown_it = pytest.importorskip("markdown_it")
    html = markdown_it.MarkdownIt("commonmark").enable("table").render(MIXED.render("markdown"))
    cells = [html_.unescape(cell) for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", html)]
    assert cells[:6] == list(MIXED.header)
    assert cells[5::6] == ["note", "a, b", 'say "x" | y', "[first"]
    assert cells[2::6] == ["flipped", "37.5% [10.0%, 90.0%]", "50.0% [9.5%, 90.5%]", "–"]
    assert len(cells) == 24 and html.count("<p>") == 2


def test_latex_escapes_what_means_something_to_it() -> None:
    table = Table(("a_b", "50 % & more"), (("[x] {y} $1 #2 ~ ^ \\", None),), notes=("100 %",))
    assert table.render("latex").split("\n") == [
        r"\begin{tabular}{lr}",
        r"\hline",
        r"a\_b & 50 \% \& more \\",
        r"\hline",
        r"{[}x] \{y\} \$1 \#2 \textasciitilde{} \textasciicircum{} \textbackslash{} & -- \\",
        r"\hline",
        r"\end{tabular}",
        r"\par 100 \%",
    ]


def test_latex_is_accepted_by_latex(tmp_path: Path) -> None:
    if not shutil.which("pdflatex"):
        pytest.skip("pdflatex is not on this machine")
    body = MIXED.render("latex")
    document = rf"\documentclass{{article}}\begin{{document}}{body}\end{{document}}"
    (tmp_path / "a.tex").write_text(document, "utf-8")
    subprocess.run(["pdflatex", "-halt-on-error", "a.tex"], cwd=tmp_path, check=True, capture_output=True)


def test_a_format_that_is_not_known() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown format of a table 'jsn'. Did you mean json"):
        MIXED.render("jsn")
    assert MIXED.render("text") == str(MIXED) == MIXED.as_text(200)
    assert MIXED.render("text", 40) == MIXED.as_text(40)
