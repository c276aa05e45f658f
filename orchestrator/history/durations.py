"""How long steps take: their trend over the nights, nights that stand out, two periods side by side."""

from __future__ import annotations

from typing import Any

import pandas as pd

WINDOW = 14
"""Nights over which a trend is taken."""

_FAR = 6.0
"""So many times the usual distance from the trend is an anomaly."""

_LEAST_NIGHTS = 5
"""A period of fewer is no period."""

_LEAST_SECONDS = 0.5
"""What differs by less is none, however regular a step is."""


def run_durations(attempts: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each attempt that succeeded, with the night, the step and its seconds, in the order of nights."""
    done = attempts[attempts["status"].isin(["succeeded", "no_new_data"]) & attempts["duration_seconds"].notna()]
    columns = ["night", "step", "run_id", "duration_seconds"]
    return done.sort_values(["step", "night", "started_at"])[columns].reset_index(drop=True)


def with_trend(durations: pd.DataFrame, *, window: int = WINDOW) -> pd.DataFrame:
    """
    Return *durations* with `trend`, the median of the last *window* attempts of the step, and whether one is an `anomaly`.

    An anomaly is further from the trend before it than six times the usual distance (the median one, over the same window), and by half a second
    at least: one long night among regular ones is one, in a step that always varies it is not.
    """
    frame = durations.reset_index(drop=True)
    by_step = frame.groupby("step")["duration_seconds"]
    least = max(3, window // 3)
    frame["trend"] = by_step.transform(lambda values: values.rolling(window, min_periods=1).median())
    before = by_step.transform(lambda values: values.rolling(window, min_periods=least).median().shift())
    distance = (frame["duration_seconds"] - before).abs()
    usual = distance.groupby(frame["step"]).transform(
        lambda values: values.rolling(window, min_periods=least).median().shift()
    )
    limit = (_FAR * usual).clip(lower=_LEAST_SECONDS)
    frame["anomaly"] = (distance > limit) & usual.notna()
    return frame


def compare_periods(durations: pd.DataFrame, split: pd.Timestamp) -> pd.DataFrame:
    """
    Return for each step its median before the night *split* and from then on, in seconds, with the change.

    `beyond_noise` is true where the medians differ by more than half of the middle half of either period: less than that nights vary by themselves.
    """
    period = (durations["night"] >= split).map({False: "before", True: "after"})
    grouped = durations.groupby(["step", period.rename("period")])["duration_seconds"]
    table: Any = grouped.quantile(pd.Series([0.25, 0.5, 0.75])).unstack().unstack("period")  # noqa: PD010 - of an index that is there already
    columns = pd.MultiIndex.from_product([[0.25, 0.5, 0.75], ["before", "after"]])
    table = table.reindex(columns=columns).astype("float64")
    counts = grouped.size().unstack("period").reindex(columns=["before", "after"]).fillna(0).astype("int64")  # noqa: PD010 - of an index that is there already
    spread = pd.DataFrame({name: table[0.75, name] - table[0.25, name] for name in ("before", "after")}).max(axis=1)
    change = table[0.5, "after"] - table[0.5, "before"]
    found = pd.DataFrame(
        {
            "nights_before": counts["before"],
            "nights_after": counts["after"],
            "median_before": table[0.5, "before"],
            "median_after": table[0.5, "after"],
            "change_seconds": change,
            "change_percent": 100 * change / table[0.5, "before"],
            "beyond_noise": change.abs() > spread / 2,
        }
    )
    return found.dropna(subset=["median_before", "median_after"]).reset_index()


def split_night(durations: pd.DataFrame, changes: pd.DataFrame, chosen: str = "") -> pd.Timestamp:
    """
    Return the night at which two periods are compared: the *chosen* one, else the last change of the definition with five nights on both sides, else the middle.

    Args:
        changes: As `charts.Period` has them.
    """
    if chosen:
        return pd.Timestamp(chosen)
    nights = pd.Series(sorted(durations["night"].unique()), dtype="datetime64[us]")
    if nights.empty:
        return pd.Timestamp("1970-01-01")
    for night in sorted(changes["night"], reverse=True):
        if min((nights < night).sum(), (nights >= night).sum()) >= _LEAST_NIGHTS:
            return pd.Timestamp(night)
    return pd.Timestamp(nights[len(nights) // 2])
