"""The structural difference between two definitions: what was added, removed, changed or renamed, by the path of each value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

CHANGES_MAX = 500

Change = dict[str, object]
_RENAMED_TABLES = ("steps", "datasets")


def definition_changes(before: Mapping[str, object] | None, after: Mapping[str, object]) -> list[Change]:
    """
    Return each difference as `{"path", "kind": added|removed|changed|renamed, "before", "after"}`.

    A step or dataset that names a former name of itself in `formerly` is compared with what it was, and told as renamed. Tables are followed down to
    single values, arrays are compared as wholes. More than 500 differences are cut, and the last entry then says so.

    Args:
        before: The former definition, or None where it is not kept.
    """
    if before is None:
        return []
    changes: list[Change] = []
    former = dict(before)
    for table in _RENAMED_TABLES:
        renamed = renamed_entries(_table(before, table), _table(after, table))
        changes += [
            {"path": f"{table}.{new}", "kind": "renamed", "before": old, "after": new} for old, new in renamed.items()
        ]
        if table in before:
            former[table] = {renamed.get(name, name): entry for name, entry in _table(before, table).items()}
    for number, change in enumerate(_differences((), former, after)):
        if number == CHANGES_MAX:
            changes.append({"path": "…", "kind": "changed", "before": None, "after": "more changes than are listed"})
            break
        changes.append(change)
    return changes


def renamed_entries(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, str]:
    """Return the name in *before* to that in *after* of each entry of a table that names in `formerly` what it was called."""
    renamed: dict[str, str] = {}
    for name, entry in after.items():
        formerly = entry.get("formerly", ()) if isinstance(entry, Mapping) else ()
        for old in formerly if name not in before else ():
            if old in before and old not in after:
                renamed.setdefault(old, name)
    return renamed


def _differences(path: tuple[str, ...], before: object, after: object) -> Iterator[Change]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys((*before, *after)):
            here = (*path, key)
            if key not in after:
                yield _change(here, "removed", before[key], None)
            elif key not in before:
                yield _change(here, "added", None, after[key])
            else:
                yield from _differences(here, before[key], after[key])
    elif before != after or isinstance(before, bool) != isinstance(after, bool):
        yield _change(path, "changed", before, after)


def _change(path: tuple[str, ...], kind: str, before: object, after: object) -> Change:
    return {"path": ".".join(path), "kind": kind, "before": before, "after": after}


def _table(document: Mapping[str, object], name: str) -> Mapping[str, object]:
    table = document.get(name)
    return table if isinstance(table, Mapping) else {}
