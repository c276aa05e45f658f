"""
Masking secrets in a stream of bytes, wherever the stream is cut.

All forms of all secrets are found at once by an Aho-Corasick automaton; occurrences that overlap are masked as one, so that no tail of a longer secret is
left beside a shorter one. What could still become an occurrence is held back, and nothing else: at most the longest form, and
for secrets of several lines a bounded run of white space between them. The output does not depend on where the input was cut.

This protects against accidents, not against a step that wants to tell.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from orchestrator.core.secret_forms import FORM_BYTES_MIN, forms_of, spaced_forms_of

if TYPE_CHECKING:
    from ahocorasick_rs import BytesAhoCorasick

MASK = b"***"
_SPACE_BYTES_MAX = 4096
_SPACE = re.compile(rb"\s+")

Interval = tuple[int, int, str]
Secret = str | bytes


class Redactor:
    """
    Mask *secrets*, given as values or as a mapping of name to value.

    Values are text (as UTF-8; what `os.environ` could not decode comes back as its bytes) or bytes. A value all of whose forms are shorter than six bytes, or that is white
    space alone, is left out; `ignored` has its name. Making one costs some milliseconds for hundreds of forms; `stream` costs nothing.
    """

    def __init__(self, secrets: Iterable[Secret] | Mapping[str, Secret] = ()) -> None:
        if isinstance(secrets, Mapping):
            named = dict(secrets)
        else:
            given = [secrets] if isinstance(secrets, str | bytes) else secrets
            named = {f"secret_{number}": value for number, value in enumerate(given, 1)}
        self._patterns = _Patterns(named)
        self._stream = RedactionStream(self._patterns)

    @property
    def ignored(self) -> tuple[str, ...]:
        """Names of the secrets that are too short to be masked."""
        return self._patterns.ignored

    @property
    def counts(self) -> dict[str, int]:
        """How often each secret was masked in what `feed` has returned, by name."""
        return self._stream.counts

    def feed(self, data: bytes) -> bytes:
        """Take *data* and return what can be shown so far."""
        return self._stream.feed(data)

    def flush(self) -> bytes:
        """Return what was held back; the next `feed` begins anew."""
        return self._stream.flush()

    def stream(self) -> RedactionStream:
        """Return another stream through the same secrets, with counts of its own."""
        return RedactionStream(self._patterns)

    def redact(self, text: str) -> str:
        """Return the whole *text* without secrets."""
        stream = self.stream()
        return (stream.feed(text.encode("utf-8", "surrogatepass")) + stream.flush()).decode("utf-8", "surrogatepass")


class RedactionStream:
    """One stream of bytes on its way through a redactor."""

    def __init__(self, patterns: _Patterns) -> None:
        self._patterns = patterns
        self._held = b""
        # Of what is held, so many bytes at its beginning lie in an occurrence whose mask has been returned already …
        self._masked = 0
        # … and of whom it was told.
        self._told: set[str] = set()
        self.counts: dict[str, int] = dict.fromkeys(patterns.names, 0)

    def feed(self, data: bytes) -> bytes:
        """Take *data* and return what can be shown so far."""
        if not self._patterns.names:
            return data
        data = self._held + data
        return self._show(data, self._patterns.possible_start(data))

    def flush(self) -> bytes:
        """Return what was held back; the next `feed` begins anew."""
        shown = self._show(self._held, len(self._held))
        self._held, self._masked = b"", 0
        self._told.clear()
        return shown

    def _show(self, data: bytes, until: int) -> bytes:
        """Return *data* up to *until*, masked, and hold the rest."""
        parts: list[bytes] = []
        shown, covered = 0, self._masked
        for start, end, name in self._patterns.occurrences(data):
            if start >= until:
                break  # It is found again when it is no longer held.
            if start >= covered:
                parts += (data[max(shown, covered) : start], MASK)
                self._told.clear()
            covered = max(covered, end)
            if name not in self._told:
                self._told.add(name)
                self.counts[name] += 1
            shown = start
        parts.append(data[covered:until])
        self._held = data[until:]
        self._masked = max(0, covered - until)
        if not self._masked:
            self._told.clear()
        return b"".join(parts)


class _Patterns:
    """All forms of all secrets, compiled."""

    def __init__(self, secrets: Mapping[str, Secret]) -> None:
        plain: dict[bytes, str] = {}
        spaced: dict[bytes, str] = {}
        ignored: list[str] = []
        for name, secret in secrets.items():
            value = secret.encode("utf-8", "surrogateescape") if isinstance(secret, str) else secret
            forms = forms_of(value)
            for form in sorted(forms):
                plain.setdefault(form, name)
            for form in sorted(spaced_forms_of(value)):
                spaced.setdefault(form, name)
                forms.add(form)
            if not forms:
                ignored.append(name)
        self.names = tuple(name for name in secrets if name not in ignored)
        self.ignored = tuple(ignored)
        self._plain = _Automaton(plain)
        self._spaced = _Automaton(spaced)

    def occurrences(self, data: bytes) -> list[Interval]:
        """Return where forms occur in *data*, overlapping ones too, in order."""
        found = list(self._plain.occurrences(data))
        if self._spaced.longest:
            joined, places = _joined(data)
            for start, end, name in self._spaced.occurrences(joined):
                found.append((places.original(start), places.original(end - 1) + 1, name))
        found.sort()
        return found

    def possible_start(self, data: bytes) -> int:
        """Return where the earliest form could begin that *data* does not hold whole; its length where none could."""
        start = self._plain.possible_start(data)
        if self._spaced.longest:
            joined, places = _joined(data)
            begins = self._spaced.possible_start(joined)
            if begins < len(joined):
                start = min(start, places.original(begins))
        return start


class _Automaton:
    """Find all of some forms, and where one could begin at the end."""

    def __init__(self, forms: Mapping[bytes, str]) -> None:
        self._forms = sorted(forms)
        self._names = [forms[form] for form in self._forms]
        self.longest = max(map(len, self._forms), default=0)
        self._whole: BytesAhoCorasick | None = None
        self._heads: BytesAhoCorasick | None = None
        if self._forms:
            from ahocorasick_rs import BytesAhoCorasick

            self._whole = BytesAhoCorasick(self._forms)
            # Every form begins with a head of the shortest length that a form can have: a cheap sign that one may begin.
            self._heads = BytesAhoCorasick(sorted({form[:FORM_BYTES_MIN] for form in self._forms}))

    def occurrences(self, data: bytes) -> Iterator[Interval]:
        if self._whole is not None:
            for place, start, end in self._whole.find_matches_as_indexes(data, overlapping=True):
                yield start, end, self._names[place]

    def possible_start(self, data: bytes) -> int:
        if self._heads is None:
            return len(data)
        begin = max(0, len(data) - self.longest + 1)
        tail = data[begin:]
        for _, start, _ in self._heads.find_matches_as_indexes(tail, overlapping=True):
            if self._is_beginning(tail[start:]):
                return begin + start
        for start in range(max(0, len(tail) - FORM_BYTES_MIN + 1), len(tail)):
            if self._is_beginning(tail[start:]):
                return begin + start
        return len(data)

    def _is_beginning(self, part: bytes) -> bool:
        """Whether some form begins with *part* and is longer."""
        for place in range(bisect_left(self._forms, part), len(self._forms)):
            form = self._forms[place]
            if not form.startswith(part):
                return False
            if len(form) > len(part):
                return True
        return False


class _Places:
    """From places in text whose runs of white space were shortened to one blank, back to the original ones."""

    def __init__(self, joined_ends: list[int], removed: list[int]) -> None:
        self._joined_ends = joined_ends
        self._removed = removed

    def original(self, place: int) -> int:
        number = bisect_left(self._joined_ends, place + 1)
        return place + (self._removed[number - 1] if number else 0)


def _joined(data: bytes) -> tuple[bytes, _Places]:
    """Return *data* with each run of white space as one blank; runs too long to wait for become a mark that no form has."""
    parts: list[bytes] = []
    ends: list[int] = []
    removed: list[int] = []
    last, length, gone = 0, 0, 0
    for match in _SPACE.finditer(data):
        start, end = match.span()
        parts += (data[last:start], b" " if end - start <= _SPACE_BYTES_MAX else b"\n")
        length += start - last + 1
        gone += end - start - 1
        ends.append(length)
        removed.append(gone)
        last = end
    parts.append(data[last:])
    return b"".join(parts), _Places(ends, removed)
