"""
The report's picture: what became of each night's flights, as one inline SVG.

Drawn by hand, because a charting library would take longer to start than all other work of the step, and its output would
change with its version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 960, 300
LEFT, RIGHT, TOP, BOTTOM = 48, 8, 34, 40
KINDS = (("flown", "#4c78a8"), ("late", "#9ecae9"), ("diverted", "#f2a93b"), ("cancelled", "#d1352b"))


@dataclass(frozen=True)
class Night:
    """The flights of one night; `late` ones are not counted in `flown` a second time."""

    night: str
    flown: int
    late: int
    diverted: int
    cancelled: int

    @property
    def flights(self) -> int:
        """All scheduled flights."""
        return self.flown + self.late + self.diverted + self.cancelled

    @property
    def cancelled_share(self) -> float:
        """The share of cancelled flights, 0 to 1."""
        return self.cancelled / self.flights if self.flights else 0.0


def draw(nights: Sequence[Night]) -> str:
    """Return the picture of *nights*, at least one, as an `<svg>` element."""
    top = max(100, -(-max(night.flights for night in nights) // 100) * 100)
    pitch = (WIDTH - LEFT - RIGHT) / len(nights)
    every = max(1, -(-len(nights) // 16))
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="picture-title" font-family="sans-serif" font-size="12">',
        '<title id="picture-title">Flights of each night: on time, late, diverted, cancelled</title>',
        *_legend(),
        *_axis(top),
    ]
    for index, night in enumerate(nights):
        left = LEFT + index * pitch
        parts.append(_bar(night, left, pitch, top))
        if index % every == 0:
            parts.append(
                f'<text x="{left + pitch / 2:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{night.night[5:]}</text>'
            )
    return "\n".join([*parts, "</svg>"])


def _height(flights: int, top: int) -> float:
    return flights / top * (HEIGHT - TOP - BOTTOM)


def _bar(night: Night, left: float, pitch: float, top: int) -> str:
    base = float(HEIGHT - BOTTOM)
    hint = f"{night.night}: {night.flights} flights, {night.cancelled} cancelled ({night.cancelled_share:.0%})"
    parts = [f"<g><title>{escape(hint)}</title>"]
    for kind, colour in KINDS:
        height = _height(getattr(night, kind), top)
        base -= height
        parts.append(
            f'<rect x="{left + pitch * 0.1:.1f}" y="{base:.1f}" width="{pitch * 0.8:.1f}" height="{height:.1f}" fill="{colour}"/>'
        )
    return "".join([*parts, "</g>"])


def _legend() -> list[str]:
    names = {"flown": "on time", "late": "late by 15 minutes or more"}
    parts = []
    left = LEFT
    for kind, colour in KINDS:
        label = names.get(kind, kind)
        parts.append(f'<rect x="{left}" y="8" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{left + 17}" y="18">{label}</text>')
        left += 40 + 7 * len(label)
    return parts


def _axis(top: int) -> list[str]:
    parts = []
    for share in (0, 0.5, 1):
        y = HEIGHT - BOTTOM - _height(int(top * share), top)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ccc"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{int(top * share)}</text>')
    return parts
