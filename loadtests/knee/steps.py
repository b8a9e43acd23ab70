"""The figures of one step of the load, and where the knee is among several."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from loadtests.knee.tally import Clock, Count, Tally

# Past the knee, more guests bring less than this share of their number in finished jobs.
LEAST_YIELD = 0.5
# ... or the p95 of the time to the first event is more than this many times that of the first step, and longer than
# what people take for immediate.
MOST_FIRST_EVENT_RATIO = 3.0
IMMEDIATE_MS = 100.0
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
    def first_event_p95(self) -> float:
        """Milliseconds from the POST."""
        return self.clocks[Clock.FIRST_EVENT].p95

    @property
    def passed(self) -> bool:
        """Whether every visit was judged and none missed anything."""
        return bool(self.visits) and not (self.unjudged or self.trouble_count or any(self.broken.values()))


class Limit(StrEnum):
    """What had nothing left to give at the knee."""

    GATEWAY = "the gateway's core"
    CLIENT = "the client's core"
    OTHERS = "other programs on the cores"
    NEITHER = "neither core"


@dataclass(frozen=True, slots=True)
class Knee:
    """The last step before more load stopped paying, and the first one past it.

    `reason` says what the step past it did; `limit` what was full there.
    """

    at: int
    past: int
    reason: str
    limit: Limit


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


def find_knee(steps: Sequence[Step]) -> Knee | None:
    """The last step before one that is past the knee, by the rules on top; None when load still paid at the last one.

    What is true of one step and no longer of a larger one was noise: a rule has to hold from its step on.
    """
    ordered = sorted(steps, key=lambda step: step.guests)
    for place in range(1, len(ordered)):
        first, before, after = ordered[0], ordered[place - 1], ordered[place]
        if all(_pays_too_little(before, later) for later in ordered[place:]):
            return Knee(before.guests, after.guests, _say_yield(before, after), find_limit(after))
        if all(_waits_too_long(first, later) for later in ordered[place:]):
            return Knee(before.guests, after.guests, _say_wait(first, after), find_limit(after))
    return None


def find_limit(step: Step) -> Limit:
    """What was full; the client first, because then the gateway's figures are not the gateway's."""
    if step.client.is_full:
        return Limit.CLIENT
    if step.gateway.is_taken or step.client.is_taken:
        return Limit.OTHERS
    return Limit.GATEWAY if step.gateway.is_full else Limit.NEITHER


def plan_refinement(knee: Knee) -> list[int]:
    """Numbers of guests between the knee and the step past it, a quarter and half of the way; none when they touch."""
    gap = knee.past - knee.at
    return sorted({knee.at + gap // 4, knee.at + gap // 2} - {knee.at})


def _pays_too_little(before: Step, after: Step) -> bool:
    return after.jobs_per_s - before.jobs_per_s < LEAST_YIELD * before.jobs_per_s * (after.guests / before.guests - 1)


def _waits_too_long(first: Step, after: Step) -> bool:
    return after.first_event_p95 > max(IMMEDIATE_MS, MOST_FIRST_EVENT_RATIO * first.first_event_p95)


def _say_yield(before: Step, after: Step) -> str:
    more_jobs = after.jobs_per_s / before.jobs_per_s - 1 if before.jobs_per_s else 0.0
    return f"{after.guests / before.guests - 1:+.0%} guests brought {more_jobs:+.0%} finished jobs"


def _say_wait(first: Step, after: Step) -> str:
    ratio = after.first_event_p95 / first.first_event_p95 if first.first_event_p95 else math.inf
    return f"the first event took {ratio:.1f} times as long (p95) as with {first.guests} guests"
