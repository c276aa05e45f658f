"""Tests of the comparison of files by content: what is written otherwise says the same, and what says something else is named."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from orchestrator.runtime import content_comparison, table_files
from orchestrator.runtime.content_comparison import Comparison, compare_files
from orchestrator.runtime.table_files import DOCUMENT, VALUE, UncomparableError

COLUMNS = ("id", "name", "amount")
CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=4)
ROWS = st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=6)
FORMS = (".csv", ".json", ".jsonl", ".parquet")

Rows = Sequence[tuple[str, ...]]


def as_csv(rows: Rows, *, columns: Sequence[str] = COLUMNS, end: str = "\n", quoting: int = csv.QUOTE_MINIMAL) -> bytes:
    """Return *rows* as CSV."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end, quoting=quoting).writerows([columns, *rows])  # type: ignore[arg-type]
    return text.getvalue().encode()


def objects(rows: Rows, columns: Sequence[str] = COLUMNS) -> list[dict[str, str]]:
    """Return *rows* by column."""
    return [dict(zip(columns, row, strict=True)) for row in rows]


def as_parquet(rows: Rows, *, columns: Sequence[str] = COLUMNS, group: int | None = None, codec: str = "zstd") -> bytes:
    """Return *rows* as Parquet."""
    buffer = io.BytesIO()
    frame = pl.DataFrame([list(row) for row in rows], schema=dict.fromkeys(columns, pl.String), orient="row")
    frame.write_parquet(buffer, row_group_size=group, compression=codec)  # type: ignore[arg-type]
    return buffer.getvalue()


WRITE: dict[str, Callable[[Rows], bytes]] = {
    ".csv": as_csv,
    ".json": lambda rows: json.dumps(objects(rows)).encode(),
    ".jsonl": lambda rows: b"".join(json.dumps(row).encode() + b"\n" for row in objects(rows)),
    ".parquet": as_parquet,
}


TIMES = (
    pl.Datetime("ns", "Europe/Berlin"),
    pl.Datetime("ns"),
    pl.Datetime("us"),
    pl.Duration("ns"),
    pl.Time(),
    pl.Date(),
)
NESTED: dict[str, Callable[[pl.Series], pl.Series]] = {
    "column": lambda times: times,
    "list": lambda times: times.reshape((-1, 1)).arr.to_list(),
    "array": lambda times: times.reshape((-1, 1)),
    "arrays": lambda times: times.reshape((-1, 1, 1)),
    "struct": lambda times: pl.DataFrame({"at": times, "n": [1] * len(times)}).to_struct(),
    "list of structs": lambda times: pl.DataFrame({"at": times}).to_struct().reshape((-1, 1)).arr.to_list(),
}


def as_times(numbers: list[int | None], kind: pl.DataType, nested: str = "column", group: int | None = None) -> bytes:
    """Return Parquet with a column `t` of that *kind*, *nested* in another one."""
    buffer = io.BytesIO()
    times = NESTED[nested](pl.Series(numbers, dtype=pl.Int64).cast(kind)).alias("t")
    pl.DataFrame([times, pl.Series("other", [["x"]] * len(numbers))]).write_parquet(buffer, row_group_size=group)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def compare(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bytes, bytes], Comparison]:
    """Give what compares two contents of a form."""
    folder = tmp_path_factory.mktemp("files")

    def compared(form: str, before: bytes, after: bytes) -> Comparison:
        (folder / "before").write_bytes(before)
        (folder / "after").write_bytes(after)
        return compare_files(str(folder / "before"), str(folder / "after"), f"table{form}")

    return compared


Compare = Callable[[str, bytes, bytes], Comparison]


class TestSame:
    """What is written otherwise says the same."""

    @given(rows=ROWS)
    def test_csv_with_other_line_ends_and_quotes(self, compare: Compare, rows: Rows) -> None:
        """Given rows written with other line ends, all quotes, a mark and blank lines, then they are the same."""
        other = b"\xef\xbb\xbf" + as_csv(rows, end="\r\n", quoting=csv.QUOTE_ALL) + b"\r\n\r\n"
        assert compare(".csv", as_csv(rows), other) == Comparison(len(rows), len(rows))

    @given(rows=ROWS, order=st.permutations(range(len(COLUMNS))))
    def test_columns_in_another_order(self, compare: Compare, rows: Rows, order: list[int]) -> None:
        """Given columns in another order, then they are the same: each is known by its name."""
        columns = [COLUMNS[place] for place in order]
        turned = [tuple(row[place] for place in order) for row in rows]
        same = Comparison(len(rows), len(rows))
        assert compare(".csv", as_csv(rows), as_csv(turned, columns=columns)) == same
        assert compare(".json", WRITE[".json"](rows), json.dumps(objects(turned, columns), indent=2).encode()) == same
        assert compare(".parquet", as_parquet(rows), as_parquet(turned, columns=columns)) == same

    @given(rows=ROWS, group=st.integers(1, 3))
    def test_parquet_in_other_groups(self, compare: Compare, rows: Rows, group: int) -> None:
        """Given other row groups and another compression, then they are the same."""
        found = compare(".parquet", as_parquet(rows), as_parquet(rows, group=group, codec="uncompressed"))
        assert found == Comparison(len(rows), len(rows))

    def test_json_numbers_and_nested_keys(self, compare: Compare) -> None:
        """Given a number written otherwise and keys of a nested object in another order, then they are the same."""
        found = compare(".json", b'{"a": 1.0, "b": {"x": 1, "y": [2.50]}}', b'{"b": {"y": [2.5], "x": 1e0}, "a": 1}')
        assert found.is_same


class TestDifferent:
    """What says something else is named."""

    @given(rows=ROWS.filter(bool), data=st.data(), form=st.sampled_from(FORMS))
    def test_changed_cell(self, compare: Compare, rows: Rows, data: st.DataObject, form: str) -> None:
        """Given one cell that changed, then its column is named, and no other."""
        place, column = data.draw(st.integers(0, len(rows) - 1)), data.draw(st.integers(0, len(COLUMNS) - 1))
        cells = list(rows[place])
        cells[column] += "x"
        changed = [*rows[:place], tuple(cells), *rows[place + 1 :]]
        assume(Counter(changed) != Counter(rows))
        found = compare(form, WRITE[form](rows), WRITE[form](changed))
        assert found.columns == (COLUMNS[column],)
        assert (found.rows_removed, found.rows_added, found.reordered) == (1, 1, False)

    @given(rows=ROWS, more=ROWS.filter(bool), form=st.sampled_from(FORMS), data=st.data())
    def test_rows_added_and_removed(
        self, compare: Compare, rows: Rows, more: Rows, form: str, data: st.DataObject
    ) -> None:
        """Given rows that came in at any place, or went, then they are counted."""
        place = data.draw(st.integers(0, len(rows)))
        grown = [*rows[:place], *more, *rows[place:]]
        added = compare(form, WRITE[form](rows), WRITE[form](grown))
        removed = compare(form, WRITE[form](grown), WRITE[form](rows))
        assert (added.rows_added, added.rows_removed, added.columns_changed) == (len(more), 0, ())
        assert (removed.rows_added, removed.rows_removed, removed.columns_changed) == (0, len(more), ())

    @given(rows=ROWS, data=st.data(), form=st.sampled_from(FORMS))
    def test_another_order(self, compare: Compare, rows: Rows, data: st.DataObject, form: str) -> None:
        """Given the same rows in another order, then that is what is said."""
        turned = data.draw(st.permutations(rows))
        assume(turned != list(rows))
        found = compare(form, WRITE[form](rows), WRITE[form](turned))
        assert found == Comparison(len(rows), len(rows), reordered=True)
        assert not found.is_same

    @given(rows=ROWS.filter(bool), form=st.sampled_from((".csv", ".json", ".parquet")))
    def test_another_schema(self, compare: Compare, rows: Rows, form: str) -> None:
        """Given a column that came and one that went, then both are named, and no row counts as changed for that."""
        others = ("id", "name", "price")
        renamed = {
            ".csv": lambda: as_csv(rows, columns=others),
            ".json": lambda: json.dumps(objects(rows, others)).encode(),
            ".parquet": lambda: as_parquet(rows, columns=others),
        }[form]()
        found = compare(form, WRITE[form](rows), renamed)
        assert (found.columns_removed, found.columns_added, found.rows_added) == (("amount",), ("price",), 0)
        assert found.columns == ("amount", "price")

    def test_another_type(self, compare: Compare) -> None:
        """Given a column of Parquet with the same values of another type, then it is named."""
        contents = []
        for kind in (pl.Int32, pl.Int64):
            buffer = io.BytesIO()
            pl.DataFrame({"n": [1, None]}, schema={"n": kind}).write_parquet(buffer)
            contents.append(buffer.getvalue())
        assert compare(".parquet", *contents) == Comparison(2, 2, columns_retyped=("n",))

    @pytest.mark.parametrize("kind", TIMES, ids=str)
    @pytest.mark.parametrize("nested", NESTED)
    def test_times_to_the_last_digit(self, compare: Compare, kind: pl.DataType, nested: str) -> None:
        """Given times that differ by the least that their type tells apart, also within lists and structures, then they are different."""
        contents = [as_times(numbers, kind, nested) for numbers in ([1_000, 7, None], [1_001, 7, None])]
        assert compare(".parquet", contents[0], contents[1]).columns == ("t",)
        assert compare(".parquet", contents[0], as_times([7, 1_000, None], kind, nested)).reordered
        assert compare(".parquet", contents[0], as_times([1_000, 7, None], kind, nested, group=1)).is_same

    @pytest.mark.parametrize("kind", [pl.Date(), pl.Datetime("us")], ids=str)
    def test_times_that_python_has_no_objects_for(self, compare: Compare, kind: pl.DataType) -> None:
        """Given years beyond 9999, then they are compared like others."""
        far = 10**9 if kind == pl.Date else 10**18
        assert compare(".parquet", as_times([far], kind), as_times([far], kind, group=1)).is_same
        assert compare(".parquet", as_times([far], kind), as_times([far + 1], kind)).columns == ("t",)

    def test_values_that_changed_places(self, compare: Compare) -> None:
        """Given two rows that have exchanged one value, whichever it is, then its column is named, though it holds what it held."""
        for number in range(50):
            before, after = f"a,b\n{number},x\n-,y\n".encode(), f"a,b\n-,x\n{number},y\n".encode()
            found = compare(".csv", before, after)
            assert (found.columns_changed, found.rows_removed, found.rows_added) == (("a",), 2, 2)

    def test_columns_that_exchanged_their_values(self, compare: Compare) -> None:
        """Given a row in which two columns have exchanged their values, whichever they are, then both are named; what a name ends with is no part of a value."""
        for number in range(50):
            found = compare(".csv", f"a,b\n{number},x\n".encode(), f"a,b\nx,{number}\n".encode())
            assert (found.columns_changed, found.rows_removed, found.rows_added) == (("a", "b"), 1, 1)
        assert not compare(".json", b'{"a": 12, "a1": 2}', b'{"a1": 2, "a11": 2}').is_same

    def test_cells_beyond_the_header(self, compare: Compare) -> None:
        """Given a row that has more cells than the header, then they are no part of another column."""
        assert compare(".csv", b"a,a\n1,2,3\n", b"a,a\n1,2,4\n").columns == (VALUE,)
        assert compare(".csv", b"a,a\n1,2\n", b"a,a\n1,3\n").columns == ("a (2)",)

    @pytest.mark.parametrize(
        ("header", "before", "after", "column"),
        [
            ("a,a,a (2)", "1,2,3", "1,9,3", "a (2)"),
            ("a,a,a (2)", "1,2,3", "1,2,9", "a (2) (2)"),
            ("a (2),a,a", "1,2,3", "9,2,3", "a (2)"),
            (VALUE, "1,2", "9,2", f"{VALUE} (2)"),
        ],
    )
    def test_names_that_look_numbered(
        self, compare: Compare, header: str, before: str, after: str, column: str
    ) -> None:
        """Given a column that is called like one that got a number, or like the cells beyond, then none hides another."""
        found = compare(".csv", f"{header}\n{before}\n".encode(), f"{header}\n{after}\n".encode())
        assert found.columns == (column,)

    def test_a_row_that_ends_early(self, compare: Compare) -> None:
        """Given an empty cell in the place of none, then its column is named, and nobody speaks of another order."""
        found = compare(".csv", b"a,b\n1,\n", b"a,b\n1\n")
        assert found == Comparison(1, 1, rows_removed=1, rows_added=1, columns_changed=("b",))

    def test_an_object_is_no_list_of_one(self, compare: Compare) -> None:
        """Given a JSON object once by itself and once as the only one of a list, then they are not the same."""
        assert compare(".json", b'{"a": 1}', b'[{"a": 1}]').columns == (DOCUMENT,)
        assert compare(".json", b'["a"]', b'"a"').columns == (DOCUMENT,)

    def test_documents_of_other_kinds(self, compare: Compare) -> None:
        """Given JSON that is no list of objects, then the names of its outermost object are its columns."""
        assert compare(".json", b'{"a": 1, "b": [1, 2]}', b'{"a": 1, "b": [2, 1]}').columns == ("b",)
        assert compare(".json", b"[1, 2]", b"[1, 3]").columns == (VALUE,)

    def test_more_rows_than_one_pass_takes(self, compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given files of many passes, then the count is the same; given too many for all passes, then there is none."""
        before = [(str(number), "x", "") for number in range(50)]
        after = [*before[5:], *((str(number), "y", "") for number in range(3))]
        monkeypatch.setattr(content_comparison, "_ROWS_A_PASS", 7)
        found = compare(".csv", as_csv(before), as_csv(after))
        assert (found.rows_removed, found.rows_added) == (5, 3)
        monkeypatch.setattr(content_comparison, "_PASSES_MAX", 7)
        found = compare(".csv", as_csv(before), as_csv(after))
        assert (found.rows_removed, found.rows_added, found.is_same) == (None, None, False)

    def test_parquet_of_many_parts(self, compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given more rows than are read at once, then every one of them is compared."""
        monkeypatch.setattr(table_files, "_ROWS_AT_ONCE", 4)
        rows = [(str(number), "x", "y") for number in range(11)]
        assert compare(".parquet", as_parquet(rows), as_parquet(rows, group=3)).is_same
        assert compare(".parquet", as_parquet(rows), as_parquet([*rows[:-1], ("10", "x", "z")])).columns == ("amount",)

    def test_more_columns_than_are_told_apart(self, compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given objects that name ever new things, then memory stays bounded, and a difference is one."""
        monkeypatch.setattr(content_comparison, "_COLUMNS_MAX", 2)
        found = compare(".json", b'{"a": 1, "b": 2, "c": 3, "d": 4}', b'{"a": 1, "b": 2, "c": 3, "d": 5}')
        assert not found.is_same


class TestUncomparable:
    """What cannot be read as rows is said to be that, without what stands in it."""

    @pytest.mark.parametrize(
        ("form", "content", "said"),
        [
            (".txt", b"", "only files called"),
            (".json", b'{"password": hunter2}', "not what its name tells: JSONDecodeError"),
            (".json", b'{"a": 1, "a": 2}', "not what its name tells"),
            (".json", b"[" * 100_000, "not what its name tells: RecursionError"),
            (".jsonl", b'{"a": 1}\nhunter2\n', "not what its name tells"),
            (".parquet", b"PAR1hunter2", "not what its name tells: it is too short"),
            (".csv", b"a\n" + b"x" * (1 << 20) + b"\n", "a line of more than"),
        ],
    )
    def test_says_why(self, form: str, content: bytes, said: str, compare: Compare) -> None:
        """Given a file that is not of its form, then that is said."""
        with pytest.raises(UncomparableError, match=said) as raised:
            compare(form, content, content)
        assert "hunter2" not in str(raised.value)

    def test_a_footer_without_a_body(self, compare: Compare) -> None:
        """Given Parquet whose footer is whole and whose data is not, then it is not compared."""
        content = bytearray(as_parquet([("1", "2", "3")] * 50))
        content[4:60] = bytes(56)
        with pytest.raises(UncomparableError, match="not what its name tells"):
            compare(".parquet", bytes(content), bytes(content))

    def test_a_large_document(self, compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a JSON document that would not fit, then it is not compared."""
        monkeypatch.setattr(table_files, "_DOCUMENT_BYTES_MAX", 4)
        with pytest.raises(UncomparableError, match="JSON document of more than"):
            compare(".json", b"[1, 2]", b"[1, 2]")

    def test_a_file_that_is_gone(self, tmp_path: Path) -> None:
        """Given no file, then that is said."""
        with pytest.raises(UncomparableError, match="cannot be read: No such file"):
            compare_files(str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), "b.csv")

    def test_without_the_extra(self, compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a machine without what reads Parquet, then the line that installs it is told."""
        monkeypatch.setitem(__import__("sys").modules, "polars", None)
        with pytest.raises(UncomparableError, match=r"pip install .*\[parquet\]"):
            compare(".parquet", as_parquet([]), as_parquet([]))


def test_columns_are_each_named_once() -> None:
    """Given a column that has another type and other cells, then it is named once."""
    found = attrs.evolve(Comparison(1, 1), columns_retyped=("a",), columns_changed=("a", "b"))
    assert found.columns == ("a", "b")
