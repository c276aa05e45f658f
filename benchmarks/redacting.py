"""What masking costs: streams of lines, ordinary ones and such with hits, through a redactor, within this process, one way of it after the other in each round."""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from statistics import median

from orchestrator.core.canary import CANARY, CANARY_NAME, what_comes_out
from orchestrator.core.redaction import Redactor

SECRETS = 20
MANY_SECRETS = 500
BYTES = 32 << 20
READ_BYTES = 16 << 10
"""As much as is read from a pipe at once."""

_HITS_BYTES = 512 << 10
"""What is walked byte by byte takes a hundred times as long."""

_HARD = b"".join(random.Random(1).choices([b"eyJ", b"a", b"b"], k=READ_BYTES // 2))  # noqa: S311 -- made up
"""Beginnings of tokens inside of others, at ever new distances: no two bytes find the search in the same state."""

_LINES = {
    "plain": (
        BYTES,
        b"2026-01-31 02:00:01 INFO bronze: 12345 rows from data/raw/flights_2013.csv in 0.123 s, user alice\n",
    ),
    "addresses": (BYTES, b"2026-01-31 02:00:01 INFO GET https://example.org/x?y=1 200 alice@example.org\n"),
    "passwords": (_HITS_BYTES, b"2026-01-31 02:00:01 INFO GET https://alice:made-up@example.org/x?y=1 200\n"),
    "hard": (_HITS_BYTES // 8, _HARD[: READ_BYTES - 1] + b"\n"),
    "endless": (_HITS_BYTES, b"://u:" + b"a" * (READ_BYTES - 6) + b"\n"),
}
"""Of each kind, how much and of what; every line with a password has a hit, and an endless one is what might be a password, to the end of the line."""
_OLD_WAY = "values"
"""What each other way is compared with: declared values alone."""


def redaction(*, rounds: int) -> dict[str, object]:
    """Measure the throughput of secrets alone, with the built-in rules, and with patterns, and what the made-up secret costs at a start."""
    secrets: dict[str, str | bytes] = {f"SECRET_{number}": _value(number) for number in range(SECRETS)}
    many = {f"SECRET_{number}": _value(number) for number in range(MANY_SECRETS)}
    ways: dict[str, Callable[[], Redactor]] = {
        _OLD_WAY: lambda: Redactor(secrets),
        "values and tokens": lambda: Redactor(secrets, builtin=True),
        "and a pattern with a head": lambda: Redactor(secrets, patterns=["ACME-[0-9]{6}"], builtin=True),
        "and a pattern without": lambda: Redactor(secrets, patterns=["[0-9]{4} [0-9]{4} [0-9]{4}"], builtin=True),
        f"{MANY_SECRETS} values": lambda: Redactor(many),
        f"{MANY_SECRETS} values and tokens": lambda: Redactor(many, builtin=True),
    }
    redactors = {name: make() for name, make in ways.items()}
    lines = {}
    for kind, (size, line) in _LINES.items():
        chunk = line * (READ_BYTES // len(line))
        chunks = size // len(chunk)
        taken = _in_turn({name: _fed(redactor, chunk, chunks) for name, redactor in redactors.items()}, rounds)
        lines[kind] = {
            "megabytes_per_second": {
                name: round(len(chunk) * chunks / median(found) / 1e6) for name, found in taken.items()
            },
            "ratio": {
                name: round(median(old / own for old, own in zip(taken[_OLD_WAY], found, strict=True)), 3)
                for name, found in taken.items()
            },
        }
    return {
        "secrets": SECRETS,
        "rounds": rounds,
        "lines": lines,
        "milliseconds": {
            name: round(median(found) * 1000, 2)
            for name, found in _in_turn(
                {
                    "making": lambda: _timed(ways["values and tokens"]),
                    "made-up secret": lambda: _proven(secrets),
                    "hardest read": lambda: _timed(_first_read(ways["values and tokens"]())),
                },
                rounds,
            ).items()
        },
    }


def _value(number: int) -> str:
    """Return a made-up secret as services make them: thirty-two characters of base64."""
    return base64.b64encode(sha256(b"secret %d" % number).digest()).decode()[:32]


def _fed(redactor: Redactor, chunk: bytes, chunks: int) -> Callable[[], float]:
    def feed() -> float:
        stream = redactor.stream()
        before = time.perf_counter()
        for _ in range(chunks):
            stream.feed(chunk)
        return time.perf_counter() - before

    return feed


def _first_read(redactor: Redactor) -> Callable[[], object]:
    return lambda: redactor.stream().feed(_HARD)


def _proven(secrets: Mapping[str, str | bytes]) -> float:
    masked: dict[str, str | bytes] = {**secrets, CANARY_NAME: CANARY}
    redactor = Redactor(masked, builtin=True)
    assert what_comes_out(redactor.stream, redactor.redact, builtin=True) is None
    return _timed(lambda: what_comes_out(redactor.stream, redactor.redact, builtin=True))


def _timed(task: Callable[[], object]) -> float:
    before = time.perf_counter()
    task()
    return time.perf_counter() - before


def _in_turn(tasks: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for task in tasks.values():
        task()
    for _ in range(rounds):
        for name, task in tasks.items():
            taken[name].append(task())
    return taken
