"""Streams of text to which anything can be written: no terminal, pipe or full disk stops what is told of."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any, TextIO

_SPELLED = {
    **dict.fromkeys("–—−‐‑", "-"),
    **dict.fromkeys("‘’", "'"),
    **dict.fromkeys("“”„", '"'),
    **{"×": "x", "·": "*", "±": "+-", "→": "->", "←": "<-", "≤": "<=", "≥": ">=", "≈": "~", "≠": "!="},
    **{"ε": "eps", "σ": "sigma", "μ": "mu", "µ": "u", "∞": "inf", "√": "sqrt", "ß": "ss", "…": "..."},
    **dict.fromkeys("▏▎▍▌▋▊▉█", "#"),
}
"""How letters are written where only ASCII can be; others lose their accents, or become a question mark."""


class Output:
    """A stream of text to which anything can be written, and where a failure stops nothing.

    Letters that its encoding lacks are spelled in ASCII. After a failure the rest is thrown away.

    Attributes:
        lost: the first failure.
    """

    lost: OSError | None = None

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text; always all of it, or what is lost is lost."""
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        with self._kept():
            self._stream.write(text.encode(encoding, _spell.__name__).decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Hand on what was written so far."""
        with self._kept():
            self._stream.flush()

    def __eq__(self, other: object) -> bool:
        # tqdm clears its bars before something else is written to the same stream.
        return self._stream == getattr(other, "_stream", other)

    def __hash__(self) -> int:
        return hash(self._stream)

    def __getattr__(self, name: str) -> Any:
        if name == "_stream":
            # Of a copy that is being made.
            raise AttributeError(name)
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.lost = self.lost or error
            # What is still in a buffer would fail again when Python ends.
            with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())


def error_stream() -> Output:
    """Return the standard error of now, or of a process that has none a place where all is lost."""
    return Output(sys.stderr or io.StringIO())


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_in_ascii, error.object[error.start : error.end])), error.end


def _in_ascii(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":
        # A byte of a file name that is no text.
        return f"\\x{ord(letter) - 0xDC00:02x}"
    plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    return _SPELLED.get(letter) or plain or "?"


codecs.register_error(_spell.__name__, _spell)
