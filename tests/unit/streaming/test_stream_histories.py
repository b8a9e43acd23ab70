"""Random histories of whole streams: real jobs in a real SQLite file, a bus that loses, repeats and reorders, browsers
that come, leave and resume, retention that trims, and backups that change the epoch.

Hub, channel, cursor, opener, log, snapshots and committer are the product's; the bus is a third one of our own, as bad
as its contract allows. Every browser that follows the rules of the protocol ends with all events, in order, once.
"""

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from sqlalchemy import delete, select, update

import gateway.streaming.batch
import gateway.streaming.pages
from gateway.streaming.cursor import Cursor, CursorLost
from gateway.streaming.frames import TERMINAL_TYPES
from gateway.streaming.hub import Hub
from gateway.streaming.opening import Opener
from gateway.streaming.position import parse_position
from infra.bus.base import BusListener, Message
from infra.database.continuity import Continuity
from infra.database.log import EventLog
from infra.database.models import Event, MenuItem, Session
from infra.database.repositories.snapshots import Snapshots
from infra.database.retention import Retention
from infra.errors import JobFinished, NotClaimable, StageNotFailed
from infra.ids import new_epoch
from infra.settings import LogSettings, SseSettings
from infra.tasks import Supervisor
from pipeline.registry import KINDS
from pipeline.submission import NewJob, Submit
from pipeline.transitions import Cancel, Claim, GiveUp, Lease, Record, Result, Retry
from tests.database import Store, copy_sqlite, make_sqlite_template
from tests.unit.streaming.wire import Dispatched, dispatch

STAGES = tuple(KINDS["menu"].stages)
MOST_JOBS = 2
MOST_BROWSERS = 5
# So small that pages and batches end in the middle of what a browser lacks.
SMALL_PAGE_EVENTS = 7
SMALL_BATCH_BYTES = 600
SETTLE_SECONDS = 10.0
# What no setting allows: ended logs are old at once.
KEEP_NOTHING = LogSettings.model_construct(retention_seconds=0, max_events_per_session=1_000_000)
# Which of however many there are: how changes group into messages is the committer's, so no draw may depend on it.
INDEX = st.integers(0, 59)


class BadBus:
    """A bus that delivers nothing by itself: what was published travels until the test delivers or loses it."""

    def __init__(self) -> None:
        self.listener: BusListener | None = None
        self.sessions: set[str] = set()
        self.travelling: list[Message] = []

    async def start(self, listener: BusListener) -> None:
        self.listener = listener

    def publish(self, messages: Sequence[Message]) -> None:
        self.travelling += [message for message in messages if message.session_id in self.sessions]

    def deliver(self, message: Message) -> None:
        assert self.listener is not None
        self.listener.receive(message)

    async def subscribe(self, session_id: str) -> None:
        self.sessions.add(session_id)

    async def unsubscribe(self, session_id: str) -> None:
        self.sessions.discard(session_id)

    async def ping(self) -> bool:
        return True

    async def close(self) -> None:
        self.sessions.clear()


class Truth:
    """What was committed, as the committer announced it: the log that every browser must end with."""

    def __init__(self) -> None:
        self.jobs: list[str] = []
        self.events: dict[int, tuple[str, str]] = {}
        self.epoch = ""

    def add(self, message: Message) -> None:
        self.epoch = message.epoch
        for seq, entry in enumerate(message.entries, message.first_seq):
            assert seq == len(self.events) + 1, "the committer left a hole"
            self.events[seq] = (entry.job_id, entry.type)

    def after(self, seq: int, job_id: str | None, up_to: int | None = None) -> list[int]:
        last = len(self.events) if up_to is None else up_to
        return [n for n in range(seq + 1, last + 1) if job_id in (None, self.events[n][0])]

    def ending(self, job_id: str) -> int | None:
        """The number of the job's last event, if that one is terminal."""
        last = self.after(0, job_id)[-1]
        return last if self.events[last][1] in TERMINAL_TYPES else None


class Browser:
    """An EventSource and the page behind it: it keeps what came, and reconnects with the last id that it saw."""

    def __init__(self, histories: "StreamHistories", job_id: str | None, from_snapshot: bool) -> None:
        self.histories = histories
        self.job_id = job_id
        self.from_snapshot = from_snapshot
        self.last_id: str | None = None
        self.epoch = ""
        self.since = 0
        self.got: list[int] = []
        self.finished = False
        self.cursor: Cursor | None = None
        self._stack = AsyncExitStack()

    @property
    def place(self) -> int:
        return self.got[-1] if self.got else self.since

    async def connect(self) -> None:
        world, truth = self.histories, self.histories.truth
        position = parse_position(self.last_id, "Last-Event-ID") if self.last_id else None
        job = await world.snapshots.place(self.job_id) if self.job_id else None
        opener = Opener(world.session_id, self.job_id, job, position, self.from_snapshot, world.log, world.snapshots)
        channel = await self._stack.enter_async_context(world.hub.open(world.session_id))
        opened = await opener.open(channel)
        if opened is None:
            await self.disconnect()
            assert self.job_id is not None, "a session's stream never ends"
            ending = truth.ending(self.job_id)
            assert ending is not None, "204 for a job that has not ended"
            assert position is not None
            assert position.seq >= ending, "204 for a browser that lacks events"
            self.finished = True
            return
        self.cursor = opened.cursor
        self._begin(dispatch(opened.frames), position is not None)

    def _begin(self, frames: list[Dispatched], resuming: bool) -> None:
        truth = self.histories.truth
        assert all(frame.id is None for frame in frames)
        names = [frame.name for frame in frames]
        opening, *others = frames
        assert opening.name == "stream.open"
        outcome = opening.data["outcome"]
        if outcome == "reset":
            assert names == ["stream.open", "stream.reset", "stream.snapshot"]
            assert self.last_id is not None
            self._check_reset(others[0].data["reason"])
        elif outcome == "resumed":
            assert resuming
            assert names == ["stream.open"]
            return
        else:
            assert not resuming
        if names[-1] == "stream.snapshot":
            self.epoch, _, seq = others[-1].data["head"].partition(".")
            self.since = int(seq)
            assert self.since == (truth.after(0, self.job_id) or [0])[-1], "a snapshot of another moment"
        else:
            assert self.cursor is not None
            self.epoch, self.since = opening.data["epoch"], self.cursor.seq
            assert truth.after(0, self.job_id, self.since) == [] or self.since <= self.histories.trimmed
        self.got = []

    def _check_reset(self, reason: str) -> None:
        epoch, _, seq = (self.last_id or "").partition(".")
        if reason == "epoch_changed":
            assert epoch != self.histories.truth.epoch
        else:
            assert reason == "behind_retention", "nobody is ahead of the log here"
            assert int(seq) < self.histories.trimmed
            if self.job_id is not None and (ending := self.histories.truth.ending(self.job_id)) is not None:
                assert int(seq) < ending, "a reset for a browser that has everything of an ended job"

    async def step(self) -> bool:
        """Take what there is; True when the place may have changed."""
        if self.cursor is None:
            return False
        try:
            batch = await self.cursor.advance()
        except CursorLost:
            await self.disconnect()
            return True
        if batch is not None:
            for event in dispatch(batch.frames):
                assert event.id is not None
                assert event.id.partition(".")[0] == self.epoch
                job_id, name = self.histories.truth.events[event.seq]
                assert (event.data["job_id"], event.name) == (job_id, name)
                self.got.append(event.seq)
                self.last_id = event.id
            assert self.got == self.histories.truth.after(self.since, self.job_id, self.place)
            return True
        if self.cursor.ended is not None:
            assert self.cursor.head.seq == self.place, "stream.end names an event that this browser does not have"
            await self.disconnect()
            self.finished = True
        return False

    async def disconnect(self) -> None:
        self.cursor = None
        await self._stack.aclose()

    @property
    def has_everything(self) -> bool:
        truth = self.histories.truth
        return self.epoch == truth.epoch and self.got == truth.after(self.since, self.job_id)


class StreamHistories(RuleBasedStateMachine):
    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.TemporaryDirectory(prefix="stagecast-streams-")
        self.truth = Truth()
        self.browsers: list[Browser] = []
        self.bus = BadBus()

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    @initialize(
        ring=st.sampled_from([1, 3, 20]),
        pages=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=4),
    )
    def start(self, ring: int, pages: list[tuple[bool, bool]]) -> None:
        self.run(self._start(ring, pages))

    async def _start(self, ring: int, pages: list[tuple[bool, bool]]) -> None:
        self.store = Store(copy_sqlite(self.template, Path(self.directory.name)), self._publish)
        await self.store.__aenter__()
        self.log, self.snapshots = EventLog(self.store.database), Snapshots(self.store.database)
        self.supervisor = Supervisor(self.store.metrics)
        renew = Continuity(self.store.database).renew
        self.hub = Hub(self.bus, self.log, SseSettings(ring_events=ring), self.supervisor, self.store.metrics, renew)
        await self.hub.start()
        self.session_id = ""
        await self._submit()
        for of_job, from_snapshot in pages:
            self.browsers.append(Browser(self, self.truth.jobs[0] if of_job else None, from_snapshot))
            await self.browsers[-1].connect()

    def _publish(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self.truth.add(message)
        self.bus.publish(messages)

    async def _submit(self) -> None:
        job = NewJob("menu", None, None, "en", ({"name": "親子丼", "input_price": None, "input_category": None},))
        accepted = await self.store.committer.commit(Submit(job, self.session_id or None, None, 2))
        self.truth.jobs.append(accepted.job_id)
        if accepted.state is not None:
            self.session_id = accepted.state.session_id

    @property
    def trimmed(self) -> int:
        return self.run_now(select(Session.trimmed).where(Session.id == self.session_id))

    def run_now(self, statement: Any) -> Any:
        """A value of the database at this very moment, also from inside the loop."""
        compiled = statement.compile(compile_kwargs={"literal_binds": True})
        with sqlite3.connect(f"{self.directory.name}/stagecast.db") as connection:
            (value,) = connection.execute(str(compiled)).fetchone()
        connection.close()
        return value

    # What happens to jobs.

    @rule()
    def submit(self) -> None:
        if len(self.truth.jobs) < MOST_JOBS:
            self.run(self._submit())

    @rule(job=INDEX, stage=st.sampled_from(STAGES), outcome=st.sampled_from(["answered", "failed", "again"]))
    def run_stage(self, job: int, stage: str, outcome: str) -> None:
        self.run(self._run_stage(self._job(job), stage, outcome))

    def _job(self, index: int) -> str:
        return self.truth.jobs[index % len(self.truth.jobs)]

    @rule(job=INDEX)
    def run_all_stages(self, job: int) -> None:
        job_id = self._job(job)

        async def together() -> None:
            await asyncio.gather(*(self._run_stage(job_id, stage, "answered") for stage in STAGES))

        self.run(together())

    async def _run_stage(self, job_id: str, stage: str, outcome: str) -> None:
        commit = self.store.committer.commit
        try:
            lease = await commit(Claim(job_id, stage, 60_000))
        except NotClaimable:
            return
        assert isinstance(lease, Lease)
        if outcome == "answered":
            item_id = await self._item_of(job_id)
            column = KINDS["menu"].stages[stage].fills[0]
            result = Result(item_id, 0, {column: {"result": None}}, b'{"result":null}')  # type: ignore[dict-item]
            await commit(Record(lease, (result,), 60_000, finish=True))
        else:
            await commit(GiveUp(lease, {"type": "late", "message": "too late"}, outcome == "again", 0))

    async def _item_of(self, job_id: str) -> str:
        async with self.store.database.read() as connection:
            return str(await connection.scalar(select(MenuItem.id).where(MenuItem.job_id == job_id)))

    @rule(job=INDEX, stage=st.sampled_from(STAGES), retry=st.booleans())
    def retry_or_cancel(self, job: int, stage: str, retry: bool) -> None:
        job_id = self._job(job)

        async def ask() -> None:
            with suppress(JobFinished, StageNotFailed):
                await self.store.committer.commit(Retry(job_id, stage, 2) if retry else Cancel(job_id))

        self.run(ask())

    # What happens to the log.

    @rule()
    def trim(self) -> None:
        self.run(Retention(self.store.database, KEEP_NOTHING).trim_old())

    @rule(log_lost=st.booleans(), chance=INDEX)
    def change_epoch(self, log_lost: bool, chance: int) -> None:
        """A backup was restored, complete or without its log; seldom, or nobody would ever resume."""
        if chance % 4:
            return
        self.truth.epoch = new_epoch()
        values: dict[str, Any] = {"epoch": self.truth.epoch}
        if log_lost:
            values["trimmed"] = Session.head

        async def restore() -> None:
            async with self.store.database.write() as connection:
                await connection.execute(update(Session).values(values))
                if log_lost:
                    await connection.execute(delete(Event))

        self.run(restore())

    # What happens on the bus.

    @rule(index=INDEX, fate=st.sampled_from(["deliver", "deliver twice", "lose"]))
    def one_message_travels(self, index: int, fate: str) -> None:
        if not self.bus.travelling:
            return
        message = self.bus.travelling.pop(index % len(self.bus.travelling))
        if fate == "lose":
            return
        if fate == "deliver twice":
            self.bus.travelling.append(message)
        self.run(self._deliver([message]))

    @rule()
    def all_messages_arrive(self) -> None:
        travelling, self.bus.travelling = self.bus.travelling, []
        self.run(self._deliver(travelling))

    async def _deliver(self, messages: list[Message]) -> None:
        for message in messages:
            self.bus.deliver(message)
        await asyncio.sleep(0)

    @rule()
    def bus_was_away(self) -> None:
        async def come_back() -> None:
            self.hub.gap_possible()
            await asyncio.sleep(0.002)

        self.run(come_back())

    # What browsers do.

    @rule(job=INDEX, of_job=st.booleans(), from_snapshot=st.booleans())
    def open_page(self, job: int, of_job: bool, from_snapshot: bool) -> None:
        if len(self.browsers) == MOST_BROWSERS:
            return
        browser = Browser(self, self._job(job) if of_job else None, from_snapshot)
        self.browsers.append(browser)
        self.run(browser.connect())

    @rule(index=INDEX)
    def drop_and_resume(self, index: int) -> None:
        async def again(browser: Browser) -> None:
            await browser.disconnect()
            await browser.connect()

        if self.browsers:
            self.run(again(self.browsers[index % len(self.browsers)]))

    @rule(index=INDEX, steps=st.integers(1, 3))
    def read(self, index: int, steps: int) -> None:
        for _ in range(steps if self.browsers else 0):
            self.run(self.browsers[index % len(self.browsers)].step())

    @rule()
    def all_read_at_once(self) -> None:
        async def together() -> None:
            await asyncio.gather(*(browser.step() for browser in self.browsers))

        self.run(together())

    def teardown(self) -> None:
        try:
            if hasattr(self, "store"):
                self.run(self._end())
        finally:
            self.run(self._stop())
            self.loop.close()
            self.directory.cleanup()

    async def _end(self) -> None:
        """Everyone catches up; then all jobs end, the log is trimmed, and every page is opened once more."""
        await self._settle(self.browsers)
        away, there = self.browsers[::2], self.browsers[1::2]
        for browser in away:
            await browser.disconnect()
        for job_id in self.truth.jobs:
            await asyncio.gather(*(self._run_stage(job_id, stage, "answered") for stage in STAGES))
        await self._settle(there)
        await Retention(self.store.database, KEEP_NOTHING).trim_old()
        for browser in self.browsers:
            await browser.disconnect()
            await browser.connect()
        await self._settle(self.browsers)

    async def _settle(self, browsers: list[Browser]) -> None:
        """Whatever still travels is lost. One sweep later every browser has everything, or was told that it ended."""
        self.bus.travelling.clear()
        self.hub.gap_possible()
        deadline = time.monotonic() + SETTLE_SECONDS
        waiting = list(browsers)
        while waiting:
            assert time.monotonic() < deadline, [vars(browser) for browser in waiting]
            for browser in waiting:
                if browser.cursor is None and not browser.finished:
                    await browser.connect()
                while await browser.step():
                    pass
            waiting = [one for one in waiting if not (one.finished or (one.cursor and one.has_everything))]
            await asyncio.sleep(0.001)

    async def _stop(self) -> None:
        for browser in self.browsers:
            await browser.disconnect()
        if hasattr(self, "store"):
            await self.hub.close()
            await self.supervisor.stop()
            await self.store.__aexit__(None, None, None)


def test_every_browser_ends_with_all_events_in_order_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StreamHistories, "template", make_sqlite_template(tmp_path), raising=False)
    monkeypatch.setattr(gateway.streaming.pages, "PAGE_EVENTS", SMALL_PAGE_EVENTS)
    monkeypatch.setattr(gateway.streaming.batch, "MOST_BATCH_BYTES", SMALL_BATCH_BYTES)
    run_state_machine_as_test(StreamHistories, settings=settings(max_examples=35, stateful_step_count=50))
