"""
Report: one self-contained page about all nights up to the latest: a picture, the nights that stand out, carriers, quarantine.

The page carries no time of its own making: the same gold gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import polars as pl
from lib.handover import Dataset, Outcome, StepError, read_dataset, run_step, write_atomically
from lib.picture import Night, draw

TARGET = Path("data/report/daily.html")
# From this share of cancelled flights on, a night is named: the year's median night has less than 2 %.
REMARKABLE_SHARE = 0.2
STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .8em;border-bottom:1px solid #ddd;text-align:right}"
    "td:first-child,th:first-child{text-align:left}svg{width:100%}.storm{color:#d1352b;font-weight:bold}"
)


def work() -> Outcome:
    """Write the page from gold and the gate's counts."""
    carriers = read_dataset("gold_carriers", Path("data/gold/carriers"))
    airports = read_dataset("gold_airports", Path("data/gold/airports"))
    quality = read_dataset("quality_counts", Path("data/quality"), "*/*.json")
    origins = pl.read_parquet(airports.path / "origin_nights.parquet")
    nights = summarise(origins)
    if not nights:
        raise StepError(f"{airports.path} has no night: run the steps before this one")
    storms = [night for night in nights if night.cancelled_share >= REMARKABLE_SHARE]
    rejected = quarantined(quality)
    page = [
        f"<h1>Flights from New York, night of {nights[-1].night}</h1>",
        _lead(nights, storms),
        draw(nights),
        "<h2>Carriers</h2>",
        _carrier_table(pl.read_parquet(carriers.path / "carriers.parquet"), carriers, nights[-1].night),
        "<h2>Airports in the latest night</h2>",
        _origin_table(origins, nights[-1].night),
        "<h2>Quarantined rows</h2>",
        _table(("table", "night", "reason", "rows"), rejected) if rejected else "<p>None.</p>",
    ]
    write_atomically(TARGET, _document(f"Flights, {nights[-1].night}", page).encode())
    return Outcome(
        f"{TARGET}: {len(nights)} nights, {len(storms)} with at least {REMARKABLE_SHARE:.0%} of their flights cancelled",
        {"nights": len(nights), "remarkable_nights": len(storms), "quarantined": sum(row[3] for row in rejected)},
    )


def summarise(origins: pl.DataFrame) -> list[Night]:
    """Add up the origins of each night."""
    columns = ("flights", "late", "diverted", "cancelled")
    sums = origins.group_by("night").agg(pl.col(columns).sum()).sort("night")
    return [
        Night(str(night), flights - late - diverted - cancelled, late, diverted, cancelled)
        for night, flights, late, diverted, cancelled in sums.select("night", *columns).iter_rows()
    ]


def quarantined(quality: Dataset) -> list[tuple[str, str, str, int]]:
    """List table, night, reason and rows of what the gate sorted out."""
    rows = []
    for name in sorted(quality.files):
        path = quality.path / name
        counts = json.loads(path.read_text(encoding="utf-8"))
        rows += [(path.parent.name, counts["night"], reason, number) for reason, number in counts["reasons"].items()]
    return rows


def _lead(nights: Sequence[Night], storms: Sequence[Night]) -> str:
    flights = sum(night.flights for night in nights)
    cancelled = sum(night.cancelled for night in nights)
    lead = f"{len(nights)} nights, {flights:,} flights, {cancelled:,} cancelled ({cancelled / max(1, flights):.1%})."
    named = ", ".join(
        f"{night.night} ({night.cancelled} of {night.flights}, {night.cancelled_share:.0%})" for night in storms
    )
    return f"<p>{lead}</p>" + (
        f'<p class="storm">Nights that stand out by cancellations: {named}.</p>' if named else ""
    )


def _carrier_table(totals: pl.DataFrame, carriers: Dataset, latest: str) -> str:
    last = pl.read_parquet(carriers.path / "carrier_nights.parquet").filter(pl.col("night").cast(pl.String) == latest)
    of_last = last.select("carrier", latest="flights", latest_cancelled="cancelled")
    frame = totals.join(of_last, on="carrier", how="left").sort("flights", "carrier", descending=[True, False])
    columns = (
        "carrier_name",
        "flights",
        "cancelled",
        "late",
        "mean_dep_delay",
        "mean_arr_delay",
        "latest",
        "latest_cancelled",
    )
    head = ("carrier", "flights", "cancelled", "late", "mean departure delay", "mean arrival delay")
    return _table((*head, f"flights {latest}", "cancelled"), frame.select(columns).iter_rows())


def _origin_table(origins: pl.DataFrame, latest: str) -> str:
    frame = origins.filter(pl.col("night").cast(pl.String) == latest)
    columns = ("origin", "flights", "cancelled", "late", "max_wind_mph", "min_visibility_miles", "without_weather")
    head = (
        "airport",
        "flights",
        "cancelled",
        "late",
        "strongest wind, mph",
        "least visibility, miles",
        "without weather",
    )
    return _table((*head, "unknown aircraft"), frame.select(*columns, "unknown_planes").iter_rows())


def _table(head: Iterable[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["<table>", "<tr>" + "".join(f"<th>{escape(name)}</th>" for name in head) + "</tr>"]
    for row in rows:
        cells = ("-" if value is None else escape(str(value)) for value in row)
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return "\n".join([*lines, "</table>"])


def _document(title: str, body: Iterable[str]) -> str:
    head = f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{escape(title)}</title>'
    return "\n".join([head, f"<style>{STYLE}</style></head>", "<body>", *body, "</body>", "</html>", ""])


if __name__ == "__main__":
    run_step(work)
