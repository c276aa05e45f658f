"""
The text of a pattern, read: regular expressions in Python's notation, without what needs a look back or a second try.

A pattern is over bytes; other characters than ASCII stand for their UTF-8. What is left out (anchors, boundaries, looks ahead and behind, backward
references, lazy and possessive repetition) is refused by name.
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias

from orchestrator.core.errors import OrchestratorError

PATTERN_CHARACTERS_MAX = 1000
POSITIONS_MAX = 1000
"""Bytes that a pattern may name once its counts are written out."""

_DEPTH_MAX = 40
_MASKED_GROUP = "(?P<secret>"
_ALL = (1 << 256) - 1
_QUANTIFIER = re.compile(r"[*+?]|\{(?:([0-9]+)|([0-9]*),([0-9]*))\}")
_TWO_DIGITS = re.compile(r"[0-9A-Fa-f]{2}")
_CONTROLS = {"n": 10, "t": 9, "r": 13, "f": 12, "v": 11, "a": 7, "0": 0}
_NO_TEXT = {
    "^": "a match may begin anywhere: leave ^ out",
    "$": "a match may end anywhere: leave $ out",
    "*": "nothing stands before * that could be repeated",
    "+": "nothing stands before + that could be repeated",
    "?": "nothing stands before ? that could be repeated",
}


class PatternError(OrchestratorError):
    """Raised for a text that is no pattern of ours; the message says why."""


class Bytes(NamedTuple):
    """One byte of *members*, a set as the bits of an integer; it is masked if *secret*."""

    members: int
    secret: bool
    size: int = 1


class Sequence(NamedTuple):
    """All *items*, one after the other."""

    items: tuple[Node, ...]
    size: int


class Choice(NamedTuple):
    """One of *items*."""

    items: tuple[Node, ...]
    size: int


class Repeat(NamedTuple):
    """*item*, at least *least* times; at most *most* times, or without end."""

    item: Node
    least: int
    most: int | None
    size: int


Node: TypeAlias = Bytes | Sequence | Choice | Repeat


def parse_pattern(text: str) -> Node:
    """
    Return what *text* says.

    Where `(?P<secret>…)` stands in it, that part of a match is masked, else all of it. `(?i)` at the beginning: letters of any case.

    Raises:
        PatternError: It is none, or would be too large.
    """
    if len(text) > PATTERN_CHARACTERS_MAX:
        raise PatternError(f"has {len(text)} characters, at most {PATTERN_CHARACTERS_MAX} are allowed")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PatternError("is no Unicode") from None
    node, has_masked_group = _parsed(text, secret=False)
    return node if has_masked_group else _parsed(text, secret=True)[0]


def _parsed(text: str, *, secret: bool) -> tuple[Node, bool]:
    """Return what *text* says, its bytes masked if *secret* or within `(?P<secret>…)`, and whether that stands in it."""
    parser = _Parser(text, any_case=text.startswith("(?i)"), secret=secret)
    node = parser.choice(0)
    if parser.place < len(text):
        raise PatternError("a ) closes nothing")
    return node, parser.has_masked_group


def members_of(characters: str) -> int:
    """Return the set of ASCII *characters*."""
    found = 0
    for character in characters:
        found |= 1 << ord(character)
    return found


_LOWER, _UPPER = members_of("abcdefghijklmnopqrstuvwxyz"), members_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_DIGITS, _SPACE = members_of("0123456789"), members_of(" \t\n\r\f\v")
_SETS = {"d": _DIGITS, "s": _SPACE, "w": _DIGITS | _LOWER | _UPPER | members_of("_")}
_SETS |= {name.upper(): _ALL ^ members for name, members in _SETS.items()}


class _Parser:
    def __init__(self, text: str, *, any_case: bool, secret: bool) -> None:
        self._text = text
        self.place = len("(?i)") if any_case else 0
        self._any_case = any_case
        self._secret = secret
        self.has_masked_group = False

    def choice(self, depth: int) -> Node:
        if depth > _DEPTH_MAX:
            raise PatternError(f"groups are nested more than {_DEPTH_MAX} deep")
        items = [self._sequence(depth)]
        while self._took("|"):
            items.append(self._sequence(depth))
        return items[0] if len(items) == 1 else Choice(tuple(items), _checked(sum(item.size for item in items)))

    def _sequence(self, depth: int) -> Node:
        items: list[Node] = []
        while self.place < len(self._text) and self._text[self.place] not in "|)":
            items.append(self._repeated(self._atom(depth)))
        return items[0] if len(items) == 1 else Sequence(tuple(items), _checked(sum(item.size for item in items)))

    def _repeated(self, item: Node) -> Node:
        match = _QUANTIFIER.match(self._text, self.place)
        if match is None:
            return item
        self.place = match.end()
        if self._text[self.place : self.place + 1] in ("?", "+"):
            raise PatternError(f"{match[0]}{self._text[self.place]} is not supported: the longest match is masked")
        if _QUANTIFIER.match(self._text, self.place):
            raise PatternError(f"{match[0]} is repeated itself: put a group around it")
        least, most = _bounds(match)
        if most is not None and most < least:
            raise PatternError(f"{match[0]} ends below its beginning")
        times = max(least, 1) if most is None else most
        return Repeat(item, least, most, _checked(max(item.size, 1) * times))

    def _atom(self, depth: int) -> Node:
        character = self._text[self.place]
        if character == "(":
            return self._group(depth)
        self.place += 1
        if character == "[":
            return Bytes(self._class(), self._secret)
        if character == ".":
            return self._bytes(_ALL ^ members_of("\n"))
        if character == "\\":
            return self._bytes(self._escape())
        if character in _NO_TEXT:
            raise PatternError(_NO_TEXT[character])
        return self._literal(character)

    def _group(self, depth: int) -> Node:
        secret = self._secret
        if self._took(_MASKED_GROUP):
            self._secret = self.has_masked_group = True
        elif not self._took("(?:"):
            if self._text.startswith("(?", self.place):
                begin = self._text[self.place : self.place + 4]
                raise PatternError(f"{begin} is not supported: groups are (…), (?:…) and (?P<secret>…)")
            self.place += 1
        node = self.choice(depth + 1)
        if not self._took(")"):
            raise PatternError("a ( is not closed")
        self._secret = secret
        return node

    def _class(self) -> int:
        negated = self._took("^")
        members, first = 0, True
        while first or not self._took("]"):
            first = False
            low = self._member()
            if self._text.startswith("-", self.place) and not self._text.startswith("-]", self.place):
                self.place += 1
                high = self._member()
                if low.bit_count() > 1 or high.bit_count() > 1 or high < low:
                    raise PatternError("a range in […] goes from one character to one that is not before it")
                low = (high << 1) - low
            members |= low
        members = self._of_any_case(members) ^ (_ALL if negated else 0)
        if not members:
            raise PatternError("no byte is in a […]")
        return members

    def _member(self) -> int:
        """Read one character of a class, or a set of them."""
        character = self._text[self.place : self.place + 1]
        self.place += 1
        if not character:
            raise PatternError("a [ is not closed")
        if not character.isascii():
            raise PatternError(f"{character} in […] is no ASCII character: write (?:…|…)")
        return self._escape() if character == "\\" else 1 << ord(character)

    def _escape(self) -> int:
        """Read what stands after a backslash."""
        letter = self._text[self.place : self.place + 1]
        self.place += 1
        if letter in _SETS:
            return _SETS[letter]
        if letter == "0" and self._text[self.place : self.place + 1].isdigit():
            raise PatternError(f"\\0{self._text[self.place]} is not supported: write \\xHH for a byte")
        if letter in _CONTROLS:
            return 1 << _CONTROLS[letter]
        digits = _TWO_DIGITS.match(self._text, self.place)
        if letter == "x" and digits is not None:
            self.place += 2
            return 1 << int(digits[0], 16)
        if not letter or letter.isalnum() or not letter.isascii():
            raise PatternError(f"\\{letter} is not supported")
        return 1 << ord(letter)

    def _literal(self, character: str) -> Node:
        items = tuple(self._bytes(1 << byte) for byte in character.encode())
        return items[0] if len(items) == 1 else Sequence(items, len(items))

    def _bytes(self, members: int) -> Bytes:
        return Bytes(self._of_any_case(members), self._secret)

    def _of_any_case(self, members: int) -> int:
        if not self._any_case:
            return members
        return members | (members & _LOWER) >> 32 | (members & _UPPER) << 32

    def _took(self, text: str) -> bool:
        if not self._text.startswith(text, self.place):
            return False
        self.place += len(text)
        return True


def _bounds(match: re.Match[str]) -> tuple[int, int | None]:
    simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
    if match[0] in simple:
        return simple[match[0]]
    exactly, least, most = match.groups()
    if exactly is not None:
        return _number(exactly), _number(exactly)
    return _number(least or "0"), _number(most) if most else None


def _number(digits: str) -> int:
    return int(digits[-6:]) if digits[:-6].strip("0") == "" else POSITIONS_MAX + 1


def _checked(size: int) -> int:
    if size > POSITIONS_MAX:
        raise PatternError(f"names {size} bytes with its counts written out, at most {POSITIONS_MAX} are allowed")
    return size
