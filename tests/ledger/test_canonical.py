"""Tests of the canonical form: RFC 8785, on both of its paths."""

from __future__ import annotations

import json
import struct
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from ledger.canonical import _is_plain, _rfc8785_text, blob_digest, canonical_bytes, canonical_text, parse_canonical
from ledger.errors import CanonicalError

VECTORS = Path(__file__).parent.parent / "vectors" / "jcs"
SAFE = 2**53 - 1

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-SAFE, SAFE) | TEXT,
    lambda inner: (
        st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(st.characters(max_codepoint=127)), inner)
    ),
)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-SAFE, SAFE) | TEXT | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(TEXT, inner),
)


class TestVectors:
    """The public vectors of RFC 8785."""

    @pytest.mark.parametrize("name", ["arrays", "french", "structures", "unicode", "values", "weird"])
    def test_vector(self, name: str) -> None:
        """Given the input, then its canonical form is the output, byte by byte, and also its own canonical form."""
        value = json.loads((VECTORS / "input" / f"{name}.json").read_bytes())
        output = (VECTORS / "output" / f"{name}.json").read_bytes()

        assert output == canonical_bytes(value)
        assert bytes.fromhex((VECTORS / "outhex" / f"{name}.txt").read_text()) == canonical_bytes(value)
        assert output == canonical_bytes(parse_canonical(output))

    def test_every_vector_is_tried(self) -> None:
        """No file of the vectors is left out above."""
        names = {path.stem for path in VECTORS.glob("*/*")}

        assert {"arrays", "french", "structures", "unicode", "values", "weird"} == names

    @pytest.mark.parametrize(
        ("bits", "text"),
        [
            ("0000000000000000", "0"),
            ("8000000000000000", "0"),
            ("0000000000000001", "5e-324"),
            ("7fefffffffffffff", "1.7976931348623157e+308"),
            ("4340000000000000", "9007199254740992"),
            ("c340000000000000", "-9007199254740992"),
            ("4430000000000000", "295147905179352830000"),
            ("444b1ae4d6e2ef50", "1e+21"),
            ("44b52d02c7e14af6", "1e+23"),
            ("3eb0c6f7a0b5ed8d", "0.000001"),
        ],
    )
    def test_number_of_appendix_b(self, bits: str, text: str) -> None:
        """Given a double, then its text is the one of ECMAScript."""
        (number,) = struct.unpack(">d", bytes.fromhex(bits))

        assert text == canonical_text(number)
        assert text == canonical_text(parse_canonical(text))


class TestCanonicalText:
    """One text for one value, on whichever path."""

    @given(PLAIN)
    def test_fast_path_agrees_with_rfc8785(self, value: object) -> None:
        """Given a plain value, then the standard library's text is the one of `rfc8785`."""
        assert _is_plain(value)
        assert canonical_text(value) == _rfc8785_text(value)

    @given(ANY)
    def test_any_value_is_as_rfc8785_has_it(self, value: object) -> None:
        """Given any value, then its text is the one of `rfc8785`."""
        assert rfc8785.dumps(value) == canonical_bytes(value)  # type: ignore[arg-type]

    @given(ANY)
    def test_what_is_parsed_has_the_same_text(self, value: object) -> None:
        """Given a canonical text, then parsing and writing it gives it back."""
        data = canonical_bytes(value)

        assert data == canonical_bytes(parse_canonical(data))
        assert data == canonical_bytes(parse_canonical(data.decode()))

    def test_order_of_keys_is_that_of_utf16(self) -> None:
        """Given keys beyond the basic plane, then they sort before U+FB33, as their surrogates do."""
        assert '{"\U0001f602":1,"\ufb33":2}' == canonical_text({"\ufb33": 2, "\U0001f602": 1})

    def test_mappings_of_any_type(self) -> None:
        """Given a mapping that is no dict, at any depth, then it is written as one."""
        value = MappingProxyType({"b": [MappingProxyType({"y": 1, "x": (1.0, None)})], "a": True})

        assert '{"a":true,"b":[{"x":[1,null],"y":1}]}' == canonical_text(value)

    @pytest.mark.parametrize("number", [SAFE, -SAFE])
    def test_whole_numbers_up_to_2_53(self, number: int) -> None:
        """Given a whole number that every reader has exactly, then it is written."""
        assert str(number) == canonical_text(number)

    @pytest.mark.parametrize(
        "value",
        [
            SAFE + 1,
            -SAFE - 1,
            float("nan"),
            float("inf"),
            -float("inf"),
            b"bytes",
            type,  # any object without a form
            {1, 2},
            {1: "a number as key"},
            {"b": 1, None: 2},
            {(): 1.5},
        ],
        ids=repr,
    )
    def test_value_without_a_form_is_refused(self, value: object) -> None:
        """Given what JSON cannot say exactly, then it is refused, alone and inside of others."""
        for whole in (value, [value], {"key": [value]}, [1.5, value]):
            with pytest.raises(CanonicalError, match="no canonical form"):
                canonical_text(whole)

    @pytest.mark.parametrize("value", ["\ud800", ["\udfff"], {"\ud800": 1}, [1.5, "\ud800"], {"\ud800": 1.5, "é": 2}])
    def test_lone_surrogate_is_refused(self, value: object) -> None:
        """Given half of a surrogate pair, then it is refused on both paths."""
        with pytest.raises(CanonicalError):
            canonical_text(value)

    @pytest.mark.parametrize("leaf", [1, 1.5])
    def test_deep_value_is_refused(self, leaf: object) -> None:
        """Given a hundred thousand lists in each other, or one that holds itself, then an error and no crash."""
        deep: object = leaf
        for _ in range(100_000):
            deep = [deep]
        ring: list[object] = [leaf]
        ring.append(ring)

        for value in (deep, ring):
            with pytest.raises(CanonicalError, match="too deeply"):
                canonical_text(value)


class TestParseCanonical:
    """Only JSON, and each key once."""

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            "nul",
            '{"a":1,"a":1}',
            '[{"b":{"a":1,"a":2}}]',
            "NaN",
            "[Infinity]",
            "-Infinity",
            "'a'",
            "1 2",
            "01",
            "9" * 5000,
        ],
    )
    def test_what_is_no_canonical_text_is_refused(self, text: str) -> None:
        """Given something else than JSON, or a key twice, then it is refused, as text and as bytes."""
        for data in (text, text.encode()):
            with pytest.raises(CanonicalError, match="not a canonical text"):
                parse_canonical(data)

    def test_bytes_that_are_no_text_are_refused(self) -> None:
        """Given bytes that are not UTF-8, then they are refused."""
        with pytest.raises(CanonicalError, match="not a canonical text"):
            parse_canonical(b'"\xff\xfe\xff"')

    def test_deep_text_is_refused(self) -> None:
        """Given a hundred thousand brackets, then an error and no crash."""
        with pytest.raises(CanonicalError, match="too deeply"):
            parse_canonical("[" * 100_000)

    def test_large_whole_number_is_a_double(self) -> None:
        """Given a whole number beyond 2^53, then it is the double whose text it is; one that is no double's text shows."""
        assert "10000000000000000" == canonical_text(parse_canonical("10000000000000000"))
        assert "9007199254740993" != canonical_text(parse_canonical("9007199254740993"))


class TestBlobDigest:
    """The name of bytes."""

    @given(st.binary())
    def test_is_sha256(self, data: bytes) -> None:
        """Given bytes, then their name is the algorithm's and the hex digest."""
        assert f"sha256:{sha256(data).hexdigest()}" == blob_digest(data)
