"""
Searching a stream for what a rule describes: a pattern of the user's, or the shape of a well-known token.

Forward, the automaton says what may have begun; backward from an end, what of that is part of a match. Every byte that lies in the secret part of
some match is masked, and what still may is held back. So that this has an end, the stream is looked at every `BLOCK_BYTES`: what might have been
masked for that long is masked, whether or not the rest comes. All of it depends on the stream alone, and not on how that was cut.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import attrs

from orchestrator.core.pattern_automaton import Automaton, State

BLOCK_BYTES = 2048
HELD_BYTES_MAX = 2 * BLOCK_BYTES
"""What a rule may hold back at most."""

Span = tuple[int, int]
NextStart = Callable[[int], int]
"""Gives the first place, not before the one it is asked for, at which a match may begin."""


@attrs.frozen(slots=False)
class Rule:
    """
    Name what is masked by its shape.

    Attributes:
        heads: With one of these each match begins; found from *pattern* where they are not given.
        probe: Finds where matches may begin at less cost than *heads* do, which then only count where they are cut off by the end of what has come. It must
            also find what goes on for `BLOCK_BYTES`, which stand for `%(block)d` in it, since that may be masked without being a match.
    """

    name: str
    pattern: str
    heads: tuple[bytes, ...] | None = None
    probe: bytes | None = None

    @cached_property
    def automaton(self) -> Automaton:
        """What is searched with, made when the first head is seen."""
        return Automaton(self.pattern)

    @cached_property
    def beginnings(self) -> tuple[bytes, ...]:
        """The heads; none where the pattern has too many."""
        return self.automaton.heads() if self.heads is None else self.heads

    @cached_property
    def opening(self) -> tuple[re.Pattern[bytes], int]:
        """What finds where a match may begin if it has no heads, and over how many bytes that looks."""
        sets = self.automaton.opening()
        text = b"".join(b"[" + b"".join(b"\\x%02x" % byte for byte in members) + b"]" for members in sets)
        return re.compile(text), len(sets)


class Carried(NamedTuple):
    """
    What is known of a stream beyond the bytes that are held.

    Attributes:
        state: The automaton's before the first of them.
        floor: Nothing before this place is masked for something that ends later.
        spans: Of the held bytes, those that are masked already.
    """

    state: State
    floor: int
    spans: Sequence[Span]


class Scanned:
    """
    What a rule finds in *buffer*.

    Args:
        begin: The place of the buffer in the stream.
        next_start: Where matches may begin.

    Attributes:
        spans: What is masked, as places in the buffer; they may overlap.
        hold: What lies from here on may still become part of a match; the length of the buffer where nothing may.
    """

    def __init__(
        self, automaton: Automaton, buffer: bytes, begin: int, carried: Carried, next_start: NextStart
    ) -> None:
        self._automaton = automaton
        self._begin = begin
        self._carried = carried
        self._size = len(buffer)
        self._floor = carried.floor - begin
        self.spans: list[Span] = list(carried.spans)
        self.hold = self._size
        self._zones = list(self._zones_of(buffer, next_start))
        for place, states in self._zones:
            self._look_at(place, states)

    def carried(self, until: int) -> Carried | None:
        """Return what is to be known where the buffer is cut at *until*; None if that is nothing."""
        state = self._carried.state if until == 0 else self._automaton.nothing
        for place, states in self._zones:
            if place < until <= place + len(states):
                state = states[until - place - 1]
        spans = [(max(start - until, 0), end - until) for start, end in self.spans if end > until]
        if state is self._automaton.nothing and not spans:
            return None
        return Carried(state, self._floor + self._begin, spans)

    def _zones_of(self, buffer: bytes, next_start: NextStart) -> Iterator[tuple[int, list[State]]]:
        """Yield each stretch in which something has begun, with the state after each of its bytes."""
        step, nothing, size = self._automaton.step, self._automaton.nothing, self._size
        kinds = buffer.translate(self._automaton.kinds)
        state, place = self._carried.state, 0
        while True:
            if state is nothing:
                place = next_start(place)
            if place >= size:
                return
            states: list[State] = []
            begin = place
            while place < size:
                kind = kinds[place]
                state = state.after[kind] or step(state, kind)
                place += 1
                if state is nothing:
                    break
                states.append(state)
            if states:
                yield begin, states

    def _look_at(self, place: int, states: list[State]) -> None:
        end = place + len(states)
        if any(state.accepts for state in states):
            self._mark(place, states, self._automaton.last, 0)
        first_check = -(self._begin + place) % BLOCK_BYTES or BLOCK_BYTES
        for length in range(first_check, len(states) + 1, BLOCK_BYTES):
            check = place + length
            first = self._first_open(place, states, length)
            if first <= check - BLOCK_BYTES:
                begin = max(self._floor - place, 0)
                self._mark(place + begin, states[begin:length], 0, states[length - 1].positions)
                first = check
            # Whatever is open later goes on from what is open here, so no later look has to go back further: that makes them linear.
            self._floor = max(self._floor, first)
        if end == self._size:
            self.hold = min(self.hold, self._first_open(place, states, len(states)))

    def _open(self, place: int, states: list[State], length: int) -> Iterator[tuple[int, int]]:
        """Yield, backward from *length*, each place after the floor with the positions of what is open at *length*, as long as secret ones may follow."""
        positions = states[length - 1].positions & self._automaton.since_secret
        for number in range(length - 1, max(self._floor - place, 0) - 1, -1):
            positions &= states[number].positions
            if not positions:
                return
            yield place + number, positions
            positions = self._automaton.before(positions)

    def _first_open(self, place: int, states: list[State], length: int) -> int:
        """Return the first place that is masked if what is open at *length* becomes a match."""
        first = place + length
        for where, positions in self._open(place, states, length):
            if positions & self._automaton.secret:
                first = where
        return first

    def _mark(self, place: int, states: list[State], last: int, positions: int) -> None:
        """Mask what is secret on the ways to *positions* after all *states*, and to *last* at any place before."""
        end = None
        for number in range(len(states) - 1, -1, -1):
            positions = states[number].positions & (positions | last)
            is_secret = bool(positions & self._automaton.secret)
            if is_secret and end is None:
                end = place + number + 1
            elif not is_secret and end is not None:
                self.spans.append((place + number + 1, end))
                end = None
            positions = self._automaton.before(positions)
        if end is not None:
            self.spans.append((place, end))


def next_start_of(buffer: bytes, rule: Rule, hits: Sequence[int]) -> NextStart:
    """
    Return what gives the places of *buffer* at which a match of *rule* may begin; a head that is not there to its end does not count.

    Args:
        hits: Where its heads were found, in order.
    """
    size = len(buffer)
    if rule.probe is None and rule.beginnings:

        def next_hit(place: int) -> int:
            number = bisect_left(hits, place)
            return hits[number] if number < len(hits) else size

        return next_hit
    if rule.probe is not None:
        search, open_from = re.compile(rule.probe % {b"block": BLOCK_BYTES}).search, size
    else:
        opening, looked_at = rule.opening
        search, open_from = opening.search, size - looked_at + 1

    def next_found(place: int) -> int:
        match = search(buffer, place)
        return min(size if match is None else match.start(), max(place, open_from))

    return next_found


def nothing_carried(rule: Rule, begin: int) -> Carried:
    """Return what is known of a stream in which nothing has begun."""
    return Carried(rule.automaton.nothing, begin, ())
