"""Nights that are missing: those that were due by the schedule that a ledger had recorded then, and have no run."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta

import pandas as pd

from orchestrator.core.nights import Period, Schedule, check_cron, missing_nights
from orchestrator.history.nights import choose
from orchestrator.projections.schedules import SCHEDULES, zone_of

RULES = f"SELECT seq, recorded_at, pipeline, cron, timezone FROM ({SCHEDULES}) ORDER BY seq"  # noqa: S608 -- ours
RULES_TYPES = {"seq": "integer", "recorded_at": "text", "pipeline": "text", "cron": "text", "timezone": "text"}

_EVERY_NIGHT = Schedule("0 0 * * *", UTC)
_DAY = timedelta(days=1)
_NO_EARLIER = datetime(1970, 1, 1, tzinfo=UTC)
"""No schedule is asked about earlier dates: there was none, and the calendar of datetime has an end."""


def missing_of(runs: pd.DataFrame, rules: pd.DataFrame, now: datetime) -> pd.DataFrame:
    """
    Return the nights without a run between the first and the last night of each pipeline of *runs*: `pipeline`, `night`.

    Where a schedule is recorded, only those that were due by it; nights before the first one are judged by that. Where none is, every night.

    Args:
        rules: Each schedule that came into force, as `RULES` has them, in order; without a cron expression where one was given up.
        now: What is due later than that is not missing.
    """
    found = [
        _missing_of_one(str(name), runs, rules[rules["pipeline"] == name], now) for name in runs["pipeline"].unique()
    ]
    types = {"pipeline": "str", "night": "datetime64[us]"}
    return pd.DataFrame([row for rows in found for row in rows], columns=list(types)).astype(types)


def _missing_of_one(
    pipeline: str, runs: pd.DataFrame, rules: pd.DataFrame, now: datetime
) -> list[tuple[str, pd.Timestamp]]:
    choice = choose(runs, pipeline=pipeline)
    own = choice.of(runs)["night"].drop_duplicates()
    if rules["cron"].isna().all():
        return [
            (pipeline, night)
            for night in pd.date_range(own.min(), own.max(), freq="D").difference(pd.DatetimeIndex(own))
        ]
    first, last = (max(night.to_pydatetime().replace(tzinfo=UTC), _NO_EARLIER) for night in (own.min(), own.max()))
    starts = [moment.to_pydatetime() for moment in rules["recorded_at"]]
    # No date begins more than a day away from midnight in UTC.
    starts[0] = min(starts[0], first - _DAY)
    end = now if last > now else min(now, last + 2 * _DAY)
    schedules = [_schedule(cron, zone) for cron, zone in zip(rules["cron"], rules["timezone"], strict=True)]
    periods = [Period(*item) for item in zip(schedules, starts, [*starts[1:], None], strict=True)]
    found = missing_nights(periods, set(own.dt.strftime("%Y-%m-%d")), end, most=(last - first).days + 7)
    nights = pd.to_datetime(pd.Series(found[::-1], dtype="str"))
    return [(pipeline, night) for night in nights[nights.between(own.min(), own.max())]]


def _schedule(cron: object, zone: object) -> Schedule:
    """Return the schedule of a rule; every night where it has none, or one that is not known here, which is warned of."""
    if not isinstance(cron, str):
        return _EVERY_NIGHT
    try:
        check_cron(cron)
        return Schedule(cron, zone_of(zone if isinstance(zone, str) else "UTC"))
    except ValueError as error:
        told = f"which nights are due cannot be told of cron {cron}, and every night counts: {error}"
        warnings.warn(told, stacklevel=2)
        return _EVERY_NIGHT
