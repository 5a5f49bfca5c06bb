"""Reads the command line, runs a subcommand, and turns its errors into messages and exit codes.

Everything heavy is imported by the subcommand that needs it, so that ``simlib --help`` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import simlib
from simlib.cli import book, data, metrics, results, run, weights
from simlib.errors import NotebookError, SimlibError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 1 when notebooks failed, 2 when it was asked wrongly."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except SimlibError as error:
        print(f"simlib: {error}", file=sys.stderr)
        return 1 if isinstance(error, NotebookError) else 2
    except BrokenPipeError:
        # Whoever reads has enough, as `head` does; what Python flushes at its end must go elsewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("simlib: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="simlib", description="Attacks on perceptual similarity metrics.")
    parser.add_argument("--version", action="version", version=f"simlib {simlib.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (metrics, weights, data, run, results, book):
        module.add(commands)
    return parser
