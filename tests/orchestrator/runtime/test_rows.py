"""Tests of counting rows, on real files, against what other readers say."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runtime.parquet_rows import NoParquetError, parquet_rows
from orchestrator.runtime.rows import UncountableError, count_rows


def rows_of(path: Path) -> int:
    """Return the rows of the file at *path*."""
    *turns, rows = count_rows(str(path))
    assert set(turns) <= {None}
    assert rows is not None
    return rows


def why_not(path: Path) -> str:
    """Return why the rows of the file at *path* are not counted."""
    with pytest.raises(UncountableError) as caught:
        list(count_rows(str(path)))
    return str(caught.value)


class TestCsv:
    """A header and records."""

    @pytest.mark.parametrize(
        ("text", "rows"),
        [
            ("", 0),
            ("n\n", 0),
            ("n", 0),
            ("n\n1\n2\n", 2),
            ("n\r\n1\r\n2", 2),
            ("n\n\n1\n\n", 1),
            ('n\n"a\nb"\n', 1),
            ('n\n"a ""quoted"" one"\n5" pipe\n6" pipe\n', 3),
            ("n\né\n", 1),
        ],
    )
    def test_rows(self, tmp_path: Path, text: str, rows: int) -> None:
        """Blank lines are none, and a quoted value may hold line breaks."""
        path = tmp_path / "a.CSV"
        path.write_text(text, encoding="utf-8", newline="")
        assert rows_of(path) == rows

    @given(st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=2), max_size=5))
    def test_what_was_written(self, tmp_path_factory: pytest.TempPathFactory, records: list[list[str]]) -> None:
        """Whatever texts a writer of CSV was given, their records are counted."""
        text = io.StringIO(newline="")
        csv.writer(text).writerows([["a", "b"], *records])
        path = tmp_path_factory.mktemp("csv") / "a.csv"
        path.write_text(text.getvalue(), encoding="utf-8", newline="")
        assert rows_of(path) == len(records)

    def test_gives_way(self, tmp_path: Path) -> None:
        """A long file takes many turns."""
        path = tmp_path / "a.csv"
        path.write_text("n\n" + "1\n" * 50_000)
        assert len(list(count_rows(str(path)))) > 4

    def test_line_without_end(self, tmp_path: Path) -> None:
        """A line of megabytes is not read as a whole."""
        path = tmp_path / "a.csv"
        path.write_text("n\n" + "1," * (1 << 20))
        assert why_not(path).startswith("a file is not what its name tells: it has a line of more than")

    def test_field_without_end(self, tmp_path: Path) -> None:
        """A quote that is never closed ends at the limit of a field, also where another library has lifted it."""
        csv.field_size_limit(1 << 30)
        path = tmp_path / "a.csv"
        path.write_text('n\n"' + "1\n" * 100_000)
        assert why_not(path).startswith("a file is not what its name tells: field larger")


class TestJsonLines:
    """A document in each line."""

    @given(st.lists(st.none() | st.text(max_size=3), max_size=5), st.booleans())
    def test_rows(self, tmp_path_factory: pytest.TempPathFactory, lines: list[str | None], end: bool) -> None:  # noqa: FBT001
        """Blank lines are none, and the last line may lack its end."""
        path = tmp_path_factory.mktemp("json") / "a.jsonl"
        path.write_text("\n".join("  " if line is None else json.dumps(line) for line in lines) + "\n" * end)
        assert rows_of(path) == len(lines) - lines.count(None)

    def test_line_over_two_chunks(self, tmp_path: Path) -> None:
        """A line is one row, however long it is."""
        path = tmp_path / "a.ndjson"
        path.write_text(json.dumps("x" * (3 << 20)) + "\n1\n")
        assert rows_of(path) == 2


class TestParquet:
    """The number that stands in the footer."""

    @given(st.integers(0, 300), st.integers(1, 30))
    def test_rows(self, tmp_path_factory: pytest.TempPathFactory, rows: int, columns: int) -> None:
        """What another program has written is read."""
        path = tmp_path_factory.mktemp("parquet") / "a.parquet"
        pl.DataFrame({f"column {name}": range(rows) for name in range(columns)}).write_parquet(path, row_group_size=64)
        assert rows_of(path) == rows

    def test_all_kinds_of_columns(self, tmp_path: Path) -> None:
        """Schemas with lists, structs, decimals and times are passed over."""
        path = tmp_path / "a.parquet"
        frame = pl.DataFrame(
            {"l": [[1], []], "s": [{"a": 1.5, "b": True}, {"a": None, "b": False}], "t": ["x", None]}
        ).with_columns(
            d=pl.lit("2026-01-31").str.to_date(), n=pl.lit("1.50").cast(pl.Decimal(10, 2)), c=pl.col("t").cast(pl.Categorical)
        )  # fmt: skip
        frame.write_parquet(path, statistics=True)
        assert rows_of(path) == 2

    @given(st.binary(max_size=200), st.integers(0, 40))
    def test_anything_else(self, data: bytes, length: int) -> None:
        """Any bytes have a number of rows, or are refused."""
        content = b"PAR1" + data + length.to_bytes(4, "little") + b"PAR1"
        with contextlib.suppress(NoParquetError):
            assert parquet_rows(io.BytesIO(content)) >= 0

    @pytest.mark.parametrize(
        ("footer", "why"),
        [
            (b"\x00", "names no number of rows"),
            (b"\x36\x01", "negative"),
            (b"\x36", "cut off"),
            (b"\x18\xff\xff\xff\xff\x0f", "cut off"),
            (b"\x18\x02", "cut off"),
            (b"\x16" + b"\xff" * 11, "a number without an end"),
            (b"\x1c" * 100, "nested without end"),
            (b"\x19\xf6\xff\xff\xff\xff\x0f", "longer than itself"),
            (b"\x1b\x00", "unknown kind 11"),
        ],
    )
    def test_broken_footer(self, footer: bytes, why: str) -> None:
        """A footer that makes no sense says in which way."""
        content = b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"
        with pytest.raises(NoParquetError, match=why):
            parquet_rows(io.BytesIO(content))

    @pytest.mark.parametrize(
        "footer",
        [
            b"\x06\x06\x2a",  # the number of the field written out
            b"\x11\x12\x16\x2a",  # true and false before it
            b"\x13\x00\x17" + b"\0" * 8 + b"\x16\x2a",  # a byte and a double
            b"\x19\x21\x01\x02\x1c\x06\x04\x02\x00\x16\x2a",  # a list of truth values, a struct
        ],
    )
    def test_other_forms(self, footer: bytes) -> None:
        """Every kind of value may stand before the number."""
        content = b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"
        assert parquet_rows(io.BytesIO(content)) == 21

    @pytest.mark.parametrize("content", [b"", b"PAR1PAR1", b"PAR1\0\0\0\0PARE", b"PAR1\xff\xff\xff\xffPAR1"])
    def test_no_parquet(self, tmp_path: Path, content: bytes) -> None:
        """A file that is none is told by its name."""
        path = tmp_path / "a.parquet"
        path.write_bytes(content)
        assert why_not(path).startswith("a file is not what its name tells: it ")


class TestUncountable:
    """What is not counted says why."""

    def test_form_that_is_not_known(self, tmp_path: Path) -> None:
        """Nothing is guessed of other files."""
        assert why_not(tmp_path / "a.txt").startswith("only files called .csv")

    def test_file_that_has_gone(self, tmp_path: Path) -> None:
        """What cannot be read is told without a traceback."""
        assert why_not(tmp_path / "a.csv") == "a file cannot be read: No such file or directory"
