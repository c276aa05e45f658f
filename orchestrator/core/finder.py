"""
Searching for all forms of all secrets, and for what has the shape of a secret, at once.

One automaton (Aho-Corasick) finds the anchors of all forms and the heads of all rules in one pass over the bytes; only where it has found one is looked
closer. Where there is none, a second small one says whether a form begins at the end of what has come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.core.needles import Needle
from orchestrator.core.rule_search import Carried, Rule, Scanned, next_start_of, nothing_carried
from orchestrator.core.secret_forms import Form

if TYPE_CHECKING:
    from ahocorasick_rs import BytesAhoCorasick

_DENSE_BYTES_MAX = 16_384

Memory = Mapping[int, Carried]
"""What is carried of each rule of which something has begun, by the rule's number."""

Occurrence = tuple[int, int, tuple[str, ...]]
"""Where something to be masked begins and ends, and the names that it counts for."""


class Sight(NamedTuple):
    """
    Hold what was found in a buffer.

    Attributes:
        occurrences: In order of their beginnings.
        hold: What lies from here on may still become an occurrence, or part of one.
    """

    occurrences: list[Occurrence]
    hold: int
    scanned: Mapping[int, Scanned]

    def memory(self, until: int) -> Memory:
        """Return what is to be known where the buffer is cut at *until*."""
        carried = {number: scanned.carried(until) for number, scanned in self.scanned.items()}
        return {number: item for number, item in carried.items() if item is not None}


class Finder:
    """
    Compile what is searched for.

    Args:
        owners: The names of the secrets that have each form.
    """

    def __init__(self, owners: Mapping[Form, Sequence[str]], rules: Sequence[Rule] = ()) -> None:
        self._rules = rules
        needles = [Needle(form, tuple(names)) for form, names in owners.items()]
        self._by_anchor = _grouped((needle.anchor, needle) for needle in needles)
        self._by_head = _grouped((needle.head, needle) for needle in needles)
        self._probed = [number for number, rule in enumerate(rules) if rule.probe is not None or not rule.beginnings]
        self._by_beginning: dict[bytes, list[int]] = {}
        """The numbers of the rules that have a head, by that."""
        for number, rule in enumerate(rules):
            for head in rule.beginnings if rule.probe is None else ():
                self._by_beginning.setdefault(head, []).append(number)
        heads = [*self._by_head, *(head for rule in rules for head in rule.beginnings)]
        self._parts = frozenset(head[:size] for head in heads for size in range(1, len(head)))
        self._part_bytes_max = max(map(len, self._parts), default=0)
        self._part_ends = frozenset(part[-1:] for part in self._parts)
        self._bytes_max = max((needle.bytes_max for needle in needles), default=0)
        self._anchors = list(dict.fromkeys((*self._by_anchor, *self._by_beginning)))
        self._anchor_search = _automaton(self._anchors)
        # A few dozen texts are seen ten times as fast where no overlaps are asked for, so each kind is asked for by itself first.
        self._whether = [_automaton(list(group), overlapping=False) for group in (self._by_anchor, self._by_beginning)]
        self._heads = list(self._by_head)
        self._head_search = _automaton(self._heads)

    def look(self, buffer: bytes, begin: int, memory: Memory, *, forms_alone: bool = False) -> Sight:
        """
        Return what is in *buffer*.

        Args:
            begin: Its place in the stream.
            memory: Of what came before.
            forms_alone: Apply no rules.
        """
        occurrences: list[Occurrence] = []
        hits: dict[int, list[int]] = {}
        # Leftmost matching would lose what begins inside of another occurrence, so all are asked for where there is any.
        if any(search is not None and search.find_matches_as_indexes(buffer) for search in self._whether):
            assert self._anchor_search is not None
            for number, place, _ in self._anchor_search.find_matches_as_indexes(buffer, overlapping=True):
                anchor = self._anchors[number]
                for needle in self._by_anchor.get(anchor, ()):
                    where = needle.around(buffer, place)
                    if where is not None:
                        occurrences.append((*where, needle.owners))
                for rule_number in self._by_beginning.get(anchor, ()):
                    hits.setdefault(rule_number, []).append(place)
        hold = self._possible_beginning(buffer)
        scanned: dict[int, Scanned] = {}
        for number in () if forms_alone else {*hits, *memory, *self._probed}:
            rule = self._rules[number]
            next_start = next_start_of(buffer, rule, sorted(hits.get(number, ())))
            if number not in memory and next_start(0) >= len(buffer):
                continue
            carried = memory.get(number) or nothing_carried(rule, begin)
            found = scanned[number] = Scanned(rule.automaton, buffer, begin, carried, next_start)
            hold = min(hold, found.hold)
            occurrences += [(start, end, (rule.name,)) for start, end in found.spans]
        occurrences.sort()
        return Sight(occurrences, hold, scanned)

    def _possible_beginning(self, buffer: bytes) -> int:
        """
        Return the first place where a form, or a head of a rule, may begin that *buffer* does not hold to its end.

        The length of *buffer* stands for no place.
        """
        first = len(buffer)
        if buffer[-1:] in self._part_ends:
            places = range(max(0, first - self._part_bytes_max), first)
            first = next((place for place in places if buffer[place:] in self._parts), first)
        if self._head_search is None:
            return first
        window = max(0, len(buffer) - self._bytes_max + 1)
        heads = self._head_search.find_matches_as_indexes(buffer[window:], overlapping=True)
        for place, number in sorted((window + start, number) for number, start, _ in heads):
            if place >= first:
                break
            if any(needle.could_begin(buffer, place) for needle in self._by_head[self._heads[number]]):
                return place
        return first


def _grouped(pairs: Iterable[tuple[bytes, Needle]]) -> dict[bytes, list[Needle]]:
    groups: dict[bytes, list[Needle]] = {}
    for key, needle in pairs:
        groups.setdefault(key, []).append(needle)
    return groups


def _automaton(patterns: list[bytes], *, overlapping: bool = True) -> BytesAhoCorasick | None:
    if not patterns:
        return None
    from ahocorasick_rs import BytesAhoCorasick, Implementation, MatchKind

    # The table of a DFA is three times as fast and grows with every byte of every pattern: a few megabytes at the limit.
    dense = sum(map(len, patterns)) <= _DENSE_BYTES_MAX
    return BytesAhoCorasick(
        patterns,
        matchkind=MatchKind.Standard if overlapping else MatchKind.LeftmostFirst,
        implementation=Implementation.DFA if dense else Implementation.ContiguousNFA,
    )
