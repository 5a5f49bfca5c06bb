"""Paths, names and text files, as people give them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from simlib.benchmark.store import Store
from simlib.cli.command import _parser, main
from simlib.errors import InputError
from simlib.given import given_path, is_litter, is_readable, pointer_hint, read_text
from simlib.triplets import draw, open_triplets


def test_the_home_folder_is_meant_as_a_shell_means_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert given_path("~/mine") == tmp_path / "mine"
    assert given_path(Path("~")) == tmp_path
    for kept in ("mine~", "a/~/b", "~nobody-is-called-so/mine"):
        assert given_path(kept) == Path(kept)


@pytest.mark.parametrize("path", [None, 3, b"mine", ["mine"]])
@pytest.mark.parametrize("ask", [given_path, open_triplets, lambda path: draw(path, 1)])
def test_what_is_no_path_is_refused_in_words(ask: Any, path: Any) -> None:
    with pytest.raises(InputError, match=f"this is a {type(path).__name__}. Give text or a Path"):
        ask(path)


def test_an_empty_text_is_no_path() -> None:
    with pytest.raises(InputError, match=r'"" is no path\. Give the path'):
        given_path("")
    for read in (open_triplets, Store):
        with pytest.raises(InputError, match='"" is no path'):
            read("")


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "smoke", "--store", ""],
        ["results", "--store", ""],
        ["notebooks", "--output", ""],
        ["lab", "--folder", ""],
        ["book", "build", "--output", ""],
        ["book", "adopt", ""],
        ["data", "bapps", "--archive="],
        ["run", "smoke", "--dry-run", "--data", ""],
    ],
)
def test_the_command_refuses_an_empty_path(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert '"" is no path. Give the path of a file or folder' in capsys.readouterr().err


def test_every_path_of_the_command_is_meant_so() -> None:
    def actions_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
        found = list(parser._actions)
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                found += [each for below in action.choices.values() for each in actions_of(below)]
        return found

    every = actions_of(_parser())
    assert not [action for action in every if action.type is Path]
    assert len([action for action in every if action.type is given_path]) >= 10


@pytest.mark.parametrize(
    ("name", "litter"),
    [
        (".DS_Store", True),
        ("__MACOSX", True),
        ("Thumbs.db", True),
        ("Desktop.ini", True),
        ("._cat.png", True),
        (".ipynb_checkpoints", True),
        ("cat.png", False),
        ("_cat.png", False),
        (".hidden", False),
        ("thumbs", False),
    ],
)
def test_what_systems_leave_is_recognised(name: str, litter: bool) -> None:
    assert is_litter(name) is litter


@pytest.mark.parametrize(
    ("name", "readable"),
    [("a b", True), ("木 é\xa0", True), ("a\tb", False), ("a\x85b", False), ("\udcff", False)],
)
def test_a_name_is_a_line_of_text(name: str, readable: bool) -> None:
    assert is_readable(name) is readable


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_a_text_is_the_same_whatever_editor_wrote_it(tmp_path: Path, encoding: str, ends: str) -> None:
    (tmp_path / "mine").write_text("ä = 1\nb = 2\n", encoding=encoding, newline=ends)
    assert read_text(tmp_path / "mine") == "ä = 1\nb = 2\n"


@pytest.mark.parametrize(
    ("encoding", "message"),
    [("utf-16", "seems to be UTF-16"), ("utf-16-le", "or one in UTF-16"), ("latin-1", "no text in UTF-8")],
)
def test_a_text_in_another_encoding_is_refused(tmp_path: Path, encoding: str, message: str) -> None:
    (tmp_path / "mine").write_text("caf" + ("é" if encoding == "latin-1" else "e"), encoding=encoding)
    with pytest.raises(InputError, match=message) as caught:
        read_text(tmp_path / "mine")
    assert str(tmp_path / "mine") in str(caught.value)


def test_a_text_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none cannot be read: No such file"):
        read_text(tmp_path / "none")


def test_a_pointer_is_told_from_the_file_itself(tmp_path: Path) -> None:
    path = tmp_path / "mine"
    assert pointer_hint(path) == ""
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "git lfs pull" in pointer_hint(path)
    with pytest.raises(InputError, match="git lfs pull"):
        read_text(path)
    path.write_text("/annex/objects/SHA256E-s1--4d7a\n")
    assert "git annex get" in pointer_hint(path)
    path.write_text("version 2")
    assert pointer_hint(path) == ""
