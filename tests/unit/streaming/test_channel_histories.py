"""Random histories of one channel: whatever the bus loses, repeats, reorders, every cursor sees 1..head in order, once.

The log is a list, so that thousands of steps cost nothing; the channel and its cursors are the real ones. What the
sessions and jobs of a database add to this is in test_stream_histories.
"""

import asyncio
from dataclasses import dataclass, field

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
from gateway.streaming.channel import Channel
from gateway.streaming.cursor import Cursor, CursorLost
from infra.bus.base import Message
from infra.errors import DatabaseUnavailable
from tests.unit.streaming.listed_log import JOBS, ListedLog
from tests.unit.streaming.wire import dispatch

# Small enough that a history of a few dozen events needs several pages.
SMALL_PAGE_EVENTS = 4
SMALL_BATCH_BYTES = 200
MOST_READERS = 5


@dataclass
class Reader:
    """A browser that follows the rules: it keeps what it got, and comes back with its last number."""

    job_id: str | None
    start: int
    epoch: str
    cursor: Cursor | None = None
    got: list[int] = field(default_factory=list)

    @property
    def last(self) -> int:
        return self.got[-1] if self.got else self.start


class ChannelHistories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.log = ListedLog()
        self.travelling: list[Message] = []
        self.readers: list[Reader] = []
        self.stray = False

    @initialize(ring=st.sampled_from([1, 2, 5, 64]), before=st.integers(0, 6))
    def _open_channel(self, ring: int, before: int) -> None:
        self.ring = ring
        if before:
            self.log.commit(*JOBS[:1] * before)
        self.channel = self.run(self._make_channel())

    async def _make_channel(self) -> Channel:
        return self.log.channel(self.ring)

    def run(self, work):  # type: ignore[no-untyped-def]
        return self.loop.run_until_complete(work)

    @rule(jobs=st.lists(st.sampled_from(JOBS), min_size=1, max_size=7))
    def commit(self, jobs: list[str]) -> None:
        self.travelling.append(self.log.commit(*jobs))

    @precondition(lambda self: self.travelling)
    @rule(data=st.data(), again=st.booleans())
    def deliver(self, data: st.DataObject, again: bool) -> None:
        index = data.draw(st.integers(0, len(self.travelling) - 1))
        message = self.travelling[index] if again else self.travelling.pop(index)
        self.run(self._deliver(message))

    @precondition(lambda self: self.travelling)
    @rule()
    def deliver_all_in_order(self) -> None:
        for message in self.travelling:
            self.run(self._deliver(message))
        self.travelling.clear()

    async def _deliver(self, message: Message) -> None:
        # A late message of an earlier epoch costs a reconnect, never an event.
        self.stray = self.stray or message.epoch != self.channel.epoch
        self.channel.receive(message)

    async def _call(self, function, *arguments) -> None:  # type: ignore[no-untyped-def]
        function(*arguments)

    @precondition(lambda self: self.travelling)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        self.travelling.pop(data.draw(st.integers(0, len(self.travelling) - 1)))

    @rule()
    def sweep(self) -> None:
        self.run(self._call(self.channel.note, self.log.stands_at))

    @rule(turns=st.integers(1, 6))
    def let_time_pass(self, turns: int) -> None:
        async def pass_time() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self.run(pass_time())

    @rule()
    def database_goes_and_comes(self) -> None:
        self.log.away = not self.log.away

    @precondition(lambda self: self.log.entries)
    @rule(data=st.data())
    def trim(self, data: st.DataObject) -> None:
        self.log.trimmed = data.draw(st.integers(self.log.trimmed, len(self.log.entries)))

    @rule()
    def restore_from_backup(self) -> None:
        """The log loses its newest events and gets another epoch; the bus may still carry what was lost."""
        kept = max(self.log.trimmed, len(self.log.entries) - 2)
        del self.log.entries[kept:]
        self.log.epoch = f"epoch{int(self.log.epoch[5:]) + 1:03}"

    @precondition(lambda self: len(self.readers) < MOST_READERS)
    @rule(job_id=st.sampled_from([None, *JOBS]))
    def connect(self, job_id: str | None) -> None:
        reader = Reader(job_id, self.log.trimmed, self.channel.epoch)
        reader.cursor = Cursor(self.channel, reader.start, job_id)
        self.readers.append(reader)

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def disconnect_and_resume(self, data: st.DataObject) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        if reader.epoch == self.channel.epoch:
            reader.cursor = Cursor(self.channel, reader.last, reader.job_id)

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), steps=st.integers(1, 3))
    def read(self, data: st.DataObject, steps: int) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        for _ in range(steps):
            self.run(self._advance(reader))

    @precondition(lambda self: self.readers)
    @rule()
    def all_read_at_once(self) -> None:
        async def together() -> None:
            await asyncio.gather(*(self._advance(reader) for reader in self.readers))

        self.run(together())

    async def _advance(self, reader: Reader) -> bool:
        """One step forward; True when there was something. A lost cursor begins again, as from a snapshot."""
        assert reader.cursor is not None
        try:
            batch = await reader.cursor.advance()
        except CursorLost:
            changed = reader.epoch != self.log.epoch
            assert changed or self.stray or self.log.trimmed > reader.cursor.seq, "lost without a reason"
            self._start_again(reader)
            return True
        except DatabaseUnavailable:
            return False
        if batch is None:
            return False
        events = dispatch(batch.frames)
        assert len(events) == batch.count
        for event in events:
            epoch, _, seq = (event.id or "").partition(".")
            assert epoch == reader.epoch
            assert event.data == {"n": int(seq)}, "an id with the data of another"
            reader.got.append(int(seq))
        assert (reader.got[-1] if batch.count else 0) == batch.last_event
        return True

    def _start_again(self, reader: Reader) -> None:
        self._replace_lost_channel()
        reader.start, reader.epoch, reader.got = len(self.log.entries), self.channel.epoch, []
        reader.cursor = Cursor(self.channel, reader.start, reader.job_id)

    def _replace_lost_channel(self) -> None:
        if self.channel.lost or self.channel.epoch != self.log.epoch:
            self.channel = self.log.channel(self.ring)
            self.stray = False

    @invariant()
    def every_reader_has_its_events_in_order_without_a_hole(self) -> None:
        for reader in self.readers:
            if reader.epoch == self.log.epoch:
                assert reader.got == self._wanted(reader, reader.last)

    def _wanted(self, reader: Reader, up_to: int) -> list[int]:
        numbered = enumerate(self.log.entries[:up_to], 1)
        return [seq for seq, entry in numbered if seq > reader.start and reader.job_id in (None, entry.job_id)]

    def teardown(self) -> None:
        if hasattr(self, "channel"):
            try:
                self.run(self._settle())
            finally:
                self.run(self.channel.close())
                self.loop.close()

    async def _settle(self) -> None:
        """The bus is silent, the database is there, the sweep comes round: within a few rounds everyone has all."""
        self.log.away = False
        for _ in range(4):
            self.channel.note(self.log.stands_at)
            for _ in range(60):
                await asyncio.sleep(0)
            assert self.channel.lost or self.channel.epoch == self.log.epoch
            self._replace_lost_channel()
            for reader in self.readers:
                if reader.cursor is not None and reader.cursor.channel is not self.channel:
                    self._start_again(reader)
                steps = 0
                while await self._advance(reader):
                    steps += 1
                    assert steps <= len(self.log.entries) + 1, "a cursor that moves without getting anywhere"
        assert not self.channel.lost
        assert self.channel.head == len(self.log.entries)
        for reader in self.readers:
            assert reader.got == self._wanted(reader, len(self.log.entries))


def test_every_cursor_ends_with_all_events_in_order_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.streaming.pages, "PAGE_EVENTS", SMALL_PAGE_EVENTS)
    monkeypatch.setattr(gateway.streaming.batch, "MOST_BATCH_BYTES", SMALL_BATCH_BYTES)
    run_state_machine_as_test(ChannelHistories, settings=settings(max_examples=120, stateful_step_count=40))
