"""
Laws of masking, against a redactor that is nothing but a search for each form at each place.

Secrets are of few letters and of what is special to shells, markup and masks, so that they overlap, repeat and contain each other.
"""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.core.needles import SPACE_BYTES_MAX
from orchestrator.core.redaction import Redactor
from orchestrator.core.secret_forms import FORM_BYTES_MIN, Form, forms_of
from tests.counting import count

SECRETS = st.lists(
    st.one_of(
        st.text(alphabet="ab", min_size=6, max_size=12).map(str.encode),
        st.text(alphabet="ab*'\\ \n&", max_size=14).map(str.encode),
        st.lists(st.sampled_from([b"a", b"ab", b"b*", b"aabab", b"bbabba"]), min_size=2, max_size=5).map(b"\n".join),
        st.binary(max_size=10),
    ),
    min_size=1,
    max_size=4,
)


def pattern(form: Form) -> re.Pattern[bytes]:
    """Return what finds *form* at each place where it begins."""
    space = rb"\s{1,%d}" % SPACE_BYTES_MAX
    return re.compile(rb"(?=(" + space.join(map(re.escape, form)) + rb"))", re.DOTALL)


def beginning(form: Form) -> re.Pattern[bytes]:
    """Return what matches each proper beginning of *form*."""
    whole: list[bytes] = [re.escape(bytes([byte])) for byte in form[0]]
    for part in form[1:]:
        whole += [rb"\s{1,%d}" % SPACE_BYTES_MAX, *(re.escape(bytes([byte])) for byte in part)]
    nested = rb""
    for piece in reversed(whole[:-1]):
        nested = rb"(?:%s%s)?" % (piece, nested)
    return re.compile(nested, re.DOTALL)


def searched(secrets: list[bytes], data: bytes) -> list[tuple[int, int]]:
    """Return the pieces of *data* to be masked, joined where they overlap or touch."""
    covered = bytearray(len(data))
    for secret in secrets:
        for form in forms_of(secret):
            for match in pattern(form).finditer(data):
                covered[match.start() : match.end(1)] = b"x" * (match.end(1) - match.start())
    return [match.span() for match in re.finditer(rb"x+", covered)]


@st.composite
def printed(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    """Draw secrets, and output in chunks that has forms of them, pieces of forms, and noise, run together."""
    secrets = draw(SECRETS)
    forms = [form for secret in secrets for form in forms_of(secret)]
    space = st.sampled_from([b"\n", b" ", b"\r\r\n", b"\n\t\n "])
    data = b""
    for has_form in draw(st.lists(st.booleans(), max_size=8)):
        if forms and has_form:
            form = draw(st.sampled_from(forms))
            whole = draw(space).join(form)
            data += whole[draw(st.sampled_from([0, 0, 1, 3])) : len(whole) - draw(st.sampled_from([0, 0, 1, 3]))]
        else:
            data += draw(st.one_of(st.text(alphabet="ab* \n", max_size=6).map(str.encode), st.binary(max_size=4)))
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))
    count("generated secrets", len(secrets))
    return secrets, [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def fed(redactor: Redactor, chunks: list[bytes]) -> tuple[bytes, dict[str, int]]:
    """Return all that a stream shows of *chunks*, and its counts."""
    stream = redactor.stream()
    count("bytes redacted", sum(map(len, chunks)))
    shown = b"".join([stream.feed(chunk) for chunk in chunks])
    return shown + stream.flush(), stream.counts


class TestLaws:
    """What holds for all secrets and all output."""

    @given(printed())
    @example(([b"aabaab"], [b"aaab", b"aa", b"baab"]))
    def test_cuts_make_no_difference(self, case: tuple[list[bytes], list[bytes]]) -> None:
        """Whole, in chunks or byte by byte: the output and the counts are the same."""
        secrets, chunks = case
        redactor, data = Redactor(secrets), b"".join(chunks)
        whole = fed(redactor, [data])

        assert whole == fed(redactor, chunks)
        assert whole == fed(redactor, [data[place : place + 1] for place in range(len(data))])

    @given(printed())
    def test_exactly_the_forms_are_masked(self, case: tuple[list[bytes], list[bytes]]) -> None:
        """Each run of bytes that lie in forms is one mask, and every other byte is shown."""
        secrets, chunks = case
        redactor, data = Redactor(secrets), b"".join(chunks)
        expected, shown_until = b"", 0
        for start, end in searched(secrets, data):
            expected += data[shown_until:start] + redactor._mask
            shown_until = end

        assert expected + data[shown_until:] == fed(redactor, chunks)[0]

    @given(printed())
    def test_no_form_is_in_the_output(self, case: tuple[list[bytes], list[bytes]]) -> None:
        """Neither shown, nor made by a mask and what stands beside it."""
        secrets, chunks = case
        shown, _ = fed(Redactor(secrets), chunks)

        assert searched(secrets, shown) == []

    @given(printed())
    def test_only_a_possible_beginning_is_held(self, case: tuple[list[bytes], list[bytes]]) -> None:
        """What is held back is the beginning of some form, and never a whole one."""
        secrets, chunks = case
        stream = Redactor(secrets).stream()
        forms = [form for secret in secrets for form in forms_of(secret)]
        for chunk in chunks:
            stream.feed(chunk)
            held = stream._held
            assert not held or any(beginning(form).fullmatch(held) for form in forms)

    @given(
        st.one_of(st.binary(max_size=FORM_BYTES_MIN - 1), st.text(alphabet=" \t\r\n\x0b\x0c").map(str.encode)),
        st.binary(),
    )
    def test_small_values_mask_nothing(self, value: bytes, data: bytes) -> None:
        """A value that is too short or white space is ignored, without a complaint."""
        redactor = Redactor({"SMALL": value})

        assert ("SMALL",) == redactor.ignored
        assert data == redactor.feed(data) + redactor.flush()
