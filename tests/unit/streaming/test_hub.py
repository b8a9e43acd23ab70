"""The hub: one channel for each session with browsers, joined once, kept warm, replaced when it is lost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update

import gateway.streaming.hub
from gateway.streaming.batch import Batch
from gateway.streaming.cursor import Cursor
from gateway.streaming.hub import Hub
from infra.bus.memory import MemoryBus
from infra.database.continuity import Continuity
from infra.database.engine import Database
from infra.database.log import EventLog, LogPosition
from infra.database.models import Event, Session
from infra.errors import DatabaseUnavailable, NotFound
from infra.settings import SseSettings
from infra.tasks import Supervisor
from pipeline.submission import NewJob, Submit
from tests.database import Store, copy_sqlite, make_sqlite_template
from tests.unit.streaming.wire import dispatch
from tests.waiting import wait_for

JOB = NewJob("menu", None, None, "en", ({"name": "親子丼", "input_price": None, "input_category": None},))


class House:
    """A store, a bus and a hub, wired as the composition root wires them."""

    def __init__(self, store: Store, bus: MemoryBus) -> None:
        self.store = store
        self.bus = bus
        self.supervisor = Supervisor(store.metrics)
        log, renew = EventLog(store.database), Continuity(store.database).renew
        self.hub = Hub(bus, log, SseSettings(), self.supervisor, store.metrics, renew)

    async def submit(self, session_id: str | None = None) -> str:
        accepted = await self.store.committer.commit(Submit(JOB, session_id, None, 3))
        assert accepted.state is not None
        return accepted.state.session_id

    def metric(self, name: str, **labels: str) -> float:
        return self.store.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    bus = MemoryBus()
    async with Store(copy_sqlite(make_sqlite_template(tmp_path), tmp_path), bus.publish) as store:
        house = House(store, bus)
        await house.hub.start()
        yield house
        await house.hub.close()
        await house.supervisor.stop()


async def test_a_commit_reaches_an_open_channel_at_once(house: House) -> None:
    session_id = await house.submit()
    async with house.hub.open(session_id) as channel:
        cursor = Cursor(channel, channel.head)
        await house.submit(session_id)
        batch = await cursor.advance()
        assert batch is not None
        assert [event.name for event in dispatch(batch.frames)] == ["job.accepted"]
        assert batch.committed_at_us > 0


async def test_browsers_that_come_together_share_one_channel(house: House) -> None:
    session_id = await house.submit()
    async with AsyncExitStack() as stack:
        opened = await asyncio.gather(*(stack.enter_async_context(house.hub.open(session_id)) for _ in range(20)))
        assert len({id(channel) for channel in opened}) == 1
        assert house.metric("stagecast_channels") == 1


async def test_a_commit_while_the_channel_joins_is_not_lost(house: House) -> None:
    session_id = await house.submit()
    for _ in range(10):
        committed = asyncio.Event()

        async def look(committed: asyncio.Event) -> list[str]:
            async with house.hub.open(session_id) as channel:
                await committed.wait()
                batch = await Cursor(channel, 0).advance()
                assert batch is not None
                return [event.name for event in dispatch(batch.frames)]

        async def submit(committed: asyncio.Event) -> None:
            await house.submit(session_id)
            committed.set()

        seen, _ = await asyncio.gather(look(committed), submit(committed))
        assert len(seen) == house.metric("stagecast_events_committed_total")
        await house.hub.close()
    assert house.metric("stagecast_gap_repairs_total", cause="sweep") == 0, "it waited for the channel"


async def test_an_unknown_session_is_not_found_and_leaves_nothing(house: House) -> None:
    with pytest.raises(NotFound):
        async with house.hub.open("x" * 26):
            pytest.fail("there is no such session")
    assert house.metric("stagecast_channels") == 0


async def test_the_next_browser_tries_again_after_a_failed_join(house: House, tmp_path: Path) -> None:
    session_id = await house.submit()
    await house.store.database.close()  # with its last connection SQLite folds the WAL into the file
    file, away = tmp_path / "stagecast.db", tmp_path / "away.db"
    file.rename(away)
    file.mkdir()  # or SQLite would make an empty database here
    with pytest.raises(DatabaseUnavailable):
        async with house.hub.open(session_id):
            pytest.fail("the database is away")
    file.rmdir()
    away.rename(file)
    async with house.hub.open(session_id) as channel:
        assert channel.head == 1


async def test_a_browser_that_leaves_while_joining_does_not_take_the_channel_from_the_next(house: House) -> None:
    session_id = await house.submit()

    async def visit() -> int:
        async with house.hub.open(session_id) as channel:
            return channel.head

    first, second = asyncio.create_task(visit()), asyncio.create_task(visit())
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 1


async def test_a_reconnect_finds_the_ring_warm(house: House) -> None:
    session_id = await house.submit()
    async with house.hub.open(session_id) as before:
        pass
    async with house.hub.open(session_id) as after:
        assert after is before


async def test_a_session_without_browsers_is_let_go(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.streaming.hub, "LINGER_SECONDS", 0.0)
    session_id = await house.submit()
    async with house.hub.open(session_id) as before:
        swept = asyncio.Event()
        positions = EventLog.positions

        async def look(log: EventLog, session_ids: Sequence[str]) -> dict[str, LogPosition]:
            swept.set()
            return await positions(log, session_ids)

        # A sweep looks at the heads after it has closed what is idle.
        monkeypatch.setattr(EventLog, "positions", look)
        house.hub.gap_possible()
        async with asyncio.timeout(20):
            await swept.wait()
        assert house.metric("stagecast_channels") == 1, "somebody reads it"
    house.hub.gap_possible()
    await wait_for(lambda: house.metric("stagecast_channels") == 0)
    async with house.hub.open(session_id) as after:
        assert after is not before
        cursor = Cursor(after, after.head)
        await house.submit(session_id)
        assert await cursor.advance() is not None, "the new channel is subscribed"


async def test_whoever_comes_after_a_change_of_epoch_gets_a_true_channel(house: House) -> None:
    session_id = await house.submit()
    async with house.hub.open(session_id) as before:
        async with house.store.database.write() as connection:
            await connection.execute(update(Session).values(epoch="newepoch"))
        house.hub.gap_possible()
        await wait_for(lambda: before.lost)
        async with house.hub.open(session_id) as after:
            assert after.epoch == "newepoch"
            assert house.metric("stagecast_channels") == 1
            cursor = Cursor(after, after.head)
            await house.submit(session_id)
            assert await cursor.advance() is not None


async def test_a_sweep_heals_every_session_that_missed_its_last_message(house: House) -> None:
    sessions = [await house.submit() for _ in range(3)]
    async with AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(house.hub.open(one)) for one in sessions]
        for session_id in sessions:
            await house.bus.unsubscribe(session_id)
            await house.submit(session_id)
        assert [channel.head for channel in channels] == [1, 1, 1]
        house.hub.gap_possible()
        await wait_for(lambda: all(channel.head == 2 for channel in channels))
    assert house.metric("stagecast_gap_repairs_total", cause="sweep") == 3


class Clocked:
    """Something with a moment far away, which notes when it is asked all the same."""

    def __init__(self) -> None:
        self.entry: list[Any] | None = None
        self.asked = 0

    @property
    def next_moment(self) -> float:
        return asyncio.get_running_loop().time() + 1000

    def due(self) -> float | None:
        self.asked += 1
        return self.next_moment


async def test_draining_has_everyone_look_at_the_clock(house: House) -> None:
    stream = Clocked()
    house.hub.timetable.put(stream)
    house.hub.drain()
    assert stream.asked == 1
    assert house.hub.draining


class HeldLog(EventLog):
    """The log, whose answer about a head is under way until the gate opens."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.asked, self.gate = asyncio.Event(), asyncio.Event()

    async def position(self, session_id: str) -> LogPosition | None:
        found = await super().position(session_id)
        self.asked.set()
        await self.gate.wait()
        return found


async def test_what_is_committed_while_the_head_is_being_read_is_in_the_channel_without_a_repair(house: House) -> None:
    log = HeldLog(house.store.database)
    renew = Continuity(house.store.database).renew
    hub = Hub(house.bus, log, SseSettings(), house.supervisor, house.store.metrics, renew)
    await house.bus.start(hub)
    session_id = await house.submit()

    async def first_batch() -> Batch | None:
        async with hub.open(session_id) as channel:
            return await Cursor(channel, 1).advance()

    opening = asyncio.create_task(first_batch())
    async with asyncio.timeout(20):
        await log.asked.wait()
        await house.submit(session_id)
        log.gate.set()
        batch = await opening
    await hub.close()

    assert batch is not None
    assert [event.name for event in dispatch(batch.frames)] == ["job.accepted"]
    assert batch.committed_at_us > 0, "it came from the log, not from the bus"
    assert house.metric("stagecast_gap_repairs_total", cause="hole") == 0


async def test_a_log_that_was_set_back_gets_a_new_epoch_and_its_readers_start_over(house: House) -> None:
    session_id = await house.submit()
    await house.submit(session_id)
    async with house.hub.open(session_id) as before:
        assert before.head == 2
        async with house.store.database.write() as connection:
            await connection.execute(delete(Event).where(Event.seq == 2))
            await connection.execute(update(Session).values(head=1))
        house.hub.gap_possible()
        await wait_for(lambda: before.lost)
        async with house.hub.open(session_id) as after:
            assert after.epoch != before.epoch
            assert after.head == 1


async def test_a_session_that_is_gone_from_the_database_is_lost(house: House) -> None:
    session_id = await house.submit()
    async with house.hub.open(session_id) as channel:
        async with house.store.database.write() as connection:
            await connection.execute(delete(Session))
        house.hub.gap_possible()
        await wait_for(lambda: channel.lost)


async def test_sessions_that_are_opened_in_the_same_moment_are_looked_up_by_one_query(house: House) -> None:
    sessions = [await house.submit() for _ in range(30)]
    queries = 0
    positions = EventLog.positions

    class CountedLog(EventLog):
        async def positions(self, session_ids: Sequence[str]) -> dict[str, LogPosition]:
            nonlocal queries
            queries += 1
            return await positions(self, session_ids)

    renew = Continuity(house.store.database).renew
    log = CountedLog(house.store.database)
    hub = Hub(house.bus, log, SseSettings(), house.supervisor, house.store.metrics, renew)
    async with AsyncExitStack() as stack:
        await asyncio.gather(*(stack.enter_async_context(hub.open(one)) for one in sessions))
    await hub.close()
    assert queries <= 2


class SlowBus(MemoryBus):
    """A bus whose unsubscribing, once it has begun, lasts until it may end; that of Redis takes a moment, too."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.may_end = asyncio.Event(), asyncio.Event()

    async def unsubscribe(self, session_id: str) -> None:
        await super().unsubscribe(session_id)
        self.began.set()
        await self.may_end.wait()


async def test_a_browser_that_comes_back_while_lost_channels_are_closed_keeps_its_new_one(tmp_path: Path) -> None:
    bus = SlowBus()
    async with Store(copy_sqlite(make_sqlite_template(tmp_path), tmp_path), bus.publish) as store:
        house = House(store, bus)
        await house.hub.start()
        sessions = [await house.submit() for _ in range(4)]
        async with AsyncExitStack() as stack:
            for one in sessions:
                (await stack.enter_async_context(house.hub.open(one))).lose()
        house.hub.gap_possible()
        async with asyncio.timeout(20):
            await bus.began.wait()  # the first of them is being closed
        last = sessions[-1]
        async with house.hub.open(last) as channel:
            bus.may_end.set()
            await wait_for(lambda: house.metric("stagecast_channels") == 1)
            await house.submit(last)
            await wait_for(lambda: channel.head == 2)
        await house.hub.close()
        await house.supervisor.stop()


async def test_closing_while_channels_join_and_read_ends_well(house: House) -> None:
    sessions = [await house.submit() for _ in range(5)]
    opening = [asyncio.create_task(house.hub.open(one).__aenter__()) for one in sessions]
    await asyncio.sleep(0)
    await house.hub.close()
    await asyncio.gather(*opening, return_exceptions=True)
    await house.hub.close()
