"""Asks the command something, as a shell does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from simlib.cli import main

Ask = Callable[..., str]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run the command, check its exit code, and return what it prints; of one that fails, its errors."""

    def run(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        assert main(arguments) == code
        shown = capsys.readouterr()
        return shown.err if code else shown.out

    return run
