"""Finding where the values of secrets stand, in all their forms: what `core.redaction` masks, told by place and name instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from orchestrator.core.finder import Finder
from orchestrator.core.secret_forms import forms_by_owner


class SecretSearch:
    """
    Search for *secrets*, given by name.

    Attributes:
        ignored: The names of those that cannot be found, being shorter than six bytes or white space alone.
    """

    def __init__(self, secrets: Mapping[str, str | bytes]) -> None:
        owners, self.ignored = forms_by_owner(secrets)
        self._finder = Finder(owners)

    def places(self, pieces: Iterable[bytes]) -> Iterator[tuple[int, str]]:
        """
        Yield at which byte of a text something of which secret begins; forms of one secret that overlap or touch count once.

        Args:
            pieces: The text, cut anywhere; no more of it is kept than what may still be the beginning of a form.
        """
        held, begin = b"", 0
        ends: dict[str, int] = {}
        for piece in pieces:
            buffer = held + piece
            sight = self._finder.look(buffer, begin, {})
            yield from _new(sight.occurrences, begin, sight.hold, ends)
            held, begin = buffer[sight.hold :], begin + sight.hold
        yield from _new(self._finder.look(held, begin, {}).occurrences, begin, len(held), ends)


def _new(
    occurrences: Iterable[tuple[int, int, tuple[str, ...]]], begin: int, until: int, ends: dict[str, int]
) -> Iterator[tuple[int, str]]:
    for start, end, names in occurrences:
        for name in names if start < until else ():
            if begin + start > ends.get(name, -1):
                yield begin + start, name
            ends[name] = max(ends.get(name, -1), begin + end)
