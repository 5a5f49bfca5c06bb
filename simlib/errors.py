"""The exceptions of simlib. Every message says what is wrong, where, and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SimlibError(Exception):
    """Base of every error that simlib raises on purpose."""


class InputError(SimlibError, ValueError):
    """An argument or an image lies outside what the called function accepts."""


class NoGradientError(InputError):
    """A metric that gives no gradient was given to an attack that needs one."""


class UndefinedDistanceError(InputError):
    """A metric gives no number for an image, and so says nothing of what is closer."""


class OutOfMemoryError(SimlibError, RuntimeError):
    """One sample alone does not fit the memory of the device."""


class UnknownNameError(SimlibError, LookupError):
    """A metric, attack, profile or parameter name that does not exist."""


class WeightsError(SimlibError, RuntimeError):
    """Pretrained weights are absent, or are not the ones that were asked for."""


class AbsentError(SimlibError):
    """A package, weights or data are not on this machine; another metric or set may do."""


class AbsentWeightsError(WeightsError, AbsentError):
    """Pretrained weights are not on this machine and cannot be downloaded now."""


class AbsentPackageError(AbsentError):
    """An optional package is not installed."""


class DownloadError(SimlibError, RuntimeError):
    """A file could not be downloaded, or what came is not what was asked for."""


class OutputError(SimlibError, OSError):
    """A result cannot be written where it was asked to go."""


class EngineError(SimlibError, RuntimeError):
    """Other processes that were given work could not do it."""


class NotebookError(SimlibError, RuntimeError):
    """One or more notebooks did not run to their end."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Build the error for a name of some kind, such as ``"metric"``, with the nearest known names."""
    names = sorted(known)
    nearest = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    hint = f"Did you mean {', '.join(nearest)}? " if nearest else ""
    return UnknownNameError(f"Unknown {kind} {name!r}. {hint}Known: {', '.join(names)}.")


def install_hint(extra: str) -> str:
    """Say how to install an optional part of simlib by its name in ``pyproject.toml``, such as ``"ray"``.

    The public index has a package named simlib that belongs to somebody else. So the hint installs from here.
    """
    return f"pip install -e '.[{extra}]' in the checkout of the book"
