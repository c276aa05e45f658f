"""
When each attempt of a run began and ended, as one picture: a bar for each attempt on a time axis, in the order of their start.

A thin line under a bar reaches to where the step was expected to end. What was skipped took no time and is not drawn. Of many attempts
the longest are drawn, and the picture says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from orchestrator.core.durations import format_duration
from orchestrator.projections.graph_svg import CHARACTER_WIDTH, escaped, number, shortened, svg
from orchestrator.projections.graph_text import LOOKS, look_name, words_of

BARS_AT_MOST = 200

_ROW = 24
_BAR = 14
_TOP = 28
_LABEL_PADDING = 22
_PLOT = 620
_RIGHT = 108
_NOTE = 22
_BAR_MIN = 2.0
_NEAR = 24
_LABEL_AT_MOST = 24
_TICKS_AT_MOST = 8
_SECOND = 1_000_000
_MINUTE = 60 * _SECOND
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_SPAN_MIN = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# fmt: off
_STEPS = (
    *(count * 1_000 for count in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *(count * _SECOND for count in (1, 2, 5, 10, 15, 30)),
    *(count * _MINUTE for count in (1, 2, 5, 10, 15, 30)),
    *(count * _HOUR for count in (1, 2, 3, 6, 12)),
    *(count * _DAY for count in (1, 2, 7, 14, 28, 91, 365, 3650, 36500)),
)
# fmt: on

_STYLE = (
    ".picture .tick{stroke:var(--rule);stroke-width:1}.picture .expected{fill:none;stroke:var(--quiet);stroke-width:1.5}"
    ".picture .open{stroke-dasharray:5 3}.picture .end{text-anchor:end}.picture .middle{text-anchor:middle}"
)


class _Bar(NamedTuple):
    """Draw one attempt; times are microseconds since 1970, *end* is None while it is not known."""

    start: int
    end: int | None
    step: str
    attempt: int
    status: str
    expected: int | None
    told: str

    @property
    def label(self) -> str:
        """What stands before the bar."""
        return shortened(self.step, _LABEL_AT_MOST) + (f" #{self.attempt}" if self.attempt > 1 else "")

    def length(self, axis_end: int) -> int:
        return max(0, (axis_end if self.end is None else self.end) - self.start)


class _Axis(NamedTuple):
    """Map times between *start* and *end* to places, the first one at *left*."""

    start: int
    end: int
    left: float

    def x(self, moment: int) -> float:
        inside = min(max(moment, self.start), self.end)
        return self.left + _PLOT * (inside - self.start) / (self.end - self.start)


def timeline_svg(detail: Mapping[str, Any]) -> str:
    """Return the timeline of a run's *detail* as an SVG element."""
    bars = sorted(_bars(detail["steps"]), key=lambda bar: bar.start)
    if not bars:
        words = "No step was started."
        return svg(320, 40, words, [f'<text class="quiet" x="12" y="24">{words}</text>'])
    axis = _axis(detail, bars)
    shown = bars
    if len(bars) > BARS_AT_MOST:
        longest = sorted(range(len(bars)), key=lambda index: -bars[index].length(axis.end))[:BARS_AT_MOST]
        shown = [bars[index] for index in sorted(longest)]
    parts = _ticks(axis, len(shown))
    for row, bar in enumerate(shown):
        parts.append(_drawn(bar, axis, _TOP + row * _ROW + _ROW / 2))
    notes = [f"Times are UTC, from {_text(axis.start)} to {_text(axis.end)}."]
    if any(bar.expected is not None for bar in shown):
        notes[0] += " Thin line: how long it usually takes."
    if len(shown) < len(bars):
        notes.append(f"The longest {len(shown)} of {len(bars)} attempts are drawn.")
    bottom = _TOP + len(shown) * _ROW
    for line, note in enumerate(notes):
        parts.append(f'<text class="quiet note" x="12" y="{bottom + 20 + line * _NOTE}">{note}</text>')
    label = f"Timeline of {len(bars)} attempt{'' if len(bars) == 1 else 's'}. {' '.join(notes)}"
    return svg(axis.left + _PLOT + _RIGHT, bottom + 10 + len(notes) * _NOTE, label, parts, style=_STYLE)


def _bars(steps: Sequence[Mapping[str, Any]]) -> Iterator[_Bar]:
    for step in steps:
        expected = step.get("expected_seconds")
        for attempt in step["attempts"]:
            start = _moment(attempt["started_at"])
            if start is None:
                continue
            status = str(attempt["status"] or "running")
            told = [f"{step['step']}, attempt {attempt['attempt']}: {status}"]
            told += [str(attempt[name]) for name in ("reason", "message") if attempt.get(name)]
            # The end is recorded a little after it was seen: the duration is exact, by the monotonic clock.
            seconds = attempt.get("duration_seconds")
            yield _Bar(
                start,
                _moment(attempt["finished_at"]) if seconds is None else start + round(seconds * _SECOND),
                step["step"],
                attempt["attempt"],
                status,
                None if expected is None else round(expected * _SECOND),
                "; ".join(told),
            )


def _axis(detail: Mapping[str, Any], bars: Sequence[_Bar]) -> _Axis:
    """Return the span of the run and of all its attempts; a run without an end lasts to the last time that is known."""
    begun, ended = _moment(detail["started_at"]), _moment(detail["finished_at"])
    starts = [bar.start for bar in bars] + ([] if begun is None else [begun])
    ends = starts + [bar.end for bar in bars if bar.end is not None] + ([] if ended is None else [ended])
    start = min(starts)
    left = max(len(bar.label) for bar in bars) * CHARACTER_WIDTH + _LABEL_PADDING
    return _Axis(start, max(start + _SPAN_MIN, *ends), left)


def duration_text(microseconds: int) -> str:
    """Return a duration with no more digits than people compare: milliseconds below a second, tenths below a minute."""
    digits = -3 if microseconds < _SECOND else -5 if microseconds < _MINUTE else -6
    return format_duration(round(microseconds, digits) or microseconds)


def time_text(utc: object) -> str:
    """Return a stored time to the second; `-` for None."""
    return f"{utc[:10]} {utc[11:19]}Z" if isinstance(utc, str) else "-"


def tick_moments(start: int, end: int) -> tuple[int, list[int]]:
    """
    Return a round distance and the moments at its multiples between *start* and *end*, in microseconds, eight at most.

    >>> tick_moments(0, 60_000_000)
    (10000000, [0, 10000000, 20000000, 30000000, 40000000, 50000000, 60000000])
    """
    step = next((step for step in _STEPS if (end - start) // step < _TICKS_AT_MOST), end - start)
    first = -(-start // step) * step
    return step, list(range(first, end + 1, step))


def _ticks(axis: _Axis, rows: int) -> list[str]:
    step, moments = tick_moments(axis.start, axis.end)
    bottom = _TOP + rows * _ROW
    parts = []
    for moment in moments:
        x = number(axis.x(moment))
        parts.append(f'<line class="tick" x1="{x}" y1="{_TOP - 6}" x2="{x}" y2="{bottom}"/>')
        parts.append(f'<text class="quiet middle" x="{x}" y="{_TOP - 12}">{_tick_text(moment, step)}</text>')
    return parts


def _tick_text(moment: int, step: int) -> str:
    text = _text(moment, "microseconds")
    if step >= _DAY:
        return text[:10]
    if step >= _MINUTE:
        return text[11:16]
    return text[11:19] if step >= _SECOND else text[17:23] + "s"


def _drawn(bar: _Bar, axis: _Axis, middle: float) -> str:
    look = look_name(bar.status)
    left = axis.x(bar.start)
    right = max(axis.x(axis.end if bar.end is None else bar.end), left + _BAR_MIN)
    duration = "" if bar.end is None else duration_text(bar.length(axis.end))
    told = f"{bar.told}; {duration or 'no end recorded'}"
    parts = [f'<g class="attempt"><title>{escaped(told)}</title>']
    text_y = number(middle + 4.2)
    parts.append(f'<text class="end" x="{number(axis.left - 10)}" y="{text_y}">{escaped(bar.label)}</text>')
    parts.append(
        f'<rect class="box {look}{" open" if bar.end is None else ""}" x="{number(left)}" y="{number(middle - _BAR / 2)}"'
        f' width="{number(right - left)}" height="{_BAR}" rx="2"/>'
    )
    if bar.expected is not None:
        mark = axis.x(bar.start + bar.expected)
        y = number(middle + _BAR / 2 + 2.5)
        parts.append(f'<path class="expected" d="M{number(left)} {y}H{number(mark)}v-5"/>')
        right = mark if right < mark < right + _NEAR else right
    words = f"{duration} {'' if bar.status in LOOKS else words_of(bar.status)}".strip()
    parts.append(f'<text class="glyph {look}" x="{number(right + 6)}" y="{text_y}">{LOOKS[look].glyph}</text>')
    room = int((axis.left + _PLOT + _RIGHT - right - 22) / CHARACTER_WIDTH)
    parts.append(
        f'<text class="quiet" x="{number(right + 20)}" y="{text_y}">{escaped(shortened(words, room))}</text></g>'
    )
    return "".join(parts)


def _moment(text: object) -> int | None:
    """Return the stored time *text* as microseconds since 1970, or None for None."""
    if not isinstance(text, str):
        return None
    since = datetime.fromisoformat(text) - _EPOCH
    return (since.days * 86_400 + since.seconds) * _SECOND + since.microseconds


def _text(moment: int, precision: str = "seconds") -> str:
    seconds, microseconds = divmod(moment, _SECOND)
    time = datetime.fromtimestamp(seconds, UTC).replace(microsecond=microseconds)
    return time.replace(tzinfo=None).isoformat(" ", precision)
