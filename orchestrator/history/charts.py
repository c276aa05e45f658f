"""
How charts look, and how they get into a page: one theme, colours that mean the same everywhere, pictures that need no network and no script.

A chart of nothing is a sentence: whoever makes one says what to write where there is no row.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import altair as alt
import pandas as pd

Chart: TypeAlias = alt.Chart | alt.LayerChart | alt.FacetChart | alt.VConcatChart | alt.HConcatChart

STATUS_COLOURS: Mapping[str, str] = {
    "succeeded": "#4a9d76",
    "nothing_to_do": "#bfd9cc",
    "skipped": "#bfd9cc",
    "no_new_data": "#bfd9cc",
    "failed": "#c9433d",
    "timed_out": "#e59b3c",
    "cancelled": "#8d83bb",
    "interrupted": "#6d4f41",
    "running": "#4583c4",
    "no run": "#e4e4de",
    "not due": "#fafaf8",
}
"""How a run, a step or an attempt ended; a night without a run is grey, and one that was not due nearly white."""

INK, QUIET, ACCENT, ALARM = "#27313a", "#8a949c", "#2f6f9f", "#c9433d"
WIDTH = 760

_ON_ONE_LINE = 40
"""Characters of a cell; what is longer is broken."""

FONT = "DejaVu Sans, Verdana, Arial, sans-serif"
"""The widest first: room is measured where a chart is drawn, and whoever looks at it may have another font."""

_BREAKS = "#a06cc0"
_BREAKS_MAX = 400
_BREAKS_TOLD = 12
"""Lines in a chart over the time of recording, the newest, and how many of them leave room for words."""


class Sentence:
    """What is shown where there is nothing to draw; an empty one where the sentence stands above already."""

    def __init__(self, text: str) -> None:
        self.text = text

    def _repr_markdown_(self) -> str:
        return f"*{self.text}*" if self.text else ""

    def __repr__(self) -> str:
        return self.text


def use_theme() -> None:
    """Make every chart of this process look alike, and show each as a picture with a description."""
    alt.theme.register("orchestrate", enable=True)(_theme)
    alt.data_transformers.disable_max_rows()
    alt.renderers.register("orchestrate", _picture)
    alt.renderers.enable("orchestrate")
    pd.set_option("display.max_colwidth", 80)
    pd.set_option("display.precision", 2)


def _theme() -> alt.theme.ThemeConfig:
    axis: Any = {
        "labelColor": INK,
        "titleColor": INK,
        "titleFontWeight": "normal",
        "gridColor": "#e8eaec",
        "domainColor": "#c3c9ce",
        "tickColor": "#c3c9ce",
        "labelFontSize": 11,
        "titleFontSize": 12,
        "labelLimit": 240,
        "labelSeparation": 6,
    }
    return {
        "config": {
            "font": FONT,
            "padding": 6,
            "background": "white",
            "view": {"stroke": None, "continuousWidth": WIDTH, "continuousHeight": 240},
            "title": {"anchor": "start", "color": INK, "fontSize": 15, "subtitleColor": QUIET, "subtitleFontSize": 12, "offset": 12},
            "axis": axis,
            "axisLeft": {"minExtent": 34},
            "header": {"labelColor": INK, "labelFontSize": 12, "labelFontWeight": "bold", "labelAnchor": "start", "title": None},
            "legend": {"labelColor": INK, "titleColor": INK, "titleFontWeight": "normal", "labelFontSize": 11, "orient": "top", "symbolType": "square", "columnPadding": 18, "titleLimit": 300},
        }
    }  # fmt: skip


def _picture(spec: dict[str, Any], **_: object) -> dict[str, str]:
    """Draw *spec* as an image of its own: two drawings in one page would mistake each other's parts for theirs."""
    from altair.utils.mimebundle import spec_to_mimebundle

    bundle: Any = spec_to_mimebundle(spec, format="svg", mode="vega-lite", engine="vl-convert")
    svg = bundle["image/svg+xml"]
    title = spec.get("title", "")
    text = title.get("text", "") if isinstance(title, dict) else title
    told = html.escape(f"{text}: {spec['description']}" if "description" in spec else str(text), quote=True)
    data = base64.b64encode(svg.encode("utf-8")).decode("ascii")
    return {"text/html": f'<img class="chart" alt="{told}" src="data:image/svg+xml;base64,{data}">'}


def titled(text: str, *subtitle: str) -> alt.TitleParams:
    """Return the title of a chart, with what it shows below, line by line."""
    return alt.TitleParams(text, subtitle=[line for line in subtitle if line])


def small_title(text: str) -> alt.TitleParams:
    """Return the title of one chart among several."""
    return alt.TitleParams(text, fontSize=12, offset=6)


def table(frame: pd.DataFrame, otherwise: str, *, digits: int = 2) -> Any:  # noqa: ANN401 - pandas' Styler, or a sentence
    """Return *frame* as a table for people: days without a time, words for headings; the sentence *otherwise* where it has no row; nothing where that is empty."""
    if frame.empty:
        return Sentence(otherwise)
    shown = frame.copy()
    for name in shown.columns:
        if isinstance(shown[name].dtype, pd.DatetimeTZDtype):
            shown[name] = shown[name].dt.strftime("%Y-%m-%d %H:%M:%S %Z")
        elif pd.api.types.is_datetime64_dtype(shown[name]):
            shown[name] = shown[name].dt.strftime("%Y-%m-%d")
        elif pd.api.types.is_bool_dtype(shown[name]):
            shown[name] = shown[name].map({True: "yes", False: "no"})
    numbers = set(shown.select_dtypes("number").columns)
    sides = [
        {
            "selector": f".col{place}",
            "props": f"text-align: {'right' if name in numbers else 'left'}",
        }
        for place, name in enumerate(shown.columns)
    ]
    # Headings are broken where a page is too narrow for them: a column that is cut off is not read.
    sides += [
        {"selector": f"td.col{place}", "props": f"white-space: {_wrapping(shown[name])}"}
        for place, name in enumerate(shown.columns)
    ]
    shown.columns = [str(name).replace("_", " ") for name in shown.columns]
    styled = shown.style.hide(axis="index").format(precision=digits, na_rep="", escape="html")
    return styled.set_table_styles(sides)  # type: ignore[arg-type]


def _wrapping(values: pd.Series[Any]) -> str:
    longest = values.astype("str").str.len().max()
    return "normal" if longest > _ON_ONE_LINE else "nowrap"


def status_scale(statuses: pd.Series[Any]) -> alt.Scale:
    """Return the colours of the *statuses* that occur, in the order of `STATUS_COLOURS`."""
    there = set(statuses)
    names = [name for name in STATUS_COLOURS if name in there]
    return alt.Scale(domain=names, range=[STATUS_COLOURS[name] for name in names])


def stacked(counts: pd.DataFrame, value: str) -> pd.DataFrame:
    """Return *counts* with what a bar a night wide needs: `until`, and `low` and `high`, one row of a night on top of the other."""
    high = counts.groupby("night")[value].cumsum()
    return counts.assign(high=high, low=high - counts[value], until=counts["night"] + pd.Timedelta(days=1))


def count_axis(most: int) -> alt.Axis:
    """Return the axis of a count that reaches *most*: whole numbers, and few of them."""
    step = max(1, -(-most // 5))
    return alt.Axis(values=list(range(0, most + step, step)), format="d")


class Period(NamedTuple):
    """
    Hold the nights that every chart over time shows, and those on which the definition changed.

    Attributes:
        changes: A row for each, with `night` and `label`.
    """

    since: pd.Timestamp
    until: pd.Timestamp
    changes: pd.DataFrame

    def axis(self, title: str | None = "night", *, ticks: int = 7, field: str = "night") -> alt.X:
        """Return the axis of nights, the same below every chart, for what stands in *field*."""
        until = min(self.until, pd.Timestamp("9999-12-30")) + pd.Timedelta(days=1)
        ends = [f"{night:%Y-%m-%d}" for night in (self.since, until)]
        axis = alt.Axis(format="%d %b %y", labelAngle=0, labelOverlap="greedy", labelFlush=True, tickCount=ticks)
        return alt.X(f"{field}:T", title=title, axis=axis, scale=alt.Scale(domain=ends, clamp=True))

    def over(self, chart: Chart, *, told: bool = True) -> Chart:
        """
        Return *chart* with a dashed line on each night that met another definition; as it is where there was none.

        Args:
            told: Write beside each line how much changed.
        """
        rows = self.changes[self.changes["night"].between(self.since, self.until)]
        if rows.empty:
            return chart
        return alt.layer(chart, _breaks(rows, self.axis(), told=told))


class Recording(NamedTuple):
    """
    Hold what every chart over the time of recording shows: when some pipeline's definition changed.

    Attributes:
        changes: A row for each, with `recorded_at` and `label`, in order.
    """

    changes: pd.DataFrame

    def axis(self) -> alt.X:
        """Return the axis of moments, the same below every chart."""
        axis = alt.Axis(format="%d %b %y %H:%M", labelOverlap="greedy", tickCount=6)
        return alt.X("recorded_at:T", title="recorded (UTC)", axis=axis)

    def over(self, chart: Chart) -> Chart:
        """Return *chart* with a dashed line at each moment at which another definition was met; as it is where there was none."""
        if self.changes.empty:
            return chart
        rows = self.changes.tail(_BREAKS_MAX)
        return alt.layer(chart, _breaks(rows, self.axis(), told=len(rows) <= _BREAKS_TOLD))


def _breaks(rows: pd.DataFrame, axis: alt.X, *, told: bool) -> Chart:
    """Return a dashed line for each of *rows*, with its label where the lines are *told*."""
    base = alt.Chart(rows).encode(x=axis)
    marks: Chart = base.mark_rule(color=_BREAKS, strokeDash=[4, 3], size=1.2)
    if told:
        text = base.mark_text(align="left", dx=4, dy=3, color=_BREAKS, fontSize=10, baseline="top")
        marks = alt.layer(marks, text.encode(y=alt.value(0), text="label:N"))
    return marks


def recording_of(changes: pd.DataFrame) -> Recording:
    """
    Return the moments at which definitions changed.

    Args:
        changes: The view `audit_definition_changes`, of all pipelines; the first definition of each is no change.
    """
    own = changes[changes["before"].notna()].sort_values("recorded_at")
    labels = [
        f"{pipeline}: {_counted(count)}" for pipeline, count in zip(own["pipeline"], own["differences"], strict=True)
    ]
    return Recording(own[["recorded_at"]].assign(label=pd.Series(labels, index=own.index, dtype="str")))


def period_of(since: pd.Timestamp, until: pd.Timestamp, changes: pd.DataFrame, runs: pd.DataFrame) -> Period:
    """
    Return the nights from *since* to *until*, with those on which a run of *runs* met another definition than the one before.

    Args:
        changes: The view `audit_definition_changes`; the first definition of all is no change.
    """
    own = changes[changes["pipeline"].isin(runs["pipeline"].unique()) & changes["before"].notna()]
    known = runs[["ledger", "definition", "first_seq", "night"]]
    met = own.merge(known, left_on=["ledger", "after"], right_on=["ledger", "definition"])
    # A definition may come back: the run that met it is the one beside the change.
    met = met.assign(apart=(met["first_seq"] - met["seq"]).abs()).sort_values("apart")
    met = met.groupby(["ledger", "seq"], as_index=False).first()
    counted: Any = met.groupby("night", as_index=False)["differences"].sum()
    counted["label"] = counted["differences"].map(_counted).astype("str")
    return Period(since, until, counted[["night", "label"]])


def _counted(differences: int) -> str:
    return "1 change" if differences == 1 else f"{differences} changes"
