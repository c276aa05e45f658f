"""Tests of masking: what is registered, what is found of it, how masks join, and what is held back."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from ahocorasick_rs import BytesAhoCorasick

from orchestrator.core.needles import SPACE_BYTES_MAX, Needle
from orchestrator.core.redaction import MASK, Redactor
from orchestrator.core.secret_forms import FORM_BYTES_MIN, as_bytes, forms_of

TOKEN = "hunter22-tr0ub4dor"
HOSTILE = "}#T14'GAz&H!{$U_\"<\\/é ~"
BUNDLE = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nab12\n-----END KEY-----\n"


def counted(method: Callable[..., object], counts: Counter[str]) -> Callable[..., object]:
    """Return *method*, whose calls are counted."""

    def call(*arguments: object) -> object:
        counts[method.__name__] += 1
        return method(*arguments)

    return call


def masked(redactor: Redactor, data: bytes) -> bytes:
    """Return all that a new stream shows of *data*."""
    stream = redactor.stream()
    return stream.feed(data) + stream.flush()


class TestRegistration:
    """Which values are looked for, and under which names."""

    def test_a_mapping_gives_the_names(self) -> None:
        """Text and bytes mix."""
        redactor = Redactor({"A": TOKEN, "B": b"another-one"})
        shown = redactor.feed(b"hunter22-tr0ub4dor, another-one, another-one.")

        assert b"***, ***, ***." == shown + redactor.flush()
        assert {"A": 1, "B": 2} == redactor.counts

    def test_mere_values_are_numbered(self) -> None:
        """Their place is their name, also where one before them is ignored."""
        values: list[str | bytes] = [TOKEN, "tiny", b"\xff\xfe\xfd\x00\x01\x02"]
        redactor = Redactor(iter(values))
        redactor.feed(b"\xff\xfe\xfd\x00\x01\x02.")

        assert {"secret_1": 0, "secret_3": 1} == redactor.counts
        assert ("secret_2",) == redactor.ignored

    def test_one_value_alone_is_one_secret(self) -> None:
        """A text is not taken for an iterable of letters."""
        assert b"<***>" == masked(Redactor(TOKEN), b"<hunter22-tr0ub4dor>")
        assert b"<***>" == masked(Redactor(b"hunter22-tr0ub4dor"), b"<hunter22-tr0ub4dor>")

    @pytest.mark.parametrize(
        "value", ["", "12345", "ünü", "      ", "\n\n\n\n\n\n\n", "\N{NO-BREAK SPACE}" * 6, b" \t\r\n\x0b\x0c  "]
    )
    def test_short_and_blank_values_are_ignored(self, value: str | bytes) -> None:
        """Neither they nor their longer encodings are masked; their names are told."""
        redactor = Redactor({"SMALL": value, "TOKEN": TOKEN})
        data = as_bytes(value) if isinstance(value, str) else value
        printed = b"|" + data + b"|" + data.hex().encode() + b"|" + base64.b64encode(data * 3) + b"|"

        assert ("SMALL",) == redactor.ignored
        assert printed == masked(redactor, printed)

    def test_six_bytes_are_enough(self) -> None:
        """The limit counts bytes."""
        assert b"-***-***-" == masked(Redactor(["123456", "üöä"]), "-123456-üöä-".encode())

    def test_a_value_of_two_names_counts_for_both(self) -> None:
        """Nobody is told that a secret was not printed when it was."""
        redactor = Redactor({"OLD": TOKEN, "NEW": TOKEN})
        redactor.feed(TOKEN.encode() + b"\n")

        assert {"OLD": 1, "NEW": 1} == redactor.counts

    def test_the_representation_tells_nothing(self) -> None:
        """A traceback with locals shows how many secrets there are."""
        redactor = Redactor({"A": TOKEN, "B": "x"})

        assert "<Redactor of 1 secrets>" == repr(redactor)
        assert TOKEN not in repr(vars(redactor))


class TestNoSecrets:
    """Nothing is looked for, and nothing is paid."""

    @pytest.mark.parametrize("secrets", [[], {}, ["tiny"]])
    def test_everything_passes_as_it_is(self, secrets: list[str]) -> None:
        """The same object comes back."""
        redactor, data = Redactor(secrets), b"some \xff output"

        assert redactor.feed(data) is data
        assert b"" == redactor.flush()
        assert {} == redactor.counts
        assert "text \ud800" == redactor.redact("text \ud800")

    def test_the_search_is_imported_for_secrets_only(self) -> None:
        """Whoever has none does not wait for it."""
        code = (
            "import sys; from orchestrator.core.redaction import Redactor\n"
            "for secrets in [], ['tiny'], ['long enough']:\n"
            "    Redactor(secrets); print('ahocorasick_rs' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

        assert ["False", "False", "True"] == done.stdout.split()


class TestEncodings:
    """A secret is found as programs print it by themselves."""

    @pytest.mark.parametrize(
        ("secret", "printed"),
        [
            pytest.param(HOSTILE, HOSTILE, id="as it is"),
            pytest.param(f"  {TOKEN}\t", TOKEN, id="trimmed"),
            pytest.param(f"'{TOKEN}'", TOKEN, id="single quotes removed"),
            pytest.param(f'"{TOKEN}"', TOKEN, id="double quotes removed"),
            pytest.param(r"tab\there\\quote\"", 'tab\there\\quote"', id="escapes decoded"),
            pytest.param(r"\x41\102\u0043\ud83d\ude00\101bc\q", "ABC😀Abc\\q", id="numeric escapes decoded"),
            pytest.param(r"first\n1second", "first\n1second", id="escape before a digit"),
            pytest.param(HOSTILE, json.dumps(HOSTILE)[1:-1], id="JSON, ASCII"),
            pytest.param(HOSTILE, json.dumps(HOSTILE, ensure_ascii=False)[1:-1], id="JSON, Unicode"),
            pytest.param("scheme://é", r"scheme:\/\/\u00e9", id="JSON of PHP"),
            pytest.param("a<b>&c-d", r"a\u003cb\u003e\u0026c-d", id="JSON of Go"),
            pytest.param(HOSTILE, repr(HOSTILE)[1:-1], id="repr"),
            pytest.param("it's here", repr("\"it's here")[2:-1], id="repr with both quotes"),
            pytest.param("naïve'\x00", ascii("naïve'\x00")[1:-1], id="ascii"),
            pytest.param("naïve\x00", r"na\xc3\xafve\x00", id="repr of bytes"),
            pytest.param(b'\x07\x1b\x7f\xff"\\ab\xc2\x85\xe2\x80\x8b\xf3\xa0\x80\x81', r"\a\x1b\x7f\xff\"\\ab\u0085\u200b\U000e0001", id="Go %q"),
            pytest.param("a b/c+d?é!", "a%20b%2Fc%2Bd%3F%C3%A9%21", id="percent"),
            pytest.param("a b/c+d?é!", "a%20b%2fc%2bd%3f%c3%a9%21", id="percent in small letters"),
            pytest.param("a b/c+d?é!", "a%20b/c%2Bd%3F%C3%A9%21", id="percent, slash kept"),
            pytest.param("a b/c+d?é!", "a+b%2Fc%2Bd%3F%C3%A9%21", id="form"),
            pytest.param("a b/c+d?é!", "a%20b%2Fc+d%3F%C3%A9%21", id="percent, plus kept"),
            pytest.param("a b/c+d?é!", "a%20b%2Fc%2Bd%3F%C3%A9!", id="encodeURIComponent"),
            pytest.param("a b/c+d?é!", "a%20b/c+d?%C3%A9!", id="encodeURI"),
            pytest.param(HOSTILE, shlex.quote(HOSTILE)[1:-1], id="shlex"),
            pytest.param("don't do", r"don'\''t do", id="single quotes"),
            pytest.param('a"b$c`d\\', r'a\"b\$c\`d\\', id="double quotes"),
            pytest.param('a"b$c-d', r'a\"b$c-d', id="double quote escaped"),
            pytest.param("#a b'c,d=~e~", r"\#a\ b\'c\,d=\~e~", id="bash %q"),
            pytest.param("a-b.c_d", r"a\-b\.c_d", id="quotemeta"),
            pytest.param(r"a\b\c\defg", "abcdefg", id="backslashes removed"),
            pytest.param("é\x1b'\\\n\x7fx", "é\\E\\'\\\\\\n\\177x", id="$'…'"),
            pytest.param("é\x1b'\\\n\x01x", "\\303\\251\\E\\'\\\\\\n\\001x", id="$'…', ASCII"),
            pytest.param(HOSTILE, html.escape(HOSTILE), id="HTML"),
            pytest.param("a<b>&'\"", "a&lt;b&gt;&amp;'\"", id="XML text"),
            pytest.param("a<b>&'\"", "a&lt;b&gt;&amp;&apos;&quot;", id="XML"),
            pytest.param("a<b>&'\"", "a&lt;b&gt;&amp;&#39;&#34;", id="HTML of Go"),
            pytest.param("it's here", "it''s here", id="SQL"),
            pytest.param('so "called"', 'so ""called""', id="CSV"),
            pytest.param("US$ 100", "US$$ 100", id="make"),
            pytest.param(TOKEN, TOKEN.encode().hex(), id="hex"),
            pytest.param(TOKEN, TOKEN.encode().hex().upper(), id="hex in capitals"),
            pytest.param(b"\xff" * 3 + b"\xfb" * 5, base64.b64encode(b"\xff" * 3 + b"\xfb" * 5).decode(), id="base64"),
            pytest.param(b"\xff" * 3 + b"\xfb" * 5, base64.urlsafe_b64encode(b"\xff" * 3 + b"\xfb" * 5).decode(), id="base64, URL"),
            pytest.param(b"\xff" * 3 + b"\xfb" * 5, base64.b64encode(b"\xff" * 3 + b"\xfb" * 5).decode().rstrip("="), id="base64, unpadded"),
            pytest.param("x" * 60, base64.encodebytes(b"x" * 60).decode().rstrip(), id="base64 in lines of 76"),
        ],
    )  # fmt: skip
    def test_whole_form_is_masked(self, secret: str | bytes, printed: str) -> None:
        """Nothing of it is left, and what stands around it is."""
        assert b"[***]" == masked(Redactor([secret]), b"[" + printed.encode() + b"]")

    @pytest.mark.parametrize("before", ["", "u", "u:", "us:"])
    @pytest.mark.parametrize("after", ["", "\n", "@h", "@ho"])
    def test_base64_hides_the_secret_between_others(self, before: str, after: str) -> None:
        """What is left at the edges are the digits that neighbours share."""
        encoded = base64.b64encode(f"{before}{TOKEN}{after}".encode())
        shown = masked(Redactor([TOKEN]), encoded)
        left, right = shown.split(MASK)

        assert len(left) <= -(-len(before) * 8 // 6)
        assert len(right.rstrip(b"=")) <= -(-(len(after) + 1) * 8 // 6)

    def test_escapes_of_bytes(self) -> None:
        """What an octal escape has beyond a byte is dropped, as shells do."""
        assert b"[***]" == masked(Redactor([r"\777\xfeabcd"]), b"[\xff\xfeabcd]")

    def test_an_unknown_encoding_is_not_masked(self) -> None:
        """Backwards is a way to print a secret on purpose."""
        assert TOKEN[::-1].encode() == masked(Redactor([TOKEN]), TOKEN[::-1].encode())

    def test_text_that_is_no_unicode(self) -> None:
        """Any surrogate makes bytes."""
        assert b"\xff-\xc3\xa9" == as_bytes("\udcff-é")
        assert b"\xed\xa0\x80-" == as_bytes("\ud800-")

    def test_forms_are_long_enough_and_not_blank(self) -> None:
        """No form of any part is shorter than six bytes; each comes once."""
        forms = forms_of(rb"abcde\n\n\n\n\n\n")

        assert len(set(forms)) == len(forms)
        assert all(sum(map(len, form)) + len(form) - 1 >= 6 for form in forms)
        assert ((b"abcde\n\n\n\n\n\n",) in forms, (b"abcde",) in forms, (b"",) in forms) == (True, False, False)


class TestLines:
    """A secret of several lines is found however its lines are broken."""

    @pytest.mark.parametrize(
        "printed",
        [
            BUNDLE.rstrip(),
            BUNDLE.rstrip().replace("\n", "\r\n"),
            BUNDLE.rstrip().replace("\n", "\r\r\n"),
            BUNDLE.rstrip().replace("\n", " "),
            BUNDLE.rstrip().replace("\n", "\n        "),
            BUNDLE.rstrip().replace("\n", "\\n"),
            json.dumps(BUNDLE.rstrip())[1:-1],
            base64.encodebytes(BUNDLE.encode()).decode().rstrip(),
        ],
    )
    def test_whole_value_is_one_mask(self, printed: str) -> None:
        """A short line inside is masked with the others."""
        assert b">***<" == masked(Redactor([BUNDLE]), f">{printed}<".encode())

    def test_any_line_break_stands_for_any_other(self) -> None:
        """Old line ends in the value, new ones in the stream."""
        redactor = Redactor([BUNDLE.replace("\n", "\r")])

        assert b"***\n" == masked(redactor, BUNDLE.encode())

    def test_a_value_with_decoded_line_breaks(self) -> None:
        """An environment file often has the lines of a key in one."""
        redactor = Redactor([BUNDLE.replace("\n", r"\n")])

        assert b"***\n" == masked(redactor, BUNDLE.encode())

    @pytest.mark.parametrize("line", ["-----BEGIN KEY-----", "MIIEvQIBADANBgkq", "-----END KEY-----"])
    @pytest.mark.parametrize("break_", ["\n", "\r\n", "\r"])
    def test_long_lines_are_secrets_themselves(self, line: str, break_: str) -> None:
        """Whatever breaks the lines; a short one alone is shown."""
        redactor = Redactor([BUNDLE.replace("\n", break_)])

        assert b"- *** ab12" == masked(redactor, f"- {line} ab12".encode())

    def test_short_lines_are_found_together(self) -> None:
        """No line is long enough by itself."""
        redactor = Redactor(["abc\ndef"])

        assert b"*** *** abc def." == masked(redactor, b"abc\ndef abc\t\r\n def abc def.").replace(b"***.", b"abc def.")
        assert b"abc-def abcdef" == masked(redactor, b"abc-def abcdef")

    @pytest.mark.parametrize(
        "printed",
        [
            "ab longest-part ef",
            "x longest-part ef gh",
            "ab longest-part gh",
            "ab longest-partef",
            "ablongest-part ef gh",
        ],
    )
    def test_parts_alone_are_not_the_whole(self, printed: str) -> None:
        """Where a neighbour is another, or no space is between, the long line alone is masked."""
        redactor = Redactor(["ab\nlongest-part\nef\ngh"])

        assert printed.replace("longest-part", "***") == redactor.redact(printed)

    def test_a_run_of_space_has_a_limit(self) -> None:
        """What is held back has an end: a longer run is no line break."""
        redactor = Redactor(["abc\ndefghi"])
        longest = b"abc" + b" " * SPACE_BYTES_MAX + b"defghi"
        longer = b"abc" + b" " * (SPACE_BYTES_MAX + 1) + b"defghi"

        assert MASK == masked(redactor, longest)
        assert longer.replace(b"defghi", MASK) == masked(redactor, longer)

    def test_space_around_a_value_is_shown(self) -> None:
        """Lines stay lines."""
        assert b"  ***\n  ***\n" == masked(Redactor([f"  {TOKEN}\n"]), f"  {TOKEN}\n  {TOKEN}\n".encode())

    def test_a_short_value_in_space_is_found_exactly(self) -> None:
        """Five letters and a line break are six bytes; the letters alone are not."""
        redactor = Redactor(["abcde\n", "f\r\n \r\ng"])

        assert b"***abcde f g ***" == masked(redactor, b"abcde\nabcde f g f\r\n \r\ng")


class TestOverlaps:
    """Nothing is left of one secret beside another."""

    @pytest.mark.parametrize(
        ("secrets", "printed", "shown"),
        [
            (["abcdefgh", "efghijkl"], b"-abcdefghijkl-", b"-***-"),
            (["abcdef", "abcdefghij"], b"-abcdefghij-abcdef-", b"-***-***-"),
            (["abcdefghij", "cdefgh"], b"-abcdefghij-", b"-***-"),
            (["cdefgh", "abcdefgXYZ"], b"-abcdefghi-", b"-ab***i-"),
            (["abcdef", "ghijkl"], b"-abcdefghijkl-ghijklabcdef-", b"-***-***-"),
            (["aabaab"], b"aaabaabaabaa", b"a***aa"),
            (["aaaaaa"], b"aaaaa-aaaaaaaaaaaaaaa", b"aaaaa-***"),
        ],
        ids=["overlap", "prefix", "inside", "cut off", "touching", "itself", "repeated"],
    )
    def test_one_mask_covers_the_union(self, secrets: list[str], printed: bytes, shown: bytes) -> None:
        """The same whole, and one byte at a time."""
        redactor = Redactor(secrets)
        stream = redactor.stream()
        by_bytes = b"".join(stream.feed(printed[place : place + 1]) for place in range(len(printed)))

        assert shown == masked(redactor, printed)
        assert shown == by_bytes + stream.flush()

    def test_a_secret_counts_once_in_a_mask(self) -> None:
        """Value, lines and encodings that overlap are one finding; the next mask is another."""
        redactor = Redactor({"A": "abcdef\nghijkl", "B": "jkl-mnop"})
        redactor.feed(b"abcdef\nghijkl-mnop abcdef.")

        assert {"A": 2, "B": 1} == redactor.counts


class TestStream:
    """Output comes as early as it can."""

    @pytest.mark.parametrize("cut", range(1, len(TOKEN)))
    def test_a_cut_secret_is_held_back(self, cut: int) -> None:
        """Wherever it is cut, only its beginning waits."""
        stream = Redactor([TOKEN]).stream()

        assert b"the token: " == stream.feed(b"the token: " + TOKEN[:cut].encode())
        assert b"***\n" == stream.feed(TOKEN[cut:].encode() + b"\n")
        assert b"" == stream.flush()

    @pytest.mark.parametrize("secret", [TOKEN, HOSTILE, BUNDLE, "ab\ncd\nef"])
    def test_every_form_is_held_to_its_last_byte(self, secret: str) -> None:
        """The longest too, and also where a cut falls between two lines."""
        redactor = Redactor([secret])
        for form in forms_of(secret.encode()):
            whole = b"\n \n".join(form)
            for cut in {1, len(form[0]), len(form[0]) + 2, len(whole) - 1}:
                stream = redactor.stream()
                shown = stream.feed(b"-" * 300 + whole[:cut]) + stream.feed(whole[cut:]) + stream.flush()
                assert whole[:FORM_BYTES_MIN] not in shown
                assert MASK in shown

    def test_the_earliest_beginning_is_held(self) -> None:
        """Also where a shorter one after it was seen first."""
        stream = Redactor(["ab      cd", "b\ncdefg"]).stream()

        assert b"" == stream.feed(b"ab      c")
        assert b"***." == stream.feed(b"d.")

    def test_plain_text_passes_at_once(self) -> None:
        """The last line of a running step is seen, also one without its end."""
        stream = Redactor([TOKEN, BUNDLE]).stream()

        assert b"50 %" == stream.feed(b"50 %")
        assert b"\r100 %\n" == stream.feed(b"\r100 %\n")
        assert b"" == stream.feed(b"")

    def test_a_wrong_beginning_is_shown(self) -> None:
        """As soon as it can be no secret any more."""
        stream = Redactor([TOKEN]).stream()

        assert b"" == stream.feed(b"hunter22-")
        assert b"hunter22-x" == stream.feed(b"x")

    def test_a_secret_waits_for_a_longer_one(self) -> None:
        """It is masked by itself as soon as it is not the longer one."""
        redactor = Redactor({"SHORT": "abcdef", "LONG": "abcdefghijkl"})
        stream = redactor.stream()

        assert b"" == stream.feed(b"abcdefgh")
        assert b"***gh-" == stream.feed(b"-")
        assert {"SHORT": 1, "LONG": 0} == stream.counts

    def test_a_mask_goes_on_in_the_next_chunk(self) -> None:
        """It is written once."""
        redactor = Redactor({"A": "abcdefgh", "B": "efghijkl"})
        stream = redactor.stream()

        assert b"-***" == stream.feed(b"-abcdefgh")
        assert b"" == stream.feed(b"ij")
        assert b"-" == stream.feed(b"kl-")
        assert {"A": 1, "B": 1} == stream.counts

    def test_the_end_frees_what_is_held(self) -> None:
        """Half a secret is none, and what follows does not complete it."""
        stream = Redactor([TOKEN]).stream()

        assert b"" == stream.feed(b"hunter22")
        assert b"hunter22" == stream.flush()
        assert b"-tr0ub4dor" == stream.feed(b"-tr0ub4dor")

    def test_masks_do_not_join_over_the_end(self) -> None:
        """After a flush comes another text."""
        stream = Redactor(["abcdef"]).stream()

        assert b"***" == stream.feed(b"abcdef") + stream.flush()
        assert b"***" == stream.feed(b"abcdef") + stream.flush()
        assert {"secret_1": 2} == stream.counts

    def test_what_is_held_has_a_limit(self) -> None:
        """White space without end after the first line of a secret passes."""
        stream = Redactor(["abcdef\nghijkl"]).stream()
        fed = shown = most = 0
        for chunk in (b"-abcdef", *[b" " * 1000] * 20):
            fed += len(chunk)
            shown += len(stream.feed(chunk).replace(MASK, b"abcdef"))
            most = max(most, fed - shown)

        assert 4000 < most <= len("abcdefghijkl") + SPACE_BYTES_MAX
        assert fed == shown

    def test_a_beginning_of_several_lines_is_held(self) -> None:
        """Up to the line that is another."""
        stream = Redactor(["ab\ncd\nef\ngh"]).stream()

        assert b"" == stream.feed(b"ab\n cd\n e")
        assert b"ab\n cd\n ex" == stream.feed(b"x")
        assert b"abx" == stream.feed(b"abx")
        assert b"" == stream.feed(b"ab\ncd\nef\ng")
        assert b"***" == stream.feed(b"h")

    def test_streams_are_apart(self) -> None:
        """Two attempts at once share nothing but what was compiled."""
        redactor = Redactor({"TOKEN": TOKEN})
        one, other = redactor.stream(), redactor.stream()
        shown = one.feed(b"hunter22") + other.feed(b"-tr0ub4dor") + one.feed(b"-tr0ub4dor")

        assert b"-tr0ub4dor***" == shown
        assert ({"TOKEN": 1}, {"TOKEN": 0}, {"TOKEN": 0}) == (one.counts, other.counts, redactor.counts)

    def test_counts_are_a_copy(self) -> None:
        """What a caller does with them stays with the caller."""
        stream = Redactor({"TOKEN": TOKEN}).stream()
        stream.counts["TOKEN"] = 7

        assert {"TOKEN": 0} == stream.counts

    def test_many_secrets(self) -> None:
        """Beyond the size of a dense table the search is another, with the same result."""
        redactor = Redactor([f"secret-{number:04}-value" for number in range(500)])

        assert b"*** *** secret-0500-value" == masked(
            redactor, b"secret-0000-value secret-0499-value secret-0500-value"
        )

    def test_many_secrets_are_no_more_work_than_few(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given lines of which many nearly hold a secret, then as many bytes are searched, and as often is looked closer, with 500 as with 20."""
        work: Counter[str] = Counter()

        class Counting:
            def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 -- those of the class in whose place it stands
                self._search = BytesAhoCorasick(*arguments, **options)

            def find_matches_as_indexes(self, data: bytes, **options: bool) -> list[tuple[int, int, int]]:
                work["searched"] += len(data)
                return self._search.find_matches_as_indexes(data, **options)

        monkeypatch.setattr("ahocorasick_rs.BytesAhoCorasick", Counting)
        for name in ("around", "could_begin"):
            monkeypatch.setattr(Needle, name, counted(getattr(Needle, name), work))
        values = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(500)]
        data = b"".join(b"%s! and %s\n" % (value[:-1].encode(), value[:7].encode()) for value in values[:20]) * 20
        found = []
        for secrets in (values[:20], values):
            work.clear()
            assert masked(Redactor(secrets, builtin=True), data) == data
            found.append(dict(work))

        assert found[0] == found[1]
        assert found[0]["around"] >= 20 * 20
        assert found[0]["searched"] <= 5 * len(data)

    def test_bytes_of_any_kind_pass(self) -> None:
        """NUL, half characters and UTF-16 beside a secret stay what they are."""
        noise = b"\x00\xff\xfe\xc3" + "wide".encode("utf-16")

        assert noise + MASK + noise == masked(Redactor([TOKEN]), noise + TOKEN.encode() + noise)


class TestMask:
    """A mask and its neighbours never look like a secret."""

    @pytest.mark.parametrize(
        ("secrets", "mask"),
        [
            (["pass*word"], "***"),
            (["password*"], "[redacted]"),
            (["*password"], "[redacted]"),
            (["pass***word"], "[redacted]"),
            (["******"], "[redacted]"),
            (["***abc", "redacted]x"], "<hidden>"),
            (["redacted", "***abc"], "<hidden>"),
            (["abcdef*", "redacted", "hidden"], "###"),
            (["abcdef*", "redacted", "hidden", "abcdef#"], "█"),
            (["abcdef*", "redacted", "hidden", "abcdef#", "abcdef█"], "***"),
        ],
    )
    def test_the_mask_is_no_piece_of_a_secret(self, secrets: list[str], mask: str) -> None:
        """The usual mask, another, or the usual one again where there is none."""
        assert f"<{mask}>" == Redactor([*secrets, TOKEN]).redact(f"<{TOKEN}>")

    def test_a_mask_does_not_complete_a_secret(self) -> None:
        """Otherwise a secret would be shown where there was none."""
        redactor = Redactor(["abcdef***ghi", TOKEN])

        assert "abcdef[redacted]ghi" == redactor.redact(f"abcdef{TOKEN}ghi")


class TestRedact:
    """A text of our own, such as a message, is masked whole."""

    def test_text_is_masked(self) -> None:
        """Nothing is held back, and the stream beside it is not touched."""
        redactor = Redactor({"TOKEN": TOKEN})

        assert b"" == redactor.feed(b"hunter22")
        assert "höchst *** geheim, hunter22" == redactor.redact(f"höchst {TOKEN} geheim, hunter22")
        assert {"TOKEN": 0} == redactor.counts
        assert b"***" == redactor.feed(b"-tr0ub4dor")

    @pytest.mark.parametrize("text", ["", "plain", "\udcff", "\ud800 and \udcff"])
    def test_text_without_secrets_is_the_same(self, text: str) -> None:
        """Surrogates too."""
        assert Redactor([TOKEN]).redact(text) is text

    def test_undecodable_bytes(self) -> None:
        """A secret from the environment is found; beside a mask, what is no Unicode is replaced."""
        redactor = Redactor(["\udcffsecret\udcfe", TOKEN])

        assert "a *** b" == redactor.redact("a \udcffsecret\udcfe b")
        assert "\N{REPLACEMENT CHARACTER} ***" == redactor.redact(f"\udcfe {TOKEN}")
        assert redactor.redact(f"\ud800 {TOKEN}").endswith(" ***")


class TestShellTraces:
    """What `set -x` prints of a secret is masked, whatever the shell quotes with."""

    @pytest.mark.parametrize("shell", ["sh", "bash"])
    @pytest.mark.parametrize(
        "secret",
        [
            TOKEN,
            HOSTILE,
            "'\"'(foo)'\"'",
            "two\nlines and more",
            "back\\slash $HOME `id`",
            "tab\tand\x01control",
            bytes(range(0x21, 0x7F)).decode(),
            "~user=~x:~y",
            "-n secret!",
        ],
    )
    def test_nothing_is_left(self, shell: str, secret: str) -> None:
        """Given a script that is traced, then neither the secret nor a quoted form of it is shown."""
        done = subprocess.run(
            [shell, "-xc", ': "$SECRET" after; PASSWORD="$SECRET"'],
            env={"SECRET": secret, "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            capture_output=True,
            check=True,
        )
        lines = masked(Redactor([secret]), done.stderr).decode().splitlines()

        assert [re.sub(r"\$?['\"]", "", line) for line in lines] == ["+ : *** after", "+ PASSWORD=***"]
