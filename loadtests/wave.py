"""One wave of a storm: who came, what had to come to them, and the table that says what they saw."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loadtests.browser import Browser, sum_up
from loadtests.ledger import Irregularities
from loadtests.report import Spread, spread
from loadtests.sessions import SessionLog
from loadtests.sheet import table
from loadtests.vitals import Vitals

# Of the gateway: what a channel's ring holds, and how a replay reads the log.
RING_EVENTS = 256
PAGE_EVENTS = 500


@dataclass(frozen=True, slots=True)
class Guest:
    """A browser of one session, or of one of its jobs, and when it comes (`time.perf_counter()` seconds)."""

    browser: Browser
    session: int
    job_id: str | None
    place: int
    comes_at: float
    is_live: bool


@dataclass(frozen=True, slots=True)
class Wave:
    """What one wave showed. Times are from a browser's coming until it had everything that existed before the storm.

    `page_ranges` is what the log has to be read for: each session's tail, and each older page that was asked for.
    `repairs` are reads that the live path made besides; `streams_open` is how many were there when all had everything.
    """

    name: str
    browsers: int
    complete: int
    broken: Irregularities
    failures: list[str]
    resets: int
    unproven: int
    all_complete_seconds: float
    caught_up_ms: Spread
    connections: int
    streams_open: int
    refused: int
    retry_ms: list[int]
    sessions: int
    page_ranges: int
    log_reads: int
    repairs: int
    gateway_cpu_seconds: float
    rss_before_mb: float
    rss_after_mb: float

    @property
    def passed(self) -> bool:
        """Whether everybody got everything, once and in order, without an error."""
        wrong = (self.broken, self.failures, self.resets, self.unproven)
        return self.complete == self.browsers and not any(wrong)


def count_page_ranges(places: Sequence[int], head: int, end: int) -> int:
    """What one session's log has to be read for: its tail, and the older pages that begin with the farthest place.

    Places in the tail need no page, unless the log grew by so much that the ring lost them before they came.
    """
    behind = [place for place in places if place < head]
    far = [place for place in behind if end - place > RING_EVENTS]
    pages = range(min(far) // PAGE_EVENTS, (end - 1) // PAGE_EVENTS + 1) if far else ()
    return bool(behind) + len(pages)


def judge(
    name: str,
    guests: Sequence[Guest],
    ends: Sequence[SessionLog],
    complete: int,
    began: float,
    page_ranges: int,
    before: Vitals,
    after: Vitals,
) -> Wave:
    """Hold every browser against the log and sum up."""
    browsers = [guest.browser for guest in guests]
    wanted: dict[tuple[int, str | None], list[int]] = {}
    for guest in guests:
        key = (guest.session, guest.job_id)
        if key not in wanted:
            wanted[key] = ends[guest.session].numbers(guest.job_id)
    reached = [one.browser.reached_at - one.comes_at for one in guests if one.browser.reached_at and not one.is_live]
    done = [browser.reached_at for browser in browsers if browser.reached_at is not None]
    return Wave(
        name=name,
        browsers=len(guests),
        complete=complete,
        broken=sum_up(guest.browser.check(wanted[guest.session, guest.job_id]) for guest in guests),
        failures=[browser.failure for browser in browsers if browser.failure is not None][:10],
        resets=sum(browser.resets for browser in browsers),
        unproven=sum(browser.unproven for browser in browsers),
        all_complete_seconds=round(max(done, default=began) - began, 2),
        caught_up_ms=spread([seconds * 1000 for seconds in reached] or [0.0]),
        connections=sum(browser.connections for browser in browsers),
        streams_open=round(after.total("stagecast_connections")),
        refused=sum(len(browser.refusals) for browser in browsers),
        retry_ms=sorted(refusal.wait_ms for browser in browsers for refusal in browser.refusals),
        sessions=len(ends),
        page_ranges=page_ranges,
        log_reads=round(after.total("stagecast_log_reads_total") - before.total("stagecast_log_reads_total")),
        repairs=round(after.total("stagecast_gap_repairs_total") - before.total("stagecast_gap_repairs_total")),
        gateway_cpu_seconds=round(after.cpu_seconds - before.cpu_seconds, 2),
        rss_before_mb=round(before.rss_bytes / 1e6, 1),
        rss_after_mb=round(after.rss_bytes / 1e6, 1),
    )


def to_lines(waves: Sequence[Wave]) -> list[str]:
    """A table with a column per wave."""

    def row(label: str, cell: Callable[[Wave], object]) -> list[str]:
        return [label, *(str(cell(wave)) for wave in waves)]

    return table(
        ["", *(wave.name for wave in waves)],
        [
            row("browsers, sessions", lambda one: f"{one.browsers}, {one.sessions}"),
            row("complete", lambda one: one.complete),
            row(
                "events lost / doubled / reordered / foreign",
                lambda one: f"{one.broken.lost} / {one.broken.doubled} / {one.broken.reordered} / {one.broken.foreign}",
            ),
            row(
                "error answers, resets, unproven heads",
                lambda one: f"{len(one.failures)}, {one.resets}, {one.unproven}",
            ),
            row("until all are complete, new jobs included", lambda one: f"{one.all_complete_seconds:.2f} s"),
            row(
                "until a browser has caught up: median / p95 / longest",
                lambda one: (
                    f"{one.caught_up_ms.median:.0f} / {one.caught_up_ms.p95:.0f} / {one.caught_up_ms.worst:.0f} ms"
                ),
            ),
            row("streams open when all were complete", lambda one: one.streams_open),
            row("connections, of them refused (`stream.busy`)", lambda one: f"{one.connections}, {one.refused}"),
            row(
                "`retry_ms` of the refusals: least / median / most",
                lambda one: (
                    " / ".join(map(str, [one.retry_ms[0], one.retry_ms[len(one.retry_ms) // 2], one.retry_ms[-1]]))
                    if one.retry_ms
                    else "-"
                ),
            ),
            row("reads of the log, and ranges that needed one", lambda one: f"{one.log_reads}, {one.page_ranges}"),
            row("repairs of the live path", lambda one: one.repairs),
            row("CPU of the gateway", lambda one: f"{one.gateway_cpu_seconds:.2f} s"),
            row(
                "memory of the gateway before / after",
                lambda one: f"{one.rss_before_mb:.0f} / {one.rss_after_mb:.0f} MB",
            ),
        ],
    )
