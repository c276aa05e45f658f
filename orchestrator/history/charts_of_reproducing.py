"""The charts of reproducibility: what runs were started with, what changed when, what varies, verdicts. They compute nothing by themselves."""

from __future__ import annotations

import altair as alt
import pandas as pd

from orchestrator.history.charts import ACCENT, ALARM, WIDTH, Chart, Period, Sentence, count_axis, titled

_VERDICT_COLOURS = {
    "identical": "#4a9d76",
    "equivalent": "#bfd9cc",
    "different": "#c9433d",
    "not_reproducible": "#8a949c",
}
_LABEL_NIGHTS = 0.06


def spans_chart(spans: pd.DataFrame, period: Period) -> Chart | Sentence:
    """Draw in which nights each aspect of what runs were started with stayed the same: a new shade is a new value."""
    if spans.empty:
        return Sentence("There is no run.")
    rows = spans.assign(end=spans["until"] + pd.Timedelta(days=1), shade=(spans["turn"] % 2).map({0: "even", 1: "odd"}))
    nights = max(1, (period.until - period.since).days)
    base = alt.Chart(rows).encode(y=alt.Y("aspect:N", title=None, sort=list(dict.fromkeys(rows["aspect"]))))
    shades = alt.Scale(domain=["even", "odd"], range=["#b9cfde", "#7fa8c4"])
    since = period.axis(field="since")
    bars = base.mark_bar(height=17, stroke="white").encode(
        x=since, x2="end:T", color=alt.Color("shade:N", legend=None, scale=shades)
    )
    wide = rows[(rows["end"] - rows["since"]).dt.days > nights * _LABEL_NIGHTS].assign(
        said=lambda frame: frame["value"].str[:28]
    )
    text = (
        alt.Chart(wide).mark_text(align="left", dx=4, fontSize=10).encode(x=since, y=alt.Y("aspect:N"), text="said:N")
    )
    title = titled(
        "What runs were started with", "a bar: nights with the same value; the shade changes where the value does"
    )
    marked = period.over(alt.layer(bars, text), told=False)
    return marked.properties(width=WIDTH - 110, height=28 * rows["aspect"].nunique(), title=title)


def changes_chart(changes: pd.DataFrame, period: Period) -> Chart | Sentence:
    """Draw on which nights code, command or variables of each step were others than the time before."""
    if changes.empty:
        return Sentence("No step ever ran with other code, another command or other variables than before.")
    rows = changes.groupby(["night", "step", "kind"], as_index=False).size()
    colours = alt.Scale(domain=["code", "command", "variables"], range=[ACCENT, ALARM, "#e59b3c"])
    chart = (
        alt.Chart(rows)
        .mark_point(filled=True, size=80, opacity=0.9)
        .encode(
            x=period.axis(),
            y=alt.Y("step:N", title=None),
            color=alt.Color("kind:N", title=None, scale=colours),
            shape=alt.Shape(
                "kind:N",
                legend=None,
                scale=alt.Scale(domain=["code", "command", "variables"], range=["circle", "square", "triangle-up"]),
            ),
        )
    )
    return period.over(chart).properties(
        width=WIDTH - 120,
        height=max(60, 24 * rows["step"].nunique()),
        title=titled("What changed in the steps, and when"),
    )


def varying_chart(table: pd.DataFrame) -> Chart | Sentence:
    """Draw how many keys made the same bytes again, and how many others, dataset by dataset."""
    if table.empty:
        return Sentence(
            "No step has made anything twice under the same key: whether its bytes vary is not known. `orchestrate run --force` or `orchestrate reproduce` would tell."
        )
    same = table.assign(what="the same bytes", keys=table["keys_used_again"] - table["keys_with_other_bytes"])
    other = table.assign(what="other bytes", keys=table["keys_with_other_bytes"])
    rows = pd.concat([same, other])[["dataset", "what", "keys"]].astype({"keys": "int64"})
    chart: Chart = (
        alt.Chart(rows)
        .mark_bar(height=15)
        .encode(
            y=alt.Y("dataset:N", title=None),
            x=alt.X(
                "keys:Q",
                title="keys under which it was made more than once",
                axis=count_axis(int(table["keys_used_again"].max())),
            ),
            color=alt.Color(
                "what:N",
                title=None,
                scale=alt.Scale(domain=["the same bytes", "other bytes"], range=["#4a9d76", ALARM]),
            ),
        )
    )
    title = titled(
        "Made again under the same key",
        "the same command, code, variables and inputs: other bytes are the step's own doing",
    )
    return chart.properties(width=WIDTH - 160, height=24 * rows["dataset"].nunique(), title=title)


def verdicts_chart(verdicts: pd.DataFrame, period: Period) -> Chart | Sentence:
    """Draw the verdict of each reproduction at the night of the run that was to be had again."""
    known = verdicts.dropna(subset=["night"])
    if known.empty:
        return Sentence("No run was reproduced yet: `orchestrate reproduce RUN` runs one again and compares.")
    order = list(_VERDICT_COLOURS)
    chart = (
        alt.Chart(known[["night", "verdict"]])
        .mark_circle(size=110)
        .encode(
            x=period.axis(),
            y=alt.Y("verdict:N", title=None, sort=order, scale=alt.Scale(domain=order)),
            color=alt.Color(
                "verdict:N", legend=None, scale=alt.Scale(domain=order, range=list(_VERDICT_COLOURS.values()))
            ),
        )
    )
    return period.over(chart).properties(
        width=WIDTH - 140,
        height=110,
        title=titled("Verdicts of reproductions", "at the night of the run that was reproduced"),
    )
