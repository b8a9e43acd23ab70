"""The timeline of runs as an SVG: faults as bars, events per second as areas, and when which viewer heard nothing.

Colours are given with an opaque background, so that the picture reads the same on a light and on a dark page.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise

from tests.faults.harness.outcome import Outcome, Strip, Stroke

WIDTH = 1000
LEFT = 250
RIGHT = 30
ROW = 16
AREA_HEIGHT = 90
TITLE_HEIGHT = 44
GAP = 14
AXIS_HEIGHT = 26
LEGEND_HEIGHT = 40
MOST_STRIPS = 10
MOST_BUCKETS = 300
LABEL_GAP = 10

PAPER, INK, FAINT, GRID = "#ffffff", "#1f2937", "#6b7280", "#e5e7eb"
FAULT, RECOVERY, COMMITTED, DELIVERED, WATCHING, SILENCE = (
    "#b45309",
    "#fbbf24",
    "#1d4ed8",
    "#a5c4fb",
    "#d1d5db",
    "#be123c",
)


def draw_timelines(outcomes: Sequence[Outcome]) -> str:
    """A panel for each run, one below the other, and the legend."""
    parts: list[str] = []
    top = GAP
    for outcome in outcomes:
        panel = _Panel(outcome, top)
        parts += panel.draw()
        top = panel.bottom + GAP
    parts += _legend(top)
    height = top + LEGEND_HEIGHT
    described = "; ".join(f"{one.stack}: {len(one.strokes)} faults in {one.seconds:.0f} s" for one in outcomes)
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-labelledby="title desc" font-family="system-ui, sans-serif" font-size="12">',
        '<title id="title">Faults, and what viewers got meanwhile</title>',
        f'<desc id="desc">{escape(described)}</desc>',
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="{PAPER}"/>',
    ]
    return "\n".join([*head, *parts, "</svg>\n"])


class _Panel:
    """One run. From top to bottom: title, a row for each kind of fault, the areas, a strip per viewer, the axis."""

    def __init__(self, outcome: Outcome, top: int) -> None:
        self._outcome = outcome
        self._kinds = list(dict.fromkeys(stroke.name for stroke in outcome.strokes))
        self._strips = _longest(outcome.strips)
        self._top = top
        self._faults_top = top + TITLE_HEIGHT
        self._areas_top = self._faults_top + ROW * len(self._kinds) + GAP
        self._strips_top = self._areas_top + AREA_HEIGHT + GAP
        self._axis_top = self._strips_top + ROW * len(self._strips) + 4
        self.bottom = self._axis_top + AXIS_HEIGHT

    def draw(self) -> Iterator[str]:
        """All elements of the panel."""
        one = self._outcome
        yield _text(16, self._top + 16, one.stack, INK, weight=600, size=15)
        damage = ", ".join(f"{one.total(name)} {name}" for name in ("lost", "doubled", "reordered", "altered"))
        figures = f"{len(one.strokes)} faults, {one.committed:,} events committed, {one.total('delivered'):,} delivered"
        yield _text(16, self._top + 34, f"{figures}: {damage}", FAINT)
        yield from self._grid()
        for row, kind in enumerate(self._kinds):
            y = self._faults_top + ROW * row
            yield _text(LEFT - LABEL_GAP, y + 12, kind, INK, anchor="end")
            for stroke in one.strokes:
                if stroke.name == kind:
                    yield from self._bar(stroke, y)
        yield from self._areas()
        for row, strip in enumerate(self._strips):
            yield from self._strip(strip, self._strips_top + ROW * row)

    def _x(self, at: float) -> float:
        share = (at - self._outcome.began) / max(self._outcome.seconds, 0.001)
        return LEFT + min(max(share, 0.0), 1.0) * (WIDTH - LEFT - RIGHT)

    def _grid(self) -> Iterator[str]:
        step = next((step for step in (5, 10, 30, 60, 120, 300) if self._outcome.seconds / step <= 12), 600)
        for second in range(0, int(self._outcome.seconds) + 1, step):
            x = self._x(self._outcome.began + second)
            yield f'<path d="M{x:.1f} {self._faults_top}V{self._axis_top}" stroke="{GRID}"/>'
            yield _text(x, self._axis_top + 15, f"{second} s", FAINT, anchor="middle")

    def _bar(self, stroke: Stroke, y: int) -> Iterator[str]:
        start, end = self._x(stroke.struck_at), self._x(stroke.healed_at)
        back = self._x(stroke.healed_at + (stroke.recovered_seconds or 0.0))
        said = f"{stroke.name} ({stroke.part}) at {stroke.struck_at - self._outcome.began:.1f} s"
        yield _rect(end, y + 5, back - end, ROW - 10, RECOVERY)
        yield _rect(start, y + 2, max(end - start, 2.0), ROW - 4, FAULT, said)

    def _areas(self) -> Iterator[str]:
        width = max(0.5, self._outcome.seconds / MOST_BUCKETS)
        delivered = _rates(self._outcome, width)
        committed = list(_commit_rates(self._outcome))
        most = max((rate for _, rate in (*delivered, *committed)), default=0.0) or 1.0
        base = self._areas_top + AREA_HEIGHT
        yield _text(LEFT - LABEL_GAP, self._areas_top + 12, f"events per second (to {most:,.0f})", INK, anchor="end")
        for rates, colour in ((delivered, DELIVERED), (committed, COMMITTED)):
            if rates:
                points = [f"{self._x(at):.1f} {base - rate / most * AREA_HEIGHT:.1f}" for at, rate in rates]
                first, last = self._x(rates[0][0]), self._x(rates[-1][0])
                path = f"M{first:.1f} {base}L{'L'.join(points)}L{last:.1f} {base}Z"
                yield f'<path d="{path}" fill="{colour}" fill-opacity="0.85"/>'
        yield f'<path d="M{LEFT} {base}H{WIDTH - RIGHT}" stroke="{FAINT}"/>'

    def _strip(self, strip: Strip, y: int) -> Iterator[str]:
        yield _text(LEFT - LABEL_GAP, y + 12, strip.viewer, INK, anchor="end")
        start, end = self._x(strip.opened_at), self._x(strip.closed_at)
        yield _rect(start, y + 6, end - start, 4, WATCHING)
        for silent, heard in strip.silences:
            said = f"nothing for {heard - silent:.1f} s"
            yield _rect(self._x(silent), y + 3, max(self._x(heard) - self._x(silent), 1.0), 10, SILENCE, said)


def _longest(strips: Sequence[Strip]) -> list[Strip]:
    """The viewers that watched for longest, in their own order."""
    chosen = sorted(strips, key=lambda strip: strip.opened_at - strip.closed_at)[:MOST_STRIPS]
    return [strip for strip in strips if strip in chosen]


def _rates(outcome: Outcome, width: float) -> list[tuple[float, float]]:
    """Deliveries per second to all viewers, at the middle of each bucket."""
    counts = Counter(int((at - outcome.began) / width) for at in outcome.deliveries)
    buckets = range(int(outcome.seconds / width) + 1)
    return [(outcome.began + (bucket + 0.5) * width, counts[bucket] / width) for bucket in buckets]


def _commit_rates(outcome: Outcome) -> Iterator[tuple[float, float]]:
    """Commits per second between two looks at the database; the time in which it could not be read counts as one."""
    known = [(sample.at, sample.committed) for sample in outcome.samples if sample.committed is not None]
    for (before, fewer), (at, more) in pairwise(known):
        yield (before + at) / 2, (more - fewer) / (at - before)


def _legend(top: int) -> Iterator[str]:
    x = 16.0
    said = (
        (FAULT, "fault, strike to heal"),
        (RECOVERY, "until all viewers are live at the head"),
        (COMMITTED, "committed"),
        (DELIVERED, "delivered, all viewers"),
        (WATCHING, "viewer"),
        (SILENCE, "nothing for 0.75 s or more while a job runs"),
    )
    for colour, words in said:
        yield _rect(x, top + 6, 12, 10, colour)
        yield _text(x + 17, top + 15, words, INK)
        x += 17 + 6.2 * len(words) + 20


def _rect(x: float, y: float, width: float, height: float, colour: str, said: str = "") -> str:
    title = f"<title>{escape(said)}</title>" if said else ""
    size = f'width="{max(width, 0.0):.1f}" height="{height}"'
    return f'<rect x="{x:.1f}" y="{y}" {size} fill="{colour}">{title}</rect>'


def _text(
    x: float, y: float, words: str, colour: str, *, anchor: str = "start", weight: int = 400, size: int = 12
) -> str:
    style = f'fill="{colour}" text-anchor="{anchor}" font-weight="{weight}" font-size="{size}"'
    return f'<text x="{x:.1f}" y="{y}" {style}>{escape(words)}</text>'
