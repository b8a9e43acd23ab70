"""Where the knee is among some steps, by which rule, and where to look next. Nothing here measures."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from loadtests.knee.steps import Step, slowest
from loadtests.knee.tally import Clock

# Past the knee, the p95 of a time that guests feel is more than so many times that of the first step, and longer than
# what people take for immediate.
MOST_WAIT_RATIO = 3.0
IMMEDIATE_MS = 100.0
# ... or more guests bring less than this share of their number in finished jobs ...
LEAST_YIELD = 0.5
# ... since a step that had fewer guests by this factor. Between closer steps it would be noise that decides: at 1.1
# times as many guests, a finished job more or less in twenty.
LEAST_GROWTH = 1.25
# Between the knee and the first step past it, in relation to the knee: closer than this nobody needs to know it.
CLOSE = 0.15
# What guests wait for. Slow readers wait on purpose, so Clock.SLOW_END is not here.
FELT = {
    Clock.POST: "the answer to the POST",
    Clock.SNAPSHOT: "a snapshot",
    Clock.OPENED: "the opening of a stream",
    Clock.RESUMED: "the resumption of a stream",
    Clock.FIRST_EVENT: "the first event",
    Clock.FIRST_RESULT: "the first result",
    Clock.JOB_END: "the end of the job",
}
RECEIPT = "the way of a result from its decision to its receipt"


class Rule(StrEnum):
    """What a step past the knee breaks."""

    WAITING = "waiting"
    YIELD = "yield"


class Limit(StrEnum):
    """What had nothing left to give past the knee."""

    GATEWAY = "the gateway's core"
    CLIENT = "the client's core"
    OTHERS = "other programs on the cores"
    NEITHER = "neither core"


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that a step broke, and how, in words."""

    rule: Rule
    words: str


@dataclass(frozen=True, slots=True)
class Knee:
    """The last step before more load stopped paying, and the first one past it.

    `breaches` are of the step past it, one for each rule at most; `limit` was full with `full_at` guests, the fewest
    from that step on with whom anything was full.
    """

    at: int
    past: int
    breaches: Sequence[Breach]
    limit: Limit
    full_at: int


def find_knee(steps: Sequence[Step]) -> Knee | None:
    """The last step before those that are all past the knee; None when load still paid at the last one.

    A step that breaks a rule while a larger one breaks none was disturbed.
    """
    ordered = sorted(steps, key=lambda step: step.guests)
    place = len(ordered)
    while place > 1 and find_breaches(ordered[: place - 1], ordered[place - 1]):
        place -= 1
    past = ordered[place:]
    if not past:
        return None
    limit, full_at = _find_full(past)
    breaches = find_breaches(ordered[:place], past[0])
    return Knee(ordered[place - 1].guests, past[0].guests, breaches, limit, full_at)


def find_breaches(smaller: Sequence[Step], step: Step) -> list[Breach]:
    """The rules that a step breaks, given all smaller ones by their guests (at least one): waiting first."""
    first, breaches = smaller[0], []
    waits, usual = tell_waits(step), tell_waits(first)
    long = {what: wait for what, wait in waits.items() if wait > max(IMMEDIATE_MS, MOST_WAIT_RATIO * usual[what])}
    if long:
        said = ", ".join(f"{what} took {wait:,.0f} ms ({usual[what]:,.0f} ms)" for what, wait in long.items())
        breaches.append(Breach(Rule.WAITING, f"by the p95 (in brackets that with {first.guests} guests), {said}"))
    before = next((one for one in reversed(smaller) if one.guests * LEAST_GROWTH <= step.guests), first)
    more_guests = step.guests / before.guests - 1
    if step.jobs_per_s - before.jobs_per_s < LEAST_YIELD * before.jobs_per_s * more_guests:
        more_jobs = step.jobs_per_s / before.jobs_per_s - 1
        words = f"{more_guests:+.0%} guests (from {before.guests}) brought {more_jobs:+.0%} finished jobs"
        breaches.append(Breach(Rule.YIELD, words))
    return breaches


def tell_waits(step: Step) -> dict[str, float]:
    """The p95 of each time that guests feel, in milliseconds; 0 where nothing was measured."""
    return {**{words: step.clocks[clock].p95 for clock, words in FELT.items()}, RECEIPT: slowest(step).p95}


def find_limit(step: Step) -> Limit:
    """What was full; the client first, because then the gateway's figures are not the gateway's."""
    if step.client.is_full:
        return Limit.CLIENT
    if step.gateway.is_taken or step.client.is_taken:
        return Limit.OTHERS
    return Limit.GATEWAY if step.gateway.is_full else Limit.NEITHER


def plan_refinement(knee: Knee) -> int | None:
    """The number of guests to try next: half of the way from the knee to the step past it. None: they are close."""
    gap = knee.past - knee.at
    return knee.at + gap // 2 if gap > max(1, CLOSE * knee.at) else None


def _find_full(past: Sequence[Step]) -> tuple[Limit, int]:
    """Waiting begins before a core is quite full: the next steps show what fills up."""
    for step in past:
        limit = find_limit(step)
        if limit is not Limit.NEITHER:
            return limit, step.guests
    return Limit.NEITHER, past[0].guests
