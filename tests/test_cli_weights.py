"""The command simlib weights: what it lists, fetches and verifies, and how it fails."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from simlib.cli import main
from simlib.metrics import weights
from simlib.metrics.weights import WEIGHTS, WeightsFile
from tests.file_server import FileServer, Reply, serving


def tensors() -> bytes:
    stream = io.BytesIO()
    torch.save({"weight": torch.ones(3)}, stream)
    return stream.getvalue()


@pytest.fixture
def host() -> Iterator[FileServer]:
    with serving(tensors()) as served:
        yield served


@pytest.fixture(autouse=True)
def machine(host: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without weights, and a catalogue of three: published, without checksum, in a package."""
    monkeypatch.setenv("SIMLIB_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    digest = hashlib.sha256(host.body).hexdigest()
    catalogue = {
        "alexnet": WeightsFile("alexnet", "One", {"one.pth": digest}, host.url, "", "MIT", len(host.body)),
        "dists": WeightsFile("dists", "Two", {"two.pth": ""}, host.url, "", "BSD-2-Clause"),
        "st-lpips-alex": WEIGHTS["st-lpips-alex"],
    }
    monkeypatch.setattr(weights, "WEIGHTS", catalogue)
    return tmp_path / "weights"


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict]:
    assert main(["weights", *arguments]) == 0
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)}


@pytest.mark.parametrize("arguments", [[], ["list"]])
def test_listing_says_where_or_how(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(["weights", *arguments]) == 0
    header, alexnet, dists, packaged, *_ = capsys.readouterr().out.splitlines()
    assert header.split() == ["name", "size", "SHA-256", "where", "needed", "by", "licence"]
    assert "absent: simlib weights fetch alexnet" in alexnet
    assert weights.WEIGHTS["alexnet"].digests["one.pth"][:8] in alexnet
    assert "lpips-alex" in alexnet and alexnet.rstrip().endswith("MIT")
    assert dists.split()[:3] == ["dists", "unknown", "none"]
    assert "9.9 MB" in packaged and str(weights.locate("st-lpips-alex")) in packaged


@pytest.mark.parametrize("arguments", [["--json"], ["--json", "list"], ["list", "--json"]])
def test_listing_for_programs_tells_all(
    capsys: pytest.CaptureFixture[str], host: FileServer, arguments: list[str]
) -> None:
    found = rows(capsys, *arguments)
    assert list(found) == ["alexnet", "dists", "st-lpips-alex"]
    assert found["alexnet"] == {
        "name": "alexnet",
        "title": "One",
        "file": "one.pth",
        "size": len(host.body),
        "sha256": hashlib.sha256(host.body).hexdigest(),
        "sha256_published": True,
        "licence": "MIT",
        "url": host.url,
        "package": None,
        "path": None,
        "metrics": found["alexnet"]["metrics"],
    }
    assert "lpips-alex" in found["alexnet"]["metrics"]
    assert found["dists"]["sha256"] is None and found["dists"]["size"] is None
    assert found["st-lpips-alex"]["package"] == "stlpips_pytorch"
    assert found["st-lpips-alex"]["url"] is None


def test_what_was_fetched_is_listed_and_verified(
    machine: Path, host: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["weights", "fetch", "alexnet", "dists"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(machine / "one.pth"), str(machine / "two.pth")]
    found = rows(capsys, "--json")
    assert found["dists"]["path"] == str(machine / "two.pth")
    assert found["dists"]["size"] == len(host.body)
    assert found["dists"]["sha256"] == hashlib.sha256(host.body).hexdigest()
    assert not found["dists"]["sha256_published"]
    assert main(["weights"]) == 0
    assert f"{found['dists']['sha256'][:8]} (seen)" in capsys.readouterr().out
    assert main(["weights", "verify"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in shown] == ["alexnet", "dists", "st-lpips-alex"]
    assert all("SHA-256 is right" in line for line in shown)


@pytest.mark.parametrize("order", ["{action} {rest} --dir {folder}", "--dir {folder} {action} {rest}"])
def test_a_folder_of_its_own_serves_machines_without_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], order: str
) -> None:
    folder = tmp_path / "carried"

    def run(action: str, rest: str = "") -> int:
        return main(["weights", *order.format(action=action, rest=rest, folder=folder).split()])

    assert run("fetch", "all") == 0
    assert sorted(path.name for path in folder.iterdir()) == ["one.pth", "two.pth", "two.pth.sha256"]
    assert run("verify", "alexnet") == 0
    assert run("list") == 0
    assert str(folder / "one.pth") in capsys.readouterr().out
    assert rows(capsys, "--json")["alexnet"]["path"] is None


def test_verify_finds_the_bad_one_among_the_good(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine.mkdir()
    (machine / "one.pth").write_bytes(b"cut short")
    (machine / "two.pth").write_bytes(b"of unknown origin")
    assert main(["weights", "verify"]) == 2
    shown = capsys.readouterr()
    assert "st-lpips-alex: SHA-256 is right" in shown.out
    assert "dists: no SHA-256 is published or recorded" in shown.out
    assert shown.err.startswith(f"simlib: {machine / 'one.pth'} is not the file it should be")
    assert main(["weights", "verify", "st-lpips-alex"]) == 0


def test_verify_of_what_is_not_here_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "verify", "alexnet"]) == 2
    assert capsys.readouterr().err == "simlib: alexnet is not here. Run `simlib weights fetch alexnet`.\n"


def test_fetch_that_fails_says_in_a_line_why(host: FileServer, capsys: pytest.CaptureFixture[str]) -> None:
    host.replies = [Reply(status=404)]
    assert main(["weights", "fetch", "alexnet"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("simlib: ")
    assert "HTTP Error 404" in error and host.url in error and "--dir FOLDER" in error


def test_fetch_of_all_goes_on_after_a_failure_and_tells_it_at_the_end(
    machine: Path, host: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    host.replies = [Reply(status=404)]
    assert main(["weights", "fetch", "all"]) == 2
    assert (machine / "two.pth").is_file() and not (machine / "one.pth").exists()
    shown = capsys.readouterr()
    assert str(machine / "two.pth") in shown.out
    assert "404" in shown.err and "Traceback" not in shown.err


def test_several_failures_are_told_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "fetch", "alexnett", "distss"]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert lines[0] == "simlib: 2 failed."
    assert "Did you mean alexnet" in lines[1] and "Did you mean dists" in lines[2]


def test_a_metric_s_own_hint_works_as_a_command() -> None:
    from simlib.metrics import why_absent

    hint = why_absent("lpips-alex").partition("simlib ")[2]
    assert main(hint.split()) == 0
    assert why_absent("lpips-alex") == ""
