"""
A pattern as an automaton of positions (Glushkov's), searched for in time linear in the text: no byte is tried twice, whatever the pattern.

Each byte that a pattern names is a position, and a set of positions is an integer with their bits. One step takes all positions on at once, so that
many beginnings of matches cost no more than one. Sets that were met are kept with what each byte makes of them. Bytes that no position tells apart are of one
kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, assert_never

from orchestrator.core.pattern_text import Bytes, Choice, Node, PatternError, Repeat, Sequence, parse_pattern

HEAD_BYTES_MIN = 3
HEAD_BYTES_MAX = 12

_HEADS_MAX = 16
_OPENING_BYTES_MAX = 12
_STATES_MAX = 1000


class State:
    """
    A set of positions on the way through a text, a beginning at every place.

    Attributes:
        after: The next state for each kind of byte that was met, else None.
        accepts: A match ends here.
    """

    __slots__ = ("accepts", "after", "positions")

    def __init__(self, positions: int, kinds: int, *, accepts: bool) -> None:
        self.positions = positions
        self.accepts = accepts
        self.after: list[State | None] = [None] * kinds


class Automaton:
    """
    Compile *pattern*.

    Attributes:
        last: The positions at which a match may end.
        secret: The positions whose bytes are masked.
        since_secret: These, and those that come after one: only from them a way leads back to something that is masked.
        kinds: The kind of each byte, as `bytes.translate` takes them.
        nothing: The state in which nothing has begun.

    Raises:
        PatternError: It is none, also matches the empty text, or masks nothing.
    """

    def __init__(self, pattern: str) -> None:
        builder = _Builder()
        whole = builder.built(parse_pattern(pattern))
        if whole.nullable:
            raise PatternError("also matches the empty text")
        self._first, self.last = whole.first, whole.last
        before = [0] * len(builder.follow)
        for position, follow in enumerate(builder.follow):
            for other in _bits(follow):
                before[other] |= 1 << position
        self._follow, self._before = _Links(builder.follow, 1), _Links(before, -1)
        self._on_byte = [0] * 256
        self.secret = 0
        by_members: dict[int, int] = {}
        for position, item in enumerate(builder.items):
            by_members[item.members] = by_members.get(item.members, 0) | 1 << position
            self.secret |= item.secret << position
        for members, positions in by_members.items():
            for byte in _bits(members):
                self._on_byte[byte] |= positions
        if not self.secret:
            raise PatternError("masks nothing: (?P<secret>…) holds no byte")
        self.since_secret, new = 0, self.secret
        while new:
            self.since_secret |= new
            new = self._follow.of(new) & ~self.since_secret
        self._on_kind = list(dict.fromkeys(self._on_byte))
        self.kinds = bytes(map(self._on_kind.index, self._on_byte))
        self.nothing = State(0, len(self._on_kind), accepts=False)
        self._forget()

    def step(self, state: State, kind: int) -> State:
        """Return what a byte of *kind* makes of *state*; `State.after` has it from then on."""
        positions = (self._follow.of(state.positions) | self._first) & self._on_kind[kind]
        found = self._states.get(positions)
        if found is None:
            if len(self._states) > _STATES_MAX:
                self._forget()
            found = State(positions, len(self._on_kind), accepts=bool(positions & self.last))
            self._states[positions] = found
        state.after[kind] = found
        return found

    def before(self, positions: int) -> int:
        """Return all positions of `since_secret` from which one step may lead to one of *positions*."""
        found = self._befores.get(positions)
        if found is None:
            if len(self._befores) > _STATES_MAX:
                self._befores.clear()
            found = self._befores[positions] = self._before.of(positions) & self.since_secret
        return found

    def heads(self) -> tuple[bytes, ...]:
        """Return a few texts of three bytes or more with one of which each match begins; none where there are too many."""
        level = {b"": 0}
        best: tuple[bytes, ...] = ()
        for size in range(1, HEAD_BYTES_MAX + 1):
            longer: dict[bytes, int] = {}
            for head, positions in level.items():
                follow = self._follow.of(positions) if head else self._first
                for byte, on_byte in enumerate(self._on_byte):
                    if follow & on_byte:
                        longer[head + bytes([byte])] = follow & on_byte
                    if len(longer) > _HEADS_MAX:
                        return best
            level = longer
            if size >= HEAD_BYTES_MIN:
                best = tuple(level)
            if any(positions & self.last for positions in level.values()):
                break
        return best

    def opening(self) -> tuple[bytes, ...]:
        """Return which bytes may be the first of a match, which the second, and so on for a few."""
        found: list[bytes] = []
        follow = self._first
        while len(found) < _OPENING_BYTES_MAX:
            found.append(bytes(byte for byte, on_byte in enumerate(self._on_byte) if follow & on_byte))
            if follow & self.last:
                break
            follow = self._follow.of(follow)
        return tuple(found)

    def _forget(self) -> None:
        """Let go of the states that were met: a text can make as many as it likes."""
        self.nothing.after = [None] * len(self._on_kind)
        self._states: dict[int, State] = {0: self.nothing}
        self._befores: dict[int, int] = {}


class _Links:
    """
    What each position leads to, for many at once: most lead to their neighbour, and many to the same others, such as those of `[a-z]{1,900}`.

    Args:
        table: What each leads to.
        neighbour: How far from it the neighbour is.
    """

    def __init__(self, table: list[int], neighbour: Literal[1, -1]) -> None:
        self._is_back = neighbour < 0
        self._to_neighbour = 0
        members: dict[int, int] = {}
        others: list[int] = []
        for position, linked in enumerate(table):
            beside = 1 << position + neighbour if position + neighbour >= 0 else 0
            self._to_neighbour |= bool(linked & beside) << position
            others.append(linked & ~beside)
            members[others[-1]] = members.get(others[-1], 0) | 1 << position
        self._to_others = ~members.pop(0, 0)
        self._groups = [(linked, ~members.get(linked, 0)) for linked in others]

    def of(self, positions: int) -> int:
        """Return all that *positions* lead to."""
        found = positions & self._to_neighbour
        found = found >> 1 if self._is_back else found << 1
        rest = positions & self._to_others
        while rest:
            linked, without = self._groups[(rest & -rest).bit_length() - 1]
            found |= linked
            rest &= without
        return found


class _Part(NamedTuple):
    """Where a part of a pattern begins and ends, and whether it may be empty."""

    nullable: bool
    first: int
    last: int


_EMPTY = _Part(nullable=True, first=0, last=0)


class _Builder:
    def __init__(self) -> None:
        self.items: list[Bytes] = []
        self.follow: list[int] = []

    def built(self, node: Node) -> _Part:
        match node:
            case Bytes():
                position = 1 << len(self.items)
                self.items.append(node)
                self.follow.append(0)
                return _Part(nullable=False, first=position, last=position)
            case Sequence():
                whole = _EMPTY
                for item in node.items:
                    whole = self._joined(whole, self.built(item))
                return whole
            case Choice():
                parts = [self.built(item) for item in node.items]
                return _Part(
                    any(part.nullable for part in parts),
                    sum(part.first for part in parts),
                    sum(part.last for part in parts),
                )
            case Repeat():
                return self._repeated(node)
            case _:
                assert_never(node)

    def _repeated(self, node: Repeat) -> _Part:
        whole = _EMPTY
        if node.most is None:
            for _ in range(node.least - 1):
                whole = self._joined(whole, self.built(node.item))
            looped = self.built(node.item)
            looped = self._joined(looped, looped)
            return self._joined(whole, looped._replace(nullable=looped.nullable or node.least == 0))
        for _ in range(node.least):
            whole = self._joined(whole, self.built(node.item))
        # As (x(x(x)?)?)?: each is followed by the next one alone.
        rest = _EMPTY
        for part in reversed([self.built(node.item) for _ in range(node.most - node.least)]):
            rest = self._joined(part, rest)._replace(nullable=True)
        return self._joined(whole, rest)

    def _joined(self, one: _Part, other: _Part) -> _Part:
        for position in _bits(one.last):
            self.follow[position] |= other.first
        return _Part(
            one.nullable and other.nullable,
            one.first | (other.first if one.nullable else 0),
            other.last | (one.last if other.nullable else 0),
        )


def _bits(number: int) -> Iterator[int]:
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest
