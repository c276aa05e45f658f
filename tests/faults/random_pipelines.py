"""Definitions of any shape, drawn from a seeded generator and read by the real parser."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from functools import cache

from orchestrator.core.definition import Pipeline
from orchestrator.core.parse import parse_pipeline
from orchestrator.schemas import load_schema

MOST_STEPS = 6
_POOL = "shared"


@cache
def _schema() -> Mapping[str, object]:
    return load_schema("pipeline")


def read_definition(text: str) -> Pipeline:
    """Return the pipeline that *text* defines; a wrong one raises."""
    return parse_pipeline(text, file="pipeline.toml", schema=_schema()).pipeline


def random_definition(chance: random.Random) -> str:
    """Return a right `pipeline.toml` of one to six steps, with any of what bears on when a step runs and how it ends."""
    count = chance.randint(1, MOST_STEPS)
    steps: list[str] = []
    written: list[str] = []
    sources: set[str] = set()
    names = [f"s{number}" for number in range(count)]
    for number, name in enumerate(names):
        when = "upstream_ok" if number == 0 else chance.choices(("upstream_ok", "always", "on_failure"), (8, 1, 1))[0]
        reads = chance.sample(written, min(len(written), chance.choice((0, 1, 1, 2)))) if when == "upstream_ok" else []
        needs = chance.sample(names[:number], min(number, chance.choice((0, 0, 0, 1, 2))))
        if when != "upstream_ok" and not needs:
            needs = [chance.choice(names[:number])]
        if when == "upstream_ok" and chance.random() < (0.3 if reads or needs else 0.8):
            reads.append(f"raw_{chance.randint(1, 3)}")
            sources.add(reads[-1])
        writes = [f"d_{name}"] if when == "upstream_ok" and chance.random() < 0.8 else []
        written += writes
        steps.append(_step(chance, name, when, {"reads": reads, "writes": writes, "needs": needs}))
    datasets = [f'[datasets.{name}]\npath = "data/{name}"\n' for name in (*sorted(sources), *written)]
    chance.shuffle(steps)
    return "".join([_head(chance), *datasets, *steps])


def _head(chance: random.Random) -> str:
    lines = ["[pipeline]", 'name = "test"', f"max_parallel = {chance.randint(1, 3)}"]
    if chance.random() < 0.2:
        lines.append("fail_fast = true")
    if chance.random() < 0.2:
        lines.append(f'deadline = "{chance.randint(5, 30)}s"')
    lines += ["[pools]", f"{_POOL} = {chance.randint(1, 2)}"]
    return "\n".join(lines) + "\n"


def _step(chance: random.Random, name: str, when: str, edges: Mapping[str, list[str]]) -> str:
    lines = [f"[steps.{name}]", 'command = ["true"]']
    lines += [f"{key} = {json.dumps(values)}" for key, values in edges.items() if values]
    if when != "upstream_ok":
        lines.append(f'when = "{when}"')
    if when == "upstream_ok" and chance.random() < 0.2:
        lines.append('rerun = "never"')
    if chance.random() < 0.5:
        lines.append(f'timeout = "{chance.randint(1, 4)}s"')
    lines.append(f'grace = "{chance.randint(1, 3)}s"')
    if chance.random() < 0.5:
        lines.append(f"exit_codes = {chance.choice(_EXIT_CODES)}")
    if chance.random() < 0.5:
        classes = chance.sample(("transient", "infrastructure", "misuse", "permanent"), chance.randint(1, 3))
        attempts, delay = chance.randint(2, 4), chance.randint(1, 5)
        lines.append(f'retry = {{ attempts = {attempts}, delay = "{delay}s", on = {json.dumps(classes)} }}')
    if chance.random() < 0.3:
        lines.append(f"uses = {{ {_POOL} = 1 }}")
    if chance.random() < 0.2:
        lines.append("per_night = true")
    return "\n".join(lines) + "\n"


_EXIT_CODES = ('{ 3 = "no_new_data" }', '{ 3 = "transient", 4 = "infrastructure" }', '{ 1 = "transient" }')
