"""
The forms in which a secret may show up in what a program prints: as it is, in parts, and as programs encode it by themselves.

A form that is not made here is not masked. A value is registered as it is, without the white space around it, line by line, with its
backslash escapes decoded and without the quotes around it; and each of these in every encoding of `_ENCODERS`. What was encoded
twice, compressed, cut up or spelled backwards is not found: this is against accidents, not against a step that wants to tell.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

FORM_BYTES_MIN = 6
"""What is shorter is never masked: it would be found everywhere, and its masks would tell it."""

Form: TypeAlias = tuple[bytes, ...]
"""The parts of a form. Between two of them stands a line break in the secret, and any run of white space in the stream."""

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~")
_PERCENT_KEPT = (b"", b"/", b"+", b"/+", b"!'()*", b"!#$&'()*+,/:;=?@")
"""Besides the unreserved bytes: nothing, what Python keeps, plus signs, then what encodeURIComponent and encodeURI keep."""

_BASH_SPECIAL = re.compile(rb"""[\t\n !"$&'()*,;<>?\[\\\]^`{|}]|\A[#~]|(?<=[=:])~""")
_WORD = re.compile(rb"[A-Za-z0-9_]+")
_NOT_A_WORD = re.compile(rb"[^A-Za-z0-9_\x80-\xff]")
_ANSI_C = {
    7: b"\\a",
    8: b"\\b",
    9: b"\\t",
    10: b"\\n",
    11: b"\\v",
    12: b"\\f",
    13: b"\\r",
    27: b"\\E",
    39: b"\\'",
    92: b"\\\\",
}
_GO = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
_MARKUP_QUOTES = (("&quot;", "&apos;"), ("&quot;", "&#39;"), ("&quot;", "&#x27;"), ("&#34;", "&#39;"), ("&quot;", "'"))

_ESCAPE = re.compile(
    rb"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{2})|(u[0-9A-Fa-f]{4}(?:\\u[0-9A-Fa-f]{4})*)|([abefnrtv\\'\"`$/]))"
)
_ESCAPED = {b"a": b"\a", b"b": b"\b", b"e": b"\x1b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


def as_bytes(text: str) -> bytes:
    """Return *text* as UTF-8; what `os.environ` could not decode as the bytes it was, and no surrogate is refused."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def forms_of(value: bytes) -> tuple[Form, ...]:
    """
    Return every form of *value* that is masked, each once; none where it is shorter than six bytes or white space alone.

    >>> forms_of(b"short")
    ()
    """
    forms: dict[Form, None] = {}
    for base in _bases(value):
        if _is_long_enough(base):
            # Every other encoding of letters and digits is what they are.
            for encode in _ENCODERS_OF_ALL if _WORD.fullmatch(base) else _ENCODERS:
                for encoded in encode(base):
                    if _is_long_enough(encoded):
                        forms.setdefault(_form(encoded))
    return tuple(forms)


def forms_by_owner(secrets: Mapping[str, str | bytes]) -> tuple[dict[Form, list[str]], tuple[str, ...]]:
    """Return the names of the *secrets* that have each form, and the names of those that have none."""
    owners: dict[Form, list[str]] = {}
    ignored: list[str] = []
    for name, value in secrets.items():
        forms = forms_of(as_bytes(value) if isinstance(value, str) else value)
        for form in forms:
            owners.setdefault(form, []).append(name)
        if not forms:
            ignored.append(name)
    return owners, tuple(ignored)


def _is_long_enough(value: bytes) -> bool:
    return len(value) >= FORM_BYTES_MIN and bool(_text(value).strip())


def _form(encoded: bytes) -> Form:
    """
    Cut *encoded* at its line breaks.

    The white space around it is left to be seen, so that lines stay lines. Where any white space matches, the least that can match
    counts; if that is too short, only the exact bytes are a form.
    """
    if b"\n" not in encoded and b"\r" not in encoded:
        core = encoded.strip()
        return (core if len(core) >= FORM_BYTES_MIN else encoded,)
    parts = _cut_at_line_breaks(encoded.strip())
    least = sum(map(len, parts)) + len(parts) - 1
    return parts if least >= FORM_BYTES_MIN else (encoded,)


def _cut_at_line_breaks(value: bytes) -> Form:
    parts: list[bytes] = []
    begin = 0
    for space in re.finditer(rb"\s+", value):
        if b"\n" in space[0] or b"\r" in space[0]:
            parts.append(value[begin : space.start()])
            begin = space.end()
    return (*parts, value[begin:])


def _bases(value: bytes) -> Iterator[bytes]:
    for whole in (value, _unescaped(value)):
        trimmed = whole.strip()
        yield from (whole, trimmed)
        yield from (line.strip() for line in re.split(rb"[\r\n]+", trimmed))
        if len(trimmed) > 1 and trimmed[:1] in b"'\"`" and trimmed[-1:] == trimmed[:1]:
            yield trimmed[1:-1]


def _unescaped(value: bytes) -> bytes:
    """Decode the backslash escapes in *value*; what is none stays."""

    def decoded(match: re.Match[bytes]) -> bytes:
        octal, digits, code_units, letter = match.groups()
        if octal is not None:
            return bytes([int(octal, 8) & 0xFF])
        if digits is not None:
            return bytes([int(digits, 16)])
        if code_units is not None:
            # Two of them may be the halves of one character.
            units = bytes.fromhex(code_units.replace(b"\\", b"").replace(b"u", b"").decode())
            return units.decode("utf-16-be", "replace").encode()
        return _ESCAPED.get(letter, letter)

    return _ESCAPE.sub(decoded, value)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _as_it_is(value: bytes) -> Iterator[bytes]:
    yield value


def _base64(value: bytes) -> Iterator[bytes]:
    """Yield what stands in the base64 of any text with *value* in it: at three alignments, without the digits that neighbours share."""
    whole = base64.b64encode(value)
    alone = [whole, whole.rstrip(b"=")]
    for before in range(3):
        digits = base64.b64encode(bytes(before) + value)
        alone.append(digits[-(-before * 8 // 6) : (before + len(value)) * 8 // 6])
    # `base64` and MIME break lines after 76 digits, PEM and openssl after 64.
    alone += [b"\n".join(re.findall(rb".{1,%d}" % width, alone[2])) for width in (64, 76)]
    for digits in alone:
        yield digits
        yield digits.translate(bytes.maketrans(b"+/", b"-_"))


def _hex(value: bytes) -> Iterator[bytes]:
    yield value.hex().encode()
    yield value.hex().upper().encode()


def _percent(value: bytes) -> Iterator[bytes]:
    for kept in _PERCENT_KEPT:
        for digits in (b"%%%02X", b"%%%02x"):
            encoded = b"".join(
                bytes([byte]) if byte in _UNRESERVED or byte in kept else digits % byte for byte in value
            )
            yield encoded
            yield encoded.replace(b"%20", b"+")


def _json(value: bytes) -> Iterator[bytes]:
    """Yield *value* inside of a JSON string: all ASCII or not, with PHP's slashes, and as Go writes markup."""
    for ascii_only in (True, False):
        quoted = as_bytes(json.dumps(_text(value), ensure_ascii=ascii_only)[1:-1])
        yield quoted
        yield quoted.replace(b"/", b"\\/")
        yield quoted.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026")


def _python(value: bytes) -> Iterator[bytes]:
    """Yield *value* inside of a Python literal; a double quote before it makes Python escape the single ones."""
    yield as_bytes(repr(_text(value))[1:-1])
    yield as_bytes(repr('"' + _text(value))[2:-1])
    yield ascii(_text(value))[1:-1].encode()
    yield repr(value)[2:-1].encode()
    yield repr(b'"' + value)[3:-1].encode()


def _go(value: bytes) -> Iterator[bytes]:
    """Yield *value* as `%q` of Go writes it."""
    yield as_bytes("".join(_GO.get(ord(letter)) or _go_letter(letter) for letter in _text(value)))


def _go_letter(letter: str) -> str:
    if letter.isprintable():
        return letter
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004 -- a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0x7F:  # noqa: PLR2004 -- ASCII
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 -- four digits suffice


def _shell(value: bytes) -> Iterator[bytes]:
    """Yield *value* in single quotes (two ways), in double quotes, behind backslashes (of bash, of Perl), and without backslashes."""
    yield value.replace(b"'", b"'\\''")
    yield value.replace(b"'", b"'\"'\"'")
    yield re.sub(rb'[$`"\\]', rb"\\\g<0>", value)
    yield value.replace(b'"', b'\\"')
    yield _BASH_SPECIAL.sub(rb"\\\g<0>", value)
    yield _NOT_A_WORD.sub(rb"\\\g<0>", value)
    yield value.replace(b"\\", b"")


def _ansi_c(value: bytes) -> Iterator[bytes]:
    """Yield *value* between `$'` and `'`, as bash traces what has control characters; bytes above ASCII as they are or octal."""
    for highest in (0xFF, 0x7F):
        yield b"".join(
            _ANSI_C.get(byte) or (bytes([byte]) if 0x20 <= byte <= highest and byte != 0x7F else b"\\%03o" % byte)  # noqa: PLR2004 -- DEL
            for byte in value
        )


def _markup(value: bytes) -> Iterator[bytes]:
    """Yield *value* in XML and HTML: as text, and as an attribute with any of the usual entities for quotes."""
    text = _text(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    yield as_bytes(text)
    for double, single in _MARKUP_QUOTES:
        yield as_bytes(text.replace('"', double).replace("'", single))


def _doubled(value: bytes) -> Iterator[bytes]:
    """Yield *value* as SQL, CSV and make double what is special to them."""
    for special in (b"'", b'"', b"$"):
        yield value.replace(special, special * 2)


_ENCODERS_OF_ALL: tuple[Callable[[bytes], Iterator[bytes]], ...] = (_as_it_is, _base64, _hex)
_ENCODERS = (*_ENCODERS_OF_ALL, _percent, _json, _python, _go, _shell, _ansi_c, _markup, _doubled)
