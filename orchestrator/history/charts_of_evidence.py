"""The charts of an audit: what is sealed, who did what, what failed, what was masked. Each takes dataframes and computes nothing by itself."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from orchestrator.history.charts import (
    ACCENT,
    ALARM,
    QUIET,
    WIDTH,
    Chart,
    Period,
    Recording,
    Sentence,
    count_axis,
    stacked,
    titled,
)
from orchestrator.history.evidence import outline

_STRETCHES = 400


def sealing_chart(moments: pd.DataFrame, seals: pd.DataFrame, recording: Recording) -> Chart | Sentence:
    """Draw how many events no checkpoint covered, over the time of recording, with each checkpoint as a tick."""
    if moments.empty:
        return Sentence("The ledger holds no event.")
    time = recording.axis()
    base = alt.Chart(outline(moments, _STRETCHES)).encode(x=time)
    most = base.mark_line(interpolate="step-after", color=QUIET, strokeWidth=0.8).encode(
        y=alt.Y("most:Q", title="events that nothing sealed")
    )
    fewest = base.mark_area(interpolate="step-after", color="#cfdde7", line={"color": ACCENT, "strokeWidth": 1.2})
    area = fewest.encode(y="fewest:Q")
    ticks = (
        alt.Chart(seals[["recorded_at", "signatures"]].tail(2000))
        .mark_tick(orient="vertical", height=9, thickness=1, yOffset=0)
        .encode(
            x=time,
            y=alt.value(0),
            color=alt.condition("datum.signatures > 0", alt.value(ACCENT), alt.value(QUIET)),
        )
    )
    title = titled(
        "Events that only the file itself spoke for",
        "filled: the fewest at any moment of a stretch of time; grey line: the most",
        "ticks above: checkpoints, grey where nobody signed them; before a run is over its events are not sealed",
    )
    return recording.over(alt.layer(most, area, ticks)).properties(width=WIDTH, height=170, title=title)


def actions_chart(actions: pd.DataFrame, recording: Recording) -> Chart | Sentence:
    """Draw when somebody acted by hand, a row for each kind of action."""
    if actions.empty:
        return Sentence("Nobody did anything by hand.")
    rows = actions.assign(why=actions["reason"].notna().map({True: "with a reason", False: "without one"}))
    rows = rows[["recorded_at", "action", "why"]]
    chart: Chart = (
        alt.Chart(rows)
        .mark_circle(size=70, opacity=0.75)
        .encode(
            x=recording.axis(),
            y=alt.Y("action:N", title=None),
            color=alt.Color(
                "why:N", title=None, scale=alt.Scale(domain=["with a reason", "without one"], range=[ACCENT, "#e59b3c"])
            ),
        )
    )
    return recording.over(chart).properties(
        width=WIDTH - 130,
        height=max(60, 26 * rows["action"].nunique()),
        title=titled("What people did by hand", "by the time at which it was recorded"),
    )


def causes_chart(failures: pd.DataFrame, period: Period) -> Chart | Sentence:
    """Draw the failed attempts of each step and cause, night by night."""
    if failures.empty:
        return Sentence("Nothing failed in these nights.")
    rows = failures.assign(what=failures["step"] + ": " + failures["cause"])
    rows = rows.groupby(["night", "what", "error_class"], as_index=False, dropna=False).size()
    rows["error_class"] = rows["error_class"].fillna("no class")
    chart = (
        alt.Chart(rows)
        .mark_circle(opacity=0.85)
        .encode(
            x=period.axis(),
            y=alt.Y("what:N", title=None, sort="-x"),
            size=alt.Size("size:Q", title="attempts", scale=alt.Scale(range=[50, 320]), legend=None),
            color=alt.Color(
                "error_class:N",
                title="kind of failure",
                scale=alt.Scale(
                    domain=["permanent", "transient", "infrastructure", "misuse", "no class"],
                    range=[ALARM, "#e59b3c", "#8d83bb", "#6d4f41", QUIET],
                ),
            ),
        )
    )
    height = max(60, 24 * rows["what"].nunique())
    return period.over(chart).properties(
        width=WIDTH - 160,
        height=height,
        title=titled("What failed, and of which cause", "a larger point: more attempts that night"),
    )


def masked_chart(masked: pd.DataFrame, period: Period) -> Chart | Sentence:
    """Draw how often each secret was masked, night by night."""
    if masked.empty:
        return Sentence("No secret was met in what the steps printed or reported.")
    counts: Any = masked.groupby(["night", "secret"], as_index=False)["times"].sum()
    rows = stacked(counts, "times")
    bars = (
        alt.Chart(rows)
        .mark_rect()
        .encode(
            x=period.axis(),
            x2="until:T",
            y=alt.Y("low:Q", title="times masked", axis=count_axis(int(rows["high"].max()))),
            y2="high:Q",
            color=alt.Color("secret:N", title=None, scale=alt.Scale(scheme="tableau10")),
        )
    )
    return period.over(bars).properties(
        width=WIDTH,
        height=130,
        title=titled(
            "How often secrets were masked", "a step that prints one should not: the mask is the last line of defence"
        ),
    )


def missing_chart(nights: pd.DataFrame, period: Period) -> Chart | Sentence:
    """Draw the nights that were due and had no run, and those whose last run was not good, on the axis of nights."""
    from orchestrator.history.nights import MISSING, NOTHING_WRONG

    wrong = nights[~nights["status"].isin(NOTHING_WRONG)]
    if wrong.empty:
        return Sentence("Every night of the period that was due had a run that ended well.")
    rows = wrong.assign(
        what=wrong["status"].eq(MISSING).map({True: "no run", False: "ended otherwise"}),
        until=wrong["night"] + pd.Timedelta(days=1),
    )
    chart = (
        alt.Chart(rows[["night", "until", "what"]])
        .mark_bar(height=18)
        .encode(
            x=period.axis(),
            x2="until:T",
            y=alt.Y("what:N", title=None),
            color=alt.Color(
                "what:N", legend=None, scale=alt.Scale(domain=["no run", "ended otherwise"], range=[QUIET, ALARM])
            ),
        )
    )
    return period.over(chart).properties(
        width=WIDTH - 110, height=70, title=titled("Nights that are missing or did not end well")
    )
