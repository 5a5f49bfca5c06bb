"""Downloads over a bad network, from a bad server, onto a bad disk."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import random
import subprocess
import sys
import tempfile
import threading
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from requests import Response

from simlib import fetch as module
from simlib.errors import DownloadError, OutputError
from simlib.fetch import fetch
from tests.file_server import FileServer, Reply, serving

BODY = random.Random(0).randbytes(50_000)
OTHER = random.Random(1).randbytes(50_000)
DIGEST = hashlib.sha256(BODY).hexdigest()
DATE = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.fixture(scope="module", autouse=True)
def impatient() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PAUSES", (0.0, 0.0, 0.0, 0.0))
        patch.setattr(module, "SILENCE_SECONDS", 0.2)
        yield


@pytest.fixture
def host() -> Iterator[FileServer]:
    with serving(BODY) as served:
        yield served


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "file.bin"


def get(host: FileServer, target: Path, **known: Any) -> bytes:
    assert fetch(host.url, target, title="The file", progress=False, **known) == target
    return target.read_bytes()


def left(target: Path) -> dict[str, int]:
    """Name what lies in the folder, with sizes."""
    return {path.name: path.stat().st_size for path in target.parent.iterdir()}


@pytest.mark.parametrize("body", [BODY, b""], ids=["full", "empty"])
@pytest.mark.parametrize("known", ["", "sha256", "size"])
def test_a_whole_file_comes_in_one_request_and_leaves_nothing_else(
    host: FileServer, target: Path, capsys: pytest.CaptureFixture[str], body: bytes, known: str
) -> None:
    # The server says that the file is compressed: it is wanted as it is stored.
    host.body, host.headers = body, {"Content-Encoding": "gzip"}
    host.replies = [Reply(chunked=known == "size")]
    facts = {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body)}
    options: dict[str, Any] = {known: facts[known]} if known else {}
    fetch(host.url, target, title="The file", **options)
    assert target.read_bytes() == body
    assert host.ranges() == [None]
    assert host.asked[0]["Accept-Encoding"] == "identity"
    assert left(target) == {"file.bin": len(body)}
    assert "The file: 100%" in (shown := capsys.readouterr().err) or not body
    assert "50.0k/50.0k" in shown or not body


def test_what_is_there_is_checked_and_not_asked_for(
    host: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target.parent.mkdir()
    target.write_bytes(BODY)
    # It may lie in a folder that cannot be written to.
    monkeypatch.setattr(module, "Lock", None)
    assert get(host, target, sha256=DIGEST) == BODY
    with pytest.raises(DownloadError, match="Delete it"):
        get(host, target, sha256="0" * 64)
    assert target.read_bytes() == BODY
    assert not host.asked


@settings(max_examples=30, deadline=None)
@example(drops=[0], reset=False, etag=True, ranges=True, known={})
@given(
    drops=st.lists(st.integers(0, len(BODY) - 1), max_size=4),
    reset=st.booleans(),
    etag=st.booleans(),
    ranges=st.booleans(),
    known=st.sampled_from([{}, {"sha256": DIGEST}, {"size": len(BODY)}]),
)
def test_wherever_the_connection_drops_the_file_is_the_same(
    drops: list[int], reset: bool, etag: bool, ranges: bool, known: dict[str, Any]
) -> None:
    with serving(BODY) as host, tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "file.bin")
        host.headers = {"ETag": '"1"'} if etag else {}
        host.replies = [Reply(stop_at=drop, reset=reset, ranges=ranges) for drop in drops]
        assert get(host, target, **known) == BODY
        assert left(target) == {"file.bin": len(BODY)}


@pytest.mark.parametrize(
    ("headers", "mark"),
    [({"ETag": '"1"'}, '"1"'), ({"ETag": 'W/"1"', "Last-Modified": DATE}, DATE), ({}, None)],
    ids=["etag", "date", "nothing"],
)
def test_a_download_continues_where_it_broke_off_if_the_version_is_known(
    host: FileServer, target: Path, headers: dict[str, str], mark: str | None
) -> None:
    host.headers = headers
    host.replies = [Reply(stop_at=20_000), Reply(stop_at=30_000)]
    assert get(host, target) == BODY
    assert host.ranges() == ([None, "bytes=19999-", "bytes=29999-"] if mark else [None] * 3)
    assert host.asked[1].get("If-Range") == mark


REST = "bytes=19999-"


@pytest.mark.parametrize(
    ("known", "change", "reply", "ranges"),
    [
        ({}, {}, Reply(), [REST]),
        ({"sha256": DIGEST}, {}, Reply(), [REST]),
        ({}, {}, Reply(302, "/elsewhere"), [REST, REST]),
        ({}, {}, Reply(ranges=False), [REST]),
        ({}, {"body": OTHER, "headers": {"ETag": '"2"'}}, Reply(), [REST]),
        # This server takes the value of any header for its mark, so it does not notice the change.
        ({}, {"body": OTHER, "headers": {"ETag": '"2"', "X-Former": '"1"'}}, Reply(), [REST, None]),
    ],
    ids=["continues", "hash", "redirect", "ignores Range", "changed", "ignores If-Range"],
)
def test_the_next_call_continues_unless_the_file_has_changed(
    host: FileServer, target: Path, known: Any, change: Any, reply: Reply, ranges: list[str | None]
) -> None:
    host.replies = [Reply(stop_at=20_000), Reply(503)]
    with pytest.raises(DownloadError, match="503"):
        get(host, target, **known)
    assert left(target) == {".file.bin.part": 20_000, ".file.bin.version": 3}
    vars(host).update(change, asked=[], replies=[reply])
    assert get(host, target, **known) == host.body
    assert host.ranges() == ranges


@pytest.mark.parametrize(
    ("lying", "digest", "ranges"),
    [
        (OTHER[:20_000], DIGEST, [REST, None]),
        (BODY[:20_000], "0" * 64, [REST, None]),
        (BODY, DIGEST, ["bytes=49999-"]),
        (BODY + b"more", DIGEST, ["bytes=50003-", None]),
    ],
    ids=["of another file", "wrong hash", "whole", "too long"],
)
def test_pieces_that_do_not_fit_are_fetched_anew_once(
    host: FileServer, target: Path, lying: bytes, digest: str, ranges: list[str | None]
) -> None:
    host.headers = {}
    target.parent.mkdir()
    target.with_name(".file.bin.part").write_bytes(lying)
    fits = digest == DIGEST
    with contextlib.nullcontext() if fits else pytest.raises(DownloadError, match="SHA256"):
        assert get(host, target, sha256=digest) == BODY
    assert host.ranges() == ranges


@pytest.mark.parametrize(
    ("known", "reply", "reason"),
    [
        ({"sha256": "0" * 64}, Reply(), f"what came is another file: .*got {DIGEST}"),
        ({"size": 49_999}, Reply(), "the server's file has 50000 bytes, expected are 49999"),
        ({"size": 50_001}, Reply(), "the server's file has 50000 bytes, expected are 50001"),
        ({"size": 15_000}, Reply(chunked=True), r"more than the expected 15000 bytes came \(20000 so far\)"),
        ({}, Reply(chunked=True), "does not say how long it is"),
        ({}, Reply(206), "not the whole file"),
        ({}, Reply(404), "404 Client Error: Not Found"),
        ({}, Reply(416), "416 Client Error"),
        ({}, Reply(302, "file:///etc/passwd"), "a redirect to file:///etc/passwd is refused"),
    ],
)
def test_what_is_not_the_wanted_file_is_refused_at_once(
    host: FileServer, target: Path, known: dict[str, Any], reply: Reply, reason: str
) -> None:
    host.replies = [reply]
    with pytest.raises(DownloadError, match=reason) as caught:
        get(host, target, **known)
    assert str(caught.value).startswith(f"The file could not be downloaded from {host.url}: ")
    assert str(caught.value).endswith(f"save it as {target}.")
    assert len(host.asked) == 1
    assert left(target) == {}


def test_attempts_are_bounded_and_a_part_is_not_taken_for_whole(host: FileServer, target: Path) -> None:
    host.replies = [Reply(stop_at=1000 * (count + 1)) for count in range(20)]
    with pytest.raises(DownloadError, match="broke off after 5000 of 50000 bytes"):
        get(host, target)
    assert len(host.asked) == 5
    assert left(target) == {".file.bin.part": 5000, ".file.bin.version": 3}


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/file", "http://", "http://[bad"])
def test_only_web_addresses_are_asked(target: Path, url: str) -> None:
    with pytest.raises(DownloadError, match=r"must start with http|No host|Failed to parse"):
        fetch(url, target, title="The file")


@pytest.mark.parametrize(("there", "refused"), [("https", False), ("http", True), ("ftp", True)])
def test_a_redirect_from_https_leads_to_https_only(there: str, refused: bool) -> None:
    answer = Response()
    answer.status_code, answer.raw, answer.url = 302, io.BytesIO(), "https://example.org/file"
    answer.headers["Location"] = f"{there}://example.org/other"
    with pytest.raises(DownloadError) if refused else contextlib.nullcontext():
        module._validate_redirect(answer)


@pytest.mark.parametrize("stop_at", [0, 20_000])
def test_a_host_that_falls_silent_is_asked_again(host: FileServer, target: Path, stop_at: int) -> None:
    host.replies = [Reply(silent=True, stop_at=stop_at)]
    assert get(host, target) == BODY
    assert len(host.asked) == 2


def test_a_host_that_never_answers_or_is_not_there_is_given_up(host: FileServer, target: Path) -> None:
    host.replies = [Reply(before=host.over.wait)]
    with pytest.raises(DownloadError, match="timed out"):
        get(host, target)
    assert len(host.asked) == 1
    with serving(BODY) as gone:
        pass
    with pytest.raises(DownloadError, match=r"/file: \[Errno \d+\] Connection refused\. Try"):
        get(gone, target)


CALL = """
import pathlib, sys
from simlib.fetch import fetch
fetch(sys.argv[1], pathlib.Path(sys.argv[2]), title="The file")
"""


@pytest.mark.parametrize(("status", "asked"), [(200, 1), (503, 2)], ids=["first succeeds", "first fails"])
def test_of_two_processes_one_downloads_and_the_other_waits(
    host: FileServer, target: Path, status: int, asked: int
) -> None:
    reached, gate = threading.Event(), threading.Event()
    host.replies = [Reply(status, before=lambda: (reached.set(), gate.wait()))]
    command = [sys.executable, "-c", CALL, host.url, str(target)]
    first = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    assert reached.wait(60)
    second = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert second.stderr
    assert second.stderr.readline() == "The file: another process is fetching it, waiting\n"
    gate.set()
    shown = second.communicate(timeout=60)[1]
    # Nothing but the progress bar: no notes of pooch's own.
    assert all("The file:" in line for line in shown.splitlines() if line.strip())
    assert (first.wait(60), second.returncode) == (status != 200, 0)
    assert target.read_bytes() == BODY
    assert len(host.asked) == asked
    assert left(target) == {"file.bin": len(BODY)}


class FullDisk(io.FileIO):
    """Takes some bytes, then no more."""

    def write(self, data: Any) -> int:
        if self.tell() >= 10_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data[: 10_000 - self.tell()])


def test_a_full_disk_is_an_output_error_and_the_download_continues_later(
    host: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Path.open

    def open_on_full_disk(path: Path, mode: str, **options: Any) -> Any:
        return io.BufferedWriter(FullDisk(path, mode), 4096) if mode == "wb" else usual(path, mode, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_on_full_disk)
        with pytest.raises(OutputError, match=r"No space left on device.*continues where it stopped"):
            get(host, target)
    assert get(host, target) == BODY
    assert host.ranges() == [None, "bytes=9999-"]


def test_a_file_for_which_there_is_no_room_is_not_begun(
    host: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(49_999))
    with pytest.raises(OutputError, match="50000 bytes are missing, there is room for 49999"):
        get(host, target)
    assert left(target) == {}


def test_a_folder_that_cannot_be_made_is_named(host: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"^Cannot lock .*file\.bin"):
        get(host, tmp_path / "file" / "file.bin")
