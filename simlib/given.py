"""What people give: paths, names and text files, as their shells, systems and editors write them."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

from simlib.errors import InputError

# fmt: off
_LITTER = {
    "__macosx", ".ds_store", ".localized", ".spotlight-v100", ".trashes", ".fseventsd",
    "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information",
    "lost+found", ".directory", "@eadir", ".ipynb_checkpoints",
}
# fmt: on

_ANNEX = "It is a pointer of git-annex, not the file itself. Fetch that: git annex get."


def given_path(path: str | os.PathLike[str]) -> Path:
    """Return a path as it is meant: ``~`` at its beginning is the home folder, as in a shell.

    Raises:
        InputError: it is no path, or an empty one, as a variable of a shell is that was never set.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"A path is asked for, and this is a {type(path).__name__}. Give text or a Path.")
    if not os.fspath(path):
        raise InputError('"" is no path. Give the path of a file or folder; "." is the present folder.')
    return Path(os.path.expanduser(path))


def is_litter(name: str) -> bool:
    """Say whether a file or folder of this name is none of ours, but left by a system or an editor.

    Such are ``.DS_Store``, ``__MACOSX``, ``Thumbs.db``, ``desktop.ini``, ``.ipynb_checkpoints``, and what
    macOS puts beside a file, ``._name.png``.
    """
    return name.startswith("._") or name.lower() in _LITTER


def is_readable(name: str) -> bool:
    """Say whether a name can be a line of text: no break of lines, no control letter, no bytes."""
    return not any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name)


def pointer_hint(path: str | os.PathLike[str]) -> str:
    """Say in a sentence whether a file is but a pointer to one that was not fetched; empty if it is none."""
    if "annex/objects/" in (os.readlink(path) if os.path.islink(path) else ""):
        return _ANNEX
    try:
        with open(path, "rb") as stream:
            start = stream.read(64)
    except OSError:
        return ""
    if start.startswith(b"version https://git-lfs"):
        return "It is a pointer of Git LFS, not the file itself. Fetch that: git lfs pull."
    return _ANNEX if start.startswith(b"/annex/objects/") else ""


def read_text(path: Path) -> str:
    r"""Return a text file of a person, its lines ended by ``\n``, without a byte order mark.

    Raises:
        InputError: the file cannot be read, or is no text in UTF-8.
    """
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Check the path.") from error
    except UnicodeDecodeError as error:
        kind = "It seems to be UTF-16. " if error.object[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise InputError(
            f"{path} is no text in UTF-8. {kind}Open it in an editor and save it with the encoding UTF-8."
        ) from error
    if hint := pointer_hint(path):
        raise InputError(f"{path} cannot be read. {hint}")
    if "\0" in text:
        raise InputError(f"{path} is no text, or one in UTF-16. Save it with the encoding UTF-8.")
    return text
