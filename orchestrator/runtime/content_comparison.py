"""
Whether two files that differ in their bytes differ in what they say: in schema, in rows, in the cells of which columns.

Rows are told by the hashes of their cells, so that memory does not grow with the files; which rows stand in one of them alone is counted in as many passes as
there are parts of them. Columns are compared by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping

import attrs

from orchestrator.runtime.table_files import Row, Table, open_table

_MASK = (1 << 64) - 1
_COLUMNS_MAX = 10_000
_OTHERS = "(more columns)"
_ROWS_A_PASS = 200_000
_PASSES_MAX = 50


@attrs.frozen
class Comparison:
    """
    Say how the content of a file differs from that of another one.

    Attributes:
        rows_before: How many rows there were.
        rows_after: How many there are.
        rows_removed: How many of them stand in the former file alone; None where there are too many to be counted.
        rows_added: How many stand in the latter alone.
        reordered: The rows are the same, in another order.
        columns_removed: Those that only the former file has.
        columns_added: Those that only the latter has.
        columns_retyped: Those that hold another kind of values.
        columns_changed: Those whose cells differ; only where both have as many rows.
    """

    rows_before: int = 0
    rows_after: int = 0
    rows_removed: int | None = 0
    rows_added: int | None = 0
    reordered: bool = False
    columns_removed: tuple[str, ...] = ()
    columns_added: tuple[str, ...] = ()
    columns_retyped: tuple[str, ...] = ()
    columns_changed: tuple[str, ...] = ()

    @property
    def is_same(self) -> bool:
        """Whether both say the same."""
        return self == Comparison(self.rows_before, self.rows_before)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that differs in any way, each once."""
        found = (*self.columns_removed, *self.columns_added, *self.columns_retyped, *self.columns_changed)
        return tuple(dict.fromkeys(found))


def compare_files(before: str, after: str, name: str) -> Comparison:
    """
    Compare the file at *after* with the one at *before*, both of the form that *name* tells.

    Raises:
        UncomparableError: One of them is not of that form, or cannot be read.
    """
    old, new = open_table(before, name), open_table(after, name)
    sums = _sums(old), _sums(new)
    removed, added = _only(old, new, *sums), _only(new, old, *reversed(sums))
    retyped = _retyped(old.types or {}, new.types or {})
    found = Comparison(sums[0].rows, sums[1].rows, 0, 0, False, removed, added, retyped)
    if sums[0].ordered == sums[1].ordered and sums[0].rows == sums[1].rows:
        return found
    if not (removed or added) and sums[0].unordered == sums[1].unordered:
        return attrs.evolve(found, reordered=True)
    return _with_rows(found, old, new, *sums)


@attrs.define
class _Sums:
    """Add up the hashes of cells and rows: what is equal comes to the same, whatever its order."""

    rows: int = 0
    ordered: int = 0
    unordered: int = 0
    columns: dict[str, int] = attrs.field(factory=dict)

    def take(self, row: Row) -> None:
        whole = 0
        for column, text in row.items():
            name = column if column in self.columns or len(self.columns) < _COLUMNS_MAX else _OTHERS
            cell = _cell(column, text)
            self.columns[name] = (self.columns.get(name, 0) + cell) & _MASK
            whole += cell
        digest = _mixed(whole)
        self.rows += 1
        self.unordered = (self.unordered + digest) & _MASK
        self.ordered = hash((self.ordered, digest))


def _sums(table: Table) -> _Sums:
    sums = _Sums()
    for row in table.rows():
        sums.take(row)
    return sums


def _cell(column: str, text: str) -> int:
    # The hash of a text, not that of a tuple: sums of those come to the same where columns have exchanged their values.
    return hash(f"{len(column)} {column}{text}")


def _mixed(whole: int) -> int:
    # The hash of bytes, for the same reason: of tuples, rows that have exchanged a value come to the same sum.
    return hash((whole & _MASK).to_bytes(8, "little")) & _MASK


def _only(table: Table, other: Table, own: _Sums, others: _Sums) -> tuple[str, ...]:
    """Return the columns that *table* has and *other* has not; one of a file that does not list them is known by its cells."""
    known = own.columns if table.types is None else table.types
    compared = others.columns if other.types is None else other.types
    return tuple(name for name in known if name not in compared)


def _retyped(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name for name, kind in old.items() if name in new and new[name] != kind)


def _with_rows(found: Comparison, old: Table, new: Table, before: _Sums, after: _Sums) -> Comparison:
    """Return *found* with the rows that stand in one of both alone, and the columns in which they differ; columns of one alone are left out."""
    # A row that ends early has no cell of a column that its file has all the same.
    every = dict.fromkeys((*before.columns, *after.columns))
    shared = every.keys() - {*found.columns_removed, *found.columns_added}
    removed, added = _unmatched(old, new, shared, max(before.rows, after.rows))
    changed: tuple[str, ...] = ()
    if before.rows == after.rows and (removed is None or removed):
        names = [name for name in every if name in shared]
        changed = tuple(name for name in names if before.columns.get(name) != after.columns.get(name))
        changed = changed or _changed_by_place(old, new, names)
    reordered = not (removed or added or found.columns) and removed is not None
    return attrs.evolve(found, rows_removed=removed, rows_added=added, columns_changed=changed, reordered=reordered)


def _unmatched(old: Table, new: Table, shared: Collection[str], rows: int) -> tuple[int | None, int | None]:
    passes = max(1, -(-rows // _ROWS_A_PASS))
    if passes > _PASSES_MAX:
        return None, None
    removed = added = 0
    for part in range(passes):
        counts: Counter[int] = Counter()
        for digest in _digests(old.rows, shared):
            if digest % passes == part:
                counts[digest] += 1
        for digest in _digests(new.rows, shared):
            if digest % passes == part:
                counts[digest] -= 1
        removed += sum(count for count in counts.values() if count > 0)
        added -= sum(count for count in counts.values() if count < 0)
    return removed, added


def _digests(rows: Callable[[], Iterator[Row]], shared: Collection[str]) -> Iterator[int]:
    for row in rows():
        yield _mixed(sum(_cell(column, text) for column, text in row.items() if column in shared))


def _changed_by_place(old: Table, new: Table, names: list[str]) -> tuple[str, ...]:
    """Return the columns in which rows of the same place differ: values have changed places, each column holds what it held."""
    changed: set[str] = set()
    for before, after in zip(old.rows(), new.rows(), strict=False):
        changed.update(name for name in names if name not in changed and before.get(name) != after.get(name))
    return tuple(name for name in names if name in changed)
