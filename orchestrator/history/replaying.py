"""From recorded runs to what `schedule` computes with: steps, durations and edges of a run, and runs on another number of places."""

from __future__ import annotations

import json

import pandas as pd

from orchestrator.history.schedule import Task, path_seconds, replay

MOST_PLACES = 16


def last_runs(attempts: pd.DataFrame, most: int) -> list[str]:
    """Return the ids of the last *most* runs that attempted anything, the oldest first."""
    done = attempts[attempts["duration_seconds"].notna()]
    return [str(run_id) for run_id in dict.fromkeys(done.sort_values("started_at")["run_id"])][-most:]


def last_attempted(attempts: pd.DataFrame) -> str:
    """Return the id of the last run that attempted most of what runs attempt, so that there is something to see; empty where there is none."""
    counts = attempts[attempts["duration_seconds"].notna()].groupby("run_id")["step"].nunique()
    usual = counts.median() if len(counts) else 0
    return next((run_id for run_id in reversed(last_runs(attempts, len(counts))) if counts[run_id] >= usual), "")


def chosen_run(runs: pd.DataFrame, attempts: pd.DataFrame, run: str = "") -> str:
    """
    Return the id of the run that is looked at: *run*, without it that of `last_attempted`.

    Raises:
        ValueError: It is none of *runs*.
    """
    if run and run not in set(runs["run_id"]):
        raise ValueError(f"there is no run {run!r} of this pipeline in these nights: `orchestrate runs` lists the ids")
    return run or last_attempted(attempts)


def tasks_of_runs(attempts: pd.DataFrame, graph: pd.DataFrame) -> dict[str, list[Task]]:
    """
    Return for each run of *graph* the steps that ran in it, each with what all its attempts took together.

    Args:
        attempts: As `History.attempts` has them.
        graph: As `History.graph` has it.
    """
    seconds = attempts.groupby(["run_id", "step"])["duration_seconds"].sum().to_dict()
    found: dict[str, list[Task]] = {}
    for (run_id, _, step), upstream in graph.groupby(["run_id", "position", "step"])["upstream"]:
        tasks = found.setdefault(str(run_id), [])
        if (run_id, step) in seconds:
            tasks.append(Task(str(step), float(seconds[run_id, step]), tuple(upstream.dropna())))
    return found


def places_used(starts: pd.DataFrame, run_id: str) -> int:
    """Return how many steps the run *run_id* could have had going at once, from its `run.started`; 0 where that is not known."""
    told = starts.loc[starts["run_id"] == run_id, "data"]
    return int(json.loads(told.iloc[0])["max_parallel"]) if len(told) else 0


def retries_table(attempts: pd.DataFrame, failed: pd.DataFrame) -> pd.DataFrame:
    """Return for each step and cause how many attempts failed, how many of them were attempted again, and how many minutes they took."""
    columns = ["step", "cause", "failed", "attempted_again", "minutes"]
    if failed.empty:
        return pd.DataFrame(columns=columns)
    taken = attempts[["run_id", "step", "attempt", "duration_seconds"]]
    rows = failed.merge(taken, on=["run_id", "step", "attempt"], how="left")
    rows["cause"] = rows["reason"].fillna("") + (" " + rows["exit_code"].astype("str")).where(
        rows["exit_code"].notna(), ""
    )
    grouped = rows.groupby(["step", "cause"])
    table = pd.DataFrame(
        {
            "failed": grouped.size(),
            "attempted_again": grouped["final"].apply(lambda final: int((final.astype("float64") == 0).sum())),
            "minutes": grouped["duration_seconds"].sum() / 60,
        }
    )
    return table.reset_index().sort_values("failed", ascending=False)[columns]


def places_table(runs: list[list[Task]], *, most: int = MOST_PLACES) -> pd.DataFrame:
    """Return for 1, 2, … places how long the *runs* would have taken: `median`, `low` and `high` (nine in ten), and `path`, the median critical path."""
    runs = [tasks for tasks in runs if tasks]
    columns = ["places", "median", "low", "high", "path"]
    if not runs:
        return pd.DataFrame(columns=columns)
    widest = min(most, max(len(tasks) for tasks in runs))
    path = float(pd.Series([path_seconds(tasks) for tasks in runs]).median())
    rows = []
    for places in range(1, widest + 1):
        taken = pd.Series([replay(tasks, places) for tasks in runs])
        rows.append((places, taken.median(), taken.quantile(0.05), taken.quantile(0.95), path))
    return pd.DataFrame(rows, columns=columns)
