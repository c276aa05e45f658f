"""
What is to be told, and to whom: from what happened and the rules of the definition to the alerts that are due.

One occasion is told once to each channel: the id of an alert is made of what it is about and of the channel, so that whoever looks at the same history again,
after a crash or a minute later, comes to the same ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs

from ledger.canonical import blob_digest, canonical_bytes
from orchestrator.core.definition import AlertKind, AlertRule, Alerts
from orchestrator.core.pipeline_events import AlertRaised, Json
from orchestrator.core.state import RESUMABLE

_DIGITS = 12
_BROKEN = (3, 5, 70)
"""Exit codes of a start that did not end as refused by anybody: the ledger, the storage, the program itself."""

_WORDS = {
    "failed": "failed",
    "timed_out": "ran out of time",
    "cancelled": "was cancelled",
    "interrupted": "was interrupted",
    "succeeded": "is well again",
    "nothing_to_do": "is well again",
}


@attrs.frozen
class Occasion:
    """
    Hold something that happened and that somebody may want to be told.

    Attributes:
        subject: What makes it one occasion among those of its kind.
        what: In one line, without secrets.
        also: Further kinds whose rules it answers to.
        about: Place in the ledger of the event that it is about.
        nights: How many nights are missing in all, also such as another occasion tells.
        time: Of day, `HH:MM`, for a digest.
    """

    kind: AlertKind
    subject: str
    what: str
    also: tuple[AlertKind, ...] = ()
    run_id: str | None = None
    about: int | None = None
    facts: Json | None = None
    nights: int = 1
    time: str = "24:00"


@attrs.frozen
class RunEnd:
    """
    Hold what the end of a run is judged by.

    Attributes:
        seq: Place of its `run.finished` in the ledger.
        begun: Place of its start, or of its last resume.
        cause: Its first failure, as `run.finished` has it, or None.
        resumed: It had ended before, and not well.
        whole: It was about all steps, so that its success says something about the pipeline.
        before: How the last run before it ended that did not end well or was about all steps; None where there is none.
    """

    pipeline: str
    run_id: str
    night: str
    status: str
    seq: int
    begun: int
    cause: Json | None = None
    resumed: bool = False
    whole: bool = True
    before: str | None = None


def run_occasion(end: RunEnd) -> Occasion | None:
    """Return what there is to tell of the *end* of a run: that it did not end well, or that it is the first that does after one that did not."""
    subject, what = str(end.seq), f"{end.pipeline} {_WORDS[end.status]}, night {end.night}"
    if end.status in RESUMABLE:
        if end.cause is not None:
            what += f": {end.cause.get('step')} ({end.cause.get('reason')})"
        if end.status == "timed_out":
            return Occasion("deadline", subject, what, ("failed",), end.run_id, end.seq)
        if end.status == "interrupted":
            return attrs.evolve(lost_occasion(end.pipeline, end.run_id, end.night, end.begun), what=what, about=end.seq)
        return Occasion("failed", subject, what, (), end.run_id, end.seq)
    if end.resumed or (end.whole and end.before in RESUMABLE):
        return Occasion("recovered", subject, what, (), end.run_id, end.seq)
    return None


def lost_occasion(pipeline: str, run_id: str, night: str, begun: int) -> Occasion:
    """
    Return what there is to tell of a run that has lost its orchestrator, whether or not anybody has closed it since.

    Args:
        begun: Place in the ledger of its start, or of its last resume: it may be lost again.
    """
    what = f"{pipeline} {_WORDS['interrupted']}, night {night}: its orchestrator is gone"
    return Occasion("failed", f"lost-{begun}", what, (), run_id, begun, {"lost": True})


def refusal_occasion(
    pipeline: str,
    code: int,
    problems: Sequence[Mapping[str, object]],
    *,
    since: int | None,
    day: str,
    about: int | None = None,
) -> Occasion:
    """
    Return what there is to tell of a start that ended with *code* before or beside its run.

    The same problems are one occasion until another run has begun, for a *day*: a timer that starts a broken pipeline each minute tells it once.

    Args:
        problems: As `Problem.as_json` gives them, without secrets; their kinds and places tell whether they are the same, not their words.
        since: Place in the ledger of the last start of a run, or None.
    """
    told = sorted([str(problem["kind"]), *map(str, _list(problem.get("path")))] for problem in problems)
    signature = blob_digest(canonical_bytes(told)).removeprefix("sha256:")[:_DIGITS]
    subject = f"{code}-{signature}-{'new' if since is None else since}-{day}"
    first = str(problems[0]["message"]) if problems else "no reason is known"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    facts = {"exit_code": code, "problems": [_shown_of(problem) for problem in problems[:_PROBLEMS_AT_MOST]]}
    if code in _BROKEN:
        what = f"{pipeline} could not go on, exit code {code}: {first}{more}"
        return Occasion("failed", subject, what, ("refused",), about=about, facts=facts)
    what = f"{pipeline} was not started, exit code {code}: {first}{more}"
    return Occasion("refused", subject, what, about=about, facts=facts)


def stale_occasion(pipeline: str, subject: str, *, text: str, day: str) -> Occasion:
    """
    Return what there is to tell of something that is too old, once a *day* for as long as it is.

    Args:
        subject: The name of a dataset, or another word for what it is.
        text: How old it is and may be.
    """
    return Occasion("stale", f"{subject}-{day}", f"{pipeline}: {text}", facts={"subject": subject, "text": text})


def missing_occasions(pipeline: str, missing: Sequence[str], last_night: str | None) -> list[Occasion]:
    """
    Return what there is to tell of nights without a run: those since *last_night*, the night of the last run, and those before it.

    Each is one occasion by its newest night: it is told again when another night is missing, and not when a run comes after them.
    """
    nights = sorted(missing)
    since = [night for night in nights if last_night is None or night > last_night]
    before = nights[: len(nights) - len(since)]
    found = []
    for group in (since, before):
        if group:
            first, last, count = group[0], group[-1], len(group)
            what = f"night {last} has no run" if count == 1 else f"{count} nights have no run, {first} to {last}"
            facts = {"nights": group}
            found.append(Occasion("missing", last, f"{pipeline}: {what}", facts=facts, nights=len(nights)))
    return found


def digest_occasion(pipeline: str, day: str, time: str) -> Occasion:
    """Return the digest of *day*, which goes out from each rule's time on; it is asked for by *pipeline*, and is about all of them."""
    return Occasion("digest", day, f"{pipeline}: all pipelines on {day}", facts={"day": day}, time=time)


def due_alerts(pipeline: str, alerts: Alerts, occasions: Iterable[Occasion], known: Iterable[str]) -> list[AlertRaised]:
    """Return the alerts that the rules ask for and that are not *known*, by id, to have been raised."""
    raised = set(known)
    due = []
    for occasion in occasions:
        for channel in told_channels(alerts, occasion):
            alert = f"{pipeline}:{occasion.kind}:{occasion.subject}:{channel}"
            if alert not in raised:
                raised.add(alert)
                due.append(
                    AlertRaised(
                        alert=alert,
                        pipeline=pipeline,
                        channel=channel,
                        kind=occasion.kind,
                        what=occasion.what,
                        run_id=occasion.run_id,
                        about=occasion.about,
                        facts=occasion.facts,
                    )
                )
    return due


def told_channels(alerts: Alerts, occasion: Occasion) -> list[str]:
    """Return the channels that are told of *occasion*, in the order of the file."""
    rules = [rule for rule in alerts.effective if _matches(rule, occasion)]
    return [name for name in alerts.channels if any(not rule.to or name in rule.to for rule in rules)]


def _matches(rule: AlertRule, occasion: Occasion) -> bool:
    if occasion.kind == "digest":
        return "digest" in rule.on and occasion.time >= rule.at
    if occasion.kind == "missing":
        return "missing" in rule.on and occasion.nights >= rule.nights
    return not {occasion.kind, *occasion.also}.isdisjoint(rule.on)


_PROBLEMS_AT_MOST = 10


def _shown_of(problem: Mapping[str, object]) -> dict[str, object]:
    return {
        name: problem[name]
        for name in ("kind", "message", "file", "line", "suggestion")
        if problem.get(name) is not None
    }


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []
