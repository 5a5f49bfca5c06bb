"""Reads the command line, runs a subcommand, and turns its errors into messages and exit codes.

Everything heavy is imported by the subcommand that needs it, so that ``simlib --help`` answers at once.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import simlib
from simlib.cli import book, data, metrics, results, run, weights
from simlib.cli.signals import Ended, ended_by_signals
from simlib.cli.streams import tolerant
from simlib.errors import InputError, NotebookError, SimlibError
from simlib.given import given_path
from simlib.output import Output

_UNTOLD = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    It is 0; 1 when notebooks failed; 2 when it was asked wrongly; 3 when all was done, but what it has to say
    could not be written, as to a full disk; 128 + N after the signal N.
    """
    with tolerant() as output:
        try:
            code = _run(arguments)
        except SystemExit as stop:
            # So argparse ends, after a help or a usage.
            if _was_told(output) or stop.code:
                raise
            return _UNTOLD
        return code if _was_told(output) else code or _UNTOLD


def _was_told(output: Output) -> bool:
    """Say whether all that was printed could be written, or was not wanted; if not, a line of error does."""
    output.flush()
    # Whoever reads from a pipe may have enough, as `head` does.
    if output.lost is None or isinstance(output.lost, BrokenPipeError):
        return True
    kept = "Whatever was computed, downloaded or written to files is kept."
    print(f"simlib: the output could not be written: {output.lost}. {kept}", file=sys.stderr)
    return False


def _run(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    try:
        with ended_by_signals():
            options.run(options)
    except SimlibError as error:
        print(f"simlib: {error}", file=sys.stderr)
        return 1 if isinstance(error, NotebookError) else 2
    except Ended as ended:
        print(f"simlib: ended by {signal.Signals(ended.number).name}", file=sys.stderr)
        return 128 + ended.number
    except KeyboardInterrupt:
        print("simlib: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


class _Parser(argparse.ArgumentParser):
    """A parser, also of subcommands, that tells in simlib's own words why a path is none."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register("type", given_path, _path)


def _path(text: str) -> Path:
    try:
        return given_path(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="simlib", description="Attacks on perceptual similarity metrics.")
    parser.add_argument("--version", action="version", version=f"simlib {simlib.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (metrics, weights, data, run, results, book):
        module.add(commands)
    return parser
