"""Steps that nobody measured: written down, for what is told from steps."""

from collections.abc import Mapping
from dataclasses import replace

from loadtests.knee.report import Result
from loadtests.knee.rules import find_knee
from loadtests.knee.steps import Core, Quantiles, Rest, Step, measure_step
from loadtests.knee.tally import Clock, Count, Tally
from loadtests.source import Source

BUSY, IDLE = Core(0.97, 0.98), Core(0.2, 0.22)


def quantiles(p95: float) -> Quantiles:
    """Some measurements with this p95."""
    return Quantiles(9, p95 / 2, p95, p95)


def make_step(guests: int, jobs_per_s: float, p95: Mapping[Clock, float] | None = None, **changes: object) -> Step:
    """A step of 10 s; `p95` are the waits in milliseconds, 10 for the first event and result if not given."""
    step = measure_step(guests, 10, Tally(begun=5, judged=5), BUSY, IDLE, Rest(0, 120))
    waits = {Clock.FIRST_EVENT: 10.0, Clock.FIRST_RESULT: 10.0, **(p95 or {})}
    clocks = {**step.clocks, **{clock.value: quantiles(wait) for clock, wait in waits.items()}}
    step = replace(step, counts={Count.JOBS: round(jobs_per_s * 10)}, clocks=clocks)
    return replace(step, **changes)  # type: ignore[arg-type]


def make_result(*steps: Step) -> Result:
    """A run of these steps."""
    source = Source("0123456789", 0)
    return Result("knee", "SQLite", "inside the process", 5, 0.01, True, 10, source, list(steps), find_knee(steps))


GROWING = (make_step(10, 10), make_step(20, 19), make_step(40, 35))
