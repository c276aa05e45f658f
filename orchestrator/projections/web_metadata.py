"""What the auditor's web page says and offers: descriptions, canned questions and dashboards, in the form of Datasette's metadata."""

from __future__ import annotations

from orchestrator.projections.dictionary import DICTIONARY
from orchestrator.projections.questions import QUESTIONS
from orchestrator.projections.views import VIEWS

DATABASE = "ledger"
"""Name of the one database on the page."""

_SCHEMES = {
    "succeeded": "#2e7d32",
    "nothing_to_do": "#90a4ae",
    "running": "#1976d2",
    "failed": "#c62828",
    "timed_out": "#ef6c00",
    "cancelled": "#6a1b9a",
    "interrupted": "#ad1457",
}


def web_metadata(title: str, description: str) -> dict[str, object]:
    """Return the metadata of a page with *title*, which says of its ledger what *description* says; both are plain text."""
    tables: dict[str, object] = {
        name: {
            "description": view.description,
            "columns": {column: meaning for column, (_, meaning) in view.columns.items()},
            **({"sort_desc": view.place} if view.place else {}),
        }
        for name, view in VIEWS.items()
    }
    for name, table in DICTIONARY.items():
        tables[name] = {"description": table.description, "columns": dict(table.own)}
    queries = {
        name: {"title": question.title, "description": question.description, "sql": question.sql.strip()}
        for name, question in QUESTIONS.items()
    }
    return {
        "title": title,
        "description": description,
        "databases": {DATABASE: {"description": description, "tables": tables, "queries": queries}},
        "plugins": {"datasette-dashboards": {"nights": _dashboard()}},
    }


def _dashboard() -> dict[str, object]:
    night = {"field": "night", "type": "ordinal", "title": "night"}
    runs: dict[str, object] = {
        "mark": {"type": "bar", "tooltip": True},
        "encoding": {
            "x": night,
            "y": {"field": "runs", "type": "quantitative", "title": "runs"},
            "color": {
                "field": "status",
                "type": "nominal",
                "scale": {"domain": list(_SCHEMES), "range": list(_SCHEMES.values())},
            },
        },
    }
    durations: dict[str, object] = {
        "mark": {"type": "line", "tooltip": True},
        "encoding": {
            "x": night,
            "y": {"field": "seconds", "type": "quantitative", "title": "seconds of the longest run"},
            "color": {"field": "pipeline", "type": "nominal"},
        },
    }
    return {
        "title": "Nights",
        "description": "How the nights went, how long they took, and what failed.",
        "layout": [["runs", "durations"], ["failures", "slowest"]],
        "charts": {
            "runs": _chart(
                "Runs by status over nights",
                "SELECT night, status, count(*) AS runs FROM audit_runs GROUP BY night, status ORDER BY night",
                runs,
            ),
            "durations": _chart(
                "Durations over nights",
                "SELECT night, pipeline, max(duration_seconds) AS seconds FROM audit_runs"
                " WHERE duration_seconds IS NOT NULL GROUP BY night, pipeline ORDER BY night",
                durations,
            ),
            "failures": _chart(
                "Failures by cause",
                "SELECT reason, coalesce(error_class, 'unknown') AS error_class, count(*) AS failures FROM audit_failures"
                " GROUP BY reason, error_class ORDER BY failures DESC",
                _bars("failures", "reason", "error_class"),
            ),
            "slowest": _chart(
                "Slowest steps",
                "SELECT pipeline, pipeline || ' ' || step AS step, avg(duration_seconds) AS seconds FROM audit_steps"
                " WHERE status = 'succeeded' AND attempts > 0 GROUP BY pipeline, step ORDER BY seconds DESC LIMIT 20",
                _bars("seconds", "step", "pipeline"),
            ),
        },
    }


def _chart(title: str, query: str, display: dict[str, object]) -> dict[str, object]:
    # Of the plugin's libraries this one alone shows texts of the ledger as text, and asks no other host. Its menu would offer to hand
    # the data to an editor on the web.
    form = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "usermeta": {
            "embedOptions": {"actions": {"export": True, "source": False, "compiled": False, "editor": False}}
        },
    }
    return {"title": title, "db": DATABASE, "query": query, "library": "vega-lite", "display": {**form, **display}}


def _bars(count: str, name: str, color: str) -> dict[str, object]:
    return {
        "mark": {"type": "bar", "tooltip": True},
        "encoding": {
            "x": {"field": count, "type": "quantitative"},
            "y": {"field": name, "type": "nominal", "sort": "-x", "title": name},
            "color": {"field": color, "type": "nominal"},
        },
    }
