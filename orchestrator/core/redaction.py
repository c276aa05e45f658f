"""
Masking secrets in a stream of bytes, wherever the stream is cut.

All forms of all secrets are searched for at once. Every byte that lies in an occurrence of one of them is masked, and occurrences that
overlap or touch share one mask, so that no tail of one secret is left beside another. What could still become an occurrence is
held back, and nothing else. So the output does not depend on how the input was cut, and plain lines pass at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import attrs

from orchestrator.core.secret_forms import FORM_BYTES_MIN, Form, as_bytes, forms_of

if TYPE_CHECKING:
    from ahocorasick_rs import BytesAhoCorasick

Secrets: TypeAlias = Iterable[str | bytes] | Mapping[str, str | bytes] | str | bytes
"""Values, or a mapping of name to value; one value alone is one secret."""

MASK = b"***"
"""What is shown instead of a secret, whatever its length, unless a form could be made of it and what stands beside it."""

SPACE_BYTES_MAX = 4096
"""A longer run of white space is no line break of a secret: what is held back has an end."""

_OTHER_MASKS = (b"[redacted]", b"<hidden>", b"###", "█".encode())
_ANCHOR_BYTES_MAX = 24
_DENSE_BYTES_MAX = 16_384
_SPACE = re.compile(rb"\s{1,%d}" % SPACE_BYTES_MAX)


class Redactor:
    """
    Mask *secrets*, given as values or as a mapping of name to value; values are text or bytes.

    The names of mere values are `secret_1`, `secret_2` and so on. Making one costs about a millisecond for each ten secrets; `stream`
    and `redact` share what was made. It is itself one stream, for who needs only one.

    >>> redactor = Redactor({"TOKEN": "correct horse"})
    >>> redactor.feed(b"the token is correct ho"), redactor.feed(b"rse!"), redactor.counts
    (b'the token is ', b'***!', {'TOKEN': 1})
    """

    def __init__(self, secrets: Secrets = ()) -> None:
        named = _named(secrets)
        owners: dict[Form, list[str]] = {}
        ignored: list[str] = []
        for name, value in named.items():
            forms = forms_of(as_bytes(value) if isinstance(value, str) else value)
            for form in forms:
                owners.setdefault(form, []).append(name)
            if not forms:
                ignored.append(name)
        self._ignored = tuple(ignored)
        self._names = tuple(name for name in named if name not in set(ignored))
        self._finder = _Finder([_Needle(form, tuple(names)) for form, names in owners.items()]) if owners else None
        self._mask = _mask_beside(owners)
        self._stream = self.stream()

    def __repr__(self) -> str:
        """Tell how much is masked, and nothing of it."""
        return f"<Redactor of {len(self._names)} secrets>"

    @property
    def ignored(self) -> tuple[str, ...]:
        """Names of the secrets that are not masked, being shorter than six bytes or white space alone."""
        return self._ignored

    @property
    def counts(self) -> dict[str, int]:
        """In how many masks of what `feed` and `flush` returned each secret was, by name."""
        return self._stream.counts

    def feed(self, data: bytes, /) -> bytes:
        """Take *data* and return what can be shown."""
        return self._stream.feed(data)

    def flush(self) -> bytes:
        """Return what was held back; what is fed after it has nothing to do with what was fed before."""
        return self._stream.flush()

    def stream(self) -> RedactionStream:
        """Return another stream for the same secrets, with counts of its own."""
        return RedactionStream(self._finder, self._mask, self._names)

    def redact(self, text: str) -> str:
        """Return the whole *text* without secrets; where something was masked, what is no Unicode is replaced."""
        data = as_bytes(text)
        stream = self.stream()
        shown = stream.feed(data) + stream.flush()
        return text if shown == data else shown.decode("utf-8", "replace")


class RedactionStream:
    """One stream on its way through a redactor; made by `Redactor.stream`."""

    def __init__(self, finder: _Finder | None, mask: bytes, names: Sequence[str]) -> None:
        self._finder = finder
        self._mask = mask
        self._counts = dict.fromkeys(names, 0)
        self._held = b""
        # Where the last mask that was returned ends, counted from the beginning of what is held; -1 where plain text came after it.
        self._masked_until = -1
        self._in_mask: set[str] = set()

    @property
    def counts(self) -> dict[str, int]:
        """In how many masks each secret was, by name."""
        return dict(self._counts)

    def feed(self, data: bytes, /) -> bytes:
        """Take *data* and return what can be shown."""
        if self._finder is None:
            return data
        buffer = self._held + data
        return self._show(self._finder, buffer, self._finder.possible_beginning(buffer))

    def flush(self) -> bytes:
        """Return what was held back; what is fed after it has nothing to do with what was fed before."""
        if self._finder is None:
            return b""
        shown = self._show(self._finder, self._held, len(self._held))
        self._masked_until = -1
        return shown

    def _show(self, finder: _Finder, buffer: bytes, until: int) -> bytes:
        """Return *buffer* up to *until*, masked, and hold the rest."""
        shown: list[bytes] = []
        masked_until = self._masked_until
        done = max(0, masked_until)
        for start, end, owners in finder.occurrences(buffer):
            if start >= until:
                break  # It is found again in what is held.
            if start > masked_until:
                shown += (buffer[done:start], self._mask)
                self._in_mask.clear()
            done = masked_until = max(masked_until, end)
            for name in owners:
                if name not in self._in_mask:
                    self._in_mask.add(name)
                    self._counts[name] += 1
        shown.append(buffer[done:until])
        self._held = buffer[until:]
        self._masked_until = max(-1, masked_until - until)
        return b"".join(shown)


@attrs.frozen
class _Needle:
    """One form, and the names of the secrets that have it."""

    parts: Form = attrs.field(repr=False)
    owners: tuple[str, ...]
    at: int = attrs.field(init=False)
    """The number of the longest part, which is searched for."""
    bytes_max: int = attrs.field(init=False)

    @at.default
    def _longest(self) -> int:
        return max(range(len(self.parts)), key=lambda number: len(self.parts[number]))

    @bytes_max.default
    def _sum(self) -> int:
        return sum(map(len, self.parts)) + SPACE_BYTES_MAX * (len(self.parts) - 1)

    @property
    def anchor(self) -> bytes:
        return self.parts[self.at][:_ANCHOR_BYTES_MAX]

    @property
    def head(self) -> bytes:
        return self.parts[0][:FORM_BYTES_MIN]

    def around(self, buffer: bytes, place: int) -> tuple[int, int] | None:
        """Return where the form begins and ends if its anchor stands at *place*. Parts begin and end without space, so there is one way."""
        end = place + len(self.parts[self.at])
        if not buffer.startswith(self.parts[self.at], place):
            return None
        for part in self.parts[self.at + 1 :]:
            space = _SPACE.match(buffer, end)
            if space is None or not buffer.startswith(part, space.end()):
                return None
            end = space.end() + len(part)
        start = place
        for part in reversed(self.parts[: self.at]):
            before = max(0, start - SPACE_BYTES_MAX)
            stop = before + len(buffer[before:start].rstrip())
            if stop == start or not buffer.endswith(part, 0, stop):
                return None
            start = stop - len(part)
        return start, end

    def could_begin(self, buffer: bytes, place: int) -> bool:
        """Whether *buffer* ends within the form if that begins at *place*."""
        for number, part in enumerate(self.parts):
            if number:
                space = _SPACE.match(buffer, place)
                place = space.end() if space else place
                if space is None and place < len(buffer):
                    return False
            left = len(buffer) - place
            if left < len(part):
                return buffer.startswith(part[:left], place)
            if not buffer.startswith(part, place):
                return False
            place += len(part)
        return False


class _Finder:
    """All forms, compiled into one automaton for their anchors and one for their heads."""

    def __init__(self, needles: Sequence[_Needle]) -> None:
        self._by_anchor = _grouped((needle.anchor, needle) for needle in needles)
        self._by_head = _grouped((needle.head, needle) for needle in needles)
        self._anchors = _automaton(list(self._by_anchor))
        self._heads = _automaton(list(self._by_head))
        self._anchored = list(self._by_anchor.values())
        self._headed = list(self._by_head.values())
        self._parts_of_heads = frozenset(head[:size] for head in self._by_head for size in range(1, len(head)))
        self._bytes_max = max(needle.bytes_max for needle in needles)

    def occurrences(self, buffer: bytes) -> list[tuple[int, int, tuple[str, ...]]]:
        """Return where which secrets are in *buffer*, in order of their beginnings."""
        # Leftmost-longest matching would lose what begins inside of another occurrence, so all are asked for where there is any.
        if not self._anchors.find_matches_as_indexes(buffer):
            return []
        found: list[tuple[int, int, tuple[str, ...]]] = []
        for number, place, _ in self._anchors.find_matches_as_indexes(buffer, overlapping=True):
            for needle in self._anchored[number]:
                where = needle.around(buffer, place)
                if where is not None:
                    found.append((*where, needle.owners))
        found.sort()
        return found

    def possible_beginning(self, buffer: bytes) -> int:
        """Return the first place where a form may begin that *buffer* does not hold to its end; the length of *buffer* if there is none."""
        first = len(buffer)
        for place in range(max(0, first - FORM_BYTES_MIN + 1), first):
            if buffer[place:] in self._parts_of_heads:
                first = place
                break
        window = max(0, len(buffer) - self._bytes_max + 1)
        heads = self._heads.find_matches_as_indexes(buffer[window:], overlapping=True)
        for place, number in sorted((window + start, number) for number, start, _ in heads):
            if place >= first:
                break
            if any(needle.could_begin(buffer, place) for needle in self._headed[number]):
                return place
        return first


def _named(secrets: Secrets) -> Mapping[str, str | bytes]:
    if isinstance(secrets, Mapping):
        return secrets
    values = [secrets] if isinstance(secrets, str | bytes) else secrets
    return {f"secret_{number}": value for number, value in enumerate(values, 1)}


def _grouped(pairs: Iterable[tuple[bytes, _Needle]]) -> dict[bytes, list[_Needle]]:
    groups: dict[bytes, list[_Needle]] = {}
    for key, needle in pairs:
        groups.setdefault(key, []).append(needle)
    return groups


def _automaton(patterns: list[bytes]) -> BytesAhoCorasick:
    from ahocorasick_rs import BytesAhoCorasick, Implementation

    # The table of a DFA is three times as fast and grows with every byte of every pattern: a few megabytes at the limit.
    dense = sum(map(len, patterns)) <= _DENSE_BYTES_MAX
    return BytesAhoCorasick(patterns, implementation=Implementation.DFA if dense else Implementation.ContiguousNFA)


def _mask_beside(forms: Iterable[Form]) -> bytes:
    """Return a mask that is no piece of a form, so that a mask and its neighbours never look like a secret; the usual one where none is."""
    parts = {part for form in forms for part in form}
    for mask in (MASK, *_OTHER_MASKS):
        if not any(_could_join(mask, part) for part in parts):
            return mask
    return MASK


def _could_join(mask: bytes, part: bytes) -> bool:
    if mask in part or part in mask:
        return True
    return any(mask.endswith(part[:size]) or mask.startswith(part[-size:]) for size in range(1, len(mask)))
