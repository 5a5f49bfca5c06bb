"""Downloads over a bad network, from a bad server, onto a bad disk."""

from __future__ import annotations

import errno
import hashlib
import io
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.downloads import download, lock, server, sha256_of, transfer
from simlib.errors import DownloadError, OutputError
from tests.file_server import FileServer, Reply, serving

BODY = random.Random(0).randbytes(50_000)
DIGEST = hashlib.sha256(BODY).hexdigest()
OTHER = random.Random(1).randbytes(50_000)


@pytest.fixture(scope="module", autouse=True)
def impatient() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer, "_PAUSES", (0.0, 0.0, 0.0, 0.0))
        patch.setattr(server, "SILENCE_SECONDS", 0.3)
        yield


@pytest.fixture
def host() -> Iterator[FileServer]:
    with serving(BODY) as served:
        yield served


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "file.bin"


def get(host: FileServer, target: Path, **known: Any) -> Path:
    return download(host.url, target, title="The file", progress=False, **known)


def left(target: Path) -> dict[str, int]:
    """Name what lies in the folder, with sizes."""
    return {path.name: path.stat().st_size for path in target.parent.iterdir()}


def stop_short(host: FileServer, target: Path, arrived: int, **known: Any) -> None:
    """Leave a download behind of which some bytes have arrived."""
    host.replies = [Reply(stop_at=arrived), Reply(status=503)]
    with pytest.raises(DownloadError, match="503"):
        get(host, target, **known)
    assert left(target)[".file.bin.part"] == arrived
    host.asked.clear()


@pytest.mark.parametrize("known", [{}, {"sha256": DIGEST}, {"sha256": DIGEST[:8]}, {"size": 50_000}], ids=str)
def test_whole_file_comes_in_one_request_and_leaves_nothing_else(
    host: FileServer, target: Path, known: dict[str, Any]
) -> None:
    assert get(host, target, **known) == target
    assert target.read_bytes() == BODY
    assert host.ranges() == [None]
    assert left(target) == {"file.bin": len(BODY)}


def test_empty_file_is_a_file(host: FileServer, target: Path) -> None:
    host.body = b""
    assert get(host, target).read_bytes() == b""


def test_what_is_there_is_checked_and_not_asked_for(host: FileServer, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(BODY)
    get(host, target, sha256=DIGEST, size=len(BODY))
    with pytest.raises(DownloadError, match="Delete it and try again"):
        get(host, target, sha256="0" * 8)
    assert target.read_bytes() == BODY
    assert not host.asked


def test_what_is_there_can_lie_in_a_folder_that_cannot_be_written_to(
    host: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("read-only")

    target.parent.mkdir()
    target.write_bytes(BODY)
    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(lock, "FileLock", refuse)
    assert get(host, target, sha256=DIGEST) == target


@settings(max_examples=40, deadline=None)
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
        assert get(host, target, **known).read_bytes() == BODY
        assert left(target) == {"file.bin": len(BODY)}


def test_dropped_connection_is_taken_up_where_it_broke_off(host: FileServer, target: Path) -> None:
    host.replies = [Reply(stop_at=20_000), Reply(stop_at=30_000)]
    assert get(host, target).read_bytes() == BODY
    assert host.ranges() == [None, "bytes=20000-", "bytes=30000-"]
    assert host.asked[1]["If-Range"] == '"1"'


@pytest.mark.parametrize("known", [{}, {"sha256": DIGEST}], ids=str)
def test_next_call_goes_on(host: FileServer, target: Path, known: dict[str, Any]) -> None:
    stop_short(host, target, 20_000, **known)
    assert get(host, target, **known).read_bytes() == BODY
    assert host.ranges() == ["bytes=20000-"]


def test_last_modified_tells_versions_apart_too(host: FileServer, target: Path) -> None:
    host.headers = {"ETag": 'W/"1"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
    stop_short(host, target, 20_000)
    assert get(host, target).read_bytes() == BODY
    assert host.asked[0]["If-Range"] == "Wed, 21 Oct 2015 07:28:00 GMT"


def test_where_nothing_tells_versions_apart_it_starts_anew(host: FileServer, target: Path) -> None:
    host.headers = {}
    host.replies = [Reply(stop_at=20_000)]
    assert get(host, target).read_bytes() == BODY
    assert host.ranges() == [None, None]


def test_server_that_knows_no_ranges_starts_anew(host: FileServer, target: Path) -> None:
    stop_short(host, target, 20_000)
    host.replies = [Reply(ranges=False)]
    assert get(host, target).read_bytes() == BODY
    assert host.ranges() == ["bytes=20000-"]


@pytest.mark.parametrize("ranges", [True, False])
def test_file_that_has_changed_is_fetched_anew(host: FileServer, target: Path, ranges: bool) -> None:
    stop_short(host, target, 20_000)
    host.body, host.headers = OTHER, {"ETag": '"2"'}
    host.replies = [Reply(ranges=ranges)]
    assert get(host, target).read_bytes() == OTHER


def test_server_that_ignores_if_range_is_seen_through(host: FileServer, target: Path) -> None:
    stop_short(host, target, 20_000)
    host.body, host.headers = OTHER, {"ETag": '"2"'}
    # The server compares with this mark as if it were its own.
    host.headers["X-Former"] = '"1"'
    assert get(host, target).read_bytes() == OTHER
    assert host.ranges() == ["bytes=20000-", None]


def test_pieces_that_do_not_fit_are_fetched_anew_once(host: FileServer, target: Path) -> None:
    host.headers = {}
    stop_short(host, target, 20_000, sha256=DIGEST)
    (target.parent / ".file.bin.part").write_bytes(OTHER[:20_000])
    assert get(host, target, sha256=DIGEST).read_bytes() == BODY
    assert host.ranges() == ["bytes=20000-", None]
    target.unlink()
    stop_short(host, target, 20_000, sha256="0" * 64)
    with pytest.raises(DownloadError, match="SHA-256"):
        get(host, target, sha256="0" * 64)
    assert host.ranges() == ["bytes=20000-", None]


@pytest.mark.parametrize(
    ("lying", "ranges"),
    [(BODY, ["bytes=50000-"]), (BODY + b"more", ["bytes=50004-", None])],
    ids=["whole", "too long"],
)
def test_part_with_nothing_left_to_ask_for(
    host: FileServer, target: Path, lying: bytes, ranges: list[str | None]
) -> None:
    target.parent.mkdir()
    (target.parent / ".file.bin.part").write_bytes(lying)
    assert get(host, target, sha256=DIGEST).read_bytes() == BODY
    assert host.ranges() == ranges


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ({"sha256": "0" * 64}, f"SHA-256 is {DIGEST}"),
        ({"size": 49_999}, "the server's file has 50000 bytes, expected are 49999"),
        ({"size": 50_001}, "the server's file has 50000 bytes, expected are 50001"),
    ],
)
def test_another_file_than_the_wanted_one_is_refused(
    host: FileServer, target: Path, known: dict[str, Any], reason: str
) -> None:
    with pytest.raises(DownloadError, match=reason) as caught:
        get(host, target, **known)
    assert host.url in str(caught.value)
    assert f"save it as {target}" in str(caught.value)
    assert left(target) == {}


def test_truncated_file_is_not_taken_for_whole(host: FileServer, target: Path) -> None:
    host.replies = [Reply(stop_at=30_000)] * 9
    with pytest.raises(DownloadError, match="broke off after 30000 of 50000 bytes"):
        get(host, target)
    host.replies, host.body, host.headers = [], BODY[:30_000], {"ETag": '"2"'}
    with pytest.raises(DownloadError, match="what came is another file"):
        get(host, target, sha256=DIGEST)
    assert left(target) == {}


def test_attempts_are_bounded(host: FileServer, target: Path) -> None:
    host.replies = [Reply(stop_at=1000 * (count + 1)) for count in range(20)]
    with pytest.raises(DownloadError, match="broke off after 5000 of 50000 bytes"):
        get(host, target)
    assert len(host.asked) == 5
    assert left(target)[".file.bin.part"] == 5000


def test_more_than_is_expected_is_cut_off(host: FileServer, target: Path) -> None:
    # What would come next is not waited for.
    host.replies = [Reply(chunked=True, silent=True)]
    with pytest.raises(DownloadError, match="more than the expected 40000 bytes came"):
        get(host, target, size=40_000)
    assert left(target) == {}


def test_length_must_be_known_from_somewhere(host: FileServer, target: Path) -> None:
    host.replies = [Reply(chunked=True), Reply(chunked=True)]
    with pytest.raises(DownloadError, match="does not say how long"):
        get(host, target)
    assert get(host, target, size=50_000).read_bytes() == BODY


def test_answer_that_is_only_a_part_is_refused(host: FileServer, target: Path) -> None:
    host.replies = [Reply(status=206)]
    with pytest.raises(DownloadError, match="not the whole file"):
        get(host, target)


@pytest.mark.parametrize("status", [403, 404, 416, 500])
def test_error_of_the_server_is_told_at_once(host: FileServer, target: Path, status: int) -> None:
    host.replies = [Reply(status=status)]
    with pytest.raises(DownloadError, match=f"{status}|not the whole file"):
        get(host, target)
    assert len(host.asked) == 1
    assert left(target) == {}


def test_redirects_are_followed_also_when_resuming(host: FileServer, target: Path) -> None:
    redirect = Reply(status=302, location=host.url + "/elsewhere")
    host.replies = [redirect, Reply(stop_at=20_000), redirect]
    assert get(host, target).read_bytes() == BODY
    assert host.ranges() == [None, None, "bytes=20000-", "bytes=20000-"]


@pytest.mark.parametrize("scheme", ["file", "ftp", "data", "gopher"])
def test_only_web_addresses_are_followed(host: FileServer, target: Path, tmp_path: Path, scheme: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    address = f"{scheme}://{secret}"
    host.replies = [Reply(status=302, location=address)]
    with pytest.raises(DownloadError, match="302"):
        get(host, target)
    with pytest.raises(DownloadError, match="must start with http"):
        download(address, target, title="The file")
    assert not target.exists()


def test_no_redirect_leads_from_an_encrypted_connection_to_an_open_one() -> None:
    request = server.urllib.request.Request("https://example.org/file")
    handler = server._WebOnly()
    followed = handler.redirect_request(
        request, io.BytesIO(), 302, "Found", server.http.client.HTTPMessage(), "https://example.org/other"
    )
    assert followed is not None and followed.full_url == "https://example.org/other"
    with pytest.raises(server.urllib.error.HTTPError, match="refused"):
        handler.redirect_request(
            request, io.BytesIO(), 302, "Found", server.http.client.HTTPMessage(), "http://example.org/other"
        )


@pytest.mark.parametrize("reply", [Reply(silent=True, stop_at=20_000), Reply(silent=True, stop_at=0)])
def test_host_that_falls_silent_is_given_up_and_asked_again(
    host: FileServer, target: Path, reply: Reply
) -> None:
    host.replies = [reply]
    assert get(host, target).read_bytes() == BODY
    assert len(host.asked) == 2


def test_host_that_never_answers_is_given_up(host: FileServer, target: Path) -> None:
    host.replies = [Reply(wait=60)]
    with pytest.raises(DownloadError, match="timed out"):
        get(host, target)
    assert len(host.asked) == 1


def test_host_that_is_not_there_is_given_up_at_once(target: Path) -> None:
    with serving(BODY) as gone:
        pass
    with pytest.raises(DownloadError, match="refused"):
        get(gone, target)


def test_threads_that_want_the_same_file_download_it_once(host: FileServer, target: Path) -> None:
    host.replies = [Reply(wait=0.2)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: get(host, target).read_bytes(), range(4)))
    assert found == [BODY] * 4
    assert len(host.asked) == 1
    assert left(target) == {"file.bin": len(BODY)}


def test_processes_that_want_the_same_file_download_it_once(host: FileServer, target: Path) -> None:
    host.replies = [Reply(wait=1.0)]
    code = (
        "import sys, pathlib, simlib.downloads as d;"
        "d.download(sys.argv[1], pathlib.Path(sys.argv[2]), title='The file')"
    )
    command = [sys.executable, "-c", code, host.url, str(target)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    told = [process.communicate(timeout=60)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], told
    assert target.read_bytes() == BODY
    assert len(host.asked) == 1
    assert any("another process is fetching it" in text for text in told)


def test_one_that_waited_downloads_itself_when_the_first_fails(host: FileServer, target: Path) -> None:
    host.replies = [Reply(wait=0.2, stop_at=20_000), Reply(status=503)]

    def attempt(_: int) -> bool:
        try:
            return get(host, target).read_bytes() == BODY
        except DownloadError:
            return False

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(attempt, range(2))) == [False, True]
    assert host.ranges() == [None, "bytes=20000-", "bytes=20000-"]


class FullDisk(io.FileIO):
    """Takes some bytes, then no more."""

    def write(self, data: Any) -> int:
        if self.tell() >= 10_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data[: 10_000 - self.tell()])


def test_full_disk_is_told_and_the_download_goes_on_later(
    host: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Path.open

    def open_on_full_disk(path: Path, mode: str = "r", **options: Any) -> Any:
        if mode == "ab":
            return io.BufferedWriter(FullDisk(path, "ab"), 4096)
        return usual(path, mode, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_on_full_disk)
        with pytest.raises(OutputError, match=r"No space left on device.*goes on where it stopped"):
            get(host, target)
    assert get(host, target).read_bytes() == BODY
    assert host.ranges() == [None, "bytes=10000-"]


def test_file_for_which_there_is_no_room_is_not_begun(
    host: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 49_999

    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(OutputError, match="50000 bytes are missing, there is room for 49999"):
        get(host, target)
    assert not target.exists()


def test_folder_that_cannot_be_made_is_told(host: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be saved as .*folder may be written to"):
        get(host, tmp_path / "file" / "file.bin")
    assert not host.asked


def test_progress_is_shown_in_bytes(
    host: FileServer, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    download(host.url, target, title="The file")
    shown = capsys.readouterr()
    assert "The file" in shown.err and "50.0k/50.0k" in shown.err
    assert not shown.out


def test_sha256_is_that_of_the_standard(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
