"""Tests of masking by shape: what may stand in a pattern, what the built-in rules take for a token, and how long is waited."""

from __future__ import annotations

import random
import re
import string
from collections import Counter
from collections.abc import Iterator

import pytest

from orchestrator.core import pattern_automaton, rule_search
from orchestrator.core.pattern_automaton import Automaton, State
from orchestrator.core.pattern_text import POSITIONS_MAX, PatternError
from orchestrator.core.redaction import Redactor
from orchestrator.core.rule_search import BLOCK_BYTES, HELD_BYTES_MAX, NextStart, Scanned
from orchestrator.core.token_rules import TOKEN_RULES

ALNUM = string.ascii_letters + string.digits
KEEP_GOING = ALNUM * 100
BODY = "\n".join("MIIEpAIBAAKCAQEA" + "x+/Y" * 12 for _ in range(25))


def masked(redactor: Redactor, text: str) -> tuple[str, dict[str, int]]:
    """Return what a stream shows of *text*, whole and in pieces alike, and what it counted: bytes, and a few of them where there are thousands."""
    whole, cut, data = redactor.stream(), redactor.stream(), text.encode()
    shown = whole.feed(data) + whole.flush()
    size = 1 + len(data) // 1000

    assert shown == b"".join(cut.feed(data[at : at + size]) for at in range(0, len(data), size)) + cut.flush()
    assert whole.counts == cut.counts
    return shown.decode(), {name: count for name, count in whole.counts.items() if count}


def counted_steps(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count from now on the bytes that are stepped over by automata, forward and backward."""
    steps: Counter[str] = Counter()
    zones_of, before = Scanned._zones_of, Automaton.before

    def forward(self: Scanned, buffer: bytes, next_start: NextStart) -> Iterator[tuple[int, list[State]]]:
        for place, states in zones_of(self, buffer, next_start):
            steps["forward"] += len(states)
            yield place, states

    def backward(self: Automaton, positions: int) -> int:
        steps["backward"] += 1
        return before(self, positions)

    monkeypatch.setattr(Scanned, "_zones_of", forward)
    monkeypatch.setattr(Automaton, "before", backward)
    return steps


class TestPatternText:
    """What may stand in a pattern."""

    @pytest.mark.parametrize(
        ("pattern", "text", "shown"),
        [
            ("ACME-[0-9]{6}", "(ACME-123456)", "(***)"),
            (r"cust\d{3,}", "cust12 cust1234x", "cust12 ***x"),
            ("(?i)key-[a-f]+", "KEY-aB kEy-F", "*** ***"),
            ("(?i)[^a]x", "Ax ax bX", "Ax ax ***"),
            (r"p(?:ass)?w=(?P<secret>\S+)", "pw=a passw=bc d", "pw=*** passw=*** d"),
            ("grün{2}", "grünn grün", "*** grün"),
            ("a|bc|", None, "also matches the empty text"),
            (r"[]x]{2}-[\x41-C]", "]x-B ]x-D", "*** ]x-D"),
            (r"\xff?\t\.\-z", "\t.-z", "***"),
            ("{a}{,2}b", "{a}}b {ab", "*** ***"),
            ("a{2}{", "aa{", "***"),
            ("x{,}y", "xxxy", "***"),
            ("(a+)+b", "aaaab aaa", "*** aaa"),
            ("(?:a?){3}b", "aab", "***"),
            ("[a-]{3}", "a-a b", "*** b"),
            ("a.c", "a\nc abc", "a\nc ***"),
            (r"\W\D\S", "1-x2", "1***"),
            (r"x\0(?P<secret>a)", "x\0a", "x\0***"),
            (r"[(?P<secret>]{3}", "(P<x >", "***x >"),
            (r"a\(?P<secret>b", "a(P<secret>b", "***"),
            ("foo(?P<secret>bar)?", "foobar foo", "foo*** foo"),
            ("[0-9]{4} [0-9]{4} [0-9]{4}", "1234 5678 9012 3456x", "***x"),
        ],
    )
    def test_it_is_read(self, pattern: str, text: str | None, shown: str) -> None:
        """As Python reads it, over bytes."""
        if text is None:
            with pytest.raises(PatternError, match=shown):
                Redactor(patterns=[pattern])
            return
        assert shown == masked(Redactor(patterns=[pattern]), text)[0]

    @pytest.mark.parametrize(
        ("pattern", "why"),
        [
            ("", "empty text"),
            ("a*", "empty text"),
            ("(a", "a ( is not closed"),
            ("a)b", "a ) closes nothing"),
            ("[a", "a [ is not closed"),
            ("[^\\x00-\\xff]", "no byte is in"),
            ("[b-a]", "a range in"),
            (r"[\w-z]", "a range in"),
            ("[é]", "é in […] is no ASCII character"),
            ("*a", "nothing stands before *"),
            ("a|+", "nothing stands before +"),
            ("a+*", "+ is repeated itself"),
            ("a+?b", "+? is not supported: the longest match is masked"),
            ("a{3,2}", "{3,2} ends below its beginning"),
            ("^a", "leave ^ out"),
            ("a$", "leave $ out"),
            (r"\bfoo", r"\b is not supported"),
            (r"(a)\1", r"\1 is not supported"),
            (r"tok\055", r"\05 is not supported: write \xHH"),
            (r"[\09]", r"\09 is not supported: write \xHH"),
            ("abc(?P<secret>)", "(?P<secret>…) holds no byte"),
            ("abc(?P<secret>d){0}", "(?P<secret>…) holds no byte"),
            ("a\\", "\\ is not supported"),
            ("(?=a)b", "(?=a is not supported"),
            ("(?P<name>a)", "(?P< is not supported"),
            ("(" * 50, "nested more than"),
            (f"a{{{POSITIONS_MAX + 1}}}", "bytes with its counts written out"),
            ("a{99999999999999999999}", "bytes with its counts written out"),
            ("(){1000000}", "bytes with its counts written out"),
            ("((a{9}){9}){99}", "bytes with its counts written out"),
            ("a" * 1001, "1001 characters"),
            ("\ud800", "no Unicode"),
        ],
    )
    def test_it_is_refused(self, pattern: str, why: str) -> None:
        """With the reason."""
        with pytest.raises(PatternError, match=re.escape(why)):
            Automaton(pattern)

    def test_a_pattern_of_leading_zeros(self) -> None:
        """A count is a number, however it is written."""
        assert "***" == Redactor(patterns=["a{0000000003}"]).redact("aaa")


class TestPatterns:
    """What is masked of a stream."""

    def test_counts_have_the_place_of_the_pattern(self) -> None:
        """Beside the names of secrets; what overlaps is one mask and counts for both."""
        redactor = Redactor({"TOKEN": "hunter22"}, patterns=["never", "22-[0-9]+"])

        assert ("***, ***.", {"TOKEN": 1, "pattern:2": 2}) == masked(redactor, "hunter22-17, 22-4.")

    def test_names_of_things_keep_what_only_has_a_shape(self) -> None:
        """A file is found by its name; declared values are masked there too."""
        redactor = Redactor({"TOKEN": "hunter22"}, patterns=["file-[0-9]+"], builtin=True)

        assert "***-file-1 AKIAIOSFODNN7EXAMPLE" == redactor.redact_name("hunter22-file-1 AKIAIOSFODNN7EXAMPLE")
        assert "***-*** ***" == redactor.redact("hunter22-file-1 AKIAIOSFODNN7EXAMPLE").replace("******", "***-***")

    @pytest.mark.parametrize(
        ("patterns", "head", "goes_on"),
        [
            (["(a+)+b"], b"", b"a"),
            (["abc[^\\n]*(?P<secret>SECRET)"], b"abc", b"a"),
            (["abc(?P<secret>x?)y*z"], b"abc", b"y"),
            (["abc(?P<secret>x?)y*z"], b"abcx", b"y"),
            (["abc(?P<secret>x?)(y|z)*"], b"abc", b"yz"),
            ([], b"://", b"a"),
            ([], b"://u:", b"p"),
            ([], b"eyJ", b"a"),
            ([], b"", b"eyJ"),
            ([], b"eyJhbGciOiJIUzI1NiJ9.eyJ", b"a"),
            ([], b"-----BEGIN PRIVATE KEY-----\n", b"a"),
            ([], b"-----BEGIN PRIVATE KEY-----\nA: ", b"a"),
        ],
    )
    @pytest.mark.parametrize("piece", [None, 5000])
    def test_it_takes_linear_time(
        self, patterns: list[str], head: bytes, goes_on: bytes, piece: int | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Given what only begins like a match and goes on, then twice as much of it is at most twice the work, in one text or in many."""
        steps = counted_steps(monkeypatch)
        size = 16 * BLOCK_BYTES
        taken = []
        for length in (size, 2 * size):
            steps.clear()
            data = head + goes_on * (length // len(goes_on))
            stream = Redactor(patterns=patterns, builtin=True).stream()
            for place in range(0, length, piece or len(data)):
                stream.feed(data[place : place + (piece or len(data))])
            taken.append(steps.total())

        assert 0 < taken[1] <= 2.1 * taken[0]
        assert taken[1] < 5 * 2 * size

    @pytest.mark.parametrize("piece", [999, 1 << 14])
    def test_states_that_never_recur_take_linear_time(self, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given beginnings of tokens inside of others, at ever new distances, then a byte still costs no more than a few steps."""
        steps = counted_steps(monkeypatch)
        data = b"".join(random.Random(1).choices([b"eyJ", b"a", b"b"], k=8 * BLOCK_BYTES))  # noqa: S311 -- made up
        stream = Redactor(builtin=True).stream()
        for place in range(0, len(data), piece):
            stream.feed(data[place : place + piece])

        assert len(data) < steps["forward"] + steps["backward"]
        # What is held is gone over again with each piece.
        assert steps.total() < 5 * (len(data) + len(data) // piece * HELD_BYTES_MAX)

    def test_what_was_met_has_a_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A text that makes ever new states is searched all the same, and memory stays bounded."""
        monkeypatch.setattr(pattern_automaton, "_STATES_MAX", 3)
        redactor = Redactor(patterns=["[ab]{3}a[ab]{5}c"])
        text = "abbabaabbbaabab" * 5 + "c"

        assert masked(Redactor(patterns=["[ab]{3}a[ab]{5}c"]), text) == masked(redactor, text)
        assert masked(redactor, "babbabaabac") == ("b***", {"pattern:1": 1})


class TestWaiting:
    """What may still be a match is held back, and not for ever."""

    def test_a_beginning_is_held(self) -> None:
        """And shown as soon as it is none."""
        stream = Redactor(patterns=["tok_[a-z]{4}!"]).stream()

        assert b"a " == stream.feed(b"a tok_abc")
        assert b"tok_abc-" == stream.feed(b"-")
        assert b"" == stream.feed(b"tok_abcd")
        assert b"***\n" == stream.feed(b"!\n")

    def test_only_what_would_be_masked_is_held(self) -> None:
        """What stands before the secret part is shown at once, and is remembered."""
        stream = Redactor(builtin=True).stream()

        assert b"http://example.net" == stream.feed(b"http://example.net")
        assert b":" == stream.feed(b":8080")
        assert b"8080/\n" == stream.feed(b"/\n")
        assert b"http://bob" == stream.feed(b"http://bob")
        assert b":***@host\n" == stream.feed(b":pass") + stream.feed(b"word@host\n")

    def test_a_long_beginning_is_masked(self) -> None:
        """Given what goes on and on, then it is masked without its end, and little is held."""
        stream = Redactor(patterns=["key=[a-z]+;"]).stream()
        shown, most, fed = b"", 0, b"-" * 1000 + b"key=" + b"x" * (5 * BLOCK_BYTES)
        for place in range(0, len(fed), 100):
            shown += stream.feed(fed[place : place + 100])
            most = max(most, len(stream._held))
        shown += stream.feed(b"\n")

        assert BLOCK_BYTES < most < HELD_BYTES_MAX
        assert re.fullmatch(rb"-{1000}\*\*\*x*\n", shown)
        assert len(shown) < BLOCK_BYTES + 1010
        assert shown == Redactor(patterns=["key=[a-z]+;"]).stream().feed(fed + b"\n")

    def test_the_end_forgets(self) -> None:
        """After a flush comes another text."""
        stream = Redactor(patterns=["tok_[a-z]{4}"]).stream()

        assert b"tok_ab" == stream.feed(b"tok_ab") + stream.flush()
        assert b"cd" == stream.feed(b"cd") + stream.flush()


class TestTokens:
    """What the built-in rules take for a token."""

    @pytest.mark.parametrize(
        ("name", "text", "shown"),
        [
            ("github", f"x ghp_{ALNUM[:36]}.", "x ***."),
            ("github", f"gho_{ALNUM[:40]}", "***"),
            ("github", f"github_pat_{ALNUM[:22]}_{ALNUM[:59]}", "***"),
            ("gitlab", f"glpat-{ALNUM[:20]}", "***"),
            ("aws", "id AKIAIOSFODNN7EXAMPLE", "id ***"),
            ("aws", "ASIAIOSFODNN7EXAMPLE,", "***,"),
            ("aws", f"aws_secret_access_key = {ALNUM[:38]}/+", "aws_secret_access_key = ***"),
            ("aws", f'"SecretAccessKey": "{ALNUM[:40]}",', '"SecretAccessKey": "***",'),
            ("slack", "xox" + "b-123456789012-abcdef", "***"),
            ("google", f"AIza{ALNUM[:35]}", "***"),
            ("stripe", "sk_" + f"live_{ALNUM[:24]}", "***"),
            ("npm", f"npm_{ALNUM[:36]}", "***"),
            ("pypi", f"pypi-AgEIcHlwaS5vcmc{ALNUM[:40]}", "***"),
            ("jwt", "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln-_.", "Bearer ***."),
            ("jwt", f"eyJ{KEEP_GOING[:900]}.eyJ.", "***"),
            ("jwt", f"eyJ{KEEP_GOING[:500]}.eyJ{KEEP_GOING[:1500]}.{KEEP_GOING[:1000]}", "***"),
            ("jwt", f"eyJ{KEEP_GOING}eyJhbGciOiJIUzI1NiJ9.eyJ.x y", f"eyJ{KEEP_GOING}*** y"),
            ("url", f"https://u:{KEEP_GOING[:3000]}@host", "https://u:***@host"),
            ("url", "postgres://bob:s3cret@db:5432/x", "postgres://bob:***@db:5432/x"),
            ("url", "redis://:pa@ss@h", "redis://:***@h"),
            (
                "private_key",
                f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\nab==\n-----END RSA PRIVATE KEY-----\nafter",
                "-----BEGIN RSA PRIVATE KEY-----\n***\n-----END RSA PRIVATE KEY-----\nafter",
            ),
            (
                "private_key",
                "-----BEGIN PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n" + BODY + "\nwas cut off",
                "-----BEGIN PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n***\nwas cut off",
            ),
            (
                "private_key",
                f"-----BEGIN PRIVATE KEY-----\\n{BODY[:64]}\\nab==\\n-----END PRIVATE KEY-----\\n",
                "-----BEGIN PRIVATE KEY-----\\n***\\n-----END PRIVATE KEY-----\\n",
            ),
        ],
    )
    def test_a_token_is_masked(self, name: str, text: str, shown: str) -> None:
        """And counts for its rule."""
        assert (shown, {f"builtin:{name}": 1}) == masked(Redactor(builtin=True), text)

    @pytest.mark.parametrize(
        "text",
        [
            "2026-01-31 02:00:01 INFO GET https://example.org:8080/x?mail=anna@example.org 200 in 0.12s",
            "git clone ssh://git@example.org/shop.git into /srv/npm_cache",
            "a digest sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "-----BEGIN CERTIFICATE-----\nMIIBszCCARwCCQ\n-----END CERTIFICATE-----",
            "run 20260131T020000Z-000abcdef of flights: 336776 rows, 4.2 MiB",
            "the head eyJ and ghp_ and AKIA alone, sk_live_short, pypi-simple, xoxb-1",
            '["http://example.org:80", "anna@example.org"]',
            "eyJ" + KEEP_GOING + "=",
            "eyJ" + KEEP_GOING + ".eyJh.x",
            "http://localhost:" + ALNUM * 30 + " and so on",
        ],
    )
    def test_an_ordinary_line_is_not(self, text: str) -> None:
        """What only looks a little like one stays."""
        assert (text, {}) == masked(Redactor(builtin=True), text)

    def test_heads_are_those_of_the_patterns(self) -> None:
        """They stand beside the patterns so that nothing has to be made at the start; here they are made."""
        for rule in TOKEN_RULES:
            assert rule.heads is not None
            assert set(rule.heads) == {
                head for head in rule.heads if any(head.startswith(given) for given in rule.automaton.heads())
            }
            assert all(any(head.startswith(given) for head in rule.heads) for given in rule.automaton.heads())

    def test_off(self) -> None:
        """Whoever wants none has none."""
        assert "AKIAIOSFODNN7EXAMPLE" == Redactor({"A": "abcdef"}).redact("AKIAIOSFODNN7EXAMPLE")


def test_a_block_is_longer_than_any_head() -> None:
    """What waits for as long as a block was seen from its beginning."""
    heads = [head for rule in TOKEN_RULES for head in rule.beginnings]

    assert max(map(len, heads)) < rule_search.BLOCK_BYTES
    assert pattern_automaton.HEAD_BYTES_MAX < rule_search.BLOCK_BYTES
