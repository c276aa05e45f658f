"""Tests of references inside texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.interpolation import UnresolvedReferenceError, is_malformed, references, resolve

VALUES = {"A": "1", "B_2": "${A}", "NIGHT": "2026-01-01"}


class TestReferences:
    """Names are found once each, in order."""

    @pytest.mark.parametrize(
        ("text", "names", "malformed"),
        [
            ("plain", (), False),
            ("$A $", (), False),
            ("${B_2}/${A}/${B_2}", ("B_2", "A"), False),
            ("$${A}", (), False),
            ("$$${A}", (), False),
            ("$${A}${A}", ("A",), False),
            ("${", (), True),
            ("${A", (), True),
            ("${1}${A}", ("A",), True),
            ("${A-x}", (), True),
            ("${${A}}", ("A",), True),
        ],
    )
    def test_text(self, text: str, names: tuple[str, ...], *, malformed: bool) -> None:
        """Given a text, then the names in it, and whether some `${` begins none."""
        assert (names, malformed) == (references(text), is_malformed(text))


class TestResolve:
    """References become values, everything else stays."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("plain $A", "plain $A"),
            ("${A}/${NIGHT}.csv", "1/2026-01-01.csv"),
            ("${B_2}", "${A}"),
            ("$${A}", "${A}"),
            ("$$${A}", "$${A}"),
            ("${1}", "${1}"),
        ],
    )
    def test_text(self, text: str, expected: str) -> None:
        """Given a text, then its resolved form; what was put in is not looked at again."""
        assert expected == resolve(text, VALUES)

    def test_a_name_without_a_value(self) -> None:
        """Given a name that has no value, then the error says which and where."""
        with pytest.raises(UnresolvedReferenceError, match=r"^no value for \$\{C\} in 'x/\$\{C\}'$") as caught:
            resolve("x/${C}", VALUES)

        assert ("C", "x/${C}") == (caught.value.name, caught.value.text)

    @given(st.text("${}AB_2x"))
    def test_what_has_no_reference_stays(self, text: str) -> None:
        """For any text without references and escapes nothing changes; names that are found are those that are asked for."""
        if references(text):
            with pytest.raises(UnresolvedReferenceError):
                resolve(text, {})
        elif "$${" not in text:
            assert text == resolve(text, {})
