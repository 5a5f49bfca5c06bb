"""Tests of simlib.benchmark.lock: one process at a shard at a time."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from simlib.benchmark.lock import Lock
from simlib.errors import OutputError

HOLD = """
import sys
from pathlib import Path
from simlib.benchmark.lock import Lock
lock = Lock(Path(sys.argv[1]))
print(lock.acquire(wait=False), flush=True)
sys.stdin.readline()
lock.release()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s1.lock"


def hold(path: Path) -> subprocess.Popen[str]:
    """Start a process that holds the lock until it is told a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "True\n"
    return process


def test_is_held_by_one_at_a_time_and_leaves_nothing(path: Path) -> None:
    first, second = Lock(path), Lock(path)
    with first:
        assert first.acquire(wait=False)
        assert path.exists()
        assert not second.acquire(wait=False)
    assert not path.exists()
    assert second.acquire(wait=False)
    second.release()
    second.release()
    assert not path.exists()


def test_another_process_holds_it_until_it_releases(path: Path) -> None:
    process = hold(path)
    waiting = Lock(path)
    assert not waiting.acquire(wait=False)
    threading.Timer(0.3, lambda: process.communicate("\n")).start()
    assert waiting.acquire(wait=True)
    assert process.wait(10) == 0
    # The other one removed the file it held, not the one that is held now.
    assert path.exists()
    assert not Lock(path).acquire(wait=False)
    waiting.release()


def test_a_process_that_is_killed_holds_nothing(path: Path) -> None:
    process = hold(path)
    process.kill()
    process.communicate()
    assert path.exists()
    lock = Lock(path)
    assert lock.acquire(wait=False)
    lock.release()


def test_is_released_by_another_thread(path: Path) -> None:
    lock = Lock(path)
    assert lock.acquire(wait=False)
    thread = threading.Thread(target=lock.release)
    thread.start()
    thread.join()
    assert Lock(path).acquire(wait=False)


def test_a_place_where_no_lock_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Cannot lock"):
        Lock(tmp_path / "file" / "s1.lock").acquire(wait=True)
