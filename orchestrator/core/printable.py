"""
Text from outside, made safe to show on a terminal.

What a step prints or reports may hold control sequences that move the cursor, rename the window or hide text; a message shows them as what
they are instead of obeying them. Line breaks and tabs become visible too, so that one message stays one line.
"""

from __future__ import annotations

import codecs
import re

# C0 and C1 controls, line and paragraph separators, direction overrides and isolates, and lone surrogates.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\x1b": "\\e"}


def printable(text: str) -> str:
    r"""
    Return *text* with every character that a terminal would act on written out.

    >>> printable("a\x1b[31mb\nc")
    'a\\e[31mb\\nc'
    """
    return _UNSAFE.sub(_written_out, text)


def printable_line(text: str) -> str:
    """Return *text*, a line of a log, with tabs kept and everything else as `printable` has it."""
    return "\t".join(printable(part) for part in text.split("\t"))


class PrintableStream:
    r"""
    Turn the bytes of a log, cut anywhere, into text of which a terminal acts on line breaks and tabs alone; what is no UTF-8 is replaced.

    >>> stream = PrintableStream()
    >>> stream.feed(b"\x1b[2Jgone\r"), stream.feed(b"\nleft"), stream.end()
    ('\\e[2Jgone', '\nleft', '')
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def feed(self, data: bytes) -> str:
        """Take *data* and return what can be shown; the beginning of a character, or of a line break, is held back."""
        text = self._held + self._decoder.decode(data)
        self._held = "\r" if text.endswith("\r") else ""
        return _printable_lines(text.removesuffix("\r"))

    def end(self) -> str:
        """Return what was held back."""
        return _printable_lines(self._held + self._decoder.decode(b"", final=True))


def _printable_lines(text: str) -> str:
    return "\n".join(printable_line(line) for line in text.replace("\r\n", "\n").split("\n"))


def as_utf8(text: str) -> str:
    r"""
    Return *text* with what no UTF-8 can hold written out: bytes of an argument or a name that were no text.

    >>> as_utf8("a\udcff")
    'a\\udcff'
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _written_out(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")  # noqa: PLR2004
