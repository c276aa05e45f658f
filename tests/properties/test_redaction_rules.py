"""
Laws of masking by shape, against Python's own regular expressions asked at every place.

Patterns are small ones over few letters, with all that the notation has: groups, choices, counts, classes, and a part that alone is secret.
"""

from __future__ import annotations

import re
from unittest.mock import patch

from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.core import rule_search
from orchestrator.core.pattern_automaton import Automaton
from orchestrator.core.pattern_text import PatternError
from orchestrator.core.redaction import Redactor
from orchestrator.core.rule_search import BLOCK_BYTES
from orchestrator.core.token_rules import TOKEN_RULES

ATOMS = st.sampled_from(["a", "b", "ab", "[ab]", "[^a]", r"\w", ".", "[a-c]", r"\x61", "é"])
COUNTS = st.sampled_from(["*", "+", "?", "{2}", "{1,}", "{0,2}", "{2,3}", "{,2}"])
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("(?:{}|{})".format, inner, inner),
        st.builds("({}){}".format, inner, COUNTS),
    ),
    max_leaves=6,
)
TEXTS = st.text(alphabet="aaabbc é\n", max_size=24).map(str.encode)
SMALL_BLOCK = 16
"""No less than the heads of patterns have bytes."""


def is_usable(pattern: str) -> bool:
    """Whether *pattern* is none that also matches the empty text."""
    try:
        Automaton(pattern)
    except PatternError:
        return False
    return True


def covered(patterns: list[str], data: bytes) -> bytes:
    """Return an `x` for each byte of *data* that lies in any match of any pattern, and a dot for the others."""
    found = bytearray(b"." * len(data))
    for pattern in patterns:
        whole = re.compile(pattern.encode())
        for start in range(len(data)):
            for end in range(start + 1, len(data) + 1):
                if whole.fullmatch(data, start, end):
                    found[start:end] = b"x" * (end - start)
    return bytes(found)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Return *data* cut at *places*."""
    cuts = sorted(min(place, len(data)) for place in places)
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def fed(redactor: Redactor, chunks: list[bytes]) -> tuple[bytes, dict[str, int]]:
    """Return all that a stream shows of *chunks*, and its counts."""
    stream = redactor.stream()
    shown = b"".join([stream.feed(chunk) for chunk in chunks])
    return shown + stream.flush(), stream.counts


def same_however_cut(redactor: Redactor, data: bytes, places: list[int]) -> bytes:
    """Return what is shown of *data*, having compared it whole, cut at *places*, and byte by byte."""
    whole = fed(redactor, [data])

    assert whole == fed(redactor, cut(data, places))
    assert whole == fed(redactor, [data[place : place + 1] for place in range(len(data))])
    return whole[0]


class TestPatterns:
    """What holds for all patterns and all output."""

    @given(
        st.lists(PATTERNS.filter(is_usable), min_size=1, max_size=3), TEXTS, st.lists(st.integers(0, 30), max_size=4)
    )
    @example(["(a+)+b"], b"aaaabaaaa", [3])
    @example(["(?:ab|b)+", "aab"], b"aabab", [1, 2])
    def test_every_match_is_masked_and_nothing_else(self, patterns: list[str], data: bytes, places: list[int]) -> None:
        """Of the longest matches from every beginning, the union; each run of it is one mask."""
        expected = bytearray()
        for run in re.finditer(rb"x+|\.+", covered(patterns, data)):
            expected += b"***" if run[0].startswith(b"x") else data[run.start() : run.end()]

        assert bytes(expected) == same_however_cut(Redactor(patterns=patterns), data, places)

    @given(
        st.lists(
            st.one_of(PATTERNS, st.builds("{}(?P<secret>{}){}".format, PATTERNS, PATTERNS, PATTERNS)).filter(is_usable),
            min_size=1,
            max_size=3,
        ),
        st.text(alphabet="aaabbc é\n", max_size=120).map(str.encode),
        st.lists(st.integers(0, 120), max_size=6),
    )
    @example(["a+b"], b"a" * 40 + b"c", [5])
    @example(["(?:a(?P<secret>b))+c", "b"], b"ab" * 20, [9, 17])
    def test_cuts_make_no_difference_where_nothing_ends(
        self, patterns: list[str], data: bytes, places: list[int]
    ) -> None:
        """Also where what may be a match goes on for longer than is waited for, beside a declared secret; and nothing waits for longer."""
        with patch.object(rule_search, "BLOCK_BYTES", SMALL_BLOCK):
            redactor = Redactor(["abcabcab"], patterns=patterns)
            same_however_cut(redactor, data, places)
            stream = redactor.stream()
            for byte in data:
                stream.feed(bytes([byte]))
                assert len(stream._held) < 2 * SMALL_BLOCK

    @given(PATTERNS.filter(is_usable), TEXTS)
    def test_what_is_given_up_waiting_for_is_masked(self, pattern: str, data: bytes) -> None:
        """However little is waited for, no byte of a match is shown."""
        with patch.object(rule_search, "BLOCK_BYTES", SMALL_BLOCK):
            shown = same_however_cut(Redactor(patterns=[pattern]), data, [])

        assert len(shown.replace(b"***", b"")) <= covered([pattern], data).count(b".")


SMALL_BLOCK_OF_TOKENS = 24
"""No less than the heads of the built-in rules have bytes."""
TOKENS = st.sampled_from([rule.pattern for rule in TOKEN_RULES]).flatmap(
    lambda pattern: st.from_regex(re.compile(pattern.replace("?P<secret>", "?:").encode()), fullmatch=True)
)
NOISE = st.sampled_from(
    [b"a" * 80, b" ", b"\n", b"://", b"eyJ", b"ghp_", b"-----BEGIN ", b"x", b"=", b":", b"@", b"hunter22"]
)


class TestTokens:
    """What holds for the built-in rules."""

    @given(
        st.lists(st.one_of(TOKENS, NOISE), max_size=8),
        st.lists(st.integers(0, 600), max_size=6),
        st.sampled_from([SMALL_BLOCK_OF_TOKENS, BLOCK_BYTES]),
    )
    @example([b"http://host:", b"a" * 80, b" "], [60], SMALL_BLOCK_OF_TOKENS)
    def test_cuts_make_no_difference(self, pieces: list[bytes], places: list[int], block: int) -> None:
        """Tokens, beginnings of them and noise, run together, beside a declared secret, however little is waited for."""
        with patch.object(rule_search, "BLOCK_BYTES", block):
            same_however_cut(Redactor(["hunter22-tr0ub4dor"], builtin=True), b"".join(pieces), places)

    @given(TOKENS)
    def test_every_token_is_masked(self, token: bytes) -> None:
        """Whatever Python's expression of the same text makes."""
        redactor = Redactor(builtin=True)

        assert token != fed(redactor, [token])[0]
        assert sum(fed(redactor, [token])[1].values()) >= 1
