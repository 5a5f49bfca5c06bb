"""The command ``simlib``: what it does is in the package; here is only how it is asked for."""

from simlib.cli.command import main

__all__ = ["main"]
