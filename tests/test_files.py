"""A file is there whole, or as it was before."""

from __future__ import annotations

from pathlib import Path

import pytest

from simlib.errors import OutputError
from simlib.files import written_whole


def test_replaces_only_when_finished(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("former")
    with written_whole(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "former"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("failure", [OSError("disk full"), ValueError("wrong"), KeyboardInterrupt()])
def test_leaves_nothing_behind_when_interrupted(tmp_path: Path, failure: BaseException) -> None:
    target = tmp_path / "a.txt"
    target.write_text("former")
    expected = OutputError if isinstance(failure, OSError) else type(failure)
    with pytest.raises(expected), written_whole(target) as temporary:
        temporary.write_text("half")
        raise failure
    assert target.read_text() == "former"
    assert list(tmp_path.iterdir()) == [target]
