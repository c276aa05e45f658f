"""
Two runs of one pipeline compared: what they were made from, what was decided, what came of it, and how long it took.

The first step, in the order of the graph, that went another way stands on top, with the first thing in which it differs: what went in goes before what was
decided, and that before what came of it. Steps and datasets that were renamed between the runs are compared under the names of the second one. A run and its
reproduction are compared in what was run again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.core.definition_diff import definition_changes, renamed_entries
from orchestrator.core.explain import id_of
from orchestrator.core.fingerprint import first_difference, rename_components
from orchestrator.projections.reproduced_sides import sides_of_reproduction
from orchestrator.projections.run_sides import Document, Side, StepSide
from orchestrator.projections.text_diff import TextDiff, text_diff

ENTRIES_MAX = 500
"""Of environment, code, inputs and outputs; more are counted."""
TEXTS_MAX = 50
"""So many files of code are compared line by line."""

Row = dict[str, Any]
_RUN = ("run_id", "pipeline", "night", "status", "exit_code", "started_at", "finished_at")
_OUTCOME = ("status", "reason", "error_class", "exit_code", "signal", "attempts")
_HERE = "this run"


class Names:
    """What steps and datasets of the first run are called in the second one."""

    def __init__(self, before: Side, after: Side) -> None:
        self.steps = _renamed("steps", before.definition, after.definition)
        self.datasets = _renamed("datasets", before.definition, after.definition)

    def step(self, name: str) -> str:
        """Return what the step *name* of the first run is called in the second."""
        return self.steps.get(name, name)


def run_diff(before: Side, after: Side) -> Row:
    """Return how the run *after* differs from the run *before*, as `diff --json` prints it."""
    again = sides_of_reproduction(before, after)
    before, after = again or (before, after)
    names = Names(before, after)
    steps = list(_steps(before, after, names))
    found: Row = {
        "before": _run(before),
        "after": _run(after),
        "first_divergence": next((_divergence(step) for step in steps if step["differences"]), None),
        "definition": _definition(before, after),
        "code": _cut(_code(before, after)),
        "environment": _cut(_environment(before, after, names)),
        "variables": list(_variables(before, after)),
        "inputs": _cut(_data(before, after, names, "inputs")),
        "steps": [step for step in steps if step["differences"]],
        "outputs": _cut(_data(before, after, names, "outputs")),
        "run": [
            {"what": name, "before": before.run[name], "after": after.run[name]}
            for name in ("status", "exit_code")
            # How a reproduction ends hangs on what is run again.
            if again is None and before.run[name] != after.run[name]
        ],
        "durations": list(_durations(before, after, names)),
    }
    parts = ("code", "environment", "variables", "inputs", "steps", "outputs", "run")
    changed = found["definition"]["changes"] or found["definition"]["text"] is not None
    return {"same": not changed and not any(found[name] for name in parts), **found}


def _run(side: Side) -> Row:
    seconds = None if side.run["duration_us"] is None else side.run["duration_us"] / 1e6
    return {**{name: side.run[name] for name in _RUN}, "duration_seconds": seconds}


def _renamed(table: str, before: Document | None, after: Document | None) -> dict[str, str]:
    """Return the names of *before* to those of *after*, whichever of them says `formerly`."""
    old, new = ((document or {}).get(table, {}) for document in (before, after))
    back = {now: former for former, now in renamed_entries(new, old).items()}
    return {**back, **renamed_entries(old, new)}


def _definition(before: Side, after: Side) -> Row:
    kept = before.definition is not None and after.definition is not None
    changes = definition_changes(before.definition, after.definition) if kept and after.definition is not None else []
    same = before.run["definition"] == after.run["definition"]
    old, new = ((side.environment or {}).get("definition_text") for side in (before, after))
    text: TextDiff | None = None
    if old is not None and new is not None and old != new:
        text = text_diff(before.text(old), after.text(new))
    if not same and not kept:
        changes = [
            {"path": "", "kind": "changed", "before": before.run["definition"], "after": after.run["definition"]}
        ]
    return {"changes": changes, "text": text}


def _code(before: Side, after: Side) -> Iterator[Row]:
    """Yield each file of code that differs; of runs that named none, what the keys of their steps name."""
    old, new = _files(before), _files(after)
    compared = 0
    for path in sorted({*old, *new}):
        digests = old.get(path), new.get(path)
        if digests[0] == digests[1]:
            continue
        kind = "added" if digests[0] is None else "removed" if digests[1] is None else "changed"
        row: Row = {"path": path, "kind": kind, "before": digests[0], "after": digests[1], "text": None}
        if kind == "changed" and compared < TEXTS_MAX:
            compared += 1
            row["text"] = text_diff(before.text(str(digests[0])), after.text(str(digests[1])))
        yield row


def _files(side: Side) -> dict[str, str]:
    if side.environment is not None:
        return {str(file["path"]): str(file["digest"]) for file in side.environment["code"]}
    found: dict[str, str] = {}
    for step in side.steps.values():
        found.update((step.components or {}).get("code", {}))
    return found


def _environment(before: Side, after: Side, names: Names) -> Iterator[Row]:
    """Yield what of the surroundings differs, deeper facts by names with dots; programs and commands only where both runs had that one."""
    sides = [_circumstances(side) for side in (before, after)]
    if before.environment is not None and after.environment is not None:
        for side, environment in zip(sides, (before.environment, after.environment), strict=True):
            side.update({name: environment[name] for name in ("platform", "interpreter", "packages")})
        found = [{names.step(step): path for step, path in before.environment["commands"].items()}]
        found += [after.environment["commands"]]
        programs = [environment["programs"] for environment in (before.environment, after.environment)]
        for name, pair in (("commands", found), ("programs", programs)):
            for side, facts in zip(sides, pair, strict=True):
                side[name] = {key: facts[key] for key in facts if key in pair[0] and key in pair[1]}
    sides = [dict(_leaves("", side)) for side in sides]
    for name in dict.fromkeys((*sides[0], *sides[1])):
        old, new = sides[0].get(name), sides[1].get(name)
        if old != new:
            yield {"what": name, "before": old, "after": new}


def _circumstances(side: Side) -> dict[str, object]:
    start = side.start
    return {
        "orchestrate": start["program"],
        "host": start["host"],
        "git": start.get("git"),
        "max_parallel": start["max_parallel"],
        "recorded": side.environment is not None,
    }


def _leaves(path: str, value: object) -> Iterator[tuple[str, object]]:
    if not isinstance(value, Mapping):
        yield path, value
        return
    for name, item in value.items():
        yield from _leaves(f"{path}.{name}" if path else str(name), item)


def _variables(before: Side, after: Side) -> Iterator[Row]:
    """Yield each variable whose value or origin is another; of a secret whether its value is, null where that cannot be known, and never the value."""
    old, new = before.start["variables"], after.start["variables"]
    digests = _secrets(before), _secrets(after)
    for name in sorted({*old, *new}):
        entries = old.get(name), new.get(name)
        secret = any(entry is not None and "value" not in entry for entry in entries)
        values = [None if secret or entry is None else entry["value"] for entry in entries]
        origins = [None if entry is None else entry["origin"] for entry in entries]
        changed: bool | None = values[0] != values[1] or None in entries
        if secret and None not in entries:
            changed = _secret_changed(digests[0].get(name), digests[1].get(name))
        if changed is not False or origins[0] != origins[1]:
            row = {"name": name, "secret": secret, "changed": changed, "before": values[0], "after": values[1]}
            yield row | {"before_origin": origins[0], "after_origin": origins[1]}


def _secrets(side: Side) -> Mapping[str, str]:
    """Return the keyed digest of each secret: that of the environment, else the one that a step's key has."""
    if side.environment is not None:
        found: Mapping[str, str] = side.environment["secrets"]
        return found
    return {name: entry["keyed"] for name, entry in side.start["variables"].items() if "keyed" in entry}


def _secret_changed(old: str | None, new: str | None) -> bool | None:
    """Whether a secret has another value: None where the digests have two keys, or where there is none."""
    ids = {id_of(old), id_of(new)}
    return None if ids & {None, "none"} or len(ids) > 1 else old != new


def _steps(before: Side, after: Side, names: Names) -> Iterator[Row]:
    """Yield each step in the order of the second run's graph, those that only the first one has at the end, with its differences."""
    old = {names.step(name): (name, step) for name, step in before.steps.items()}
    for name in dict.fromkeys((*after.steps, *old)):
        former, left = old.get(name, (name, None))
        right = after.steps.get(name)
        row: Row = {"step": name, "formerly": former if former != name else None}
        if left is None or right is None:
            there = [{"status": step.status} if step else None for step in (left, right)]
            yield row | {"differences": [{"part": "graph", "component": "step", "before": there[0], "after": there[1]}]}
        else:
            yield row | {"differences": list(_differences(left, right, before, after, names))}


def _differences(left: StepSide, right: StepSide, before: Side, after: Side, names: Names) -> Iterator[Row]:
    if left.components is not None and right.components is not None:
        renamed = rename_components(left.components, datasets=names.datasets, steps=names.steps)
        found = first_difference(_here(renamed, before), _here(right.components, after))
        if found is not None:
            yield {"part": "key", "component": found.component, "before": found.before, "after": found.after}
    if left.decision != right.decision:
        yield {"part": "decision", "component": "decision", "before": left.decision, "after": right.decision}
    # What was not attempted has no exit code, and that says nothing.
    ran = 0 not in (left.outcome.get("attempts"), right.outcome.get("attempts"))
    for name in _OUTCOME if ran else _OUTCOME[:2]:
        if left.outcome.get(name) != right.outcome.get(name):
            pair = {"before": left.outcome.get(name), "after": right.outcome.get(name)}
            yield {"part": "outcome", "component": name, **pair}
    if left.outputs is None or right.outputs is None:
        return
    outputs = {names.datasets.get(name, name): digest for name, digest in left.outputs.items()}
    for name in sorted({*outputs, *right.outputs}):
        if outputs.get(name) != right.outputs.get(name):
            pair = {"before": outputs.get(name), "after": right.outputs.get(name)}
            yield {"part": "outputs", "component": f"output:{name}", **pair}


def _here(components: Document, side: Side) -> Document:
    """Return *components* with attempts of the run itself named so: of two runs they are never the same ones."""
    needs = components.get("needs")
    if not isinstance(needs, Mapping):
        return components
    # A reproduction takes those that are not made again from the run that it runs again.
    own = tuple(f"{run_id}/" for run_id in (side.run["run_id"], side.run.get("reproduces")) if run_id)
    return {**components, "needs": {name: _HERE if str(of).startswith(own) else of for name, of in needs.items()}}


def _divergence(step: Row) -> Row:
    return {"step": step["step"], "formerly": step["formerly"], **step["differences"][0]}


def _data(before: Side, after: Side, names: Names, kind: str) -> Iterator[Row]:
    """
    Yield each dataset that steps read, or wrote, with another content, and how many of its files differ where both manifests are kept.

    Where a step did not run and nothing tells what was there, what it has in the other run is not compared.
    """
    unknown = {names.step(name) for name, step in before.steps.items() if _contents(step, kind) is None}
    unknown |= {name for name, step in after.steps.items() if _contents(step, kind) is None}
    former = {name: step for name, step in before.steps.items() if names.step(name) not in unknown}
    later = {name: step for name, step in after.steps.items() if name not in unknown}
    sides = [_digests(former, kind, names.datasets), _digests(later, kind, {})]
    for name in sorted({*sides[0], *sides[1]}):
        old, new = sides[0].get(name), sides[1].get(name)
        if old != new:
            yield {"dataset": name, "before": old, "after": new, "files": _manifests(before, after, name, old, new)}


def _contents(step: StepSide, kind: str) -> Document | None:
    if kind == "outputs":
        return step.outputs
    return None if step.components is None else step.components.get("inputs", {})


def _digests(steps: Mapping[str, StepSide], kind: str, renamed: Mapping[str, str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for step in steps.values():
        for name, digest in (_contents(step, kind) or {}).items():
            found.setdefault(renamed.get(name, name), digest)
    return found


def _manifests(before: Side, after: Side, dataset: str, old: str | None, new: str | None) -> Row | None:
    from orchestrator.projections.manifest_diff import manifest_diff

    texts = [None if digest is None else side.text(digest) for side, digest in ((before, old), (after, new))]
    if texts[0] is None or texts[1] is None:
        return None
    path = (after.definition or {}).get("datasets", {}).get(dataset, {}).get("path") or dataset
    return manifest_diff(texts[0], texts[1], single=str(path).rpartition("/")[2] or dataset)


def _durations(before: Side, after: Side, names: Names) -> Iterator[Row]:
    old = {names.step(name): step.seconds for name, step in before.steps.items()}
    for name, step in after.steps.items():
        if old.get(name) is not None or step.seconds is not None:
            yield {"step": name, "before_seconds": old.get(name), "after_seconds": step.seconds}


def _cut(rows: Iterator[Row]) -> list[Row]:
    """Return the first of *rows*; a last one counts the others where there are more than are shown."""
    found = list(rows)
    if len(found) <= ENTRIES_MAX:
        return found
    return [*found[:ENTRIES_MAX], {"more": len(found) - ENTRIES_MAX}]
