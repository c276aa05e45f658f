"""The charts of the run history: nights, durations, one run, places, data, retries. Each takes dataframes and computes nothing by itself."""

from __future__ import annotations

import json
from collections.abc import Sequence

import altair as alt
import pandas as pd

from orchestrator.history.charts import (
    ACCENT,
    ALARM,
    QUIET,
    WIDTH,
    Chart,
    Period,
    Sentence,
    count_axis,
    small_title,
    stacked,
    status_scale,
    titled,
)

_WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
_MEBI = 1 << 20
_POINTS_MAX = 200
"""Nights of which each has a point on its line."""


def calendar_chart(nights: pd.DataFrame) -> Chart | Sentence:
    """Draw each night as a square in the calendar of its year, in the colour of how its last run ended."""
    if nights.empty:
        return Sentence("There is no night to show.")
    whole_years = len(nights["year"].unique()) > 1
    weeks = 54 if whole_years else max(int(nights["week"].max() - nights["week"].min()) + 1, 12)
    size = min(22, WIDTH // weeks)
    months = nights[nights["night"].dt.day <= 7].drop_duplicates("week")  # noqa: PLR2004 - the week of a first
    months = months.assign(month=months["night"].dt.strftime("%b")).drop_duplicates("month")
    names = {str(week): month for week, month in zip(months["week"], months["month"], strict=True)}
    axis = alt.Axis(
        values=sorted(int(week) for week in names),
        labelExpr=f"({json.dumps(names)})[datum.value]",
        labelAngle=0,
        ticks=False,
        domain=False,
    )
    base = alt.Chart(nights).encode(
        x=alt.X(
            "week:O", title=None, axis=axis, scale=alt.Scale(domain=list(range(54))) if whole_years else alt.Undefined
        ),
        y=alt.Y("weekday:O", title=None, sort=_WEEKDAYS, axis=alt.Axis(ticks=False, domain=False)),
    )
    squares = base.mark_rect(stroke="white", strokeWidth=1.5, cornerRadius=2).encode(
        color=alt.Color("status:N", title=None, scale=status_scale(nights["status"])),
        tooltip=["night:T", "status:N", "runs:Q"],
    )
    again = base.transform_filter("datum.runs > 1").mark_point(
        filled=True, color="#27313a", size=max(8, size), opacity=0.8
    )
    chart = alt.layer(squares, again).properties(width=size * weeks, height=size * 7)
    title = titled("Every night, by how its last run ended", "a dot: more than one run for that night")
    return chart.facet(
        row=alt.Row("year:O", header=alt.Header(labelAngle=0, labelAlign="left", labelAnchor="end"))
    ).properties(title=title)


def durations_chart(trend: pd.DataFrame, period: Period, *, most: int = 12) -> Chart | Sentence:
    """Draw the seconds of each step night by night, with trend and anomalies: the *most* steps that take longest."""
    if trend.empty:
        return Sentence("No attempt has succeeded yet: there are no durations.")
    longest = trend.groupby("step")["duration_seconds"].median().sort_values(ascending=False)
    steps = list(longest.index[:most])
    shown = trend[trend["step"].isin(steps)]
    charts = []
    for step in steps:
        rows = shown[shown["step"] == step]
        y = alt.Y("duration_seconds:Q", title="seconds", scale=alt.Scale(zero=True, nice=True))
        base = alt.Chart(rows).encode(x=period.axis(None, ticks=4))
        points = base.mark_circle(size=14, color=QUIET, opacity=0.6).encode(y=y)
        line = base.mark_line(color=ACCENT, strokeWidth=2).encode(y=alt.Y("trend:Q"))
        far = base.transform_filter("datum.anomaly").mark_circle(size=48, color=ALARM).encode(y=y)
        layered = alt.layer(points, line, far)
        charts.append(
            period.over(layered, told=False).properties(width=WIDTH // 2 - 30, height=110, title=small_title(step))
        )
    hidden = len(longest) - len(steps)
    title = titled(
        "How long each step takes",
        f"the {most} steps that take longest; {hidden} more are in the table of periods" if hidden else "",
        f"grey: attempts that succeeded; blue: the median of the last ones; red: anomalies ({int(shown['anomaly'].sum())})",
        "dashed: nights on which the definition changed" if len(period.changes) else "the definition never changed",
    )
    return alt.concat(*charts, columns=2).properties(title=title)  # type: ignore[return-value]


def periods_chart(table: pd.DataFrame, split: pd.Timestamp) -> Chart | Sentence:
    """Draw the median of each step before *split* and from then on."""
    if table.empty:
        return Sentence("No step has run on both sides of the chosen night: there is nothing to compare.")
    order = alt.EncodingSortField("median_after", order="descending")
    base = alt.Chart(table).encode(y=alt.Y("step:N", title=None, sort=order))
    bar = base.mark_rule(strokeWidth=3, color="#c9d3da").encode(
        x=alt.X("median_before:Q", title="median seconds"), x2="median_after:Q"
    )
    long = pd.concat(
        [
            table.assign(period="before", seconds=table["median_before"]),
            table.assign(period=f"from {split:%d %b %Y}", seconds=table["median_after"]),
        ]
    )
    dots = (
        alt.Chart(long)
        .mark_circle(size=90, opacity=1)
        .encode(
            x=alt.X("seconds:Q", title="median seconds"),
            y=alt.Y("step:N", sort=order),
            color=alt.Color(
                "period:N",
                title=None,
                sort=None,
                scale=alt.Scale(domain=["before", f"from {split:%d %b %Y}"], range=[QUIET, ACCENT]),
            ),
        )
    )
    text = (
        base.transform_filter("datum.beyond_noise")
        .mark_text(align="left", dx=10, fontSize=11, color=ALARM)
        .encode(x=alt.X("label_at:Q"), text=alt.Text("change_percent:Q", format="+.0f"))
        .transform_calculate(label_at="max(datum.median_before, datum.median_after)")
    )
    title = titled(
        "Two periods compared", "in red the change in percent, where it is more than nights vary by themselves"
    )
    return alt.layer(bar, dots, text).properties(width=WIDTH - 160, height=max(60, 26 * len(table)), title=title)


def gantt_chart(attempts: pd.DataFrame, path: Sequence[str], *, title: str) -> Chart | Sentence:
    """Draw the attempts of one run over its seconds, those of the critical *path* in a colour of their own."""
    done = attempts[attempts["duration_seconds"].notna()].sort_values("started_at")
    if done.empty:
        return Sentence("No step was attempted in this run: everything was skipped, or it ended before.")
    begin = done["started_at"].min()
    start = (done["started_at"] - begin).dt.total_seconds()
    rows = pd.DataFrame(
        {
            "step": done["step"],
            "start": start,
            "end": start + done["duration_seconds"],
            "waited": start - done["waited_seconds"].fillna(0),
            "what": done["step"].isin(path).map({True: "critical path", False: "beside it"}),
        }
    )
    rows.loc[done["status"] == "failed", "what"] = "failed attempt"
    base = alt.Chart(rows).encode(y=alt.Y("step:N", title=None, sort=list(dict.fromkeys(rows["step"]))))
    waits = base.mark_bar(height=3, color="#d5dade").encode(
        x=alt.X("waited:Q", title="seconds since the first start"), x2="start:Q"
    )
    colours = alt.Scale(domain=["critical path", "beside it", "failed attempt"], range=[ACCENT, "#b4c4d0", ALARM])
    bars = base.mark_bar(height=15, cornerRadius=2).encode(
        x=alt.X("start:Q", title="seconds since the first start"),
        x2="end:Q",
        color=alt.Color("what:N", title=None, scale=colours),
    )
    return alt.layer(waits, bars).properties(
        width=WIDTH - 120,
        height=max(80, 24 * rows["step"].nunique()),
        title=titled(title, "a thin line: the step waited for a place"),
    )


def places_chart(table: pd.DataFrame, *, used: int) -> Chart | Sentence:
    """Draw how long runs would take on more or fewer places, with the number that they had, *used*, marked."""
    if table.empty:
        return Sentence("No run has attempted anything: there is nothing to replay.")
    base = alt.Chart(table).encode(
        x=alt.X("places:O", title="steps at once (max_parallel)", axis=alt.Axis(labelAngle=0))
    )
    band = base.mark_bar(width=14, color="#cfdde7").encode(y=alt.Y("low:Q", title="seconds of a run"), y2="high:Q")
    line = base.mark_line(color=ACCENT, point=alt.OverlayMarkDef(color=ACCENT, size=50)).encode(y="median:Q")
    bound = (
        alt.Chart(pd.DataFrame({"path": [table["path"].iloc[0]]}))
        .mark_rule(color=QUIET, strokeDash=[4, 3])
        .encode(y="path:Q")
    )
    mark = (
        base.transform_filter(alt.datum.places == used)
        .mark_point(size=170, color=ALARM, strokeWidth=2)
        .encode(y="median:Q")
    )
    title = titled(
        "What more places would gain",
        f"line and bars: the median, and nine runs in ten; red circle: the {_places(used)} that the run had",
        "dashed: the critical path, which no number of places shortens",
    )
    return alt.layer(band, line, bound, mark).properties(width=WIDTH - 200, height=220, title=title)


def _places(count: int) -> str:
    return "1 place" if count == 1 else f"{count} places"


def volumes_chart(data: pd.DataFrame, period: Period) -> Chart | Sentence:
    """Draw how large each dataset was after each night that wrote it, layer by layer."""
    known = data[(data["use"] == "writes") & data["bytes"].notna()]
    if known.empty:
        return Sentence("No step has written a dataset whose size is known.")
    last = known.groupby(["layer", "dataset", "night"], as_index=False, dropna=False).last()
    last["mebibytes"] = last["bytes"].astype("float64") / _MEBI
    last["layer"] = last["layer"].fillna("no layer")
    charts = []
    for layer in [
        name for name in ("raw", "bronze", "silver", "gold", "no layer") if name in set(last["layer"])
    ] + sorted(set(last["layer"]) - {"raw", "bronze", "silver", "gold", "no layer"}):
        lines = (
            alt.Chart(last[last["layer"] == layer])
            .mark_line(strokeWidth=2, interpolate="step-after", point=alt.OverlayMarkDef(size=12))
            .encode(
                x=period.axis(),
                y=alt.Y("mebibytes:Q", title="MiB", scale=alt.Scale(zero=True)),
                color=alt.Color(
                    "dataset:N",
                    title=None,
                    scale=alt.Scale(scheme="tableau10"),
                    legend=alt.Legend(orient="right", symbolType="stroke"),
                ),
            )
        )
        charts.append(period.over(lines).properties(width=WIDTH - 160, height=120, title=small_title(str(layer))))
    whole: Chart = alt.vconcat(*charts, title=titled("How much data there is after each night"))
    apart: Chart = whole.resolve_scale(color="independent")
    return apart


def metrics_chart(metrics: pd.DataFrame, period: Period, *, most: int = 12) -> Chart | Sentence:
    """Draw what steps reported of themselves and of what they wrote: the *most* numbers that vary."""
    rows = metrics.assign(name=metrics["step"] + ": " + (metrics["dataset"] + " ").fillna("") + metrics["metric"])
    spread = rows.groupby("name")["value"].agg(["nunique", "count"]).query("nunique > 1")
    if spread.empty:
        return Sentence("No step has reported a number that varies.")
    names = sorted(spread.sort_values(["nunique", "count"], ascending=False).index[:most])
    charts = []
    for name in names:
        own = rows[rows["name"] == name]
        # Years of points would cover each other, and the lines of the definition's changes with them.
        points = {"point": alt.OverlayMarkDef(color=ACCENT, size=10), "strokeWidth": 1.5}
        line = (
            alt.Chart(own[["night", "value"]])
            .mark_line(color=ACCENT, **(points if len(own) <= _POINTS_MAX else {"strokeWidth": 0.7, "opacity": 0.6}))
            .encode(
                x=period.axis(None, ticks=4),
                y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False), axis=alt.Axis(format="~s", tickCount=4)),
            )
        )
        charts.append(
            period.over(line, told=False).properties(width=WIDTH // 2 - 40, height=80, title=small_title(name))
        )
    hidden = len(spread) - len(names)
    title = titled(
        "What the steps reported, night by night",
        f"the {len(names)} numbers that vary most; {hidden} others vary too"
        if hidden > 0
        else "every number that varies",
    )
    return alt.concat(*charts, columns=2).properties(title=title)  # type: ignore[return-value]


def age_chart(age: pd.DataFrame, period: Period) -> Chart | Sentence:
    """Draw how many nights ago the content of each dataset had changed last, night by night."""
    if age.empty:
        return Sentence("No dataset was written yet.")
    chart = (
        alt.Chart(age.assign(until=age["night"] + pd.Timedelta(days=1)))
        .mark_rect()
        .encode(
            x=period.axis(),
            x2="until:T",
            y=alt.Y("dataset:N", title=None),
            color=alt.Color(
                "age:Q",
                title="nights since it changed",
                scale=alt.Scale(range=["#eef4f3", "#0b5d57"], domainMin=0),
                legend=alt.Legend(gradientLength=160),
            ),
        )
    )
    return period.over(chart).properties(
        width=WIDTH - 140,
        height=22 * age["dataset"].nunique(),
        title=titled("How old the data is", "pale: new that night; dark: nothing new has come for a while"),
    )


def lateness_chart(late: pd.DataFrame, period: Period) -> Chart | Sentence:
    """Draw when the results of each night were there."""
    near = late[late["hours"] <= 7 * 24]
    if near.empty:
        return Sentence(
            "Every night was run more than a week after its day, as a backfill or a demo does: when its results came says nothing."
        )
    points = (
        alt.Chart(near)
        .mark_circle(color=ACCENT, size=20)
        .encode(x=period.axis(), y=alt.Y("hours:Q", title="hours after 00:00 UTC of the night"))
    )
    left_out = len(late) - len(near)
    title = titled(
        "When results were there",
        f"{left_out} nights were run more than a week later and are left out"
        if left_out
        else "the first good run of each night",
    )
    return period.over(points).properties(width=WIDTH, height=180, title=title)


def retries_chart(failed: pd.DataFrame, period: Period) -> Chart | Sentence:
    """Draw the attempts that failed, night by night, by what became of the step."""
    if failed.empty:
        return Sentence("No attempt has failed in these nights.")
    again = (failed["final"].astype("float64") == 1).map(
        {True: "the step failed with it", False: "was attempted again"}
    )
    counted = stacked(failed.assign(what=again).groupby(["night", "what"], as_index=False).size(), "size")
    colours = alt.Scale(domain=["was attempted again", "the step failed with it"], range=["#e59b3c", ALARM])
    bars = (
        alt.Chart(counted)
        .mark_rect()
        .encode(
            x=period.axis(),
            x2="until:T",
            y=alt.Y("low:Q", title="failed attempts", axis=count_axis(int(counted["high"].max()))),
            y2="high:Q",
            color=alt.Color("what:N", title=None, scale=colours),
        )
    )
    return period.over(bars).properties(width=WIDTH, height=150, title=titled("Attempts that failed"))
