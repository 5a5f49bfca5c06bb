"""Reads the command line, runs a subcommand, and turns its errors into messages and exit codes.

Everything heavy is imported by the subcommand that needs it, so that ``simlib --help`` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Sequence

import simlib
from simlib.cli import book, data, metrics, results, run, weights
from simlib.cli.signals import Ended, ended_by_signals
from simlib.errors import NotebookError, SimlibError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code.

    It is 0, 1 when notebooks failed, 2 when it was asked wrongly, and 128 + N after the signal N.
    """
    options = _parser().parse_args(arguments)
    try:
        with ended_by_signals():
            options.run(options)
    except SimlibError as error:
        print(f"simlib: {error}", file=sys.stderr)
        return 1 if isinstance(error, NotebookError) else 2
    except BrokenPipeError:
        # Whoever reads has enough, as `head` does; what Python flushes at its end must go elsewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Ended as ended:
        _say_last(f"simlib: ended by {signal.Signals(ended.number).name}")
        return 128 + ended.number
    except KeyboardInterrupt:
        _say_last("simlib: interrupted")
        return 128 + signal.SIGINT
    return 0


def _say_last(text: str) -> None:
    # A terminal that was closed reads nothing any more.
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="simlib", description="Attacks on perceptual similarity metrics.")
    parser.add_argument("--version", action="version", version=f"simlib {simlib.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (metrics, weights, data, run, results, book):
        module.add(commands)
    return parser
