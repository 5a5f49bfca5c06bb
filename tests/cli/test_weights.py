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
from tests.cli.conftest import Ask
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


def rows(ask: Ask, *arguments: str) -> dict[str, dict]:
    return {row["name"]: row for row in json.loads(ask("weights", *arguments))}


@pytest.mark.parametrize("arguments", [[], ["list"]])
def test_listing_says_where_or_how(ask: Ask, arguments: list[str]) -> None:
    header, alexnet, dists, packaged, *_ = ask("weights", *arguments).splitlines()
    assert header.split() == ["name", "size", "SHA-256", "where", "needed", "by", "licence"]
    assert "absent: simlib weights fetch alexnet" in alexnet
    assert weights.WEIGHTS["alexnet"].digests["one.pth"][:8] in alexnet
    assert "lpips-alex" in alexnet and alexnet.rstrip().endswith("MIT")
    assert dists.split()[:3] == ["dists", "unknown", "none"]
    assert "9.9 MB" in packaged and str(weights.locate("st-lpips-alex")) in packaged


@pytest.mark.parametrize("arguments", [["--json"], ["--json", "list"], ["list", "--json"]])
def test_listing_for_programs_tells_all(ask: Ask, host: FileServer, arguments: list[str]) -> None:
    found = rows(ask, *arguments)
    assert list(found) == ["alexnet", "dists", "st-lpips-alex"]
    assert "lpips-alex" in found["alexnet"].pop("metrics")
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
    }
    assert found["dists"]["sha256"] is None and found["dists"]["size"] is None
    assert found["st-lpips-alex"]["package"] == "stlpips_pytorch"
    assert found["st-lpips-alex"]["url"] is None


def test_what_was_fetched_is_listed_and_verified(machine: Path, host: FileServer, ask: Ask) -> None:
    fetched = ask("weights", "fetch", "alexnet", "dists").splitlines()
    assert fetched == [str(machine / "one.pth"), str(machine / "two.pth")]
    dists = rows(ask, "--json")["dists"]
    assert (dists["path"], dists["size"]) == (str(machine / "two.pth"), len(host.body))
    assert dists["sha256"] == hashlib.sha256(host.body).hexdigest()
    assert not dists["sha256_published"]
    assert f"{dists['sha256'][:8]} (seen)" in ask("weights")
    shown = ask("weights", "verify").splitlines()
    assert [line.partition(":")[0] for line in shown] == ["alexnet", "dists", "st-lpips-alex"]
    assert all("SHA-256 is right" in line for line in shown)


@pytest.mark.parametrize("order", ["{action} {rest} --dir {folder}", "--dir {folder} {action} {rest}"])
def test_a_folder_of_its_own_serves_machines_without_network(tmp_path: Path, ask: Ask, order: str) -> None:
    folder = tmp_path / "carried"

    def run(action: str, rest: str = "") -> str:
        return ask("weights", *order.format(action=action, rest=rest, folder=folder).split())

    run("fetch", "all")
    assert sorted(path.name for path in folder.iterdir()) == ["one.pth", "two.pth", "two.pth.sha256"]
    run("verify", "alexnet")
    assert str(folder / "one.pth") in run("list")
    assert rows(ask, "--json")["alexnet"]["path"] is None


def test_verify_finds_the_bad_one_among_the_good(
    machine: Path, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = ask("weights", "verify", "alexnet", code=2)
    assert absent == "simlib: alexnet is not here. Run `simlib weights fetch alexnet`.\n"
    machine.mkdir()
    (machine / "one.pth").write_bytes(b"cut short")
    (machine / "two.pth").write_bytes(b"of unknown origin")
    assert main(["weights", "verify"]) == 2
    shown = capsys.readouterr()
    assert "st-lpips-alex: SHA-256 is right" in shown.out
    assert "dists: no SHA-256 is published or recorded" in shown.out
    assert shown.err.startswith(f"simlib: {machine / 'one.pth'} is not the file it should be")
    ask("weights", "verify", "st-lpips-alex")


def test_a_failed_fetch_is_explained_in_a_line_and_the_others_go_on(
    machine: Path, host: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    host.replies = [Reply(404)]
    assert main(["weights", "fetch", "all"]) == 2
    shown = capsys.readouterr()
    error = shown.err.splitlines()[-1]
    assert error.startswith("simlib: ") and "Traceback" not in shown.err
    assert "404 Client Error" in error and host.url in error and "--dir FOLDER" in error
    assert str(machine / "two.pth") in shown.out
    assert (machine / "two.pth").is_file() and not (machine / "one.pth").exists()


def test_several_failures_are_named_one_a_line(ask: Ask) -> None:
    lines = [line for line in ask("weights", "fetch", "alexnett", "distss", code=2).splitlines() if line]
    assert lines[0] == "simlib: 2 failed."
    assert "Did you mean alexnet" in lines[1] and "Did you mean dists" in lines[2]


def test_a_metric_s_own_hint_works_as_a_command(ask: Ask) -> None:
    from simlib.metrics import why_absent

    ask(*why_absent("lpips-alex").partition("simlib ")[2].split())
    assert why_absent("lpips-alex") == ""
