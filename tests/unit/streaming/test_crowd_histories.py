"""Random histories of a crowd: browsers that join, leave, block in the middle of a flush and come back by a cursor.

The channel, its crowds and the cursors are the real ones; the flusher holds back until a rule lets it write. Whatever
the bus does, every browser gets exactly the numbers that follow its start, in order, once, and the browsers of a job
hear of its end when they have all of it and not before.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import gateway.streaming.batch
import gateway.streaming.pages
from gateway.streaming.batch import unchunked
from gateway.streaming.budget import Budget
from gateway.streaming.channel import Channel
from gateway.streaming.crowd import Crowd
from gateway.streaming.cursor import Cursor, CursorLost
from gateway.streaming.frames import TERMINAL_TYPES
from gateway.streaming.pages import Pages
from infra.bus.base import Message
from infra.errors import DatabaseUnavailable
from tests.unit.streaming.listed_log import JOBS, SESSION, ListedLog
from tests.unit.streaming.wire import dispatch

SMALL_PAGE_EVENTS = 4
SMALL_BATCH_BYTES = 200
MOST_BROWSERS = 6
A, B, _ = JOBS
NAMES = ["item.updated", "item.updated", "item.updated", "job.completed", "job.failed", "stage.retrying"]


class HoldingBack:
    """A flusher that writes only what must not wait, until it is told to."""

    def __init__(self) -> None:
        self.waiting: dict[Any, None] = {}

    def want(self, channel: Any) -> None:
        self.waiting[channel] = None

    def flush(self, channel: Any) -> None:
        channel.flush()

    def write_all(self) -> None:
        waiting, self.waiting = self.waiting, {}
        for channel in waiting:
            channel.flush()


@dataclass(eq=False)
class Browser:
    """Live in a crowd, on its way by its cursor, or over. `patience` is how many batches it takes before it blocks."""

    channel: Channel
    start: int
    job_id: str | None
    cursor: Cursor
    crowd: Crowd | None = None
    patience: int = 1000
    got: list[int] = field(default_factory=list)
    status: str | None = None
    lost: bool = False

    @property
    def over(self) -> bool:
        return self.lost or self.status is not None

    def take(self, chunk: bytes) -> None:
        assert self.crowd is not None, "written to although it is not live"
        numbers = self._write(chunk)
        assert not numbers or numbers[-1] == self.crowd.last_event
        self.patience -= 1
        if self.patience <= 0:
            self.step_out()

    def _write(self, chunk: bytes) -> list[int]:
        assert not self.over, "written to although it is over"
        numbers = [event.seq for event in dispatch(unchunked(chunk))]
        self.got += numbers
        return numbers

    def step_out(self) -> None:
        crowd, self.crowd = self.crowd, None
        if crowd is not None:
            self.cursor.move_to(crowd.seq, crowd.last_event, crowd.ended)
            self.channel.leave(self, crowd)

    def finish(self, status: str) -> None:
        assert not self.over
        self.step_out()
        self.status = status

    def lose(self) -> None:
        self.step_out()
        self.lost = True

    async def come_back(self) -> bool:
        """One step by the cursor, as a follower makes it; True when there was one."""
        if self.over or self.crowd is not None:
            return False
        try:
            batch = await self.cursor.advance()
        except CursorLost:
            self.lose()
            return True
        except DatabaseUnavailable:
            return False
        if self.over:
            return True
        if batch is not None:
            numbers = self._write(batch.chunk)
            assert len(numbers) == batch.count
            assert not numbers or numbers[-1] == batch.last_event
        elif self.cursor.ended is not None:
            self.finish(self.cursor.ended)
        elif self.cursor.seq <= self.channel.head:
            self.patience = 1000
            self.crowd = self.channel.join(self, self.job_id)
        return True


class CrowdHistories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.log = ListedLog()
        self.flusher = HoldingBack()
        self.travelling: list[Message] = []
        self.browsers: list[Browser] = []

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    @initialize(
        ring=st.sampled_from([1, 3, 64, 64]), before=st.integers(0, 6), holds_back=st.sampled_from([True, True, False])
    )
    def open_channel(self, ring: int, before: int, holds_back: bool) -> None:
        if before:
            self.log.commit(*JOBS[:1] * before)
        log, flusher = self.log, self.flusher if holds_back else None

        async def make() -> Channel:
            pages, rings = Pages(log, lambda: None), Budget(1_000_000)
            return Channel(
                SESSION,
                log.stands_at,
                pages,
                rings,
                ring,
                log.repairs.append,
                log.set_back.append,
                flusher,  # type: ignore[arg-type]
            )

        self.channel = self.run(make())

    # The log and the bus.

    @rule(
        jobs=st.lists(st.sampled_from([A, A, B]), min_size=1, max_size=6),
        name=st.sampled_from(NAMES),
        brings=st.sampled_from([True, True, True, False]),
    )
    def commit(self, jobs: list[str], name: str, brings: bool) -> None:
        """The last of the events has the name: a job's end stands alone in its message or after others."""
        if jobs[:-1]:
            self.travelling.append(self.log.commit(*jobs[:-1]))
        self.travelling.append(self.log.commit(jobs[-1], name=name))
        if brings:
            for message in self.travelling:
                self._call(self.channel.receive, message)
            self.travelling.clear()

    @precondition(lambda self: self.travelling)
    @rule(data=st.data(), fate=st.sampled_from(["bring", "bring twice", "lose"]))
    def one_message_travels(self, data: st.DataObject, fate: str) -> None:
        message = self.travelling.pop(data.draw(st.integers(0, len(self.travelling) - 1)))
        if fate == "bring twice":
            self.travelling.append(message)
        if fate != "lose":
            self._call(self.channel.receive, message)

    def _call(self, function: Any, *arguments: Any) -> None:
        async def call() -> None:
            function(*arguments)

        self.run(call())

    @precondition(lambda self: self.channel.head < len(self.log.entries))
    @rule()
    def sweep(self) -> None:
        self._call(self.channel.note, self.log.stands_at)

    @rule(turns=st.integers(1, 6))
    def let_time_pass(self, turns: int) -> None:
        async def pass_time() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self.run(pass_time())

    @precondition(lambda self: self.flusher.waiting)
    @rule()
    def write_what_waits(self) -> None:
        self._call(self.flusher.write_all)

    @rule(chance=st.integers(0, 4))
    def database_goes_and_comes(self, chance: int) -> None:
        self.log.away = not self.log.away and not chance

    @precondition(lambda self: self.log.entries)
    @rule(data=st.data(), chance=st.integers(0, 3))
    def trim(self, data: st.DataObject, chance: int) -> None:
        if not chance:
            self.log.trimmed = data.draw(st.integers(self.log.trimmed, len(self.log.entries)))

    # The browsers.

    @precondition(lambda self: len(self.browsers) < MOST_BROWSERS)
    @rule(job_id=st.sampled_from([None, A, A, B]), joins=st.sampled_from([True, True, False]))
    def come(self, job_id: str | None, joins: bool) -> None:
        """From the start of what there is; or with everything that the channel has, and live at once."""
        start = max(self.channel.head if joins else 0, self.log.trimmed)
        ended = self._status(job_id, start)  # as the look at the job would have shown it
        browser = Browser(self.channel, start, job_id, Cursor(self.channel, start, job_id, 0, ended))
        self.browsers.append(browser)
        if joins:
            self.run(browser.come_back())

    @precondition(lambda self: self.browsers)
    @rule(data=st.data(), steps=st.integers(1, 5))
    def come_back(self, data: st.DataObject, steps: int) -> None:
        browser = data.draw(st.sampled_from(self.browsers))
        for _ in range(steps):
            self.run(browser.come_back())

    @rule()
    def all_come_back_at_once(self) -> None:
        async def together() -> None:
            for _ in range(3):
                await asyncio.gather(*(browser.come_back() for browser in self.browsers))

        self.run(together())

    @precondition(lambda self: self.browsers)
    @rule(data=st.data(), patience=st.sampled_from([0, 1, 1, 2]))
    def take_less(self, data: st.DataObject, patience: int) -> None:
        """Blocks at the next batch but so many; with 0 in between two flushes, as a heartbeat may show."""
        browser = data.draw(st.sampled_from(self.browsers))
        browser.patience = patience
        if not patience:
            self._call(browser.step_out)

    @precondition(lambda self: len(self.browsers) > 2)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        browser = data.draw(st.sampled_from(self.browsers))
        self._call(browser.step_out)
        self.browsers.remove(browser)

    # What always holds.

    def _wanted(self, browser: Browser, up_to: int) -> list[int]:
        numbered = enumerate(self.log.entries[:up_to], 1)
        return [seq for seq, entry in numbered if seq > browser.start and browser.job_id in (None, entry.job_id)]

    def _status(self, job_id: str | None, up_to: int) -> str | None:
        """How the job's last run ended, as of a number; None when one goes on."""
        own = [entry for entry in self.log.entries[:up_to] if entry.job_id == job_id]
        return TERMINAL_TYPES.get(own[-1].type) if own else None

    @invariant()
    def every_browser_has_its_events_in_order_without_a_hole(self) -> None:
        for browser in self.browsers:
            assert browser.got == self._wanted(browser, browser.got[-1] if browser.got else browser.start)

    @invariant()
    def the_live_ones_lack_nothing_but_what_waits_to_be_written(self) -> None:
        for browser in self.browsers:
            if browser.crowd is not None:
                waits = self.channel in self.flusher.waiting
                assert browser.crowd.seq == self.channel.head or waits
                assert browser.got == self._wanted(browser, browser.crowd.seq)

    @invariant()
    def a_job_has_ended_for_those_who_have_its_last_event_and_for_nobody_else(self) -> None:
        for browser in self.browsers:
            if browser.status is not None:
                last = browser.got[-1] if browser.got else browser.start
                assert browser.status == self._status(browser.job_id, last)
            elif browser.crowd is not None and browser.job_id is not None:
                assert self._status(browser.job_id, browser.crowd.seq) is None, "live beyond the end of its job"

    @invariant()
    def nobody_is_lost_without_a_reason(self) -> None:
        for browser in self.browsers:
            assert not browser.lost or self.log.trimmed > 0

    def teardown(self) -> None:
        try:
            if hasattr(self, "channel"):
                self.run(self._settle())
                self.run(self.channel.close())
        finally:
            self.loop.close()

    async def _settle(self) -> None:
        """The bus is silent, the database is there, the sweep comes round: everybody has all, is over, or was lost."""
        self.log.away = False
        for _ in range(4):
            self.channel.note(self.log.stands_at)
            for _ in range(60):
                await asyncio.sleep(0)
            self.flusher.write_all()
            for browser in self.browsers:
                for _ in range(len(self.log.entries) + 2):
                    await browser.come_back()
        assert self.channel.head == len(self.log.entries)
        for browser in self.browsers:
            if not browser.over:
                assert browser.crowd is not None, "it never became live"
                assert browser.got == self._wanted(browser, len(self.log.entries))
        assert sum(len(crowd.members) for crowd in self.channel.crowds.values()) == sum(
            browser.crowd is not None for browser in self.browsers
        )


def test_every_browser_of_a_crowd_gets_all_events_in_order_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.streaming.pages, "PAGE_EVENTS", SMALL_PAGE_EVENTS)
    monkeypatch.setattr(gateway.streaming.batch, "MOST_BATCH_BYTES", SMALL_BATCH_BYTES)
    run_state_machine_as_test(CrowdHistories, settings=settings(max_examples=250, stateful_step_count=40))
