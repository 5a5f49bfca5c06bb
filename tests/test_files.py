"""Tests of simlib.files: a file is there whole or as it was before; a lock is held by one at a time."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest

from simlib.errors import OutputError
from simlib.files import Lock, sha256_of, why_not_written, written_whole


@pytest.mark.parametrize("failure", [None, OSError("disk full"), ValueError("wrong"), KeyboardInterrupt()])
def test_a_file_is_replaced_only_when_finished_and_nothing_is_left_beside(
    tmp_path: Path, failure: BaseException | None
) -> None:
    target = tmp_path / "a.txt"
    target.write_text("former")
    expected = (OutputError if isinstance(failure, OSError) else type(failure)) if failure else ()
    with pytest.raises(expected) if expected else nullcontext(), written_whole(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "former"
        if failure:
            raise failure
    assert target.read_text() == ("former" if failure else "new")
    assert list(tmp_path.iterdir()) == [target]


def test_sha256_is_that_of_the_standard(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


HOLD = """
import pathlib, sys
from simlib.files import Lock
lock = Lock(pathlib.Path(sys.argv[1]))
print(lock.acquire(wait=False), flush=True)
sys.stdin.readline()
lock.release()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "s1.lock"


def hold(path: Path) -> subprocess.Popen[str]:
    """Start a process that holds the lock until it reads a line."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdin=pipe, stdout=pipe, text=True)
    assert process.stdout
    assert process.stdout.readline() == "True\n"
    return process


def test_a_lock_is_held_by_one_at_a_time_and_leaves_nothing(path: Path) -> None:
    first, second = Lock(path), Lock(path)
    with first:
        assert first.acquire(wait=False)
        assert path.exists()
        assert not second.acquire(wait=False)
    assert not path.exists()
    assert second.acquire(wait=False)
    # Another thread may release it, and twice.
    for _ in range(2):
        thread = threading.Thread(target=second.release)
        thread.start()
        thread.join()
    assert not path.exists()


def test_another_process_holds_it_until_it_releases(path: Path) -> None:
    process = hold(path)
    waiting = Lock(path)
    assert not waiting.acquire(wait=False)
    ending = threading.Timer(0.1, lambda: process.communicate("\n"))
    ending.start()
    assert waiting.acquire(wait=True)
    ending.join()
    assert process.returncode == 0
    # The other one removed the file that it held, not the one that is held now.
    assert path.exists()
    assert not Lock(path).acquire(wait=False)
    waiting.release()


def test_a_process_that_is_killed_holds_nothing(path: Path) -> None:
    process = hold(path)
    process.kill()
    process.communicate()
    assert path.exists()
    with Lock(path) as lock:
        assert lock.acquire(wait=False)


def test_a_place_where_no_lock_can_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"Cannot lock .*s1\.lock"):
        Lock(tmp_path / "file" / "s1.lock").acquire(wait=True)


def test_a_disk_that_takes_no_more_is_found_in_what_a_program_tells() -> None:
    told = (
        "Traceback\nOSError: [Errno 2] No such file\nOSError: [Errno 28] No space left on device: 'a.txt'\n"
    )
    assert why_not_written(told) == "[Errno 28] No space left on device"
    assert why_not_written("(exception: [Errno 27] File too large)") == "[Errno 27] File too large"
    assert why_not_written("OSError: [Errno 2] No such file") == why_not_written("") == ""
