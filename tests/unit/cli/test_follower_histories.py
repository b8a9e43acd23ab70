"""Whatever a server that keeps the rules does to its connections: every event is handed out, in order, once.

The log grows before and during connections. A connection ends in one of the ways that the protocol or the network
knows, at any byte, and may repeat events that the client has. In the rough histories the log is set back, which changes
its epoch, or loses its beginning; then a snapshot stands for all that it replaced.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeVar

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.client.backoff import Backoff
from gateway.client.stream import Event, EventId, JobStream, SessionStream, Snapshot
from tests.unit.cli.scripted_server import (
    Script,
    ScriptedServer,
    busy,
    chunked,
    ended,
    event,
    heartbeat,
    opened,
    refusal,
    reset,
    retry,
    scripted,
    snapshot,
)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Visit:
    """One connection. `grows` and `grows_within` are commits before and during it: is each of the followed job?"""

    grows: list[bool]
    grows_within: list[bool]
    repeats: int  # so many numbers before the client's position are sent again
    proofs: int  # a heartbeat after every so many events, 0 for none
    ending: str
    cut: float  # the part of the bytes that gets through, for the ending `cut`
    accident: str  # of the log, before the connection


COMMITS = st.lists(st.booleans(), max_size=4)
ENDINGS = st.sampled_from(["cut", "cut", "cut", "clean", "renewed", "drain", "busy", "refused"])
SMOOTH = st.builds(Visit, COMMITS, COMMITS, st.integers(0, 3), st.integers(0, 3), ENDINGS, st.floats(0, 1), st.just(""))
ACCIDENTS = st.sampled_from(["", "", "restored", "trimmed"])
ROUGH = st.builds(Visit, COMMITS, COMMITS, st.just(0), st.integers(0, 3), ENDINGS, st.floats(0, 1), ACCIDENTS)


class Log:
    """A session's log and the server that sends it, of one job or (`job` is false) of the whole session."""

    def __init__(self, *, job: bool) -> None:
        self.job = job
        self.mine = [True]  # the job's first event is there before its stream can be
        self.lives = 0
        self.trimmed = 0
        self.over = False

    @property
    def epoch(self) -> str:
        return f"life{self.lives:04}"

    @property
    def numbers(self) -> list[int]:
        """Of the followed events, in order."""
        return [seq for seq, mine in enumerate(self.mine, 1) if mine]

    @property
    def head(self) -> int:
        """The number of the last followed event."""
        return self.numbers[-1] if self.numbers else 0

    def commit(self, events: list[bool]) -> None:
        self.mine += [mine or not self.job for mine in events]

    def visit(self, visit: Visit, asked: str | None) -> bytes:
        """The bytes of one connection."""
        if visit.accident == "restored":
            self.lives, self.mine = self.lives + 1, self.mine[: len(self.mine) // 2]
            self.trimmed = min(self.trimmed, len(self.mine))
        elif visit.accident == "trimmed":
            self.trimmed = (self.trimmed + len(self.mine)) // 2
        self.commit(visit.grows)
        if visit.ending == "busy":
            return chunked(retry(1), busy(1))
        if visit.ending == "refused":
            return refusal(503)
        frames, after = self.open(asked, visit.repeats)
        replayed = self.frames_after(after)
        caught_up = len(self.mine)
        self.commit(visit.grows_within)
        live = self.frames_after(caught_up)
        for count, (seq, frame) in enumerate(live.items(), 1):
            live[seq] = frame + (heartbeat(seq, self.epoch) if visit.proofs and count % visit.proofs == 0 else b"")
        frames += [*replayed.values(), *live.values()]
        if visit.ending == "renewed":
            frames.append(heartbeat(self.head, self.epoch))
        elif visit.ending == "drain":
            frames += [retry(1), busy(1, "stream.drain")]
        whole = chunked(*frames)
        return whole[: round(len(whole) * visit.cut)] if visit.ending == "cut" else whole

    def finish(self, asked: str | None) -> bytes:
        """The last connection: all that is left, and then the job's end, or a proof."""
        if not self.over:
            self.over = True
            self.commit([True])
        frames, after = self.open(asked, 0)
        frames += self.frames_after(after).values()
        if self.job:
            return chunked(*frames, ended(self.head, self.epoch))
        return chunked(*frames, heartbeat(self.head, self.epoch), cut=True) + ScriptedServer.HOLD

    def open(self, asked: str | None, repeats: int) -> tuple[list[bytes], int]:
        """The first frames, and the number after which the stream goes on."""
        first = [retry(1)]
        if asked == "snapshot":
            return [*first, opened(self.head, self.epoch), snapshot(self.head, self.epoch)], len(self.mine)
        if asked is None:
            return [*first, opened(self.head, self.epoch)], self.trimmed
        epoch, _, seq = asked.partition(".")
        if epoch == self.epoch and self.trimmed <= int(seq) <= len(self.mine):
            return [*first, opened(self.head, self.epoch, "resumed")], max(int(seq) - repeats, 0)
        start = [opened(self.head, self.epoch, "reset"), reset(self.head, self.epoch)]
        return [*first, *start, snapshot(self.head, self.epoch)], len(self.mine)

    def frames_after(self, seq: int) -> dict[int, bytes]:
        return {number: event(number, self.epoch) for number in self.numbers if number > seq}


def play(log: Log, visits: list[Visit], follow: Callable[[ScriptedServer, Log], Awaitable[Result]]) -> Result:
    """What a follower makes of these visits and the last one."""

    def script(visit: Visit) -> Script:
        return lambda asked: log.visit(visit, asked)

    async def run() -> Result:
        async with asyncio.timeout(30), scripted(*map(script, visits), *[log.finish] * 5) as server:
            return await follow(server, log)

    return asyncio.run(run())


async def follow_job(server: ScriptedServer, _log: Log) -> tuple[JobStream, list[int]]:
    job = JobStream(server.address, backoff=Backoff(0.0001, 0.0001))
    return job, [item.id.seq async for item in job.events() if isinstance(item, Event)]


async def follow_session(server: ScriptedServer, log: Log) -> tuple[SessionStream, list[EventId], list[EventId]]:
    """Up to the log's last event: the ids that were handed out since the last snapshot, and the snapshots."""
    seen: list[EventId] = []
    snapshots: list[EventId] = []
    session = SessionStream(server.session, backoff=Backoff(0.0001, 0.0001))
    async with aclosing(session.events()) as items:
        async for item in items:
            if isinstance(item, Snapshot):
                seen.clear()
                snapshots.append(item.position)
            else:
                seen.append(item.id)
            if log.over and session.position == EventId(log.epoch, log.head):
                break
    return session, seen, snapshots


FEW = settings(max_examples=50)
CUT_IN_THE_MIDDLE = Visit([True] * 3, [True], 0, 1, "cut", 0.6, "")


@FEW
@given(st.lists(SMOOTH, max_size=6))
@example([CUT_IN_THE_MIDDLE, replace(CUT_IN_THE_MIDDLE, repeats=2)])
def test_a_job_is_handed_out_whole(visits: list[Visit]) -> None:
    log = Log(job=True)
    job, numbers = play(log, visits, follow_job)

    assert numbers == log.numbers
    assert (job.complete, job.gaps, job.snapshots, job.received) == (True, 0, 0, len(numbers))


@FEW
@given(st.lists(SMOOTH, max_size=6))
@example([CUT_IN_THE_MIDDLE, replace(CUT_IN_THE_MIDDLE, repeats=2)])
def test_a_session_is_handed_out_whole(visits: list[Visit]) -> None:
    log = Log(job=False)
    session, seen, _ = play(log, visits, follow_session)

    assert seen == [EventId(log.epoch, seq) for seq in log.numbers]
    assert (session.gapless, session.gaps, session.snapshots) == (True, 0, 0)


@FEW
@given(st.lists(ROUGH, max_size=6))
@example([CUT_IN_THE_MIDDLE, replace(CUT_IN_THE_MIDDLE, accident="restored")])
@example([CUT_IN_THE_MIDDLE, replace(CUT_IN_THE_MIDDLE, accident="trimmed")])
def test_a_log_that_was_set_back_or_trimmed_is_never_mixed_with_what_it_was(visits: list[Visit]) -> None:
    log = Log(job=False)
    session, seen, snapshots = play(log, visits, follow_session)

    start = snapshots[-1].seq if snapshots else 0
    assert [place.epoch for place in snapshots[-1:]] in ([], [log.epoch])
    assert seen == [EventId(log.epoch, seq) for seq in log.numbers if seq > start]
    assert str(session.position) == f"{log.epoch}.{log.head}"
