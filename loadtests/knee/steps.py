"""The figures of one step of the load."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.knee.tally import Clock, Count, Tally

# A core that is busy for so much of the time has nothing left to give.
FULL_CORE = 0.93
# Other programs on a core take from what is measured: above this share the report says so.
MOST_OTHERS = 0.10


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Milliseconds (nearest rank) of `count` measurements; all 0 when there were none."""

    count: int
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Core:
    """Shares of one core over the window: the process under test, and everything that ran there."""

    process: float
    busy: float

    @property
    def others(self) -> float:
        """What other programs took."""
        return max(0.0, self.busy - self.process)

    @property
    def is_full(self) -> bool:
        """Whether it has nothing left, and the process is the reason."""
        return self.busy >= FULL_CORE and self.others <= MOST_OTHERS

    @property
    def is_taken(self) -> bool:
        """Whether it has nothing left, and other programs have their part in it."""
        return self.busy >= FULL_CORE and self.others > MOST_OTHERS


@dataclass(frozen=True, slots=True)
class Step:
    """`guests` who came again and again for `seconds`. Times are milliseconds; `received` and `completed` by stage.

    `visits` are all of the step, before and after the window as well: each was held against the log.
    """

    guests: int
    seconds: float
    counts: dict[str, int]
    clocks: dict[str, Quantiles]
    received: dict[str, Quantiles]
    completed: dict[str, Quantiles]
    gateway: Core
    client: Core
    redis_share: float
    rss_mb: float
    visits: int
    unjudged: int
    broken: dict[str, int]
    trouble_count: int
    troubles: list[str]

    @property
    def jobs_per_s(self) -> float:
        """Jobs that came to their end in the window."""
        return self.counts.get(Count.JOBS, 0) / self.seconds

    @property
    def results_per_s(self) -> float:
        """Results that were received."""
        return self.counts.get(Count.RESULTS, 0) / self.seconds

    @property
    def passed(self) -> bool:
        """Whether every visit was judged and none missed anything."""
        return bool(self.visits) and not (self.unjudged or self.trouble_count or any(self.broken.values()))


def measure_step(guests: int, seconds: float, tally: Tally, gateway: Core, client: Core, rest: "Rest") -> Step:
    """The figures of a tally."""
    return Step(
        guests,
        round(seconds, 3),
        {what.value: number for what, number in tally.counts.items()},
        {clock.value: to_quantiles(tally.clocks[clock]) for clock in Clock},
        {stage: to_quantiles(values) for stage, values in sorted(tally.received.items())},
        {stage: to_quantiles(values) for stage, values in sorted(tally.completed.items())},
        gateway,
        client,
        round(rest.redis_share, 3),
        round(rest.rss_mb, 1),
        tally.judged,
        tally.begun - tally.judged,
        dict(tally.broken),
        tally.trouble_count,
        tally.troubles,
    )


@dataclass(frozen=True, slots=True)
class Rest:
    """Redis' share of the client's core (0 without Redis), and the gateway's memory at the window's end."""

    redis_share: float
    rss_mb: float


def to_quantiles(values: Sequence[float]) -> Quantiles:
    """The nearest rank of 50, 95 and 99 %."""
    ordered = sorted(values)
    if not ordered:
        return Quantiles(0, 0, 0, 0)
    p50, p95, p99 = (round(ordered[math.ceil(share * len(ordered)) - 1], 2) for share in (0.5, 0.95, 0.99))
    return Quantiles(len(ordered), p50, p95, p99)


def slowest(step: Step) -> Quantiles:
    """The stage with the highest p95 from decision to receipt, of those with enough results to say so."""
    most = max((one.count for one in step.received.values()), default=0)
    enough = [one for one in step.received.values() if one.count >= most / 2]
    return max(enough, key=lambda one: one.p95, default=Quantiles(0, 0, 0, 0))
