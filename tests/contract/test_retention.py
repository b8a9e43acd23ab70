"""Retention removes the logs of sessions whose jobs have all ended long ago, what exceeds the cap, and nothing else."""

import asyncio
import time
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import delete, func, select, text

from infra.clock import now_ms
from infra.database.engine import SQLITE_READERS
from infra.database.log import EventLog, LogPosition
from infra.database.models import Event, MenuItem
from infra.database.postgres_writer import PostgresWriter
from infra.database.repositories.snapshots import Snapshots
from infra.database.retention import EVENTS_AT_ONCE, MOST_PAUSE_SECONDS, Looks, Retention, _keep
from infra.database.transaction import apply
from infra.errors import DatabaseUnavailable
from infra.settings import DatabaseSettings, LogSettings
from pipeline.submission import NewJob, Submit
from pipeline.transitions import Cancel, Record
from pipeline.verify import verify
from tests.contract.jobs import DISH, LEASE_MS, answer, claim, item_ids, results, submit
from tests.database import Store


async def position(store: Store, session_id: str) -> LogPosition:
    found = await EventLog(store.database).position(session_id)
    assert found is not None
    return found


def retention(store: Store, seconds: int = 3600, most_events: int = 1_000_000) -> Retention:
    """With limits that no setting allows: a test can't wait for a second, nor write a hundred events each time."""
    limits = LogSettings.model_construct(retention_seconds=seconds, max_events_per_session=most_events)
    return Retention(store.database, limits)


async def events(store: Store) -> int:
    async with store.database.read() as connection:
        return await connection.scalar(select(func.count()).select_from(Event)) or 0


async def test_an_ended_session_keeps_its_numbers_and_rows_without_its_log(store: Store) -> None:
    job = await submit(store.committer)
    await store.committer.commit(Cancel(job.id))
    before = await position(store, job.session_id)
    snapshot = await Snapshots(store.database).job(job.id)
    assert await retention(store, 0).trim_old() == 1
    after = await position(store, job.session_id)
    assert (after.head, after.trimmed, after.epoch) == (before.head, before.head, before.epoch)
    assert await events(store) == 0
    assert await Snapshots(store.database).job(job.id) == snapshot
    assert await retention(store, 0).trim_old() == 0, "there is nothing left to trim"
    await submit(store.committer, session_id=job.session_id)
    assert (await position(store, job.session_id)).head == before.head + 1, "numbers are never used again"


async def test_a_session_with_a_live_job_or_a_fresh_end_is_kept(store: Store) -> None:
    ended, live = await submit(store.committer), await submit(store.committer)
    await submit(store.committer, session_id=ended.session_id)
    await store.committer.commit(Cancel(ended.id))
    await store.committer.commit(Cancel(live.id))
    assert await retention(store).trim_old() == 0
    assert await retention(store, 0).trim_old() == 1, "only the session whose jobs have all ended"
    assert (await position(store, ended.session_id)).trimmed == 0


@pytest.mark.parametrize("database_settings", ["postgresql"], indirect=True)
async def test_a_job_that_is_submitted_at_that_moment_keeps_its_events(
    database_settings: DatabaseSettings, store: Store
) -> None:
    job = await submit(store.committer)
    await store.committer.commit(Cancel(job.id))
    new = Submit(NewJob("menu", None, None, "en", (DISH,)), job.session_id, None, 3)
    async with store.database.write() as connection:
        await apply(PostgresWriter(connection), now_ms(), [new])  # written, not yet committed
        trimming = asyncio.create_task(retention(store, 0).trim_old())
        await asyncio.sleep(0.3)
        assert not trimming.done(), "it waits for the session"
    await trimming
    head = await position(store, job.session_id)
    async with store.database.read() as connection:
        kept = list(await connection.scalars(select(Event.seq).order_by(Event.seq)))
        assert await connection.scalar(select(func.count()).select_from(MenuItem)) == 2
    assert head.trimmed < head.head
    assert head.head in kept


async def test_a_log_above_the_cap_loses_its_oldest_events_while_its_job_runs(store: Store) -> None:
    job = await submit(store.committer, items=20)
    ids = await item_ids(store, job.id)
    lease = await claim(store.committer, job.id)
    await store.committer.commit(Record(lease, results("translation", ids[:12]), LEASE_MS))
    capped = retention(store, most_events=10)
    assert await capped.trim_long() == 1
    found = await position(store, job.session_id)
    assert (found.head, found.trimmed) == (15, 5), "accepted, two starts and twelve results, of which ten are kept"
    page = await EventLog(store.database).page(job.session_id, 0, 100)
    assert page is not None
    assert [seq for seq, _ in page.events] == list(range(6, 16))
    assert await capped.trim_long() == 0, "the rest is within the cap"

    assert (await verify(store.database)).findings == []
    await store.committer.commit(Record(lease, results("translation", ids[12:], first=12), LEASE_MS, finish=True))
    snapshot = await Snapshots(store.database).job(job.id)
    assert snapshot is not None
    assert snapshot.body["stages"]["translation"]["status"] == "completed"
    assert all(row["translation"] is not None for row in snapshot.body["rows"])
    assert (await verify(store.database)).findings == []


async def test_only_logs_above_the_cap_are_cut_and_each_to_the_cap(store: Store) -> None:
    long, longer, short = [await submit(store.committer, items=items) for items in (12, 20, 3)]
    for job in (long, longer, short):
        await answer(store, await claim(store.committer, job.id), await item_ids(store, job.id))
    assert await retention(store, most_events=10).trim_long() == 2
    trimmed = [(await position(store, job.session_id)).trimmed for job in (long, longer, short)]
    assert trimmed == [16 - 10, 24 - 10, 0]


async def test_a_session_that_always_has_a_fresh_job_is_cut_all_the_same(store: Store) -> None:
    job = await submit(store.committer)
    for _ in range(4):
        await store.committer.commit(Cancel(job.id))
        job = await submit(store.committer, session_id=job.session_id)
    head = (await position(store, job.session_id)).head
    assert await retention(store, 0, most_events=10).trim_old() == 0, "a job of it runs"
    assert await retention(store, 0, most_events=10).trim_long() == 1
    assert (await position(store, job.session_id)).trimmed == head - 10
    assert (await verify(store.database)).findings == []


async def test_one_transaction_cuts_no_more_than_its_bound(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.database.retention.EVENTS_AT_ONCE", 8)
    assert EVENTS_AT_ONCE == 20_000
    jobs = [await submit(store.committer, items=20) for _ in range(2)]
    for job in jobs:
        await answer(store, await claim(store.committer, job.id), await item_ids(store, job.id))
    capped = retention(store, most_events=10)
    left = [await events(store)]
    while await capped.trim_long():
        left.append(await events(store))
    assert left == [48, 40, 32, 24, 20], "two logs of 24 events, eight at a time"
    for job in jobs:
        assert (await position(store, job.session_id)).trimmed == 14


@pytest.mark.parametrize("database_settings", ["postgresql"], indirect=True)
async def test_a_cut_waits_for_no_commit_but_for_the_update_of_one_row(store: Store) -> None:
    """Its order of locks is that of everybody else: the session last."""
    job = await submit(store.committer, items=20)
    lease = await claim(store.committer, job.id)
    ids = await item_ids(store, job.id)
    await store.committer.commit(Record(lease, results("translation", ids[:15]), LEASE_MS))
    async with store.database.write() as connection:
        more = Record(lease, results("translation", ids[15:], first=15), LEASE_MS)
        await apply(PostgresWriter(connection), now_ms(), [more])  # written, not yet committed: the session is locked
        cutting = asyncio.create_task(retention(store, most_events=10).trim_long())
        await asyncio.sleep(0.3)
        assert not cutting.done(), "it waits for the session"
    assert await cutting == 1
    found = await position(store, job.session_id)
    assert (found.head, found.trimmed) == (23, 8), "cut by the head that it saw, without the five that came meanwhile"
    assert (await verify(store.database)).findings == []


@pytest.mark.parametrize("database_settings", ["postgresql"], indirect=True)
async def test_two_gateways_that_trim_at_once_do_not_wait_for_each_other(store: Store) -> None:
    job = await submit(store.committer, items=20)
    await answer(store, await claim(store.committer, job.id), await item_ids(store, job.id))
    async with store.database.write() as connection:
        assert await connection.scalar(text("SELECT pg_try_advisory_xact_lock(7340195)")), "another one is at it"
        assert await retention(store, most_events=10).trim_long() == 0
    assert await retention(store, most_events=10).trim_long() == 1


@pytest.mark.parametrize("database_settings", ["postgresql"], indirect=True)
async def test_a_gateway_whose_clock_is_ahead_trims_nothing_early(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await submit(store.committer)
    await store.committer.commit(Cancel(job.id))
    ahead = time.time_ns() + 25 * 3600 * 1_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: ahead)
    assert now_ms() == ahead // 1_000_000
    assert await retention(store).trim_old() == 0, "by the database's clock it ended just now"
    assert await retention(store, 0).trim_old() == 1


async def test_a_look_that_found_no_database_is_soon_tried_again() -> None:
    looks, tries = Looks(0.01), asyncio.Semaphore(0)
    looks.took_seconds = 1.0  # the last one that succeeded was slow

    async def fail() -> int:
        tries.release()
        raise DatabaseUnavailable

    keeping = asyncio.create_task(_keep(fail, looks))
    for _ in range(3):
        await asyncio.wait_for(tries.acquire(), 30)
    keeping.cancel()


def test_a_pause_follows_the_query_and_has_a_bound() -> None:
    looks = Looks(2.0)
    assert looks.pause_seconds() == 2.0
    looks.took_seconds = 0.1
    assert looks.pause_seconds() == pytest.approx(10)
    looks.took_seconds = 30.0
    assert looks.pause_seconds() == MOST_PAUSE_SECONDS


@pytest.mark.parametrize("database_settings", ["sqlite"], indirect=True)
async def test_waiting_for_a_connection_is_no_part_of_a_look(store: Store) -> None:
    trimming = retention(store)
    async with AsyncExitStack() as taken:
        for _ in range(SQLITE_READERS):
            await taken.enter_async_context(store.database.read())
        looking = [asyncio.create_task(trim()) for trim in (trimming.trim_old, trimming.trim_long)]
        await asyncio.sleep(3)
        assert not any(task.done() for task in looking), "every connection is taken"
    await asyncio.gather(*looking)
    assert 0 < trimming._looks_for_old.took_seconds < 2
    assert 0 < trimming._looks_for_long.took_seconds < 2


async def test_a_cut_log_whose_last_event_is_missing_is_found_out(store: Store) -> None:
    job = await submit(store.committer, items=20)
    await answer(store, await claim(store.committer, job.id), await item_ids(store, job.id))
    await retention(store, most_events=10).trim_long()
    async with store.database.write() as connection:
        await connection.execute(delete(Event.__table__).where(Event.seq == 24))
    assert [one.rule for one in (await verify(store.database)).findings] == ["log-gapless", "job-range"]
