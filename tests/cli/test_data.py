"""The command simlib data, end to end against a server on this machine."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from simlib.cli import main
from simlib.triplets import draw
from tests.cli.conftest import Ask
from tests.file_server import FileServer, serving
from tests.triplets.stored_triplets import save_split


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without data."""
    monkeypatch.setenv("SIMLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[FileServer]:
    save_split(tmp_path / "made" / "val")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(tmp_path / "made", ".")
    with serving(buffer.getvalue()) as served:
        yield served


def url(host: FileServer) -> str:
    return host.url.replace("/file", "/twoafc_val.tar.gz")


def test_fetched_by_the_command_and_loaded_by_a_notebook(
    host: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "bapps", "--url", url(host)]) == 0
    shown = capsys.readouterr()
    rows = [line.split() for line in shown.out.splitlines()]
    assert ["cnn", "3", "unknown", "2", "2,822"] in rows
    assert ["all", "18", "36,344", "12", "12,227"] in rows
    assert "warning: the counts of traditional, cnn," in shown.err
    assert "not the published ones" in shown.err
    assert "SIMLIB_DATA" not in shown.out
    drawn = draw("bapps", 12)
    assert set(drawn.judge.tolist()) == {0.0, 1.0}
    assert drawn.label_source == "human"


def test_the_list_says_what_is_here_and_how_to_get_the_rest(
    host: FileServer, tmp_path: Path, ask: Ask
) -> None:
    before = ask("data")
    assert all(f"absent (simlib data bapps --split {split})" in before for split in ("val", "train"))
    ask("data", "bapps", "--url", url(host))
    place = str(tmp_path / "data" / "2afc" / "val")
    after = ask("data")
    assert "18 triplets, 12 clear winners" in after and place in after
    rows = {row["name"]: row for row in json.loads(ask("data", "--json"))}
    assert [row["here"] for row in rows.values()] == [True, True, False]
    val = rows["bapps val"]
    assert (val["path"], val["triplets"], val["clear_winners"]) == (place, 18, 12)
    assert len(val["sha256"]) == 64
    assert all(row["licence"] for row in rows.values())


def test_another_folder_has_to_be_named(
    host: FileServer, tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = ask("data", "bapps", "--url", url(host), "--dir", "other", "--keep")
    assert f"set SIMLIB_DATA={tmp_path / 'other'}" in shown
    monkeypatch.setenv("SIMLIB_DATA", str(tmp_path / "other"))
    assert len(draw("bapps", 3)) == 3
    assert list((tmp_path / "other" / "2afc").glob("*.tar.gz"))


def test_an_archive_at_hand_needs_no_network(host: FileServer, tmp_path: Path, ask: Ask) -> None:
    archive = tmp_path / "twoafc_val.tar.gz"
    archive.write_bytes(host.body)
    ask("data", "bapps", "--archive", str(archive))
    assert host.asked == []
    assert len(draw("bapps", 3)) == 3


@pytest.mark.parametrize(
    "given", ["--url http://127.0.0.1:9/a", "--url file:///etc/passwd", "--archive absent"]
)
def test_what_goes_wrong_is_said_in_a_line(given: str, ask: Ask) -> None:
    error = ask("data", "bapps", *given.split(), code=2)
    assert error.startswith("simlib: ")
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("given", ["--split test", "--url http://x --archive y"])
def test_wrong_requests_are_refused(given: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["data", "bapps", *given.split()])
    assert stop.value.code == 2
