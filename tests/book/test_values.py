"""Values of dials: read as their parameter wants them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from simlib.book.values import Written, constant, from_here
from simlib.errors import InputError


@pytest.mark.parametrize(
    ("text", "default", "value"),
    [
        ("no", "photos", "no"),
        ("2024", "photos", "2024"),
        ("null", "photos", "null"),
        ("~", "photos", "~"),
        ("a: [b # c", "photos", "a: [b # c"),
        ("", "photos", ""),
        ('"7"', "photos", "7"),
        ("'it''s'", "photos", "it's"),
        ("it's", "photos", "it's"),
        ("no", True, False),
        ("true", False, True),
        ("16", 3, 16),
        ("1e2", 3, 100),
        ("8.0", 3, 8),
        ("8 / 2", 3, 4),
        ("1", 0.5, 1),
        ("4/255", 0.5, 4 / 255),
        ("-4 / 255", 0.5, -4 / 255),
        ("[1/255, 4 / 255]", [0.5], [1 / 255, 4 / 255]),
        ("[0.5, 2]", [0, 0.5], [0.5, 2]),
        ("[l2, no, 2024]", ["ssim"], ["l2", "no", "2024"]),
        ('["l2"]', ["ssim"], ["l2"]),
        ("[5e-4, 1]", [0.5], [5e-4, 1]),
        ("[[1], [2, 3]]", [[4]], [[1], [2, 3]]),
        ("[l2, 5e-4]", [], ["l2", 5e-4]),
        ("[]", ["ssim"], []),
        ("5e-4", None, 5e-4),
        ("l2", None, "l2"),
    ],
)
def test_the_default_says_how_a_text_is_read(text: str, default: Any, value: Any) -> None:
    read = Written(text).read("n", default)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "default", "kind"),
    [
        ("2", True, "true or false, such as true"),
        ("many", 3, "a whole number, such as 3"),
        ("8.5", 3, "a whole number"),
        ("1/3", 3, "a whole number"),
        ("[1, 2.5]", [1], "a list"),
        ("no", 0.5, "a number"),
        ("nan", 0.5, "a number"),
        ("-inf", 3, "a whole number"),
        ("4/0", 0.5, "a number"),
        ("1e308 * 10", 0.5, "a number"),
        ("f(1)", 0.5, "a number"),
        ("4 /", 0.5, "a number"),
        ("True", 0.5, "a number"),
        ("", 3, "a whole number"),
        ("[1", [1], "a list"),
        ("l2", ["ssim"], 'a list, such as \\["ssim"\\]'),
        ("{a: 1}", [], "a list"),
        ("[a]", [1], "a list"),
        ("3", ["a", "b", "c", "d"], 'a list, such as \\["a", "b", "c"\\]\\.$'),
        ("3", [None, None], "a list\\.$"),
        ("{", None, "a value of YAML\\.$"),
    ],
)
def test_what_is_none_of_that_kind_is_refused(text: str, default: Any, kind: str) -> None:
    with pytest.raises(InputError, match=f"of the parameter one.n cannot be read. It must be {kind}"):
        Written(text).read("one.n", default)


def test_the_value_of_a_cell_is_known_if_it_is_a_constant() -> None:
    for text, value in (
        ("4 / 255", 4 / 255),
        ("(1, 2 * 8)", [1, 16]),
        ("[*['a', 'b'], 'c', *f(1)]", ["a", "b", "c", None]),
        ("-1.5", -1.5),
        ("{'a': 1}", {"a": 1}),
        ("f(1)", None),
        ("1 / 0", None),
        ("n + 1", None),
        ("2 ** 9", None),
    ):
        assert constant(ast.parse(text, mode="eval").body) == value


@pytest.mark.parametrize("name", ["data", "plan", "measured"])
def test_an_empty_path_is_refused_where_it_means_nothing(name: str) -> None:
    with pytest.raises(InputError, match=f'{name} is "", which is no path'):
        from_here(name, "")


def test_a_path_is_whole_where_it_leads_somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("mine", "photos", "smoke"):
        (tmp_path / folder).mkdir()
    (tmp_path / "smoke.toml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value, expected in (
        ("data", "mine", tmp_path / "mine"),
        ("data", "~/mine", tmp_path / "mine"),
        ("data", "./photos", tmp_path / "photos"),
        ("data", "photos", "photos"),
        ("data", "../_build/there", "../_build/there"),
        ("store", "mine", tmp_path / "mine"),
        ("store", "", ""),
        ("plan", "smoke", "smoke"),
        ("plan", "smoke.toml", tmp_path / "smoke.toml"),
        ("label", "mine", "mine"),
        ("data", 3, 3),
    ):
        assert from_here(name, value) == (str(expected) if isinstance(expected, Path) else expected)
