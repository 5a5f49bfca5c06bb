"""What is printed, such that no terminal, pipe or full disk stops the work that it tells of."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any, TextIO, cast

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

    def __getattr__(self, name: str) -> Any:
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


@contextlib.contextmanager
def tolerant() -> Iterator[Output]:
    """Replace standard output and error by an :class:`Output` each; yield the first."""
    _open_handles()
    with contextlib.ExitStack() as stack:
        # Python has no stream for what was closed before it started.
        out, err = (
            Output(stream or stack.enter_context(open(os.devnull, "w", encoding="utf-8")))
            for stream in (sys.stdout, sys.stderr)
        )
        stack.callback(err.flush)
        stack.enter_context(contextlib.redirect_stdout(cast(TextIO, out)))
        stack.enter_context(contextlib.redirect_stderr(cast(TextIO, err)))
        try:
            yield out
        finally:
            out.flush()


def _open_handles() -> None:
    """Open what was closed before the start, or the next file would be taken for the standard output."""
    for handle in range(3):
        try:
            os.fstat(handle)
        except OSError:
            # The lowest that is free is the one that was closed.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


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
