"""What made the results, and whether they can be had again: definitions, code and environments over the nights, outputs that vary, verdicts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from orchestrator.history.frames import columns_of
from orchestrator.history.history import History

VERDICTS = ("identical", "equivalent", "different", "not_reproducible")
_SHORT = 8
_SAID = {
    "definition": "definition",
    "git_commit": "commit",
    "program": "orchestrate",
    "host": "host",
    "environment": "environment",
    "python": "python",
    "platform": "platform",
    "packages": "packages",
}

MATERIAL = """
WITH made (run_id, pipeline, night, step, attempt, key, at, components) AS (
    SELECT a.run_id, a.pipeline, a.night, a.step, a.attempt, a.key, a.started_at,
        coalesce((SELECT CAST(b.bytes AS TEXT) FROM blobs b WHERE b.digest = json_extract(e.data, '$.components.blob')),
            json_extract(e.data, '$.components'))
    FROM audit_attempts a JOIN events e ON e.seq = a.first_seq
)
SELECT m.run_id, m.pipeline, m.night, m.step, m.attempt, k.value, c.key,
    CASE WHEN c.type IN ('array', 'object') THEN json(c.value) ELSE CAST(c.value AS TEXT) END, m.at
FROM made m JOIN json_each('["code","command","variables"]') k JOIN json_each(m.components, '$.' || k.value) c
ORDER BY m.at, m.run_id, m.step, k.value, c.key
"""
_MATERIAL_TYPES = {
    "run_id": "text",
    "pipeline": "text",
    "night": "text",
    "step": "text",
    "attempt": "integer",
    "kind": "text",
    "name": "text",
    "value": "text",
    "recorded_at": "text",
}

_ATTEMPT = ["pipeline", "step", "run_id", "attempt"]
_CHANGES = ["night", "step", "kind", "name", "change", "before", "after", "run_id"]

_ENVIRONMENTS = """
SELECT DISTINCT b.digest, CAST(b.bytes AS TEXT) FROM blobs b
WHERE b.digest IN (SELECT json_extract(data, '$.environment') FROM events WHERE type = 'run.started')
"""


_VERDICTS = """
SELECT e.recorded_at, json_extract(e.data, '$.run_id'), r.pipeline, json_extract(e.data, '$.verdict'),
    json_extract(e.data, '$.first.step'), json_extract(e.data, '$.first.dataset'), json_extract(e.data, '$.causes')
FROM audit_events e LEFT JOIN audit_runs r ON r.run_id = json_extract(e.data, '$.run_id')
WHERE e.type = 'run.reproduced' ORDER BY e.seq
"""
_VERDICTS_OF_STEPS = """
SELECT e.recorded_at, json_extract(e.data, '$.run_id'), r.pipeline, json_extract(s.value, '$.verdict'), json_extract(s.value, '$.step')
FROM audit_events e JOIN json_each(e.data, '$.steps') s LEFT JOIN audit_runs r ON r.run_id = json_extract(e.data, '$.run_id')
WHERE e.type = 'run.reproduced' ORDER BY e.seq, s.key
"""
_OF_REPRODUCTION = {"recorded_at": "text", "run_id": "text", "pipeline": "text", "verdict": "text", "step": "text"}


def material(history: History) -> pd.DataFrame:
    """Return a row for each file of code, word of a command and variable that counted in the key of each attempt, with its digest or value."""
    return history.read(_MATERIAL_TYPES, lambda found: columns_of(found.connection, MATERIAL))


def changes_of(made: pd.DataFrame) -> pd.DataFrame:
    """
    Return where the material of an attempt differs from that of the attempt before it of the same step, the two compared as whole sets.

    Args:
        made: As `material` has it.

    Returns:
        `night`, `step`, `kind`, `name`, `change` (`changed`, `added` or `removed`), `before`, `after` and `run_id`, in the order of attempts; the night and
        the run are those of the attempt that had it otherwise, also where it had it no more.
    """
    numbers = made.groupby(_ATTEMPT, sort=False).ngroup()
    attempts = _in_turn(made[[*_ATTEMPT, "night", "recorded_at"]].assign(number=numbers))
    things = made.groupby(["pipeline", "step", "kind", "name"], sort=False, dropna=False).ngroup()
    rows = made[["kind", "name", "value"]].assign(thing=things, code=pd.factorize(made["value"])[0], number=numbers)
    rows = rows.join(attempts, on="number").sort_values(["thing", "turn"], ignore_index=True)
    held = rows["thing"].eq(rows["thing"].shift()) & rows["turn"].eq(rows["turn"].shift() + 1)
    added = ~held & (rows["turn"] > 0)
    changed = held & (rows["code"] != rows["code"].shift())
    removed = rows["next_run"].notna() & ~held.shift(-1, fill_value=False)
    present = rows.assign(before=rows["value"].shift().where(held), after=rows["value"])
    gone = rows.assign(
        before=rows["value"], after=None, **{name: rows[f"next_{name}"] for name in ("night", "run", "at")}
    )
    found = pd.concat([
        present[changed].assign(change="changed"),
        present[added].assign(change="added"),
        gone[removed].assign(change="removed"),
    ]).sort_values(["at", "run", "step", "kind", "name"], ignore_index=True)  # fmt: skip
    texts = {name: short(found[name].astype("str")) for name in ("before", "after")}
    return found.assign(**texts, run_id=found["run"])[_CHANGES]


def _in_turn(rows: pd.DataFrame) -> pd.DataFrame:
    """Return for the `number` of each attempt its `step`, `night`, `run` and time `at`, its `turn` among those of the step, and the same of the `next_` one."""
    ordered = rows.drop_duplicates("number").sort_values(["recorded_at", "run_id", "attempt"], kind="stable")
    found = ordered.set_index("number")[["pipeline", "step", "night", "run_id", "recorded_at"]]
    found = found.rename(columns={"run_id": "run", "recorded_at": "at"})
    of_step = found.groupby(["pipeline", "step"], sort=False)
    following = of_step[["night", "run", "at"]].shift(-1).add_prefix("next_")
    return found.assign(turn=of_step.cumcount()).join(following)


def change_words(changes: pd.Series[Any]) -> pd.Series[Any]:
    """Return *changes*, as the view `audit_definition_changes` has them in JSON, in words: the paths that were added, removed or changed."""
    return changes.map(
        lambda text: "; ".join(f"{item.get('path')} {item.get('kind', '')}".strip() for item in json.loads(text))
    ).astype("str")


def short(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return *values* with digests cut to their beginning."""
    return values.str.replace(rf"^(sha256|keyed):(.{{{_SHORT}}}).*$", r"\2", regex=True)


def started_with(history: History) -> pd.DataFrame:
    """
    Return a row for each run with what it was started with: definition, commit, version of this program, host, and its environment where one was recorded.

    The environment is told as its digest, and by `python`, `platform` and `packages` (how many, and a digest of their list).
    """
    runs = history.runs()
    starts = history.events(types=["run.started"], columns=["run_id", "data"]).drop_duplicates("run_id")
    told = [json.loads(text) for text in starts["data"]]
    known = environments(history)
    facts = pd.DataFrame(
        {
            "run_id": starts["run_id"],
            "program": pd.Series([str(item.get("program", "")) for item in told], index=starts.index, dtype="str"),
            "started_host": pd.Series([item.get("host") for item in told], index=starts.index, dtype="str"),
            "environment": pd.Series([item.get("environment") for item in told], index=starts.index, dtype="str"),
        }
    )
    found = runs[["ledger", "run_id", "pipeline", "night", "started_at", "definition", "git_commit"]].merge(
        facts, on="run_id", how="left"
    )
    found["host"] = found.pop("started_host")
    for name in ("python", "platform", "packages"):
        found[name] = found["environment"].map({digest: item[name] for digest, item in known.items()}).astype("str")
    return found


def environments(history: History) -> dict[str, dict[str, str]]:
    """Return what each recorded environment says, by its digest: `python`, `platform`, `packages`."""
    found = {}
    for opened in history.ledgers():
        for digest, text in opened.connection.execute(_ENVIRONMENTS):
            item = json.loads(text)
            interpreter, platform = item.get("interpreter", {}), item.get("platform", {})
            packages = item.get("packages", {})
            listed = pd.util.hash_array(pd.Series([json.dumps(packages, sort_keys=True)], dtype="object").to_numpy())[0]
            found[str(digest)] = {
                "python": f"{interpreter.get('implementation', '')} {interpreter.get('version', '')}".strip(),
                "platform": f"{platform.get('system', '')} {platform.get('kernel', '')}".strip(),
                "packages": f"{len(packages)} ({listed & 0xFFFFFF:06x})",
            }
    return found


def spans(started: pd.DataFrame) -> pd.DataFrame:
    """
    Return for each aspect of *started* the stretches of nights in which it stayed the same: `aspect`, `value`, `since`, `until`, `runs`, `turn` (counted from 0).

    Only aspects that are known of at least one run.
    """
    rows = started.sort_values("night", kind="stable")
    found = []
    for aspect, said in _SAID.items():
        values = short(rows[aspect]).where(rows[aspect].notna() & (rows[aspect] != "nan"))
        if values.notna().sum() == 0:
            continue
        known = rows.assign(value=values.fillna("not recorded"))
        turn = (known["value"] != known["value"].shift()).cumsum() - 1
        grouped = known.groupby(turn.rename("turn"))
        part = grouped.agg(
            value=("value", "first"), since=("night", "min"), until=("night", "max"), runs=("run_id", "size")
        )
        found.append(part.reset_index().assign(aspect=said))
    columns = ["aspect", "value", "since", "until", "runs", "turn"]
    return pd.concat(found, ignore_index=True)[columns] if found else pd.DataFrame(columns=columns)


def varying(attempts: pd.DataFrame, data: pd.DataFrame) -> pd.DataFrame:
    """
    Return for each dataset how often it was made again under a key that had made it before, and how often its bytes were others then.

    The same key means the same command, code, variables and inputs: other bytes are then the step's own doing. What was never made twice under one key
    is left out: nothing is known of it.
    """
    keys = attempts[["run_id", "step", "attempt", "key"]]
    made = data[data["use"] == "writes"].merge(keys, on=["run_id", "step", "attempt"])
    grouped = made.groupby(["step", "dataset", "key"])
    by_key = grouped.agg(times=("digest", "size"), digests=("digest", "nunique")).reset_index()
    again = by_key[by_key["times"] > 1].assign(varied=lambda frame: frame["digests"] > 1)
    found = again.groupby(["step", "dataset"]).agg(
        keys_used_again=("key", "size"), made=("times", "sum"), keys_with_other_bytes=("varied", "sum")
    )
    found = found.reset_index()
    found["verdict"] = (found["keys_with_other_bytes"] > 0).map({True: "varies", False: "the same bytes"}).astype("str")
    return found.sort_values(["verdict", "dataset"], ascending=[False, True], ignore_index=True)


def verdicts(history: History) -> pd.DataFrame:
    """Return a row for each time that a run was reproduced, or was to be: the run and its night, the verdict, and the first step and dataset that differ."""
    found = _of_reproductions(history, _VERDICTS, {"dataset": "text", "causes": "text"})
    causes = [
        "; ".join(str(cause.get("message", "")) for cause in json.loads(text)) or None
        for text in found["causes"].fillna("[]")
    ]
    found["causes"] = pd.Series(causes, index=found.index, dtype="str")
    found = found.rename(columns={"step": "first_step", "dataset": "first_dataset"})
    return found[["recorded_at", "run_id", "verdict", "first_step", "first_dataset", "causes", "pipeline", "night"]]


def verdicts_of_steps(history: History) -> pd.DataFrame:
    """Return a row for each step of each reproduction that was run again: `run_id`, `step`, `verdict`, with the pipeline and the night of the run."""
    found = _of_reproductions(history, _VERDICTS_OF_STEPS, {})
    return found[["recorded_at", "run_id", "step", "verdict", "pipeline", "night"]]


def steps_of_verdicts(steps: pd.DataFrame) -> pd.DataFrame:
    """Return how often each of the *steps*, as `verdicts_of_steps` has them, came out in which way."""
    return steps.groupby(["step", "verdict"], as_index=False).size().rename(columns={"size": "times"})


def _of_reproductions(history: History, statement: str, more: Mapping[str, str]) -> pd.DataFrame:
    """
    Return what *statement* finds with `_OF_REPRODUCTION` and *more* columns, under present names, with the night of the run that was reproduced.

    A run is reproduced under the definition that it had, so that the names are those of its time.
    """
    types = {**_OF_REPRODUCTION, **more}
    found = history.read(types, lambda opened: columns_of(opened.connection, statement))
    runs = history.runs()[["run_id", "pipeline", "night"]]
    return found.drop(columns="pipeline").merge(runs, on="run_id", how="left")
