"""
The canonical form of a value: RFC 8785 (JCS), one text for one value, so that digests of values mean something.

Two paths lead to the same text. Plain values (no float, whole numbers that fit a double, ASCII keys) go through the standard
library's encoder, which gives exactly the canonical form for them; everything else goes through `rfc8785`. A property test holds
the two together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from hashlib import sha256

from ledger.errors import CanonicalError

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
"""What `blob_digest` returns; where it stands in a text, the text names a blob."""

_SAFE_INTEGER = 2**53 - 1
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_text(value: object) -> str:
    """
    Return the canonical JSON text of *value*: mappings, lists, tuples, text, numbers, booleans, None.

    Raises:
        CanonicalError: The value holds something without a JSON form, a whole number beyond 2^53, a lone surrogate, or is
            nested too deeply.
    """
    try:
        if _is_plain(value):
            text = _ENCODER.encode(value)
            text.encode("utf-8")
            return text
        return _rfc8785_text(value)
    except RecursionError:
        raise CanonicalError("the value is nested too deeply") from None
    except UnicodeEncodeError:
        raise CanonicalError("the value holds a lone surrogate, which no UTF-8 text can") from None


def canonical_bytes(value: object) -> bytes:
    """Return `canonical_text` in UTF-8."""
    return canonical_text(value).encode("utf-8")


def parse_canonical(data: bytes | str) -> object:
    """
    Return the value of the canonical text *data*.

    The text is not compared with the canonical form again; `canonical_bytes(parse_canonical(x)) == x` does that.

    Raises:
        CanonicalError: It is no JSON, or has a key twice.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        value: object = _DECODER.decode(text)
    except RecursionError:
        raise CanonicalError("the text is nested too deeply") from None
    except ValueError as error:
        raise CanonicalError(f"not a canonical text: {error}") from None
    return value


def parse_written(text: str) -> object:
    """Return the value of a *text* that `canonical_text` has just made, so that no key of it occurs twice."""
    return _WRITTEN.decode(text)


def blob_digest(data: bytes) -> str:
    """
    Return the name under which *data* is kept: `sha256:` and the hex digest.

    >>> blob_digest(b"")[:15]
    'sha256:e3b0c442'
    """
    return "sha256:" + sha256(data).hexdigest()


def _is_plain(value: object) -> bool:
    """Tell whether the standard library's encoder gives the canonical form of *value*."""
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return True
    if kind is int:
        return -_SAFE_INTEGER <= value <= _SAFE_INTEGER  # type: ignore[operator]
    if kind is dict:
        for key, item in value.items():  # type: ignore[attr-defined]
            if type(key) is not str or not key.isascii():
                return False
            # Most items are texts: a call for each of them would be half of the cost of an event.
            if type(item) is not str and not _is_plain(item):
                return False
        return True
    if kind is list or kind is tuple:
        return all(map(_is_plain, value))  # type: ignore[call-overload]
    return False


def _rfc8785_text(value: object) -> str:
    import rfc8785

    try:
        return rfc8785.dumps(_as_json(value)).decode("utf-8")  # type: ignore[arg-type]
    except rfc8785.CanonicalizationError as error:
        raise CanonicalError(f"the value has no canonical form: {error}") from None


def _as_json(value: object) -> object:
    """Replace mappings of any type by dicts; refuse keys that are no text before they are compared."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise CanonicalError(f"the value has no canonical form: the key {key!r} is no text")
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _number(digits: str) -> float:
    """Return a whole number, as the double whose canonical form it is where it is beyond 2^53."""
    value = int(digits)
    return value if -_SAFE_INTEGER <= value <= _SAFE_INTEGER else float(digits)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_int=_number)
_WRITTEN = json.JSONDecoder(parse_int=_number)
