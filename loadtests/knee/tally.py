"""What the guests of one step measured and counted."""

from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import StrEnum

from loadtests.ledger import Irregularities

MOST_TROUBLES = 20


class Clock(StrEnum):
    """What is timed once or a few times in a visit; all in milliseconds.

    FIRST_EVENT and FIRST_RESULT are those of visits that were still on their first connection. SLOW_END is how long
    after its decision the end of a job reached a slow reader; slow readers take part in no other clock that runs until
    something is received.
    """

    POST = "POST /v1/jobs"
    SNAPSHOT = "GET /v1/jobs/[id]"
    OPENED = "stream opened"
    RESUMED = "stream resumed"
    FIRST_EVENT = "POST to first event"
    FIRST_RESULT = "POST to first item.updated"
    JOB_END = "POST to job end"
    SLOW_END = "job end, decided to received by slow readers"


class Count(StrEnum):
    """What is counted while the window is open."""

    JOBS = "jobs"
    RESULTS = "results"
    EVENTS = "events"
    DROPS = "drops"
    RELOADS = "reloads"
    SLOW_VISITS = "slow visits"


def _new_samples() -> "defaultdict[str, array[float]]":
    return defaultdict(lambda: array("d"))


@dataclass(slots=True)
class Tally:
    """Times and counts only count while `is_open`: the ramp and the last visits are load, but no measurement.

    What went wrong always counts. `begun` and `judged` are visits: one that was never judged was cut off, which is no
    good sign either. No visit begins when `is_over`.
    """

    is_open: bool = False
    is_over: bool = False
    clocks: "defaultdict[str, array[float]]" = field(default_factory=_new_samples)
    received: "defaultdict[str, array[float]]" = field(default_factory=_new_samples)
    completed: "defaultdict[str, array[float]]" = field(default_factory=_new_samples)
    counts: Counter[Count] = field(default_factory=Counter)
    begun: int = 0
    judged: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    trouble_count: int = 0
    troubles: list[str] = field(default_factory=list)

    def time(self, clock: str, milliseconds: float) -> None:
        """Note one measurement."""
        if self.is_open:
            self.clocks[clock].append(milliseconds)

    def time_received(self, stage: str, milliseconds: float) -> None:
        """Note the time from a result's decision until it was read."""
        if self.is_open:
            self.received[stage].append(milliseconds)

    def time_completed(self, stage: str, milliseconds: float) -> None:
        """Note the time from the POST until a stage was complete."""
        if self.is_open:
            self.completed[stage].append(milliseconds)

    def count(self, what: Count, number: int = 1) -> None:
        """Count something that happened."""
        if self.is_open:
            self.counts[what] += number

    def judge(self, irregularities: Irregularities) -> None:
        """Note what a page's ledger said against the log."""
        for kind in ("lost", "doubled", "reordered", "foreign"):
            self.broken[kind] += getattr(irregularities, kind)

    def trouble(self, text: str) -> None:
        """Note a visit that failed, a wrong answer, a reset; the first ones with their words."""
        self.trouble_count += 1
        if len(self.troubles) < MOST_TROUBLES:
            self.troubles.append(text[:300])
