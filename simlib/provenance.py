"""What a result was made with: the code that its making reaches, the device, the versions.

The hash of a piece of work covers the modules that its imports reach, without comments and docstrings:
editing a sentence changes no hash, and editing a module changes only what reaches it.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import resolve_name
from pathlib import Path
from typing import TYPE_CHECKING

from simlib import __version__
from simlib.errors import InputError
from simlib.given import is_litter

if TYPE_CHECKING:
    import torch

_PACKAGE = "simlib"
_ROOT = Path(__file__).resolve().parent


def _name_of(path: Path) -> str:
    parts = (_PACKAGE, *path.relative_to(_ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _modules_in(root: Path) -> list[Path]:
    # JupyterLab and macOS leave files that end in .py beside ours.
    return [
        path for path in sorted(root.rglob("*.py")) if not any(map(is_litter, path.relative_to(root).parts))
    ]


# Read when the code is loaded: it may change on disk while a long run goes on.
_FILES = _modules_in(_ROOT)
_SOURCES: Mapping[str, bytes] = {_name_of(path): path.read_bytes() for path in _FILES}
_PACKAGES = frozenset(_name_of(path) for path in _FILES if path.name == "__init__.py")


def code_hash(*modules: str) -> str:
    """Return the SHA-256 of the code that some modules reach, as 64 hexadecimal digits.

    Args:
        modules: dotted names, such as ``"simlib.attacks.gradient"``; all of simlib if none is given. A module
            outside simlib, such as one that defines a user's attack, counts with its file as it is now.

    Raises:
        InputError: a module outside simlib has no file, as what is defined in a notebook.
    """
    digest = hashlib.sha256()
    for name in sorted(reached(modules) if modules else _SOURCES):
        digest.update(f"{name} {_fingerprint(_source_of(name))}\n".encode())
    return digest.hexdigest()


def fingerprints(modules: Iterable[str]) -> dict[str, str]:
    """Return a short hash of the code of each module that some modules reach, by name.

    Raises:
        InputError: as :func:`code_hash`.
    """
    return {name: _fingerprint(_source_of(name))[:12] for name in sorted(reached(modules))}


def reached(modules: Iterable[str]) -> set[str]:
    """Return the names of modules, and of all modules of simlib that they import, directly or not.

    A name that a package only passes on is followed to the module that defines it. An import of a whole
    package reaches all that the package passes on. Imports for type checkers are not followed. Of a module
    outside simlib, the modules in and below its own folder are reached, too.
    """
    found, left = set[str](), list(modules)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            source = _source_of(name)
            left.extend(_imports_of(source))
            if name not in _SOURCES:
                left.extend(_imports_beside(name, source))
    return found


def imports_in(source: str | bytes) -> set[str]:
    """Return the modules of simlib that Python code imports itself."""
    return set(_imported(ast.parse(source)))


def describe_device(device: torch.device) -> dict[str, str]:
    """Describe what computes: device, threads, and the version of torch."""
    import torch

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "device": f"{device.type} ({name})",
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
    }


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of installed packages by name; empty for one that is not installed."""
    found = dict.fromkeys(packages, "")
    for name in found:
        with contextlib.suppress(PackageNotFoundError):
            # The package is distributed under another name than it is imported by.
            found[name] = __version__ if name == _PACKAGE else version(name)
    return found


def _source_of(module: str) -> bytes:
    if module in _SOURCES:
        return _SOURCES[module]
    if (file := _file_of(module)) is None:
        raise InputError(
            f"The code of the module {module} cannot be read, so its results cannot be told from those of an "
            "older version. Put what it defines into a .py file, and import that."
        )
    return file.read_bytes()


def _file_of(module: str) -> Path | None:
    """Return the file of Python code that a module was loaded from."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return Path(file).resolve() if file and file.endswith(".py") else None


@cache
def _tree(source: bytes) -> ast.Module:
    return ast.parse(source)


@cache
def _imports_of(source: bytes) -> frozenset[str]:
    return frozenset(_imported(_tree(source)))


def _imports_beside(module: str, source: bytes) -> Iterator[str]:
    """List what a module outside simlib imports from its own folder, or from below it."""
    file, package = _file_of(module), getattr(sys.modules[module], "__package__", None)
    names: list[str] = []
    for node in _executed(_tree(source)):
        if isinstance(node, ast.Import):
            names += [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            names += [base, *(f"{base}.{each.name}" for each in node.names)]
    for name in names:
        there = _file_of(name)
        # A virtual environment may lie below the folder.
        if name in _SOURCES or not (file and there) or "site-packages" in there.parts:
            continue
        if file.parent in there.parents:
            yield name


@cache
def _fingerprint(source: bytes) -> str:
    return hashlib.sha256(json.dumps(_shape(_tree(source))).encode()).hexdigest()


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in _executed(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name in _SOURCES)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module in _SOURCES:
            for each in node.names:
                yield _defining(node.module, each.name)


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """Walk through code, but not through what only type checkers read."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield from _executed(child)


def _defining(module: str, name: str) -> str:
    """Return the module that defines what is imported from a module by a name."""
    if f"{module}.{name}" in _SOURCES:
        return f"{module}.{name}"
    for node in _tree(_SOURCES[module]).body if module in _PACKAGES else ():
        if isinstance(node, ast.ImportFrom) and node.module and node.module in _SOURCES:
            for each in node.names:
                if name == (each.asname or each.name):
                    return _defining(node.module, each.name)
    return module


def _shape(node: object) -> object:
    """Return code as nested lists, without positions, comments, docstrings and other free-standing texts."""
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if value not in (None, []))
        return [type(node).__name__, *([name, _shape(value)] for name, value in fields)]
    if isinstance(node, list):
        return [_shape(each) for each in node if not _is_text(each)]
    return repr(node)


def _is_text(node: object) -> bool:
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)
