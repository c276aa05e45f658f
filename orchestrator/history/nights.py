"""Nights and runs of one pipeline: which are looked at, how each night ended, how late its results were, how old its data is."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd

SPAN = pd.Timedelta(days=20 * 366)
"""No more nights than that are looked at: a run for a night of another century would make every chart a dot."""

GOOD = ("succeeded", "nothing_to_do")
MISSING, NOT_DUE = "no run", "not due"
NOTHING_WRONG = (*GOOD, NOT_DUE)


class Choice(NamedTuple):
    """
    Say which runs are looked at.

    Attributes:
        pipeline: Its present name.
        since: The first night; *until* the last one.
        left_out: How many runs are left out, since their nights lie too far from the others.
    """

    pipeline: str
    since: pd.Timestamp
    until: pd.Timestamp
    left_out: int = 0

    def __str__(self) -> str:
        """Say what is looked at, and what is not."""
        far = (
            f" ({self.left_out} {'run is' if self.left_out == 1 else 'runs are'} left out: more than 20 years from the others;"
            " -p since and -p until choose other nights)"
        )
        return f"pipeline {self.pipeline}, {self.since:%d %b %Y} to {self.until:%d %b %Y}{far if self.left_out else ''}"

    def of(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of *frame* that belong to the pipeline and to one of the nights."""
        rows = (frame["pipeline"] == self.pipeline) & frame["night"].between(self.since, self.until)
        return frame[rows].reset_index(drop=True)


def choose(runs: pd.DataFrame, *, pipeline: str = "", since: str = "", until: str = "") -> Choice:
    """
    Choose a pipeline and nights; without a name the pipeline with the most runs, without dates all nights, or of more than `SPAN` those with the most runs.

    Raises:
        ValueError: There is no such pipeline, or no run at all.
    """
    known = runs["pipeline"].value_counts()
    if known.empty:
        raise ValueError("the ledger holds no run: there is nothing to look at")
    name = pipeline or str(known.index[0])
    if name not in known.index:
        raise ValueError(f"the ledger knows no pipeline {name!r}: there are {', '.join(sorted(map(str, known.index)))}")
    own = runs[runs["pipeline"] == name]
    if since:
        own = own[own["night"] >= pd.Timestamp(since)]
    if until:
        own = own[own["night"] <= pd.Timestamp(until)]
    near = _near(own)
    if len(near) < len(own):
        return Choice(name, near["night"].min(), near["night"].max(), len(own) - len(near))
    known_nights = runs.loc[runs["pipeline"] == name, "night"]
    return Choice(
        name,
        pd.Timestamp(since) if since else known_nights.min(),
        pd.Timestamp(until) if until else known_nights.max(),
    )


def _near(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the most of *runs* whose nights lie within `SPAN`; of as many, those that were run nearest to their nights."""
    ordered = runs.sort_values("night")
    nights = ordered["night"]
    if nights.empty or nights.iloc[-1] - nights.iloc[0] <= SPAN:
        return runs
    ends = nights.searchsorted(nights + SPAN, side="right")
    late = (ordered["started_at"].dt.tz_convert("UTC").dt.tz_localize(None) - nights).abs()
    spans = pd.DataFrame({"begin": range(len(nights)), "end": ends, "late": late.to_numpy()})
    best = (
        spans.assign(runs=spans["end"] - spans["begin"]).sort_values(["runs", "late"], ascending=[False, True]).iloc[0]
    )
    return ordered.iloc[best["begin"] : best["end"]]


def calendar(runs: pd.DataFrame, missing: pd.DataFrame | None = None) -> pd.DataFrame:
    """
    Return a row for each night from the first one of *runs* to the last: how its last run ended, or that it had none.

    Args:
        missing: The nights without a run that were due, as `History.missing_nights` has them; any other one was not. Without them each was due.

    Its columns besides `night`: `status`, `runs` (how many), `run_id` (of the last one), and `year`, `week`, `weekday` as a calendar shows them.
    """
    columns = {"night": "datetime64[us]", "status": "str", "runs": "int64", "run_id": "str"}
    if runs.empty:
        frame = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})
    else:
        # In the order of the chain: places of events count within one ledger.
        by_night = runs.groupby("night")
        nights = pd.date_range(runs["night"].min(), runs["night"].max(), freq="D", name="night").as_unit("us")
        found = pd.DataFrame(
            {"status": by_night["status"].last(), "runs": by_night.size(), "run_id": by_night["run_id"].last()}
        ).reindex(nights)
        frame = found.fillna({"status": MISSING, "runs": 0}).astype({"runs": "int64"}).reset_index()
        if missing is not None:
            frame.loc[frame["runs"].eq(0) & ~frame["night"].isin(missing["night"]), "status"] = NOT_DUE
    monday = frame["night"] - pd.to_timedelta(frame["night"].dt.day_of_week, unit="D")
    first = pd.to_datetime(frame["night"].dt.year.astype("str") + "-01-01")
    first_monday = first - pd.to_timedelta(first.dt.day_of_week, unit="D")
    frame["year"] = frame["night"].dt.year
    frame["week"] = (monday - first_monday).dt.days // 7
    frame["weekday"] = frame["night"].dt.day_name().str[:3]
    return frame


def lateness(runs: pd.DataFrame) -> pd.DataFrame:
    """Return for each night that ended well, when its first good run was over: hours after the beginning of that day, UTC."""
    good = runs[runs["status"].isin(GOOD) & runs["finished_at"].notna()]
    first = good.sort_values("finished_at").groupby("night", as_index=False).first()
    finished = first["finished_at"].dt.tz_convert("UTC").dt.tz_localize(None)
    hours = (finished - first["night"]).dt.total_seconds() / 3600
    return pd.DataFrame({"night": first["night"], "run_id": first["run_id"], "hours": hours})


def data_age(data: pd.DataFrame, nights: pd.DataFrame) -> pd.DataFrame:
    """
    Return for each dataset and night how many nights ago its content changed last.

    Args:
        data: What was written, as `History.datasets` has it.
        nights: As `calendar` has it.
    """
    written = data[data["use"] == "writes"].sort_values(["night", "recorded_at"])
    changed = written[written["digest"] != written.groupby("dataset")["digest"].shift()]
    table: Any = changed.assign(changed=changed["night"]).pivot_table(
        index="night", columns="dataset", values="changed", aggfunc="last", observed=True
    )
    known = table.reindex(pd.DatetimeIndex(nights["night"], name="night")).ffill()
    age = known.apply(lambda column: (column.index - column).dt.days)
    long = age.melt(ignore_index=False, var_name="dataset", value_name="age").reset_index()
    return pd.DataFrame(long.dropna(subset="age").reset_index(drop=True))
