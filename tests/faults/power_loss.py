"""
What a disk holds after the power went: a model of a file system, fed with the system calls of a real run.

What was synced is there. What was written since may be there, or not, or in part, sector by sector and in any order. Names in a folder (made,
renamed, linked, removed) are there up to the last sync of the folder; of those after it, any first few are. That is what ext4 and others promise, and
less than they mostly do.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import attrs

CALLS = "openat,close,write,pwrite64,fsync,fdatasync,ftruncate,mkdir,rename,renameat2,link,unlink,vfork,clone3"
_SECTOR = 512
_LINE = re.compile(r"^([a-z0-9]+)\((.*)\)\s+= (-?[0-9]+)")
_WORD = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(?:\.\.\.)?|[^,"]+')


class Call(NamedTuple):
    """Hold one system call that has succeeded: its name, its words (texts as bytes), and what it returned."""

    name: str
    words: tuple[str | bytes, ...]
    returned: int


@attrs.define
class _File:
    """Hold what is on the disk, and the changes since, each as an offset and bytes, or a length to cut to."""

    synced: bytes = b""
    since: list[tuple[int, bytes | None]] = attrs.field(factory=list)

    def size(self) -> int:
        return len(_after(self.synced, self.since))

    def sync(self) -> None:
        self.synced, self.since = _after(self.synced, self.since), []

    def left(self, chance: random.Random) -> bytes:
        """Return what may be left of it."""
        return _after(
            self.synced, [part for change in self.since for part in _sectors(change) if chance.random() < 0.5]
        )


@attrs.define
class Disk:
    """
    Follow the calls of a program in *folder*.

    Attributes:
        spawned: How many processes it has started so far.
    """

    folder: Path
    spawned: int = 0
    _open: dict[int, tuple[str, int]] = attrs.field(factory=dict)
    _files: dict[str, _File] = attrs.field(factory=dict)
    _folders: set[str] = attrs.field(factory=set)
    _synced_names: dict[str, _File | None] = attrs.field(factory=dict)
    _since: list[tuple[str, str, _File | None]] = attrs.field(factory=list)

    def take(self, call: Call) -> None:
        """Do what *call* does."""
        method = getattr(self, f"_{call.name}", None)
        if method is not None:
            method(call)

    def write_out(self, target: Path, chance: random.Random) -> None:
        """Write into *target* what may be left when the power goes now; *chance* chooses."""
        names = dict(self._synced_names)
        gone: set[str] = set()
        for folder, name, file in self._since:
            # Of each folder's changes the first few are there; where one is missing, so are those after it.
            if folder in gone or chance.random() < 0.5:
                gone.add(folder)
            else:
                names[name] = file
        for name, file in names.items():
            if file is not None and self._has_folder(name, names):
                place = target / name
                place.parent.mkdir(parents=True, exist_ok=True)
                if name in self._folders:
                    place.mkdir(exist_ok=True)
                else:
                    place.write_bytes(file.left(chance))

    def _has_folder(self, name: str, names: dict[str, _File | None]) -> bool:
        above = [str(parent) for parent in Path(name).parents if str(parent) in self._folders]
        return all(names.get(parent) is not None for parent in above)

    def _name(self, path: str | bytes) -> str | None:
        assert isinstance(path, bytes)
        full = self.folder / path.decode()
        if full == self.folder:
            return "."
        return str(full.relative_to(self.folder)) if full.is_relative_to(self.folder / ".orchestrate") else None

    def _put(self, name: str, file: _File | None) -> None:
        if file is None:
            self._files.pop(name, None)
        else:
            self._files[name] = file
        self._since.append((str(Path(name).parent), name, file))

    def _openat(self, call: Call) -> None:
        name, flags = self._name(call.words[1]), str(call.words[2])
        if name is None:
            self._open.pop(call.returned, None)
            return
        if "O_CREAT" in flags and name not in self._files:
            self._put(name, _File())
        if name in self._files and "O_TRUNC" in flags:
            self._files[name].since.append((0, None))
        at = self._files[name].size() if name in self._files and "O_APPEND" in flags else 0
        self._open[call.returned] = (name, at)

    def _close(self, call: Call) -> None:
        self._open.pop(_number(call.words[0]), None)

    def _pwrite64(self, call: Call) -> None:
        self._written(call, _number(call.words[3]))

    def _write(self, call: Call) -> None:
        self._written(call, None)

    def _written(self, call: Call, offset: int | None) -> None:
        descriptor, data = _number(call.words[0]), call.words[1]
        if descriptor in self._open:
            name, at = self._open[descriptor]
            assert isinstance(data, bytes)
            assert len(data) >= call.returned, "strace has cut the data"
            if name in self._files:
                self._files[name].since.append((at if offset is None else offset, data[: call.returned]))
            self._open[descriptor] = (name, at + call.returned if offset is None else at)

    def _ftruncate(self, call: Call) -> None:
        opened = self._open.get(_number(call.words[0]))
        if opened is not None and opened[0] in self._files:
            self._files[opened[0]].since.append((_number(call.words[1]), None))

    def _fsync(self, call: Call) -> None:
        opened = self._open.get(_number(call.words[0]))
        if opened is None:
            return
        if opened[0] in self._files and opened[0] not in self._folders:
            self._files[opened[0]].sync()
            return
        for folder, name, file in self._since:
            if folder == opened[0]:
                self._synced_names[name] = file
        self._since = [item for item in self._since if item[0] != opened[0]]

    _fdatasync = _fsync

    def _mkdir(self, call: Call) -> None:
        name = self._name(call.words[0])
        if name is not None:
            self._folders.add(name)
            self._put(name, _File())

    def _rename(self, call: Call) -> None:
        self._moved(call.words[0], call.words[1])

    def _renameat2(self, call: Call) -> None:
        self._moved(call.words[1], call.words[3])

    def _moved(self, before: str | bytes, after: str | bytes) -> None:
        old, new = self._name(before), self._name(after)
        if old is not None and new is not None:
            file = self._files[old]
            self._put(new, file)
            self._put(old, None)

    def _link(self, call: Call) -> None:
        old, new = self._name(call.words[0]), self._name(call.words[1])
        if old is not None and new is not None:
            self._put(new, self._files[old])

    def _unlink(self, call: Call) -> None:
        name = self._name(call.words[0])
        if name is not None:
            self._put(name, None)

    def _vfork(self, _: Call) -> None:
        self.spawned += 1

    def _clone3(self, call: Call) -> None:
        # The thread that writes logs is made by the same call as a process is.
        self.spawned += not any(isinstance(word, str) and "CLONE_THREAD" in word for word in call.words)


def calls_of(trace: Path) -> Iterator[Call]:
    """Yield the calls that have succeeded in the file *trace*, which strace wrote with `-xx`."""
    for line in trace.read_text(encoding="ascii").splitlines():
        match = _LINE.match(line)
        if match and int(match[3]) >= 0:
            words = (
                bytes.fromhex(word[1].replace("\\x", "")) if word[0].startswith('"') else word[0].strip()
                for word in _WORD.finditer(match[2])
                if word[0].strip()
            )
            yield Call(match[1], tuple(words), int(match[3]))


def _number(word: str | bytes) -> int:
    assert isinstance(word, str)
    return int(word)


def _after(content: bytes, changes: list[tuple[int, bytes | None]]) -> bytes:
    made = bytearray(content)
    for offset, data in changes:
        if data is None:
            del made[offset:]
            made.extend(bytes(offset - len(made)))
        else:
            made.extend(bytes(max(0, offset - len(made))))
            made[offset : offset + len(data)] = data
    return bytes(made)


def _sectors(change: tuple[int, bytes | None]) -> Iterator[tuple[int, bytes | None]]:
    offset, data = change
    if data is None:
        yield change
        return
    place = 0
    while place < len(data):
        length = _SECTOR - (offset + place) % _SECTOR
        yield offset + place, data[place : place + length]
        place += length
