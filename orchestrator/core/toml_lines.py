"""
Where in a TOML text its keys and items stand.

`tomllib` keeps no positions, so that the text is parsed a second time, by tree-sitter; only a definition that has a
problem pays for it. A key's place is where its own part begins, also within a dotted key or a header; an array item's
place is where its value begins. Lines and columns are 1-based, columns count characters.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator, Sequence

import attrs
import tree_sitter
import tree_sitter_toml

Path = tuple[str | int, ...]
Place = tuple[int, int]

_KEYS = frozenset({"bare_key", "quoted_key", "dotted_key"})
_HEADERS = frozenset({"table", "table_array_element"})
_NO_VALUES = frozenset({"comment", "[", "]", "[[", "]]", ",", "{", "}", "="})


@attrs.frozen
class Duplicate:
    """A key or header that stands a second time; *start* and *end* are the bytes of all that it defines."""

    path: Path
    line: int
    column: int
    first_line: int
    start: int
    end: int


def find_places(text: str, wanted: Collection[Path]) -> dict[Path, Place]:
    """
    Return the places of those *wanted* paths that stand in *text*, and of what leads to them.

    One parse, and a walk of the parts that lead to a wanted path.
    """
    content = text.encode()
    routes = {path[:length] for path in wanted for length in range(len(path) + 1)}
    places: dict[Path, Place] = {}
    columns = _Columns(content)
    for path, node in _walk(_parse(content), routes):
        places.setdefault(path, columns.place(node))
    return places


def find_duplicates(text: str) -> list[Duplicate]:
    """Return each key and header of *text* that was defined before, in the order of the text."""
    content = text.encode()
    columns = _Columns(content)
    first_places: dict[Path, Place] = {}
    found: list[Duplicate] = []
    for path, key, whole in _definitions(_parse(content)):
        line, column = columns.place(key)
        first_place = first_places.setdefault(path, (line, column))
        if (line, column) != first_place:
            before = whole.prev_sibling
            # A comma of an inline table goes with what follows it.
            start = before.start_byte if before is not None and before.type == "," else whole.start_byte
            found.append(Duplicate(path, line, column, first_place[0], start, whole.end_byte))
    return found


def without(text: str, duplicates: Sequence[Duplicate]) -> str:
    """Return *text* with *duplicates* blanked, line breaks kept, so that all other places stay."""
    content = bytearray(text.encode())
    for duplicate in duplicates:
        blank = bytes(byte if byte in b"\r\n" else 0x20 for byte in content[duplicate.start : duplicate.end])
        content[duplicate.start : duplicate.end] = blank
    return content.decode()


def longest_key(text: str) -> tuple[int, int, int]:
    """Return the number of parts of the longest dotted key, with its line and column; linear in the text."""
    content = text.encode()
    longest: tuple[int, tree_sitter.Node | None] = (0, None)
    waiting = [_parse(content)]
    while waiting:
        node = waiting.pop()
        if node.type in _KEYS:
            parts = len(_key_parts(node))
            if parts > longest[0]:
                longest = (parts, node)
        else:
            waiting.extend(node.children)
    if longest[1] is None:
        return 0, 1, 1
    return longest[0], *_Columns(content).place(longest[1])


def _parse(content: bytes) -> tree_sitter.Node:
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_toml.language()))
    return parser.parse(content).root_node


class _Columns:
    """Turn tree-sitter's byte columns into columns of characters."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def place(self, node: tree_sitter.Node) -> Place:
        row, column = node.start_point
        before = self._content[node.start_byte - column : node.start_byte]
        return row + 1, len(before.decode()) + 1


def _key_parts(node: tree_sitter.Node) -> list[tree_sitter.Node]:
    """Return the parts of a key in order; a dotted key is nested to the left, once for each dot."""
    parts: list[tree_sitter.Node] = []
    while node.type == "dotted_key":
        inner = [child for child in node.children if child.type in _KEYS]
        parts.append(inner[-1])
        node = inner[0]
    return [node, *reversed(parts)]


def _key_text(node: tree_sitter.Node) -> str:
    text = (node.text or b"").decode()
    if node.type == "bare_key":
        return text
    return next(iter(tomllib.loads(f"{text} = 0")))


def _key_of(node: tree_sitter.Node) -> list[tree_sitter.Node]:
    key = next((child for child in node.children if child.type in _KEYS), None)
    return [] if key is None else _key_parts(key)


def _walk(root: tree_sitter.Node, routes: Collection[Path]) -> Iterator[tuple[Path, tree_sitter.Node]]:
    """Yield each path on the *routes* with the node whose beginning is its place."""
    counts: dict[Path, int] = {}
    for node in root.children:
        if node.type in _HEADERS:
            path: Path = ()
            parts = _key_of(node)
            for position, part in enumerate(parts):
                path = (*path, _key_text(part))
                yield path, part
                last = position == len(parts) - 1
                if last and node.type == "table_array_element":
                    counts[path] = counts.get(path, 0) + 1
                if path in counts:
                    path = (*path, counts[path] - 1)
                    yield path, part
            if path in routes:
                for child in node.children:
                    yield from _walk_value(child, path, routes)
        else:
            yield from _walk_value(node, (), routes)


def _walk_value(
    node: tree_sitter.Node, path: Path, routes: Collection[Path]
) -> Iterator[tuple[Path, tree_sitter.Node]]:
    waiting = [(node, path)]
    while waiting:
        node, path = waiting.pop()
        if node.type == "pair":
            for part in _key_of(node):
                path = (*path, _key_text(part))
                yield path, part
            if path in routes:
                waiting.append((node.children[-1], path))
        elif node.type == "inline_table":
            waiting.extend((child, path) for child in reversed(node.children) if child.type == "pair")
        elif node.type == "array":
            items = [child for child in node.children if child.type not in _NO_VALUES]
            for index, item in enumerate(items):
                yield (*path, index), item
            waiting.extend((item, (*path, index)) for index, item in enumerate(items) if (*path, index) in routes)


def _definitions(root: tree_sitter.Node) -> Iterator[tuple[Path, tree_sitter.Node, tree_sitter.Node]]:
    """Yield the whole path of each header and pair, with its last key part and the node of all that it defines."""
    counts: dict[Path, int] = {}
    waiting: list[tuple[tree_sitter.Node, Path]] = [(child, ()) for child in reversed(root.children)]
    while waiting:
        node, path = waiting.pop()
        parts = _key_of(node) if node.type in _HEADERS or node.type == "pair" else []
        for part in parts:
            path = (*path, _key_text(part))
            if part is not parts[-1] and path in counts:
                path = (*path, counts[path] - 1)
        if node.type == "table_array_element":
            counts[path] = counts.get(path, 0) + 1
            path = (*path, counts[path] - 1)
        elif parts:
            yield path, parts[-1], node
        if node.type in _HEADERS or node.type in ("pair", "inline_table"):
            waiting.extend((child, path) for child in reversed(node.children) if child.type in ("pair", "inline_table"))
