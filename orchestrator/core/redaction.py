"""
Masking secrets in a stream of bytes, wherever the stream is cut.

All forms of all secrets are searched for at once, and beside them what has the shape of a secret: patterns of the user's, tokens of well-known services. Every byte that lies in an occurrence of one of them is masked, and occurrences that
overlap or touch share one mask, so that no tail of one secret is left beside another. What could still become an occurrence is
held back, and nothing else. So the output does not depend on how the input was cut, and plain lines pass at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from orchestrator.core.finder import Finder, Memory
from orchestrator.core.rule_search import Rule
from orchestrator.core.secret_forms import Form, as_bytes, forms_by_owner

Secrets: TypeAlias = Iterable[str | bytes] | Mapping[str, str | bytes] | str | bytes
"""Values, or a mapping of name to value; one value alone is one secret."""

MASK = b"***"
"""What is shown instead of a secret, whatever its length, unless a form could be made of it and what stands beside it."""

_OTHER_MASKS = (b"[redacted]", b"<hidden>", b"###", "█".encode())


class Redactor:
    """
    Mask *secrets*, given as values or as a mapping of name to value; values are text or bytes.

    The names of mere values are `secret_1`, `secret_2` and so on. Making one costs a millisecond or two for each secret; `stream`
    and `redact` share what was made. It is itself one stream, for who needs only one.

    Args:
        patterns: What else is masked: regular expressions as `core.pattern_text` reads them, named `pattern:1` and so on.
        builtin: Mask what has the shape of a well-known token, and passwords in addresses, too: the rules of `core.token_rules`.

    Raises:
        PatternError: One of *patterns* is none.

    >>> redactor = Redactor({"TOKEN": "correct horse"})
    >>> redactor.feed(b"the token is correct ho"), redactor.feed(b"rse!"), redactor.counts
    (b'the token is ', b'***!', {'TOKEN': 1})
    """

    def __init__(self, secrets: Secrets = (), *, patterns: Sequence[str] = (), builtin: bool = False) -> None:
        named = _named(secrets)
        owners, self._ignored = forms_by_owner(named)
        self._names = tuple(name for name in named if name not in set(self._ignored))
        rules = _rules(patterns, builtin=builtin)
        self._rule_names = tuple(dict.fromkeys(rule.name for rule in rules))
        self._finder = Finder(owners, rules) if owners or rules else None
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
        return RedactionStream(self._finder, self._mask, (*self._names, *self._rule_names))

    def redact(self, text: str) -> str:
        """Return the whole *text* without secrets; where something was masked, what is no Unicode is replaced."""
        return _redacted(text, self.stream())

    def redact_name(self, name: str) -> str:
        """Return the *name* of something, such as of a file, without declared secrets; what only has the shape of one stays, since names identify."""
        return _redacted(name, RedactionStream(self._finder, self._mask, self._names, forms_alone=True))


class RedactionStream:
    """One stream on its way through a redactor; made by `Redactor.stream`."""

    def __init__(self, finder: Finder | None, mask: bytes, names: Sequence[str], *, forms_alone: bool = False) -> None:
        self._forms_alone = forms_alone
        self._finder = finder
        self._mask = mask
        self._counts = dict.fromkeys(names, 0)
        self._held = b""
        # The place of what is held in the stream, and what rules have to know of what came before.
        self._begin = 0
        self._memory: Memory = {}
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
        return self._show(self._finder, self._held + data, is_end=False)

    def flush(self) -> bytes:
        """Return what was held back; what is fed after it has nothing to do with what was fed before."""
        if self._finder is None:
            return b""
        shown = self._show(self._finder, self._held, is_end=True)
        self._masked_until = -1
        self._begin, self._memory = 0, {}
        return shown

    def _show(self, finder: Finder, buffer: bytes, *, is_end: bool) -> bytes:
        """Return what of *buffer* can be shown, masked, and hold the rest."""
        sight = finder.look(buffer, self._begin, self._memory, forms_alone=self._forms_alone)
        until = len(buffer) if is_end else sight.hold
        shown: list[bytes] = []
        masked_until = self._masked_until
        done = max(0, masked_until)
        for start, end, owners in sight.occurrences:
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
        self._begin += until
        self._memory = sight.memory(until) if sight.scanned else {}
        self._masked_until = max(-1, masked_until - until)
        return b"".join(shown)


def _named(secrets: Secrets) -> Mapping[str, str | bytes]:
    if isinstance(secrets, Mapping):
        return secrets
    values = [secrets] if isinstance(secrets, str | bytes) else secrets
    return {f"secret_{number}": value for number, value in enumerate(values, 1)}


def _rules(patterns: Sequence[str], *, builtin: bool) -> list[Rule]:
    rules = [Rule(f"pattern:{number}", pattern) for number, pattern in enumerate(patterns, 1)]
    if builtin:
        from orchestrator.core.token_rules import TOKEN_RULES

        rules += TOKEN_RULES
    return rules


def _redacted(text: str, stream: RedactionStream) -> str:
    data = as_bytes(text)
    shown = stream.feed(data) + stream.flush()
    return text if shown == data else shown.decode("utf-8", "replace")


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
