"""Compares what each viewer was handed with what was committed, and finds every difference.

Lost, doubled, reordered and altered are counted one by one, so that one kind of damage never hides another.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson

from tests.faults.harness.history import ENDED, TERMINAL, Committed, History, JobTruth, Order, Seen, Truth

MOST_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class ViewerVerdict:
    """One viewer's figures. `phantom` are events that nobody committed; `silence_seconds` is the longest time without
    an event while a job that it follows was under way. `examples` names the first of each kind of damage.
    """

    viewer: str
    committed: int
    delivered: int
    lost: int
    doubled: int
    reordered: int
    altered: int
    phantom: int
    repeated: int
    gaps: int
    resets: int
    connections: int
    complete: bool
    silence_seconds: float
    examples: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether it was served exactly what was committed, in order, once, and knows it."""
        damage = self.lost + self.doubled + self.reordered + self.altered + self.phantom + self.gaps
        return damage == 0 and self.complete


def check_viewer(history: History, truth: Truth) -> ViewerVerdict:
    """What the viewer has against the log of its session, from the log's first event to its last."""
    session = truth.sessions.get(history.session_id)
    epoch = session.epoch if session else ""
    log = session.events if session else []
    expected = {(epoch, event.seq): event for event in log if history.job_id is None or event.job_id == history.job_id}
    times = Counter((seen.epoch, seen.seq) for seen in history.seen)
    # A snapshot stands for everything up to its position: what it replaced is not lost.
    stands_for = max((one.seq for one in history.replaced if one.epoch == epoch), default=0)
    lost = [key for key in expected if key not in times and key[1] > stands_for]
    doubled = [key for key, count in times.items() if count > 1]
    phantom = [key for key in times if key not in expected]
    altered = [seen for seen in history.seen if _differs(seen, expected.get((seen.epoch, seen.seq)))]
    reordered = list(_late(history))
    examples = [
        *_name("lost", [f"{key[0]}.{key[1]} {expected[key].type}" for key in lost]),
        *_name("doubled", [f"{key[0]}.{key[1]} x{times[key]}" for key in doubled]),
        *_name("phantom", [f"{key[0]}.{key[1]}" for key in phantom]),
        *_name("altered", [f"{seen.epoch}.{seen.seq} {seen.type}" for seen in altered]),
        *_name("reordered", [f"{seen.epoch}.{seen.seq} came late" for seen in reordered]),
        *([f"the client noticed {history.gaps} gaps and had them mended"] if history.gaps else []),
        *([history.failure] if history.failure else []),
    ]
    return ViewerVerdict(
        viewer=history.viewer,
        committed=len(expected),
        delivered=len(history.seen),
        lost=len(lost),
        doubled=sum(times[key] - 1 for key in doubled),
        reordered=len(reordered),
        altered=len(altered),
        phantom=len(phantom),
        repeated=history.repeated,
        gaps=history.gaps,
        resets=len(history.replaced),
        connections=history.connections,
        complete=history.complete and history.failure is None,
        silence_seconds=max((end - start for start, end in silences(history)), default=0.0),
        examples=tuple(examples),
    )


def check_jobs(orders: Sequence[Order], truth: Truth) -> list[str]:
    """Every accepted job is there once and has ended, with one terminal event per run, which is its last event."""
    findings: list[str] = []
    made = Counter(job.order for job in truth.jobs.values())
    findings += [f"order {order} became {count} jobs" for order, count in made.items() if count > 1]
    findings += [
        f"order {order.order} was never accepted: {order.answers[-3:]}" for order in orders if not order.job_id
    ]
    for order in orders:
        strange = [answer for answer in order.answers if answer.isdigit() and answer not in ("202", "503")]
        findings += [f"order {order.order} was answered {answer}" for answer in strange]
        if order.job_id and (job := truth.jobs.get(order.job_id)) is None:
            findings.append(f"job {order.job_id} was accepted and is not there")
        elif order.job_id and job is not None and job.order != order.order:
            findings.append(f"job {job.job_id} was accepted as {order.order} and is {job.order}")
    by_job: dict[str, list[Committed]] = {job_id: [] for job_id in truth.jobs}
    for session in truth.sessions.values():
        for event in session.events:
            by_job.setdefault(event.job_id, []).append(event)
    for job_id, events in by_job.items():
        findings += _check_job(job_id, truth.jobs, events)
    return findings


def _check_job(job_id: str, jobs: Mapping[str, JobTruth], events: Sequence[Committed]) -> Iterator[str]:
    job = jobs.get(job_id)
    if job is None:
        yield f"the log has {len(events)} events of job {job_id}, which does not exist"
        return
    if job.status not in ENDED:
        yield f"job {job_id} never ended: it is {job.status}"
        return
    endings = [event.type for event in events if event.type in TERMINAL]
    if len(endings) != job.run:
        yield f"job {job_id} has {len(endings)} terminal events in {job.run} runs: {endings}"
    elif events[-1].type != f"job.{job.status}":
        yield f"job {job_id} is {job.status}, and its last event is {events[-1].type}"


def silences(history: History) -> Iterator[tuple[float, float]]:
    """The times between two events, or from the opening to the first, in which a followed job was under way."""
    active: set[str] = set()
    before = history.opened_at
    waiting = history.job_id is not None
    for seen in history.seen:
        if active or waiting:
            yield before, seen.at
        before, waiting = seen.at, False
        job_id = str(seen.data.get("job_id"))
        if seen.type in TERMINAL:
            active.discard(job_id)
        else:
            active.add(job_id)
    if active and history.closed_at > before:
        yield before, history.closed_at


def _differs(seen: Seen, committed: Committed | None) -> bool:
    return committed is not None and (seen.type != committed.type or seen.data != orjson.loads(committed.data))


def _late(history: History) -> Iterator[Seen]:
    """Events that came, for the first time, after a later one of the same log, or after a snapshot that has them."""
    highest: dict[str, int] = {}
    known: set[tuple[str, int]] = set()
    snapshots = list(history.replaced)
    for place, one in enumerate(history.seen):
        while snapshots and snapshots[0].after <= place:
            snapshot = snapshots.pop(0)
            highest[snapshot.epoch] = max(highest.get(snapshot.epoch, 0), snapshot.seq)
        key = (one.epoch, one.seq)
        if key not in known and one.seq <= highest.get(one.epoch, 0):
            yield one
        known.add(key)
        highest[one.epoch] = max(highest.get(one.epoch, 0), one.seq)


def _name(kind: str, found: Sequence[str]) -> list[str]:
    more = f" and {len(found) - MOST_EXAMPLES} more" if len(found) > MOST_EXAMPLES else ""
    return [f"{kind}: {', '.join(found[:MOST_EXAMPLES])}{more}"] if found else []
